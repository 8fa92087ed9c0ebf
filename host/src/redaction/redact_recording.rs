//! A recording without secrets. Besides what the configuration has from elsewhere, these are the credentials that
//! requests carried and that targets gave: somebody may keep the file among a project's. Each is struck out wherever it
//! stands, so that what was equal still is; and where the guest reads it, so that what was counted still is as long.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Range;

use serde_json::Value;

use super::{REDACTED, SHORT_CHARS, Secrets, credential, redact_evidence, replace};
use crate::recording::{ByteStream, Effects, Entry, Recording, bytes_to_json, collect_streams};
use crate::run::Run;
use crate::run::evidence::Exchange;
use crate::trace;

impl Secrets {
    /// Strikes out of a recording and of its run, as [`Secrets::strike_run`] does, which has `earlier`.
    pub fn redact_recording(&self, recording: &mut Recording, run: &mut Run, earlier: Vec<Exchange>) {
        let carried: Vec<_> =
            exchanges(recording).map(|exchange| redact_evidence::carried_secrets(&mut exchange.clone())).collect();
        let mut given: Vec<_> = recording.entries.iter().flat_map(response_credentials).collect();
        given.extend(collect_streams(&mut recording.entries).iter().flat_map(stream_credentials));
        let given = Secrets::new(given);
        for secrets in std::iter::once(self).chain(&carried).chain([&given]) {
            secrets.redact_entries(recording);
            secrets.redact_texts(run);
        }
        redact_commands_and_log(recording);
        self.redact_run(run, earlier);
    }

    /// Strikes out of a run that was replayed, as [`Secrets::strike_run`] does, what stands for secrets in the recording
    /// too, which has `struck` such.
    pub fn redact_replayed(&self, struck: &BTreeSet<usize>, run: &mut Run, earlier: Vec<Exchange>) {
        Secrets::new(struck.iter().map(|length| placeholder(*length))).redact_texts(run);
        self.redact_run(run, earlier);
    }

    fn redact_entries(&self, recording: &mut Recording) {
        if self.is_empty() {
            return;
        }
        let header = &mut recording.header;
        let mut struck = std::mem::take(&mut header.struck);
        let mut keep = Some(&mut struck);
        self.redact_value(&mut header.settings, &mut keep);
        header.environment.values_mut().for_each(|value| self.redact_text(value, &mut keep));
        for mut stream in collect_streams(&mut recording.entries) {
            self.redact_stream(&mut stream, keep.as_deref_mut());
        }
        for entry in &mut recording.entries {
            match entry {
                Entry::Attempt { .. } => {}
                Entry::Call(call) => {
                    call.with.values_mut().for_each(|value| self.redact_value(value, &mut None));
                    call.before.iter_mut().for_each(|left| self.redact_effects(left));
                    if let Some(answer) = &mut call.answer {
                        answer.result.iter_mut().for_each(|result| self.redact_value(result, &mut keep));
                        self.redact_effects(&mut answer.left);
                    }
                }
                Entry::End(end) => {
                    if let Some(fault) = &mut end.fault {
                        self.redact_in_place(&mut fault.message);
                        fault.backtrace.iter_mut().for_each(|frame| self.redact_frame(frame));
                    }
                    self.redact_effects(&mut end.left);
                }
                Entry::Finish(left) => self.redact_effects(left),
            }
        }
        header.struck = struck;
    }

    fn redact_effects(&self, left: &mut Effects) {
        left.spans.iter_mut().for_each(|span| self.redact_recorded_span(span));
        left.log.iter_mut().for_each(|line| self.redact_in_place(&mut line.message));
        for told in &mut left.evidence {
            redact_evidence::for_each_text(&mut told.exchange, |text| self.redact_in_place(text));
        }
    }

    /// Its op and its keys are the host's own words.
    fn redact_recorded_span(&self, span: &mut crate::recording::Span) {
        self.redact_in_place(&mut span.description);
        for (_, value) in &mut span.data {
            match value {
                trace::Value::Text(text) => self.redact_in_place(text),
                trace::Value::Integer(number) if self.is_number(*number as f64) => *value = REDACTED.into(),
                trace::Value::Number(number) if self.is_number(*number) => *value = REDACTED.into(),
                trace::Value::Integer(_) | trace::Value::Number(_) | trace::Value::Boolean(_) => {}
            }
        }
    }

    fn redact_value(&self, value: &mut Value, keep: &mut LengthKeeper<'_>) {
        match value {
            Value::String(text) => self.redact_text(text, keep),
            Value::Array(list) => list.iter_mut().for_each(|value| self.redact_value(value, keep)),
            Value::Object(map) if map.contains_key("base64") => {
                let mut stream = ByteStream { read: keep.is_some(), pieces: vec![value] };
                self.redact_stream(&mut stream, keep.as_deref_mut());
            }
            Value::Object(map) => map.values_mut().for_each(|value| self.redact_value(value, keep)),
            Value::Number(number) if number.as_f64().is_some_and(|number| self.is_number(number)) => {
                *value = REDACTED.into();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn redact_text(&self, text: &mut String, keep: &mut LengthKeeper<'_>) {
        let found = self.find(text);
        let struck = match keep {
            Some(struck) => {
                struck.extend(found.iter().map(Range::len));
                replace(text, &found, |length| placeholder(length).into())
            }
            None => replace(text, &found, |_| Cow::Borrowed(REDACTED)),
        };
        if let Cow::Owned(struck) = struck {
            *text = struck;
        }
    }

    /// Out of the pieces of a stream, across which a secret may lie. Bytes that are no text are looked at as far as
    /// they are.
    fn redact_stream(&self, stream: &mut ByteStream<'_>, keep: LengthKeeper<'_>) {
        let pieces = stream.bytes();
        let all = pieces.concat();
        let mut found = Vec::new();
        let mut at = 0;
        for chunk in all.utf8_chunks() {
            found.extend(self.find(chunk.valid()).into_iter().map(|range| at + range.start..at + range.end));
            at += chunk.valid().len() + chunk.invalid().len();
        }
        if found.is_empty() {
            return;
        }
        let mut start = 0;
        for (bytes, value) in pieces.iter().zip(&mut stream.pieces) {
            let piece = start..start + bytes.len();
            start = piece.end;
            if let Some(struck) = redact_piece(&all, piece, &found, stream.read) {
                **value = bytes_to_json(&struck);
            }
        }
        if let (true, Some(struck)) = (stream.read, keep) {
            struck.extend(found.iter().map(Range::len));
        }
    }
}

/// The lengths of what was struck out, where a mark is to be as long.
type LengthKeeper<'a> = Option<&'a mut BTreeSet<usize>>;

/// What stands for so many bytes where the guest reads it: as many of a mark's, unless they are too few to be told from
/// anything else.
fn placeholder(length: usize) -> String {
    /// Longer than any secret; a file may say what it likes.
    const MAX_PLACEHOLDER_BYTES: usize = 1 << 20;
    match length {
        ..SHORT_CHARS => REDACTED.to_owned(),
        _ if length < REDACTED.len() => format!("{}]", &REDACTED[..length - 1]),
        _ => format!("{REDACTED}{}", "_".repeat(length.min(MAX_PLACEHOLDER_BYTES) - REDACTED.len())),
    }
}

/// A piece of all bytes without what was found in them. What is read has what stands for it, piece by piece; what is
/// written has a mark in each, which stands for anything.
fn redact_piece(all: &[u8], piece: Range<usize>, found: &[Range<usize>], read: bool) -> Option<Vec<u8>> {
    let mut struck = Vec::new();
    let mut at = piece.start;
    for range in found.iter().filter(|range| range.start < piece.end && piece.start < range.end) {
        let here = range.start.max(piece.start)..range.end.min(piece.end);
        struck.extend_from_slice(&all[at..here.start]);
        at = here.end;
        let mark = placeholder(range.len());
        let here = here.start - range.start..here.end - range.start;
        if !read || (mark.len() != range.len() && here.start == 0) {
            struck.extend_from_slice(REDACTED.as_bytes());
        } else if mark.len() == range.len() {
            struck.extend_from_slice(&mark.as_bytes()[here]);
        }
    }
    if at == piece.start {
        return None;
    }
    struck.extend_from_slice(&all[at..piece.end]);
    Some(struck)
}

fn exchanges(recording: &Recording) -> impl Iterator<Item = &Exchange> {
    let left = recording.entries.iter().filter_map(|entry| match entry {
        Entry::Call(call) => call.answer.as_ref().map(|answer| &answer.left),
        Entry::End(end) => Some(&end.left),
        Entry::Attempt { .. } | Entry::Finish(_) => None,
    });
    left.flat_map(|left| &left.evidence).map(|told| &told.exchange)
}

/// The credentials in the body of an answer.
fn response_credentials(entry: &Entry) -> Vec<String> {
    let Entry::Call(call) = entry else { return Vec::new() };
    let result = call.answer.as_ref().and_then(|answer| answer.result.as_ref());
    let text = result.and_then(|result| result.pointer("/ok/body/text")?.as_str());
    text.map(credentials).unwrap_or_default()
}

/// Those in what was read or written of a stream.
fn stream_credentials(stream: &ByteStream<'_>) -> Vec<String> {
    let all = stream.bytes().concat();
    all.utf8_chunks().flat_map(|chunk| credentials(chunk.valid())).collect()
}

fn credentials(text: &str) -> Vec<String> {
    /// With shorter ones struck out, nothing would be left to read.
    const MIN_CREDENTIAL_CHARS: usize = 6;
    let mut values = Vec::new();
    match serde_json::from_str::<Value>(text) {
        // A list or map is not struck out as a whole: JSON is to stay JSON.
        Ok(json) => collect_named(&json, false, &mut values),
        Err(_) => values.extend(credential::values(text).map(str::to_owned)),
    }
    values.retain(|value| value.len() >= MIN_CREDENTIAL_CHARS && credential::is_random(value));
    values
}

/// The texts that stand under a credential's name, and those that look like one.
fn collect_named(json: &Value, secret: bool, values: &mut Vec<String>) {
    match json {
        Value::String(text) if secret => values.push(text.clone()),
        Value::String(text) => values.extend(credential::values(text).map(str::to_owned)),
        Value::Array(list) => list.iter().for_each(|value| collect_named(value, secret, values)),
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| collect_named(value, secret || credential::is_name(key), values));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Takes out of what is said what is a credential by its looks: commands, and lines of the log.
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
        let spans = call.answer.iter_mut().flat_map(|answer| &mut answer.left.spans);
        spans
            .filter(|span| span.op == "ssh.exec")
            .for_each(|span| redact_evidence::redact_sentence(&mut span.description));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The pieces of a stream without `hunter2-hunter2`.
    #[track_caller]
    fn check(read: bool, pieces: &[&[u8]], expected: &[&str]) {
        let mut values: Vec<_> = pieces.iter().map(|piece| bytes_to_json(piece)).collect();
        let mut stream = ByteStream { read, pieces: values.iter_mut().collect() };
        Secrets::new(["hunter2-hunter2", "p4ssw"]).redact_stream(&mut stream, None);
        let struck: Vec<_> = stream.bytes().iter().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).collect();
        assert_eq!(struck, expected);
    }

    #[test]
    fn a_secret_is_struck_out_of_pieces() {
        check(true, &[b"a hunter2-hunter2 b"], &["a [Filtered]_____ b"]);
        check(true, &[b"a hunt", b"er2-hun", b"ter2 b", b"c"], &["a [Fil", "tered]_", "____ b", "c"]);
        check(true, &[b"p4", b"ssw\xff"], &["[F", "il]\u{fffd}"]);
        check(false, &[b"a hunter2-hunter2 b"], &["a [Filtered] b"]);
        check(false, &[b"a hunt", b"er2-hun", b"ter2 b", b"c"], &["a [Filtered]", "[Filtered]", "[Filtered] b", "c"]);
        check(true, &[b"hunter", b"", b"3"], &["hunter", "", "3"]);
    }

    #[test]
    fn what_stands_for_a_secret_is_as_long() {
        let marks = [1, 4, 9, 10, 12].map(placeholder);
        assert_eq!(marks, ["[Filtered]", "[Fi]", "[Filtere]", "[Filtered]", "[Filtered]__"]);
        assert!(placeholder(usize::MAX).len() < 2 << 20, "whatever a file says");
        let (mut value, mut struck) = (json!({ "body": { "text": "hunter2-hunter2" } }), BTreeSet::new());
        Secrets::new(["hunter2-hunter2"]).redact_value(&mut value, &mut Some(&mut struck));
        assert_eq!((value, struck), (json!({ "body": { "text": "[Filtered]_____" } }), [15].into()));
    }
}
