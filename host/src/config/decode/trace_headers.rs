//! Decodes `trace_headers`.

use serde_json::Value;

use super::decoder::Decoder;
use crate::config::diagnostic::quote;
use crate::config::section::Section;
use crate::config::table::{Field, Table, type_name};
use crate::config::{TraceHeaders, TraceHost, TraceMode};

impl Decoder<'_> {
    /// Decodes `trace_headers`: a mode, or a map. Keys that the map does not have are inherited.
    pub fn trace_headers(&mut self, field: Option<Field>, inherited: &TraceHeaders) -> TraceHeaders {
        let mut headers = inherited.clone();
        let Some(field) = field else { return headers };
        if !field.value.is_object() {
            let mode = trace_mode(&field, "must be `off`, `linked`, `sampled`, or a map of keys and values");
            headers.mode = self.context.accept(&field, mode).unwrap_or(headers.mode);
            return headers;
        }
        let Some(mut table) = Table::new(field, Section::TRACE_HEADERS, &mut self.context) else { return headers };
        if let Some(field) = table.take("mode") {
            let mode = trace_mode(&field, "must be `off`, `linked` or `sampled`");
            headers.mode = self.context.accept(&field, mode).unwrap_or(headers.mode);
        }
        headers.traceparent = table.take_bool("traceparent", &mut self.context).unwrap_or(headers.traceparent);
        if let Some(hosts) = table.take_list("hosts", &mut self.context) {
            headers.hosts = hosts.iter().filter_map(|field| self.context.accept(field, trace_host(field))).collect();
        }
        table.finish(&mut self.context);
        headers
    }
}

fn trace_mode(field: &Field, must: &str) -> Result<TraceMode, String> {
    match &field.value {
        // In YAML 1.1, `off` is the boolean false, and some editors rewrite it as `false`.
        Value::Bool(false) => Ok(TraceMode::Off),
        Value::String(text) if text == "off" => Ok(TraceMode::Off),
        Value::String(text) if text == "linked" => Ok(TraceMode::Linked),
        Value::String(text) if text == "sampled" => Ok(TraceMode::Sampled),
        _ => Err(field.mismatch(must)),
    }
}

fn trace_host(field: &Field) -> Result<TraceHost, String> {
    match &field.value {
        Value::String(text) => TraceHost::read(text.trim()).map_err(|why| format!("{} {why}", quote(text))),
        value => Err(format!("{} must be text, not {}", field.label, type_name(value))),
    }
}
