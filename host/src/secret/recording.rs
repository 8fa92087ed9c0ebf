//! A recording without secrets. Besides what the configuration has from elsewhere, these are the credentials that
//! requests carried and that targets gave: somebody may keep the file among a project's. Each is struck out wherever it
//! stands, so that what was equal still is.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::{MARK, Secrets, credential, evidence};
use crate::recording::{Entry, Left, Recording};
use crate::run::Run;
use crate::run::evidence::Exchange;
use crate::trace;

impl Secrets {
    /// Strikes out of a recording and of its run, as [`Secrets::strike_run`] does, which has `earlier`.
    pub fn strike_recording(&self, recording: &mut Recording, run: &mut Run, earlier: Vec<Exchange>) {
        let carried: Vec<_> = exchanges(recording).map(|exchange| evidence::carried(&mut exchange.clone())).collect();
        let given = Secrets::new(recording.entries.iter().flat_map(given));
        for secrets in std::iter::once(self).chain(&carried).chain([&given]) {
            secrets.strike_entries(recording);
            secrets.strike_texts(run);
        }
        scrub(recording);
        self.strike_run(run, earlier);
    }

    fn strike_entries(&self, recording: &mut Recording) {
        if self.is_empty() {
            return;
        }
        let header = &mut recording.header;
        self.strike_value(&mut header.settings);
        header.environment.values_mut().for_each(|value| self.strike_in(value));
        for entry in &mut recording.entries {
            match entry {
                Entry::Attempt { .. } => {}
                Entry::Call(call) => {
                    call.with.values_mut().for_each(|value| self.strike_value(value));
                    if let Some(answer) = &mut call.answer {
                        answer.result.iter_mut().for_each(|result| self.strike_value(result));
                        self.strike_left(&mut answer.left);
                    }
                }
                Entry::End(end) => {
                    if let Some(fault) = &mut end.fault {
                        self.strike_in(&mut fault.message);
                        fault.backtrace.iter_mut().for_each(|frame| self.strike_frame(frame));
                    }
                    self.strike_left(&mut end.left);
                }
                Entry::Finish { spans } => spans.iter_mut().for_each(|span| self.strike_recorded(span)),
            }
        }
    }

    fn strike_left(&self, left: &mut Left) {
        left.spans.iter_mut().for_each(|span| self.strike_recorded(span));
        left.log.iter_mut().for_each(|line| self.strike_in(&mut line.message));
        for told in &mut left.evidence {
            evidence::each_text(&mut told.exchange, |text| self.strike_in(text));
        }
    }

    /// Its op and its keys are the host's own words.
    fn strike_recorded(&self, span: &mut crate::recording::Span) {
        self.strike_in(&mut span.description);
        for (_, value) in &mut span.data {
            match value {
                trace::Value::Text(text) => self.strike_in(text),
                trace::Value::Integer(number) if self.is_number(*number as f64) => *value = MARK.into(),
                trace::Value::Number(number) if self.is_number(*number) => *value = MARK.into(),
                trace::Value::Integer(_) | trace::Value::Number(_) | trace::Value::Boolean(_) => {}
            }
        }
    }

    fn strike_value(&self, value: &mut Value) {
        match value {
            Value::String(text) => self.strike_in(text),
            Value::Array(list) => list.iter_mut().for_each(|value| self.strike_value(value)),
            Value::Object(map) => match map.get_mut("base64") {
                Some(Value::String(text)) => *text = self.strike_bytes(text),
                _ => map.values_mut().for_each(|value| self.strike_value(value)),
            },
            Value::Number(number) if number.as_f64().is_some_and(|number| self.is_number(number)) => {
                *value = MARK.into();
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// Bytes in base64 that are no text: as much of them as is.
    fn strike_bytes(&self, base64: &str) -> String {
        let bytes = STANDARD.decode(base64).unwrap_or_default();
        let chunks = bytes.utf8_chunks();
        let chunks =
            chunks.flat_map(|chunk| [self.strike(chunk.valid()).as_bytes().to_vec(), chunk.invalid().to_vec()]);
        STANDARD.encode(chunks.collect::<Vec<_>>().concat())
    }
}

fn exchanges(recording: &Recording) -> impl Iterator<Item = &Exchange> {
    let left = recording.entries.iter().filter_map(|entry| match entry {
        Entry::Call(call) => call.answer.as_ref().map(|answer| &answer.left),
        Entry::End(end) => Some(&end.left),
        Entry::Attempt { .. } | Entry::Finish { .. } => None,
    });
    left.flat_map(|left| &left.evidence).map(|told| &told.exchange)
}

/// The credentials in the body of an answer.
fn given(entry: &Entry) -> Vec<String> {
    /// With shorter ones struck out, nothing would be left to read.
    const SHORTEST: usize = 6;
    let Entry::Call(call) = entry else { return Vec::new() };
    let result = call.answer.as_ref().and_then(|answer| answer.result.as_ref());
    let Some(text) = result.and_then(|result| result.pointer("/ok/body/text")?.as_str()) else { return Vec::new() };
    let mut values = Vec::new();
    match serde_json::from_str::<Value>(text) {
        // A list or map is not struck out as a whole: JSON is to stay JSON.
        Ok(json) => named(&json, false, &mut values),
        Err(_) => values.extend(credential::values(text).map(str::to_owned)),
    }
    values.retain(|value| value.len() >= SHORTEST && credential::is_random(value));
    values
}

/// The texts that stand under a credential's name, and those that look like one.
fn named(json: &Value, secret: bool, values: &mut Vec<String>) {
    match json {
        Value::String(text) if secret => values.push(text.clone()),
        Value::String(text) => values.extend(credential::values(text).map(str::to_owned)),
        Value::Array(list) => list.iter().for_each(|value| named(value, secret, values)),
        Value::Object(map) => {
            map.iter().for_each(|(key, value)| named(value, secret || credential::is_name(key), values));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Takes out of what is said what is a credential by its looks: commands, and lines of the log.
fn scrub(recording: &mut Recording) {
    if let Some(Value::String(command)) = recording.header.settings.get_mut("command") {
        evidence::scrub_sentence(command);
    }
    for entry in &mut recording.entries {
        let Entry::Call(call) = entry else { continue };
        for key in ["command", "message", "line"] {
            if let Some(Value::String(text)) = call.with.get_mut(key) {
                evidence::scrub_sentence(text);
            }
        }
        let spans = call.answer.iter_mut().flat_map(|answer| &mut answer.left.spans);
        spans.filter(|span| span.op == "ssh.exec").for_each(|span| evidence::scrub_sentence(&mut span.description));
    }
}
