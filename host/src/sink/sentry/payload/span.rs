//! The fields that a span and the `trace` context have in common.

use std::borrow::Cow;

use super::limits::{DetailLevel, MAX_OP_CHARS, MAX_TAG_CHARS, truncate};
use crate::run::reserved_names::HostData;
use crate::sink::sentry::json_writer::ObjectWriter;
use crate::trace::{Span, SpanId, Status, Trace, TraceId, Value};

/// The fields of a span, wherever it is in a payload.
pub struct SpanFields<'a> {
    pub trace_id: TraceId,
    pub span_id: SpanId,
    pub parent_span_id: Option<SpanId>,
    pub op: &'a str,
    pub status: Status,
    pub origin: &'static str,
    pub data: SpanData<'a>,
}

/// The data of a span.
#[derive(Default)]
pub struct SpanData<'a> {
    recorded: &'a [(Cow<'static, str>, Value)],
    max_value_chars: usize,
    /// Entries that the host adds. They replace recorded entries with the same keys.
    added: Vec<(HostData, Value)>,
}

/// The origin of spans, in Sentry's form: `auto.CATEGORY.INTEGRATION`.
pub const SPAN_ORIGIN: &str = "auto.uptime.sentrynet";
/// The origin of spans that a third-party component has made, whatever they look like.
const COMPONENT_SPAN_ORIGIN: &str = "manual.uptime.component";
/// The maximum number of recorded entries of one span's data.
const MAX_DATA_ENTRIES: usize = 100;

impl<'a> SpanFields<'a> {
    /// Returns the fields of a span in its trace.
    pub fn new(trace: &Trace, span: &'a Span, data: SpanData<'a>) -> Self {
        Self {
            trace_id: trace.id,
            span_id: span.id,
            parent_span_id: span.parent.map(|parent| trace.spans[parent].id),
            op: truncate(&span.op, MAX_OP_CHARS),
            status: span.status,
            origin: if span.is_of_component { COMPONENT_SPAN_ORIGIN } else { SPAN_ORIGIN },
            data,
        }
    }

    /// Writes the fields.
    pub fn write(&self, span: &mut ObjectWriter) {
        span.text("trace_id", &self.trace_id.digits());
        span.text("span_id", &self.span_id.digits());
        if let Some(parent) = self.parent_span_id {
            span.text("parent_span_id", &parent.digits());
        }
        span.text("op", self.op);
        span.value("status", &self.status);
        span.text("origin", self.origin);
        if !self.data.is_empty() {
            span.object("data", |data| self.data.write(data));
        }
    }
}

impl<'a> SpanData<'a> {
    /// Returns the recorded data of a span.
    pub fn new(span: &'a Span, detail: DetailLevel) -> Self {
        let recorded = if detail.value_chars == 0 { &[] } else { &span.data[..] };
        Self { recorded, max_value_chars: detail.value_chars, added: Vec::new() }
    }

    /// Adds an entry of the host.
    pub fn add(&mut self, key: HostData, value: impl Into<Value>) {
        self.added.push((key, value.into()));
    }

    fn is_empty(&self) -> bool {
        self.recorded.is_empty() && self.added.is_empty()
    }

    fn write(&self, data: &mut ObjectWriter) {
        let is_added = |key: &str| self.added.iter().any(|(added, _)| key == added.as_str());
        for (key, value) in self.recorded.iter().take(MAX_DATA_ENTRIES).filter(|(key, _)| !is_added(key)) {
            let key = truncate(key, MAX_TAG_CHARS);
            match value {
                Value::Text(text) => data.text_entry(key, truncate(text, self.max_value_chars)),
                // JSON cannot express NaN and infinities.
                Value::Number(number) if !number.is_finite() => {}
                other => data.value_entry(key, other),
            }
        }
        for (key, value) in &self.added {
            data.value(key.as_str(), value);
        }
    }
}
