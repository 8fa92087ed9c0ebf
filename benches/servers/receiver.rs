//! A receiver that accepts envelopes as Sentry does. It records from them whether each run came once, how late it
//! started, and how long its phases were.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::net::TcpListener as Socket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::http1::{self, write_response};
use super::target::accept_connections;
use crate::process::monotonic_ns;

/// The way that the receiver responds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mode {
    #[default]
    Healthy,
    /// Responds with 429 and `retry-after: 5`.
    RateLimit,
    /// Resets every connection.
    Down,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Counts {
    pub envelopes: u64,
    /// Transactions, each of which counts once however often it came.
    pub transactions: u64,
    /// Transactions that came again.
    pub duplicates: u64,
    /// Transactions of runs that did not pass.
    pub failed: u64,
    pub spans: u64,
    pub bytes: u64,
    /// Envelopes that cannot be parsed.
    pub unreadable: u64,
    /// Events that the sender reports as discarded in its client reports, by reason and category.
    pub discarded: BTreeMap<String, u64>,
}

/// A transaction that was received.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReceivedTransaction {
    /// The time of its arrival, by [`monotonic_ns`].
    pub at: u64,
    pub trace: String,
    /// The title of the probe.
    pub title: String,
    pub passed: bool,
    /// The lateness of the run's start that the host recorded, in milliseconds.
    pub lateness: Option<f64>,
    /// Durations of phases that the host recorded, in milliseconds.
    pub wait: Option<f64>,
    pub receive: Option<f64>,
}

#[derive(Default)]
pub struct Receiver {
    mode: watch::Sender<Mode>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    counts: Counts,
    /// Ids of events, as numbers to save memory.
    ids: HashSet<u128>,
    transactions: Vec<ReceivedTransaction>,
}

impl Receiver {
    pub fn set_mode(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    pub fn reset(&self) {
        *self.lock_state() = State::default();
    }

    pub fn counts(&self) -> Counts {
        self.lock_state().counts.clone()
    }

    pub fn take_transactions(&self) -> Vec<ReceivedTransaction> {
        std::mem::take(&mut self.lock_state().transactions)
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub async fn serve(receiver: &Arc<Receiver>, sockets: Vec<Socket>) {
    accept_connections(sockets, |connection| {
        let receiver = Arc::clone(receiver);
        tokio::spawn(async move { serve_connection(&receiver, connection).await });
    })
    .await;
}

async fn serve_connection(receiver: &Receiver, mut connection: TcpStream) {
    let _ = connection.set_nodelay(true);
    let mut buffer = Vec::new();
    let mut mode = receiver.mode.subscribe();
    loop {
        let request = tokio::select! {
            biased;
            _ = mode.wait_for(|mode| *mode == Mode::Down) => {
                let _ = connection.set_zero_linger();
                return;
            }
            request = http1::read_request(&mut connection, &mut buffer) => request,
        };
        let Ok(Some(request)) = request else { return };
        let written = if *mode.borrow() == Mode::RateLimit {
            write_response(&mut connection, "429 Too Many Requests\r\nretry-after: 5", "{}").await
        } else {
            record_envelope(receiver, &request);
            write_response(&mut connection, "200 OK", "{}").await
        };
        if written.is_err() {
            return;
        }
    }
}

fn record_envelope(receiver: &Receiver, request: &http1::Request) {
    let at = monotonic_ns();
    let mut body = Vec::new();
    let unpacked = if request.gzipped {
        GzDecoder::new(&*request.body).read_to_end(&mut body).ok().map(|_| &*body)
    } else {
        Some(&*request.body)
    };
    let mut state = receiver.lock_state();
    state.counts.envelopes += 1;
    state.counts.bytes += request.body.len() as u64;
    if unpacked.and_then(|envelope| record_items(envelope, at, &mut state)).is_none() {
        state.counts.unreadable += 1;
    }
}

/// The header of an item.
#[derive(Deserialize)]
struct Header<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    length: Option<usize>,
}

#[derive(Deserialize)]
struct Transaction<'a> {
    #[serde(borrow)]
    event_id: Cow<'a, str>,
    #[serde(rename = "transaction")]
    title: String,
    contexts: Contexts<'a>,
    #[serde(borrow)]
    spans: Vec<Span<'a>>,
}

#[derive(Deserialize)]
struct Contexts<'a> {
    #[serde(borrow)]
    trace: Root<'a>,
}

#[derive(Deserialize)]
struct Root<'a> {
    trace_id: String,
    #[serde(borrow)]
    status: Option<Cow<'a, str>>,
    #[serde(default)]
    data: Data,
}

#[derive(Deserialize, Default)]
struct Data {
    #[serde(rename = "sentrynet.lateness_ms")]
    lateness: Option<f64>,
}

#[derive(Deserialize)]
struct Span<'a> {
    #[serde(borrow)]
    op: Cow<'a, str>,
    start_timestamp: f64,
    timestamp: f64,
}

#[derive(Deserialize)]
struct Report<'a> {
    #[serde(borrow)]
    discarded_events: Vec<Discarded<'a>>,
}

#[derive(Deserialize)]
struct Discarded<'a> {
    #[serde(borrow)]
    reason: Cow<'a, str>,
    #[serde(borrow)]
    category: Cow<'a, str>,
    quantity: u64,
}

/// Records an envelope's items. Returns `None` if the envelope is malformed.
fn record_items(envelope: &[u8], at: u64, state: &mut State) -> Option<()> {
    let mut rest = envelope;
    let _header = take_line(&mut rest);
    while !rest.is_empty() {
        let header: Header = serde_json::from_slice(take_line(&mut rest)).ok()?;
        let payload = match header.length {
            Some(length) => rest.split_off(..length)?,
            None => take_line(&mut rest),
        };
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        match &*header.r#type {
            "transaction" => record_transaction(&serde_json::from_slice(payload).ok()?, at, state)?,
            "client_report" => {
                let report: Report = serde_json::from_slice(payload).ok()?;
                for Discarded { reason, category, quantity } in report.discarded_events {
                    *state.counts.discarded.entry(format!("{reason} {category}")).or_default() += quantity;
                }
            }
            _ => {}
        }
    }
    Some(())
}

fn record_transaction(transaction: &Transaction, at: u64, state: &mut State) -> Option<()> {
    let id = u128::from_str_radix(&transaction.event_id, 16).ok()?;
    if !state.ids.insert(id) {
        state.counts.duplicates += 1;
        return Some(());
    }
    let root = &transaction.contexts.trace;
    let passed = root.status.as_deref() == Some("ok");
    state.counts.transactions += 1;
    state.counts.failed += u64::from(!passed);
    state.counts.spans += transaction.spans.len() as u64;
    let phase = |op: &str| {
        let span = transaction.spans.iter().find(|span| span.op == op)?;
        Some((span.timestamp - span.start_timestamp) * 1e3)
    };
    state.transactions.push(ReceivedTransaction {
        at,
        trace: root.trace_id.clone(),
        title: transaction.title.clone(),
        passed,
        lateness: root.data.lateness,
        wait: phase("http.client.wait"),
        receive: phase("http.client.receive"),
    });
    Some(())
}

fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let line = &rest[..end];
    *rest = rest.get(end + 1..).unwrap_or_default();
    line
}
