//! A run's trace: spans as plain data, timed by the host's clock. Knows nothing of guests, targets or Sentry.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};

pub use self::id::Digits;
pub use self::reachability::Contact;

mod reachability;
mod id;
mod replay;

/// A finished trace. `spans[0]` is the root, and a parent always stands before its children.
#[derive(Debug, Clone)]
pub struct Trace {
    pub id: TraceId,
    /// When the root started, by the wall clock; all other times count from here, on the monotonic clock.
    pub started: SystemTime,
    pub spans: Vec<Span>,
    /// Spans that were asked for beyond those that are kept, and left out; the root says so too.
    pub dropped: usize,
    /// The hosts that it tried to reach, each once. Not among the spans, in which a guest may write what it likes.
    pub contacts: Vec<Contact>,
}

/// One span. Times are offsets from [`Trace::started`].
#[derive(Debug, Clone)]
pub struct Span {
    pub id: SpanId,
    /// Index of the parent in [`Trace::spans`]; none for the root alone.
    pub parent: Option<usize>,
    pub op: Cow<'static, str>,
    pub description: String,
    pub start: Duration,
    pub duration: Duration,
    pub status: Status,
    /// In the order in which it was set; a key stands once.
    pub data: Vec<(Cow<'static, str>, Value)>,
}

/// The most spans a trace keeps: Sentry takes no more of a transaction.
pub const MAX_SPANS: usize = 1000;

/// The most hosts that a trace keeps: a redirect may lead anywhere.
const MAX_CONTACTS: usize = 100;

/// Sentry's words for how a span ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
    /// Sentry's reading of an HTTP status.
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

/// Data on a span, or on the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    Text(String),
    Integer(i64),
    Number(f64),
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
    fn from(yes: bool) -> Self {
        Self::Boolean(yes)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(number) => number.fmt(f),
            Self::Number(number) => number.fmt(f),
            Self::Boolean(yes) => yes.fmt(f),
        }
    }
}

/// 16 random bytes, written as 32 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TraceId(pub [u8; 16]);

/// 8 random bytes, written as 16 lower-case hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct SpanId(pub [u8; 8]);

/// A trace being written: shared by all that records into one run.
///
/// It holds a stack of open spans, so that what the host does on a guest's behalf goes under the span that the guest
/// has open. Whatever is still open when the trace is finished ends then.
#[derive(Clone)]
pub struct Recorder(Arc<Mutex<Recording>>);

struct Recording {
    trace: Trace,
    /// How many spans it keeps.
    most: usize,
    epoch: Instant,
    /// The time, while somebody holds it.
    held: Option<Instant>,
    /// Which spans have not ended.
    open: Vec<bool>,
    /// The guest's open spans, innermost last.
    stack: Vec<usize>,
    finished: bool,
}

/// A span in a [`Recorder`]. A span that was dropped for want of room has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle(Option<usize>);

impl Recorder {
    /// Starts a trace, its root open.
    pub fn start(op: String, description: String) -> Self {
        Self::start_bounded(MAX_SPANS, op, description)
    }

    /// Starts a trace that keeps so many spans, its root open.
    pub fn start_bounded(most: usize, op: String, description: String) -> Self {
        Self::start_as(most, TraceId(rand::random()), SpanId(rand::random()), SystemTime::now(), op, description)
    }

    /// Starts a trace that is known already.
    pub fn start_as(
        most: usize,
        id: TraceId,
        root: SpanId,
        started: SystemTime,
        op: String,
        description: String,
    ) -> Self {
        let root = Span {
            id: root,
            parent: None,
            op: op.into(),
            description,
            start: Duration::ZERO,
            duration: Duration::ZERO,
            status: Status::Ok,
            data: Vec::new(),
        };
        let trace = Trace { id, started, spans: vec![root], dropped: 0, contacts: Vec::new() };
        Self(Arc::new(Mutex::new(Recording {
            trace,
            most: most.min(MAX_SPANS),
            epoch: Instant::now(),
            held: None,
            open: vec![true],
            stack: vec![0],
            finished: false,
        })))
    }

    pub fn trace_id(&self) -> TraceId {
        self.lock().trace.id
    }

    /// When the trace started, on the monotonic clock.
    pub fn epoch(&self) -> Instant {
        self.lock().epoch
    }

    /// The wall-clock time of an instant, as UNIX seconds.
    pub fn unix_seconds(&self, at: Instant) -> f64 {
        let recording = self.lock();
        let started = recording.trace.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (started + at.saturating_duration_since(recording.epoch)).as_secs_f64()
    }

    /// The guest's innermost open span.
    pub fn current(&self) -> Handle {
        Handle(self.lock().stack.last().copied())
    }

    /// Opens a span under `parent`.
    pub fn open(&self, parent: Handle, op: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Handle {
        self.open_at(parent, op, description, self.now())
    }

    /// Opens a span that began at `start`.
    pub fn open_at(
        &self,
        parent: Handle,
        op: impl Into<Cow<'static, str>>,
        description: impl Into<String>,
        start: Instant,
    ) -> Handle {
        let mut recording = self.lock();
        if recording.finished || recording.trace.spans.len() >= recording.most {
            recording.trace.dropped += 1;
            return Handle(None);
        }
        let index = recording.trace.spans.len();
        let start = start.saturating_duration_since(recording.epoch);
        recording.trace.spans.push(Span {
            id: SpanId(rand::random()),
            parent: Some(parent.0.unwrap_or(0)),
            op: op.into(),
            description: description.into(),
            start,
            duration: Duration::ZERO,
            status: Status::Ok,
            data: Vec::new(),
        });
        recording.open.push(true);
        Handle(Some(index))
    }

    /// Opens a span of the guest's own, under its innermost open one, and makes it the innermost.
    pub fn push(&self, op: String, description: String) -> Handle {
        let span = self.open(self.current(), op, description);
        if let Some(index) = span.0 {
            self.lock().stack.push(index);
        }
        span
    }

    /// Ends a span of the guest's own, wherever it stands in the stack.
    pub fn pop(&self, span: Handle) {
        self.close(span);
        if let Some(index) = span.0 {
            self.lock().stack.retain(|open| *open != index);
        }
    }

    /// Ends a span of the guest's own, and all that is open in it with the status `unfinished`.
    pub fn pop_through(&self, span: Handle, unfinished: Status) {
        let mut recording = self.lock();
        let Some(outermost) = span.0 else { return };
        if recording.finished {
            return;
        }
        let end = recording.elapsed();
        let Recording { trace, open, stack, .. } = &mut *recording;
        let still_open: Vec<_> = (outermost..trace.spans.len()).filter(|index| open[*index]).collect();
        for index in still_open {
            // A parent always stands before its children.
            let ancestors = std::iter::successors(Some(index), |index| trace.spans[*index].parent);
            if ancestors.take_while(|index| *index >= outermost).any(|index| index == outermost) {
                open[index] = false;
                let inner = &mut trace.spans[index];
                inner.duration = end.saturating_sub(inner.start);
                if index != outermost {
                    inner.status = unfinished;
                }
            }
        }
        stack.retain(|index| open[*index]);
    }

    pub fn close(&self, span: Handle) {
        self.close_at(span, self.now());
    }

    /// Ends a span at `end`. A span that has ended stays as it is.
    pub fn close_at(&self, span: Handle, end: Instant) {
        let mut recording = self.lock();
        let Some(index) = span.0 else { return };
        if recording.finished || !std::mem::replace(&mut recording.open[index], false) {
            return;
        }
        let end = end.saturating_duration_since(recording.epoch);
        let span = &mut recording.trace.spans[index];
        span.duration = end.saturating_sub(span.start);
    }

    /// Ends a span that nobody waits for any longer. A span that has ended stays as it is.
    pub fn cancel(&self, span: Handle) {
        let is_open = span.0.is_some_and(|index| self.lock().open[index]);
        if is_open {
            self.set_status(span, Status::Cancelled);
            self.close(span);
        }
    }

    pub fn set_status(&self, span: Handle, status: Status) {
        let mut recording = self.lock();
        if let (Some(index), false) = (span.0, recording.finished) {
            recording.trace.spans[index].status = status;
        }
    }

    pub fn set(&self, span: Handle, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (key, value) = (key.into(), value.into());
        let mut recording = self.lock();
        let (Some(index), false) = (span.0, recording.finished) else { return };
        let data = &mut recording.trace.spans[index].data;
        match data.iter_mut().find(|(known, _)| *known == key) {
            Some(entry) => entry.1 = value,
            None => data.push((key, value)),
        }
    }

    /// The outermost span above `span`, and below `within`, that is not ok.
    pub fn failed_ancestor(&self, span: Handle, within: Handle) -> Option<Handle> {
        let recording = self.lock();
        let spans = &recording.trace.spans;
        let above = std::iter::successors(spans.get(span.0?)?.parent, |index| spans[*index].parent);
        let below = above.take_while(|index| Some(*index) != within.0);
        below.filter(|index| spans[*index].status != Status::Ok).last().map(|index| Handle(Some(index)))
    }

    /// Notes a contact. Of one host, that it answered is not undone by a silence.
    pub fn record_contact(&self, contact: Contact) {
        let mut recording = self.lock();
        if recording.finished {
            return;
        }
        let contacts = &mut recording.trace.contacts;
        match contacts.iter().position(|known| known.host == contact.host) {
            Some(known) if contacts[known].answered && !contact.answered => {}
            Some(known) => contacts[known] = contact,
            None if contacts.len() < MAX_CONTACTS => contacts.push(contact),
            None => {}
        }
    }

    /// The root, which holds the data of the run as a whole.
    pub fn root(&self) -> Handle {
        Handle(Some(0))
    }

    /// A span's id; that of none once the trace has been handed over.
    pub fn span_id(&self, span: Handle) -> SpanId {
        let recording = self.lock();
        recording.trace.spans.get(span.0.unwrap_or(0)).map_or(SpanId([0; 8]), |span| span.id)
    }

    /// Ends the trace and hands it over: the root gets `status`, spans still open end now with `unfinished`. Later writes
    /// are ignored.
    pub fn finish(&self, status: Status, unfinished: Status) -> Trace {
        let mut recording = self.lock();
        let end = recording.elapsed();
        let Recording { trace, open, finished, .. } = &mut *recording;
        *finished = true;
        for (index, span) in trace.spans.iter_mut().enumerate() {
            if std::mem::replace(&mut open[index], false) {
                span.duration = end.saturating_sub(span.start);
                span.status = if index == 0 { status } else { unfinished };
            }
        }
        if trace.dropped > 0 {
            let left_out = i64::try_from(trace.dropped).unwrap_or(i64::MAX);
            let data = &mut trace.spans[0].data;
            data.retain(|(key, _)| key != "spans.left_out");
            data.push(("spans.left_out".into(), Value::Integer(left_out)));
        }
        Trace { spans: std::mem::take(&mut trace.spans), contacts: std::mem::take(&mut trace.contacts), ..*trace }
    }

    fn lock(&self) -> MutexGuard<'_, Recording> {
        // A panic while recording leaves whole spans behind: each write is one field.
        self.0.lock()
    }
}

impl Trace {
    /// How long the whole run took.
    pub fn duration(&self) -> Duration {
        self.spans[0].duration
    }
}

#[cfg(test)]
mod tests;
