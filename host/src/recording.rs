//! A recorded run as a file: JSON lines, of which the first says what ran and on what, and each other one is a call of
//! the guest's, or where an attempt begins and ends. Plain data; knows neither how a run is recorded nor replayed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::run::evidence::Exchange;
use crate::run::{Fault, LogLine};
use crate::trace::{self, SpanId, Status, TraceId};

mod format;
mod byte_streams;

pub use byte_streams::{ByteStream, bytes_from_json, bytes_to_json, collect_streams};
pub use format::ReadError;

/// A recorded run.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    pub header: Header,
    /// In the order in which it happened, up to [`Entry::Finish`].
    pub entries: Vec<Entry>,
}

/// What ran, and on what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The versions of the host and of the contract with the guest.
    pub host: String,
    pub contract: String,
    pub component: Component,
    pub title: String,
    pub tags: BTreeMap<String, String>,
    pub failures_before_error: u32,
    /// Where the configuration has it, as a JSON pointer.
    pub pointer: String,
    /// As the guest got them.
    pub settings: Value,
    /// Values of the environment that it might see.
    pub environment: BTreeMap<String, String>,
    /// Whose word it was that it might not write to the log, if it might not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_refused: Option<String>,
    /// How many bytes each secret had that was struck out of these and of what came from outside: what stands in its
    /// place has as many, if it has enough.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub struck: BTreeSet<usize>,
    pub limits: Value,
    pub retries: u32,
    pub trace_id: TraceId,
    /// The root span's.
    pub span_id: SpanId,
    /// Since 1970.
    #[serde(rename = "started_ns", with = "nanoseconds")]
    pub started: Duration,
    /// How long after its time it started.
    #[serde(rename = "lateness_ns", with = "nanoseconds")]
    pub lateness: Duration,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    pub name: String,
    pub sha256: String,
}

/// A line. Times count from the start of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Entry {
    Attempt {
        #[serde(rename = "at_ns", with = "nanoseconds")]
        at: Duration,
        /// The span that it has where there may be several.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<SpanId>,
    },
    Call(Call),
    /// The end of an attempt.
    End(End),
    /// What happened behind the guest's back, after its end.
    Finish(Effects),
}

/// A call of the guest's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// As the contract has it: `http.request.send`.
    pub call: String,
    #[serde(rename = "at_ns", with = "nanoseconds")]
    pub at: Duration,
    /// The handles that it is given, the one that it is a method of first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handles: Vec<u32>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub with: Map<String, Value>,
    /// The span that it opened for the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<SpanId>,
    /// What came of it from outside. A call without one follows from those before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// Of a call without one, what the host wrote before it: something may go on while the guest computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Effects>>,
}

/// What came from outside.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    #[serde(rename = "until_ns", with = "nanoseconds")]
    pub until: Duration,
    /// What the guest got; none where the run ended before.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_some")]
    pub result: Option<Value>,
    #[serde(flatten)]
    pub left: Effects,
}

/// What the host wrote since a call or an answer last told of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// Spans as they stood then, those that it opened and those that it changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
    /// Spans for which there was no room.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// Lines of the run's log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    #[serde(rename = "at_ns", with = "nanoseconds")]
    pub at: Duration,
    pub outcome: String,
    /// What stopped the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    #[serde(flatten)]
    pub left: Effects,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Span {
    pub id: SpanId,
    pub parent: Option<SpanId>,
    pub op: String,
    pub description: String,
    #[serde(rename = "start_ns", with = "nanoseconds")]
    pub start: Duration,
    #[serde(rename = "duration_ns", with = "nanoseconds")]
    pub duration: Duration,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    pub status: Status,
    pub data: Vec<(String, trace::Value)>,
}

/// What there is to tell of an exchange, and the span that is its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    pub span: SpanId,
    pub exchange: Exchange,
}

impl Span {
    /// A span of a trace.
    pub fn from_trace(span: &trace::Span, spans: &[trace::Span], open: bool) -> Self {
        Self {
            id: span.id,
            parent: span.parent.map(|parent| spans[parent].id),
            op: span.op.to_string(),
            description: span.description.clone(),
            start: span.start,
            duration: span.duration,
            open,
            status: span.status,
            data: span.data.iter().map(|(key, value)| (key.to_string(), value.clone())).collect(),
        }
    }

    /// The same for a trace, in which its parent has yet to be found.
    pub fn to_trace(&self) -> trace::Span {
        trace::Span {
            id: self.id,
            parent: None,
            op: self.op.clone().into(),
            description: self.description.clone(),
            start: self.start,
            duration: self.duration,
            status: self.status,
            data: self.data.iter().map(|(key, value)| (key.clone().into(), value.clone())).collect(),
        }
    }
}

/// Whole ones: what is read is what was written.
mod nanoseconds {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'d, D: Deserializer<'d>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_nanos)
    }
}

/// An answer of null is an answer.
fn deserialize_some<'d, D: serde::Deserializer<'d>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
