//! Whom probes talk to: a target, plain and over TLS without resumption, and a receiver of what goes to Sentry, in one
//! process of their own, each on one thread. They note when who came and answer what they are told to, by lines of
//! JSON on standard input. Nobody measures them; that they cost little leaves the machine to what is measured.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Stdio};
use std::sync::Arc;

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use crate::process::{self, Child};

pub mod certificate;
pub mod receiver;
pub mod target;
mod wire;

pub use receiver::Seen;
pub use target::{Arrival, Truth};

/// The argument that makes us this; after it comes where the authority's certificate is to be written.
pub const PART: &str = "serve";

/// The servers, as they are seen from outside. They end with this value.
pub struct Server {
    pub ports: Ports,
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ports {
    pub plain: u16,
    pub tls: u16,
    pub receiver: u16,
}

/// What they are told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Order {
    Target(target::Mood),
    Receiver(receiver::Mood),
    /// Forget all that was counted.
    Forget,
    Count,
    Tell,
}

/// How much there was since they were told to forget.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Counts {
    pub target: target::Counts,
    pub receiver: receiver::Counts,
}

/// The same one by one, since it was last asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Tale {
    pub arrivals: Vec<Arrival>,
    pub seen: Vec<Seen>,
    /// By trace.
    pub truths: Vec<(String, Truth)>,
}

impl Server {
    /// `folder` gets the authority's certificate, as [`certificate::NAME`].
    pub fn start(folder: &Path) -> Result<Self> {
        let mut command = process::ourselves(PART);
        command.arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Child::start(command, folder.join("servers.log"))?;
        let (to, from) = child.pipes().context("the servers have no pipes")?;
        let mut from = BufReader::new(from);
        let ports = line(&mut from).or_else(|error| child.lives().and(Err(error)))?;
        Ok(Self { ports, child, to, from })
    }

    pub fn pid(&self) -> Pid {
        self.child.pid()
    }

    pub fn dsn(&self) -> String {
        format!("http://key@127.0.0.1:{}/42", self.ports.receiver)
    }

    pub fn target(&mut self, mood: target::Mood) -> Result<()> {
        self.tell(Order::Target(mood))
    }

    pub fn receiver(&mut self, mood: receiver::Mood) -> Result<()> {
        self.tell(Order::Receiver(mood))
    }

    pub fn forget(&mut self) -> Result<()> {
        self.tell(Order::Forget)
    }

    pub fn counts(&mut self) -> Result<Counts> {
        self.tell(Order::Count)
    }

    pub fn tale(&mut self) -> Result<Tale> {
        self.tell(Order::Tell)
    }

    fn tell<T: for<'a> Deserialize<'a>>(&mut self, order: Order) -> Result<T> {
        writeln!(self.to, "{}", serde_json::to_string(&order)?).context("the servers are gone")?;
        line(&mut self.from)
    }
}

fn line<T: for<'a> Deserialize<'a>>(from: &mut impl BufRead) -> Result<T> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("the servers said `{}`", line.trim()))
}

/// Serves until standard input ends.
pub fn serve(folder: &Path) -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let tls = certificate::server(folder)?;
    let (target, receiver) = (Arc::new(target::Target::default()), Arc::new(receiver::Receiver::default()));
    let (plain, plain_port) = listen()?;
    let (secure, tls_port) = listen()?;
    let (inbox, receiver_port) = listen()?;
    let serving = Arc::clone(&target);
    on_a_thread("target", async move {
        tokio::join!(target::plain(&serving, plain), target::tls(&serving, secure, tls));
    })?;
    let serving = Arc::clone(&receiver);
    on_a_thread("receiver", async move { receiver::receive(&serving, inbox).await })?;
    say(&Ports { plain: plain_port, tls: tls_port, receiver: receiver_port })?;
    for line in std::io::stdin().lines() {
        match serde_json::from_str(&line?)? {
            Order::Target(mood) => say(&target.be(mood))?,
            Order::Receiver(mood) => say(&receiver.be(mood))?,
            Order::Forget => {
                target.forget();
                say(&receiver.forget())?;
            }
            Order::Count => say(&Counts { target: target.counts(), receiver: receiver.counts() })?,
            Order::Tell => {
                let (arrivals, truths) = target.tale();
                say(&Tale { arrivals, seen: receiver.tale(), truths })?;
            }
        }
    }
    Ok(())
}

fn say(what: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(what)?);
    Ok(std::io::stdout().flush()?)
}

/// Runs on one thread, as long as the process lives.
fn on_a_thread(name: &str, work: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(work))?;
    Ok(())
}

/// Sockets of both families that `localhost` may lead to, at a port that the kernel chose.
fn listen() -> Result<(Vec<std::net::TcpListener>, u16)> {
    let first = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = first.local_addr()?.port();
    let second = std::net::TcpListener::bind(("::1", port));
    Ok((std::iter::once(first).chain(second).collect(), port))
}

/// The same where they are used.
fn to_tokio(sockets: Vec<std::net::TcpListener>) -> Vec<TcpListener> {
    let ready = sockets.into_iter().filter_map(|socket| {
        socket.set_nonblocking(true).ok()?;
        TcpListener::from_std(socket).ok()
    });
    ready.collect()
}
