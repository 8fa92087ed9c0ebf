//! The target. By path it answers `/t/N` at once, `/wait/MS/N` late, `/body/MS/N` with a body in two pieces, and the
//! three steps of `/chain/`, which want what the step before gave. Of each delay it notes what it really was.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener as Socket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::ServerConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::to_tokio;
use super::wire::{self, Request, answer};
use crate::process::now;

/// How it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mood {
    #[default]
    Well,
    /// Not before the mood changes.
    Hold,
    /// With a reset, as soon as somebody connects.
    Reset,
    /// With 500.
    Fail,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Counts {
    pub connections: u64,
    pub requests: u64,
    /// Chains that came to their end.
    pub chains: u64,
    /// Requests that wait for the mood to change.
    pub held: u64,
    /// Handshakes that failed, and requests that nobody should send.
    pub wrong: u64,
    /// When the first connection came.
    pub first: Option<u64>,
}

/// The delays that a request really met, in milliseconds: before the answer's first byte, and from there to the last.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Truth {
    pub wait: f64,
    pub receive: f64,
}

/// Which path's number, and when.
pub type Arrival = (u32, u64);

#[derive(Default)]
pub struct Target {
    mood: watch::Sender<Mood>,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    counts: Counts,
    arrivals: Vec<Arrival>,
    truths: HashMap<String, Truth>,
}

impl Target {
    pub fn be(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    pub fn forget(&self) {
        let mut noted = self.noted();
        // Those are held still.
        let held = noted.counts.held;
        *noted = Noted { counts: Counts { held, ..Counts::default() }, ..Noted::default() };
    }

    pub fn counts(&self) -> Counts {
        self.noted().counts.clone()
    }

    pub fn tale(&self) -> (Vec<Arrival>, Vec<(String, Truth)>) {
        let mut noted = self.noted();
        (std::mem::take(&mut noted.arrivals), noted.truths.drain().collect())
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accepted(&self, connection: &TcpStream) -> bool {
        let at = now();
        let mut noted = self.noted();
        noted.counts.connections += 1;
        noted.counts.first.get_or_insert(at);
        drop(noted);
        let _ = connection.set_nodelay(true);
        let well = *self.mood.borrow() != Mood::Reset;
        if !well {
            let _ = connection.set_zero_linger();
        }
        well
    }

    async fn hold(&self) {
        self.noted().counts.held += 1;
        let _ = self.mood.subscribe().wait_for(|mood| *mood != Mood::Hold).await;
        self.noted().counts.held -= 1;
    }
}

pub async fn plain(target: &Arc<Target>, sockets: Vec<Socket>) {
    each(sockets, |connection| {
        let target = Arc::clone(target);
        if target.accepted(&connection) {
            tokio::spawn(async move { converse(&target, connection).await });
        }
    })
    .await;
}

pub async fn tls(target: &Arc<Target>, sockets: Vec<Socket>, config: Arc<ServerConfig>) {
    let acceptor = TlsAcceptor::from(config);
    each(sockets, |connection| {
        let (target, acceptor) = (Arc::clone(target), acceptor.clone());
        if target.accepted(&connection) {
            tokio::spawn(async move {
                match acceptor.accept(connection).await {
                    Ok(connection) => converse(&target, connection).await,
                    Err(_) => target.noted().counts.wrong += 1,
                }
            });
        }
    })
    .await;
}

/// Accepts for ever.
pub async fn each(sockets: Vec<Socket>, then: impl Fn(TcpStream)) {
    let accept = async |socket: TcpListener| {
        loop {
            match socket.accept().await {
                Ok((connection, _)) => then(connection),
                // Too many files: some will be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let mut sockets = to_tokio(sockets).into_iter();
    match (sockets.next(), sockets.next()) {
        (Some(one), Some(other)) => tokio::join!(accept(one), accept(other)).0,
        (Some(one), None) | (None, Some(one)) => accept(one).await,
        (None, None) => {}
    }
}

async fn converse(target: &Target, mut connection: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = wire::read(&mut connection, &mut buffer).await {
        if respond(target, &request, &mut connection).await.is_err() {
            return;
        }
    }
}

async fn respond(target: &Target, request: &Request, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let came = now();
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let number = |text: &str| text.parse().unwrap_or(u32::MAX);
    let arrived = match parts[..] {
        ["t", n] | ["wait" | "body", _, n] => Some(number(n)),
        ["chain", "me"] => Some(0),
        _ => None,
    };
    {
        let mut noted = target.noted();
        noted.counts.requests += 1;
        noted.arrivals.extend(arrived.map(|n| (n, came)));
    }
    let mood = *target.mood.borrow();
    match mood {
        Mood::Hold => target.hold().await,
        Mood::Fail => return answer(to, "500 Internal Server Error", "no").await,
        Mood::Well | Mood::Reset => {}
    }
    match parts[..] {
        ["t", _] => answer(to, "200 OK", "ok").await,
        ["wait", delay, _] => {
            tokio::time::sleep(Duration::from_millis(number(delay).into())).await;
            let begun = now();
            answer(to, "200 OK", "ok").await?;
            note(target, request, came, begun, begun);
            Ok(())
        }
        ["body", delay, _] => {
            let begun = now();
            to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no").await?;
            to.flush().await?;
            tokio::time::sleep(Duration::from_millis(number(delay).into())).await;
            let ended = now();
            to.write_all(b"k").await?;
            to.flush().await?;
            note(target, request, came, begun, ended);
            Ok(())
        }
        ["chain", step] => match chain(step, query, &request.body) {
            Some(body) => {
                target.noted().counts.chains += u64::from(step == "me");
                answer(to, "200 OK\r\ncontent-type: application/json", &body.to_string()).await
            }
            None => wrong(target, to).await,
        },
        _ => wrong(target, to).await,
    }
}

fn note(target: &Target, request: &Request, came: u64, begun: u64, ended: u64) {
    let milliseconds = |from: u64, to: u64| (to - from) as f64 / 1e6;
    if let Some(trace) = &request.trace {
        let truth = Truth { wait: milliseconds(came, begun), receive: milliseconds(begun, ended) };
        target.noted().truths.insert(trace.clone(), truth);
    }
}

/// Logs in, gives a token for the session, and says who has the token.
fn chain(step: &str, query: &str, body: &[u8]) -> Option<Value> {
    let given: Value = serde_json::from_slice(body).unwrap_or_default();
    let is = |key: &str, start: &str| given[key].as_str().is_some_and(|value| value.starts_with(start));
    match step {
        "login" if is("user", "probe") => Some(json!({ "data": { "session": format!("s-{}", now()) } })),
        "token" if is("session", "s-") => {
            Some(json!({ "status": "ok", "auth": [{ "token": format!("t-{}", now()) }] }))
        }
        "me" if query.contains("token=t-") => Some(json!({ "status": "ok", "user": "probe" })),
        _ => None,
    }
}

async fn wrong(target: &Target, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    target.noted().counts.wrong += 1;
    answer(to, "401 Unauthorized", "{}").await
}
