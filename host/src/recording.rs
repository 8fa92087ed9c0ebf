//! The format of a recorded run: JSON Lines. The first line is the header; every further line is the start of an
//! attempt, a call of the guest, the end of an attempt, or the end of the run.
//!
//! This module holds plain data. Recording and replaying are in `capability/record_replay`, the removal of secrets is
//! in `redaction`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::run::evidence::Exchange;
use crate::run::{Fault, LogLine};
use crate::trace::{self, SpanId, Status, TraceId};

mod byte_streams;
mod format;

pub use byte_streams::{ByteStream, bytes_from_json, bytes_to_json, collect_streams};
pub use format::ReadError;

/// A recorded run.
#[derive(Debug, Clone, PartialEq)]
pub struct Recording {
    /// The first line of the file.
    pub header: Header,
    /// The further lines, in the order of their events. The last one is [`Entry::Finish`].
    pub entries: Vec<Entry>,
}

/// The component that ran, its inputs, and the identity of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the host.
    pub host: String,
    /// The version of the contract (WIT) between host and guest.
    pub contract: String,
    /// The component that ran.
    pub component: Component,
    /// The title of the probe.
    pub title: String,
    /// The tags that the configuration gives the probe.
    pub tags: BTreeMap<String, String>,
    /// The number of consecutive failed runs from which on an error is reported.
    pub failures_before_error: u32,
    /// The JSON pointer of the probe in the configuration.
    pub pointer: String,
    /// The settings, as the guest received them.
    pub settings: Value,
    /// The environment variables that the guest could read.
    pub environment: BTreeMap<String, String>,
    /// The `allow` block that did not permit the guest to write to the run's log, or `None` if the guest had the
    /// permission.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_refused: Option<String>,
    /// The lengths in bytes of the secrets that were redacted in `settings`, in `environment` and in what came from
    /// outside. A placeholder in these places is as long as its secret, except for secrets shorter than four bytes.
    #[serde(rename = "struck", default, skip_serializing_if = "BTreeSet::is_empty")]
    pub redacted_lengths: BTreeSet<usize>,
    /// The limits of the run.
    pub limits: Value,
    /// The retries that the configuration allows after a failed attempt.
    pub retries: u32,
    /// The id of the trace.
    pub trace_id: TraceId,
    /// The id of the root span.
    pub span_id: SpanId,
    /// The wall-clock time at which the run started, since 1970.
    #[serde(rename = "started_ns", with = "nanoseconds")]
    pub started: Duration,
    /// The time between the scheduled start and the actual start.
    #[serde(rename = "lateness_ns", with = "nanoseconds")]
    pub lateness: Duration,
}

/// The component that was run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// The name of the probe type, for example `probes.http`.
    pub name: String,
    /// The SHA-256 of the component's file, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// One line after the header. Times count from the start of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "kebab-case")]
pub enum Entry {
    /// The start of an attempt.
    Attempt {
        /// The time of the start.
        #[serde(rename = "at_ns", with = "nanoseconds")]
        at: Duration,
        /// The span of the attempt. An attempt has one only if retries are configured.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        span: Option<SpanId>,
    },
    /// A call that the guest made.
    Call(Call),
    /// The end of an attempt.
    End(End),
    /// The end of the run, with the effects after the end of the last attempt.
    Finish(Effects),
}

/// A call that the guest made to the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The function as the contract names it, for example `http.request.send`.
    pub call: String,
    /// The time of the call.
    #[serde(rename = "at_ns", with = "nanoseconds")]
    pub at: Duration,
    /// The resource handles among the arguments. For a method, the first one is the resource itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub handles: Vec<u32>,
    /// The other arguments, by their names.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub with: Map<String, Value>,
    /// The span that the call opened for the guest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<SpanId>,
    /// The answer to an external call. `None` for a local call, whose result a replay computes from earlier calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Answer>,
    /// The effects between the previous entry and this call, if it is a local one: the host may do background work
    /// while the guest computes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Box<Effects>>,
}

/// The answer to an external call.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The time of the answer.
    #[serde(rename = "until_ns", with = "nanoseconds")]
    pub until: Duration,
    /// The value that the guest received. `None` if the attempt ended before the answer; a JSON `null` is a value.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "deserialize_some")]
    pub result: Option<Value>,
    /// The effects since the previous entry.
    #[serde(flatten)]
    pub effects: Effects,
}

/// Spans, evidence and log lines that the host has written since the previous recorded effects.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Effects {
    /// The spans that the host opened or changed, in their state at that time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spans: Vec<Span>,
    /// The number of spans that were dropped because the trace was full.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropped: usize,
    /// The exchanges with targets that were new or had changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<Evidence>,
    /// The new lines of the run's log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<LogLine>,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct End {
    /// The time of the end.
    #[serde(rename = "at_ns", with = "nanoseconds")]
    pub at: Duration,
    /// The outcome of the attempt.
    pub outcome: String,
    /// The fault that stopped the guest, if any did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<Fault>,
    /// The effects since the previous entry.
    #[serde(flatten)]
    pub effects: Effects,
}

/// The state of a span at some time during the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Span {
    /// The id of the span.
    pub id: SpanId,
    /// The id of the parent. `None` for the root.
    pub parent: Option<SpanId>,
    /// Sentry's `op`, for example `http.client`.
    pub op: String,
    /// The description of the operation.
    pub description: String,
    /// The start, counted from the start of the run.
    #[serde(rename = "start_ns", with = "nanoseconds")]
    pub start: Duration,
    /// The duration. Zero while the span is open.
    #[serde(rename = "duration_ns", with = "nanoseconds")]
    pub duration: Duration,
    /// True if the span had not ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub open: bool,
    /// The status.
    pub status: Status,
    /// The data in the order in which it was set.
    pub data: Vec<(String, trace::Value)>,
}

/// The evidence of one exchange with a target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The span of the exchange.
    pub span: SpanId,
    /// The exchange.
    pub exchange: Exchange,
}

impl Span {
    /// Converts a span of a trace. `spans` are all spans of the trace, which hold the parent.
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

    /// Converts the span to a span of a trace. The caller has to set the parent, which is an index in a trace.
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
            is_of_component: false,
        }
    }
}

/// Durations as whole nanoseconds: a duration that is read equals the duration that was written.
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

/// Deserializes a value that is present, so that `null` becomes `Some(Value::Null)`.
fn deserialize_some<'d, D: serde::Deserializer<'d>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}
