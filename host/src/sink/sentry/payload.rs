//! Sentry's words for a run, cut to the lengths that Sentry takes. Our own structs, since those of the `sentry` crate
//! have no `transaction_info` and no `origin`. Pure; here is what the payloads of all kinds share.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::Serialize;

pub use self::check_in::CheckIn;
pub use self::event::Event;
pub use self::host_event::{HostEvent, Incident};
pub use self::transaction::Transaction;
use crate::propagation::Origin;
use crate::run::Run;
use crate::trace::{Span, Status, Trace, Value};

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

/// What every payload says of what it is about, and of us.
#[derive(Serialize)]
struct About<'a> {
    event_id: &'a str,
    timestamp: f64,
    platform: &'static str,
    /// None where it is about no run.
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction: Option<Cow<'a, str>>,
    environment: &'a str,
    release: &'a str,
    server_name: Cow<'a, str>,
    sdk: Sdk,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tags: BTreeMap<String, String>,
}

#[derive(Serialize)]
struct Sdk {
    name: &'static str,
    version: &'static str,
}

/// What a span is, wherever it stands.
#[derive(Serialize)]
struct SpanFacts<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    op: Cow<'a, str>,
    status: Status,
    origin: &'static str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    data: Data<'a>,
}

type Data<'a> = BTreeMap<Cow<'a, str>, Datum<'a>>;

/// Borrowed even where it is cut: a guest's thousand long values are not copied to find out that they are too many.
#[derive(Serialize)]
#[serde(untagged)]
enum Datum<'a> {
    Text(Cow<'a, str>),
    Other(&'a Value),
    Ours(Value),
}

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

impl<'a> About<'a> {
    fn new(event_id: &'a str, run: &'a Run, origin: &'a Origin) -> Self {
        Self {
            transaction: Some(cut(&run.probe.title, MAX_TAG)),
            tags: tags(run),
            ..Self::us(event_id, run.trace.started + run.trace.duration(), origin)
        }
    }

    /// Nothing but who we are.
    fn us(event_id: &'a str, at: SystemTime, origin: &'a Origin) -> Self {
        Self {
            event_id,
            timestamp: unix_seconds(at),
            platform: "other",
            transaction: None,
            environment: origin.environment(),
            release: origin.release(),
            server_name: cut(origin.server_name(), MAX_TAG),
            sdk: Sdk { name: "sentrynet", version: env!("CARGO_PKG_VERSION") },
            tags: BTreeMap::new(),
        }
    }
}

impl<'a> SpanFacts<'a> {
    fn new(trace: &Trace, span: &'a Span, data: Data<'a>) -> Self {
        Self {
            trace_id: trace.id.to_string(),
            span_id: span.id.to_string(),
            parent_span_id: span.parent.map(|parent| trace.spans[parent].id.to_string()),
            op: cut(&span.op, MAX_OP),
            status: span.status,
            origin: ORIGIN,
            data,
        }
    }
}

fn data(span: &Span, measure: Measure) -> Data<'_> {
    if measure.value == 0 {
        return Data::new();
    }
    let entries = span.data.iter().take(MAX_DATA).filter_map(|(key, value)| {
        let value = match value {
            Value::Text(text) => Datum::Text(cut(text, measure.value)),
            // JSON has no word for it.
            Value::Number(number) if !number.is_finite() => return None,
            other => Datum::Other(other),
        };
        Some((cut(key, MAX_TAG), value))
    });
    entries.collect()
}

/// The run's tags and ours, which no other may stand in for.
fn tags(run: &Run) -> BTreeMap<String, String> {
    let attempts = run.attempts.to_string();
    let ours = [("probe", run.probe.probe.as_str()), ("outcome", run.outcome.as_str())];
    let reason = run.outcome.why().map(|(reason, _)| ("reason", reason));
    let attempts = (run.attempts > 1).then_some(("attempts", attempts.as_str()));
    let tags = crate::sink::tags(run).into_iter().take(MAX_TAGS).chain(ours).chain(reason).chain(attempts);
    let tags = tags.map(|(key, value)| (tag_key(key), tag_value(value)));
    tags.filter(|(key, value)| !key.is_empty() && !value.is_empty() && !RESERVED.contains(&key.as_str())).collect()
}

fn tag_key(key: &str) -> String {
    let allowed = |char: char| char.is_ascii_alphanumeric() || "_.:-".contains(char);
    key.chars().take(MAX_TAG).map(|char| if allowed(char) { char } else { '-' }).collect()
}

fn tag_value(value: &str) -> String {
    let line: String =
        value.trim().chars().take(MAX_TAG).map(|char| if char.is_control() { ' ' } else { char }).collect();
    line.trim_end().to_owned()
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
fn cut(text: &str, most: usize) -> Cow<'_, str> {
    // Most are short, and need not be counted.
    if text.len() <= most {
        return text.into();
    }
    text.char_indices().nth(most).map_or(text.into(), |(end, _)| text[..end].into())
}
