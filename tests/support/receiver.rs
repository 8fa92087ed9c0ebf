//! A receiver of envelopes that keeps the bytes, to look at them as they are.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{eventually, slow};

/// What one request brought.
#[derive(Clone)]
pub struct Received {
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub envelope: Vec<u8>,
}

/// A receiver on loopback. Ends with the process.
pub struct Receiver {
    pub port: u16,
    received: Arc<Mutex<Vec<Received>>>,
}

impl Receiver {
    pub fn start() -> Self {
        let received = Arc::new(Mutex::new(Vec::new()));
        let inbox = Arc::clone(&received);
        let port = slow::listen(move |connection| serve(connection, &inbox));
        Self { port, received }
    }

    /// Waits for so many envelopes.
    #[track_caller]
    pub fn wait(&self, count: usize) -> Vec<Received> {
        eventually(&format!("{count} envelopes"), || {
            let received = self.received.lock().expect("no test panics here");
            (received.len() >= count).then(|| received.clone())
        })
    }
}

impl Received {
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

fn serve(connection: TcpStream, inbox: &Mutex<Vec<Received>>) {
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
        inbox.lock().expect("no test panics here").push(Received { path, headers, envelope });
        let _ = writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
    }
}
