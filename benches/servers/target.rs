//! The target. It responds by path: `/t/N` at once, `/wait/MS/N` after a delay, `/body/MS/N` with a delay in the middle
//! of the body, and the three steps of `/chain/`, each of which requires a value from the step before. It records the
//! actual length of each delay.

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

use super::http1::{self, Request, write_response};
use super::to_tokio;
use crate::process::monotonic_ns;

/// The way that the target responds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    #[default]
    Healthy,
    /// Withholds responses until the mode changes.
    Hold,
    /// Resets each connection as soon as it is accepted.
    ResetConnections,
    /// Responds with 500.
    Fail,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Counts {
    pub connections: u64,
    pub requests: u64,
    /// Chains that were completed.
    pub chains: u64,
    /// Requests whose response is withheld.
    pub held: u64,
    /// Failed TLS handshakes, and requests that no probe should send.
    pub invalid: u64,
    /// The time of the first connection, by [`monotonic_ns`].
    pub first_connection: Option<u64>,
}

/// The delays that the target made for a request, in milliseconds: before the first byte of the response, and from
/// there to the last.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Delays {
    pub wait: f64,
    pub receive: f64,
}

/// The number in the path, and the time of the request by [`monotonic_ns`].
pub type Arrival = (u32, u64);

#[derive(Default)]
pub struct Target {
    mode: watch::Sender<Mode>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    counts: Counts,
    arrivals: Vec<Arrival>,
    delays: HashMap<String, Delays>,
}

impl Target {
    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub fn reset(&self) {
        let mut state = self.lock_state();
        // The responses to these requests are still withheld.
        let held = state.counts.held;
        *state = State { counts: Counts { held, ..Counts::default() }, ..State::default() };
    }

    pub fn counts(&self) -> Counts {
        self.lock_state().counts.clone()
    }

    pub fn take_events(&self) -> (Vec<Arrival>, Vec<(String, Delays)>) {
        let mut state = self.lock_state();
        (std::mem::take(&mut state.arrivals), state.delays.drain().collect())
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, connection: &TcpStream) -> bool {
        let at = monotonic_ns();
        let mut state = self.lock_state();
        state.counts.connections += 1;
        state.counts.first_connection.get_or_insert(at);
        drop(state);
        let _ = connection.set_nodelay(true);
        let admitted = *self.mode.borrow() != Mode::ResetConnections;
        if !admitted {
            let _ = connection.set_zero_linger();
        }
        admitted
    }

    async fn hold(&self) {
        self.lock_state().counts.held += 1;
        let _ = self.mode.subscribe().wait_for(|mode| *mode != Mode::Hold).await;
        self.lock_state().counts.held -= 1;
    }
}

pub async fn serve_plain(target: &Arc<Target>, sockets: Vec<Socket>) {
    accept_connections(sockets, |connection| {
        let target = Arc::clone(target);
        if target.admit(&connection) {
            tokio::spawn(async move { serve_connection(&target, connection).await });
        }
    })
    .await;
}

pub async fn serve_tls(target: &Arc<Target>, sockets: Vec<Socket>, config: Arc<ServerConfig>) {
    let acceptor = TlsAcceptor::from(config);
    accept_connections(sockets, |connection| {
        let (target, acceptor) = (Arc::clone(target), acceptor.clone());
        if target.admit(&connection) {
            tokio::spawn(async move {
                match acceptor.accept(connection).await {
                    Ok(connection) => serve_connection(&target, connection).await,
                    Err(_) => target.lock_state().counts.invalid += 1,
                }
            });
        }
    })
    .await;
}

/// Accepts connections on all sockets, and passes each to `serve`. Does not return, unless there are no sockets.
pub async fn accept_connections(sockets: Vec<Socket>, serve: impl Fn(TcpStream)) {
    let accept = async |socket: TcpListener| {
        loop {
            match socket.accept().await {
                Ok((connection, _)) => serve(connection),
                // Most likely too many files are open: accepting can succeed when some are closed.
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

async fn serve_connection(target: &Target, mut connection: impl AsyncRead + AsyncWrite + Unpin) {
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = http1::read_request(&mut connection, &mut buffer).await {
        if respond(target, &request, &mut connection).await.is_err() {
            return;
        }
    }
}

async fn respond(target: &Target, request: &Request, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let received = monotonic_ns();
    let (path, query) = request.path.split_once('?').unwrap_or((&request.path, ""));
    let parts: Vec<_> = path.trim_start_matches('/').split('/').collect();
    let number = |text: &str| text.parse().unwrap_or(u32::MAX);
    let arrived = match parts[..] {
        ["t", n] | ["wait" | "body", _, n] => Some(number(n)),
        ["chain", "me"] => Some(0),
        _ => None,
    };
    {
        let mut state = target.lock_state();
        state.counts.requests += 1;
        state.arrivals.extend(arrived.map(|n| (n, received)));
    }
    let mode = *target.mode.borrow();
    match mode {
        Mode::Hold => target.hold().await,
        Mode::Fail => return write_response(to, "500 Internal Server Error", "no").await,
        Mode::Healthy | Mode::ResetConnections => {}
    }
    match parts[..] {
        ["t", _] => write_response(to, "200 OK", "ok").await,
        ["wait", delay, _] => {
            tokio::time::sleep(Duration::from_millis(number(delay).into())).await;
            let begun = monotonic_ns();
            write_response(to, "200 OK", "ok").await?;
            record_delays(target, request, received, begun, begun);
            Ok(())
        }
        ["body", delay, _] => {
            let begun = monotonic_ns();
            to.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no").await?;
            to.flush().await?;
            tokio::time::sleep(Duration::from_millis(number(delay).into())).await;
            let ended = monotonic_ns();
            to.write_all(b"k").await?;
            to.flush().await?;
            record_delays(target, request, received, begun, ended);
            Ok(())
        }
        ["chain", step] => match chain_response(step, query, &request.body) {
            Some(body) => {
                target.lock_state().counts.chains += u64::from(step == "me");
                write_response(to, "200 OK\r\ncontent-type: application/json", &body.to_string()).await
            }
            None => reject(target, to).await,
        },
        _ => reject(target, to).await,
    }
}

fn record_delays(target: &Target, request: &Request, received: u64, begun: u64, ended: u64) {
    let milliseconds = |from: u64, to: u64| (to - from) as f64 / 1e6;
    if let Some(trace) = &request.trace {
        let delays = Delays { wait: milliseconds(received, begun), receive: milliseconds(begun, ended) };
        target.lock_state().delays.insert(trace.clone(), delays);
    }
}

/// Returns the response of one step: a session for the user, a token for the session, or the token's user. Returns
/// `None` if the request does not have what the step requires.
fn chain_response(step: &str, query: &str, body: &[u8]) -> Option<Value> {
    let given: Value = serde_json::from_slice(body).unwrap_or_default();
    let is = |key: &str, start: &str| given[key].as_str().is_some_and(|value| value.starts_with(start));
    match step {
        "login" if is("user", "probe") => Some(json!({ "data": { "session": format!("s-{}", monotonic_ns()) } })),
        "token" if is("session", "s-") => {
            Some(json!({ "status": "ok", "auth": [{ "token": format!("t-{}", monotonic_ns()) }] }))
        }
        "me" if query.contains("token=t-") => Some(json!({ "status": "ok", "user": "probe" })),
        _ => None,
    }
}

async fn reject(target: &Target, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    target.lock_state().counts.invalid += 1;
    write_response(to, "401 Unauthorized", "{}").await
}
