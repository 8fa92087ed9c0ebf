//! Redaction of a recording, whose file may be committed to a repository. Besides the configured secrets, the
//! credentials that requests sent and that targets returned are redacted.
//!
//! A replay must run as the recorded run did. So each secret is redacted in all places, which keeps equal texts equal.
//! In texts that the guest reads, a placeholder of the same length replaces the secret, so that lengths and positions
//! stay the same. In all other texts, [`REDACTED`] replaces it, which a replay matches with any text.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;

use super::marker::{REDACTED, placeholder, replace_ranges};
use super::secrets::Secrets;
use super::{credential, redact_evidence};
use crate::recording::{ByteStream, Effects, Entry, Recording, bytes_to_json, collect_streams};
use crate::run::Run;
use crate::run::evidence::Exchange;
use crate::trace;

impl Secrets {
    /// Redacts a recording and its run. The run is redacted as [`Secrets::redact_run`] does, which documents `earlier`.
    pub fn redact_recording(&self, recording: &mut Recording, run: &mut Run, earlier: Vec<Exchange>) {
        let sent_and_received =
            exchanges(recording).flat_map(|exchange| redact_evidence::take_credentials(&mut exchange.clone()));
        let sent_and_received = Secrets::new(sent_and_received);
        let mut in_bodies: Vec<_> = recording.entries.iter().flat_map(response_credentials).collect();
        in_bodies.extend(collect_streams(&mut recording.entries).iter().flat_map(stream_credentials));
        let in_bodies = Secrets::new(in_bodies);
        for secrets in [self, &sent_and_received, &in_bodies] {
            secrets.redact_entries(recording);
            secrets.redact_texts(run);
        }
        redact_commands_and_log(recording);
        self.redact_run(run, earlier);
    }

    /// Redacts a run that was replayed, as [`Secrets::redact_run`] does. The placeholders in the recording, whose
    /// lengths are `redacted_lengths`, become [`REDACTED`] too.
    pub fn redact_replayed(&self, redacted_lengths: &BTreeSet<usize>, run: &mut Run, earlier: Vec<Exchange>) {
        Secrets::new(redacted_lengths.iter().map(|length| placeholder(*length))).redact_texts(run);
        self.redact_run(run, earlier);
    }

    /// Redacts the values in all parts of a recording. The title and the tags in the header are those of the probe's
    /// identity, which [`Secrets::redact_identity`] has redacted. Keys of JSON objects are not searched.
    fn redact_entries(&self, recording: &mut Recording) {
        if self.is_empty() {
            return;
        }
        let header = &mut recording.header;
        let mut redacted_lengths = std::mem::take(&mut header.redacted_lengths);
        let mut lengths = Some(&mut redacted_lengths);
        self.redact_value(&mut header.settings, &mut lengths);
        header.environment.values_mut().for_each(|value| self.redact_text(value, &mut lengths));
        for mut stream in collect_streams(&mut recording.entries) {
            self.redact_stream(&mut stream, lengths.as_deref_mut());
        }
        for entry in &mut recording.entries {
            match entry {
                Entry::Attempt { .. } => {}
                Entry::Call(call) => {
                    call.with.values_mut().for_each(|value| self.redact_value(value, &mut None));
                    call.before.iter_mut().for_each(|effects| self.redact_effects(effects));
                    if let Some(answer) = &mut call.answer {
                        answer.result.iter_mut().for_each(|result| self.redact_value(result, &mut lengths));
                        self.redact_effects(&mut answer.effects);
                    }
                }
                Entry::End(end) => {
                    if let Some(fault) = &mut end.fault {
                        self.redact_in_place(&mut fault.message);
                        fault.backtrace.iter_mut().for_each(|frame| self.redact_frame(frame));
                    }
                    self.redact_effects(&mut end.effects);
                }
                Entry::Finish(effects) => self.redact_effects(effects),
            }
        }
        header.redacted_lengths = redacted_lengths;
    }

    fn redact_effects(&self, effects: &mut Effects) {
        effects.spans.iter_mut().for_each(|span| self.redact_recorded_span(span));
        effects.log.iter_mut().for_each(|line| self.redact_in_place(&mut line.message));
        for evidence in &mut effects.evidence {
            redact_evidence::for_each_text(&mut evidence.exchange, |text| self.redact_in_place(text));
        }
    }

    /// Redacts the description and the data of a span. Its op and its keys are written by the host and contain no
    /// secrets.
    fn redact_recorded_span(&self, span: &mut crate::recording::Span) {
        self.redact_in_place(&mut span.description);
        for (_, value) in &mut span.data {
            match value {
                trace::Value::Text(text) => self.redact_in_place(text),
                trace::Value::Integer(number) if self.has_number(*number as f64) => *value = REDACTED.into(),
                trace::Value::Number(number) if self.has_number(*number) => *value = REDACTED.into(),
                trace::Value::Integer(_) | trace::Value::Number(_) | trace::Value::Boolean(_) => {}
            }
        }
    }

    fn redact_value(&self, value: &mut Value, lengths: &mut PlaceholderLengths<'_>) {
        match value {
            Value::String(text) => self.redact_text(text, lengths),
            Value::Array(list) => list.iter_mut().for_each(|value| self.redact_value(value, lengths)),
            Value::Object(map) if map.contains_key("base64") => {
                let mut stream = ByteStream { is_input: lengths.is_some(), pieces: vec![value] };
                self.redact_stream(&mut stream, lengths.as_deref_mut());
            }
            Value::Object(map) => map.values_mut().for_each(|value| self.redact_value(value, lengths)),
            Value::Number(number) if number.as_f64().is_some_and(|number| self.has_number(number)) => {
                *value = REDACTED.into();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn redact_text(&self, text: &mut String, lengths: &mut PlaceholderLengths<'_>) {
        let ranges = self.find(text);
        let redacted = if let Some(lengths) = lengths {
            lengths.extend(ranges.iter().map(Range::len));
            replace_ranges(text, &ranges, |length| placeholder(length).into())
        } else {
            replace_ranges(text, &ranges, |_| Cow::Borrowed(REDACTED))
        };
        if let Cow::Owned(redacted) = redacted {
            *text = redacted;
        }
    }

    /// Redacts the values in the pieces of a stream, also those that are spread over several pieces. Only the parts
    /// that are UTF-8 are searched, each separately.
    fn redact_stream(&self, stream: &mut ByteStream<'_>, lengths: PlaceholderLengths<'_>) {
        let pieces = stream.piece_bytes();
        let bytes = pieces.concat();
        let mut ranges = Vec::new();
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            ranges.extend(self.find(chunk.valid()).into_iter().map(|range| at + range.start..at + range.end));
            at += chunk.valid().len() + chunk.invalid().len();
        }
        if ranges.is_empty() {
            return;
        }
        let mut start = 0;
        for (piece_bytes, value) in pieces.iter().zip(&mut stream.pieces) {
            let piece = start..start + piece_bytes.len();
            start = piece.end;
            if let Some(redacted) = redact_piece(&bytes, piece, &ranges, stream.is_input) {
                **value = bytes_to_json(&redacted);
            }
        }
        if stream.is_input
            && let Some(lengths) = lengths
        {
            lengths.extend(ranges.iter().map(Range::len));
        }
    }
}

/// Collects the lengths of secrets that are redacted by placeholders of the same length. `None` where [`REDACTED`] is
/// used instead, because the guest does not read the text.
type PlaceholderLengths<'a> = Option<&'a mut BTreeSet<usize>>;

/// Returns a piece of a stream's `bytes` with the given ranges redacted, or `None` if no range overlaps the piece.
///
/// In an input stream, each piece gets its part of the placeholder. A placeholder with another length than the range is
/// put into the first piece as a whole. In an output stream, each piece gets [`REDACTED`].
fn redact_piece(bytes: &[u8], piece: Range<usize>, ranges: &[Range<usize>], is_input: bool) -> Option<Vec<u8>> {
    let mut redacted = Vec::new();
    let mut at = piece.start;
    for range in ranges.iter().filter(|range| range.start < piece.end && piece.start < range.end) {
        let in_piece = range.start.max(piece.start)..range.end.min(piece.end);
        redacted.extend_from_slice(&bytes[at..in_piece.start]);
        at = in_piece.end;
        let placeholder = placeholder(range.len());
        let in_range = in_piece.start - range.start..in_piece.end - range.start;
        if !is_input || (placeholder.len() != range.len() && in_range.start == 0) {
            redacted.extend_from_slice(REDACTED.as_bytes());
        } else if placeholder.len() == range.len() {
            redacted.extend_from_slice(&placeholder.as_bytes()[in_range]);
        }
    }
    if at == piece.start {
        return None;
    }
    redacted.extend_from_slice(&bytes[at..piece.end]);
    Some(redacted)
}

/// Returns all exchanges of a recording. An exchange that changed during the run is returned in each of its states.
fn exchanges(recording: &Recording) -> impl Iterator<Item = &Exchange> {
    let effects = recording.entries.iter().filter_map(|entry| match entry {
        Entry::Call(call) => call.answer.as_ref().map(|answer| &answer.effects),
        Entry::End(end) => Some(&end.effects),
        Entry::Attempt { .. } | Entry::Finish(_) => None,
    });
    effects.flat_map(|effects| &effects.evidence).map(|evidence| &evidence.exchange)
}

/// Returns the credentials in the body of a response.
fn response_credentials(entry: &Entry) -> Vec<String> {
    let Entry::Call(call) = entry else { return Vec::new() };
    let result = call.answer.as_ref().and_then(|answer| answer.result.as_ref());
    let text = result.and_then(|result| result.pointer("/ok/body/text")?.as_str());
    text.map(credentials).unwrap_or_default()
}

/// Returns the credentials in what was read from a stream or written to it.
fn stream_credentials(stream: &ByteStream<'_>) -> Vec<String> {
    let bytes = stream.piece_bytes().concat();
    bytes.utf8_chunks().flat_map(|chunk| credentials(chunk.valid())).collect()
}

/// Returns the credentials in a text, which may be JSON. Leaves out credentials that are short or look like a word:
/// each credential is redacted in the whole recording, where such a text may also occur with another meaning.
fn credentials(text: &str) -> Vec<String> {
    const MIN_CREDENTIAL_BYTES: usize = 6;
    let mut values = Vec::new();
    match serde_json::from_str::<Value>(text) {
        // The texts in a list or map are redacted, but not the list or map itself, so that JSON stays JSON.
        Ok(json) => collect_credentials(&json, false, &mut values),
        Err(_) => values.extend(credential::values(text).map(str::to_owned)),
    }
    values.retain(|value| value.len() >= MIN_CREDENTIAL_BYTES && credential::looks_random(value));
    values
}

/// Collects the texts below keys with a credential's name, and the credentials in other texts. `is_credential` is
/// true below such a key.
fn collect_credentials(json: &Value, is_credential: bool, values: &mut Vec<String>) {
    match json {
        Value::String(text) if is_credential => values.push(text.clone()),
        Value::String(text) => values.extend(credential::values(text).map(str::to_owned)),
        Value::Array(list) => list.iter().for_each(|value| collect_credentials(value, is_credential, values)),
        Value::Object(map) => {
            map.iter()
                .for_each(|(key, value)| collect_credentials(value, is_credential || credential::is_name(key), values));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Redacts all credentials, recognised by their names or by their formats, in SSH commands, in the log lines of the
/// guest, and in the descriptions of the commands' spans.
fn redact_commands_and_log(recording: &mut Recording) {
    if let Some(Value::String(command)) = recording.header.settings.get_mut("command") {
        redact_evidence::redact_sentence(command);
    }
    for entry in &mut recording.entries {
        let Entry::Call(call) = entry else { continue };
        for key in ["command", "message", "line"] {
            if let Some(Value::String(text)) = call.with.get_mut(key) {
                redact_evidence::redact_sentence(text);
            }
        }
        let spans = call.answer.iter_mut().flat_map(|answer| &mut answer.effects.spans);
        spans
            .filter(|span| span.op == "ssh.exec")
            .for_each(|span| redact_evidence::redact_sentence(&mut span.description));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Redacts `hunter2-hunter2` and `p4ssw` in the pieces of a stream.
    #[track_caller]
    fn check(is_input: bool, pieces: &[&[u8]], expected: &[&str]) {
        let mut values: Vec<_> = pieces.iter().map(|piece| bytes_to_json(piece)).collect();
        let mut stream = ByteStream { is_input, pieces: values.iter_mut().collect() };
        Secrets::new(["hunter2-hunter2", "p4ssw"]).redact_stream(&mut stream, None);
        let redacted: Vec<_> =
            stream.piece_bytes().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        assert_eq!(redacted, expected);
    }

    #[test]
    fn a_secret_is_redacted_across_pieces() {
        check(true, &[b"a hunter2-hunter2 b"], &["a [Filtered]_____ b"]);
        check(true, &[b"a hunt", b"er2-hun", b"ter2 b", b"c"], &["a [Fil", "tered]_", "____ b", "c"]);
        check(true, &[b"p4", b"ssw\xff"], &["[F", "il]\u{fffd}"]);
        check(false, &[b"a hunter2-hunter2 b"], &["a [Filtered] b"]);
        check(false, &[b"a hunt", b"er2-hun", b"ter2 b", b"c"], &["a [Filtered]", "[Filtered]", "[Filtered] b", "c"]);
        check(true, &[b"hunter", b"", b"3"], &["hunter", "", "3"]);
    }

    #[test]
    fn lengths_of_placeholders_are_collected() {
        let (mut value, mut lengths) = (json!({ "body": { "text": "hunter2-hunter2" } }), BTreeSet::new());
        Secrets::new(["hunter2-hunter2"]).redact_value(&mut value, &mut Some(&mut lengths));
        assert_eq!((value, lengths), (json!({ "body": { "text": "[Filtered]_____" } }), [15].into()));
    }
}
