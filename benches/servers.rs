//! The servers that probes talk to, in one process of their own: a target, with and without TLS (no resumption), and a
//! receiver in place of Sentry, each on one thread. They record when connections and requests came, and are controlled
//! by lines of JSON on standard input. Their own cost is not measured. It is small, so that
//! the machine is free for the process that is measured.

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
mod http1;

pub use receiver::ReceivedTransaction;
pub use target::{Arrival, Delays};

/// The subcommand that serves; its argument is the folder to write the authority's certificate to.
pub const SUBCOMMAND: &str = "serve";

/// A handle to the servers' process, which is killed when the value is dropped.
pub struct Servers {
    pub ports: Ports,
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Ports {
    pub plain: u16,
    pub tls: u16,
    pub receiver: u16,
}

/// A message to the servers, as one line of JSON. Each is answered with one line.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum ControlMessage {
    SetTargetMode(target::Mode),
    SetReceiverMode(receiver::Mode),
    /// Resets counts and events.
    Reset,
    GetCounts,
    TakeEvents,
}

/// The counts since the last reset.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Counts {
    pub target: target::Counts,
    pub receiver: receiver::Counts,
}

/// The single events since the last request for them, or the last reset.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Events {
    pub arrivals: Vec<Arrival>,
    pub transactions: Vec<ReceivedTransaction>,
    /// The delays that the target made, by trace id.
    pub delays: Vec<(String, Delays)>,
}

impl Servers {
    /// Starts the servers. The authority's certificate is written to `folder`, as [`certificate::AUTHORITY_FILE`].
    pub fn start(folder: &Path) -> Result<Self> {
        let mut command = process::benchmark_command(SUBCOMMAND);
        command.arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = Child::start(command, folder.join("servers.log"))?;
        let (stdin, stdout) = child.pipes().context("the servers have no pipes")?;
        let mut stdout = BufReader::new(stdout);
        let ports = read_line(&mut stdout).or_else(|error| child.ensure_running().and(Err(error)))?;
        Ok(Self { ports, child, stdin, stdout })
    }

    pub fn pid(&self) -> Pid {
        self.child.pid()
    }

    pub fn dsn(&self) -> String {
        format!("http://key@127.0.0.1:{}/42", self.ports.receiver)
    }

    pub fn set_target_mode(&mut self, mode: target::Mode) -> Result<()> {
        self.send(ControlMessage::SetTargetMode(mode))
    }

    pub fn set_receiver_mode(&mut self, mode: receiver::Mode) -> Result<()> {
        self.send(ControlMessage::SetReceiverMode(mode))
    }

    pub fn reset_counts(&mut self) -> Result<()> {
        self.send(ControlMessage::Reset)
    }

    pub fn counts(&mut self) -> Result<Counts> {
        self.send(ControlMessage::GetCounts)
    }

    pub fn take_events(&mut self) -> Result<Events> {
        self.send(ControlMessage::TakeEvents)
    }

    fn send<T: for<'a> Deserialize<'a>>(&mut self, message: ControlMessage) -> Result<T> {
        writeln!(self.stdin, "{}", serde_json::to_string(&message)?).context("the servers have ended")?;
        read_line(&mut self.stdout)
    }
}

fn read_line<T: for<'a> Deserialize<'a>>(from: &mut impl BufRead) -> Result<T> {
    let mut line = String::new();
    from.read_line(&mut line)?;
    serde_json::from_str(&line).with_context(|| format!("cannot parse the servers' output `{}`", line.trim()))
}

/// Serves, and responds to control messages, until standard input ends.
pub fn serve(folder: &Path) -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let tls = certificate::create_server_config(folder)?;
    let (target, receiver) = (Arc::new(target::Target::default()), Arc::new(receiver::Receiver::default()));
    let (plain, plain_port) = listen()?;
    let (secure, tls_port) = listen()?;
    let (receiver_sockets, receiver_port) = listen()?;
    let served = Arc::clone(&target);
    spawn_server_thread("target", async move {
        tokio::join!(target::serve_plain(&served, plain), target::serve_tls(&served, secure, tls));
    })?;
    let served = Arc::clone(&receiver);
    spawn_server_thread("receiver", async move { receiver::serve(&served, receiver_sockets).await })?;
    respond(&Ports { plain: plain_port, tls: tls_port, receiver: receiver_port })?;
    for line in std::io::stdin().lines() {
        match serde_json::from_str(&line?)? {
            ControlMessage::SetTargetMode(mode) => respond(&target.set_mode(mode))?,
            ControlMessage::SetReceiverMode(mode) => respond(&receiver.set_mode(mode))?,
            ControlMessage::Reset => {
                target.reset();
                respond(&receiver.reset())?;
            }
            ControlMessage::GetCounts => respond(&Counts { target: target.counts(), receiver: receiver.counts() })?,
            ControlMessage::TakeEvents => {
                let (arrivals, delays) = target.take_events();
                respond(&Events { arrivals, transactions: receiver.take_transactions(), delays })?;
            }
        }
    }
    Ok(())
}

fn respond(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(value)?);
    Ok(std::io::stdout().flush()?)
}

/// Runs a server on a thread of its own, for as long as the process lives.
fn spawn_server_thread(name: &str, server: impl Future<Output = ()> + Send + 'static) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name(name.to_owned()).spawn(move || runtime.block_on(server))?;
    Ok(())
}

/// Listens on both addresses that `localhost` may resolve to, at one port that the kernel chooses.
fn listen() -> Result<(Vec<std::net::TcpListener>, u16)> {
    let first = std::net::TcpListener::bind("127.0.0.1:0")?;
    let port = first.local_addr()?.port();
    let second = std::net::TcpListener::bind(("::1", port));
    Ok((std::iter::once(first).chain(second).collect(), port))
}

/// Converts listeners for use in the current tokio runtime.
fn to_tokio(sockets: Vec<std::net::TcpListener>) -> Vec<TcpListener> {
    let ready = sockets.into_iter().filter_map(|socket| {
        socket.set_nonblocking(true).ok()?;
        TcpListener::from_std(socket).ok()
    });
    ready.collect()
}
