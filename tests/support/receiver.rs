//! A receiver of envelopes that keeps the bytes, to look at them as they are.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{eventually, slow};

/// What one request brought.
#[derive(Clone)]
pub struct Received {
    pub at: Instant,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub envelope: Vec<u8>,
}

/// A receiver on loopback. Ends with the process.
pub struct Receiver {
    pub port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

/// What is said to the request of this number, from 0 on: an answer from its status line on. After one that is not whole
/// the connection is cut.
type Says = dyn Fn(usize, &Received) -> String + Send + Sync;

/// The answer of one that takes what it gets.
pub const TAKEN: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

impl Receiver {
    pub fn start() -> Self {
        Self::saying(|_, _| TAKEN.to_owned())
    }

    /// Keeps what it got all the same; to be slow, it may sleep.
    pub fn saying(says: impl Fn(usize, &Received) -> String + Send + Sync + 'static) -> Self {
        Self::at(0, says)
    }

    /// At a port that is free, or at any if that is 0.
    pub fn at(port: u16, says: impl Fn(usize, &Received) -> String + Send + Sync + 'static) -> Self {
        let (received, says): (_, Arc<Says>) = (Arc::default(), Arc::new(says));
        let inbox = Arc::clone(&received);
        let port = slow::listen_at(port, move |connection| serve(connection, &inbox, &*says));
        Self { port, received }
    }

    pub fn dsn(&self) -> String {
        format!("http://key@127.0.0.1:{}/1", self.port)
    }

    pub fn count(&self) -> usize {
        self.received.lock().expect("no test panics here").len()
    }

    /// What has come so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().expect("no test panics here").clone()
    }

    /// Waits for so many envelopes.
    #[track_caller]
    pub fn wait(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} envelopes"), || (self.count() >= count).then(|| self.received()))
    }
}

impl Received {
    /// The id of the event that it brought; none of a client report.
    pub fn event_id(&self) -> Option<String> {
        Some(self.open().0["event_id"].as_str()?.to_owned())
    }

    /// The type of its one item.
    pub fn kind(&self) -> String {
        let (_, items) = self.open();
        assert_eq!(items.len(), 1);
        items[0].0["type"].as_str().expect("an item has a type").to_owned()
    }

    /// The envelope's header, and its items with theirs.
    pub fn open(&self) -> (Value, Vec<(Value, Value)>) {
        let mut rest = self.envelope.as_slice();
        let header = line(&mut rest);
        let mut items = Vec::new();
        while !rest.is_empty() {
            let head = line(&mut rest);
            let length = head["length"].as_u64().expect("an item gives its length");
            let (payload, after) = rest.split_at(usize::try_from(length).expect("a length fits"));
            items.push((head, serde_json::from_slice(payload).expect("an item is JSON")));
            rest = after.strip_prefix(b"\n").unwrap_or(after);
        }
        (header, items)
    }
}

fn line(rest: &mut &[u8]) -> Value {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let value = serde_json::from_slice(&rest[..end]).expect("a header is JSON");
    *rest = rest.get(end + 1..).unwrap_or_default();
    value
}

fn serve(connection: TcpStream, inbox: &Mutex<Vec<Received>>, says: &Says) {
    let Ok(mut writer) = connection.try_clone() else { return };
    let mut reader = BufReader::new(connection);
    loop {
        let mut first = String::new();
        if !matches!(reader.read_line(&mut first), Ok(1..)) {
            return;
        }
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).is_err() {
                return;
            }
            let Some((name, value)) = line.trim().split_once(':') else { break };
            headers.insert(name.to_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        let mut envelope = Vec::new();
        if headers.get("content-encoding").is_some_and(|encoding| encoding == "gzip") {
            GzDecoder::new(body.as_slice()).read_to_end(&mut envelope).expect("the body is gzip, as it says");
        } else {
            envelope = body;
        }
        let received = Received { at: Instant::now(), path, headers, envelope };
        let number = {
            let mut inbox = inbox.lock().expect("no test panics here");
            inbox.push(received.clone());
            inbox.len() - 1
        };
        let answer = says(number, &received);
        let whole = answer.ends_with("\r\n\r\n") || answer.ends_with("{}");
        if writer.write_all(answer.as_bytes()).is_err() || !whole {
            return;
        }
    }
}
