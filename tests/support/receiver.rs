//! A receiver of envelopes, in place of Sentry, that stores them byte for byte.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use flate2::read::GzDecoder;
use serde_json::Value;

use crate::support::{eventually, tcp_server};

/// One request with its envelope, decompressed.
#[derive(Clone)]
pub struct ReceivedEnvelope {
    pub at: Instant,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub envelope: Vec<u8>,
}

/// A receiver on loopback, which stops with the process.
pub struct Receiver {
    pub port: u16,
    received: Arc<Mutex<Vec<ReceivedEnvelope>>>,
}

/// A function that returns the response, from its status line on, to the request of this number, counted from 0. The
/// connection is closed after a response that is not complete.
type Respond = dyn Fn(usize, &ReceivedEnvelope) -> String + Send + Sync;

/// The response to an envelope that is accepted.
pub const ACCEPTED_RESPONSE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

impl Receiver {
    pub fn start() -> Self {
        Self::responding(|_, _| ACCEPTED_RESPONSE.to_owned())
    }

    /// Starts a receiver with these responses. It stores every envelope, whatever it responds. To delay a response,
    /// `respond` may sleep.
    pub fn responding(respond: impl Fn(usize, &ReceivedEnvelope) -> String + Send + Sync + 'static) -> Self {
        Self::responding_at(0, respond)
    }

    /// Starts a receiver at this port, or at any free one if it is 0.
    pub fn responding_at(
        port: u16,
        respond: impl Fn(usize, &ReceivedEnvelope) -> String + Send + Sync + 'static,
    ) -> Self {
        let (received, respond): (_, Arc<Respond>) = (Arc::default(), Arc::new(respond));
        let stored = Arc::clone(&received);
        let port = tcp_server::listen_on(port, move |connection| serve_connection(connection, &stored, &*respond));
        Self { port, received }
    }

    pub fn dsn(&self) -> String {
        format!("http://key@127.0.0.1:{}/1", self.port)
    }

    pub fn count(&self) -> usize {
        self.received.lock().expect("no test panics here").len()
    }

    /// Returns the envelopes so far.
    pub fn received(&self) -> Vec<ReceivedEnvelope> {
        self.received.lock().expect("no test panics here").clone()
    }

    /// Waits for at least this many envelopes, and returns all that have come.
    #[track_caller]
    pub fn wait_for_envelopes(&self, count: usize) -> Vec<ReceivedEnvelope> {
        eventually(&format!("{count} envelopes"), || (self.count() >= count).then(|| self.received()))
    }

    /// Waits for at least this many envelopes. Returns the payloads of this type among all that have come.
    #[track_caller]
    pub fn wait_for_payloads(&self, count: usize, item_type: &str) -> Vec<Value> {
        let items = self.wait_for_envelopes(count).into_iter().flat_map(|received| received.parse_envelope().1);
        items.filter(|(header, _)| header["type"] == item_type).map(|(_, payload)| payload).collect()
    }
}

impl ReceivedEnvelope {
    /// Returns the id of the event, or `None` if the envelope has none, such as a client report.
    pub fn event_id(&self) -> Option<String> {
        Some(self.parse_envelope().0["event_id"].as_str()?.to_owned())
    }

    /// Returns the type of the only item.
    pub fn item_type(&self) -> String {
        let (_, items) = self.parse_envelope();
        assert_eq!(items.len(), 1);
        items[0].0["type"].as_str().expect("an item has a type").to_owned()
    }

    /// Parses the envelope. Returns its header, and the header and payload of each item.
    pub fn parse_envelope(&self) -> (Value, Vec<(Value, Value)>) {
        let mut rest = self.envelope.as_slice();
        let header = take_json_line(&mut rest);
        let mut items = Vec::new();
        while !rest.is_empty() {
            let head = take_json_line(&mut rest);
            let length = head["length"].as_u64().expect("the header of an item has a length");
            let (payload, after) = rest.split_at(usize::try_from(length).expect("the length fits in usize"));
            items.push((head, serde_json::from_slice(payload).expect("an item is JSON")));
            rest = after.strip_prefix(b"\n").unwrap_or(after);
        }
        (header, items)
    }
}

fn take_json_line(rest: &mut &[u8]) -> Value {
    let end = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    let value = serde_json::from_slice(&rest[..end]).expect("a header is JSON");
    *rest = rest.get(end + 1..).unwrap_or_default();
    value
}

fn serve_connection(connection: TcpStream, stored: &Mutex<Vec<ReceivedEnvelope>>, respond: &Respond) {
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
            GzDecoder::new(body.as_slice()).read_to_end(&mut envelope).expect("the body is gzip, as its header says");
        } else {
            envelope = body;
        }
        let received = ReceivedEnvelope { at: Instant::now(), path, headers, envelope };
        let number = {
            let mut stored = stored.lock().expect("no test panics here");
            stored.push(received.clone());
            stored.len() - 1
        };
        let response = respond(number, &received);
        let is_complete = response.ends_with("\r\n\r\n") || response.ends_with("{}");
        if writer.write_all(response.as_bytes()).is_err() || !is_complete {
            return;
        }
    }
}
