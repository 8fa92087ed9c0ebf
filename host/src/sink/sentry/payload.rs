//! Sentry's words for a run, cut to the lengths that Sentry takes. Our own words, since the structs of the `sentry` crate
//! have no `transaction_info` and no `origin`. Pure; here is what the payloads of all kinds share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

pub use self::check_in::CheckIn;
pub use self::event::event;
pub use self::host_event::{HostEvent, host_event};
pub use self::transaction::transaction;
use super::json_writer::Object;
use crate::propagation::Origin;
use crate::run::Run;
use crate::trace::{Span, SpanId, Status, Trace, TraceId, Value};

mod check_in;
mod event;
mod evidence;
mod host_event;
mod transaction;

/// How much is told: as much as fits into one payload.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// Characters of a description or message.
    text: usize,
    /// Characters of a value of a span's data; with none, the data is left out.
    value: usize,
    spans: usize,
}

/// From the fullest to one that always fits.
pub const MEASURES: [Measure; 4] = [
    Measure { text: 1024, value: 4096, spans: 1000 },
    Measure { text: 256, value: 256, spans: 1000 },
    Measure { text: 64, value: 0, spans: 1000 },
    Measure { text: 64, value: 0, spans: 300 },
];

/// What a span is, wherever it stands.
struct SpanFacts<'a> {
    trace_id: TraceId,
    span_id: SpanId,
    parent_span_id: Option<SpanId>,
    op: &'a str,
    status: Status,
    data: Data<'a>,
}

/// A span's data, and what we say of the run beside it, which no other may stand in for.
#[derive(Default)]
struct Data<'a> {
    recorded: &'a [(Cow<'static, str>, Value)],
    /// Characters of a value.
    most: usize,
    ours: Vec<(&'static str, Value)>,
}

type Tags<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// Who wrote our spans, in the form `auto.CATEGORY.INTEGRATION`.
const ORIGIN: &str = "auto.uptime.sentrynet";
/// Sentry's limit for the characters of tags and transaction names.
const MAX_TAG: usize = 200;
/// Sentry's limit for the characters of ops.
const MAX_OP: usize = 128;
/// Entries of one span's data.
const MAX_DATA: usize = 100;
const MAX_TAGS: usize = 100;
/// Tags that Sentry drops or overwrites: it has fields of these names.
const RESERVED: [&str; 7] = ["dist", "environment", "filename", "function", "release", "server_name", "user"];

/// What every payload says of what it is about, and of us.
fn about(payload: &mut Object, event_id: &str, at: SystemTime, origin: &Origin) {
    payload.text("event_id", event_id);
    payload.value("timestamp", &unix_seconds(at));
    payload.text("platform", "other");
    payload.text("environment", origin.environment());
    payload.text("release", origin.release());
    payload.text("server_name", cut(origin.server_name(), MAX_TAG));
    payload.object("sdk", |sdk| {
        sdk.text("name", "sentrynet");
        sdk.text("version", env!("CARGO_PKG_VERSION"));
    });
}

/// The same of what is about a run.
fn about_run(payload: &mut Object, event_id: &str, run: &Run, tags: &Tags, origin: &Origin) {
    about(payload, event_id, run.trace.started + run.trace.duration(), origin);
    payload.text("transaction", cut(&run.probe.title, MAX_TAG));
    payload.object("tags", |object| {
        for (key, value) in tags {
            object.entry(key, value);
        }
    });
}

impl<'a> SpanFacts<'a> {
    fn new(trace: &Trace, span: &'a Span, data: Data<'a>) -> Self {
        Self {
            trace_id: trace.id,
            span_id: span.id,
            parent_span_id: span.parent.map(|parent| trace.spans[parent].id),
            op: cut(&span.op, MAX_OP),
            status: span.status,
            data,
        }
    }

    fn write(&self, span: &mut Object) {
        span.text("trace_id", &self.trace_id.digits());
        span.text("span_id", &self.span_id.digits());
        if let Some(parent) = self.parent_span_id {
            span.text("parent_span_id", &parent.digits());
        }
        span.text("op", self.op);
        span.value("status", &self.status);
        span.text("origin", ORIGIN);
        if !self.data.is_empty() {
            span.object("data", |data| self.data.write(data));
        }
    }
}

impl<'a> Data<'a> {
    fn of(span: &'a Span, measure: Measure) -> Self {
        let recorded = if measure.value == 0 { &[] } else { &span.data[..] };
        Self { recorded, most: measure.value, ours: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.recorded.is_empty() && self.ours.is_empty()
    }

    fn write(&self, data: &mut Object) {
        let is_ours = |key: &str| self.ours.iter().any(|(ours, _)| key == *ours);
        for (key, value) in self.recorded.iter().take(MAX_DATA).filter(|(key, _)| !is_ours(key)) {
            let key = cut(key, MAX_TAG);
            match value {
                Value::Text(text) => data.entry(key, cut(text, self.most)),
                // JSON has no word for it.
                Value::Number(number) if !number.is_finite() => {}
                other => data.entry_of(key, other),
            }
        }
        for (key, value) in &self.ours {
            data.value(key, value);
        }
    }
}

/// The run's tags and ours, which no other may stand in for.
fn tags(run: &Run) -> Tags<'_> {
    let ours = [("probe", run.probe.probe.as_str()), ("outcome", run.outcome.as_str())];
    let reason = run.outcome.why().map(|(reason, _)| ("reason", reason));
    let tags = crate::sink::tags(run).into_iter().take(MAX_TAGS).chain(ours).chain(reason);
    let tags = tags.map(|(key, value)| (tag_key(key), tag_value(value)));
    let attempts = (run.attempts > 1).then(|| ("attempts".into(), run.attempts.to_string().into()));
    let tags = tags.chain(attempts);
    tags.filter(|(key, value)| !key.is_empty() && !value.is_empty() && !RESERVED.contains(&&**key)).collect()
}

fn tag_key(key: &str) -> Cow<'_, str> {
    let allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | ':' | '-');
    let key = cut(key, MAX_TAG);
    if key.chars().all(allowed) { key.into() } else { key.replace(|char| !allowed(char), "-").into() }
}

fn tag_value(value: &str) -> Cow<'_, str> {
    // A control character becomes a space, and at the end nothing.
    let blank = |char: char| char.is_whitespace() || char.is_control();
    let line = cut(value.trim(), MAX_TAG).trim_end_matches(blank);
    if line.contains(char::is_control) { line.replace(char::is_control, " ").into() } else { line.into() }
}

/// UNIX seconds of a moment of the run.
fn seconds(trace: &Trace, at: Duration) -> f64 {
    unix_seconds(trace.started + at)
}

fn unix_seconds(at: SystemTime) -> f64 {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// To the tenth of a second: how long something was so is known no better.
fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).round() / 10.0
}

/// The beginning of `text`, of at most `most` characters.
fn cut(text: &str, most: usize) -> &str {
    // Most are short, and need not be counted.
    if text.len() <= most {
        return text;
    }
    text.char_indices().nth(most).map_or(text, |(end, _)| &text[..end])
}
