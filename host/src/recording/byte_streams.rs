//! The JSON form of bytes in a recording, and the reassembly of byte streams from their pieces.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{Call, Entry};

/// Returns bytes as JSON: `{"text": …}` if they are UTF-8, `{"base64": …}` otherwise.
pub fn bytes_to_json(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!({ "text": text }),
        Err(_) => json!({ "base64": STANDARD.encode(bytes) }),
    }
}

/// Returns the bytes that [`bytes_to_json`] wrote, or `None` for any other JSON.
pub fn bytes_from_json(value: &Value) -> Option<Vec<u8>> {
    match (value["text"].as_str(), value["base64"].as_str()) {
        (Some(text), _) => Some(text.as_bytes().to_vec()),
        (None, Some(text)) => STANDARD.decode(text).ok(),
        (None, None) => None,
    }
}

/// The recorded contents of one `wasi:io` stream.
pub struct ByteStream<'a> {
    /// True if the guest read the bytes, false if it wrote them.
    pub is_input: bool,
    /// The pieces in their order, each as [`bytes_to_json`] writes it.
    pub pieces: Vec<&'a mut Value>,
}

impl ByteStream<'_> {
    /// Returns the bytes of each piece. A piece that cannot be decoded is empty.
    pub fn piece_bytes(&self) -> Vec<Vec<u8>> {
        self.pieces.iter().map(|piece| bytes_from_json(piece).unwrap_or_default()).collect()
    }
}

/// Returns all streams of a run. A stream ends when its handle is dropped: a later stream may have a handle with the
/// same number.
pub fn collect_streams(entries: &mut [Entry]) -> Vec<ByteStream<'_>> {
    let mut streams: Vec<ByteStream<'_>> = Vec::new();
    let mut index_by_handle = HashMap::new();
    for call in entries.iter_mut().filter_map(|entry| if let Entry::Call(call) = entry { Some(call) } else { None }) {
        let Some(handle) = call.handles.first().copied() else { continue };
        if call.call.rsplit('.').next() == Some("drop") {
            index_by_handle.remove(&handle);
        } else if let Some((is_input, piece)) = stream_piece(call) {
            let index = *index_by_handle.entry(handle).or_insert_with(|| {
                streams.push(ByteStream { is_input, pieces: Vec::new() });
                streams.len() - 1
            });
            streams[index].pieces.push(piece);
        }
    }
    streams
}

/// Returns the bytes that a call read (with `true`) or wrote (with `false`), or `None` if it did neither.
fn stream_piece(call: &mut Call) -> Option<(bool, &mut Value)> {
    match call.call.strip_prefix("wasi:io/streams.")? {
        "input-stream.read" | "input-stream.blocking-read" => {
            Some((true, call.answer.as_mut()?.result.as_mut()?.get_mut("ok")?))
        }
        "output-stream.write" | "output-stream.blocking-write-and-flush" => {
            Some((false, call.with.get_mut("contents")?))
        }
        _ => None,
    }
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
            call("input-stream.skip", 3, "skipped"),
            call("input-stream.blocking-read", 3, "\u{e9}"),
            call("input-stream.drop", 3, ""),
            // Another stream whose handle has the same number.
            call("input-stream.read", 3, "c"),
            call("output-stream.blocking-write-and-flush", 4, "y"),
        ];
        let streams: Vec<_> = collect_streams(&mut entries)
            .iter()
            .map(|stream| (stream.is_input, stream.piece_bytes().concat()))
            .collect();
        assert_eq!(streams, [(true, "a\u{e9}".into()), (false, b"xy".to_vec()), (true, b"c".to_vec())]);
    }
}
