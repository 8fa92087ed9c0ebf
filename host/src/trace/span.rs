//! Traces and spans as plain data.

use std::borrow::Cow;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::id::{SpanId, TraceId};
use super::reachability::HostContact;

/// A finished trace.
#[derive(Debug, Clone)]
pub struct Trace {
    /// The id of the trace.
    pub id: TraceId,
    /// The wall-clock time at which the root started. All other times are offsets from it, measured by the monotonic
    /// clock.
    pub started: SystemTime,
    /// The spans. The first one is the root, and every parent precedes its children.
    pub spans: Vec<Span>,
    /// The number of spans that were dropped because the trace was full. The data of the root has it too, as
    /// `spans.left_out`.
    pub dropped: usize,
    /// The hosts that the run tried to reach, each once. They are not taken from the spans, because a guest can write
    /// spans.
    pub contacts: Vec<HostContact>,
}

impl Trace {
    /// Returns the duration of the root, which is that of the whole run.
    pub fn duration(&self) -> Duration {
        self.spans[0].duration
    }
}

/// A span of a trace.
#[derive(Debug, Clone)]
pub struct Span {
    /// The id of the span.
    pub id: SpanId,
    /// The index of the parent in [`Trace::spans`]. `None` for the root only.
    pub parent: Option<usize>,
    /// Sentry's `op`, for example `http.client`. Borrowed if the host set it, owned if a guest did.
    pub op: Cow<'static, str>,
    /// The description of the operation.
    pub description: String,
    /// The start, as an offset from [`Trace::started`].
    pub start: Duration,
    /// The duration. Zero while the span is open.
    pub duration: Duration,
    /// The status.
    pub status: Status,
    /// Keys and values in the order in which the keys were first set. Each key occurs once.
    pub data: Vec<(Cow<'static, str>, Value)>,
    /// True if a third-party component has made the span: its op, description, status and data are what the component
    /// says, whatever they look like.
    pub is_of_component: bool,
}

/// The status of a span, in Sentry's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are Sentry's")]
pub enum Status {
    #[default]
    Ok,
    Cancelled,
    Unknown,
    InvalidArgument,
    DeadlineExceeded,
    NotFound,
    AlreadyExists,
    PermissionDenied,
    ResourceExhausted,
    FailedPrecondition,
    Aborted,
    OutOfRange,
    Unimplemented,
    InternalError,
    Unavailable,
    DataLoss,
    Unauthenticated,
}

impl Status {
    /// Returns the status that Sentry assigns to an HTTP status code.
    pub fn from_http(status: u16) -> Self {
        match status {
            ..400 => Self::Ok,
            401 => Self::Unauthenticated,
            403 => Self::PermissionDenied,
            404 => Self::NotFound,
            409 => Self::AlreadyExists,
            429 => Self::ResourceExhausted,
            400..=499 => Self::InvalidArgument,
            501 => Self::Unimplemented,
            503 => Self::Unavailable,
            504 => Self::DeadlineExceeded,
            _ => Self::InternalError,
        }
    }
}

/// A value of the data of a span or of the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Number(f64),
    /// True or false.
    Boolean(bool),
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Boolean(value) => value.fmt(f),
        }
    }
}
