//! Bytes as they stand in a recording, and the pieces of a stream together.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Call, Entry};

/// Text as it is, and what is none in base64.
pub fn bytes_to_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// The same backwards; none where it is nothing of the kind.
pub fn bytes_from_json(value: &Value) -> Option<Vec<u8>> {
    match (value["text"].as_str(), value["base64"].as_str()) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (None, Some(text)) => STANDARD.decode(text).ok(),
        (None, None) => None,
    }
}

/// What the guest has read of a stream, or written to it.
pub struct ByteStream<'a> {
    pub read: bool,
    /// In order, as [`of_bytes`] has them.
    pub pieces: Vec<&'a mut Value>,
}

impl ByteStream<'_> {
    pub fn bytes(&self) -> Vec<Vec<u8>> {
        self.pieces.iter().map(|piece| bytes_from_json(piece).unwrap_or_default()).collect()
    }
}

/// All streams of a run.
pub fn collect_streams(entries: &mut [Entry]) -> Vec<ByteStream<'_>> {
    let mut all: Vec<ByteStream<'_>> = Vec::new();
    let mut open = HashMap::new();
    for call in entries.iter_mut().filter_map(|entry| if let Entry::Call(call) = entry { Some(call) } else { None }) {
        let Some(handle) = call.handles.first().copied() else { continue };
        if call.call.rsplit('.').next() == Some("drop") {
            open.remove(&handle);
        } else if let Some((read, piece)) = piece(call) {
            let stream = *open.entry(handle).or_insert_with(|| {
                all.push(ByteStream { read, pieces: Vec::new() });
                all.len() - 1
            });
            all[stream].pieces.push(piece);
        }
    }
    all
}

/// What a call has read or written, and which of them.
fn piece(call: &mut Call) -> Option<(bool, &mut Value)> {
    let (read, piece) = match call.call.strip_prefix("wasi:io/streams.")? {
        "input-stream.read" | "input-stream.blocking-read" => {
            (true, call.answer.as_mut()?.result.as_mut()?.get_mut("ok")?)
        }
        "output-stream.write" | "output-stream.blocking-write-and-flush" => (false, call.with.get_mut("contents")?),
        _ => return None,
    };
    Some((read, piece))
}

#[cfg(test)]
mod tests {
    use super::super::Answer;
    use super::*;

    fn call(name: &str, handle: u32, text: &str) -> Entry {
        let with = [("contents".to_owned(), bytes_to_json(text.as_bytes()))].into_iter().collect();
        let answer = Answer { result: Some(json!({ "ok": bytes_to_json(text.as_bytes()) })), ..Answer::default() };
        let call = format!("wasi:io/streams.{name}");
        Entry::Call(Call { call, handles: vec![handle], with, answer: Some(answer), ..Call::default() })
    }

    #[test]
    fn each_stream_has_its_own_pieces() {
        let mut entries = vec![
            call("input-stream.read", 3, "a"),
            call("output-stream.write", 4, "x"),
            call("input-stream.skip", 3, "left out"),
            call("input-stream.blocking-read", 3, "\u{e9}"),
            call("input-stream.drop", 3, ""),
            // Another, under a number that was free again.
            call("input-stream.read", 3, "c"),
            call("output-stream.blocking-write-and-flush", 4, "y"),
        ];
        let found: Vec<_> =
            collect_streams(&mut entries).iter().map(|stream| (stream.read, stream.bytes().concat())).collect();
        assert_eq!(found, [(true, "a\u{e9}".into()), (false, b"xy".to_vec()), (true, b"c".to_vec())]);
    }
}
