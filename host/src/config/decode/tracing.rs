//! What is told of traces: to Sentry by `sample`, and to targets by `trace_headers`.

use serde_json::Value;

use super::{DAY, Decoder};
use crate::config::known_keys::{SAMPLE, TRACE_HEADERS};
use crate::config::table::{Field, Table, kind};
use crate::config::{Sample, SampleRate, TraceHeaders, TraceHost, TraceMode};

impl Decoder<'_> {
    /// A rate, or a map with more.
    pub fn sample(&mut self, field: Option<Field>) -> Sample {
        let Some(field) = field else { return Sample::default() };
        if !field.value.is_object() {
            let rate = self.report.at(&field, SampleRate::read(&field));
            return Sample { rate: rate.unwrap_or_default(), slower_than: None };
        }
        let Some(mut table) = Table::new(field, &mut self.report) else { return Sample::default() };
        let rate = table.take("rate").and_then(|field| self.report.at(&field, SampleRate::read(&field)));
        let slower_than = self.seconds(table.take("slower_than"), 0.0..=DAY, "from 0 seconds to a day (86400)");
        table.finish(SAMPLE, &mut self.report);
        Sample { rate: rate.unwrap_or_default(), slower_than }
    }

    /// A word for the mode, or a map with more. What it does not say is as before.
    pub fn trace_headers(&mut self, field: Option<Field>, inherited: &TraceHeaders) -> TraceHeaders {
        let mut headers = inherited.clone();
        let Some(field) = field else { return headers };
        if !field.value.is_object() {
            let mode = mode(&field, "must be `off`, `linked`, `sampled`, or a map of keys and values");
            headers.mode = self.report.at(&field, mode).unwrap_or(headers.mode);
            return headers;
        }
        let Some(mut table) = Table::new(field, &mut self.report) else { return headers };
        if let Some(field) = table.take("mode") {
            let mode = mode(&field, "must be `off`, `linked` or `sampled`");
            headers.mode = self.report.at(&field, mode).unwrap_or(headers.mode);
        }
        if let Some(field) = table.take("traceparent") {
            let traceparent = field.value.as_bool().ok_or_else(|| field.wrong("must be `true` or `false`"));
            headers.traceparent = self.report.at(&field, traceparent).unwrap_or(headers.traceparent);
        }
        if let Some(hosts) = table.list("hosts", &mut self.report) {
            headers.hosts = hosts.iter().filter_map(|field| self.report.at(field, host(field))).collect();
        }
        table.finish(TRACE_HEADERS, &mut self.report);
        headers
    }
}

fn mode(field: &Field, must: &str) -> Result<TraceMode, String> {
    match &field.value {
        // YAML 1.1's `off` is false, and some editors write it so.
        Value::Bool(false) => Ok(TraceMode::Off),
        Value::String(text) if text == "off" => Ok(TraceMode::Off),
        Value::String(text) if text == "linked" => Ok(TraceMode::Linked),
        Value::String(text) if text == "sampled" => Ok(TraceMode::Sampled),
        _ => Err(field.wrong(must)),
    }
}

fn host(field: &Field) -> Result<TraceHost, String> {
    match &field.value {
        Value::String(text) => TraceHost::read(text.trim()).map_err(|why| format!("{} {why}", super::quote(text))),
        value => Err(format!("{} must be text, not {}", field.key, kind(value))),
    }
}
