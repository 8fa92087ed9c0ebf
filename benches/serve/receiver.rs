//! The receiver: it takes envelopes as Sentry does, and reads of them what shows that each run came once, how late it
//! started and how long its phases were.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::net::TcpListener as Socket;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::target::each;
use super::wire::{self, answer};
use crate::process::now;

/// How it answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mood {
    #[default]
    Well,
    /// With 429, and not to come again for some seconds.
    Limit,
    /// Not at all: every connection is reset.
    Down,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Counts {
    pub envelopes: u64,
    /// Transactions, each counted once; and those that came again.
    pub transactions: u64,
    pub again: u64,
    /// Of the transactions, those whose run did not pass.
    pub failed: u64,
    pub spans: u64,
    pub bytes: u64,
    /// Envelopes that cannot be read.
    pub wrong: u64,
    /// What the sender says that it has given up, by reason and category.
    pub given_up: BTreeMap<String, u64>,
}

/// One transaction.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    pub at: u64,
    pub trace: String,
    /// Milliseconds that the run started late, as its host says.
    pub lateness: Option<f64>,
    /// Milliseconds of phases, as its host has recorded them.
    pub wait: Option<f64>,
    pub receive: Option<f64>,
}

#[derive(Default)]
pub struct Receiver {
    mood: watch::Sender<Mood>,
    noted: Mutex<Noted>,
}

#[derive(Default)]
struct Noted {
    counts: Counts,
    /// As numbers, since there are many.
    ids: HashSet<u128>,
    seen: Vec<Seen>,
}

impl Receiver {
    pub fn be(&self, mood: Mood) {
        self.mood.send_replace(mood);
    }

    pub fn forget(&self) {
        *self.noted() = Noted::default();
    }

    pub fn counts(&self) -> Counts {
        self.noted().counts.clone()
    }

    pub fn tale(&self) -> Vec<Seen> {
        std::mem::take(&mut self.noted().seen)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub async fn receive(receiver: &Arc<Receiver>, sockets: Vec<Socket>) {
    each(sockets, |connection| {
        let receiver = Arc::clone(receiver);
        tokio::spawn(async move { converse(&receiver, connection).await });
    })
    .await;
}

async fn converse(receiver: &Receiver, mut connection: TcpStream) {
    let _ = connection.set_nodelay(true);
    let mut buffer = Vec::new();
    let mut mood = receiver.mood.subscribe();
    loop {
        let request = tokio::select! {
            biased;
            _ = mood.wait_for(|mood| *mood == Mood::Down) => {
                let _ = connection.set_zero_linger();
                return;
            }
            request = wire::read(&mut connection, &mut buffer) => request,
        };
        let Ok(Some(request)) = request else { return };
        let answered = if *mood.borrow() == Mood::Limit {
            answer(&mut connection, "429 Too Many Requests\r\nretry-after: 5", "{}").await
        } else {
            take(receiver, &request);
            answer(&mut connection, "200 OK", "{}").await
        };
        if answered.is_err() {
            return;
        }
    }
}

fn take(receiver: &Receiver, request: &wire::Request) {
    let at = now();
    let mut body = Vec::new();
    let unpacked = if request.gzipped {
        GzDecoder::new(&*request.body).read_to_end(&mut body).ok().map(|_| &*body)
    } else {
        Some(&*request.body)
    };
    let mut noted = receiver.noted();
    noted.counts.envelopes += 1;
    noted.counts.bytes += request.body.len() as u64;
    if unpacked.and_then(|envelope| items(envelope, at, &mut noted)).is_none() {
        noted.counts.wrong += 1;
    }
}

/// What an item says of itself.
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

/// Reads an envelope's items; none when it is no envelope.
fn items(envelope: &[u8], at: u64, noted: &mut Noted) -> Option<()> {
    let mut rest = envelope;
    let _header = line(&mut rest);
    while !rest.is_empty() {
        let header: Header = serde_json::from_slice(line(&mut rest)).ok()?;
        let payload = match header.length {
            Some(length) => rest.split_off(..length)?,
            None => line(&mut rest),
        };
        rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        match &*header.r#type {
            "transaction" => transaction(&serde_json::from_slice(payload).ok()?, at, noted)?,
            "client_report" => {
                let report: Report = serde_json::from_slice(payload).ok()?;
                for Discarded { reason, category, quantity } in report.discarded_events {
                    *noted.counts.given_up.entry(format!("{reason} {category}")).or_default() += quantity;
                }
            }
            _ => {}
        }
    }
    Some(())
}

fn transaction(transaction: &Transaction, at: u64, noted: &mut Noted) -> Option<()> {
    let id = u128::from_str_radix(&transaction.event_id, 16).ok()?;
    if !noted.ids.insert(id) {
        noted.counts.again += 1;
        return Some(());
    }
    let root = &transaction.contexts.trace;
    noted.counts.transactions += 1;
    noted.counts.failed += u64::from(root.status.as_deref() != Some("ok"));
    noted.counts.spans += transaction.spans.len() as u64;
    let phase = |op: &str| {
        let span = transaction.spans.iter().find(|span| span.op == op)?;
        Some((span.timestamp - span.start_timestamp) * 1e3)
    };
    noted.seen.push(Seen {
        at,
        trace: root.trace_id.clone(),
        lateness: root.data.lateness,
        wait: phase("http.client.wait"),
        receive: phase("http.client.receive"),
    });
    Some(())
}

fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let line = &rest[..end];
    *rest = rest.get(end + 1..).unwrap_or_default();
    line
}
