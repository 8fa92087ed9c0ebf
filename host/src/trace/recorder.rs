//! The recorder, which builds the trace of a run.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, MutexGuard, ReentrantMutex, ReentrantMutexGuard};

use super::id::{SpanId, TraceId};
use super::reachability::HostContact;
use super::span::{Span, Status, Trace, Value};

/// The maximum number of spans in a trace. Sentry accepts no more in a transaction.
pub const MAX_SPANS: usize = 1000;

/// The key in the root's data of the number of spans that were dropped because the trace was full.
pub const SPANS_LEFT_OUT: &str = "spans.left_out";

/// The maximum number of hosts in a trace. Redirects can lead to any number of hosts.
pub(super) const MAX_CONTACTS: usize = 100;

/// The maximum length of a span's description, and of a text in its data, in bytes. Longer ones are cut.
pub const MAX_TEXT_BYTES: usize = 4096;

/// Cuts a text to [`MAX_TEXT_BYTES`], between characters, and frees the rest of its memory.
fn bounded_text(mut text: String) -> String {
    if text.len() > MAX_TEXT_BYTES {
        text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
        text.shrink_to_fit();
    }
    text
}

impl Trace {
    /// Adds the number of spans that were dropped to the data of the root.
    pub(super) fn show_dropped(&mut self) {
        if self.dropped > 0 {
            let left_out = i64::try_from(self.dropped).unwrap_or(i64::MAX);
            let data = &mut self.spans[0].data;
            data.retain(|(key, _)| key != SPANS_LEFT_OUT);
            data.push((SPANS_LEFT_OUT.into(), Value::Integer(left_out)));
        }
    }
}

/// Builds a trace. All clones write to the same trace.
///
/// The recorder has a stack of the guest's open spans. Spans of the host become children of the innermost of them.
/// [`Recorder::finish`] ends the spans that are still open.
#[derive(Clone)]
pub struct Recorder(Arc<SharedTrace>);

struct SharedTrace {
    /// Locked by each access. A thread that has locked it keeps others from the trace for several accesses.
    exclusive: ReentrantMutex<()>,
    state: Mutex<OpenTrace>,
}

/// The locked trace. The fields are dropped in this order.
pub(super) struct LockedTrace<'a> {
    state: MutexGuard<'a, OpenTrace>,
    _exclusive: ReentrantMutexGuard<'a, ()>,
}

impl Deref for LockedTrace<'_> {
    type Target = OpenTrace;

    fn deref(&self) -> &OpenTrace {
        &self.state
    }
}

impl DerefMut for LockedTrace<'_> {
    fn deref_mut(&mut self) -> &mut OpenTrace {
        &mut self.state
    }
}

/// A trace that is not finished.
pub(super) struct OpenTrace {
    pub(super) trace: Trace,
    max_spans: usize,
    /// The time of [`Trace::started`] by the monotonic clock.
    pub(super) epoch: Instant,
    /// The time at which the clock is held, or `None` if it runs.
    pub(super) held_at: Option<Instant>,
    /// One value for each span: true if the span has not ended.
    pub(super) open: Vec<bool>,
    /// The guest's open spans, innermost last.
    stack: Vec<usize>,
    finished: bool,
}

/// A span of a [`Recorder`]. The handle of a span that was dropped because the trace was full refers to no span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handle(pub(super) Option<usize>);

impl Handle {
    /// Returns true unless the span was dropped because the trace was full.
    pub fn is_recorded(self) -> bool {
        self.0.is_some()
    }
}

impl Recorder {
    /// Starts a trace of at most [`MAX_SPANS`] spans. The root is open.
    pub fn start(op: String, description: String) -> Self {
        Self::start_bounded(MAX_SPANS, op, description)
    }

    /// Starts a trace of at most `max_spans` spans, and never more than [`MAX_SPANS`]. The root is open, and counts as
    /// one of them.
    pub fn start_bounded(max_spans: usize, op: String, description: String) -> Self {
        Self::start_as(max_spans, TraceId(rand::random()), SpanId(rand::random()), SystemTime::now(), op, description)
    }

    /// Starts a trace with given ids and start time, as a replay does.
    pub fn start_as(
        max_spans: usize,
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
            is_of_component: false,
        };
        let trace = Trace { id, started, spans: vec![root], dropped: 0, contacts: Vec::new() };
        let state = Mutex::new(OpenTrace {
            trace,
            max_spans: max_spans.min(MAX_SPANS),
            epoch: Instant::now(),
            held_at: None,
            open: vec![true],
            stack: vec![0],
            finished: false,
        });
        Self(Arc::new(SharedTrace { exclusive: ReentrantMutex::new(()), state }))
    }

    /// Returns the id of the trace.
    pub fn trace_id(&self) -> TraceId {
        self.lock().trace.id
    }

    /// Returns the time at which the trace started, by the monotonic clock.
    pub fn epoch(&self) -> Instant {
        self.lock().epoch
    }

    /// Returns the wall-clock time of an instant, in seconds since 1970. Instants before the trace count as its start.
    pub fn unix_seconds(&self, at: Instant) -> f64 {
        let state = self.lock();
        let started = state.trace.started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        (started + at.saturating_duration_since(state.epoch)).as_secs_f64()
    }

    /// Returns the innermost span that the guest has open, or the root.
    pub fn current(&self) -> Handle {
        Handle(self.lock().stack.last().copied())
    }

    /// Opens a child of `parent`. Returns a handle to no span if the trace is full or finished.
    pub fn open(&self, parent: Handle, op: impl Into<Cow<'static, str>>, description: impl Into<String>) -> Handle {
        self.open_at(parent, op, description, self.now())
    }

    /// Opens a child of `parent` that started at `start`, as [`Recorder::open`] does.
    pub fn open_at(
        &self,
        parent: Handle,
        op: impl Into<Cow<'static, str>>,
        description: impl Into<String>,
        start: Instant,
    ) -> Handle {
        let mut state = self.lock();
        if state.finished || state.trace.spans.len() >= state.max_spans {
            state.trace.dropped += 1;
            return Handle(None);
        }
        let index = state.trace.spans.len();
        let start = start.saturating_duration_since(state.epoch);
        state.trace.spans.push(Span {
            id: SpanId(rand::random()),
            parent: Some(parent.0.unwrap_or(0)),
            op: op.into(),
            description: bounded_text(description.into()),
            start,
            duration: Duration::ZERO,
            status: Status::Ok,
            data: Vec::new(),
            is_of_component: false,
        });
        state.open.push(true);
        Handle(Some(index))
    }

    /// Opens a span of the guest as a child of its innermost open span, and makes it the innermost one.
    pub fn push(&self, op: String, description: String) -> Handle {
        let span = self.open(self.current(), op, description);
        if let Some(index) = span.0 {
            self.lock().stack.push(index);
        }
        span
    }

    /// Marks a span as made by a third-party component.
    pub fn mark_of_component(&self, span: Handle) {
        let mut state = self.lock();
        if let Some(span) = span.0.and_then(|index| state.trace.spans.get_mut(index)) {
            span.is_of_component = true;
        }
    }

    /// Ends a span of the guest and removes it from the stack. It need not be the innermost one.
    pub fn pop(&self, span: Handle) {
        self.close(span);
        if let Some(index) = span.0 {
            self.lock().stack.retain(|open| *open != index);
        }
    }

    /// Ends a span of the guest with its own status, and its open descendants with the status `unfinished`.
    pub fn pop_through(&self, outermost: Handle, unfinished: Status) {
        let mut state = self.lock();
        let Some(outermost) = outermost.0 else { return };
        if state.finished {
            return;
        }
        let end = state.elapsed();
        let OpenTrace { trace, open, stack, .. } = &mut *state;
        let still_open: Vec<_> = (outermost..trace.spans.len()).filter(|index| open[*index]).collect();
        for index in still_open {
            // Every parent precedes its children, so ancestors have smaller indices.
            let ancestors = std::iter::successors(Some(index), |index| trace.spans[*index].parent);
            if ancestors.take_while(|index| *index >= outermost).any(|index| index == outermost) {
                open[index] = false;
                let span = &mut trace.spans[index];
                span.duration = end.saturating_sub(span.start);
                if index != outermost {
                    span.status = unfinished;
                }
            }
        }
        stack.retain(|index| open[*index]);
    }

    /// Ends a span now. A span that has ended stays as it is.
    pub fn close(&self, span: Handle) {
        self.close_at(span, self.now());
    }

    /// Ends a span at `end`. A span that has ended stays as it is.
    pub fn close_at(&self, span: Handle, end: Instant) {
        let mut state = self.lock();
        let Some(index) = span.0 else { return };
        if state.finished || !std::mem::replace(&mut state.open[index], false) {
            return;
        }
        let end = end.saturating_duration_since(state.epoch);
        let span = &mut state.trace.spans[index];
        span.duration = end.saturating_sub(span.start);
    }

    /// Ends a span now with [`Status::Cancelled`]. A span that has ended stays as it is.
    pub fn cancel(&self, span: Handle) {
        let is_open = span.0.is_some_and(|index| self.lock().open[index]);
        if is_open {
            self.set_status(span, Status::Cancelled);
            self.close(span);
        }
    }

    /// Sets the status of a span, which may have ended.
    pub fn set_status(&self, span: Handle, status: Status) {
        let mut state = self.lock();
        if let (Some(index), false) = (span.0, state.finished) {
            state.trace.spans[index].status = status;
        }
    }

    /// Sets a key of the data of a span, and replaces its earlier value, if any. The span may have ended.
    pub fn set(&self, span: Handle, key: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        let (key, mut value) = (key.into(), value.into());
        if let Value::Text(text) = &mut value {
            *text = bounded_text(std::mem::take(text));
        }
        let mut state = self.lock();
        let (Some(index), false) = (span.0, state.finished) else { return };
        let data = &mut state.trace.spans[index].data;
        match data.iter_mut().find(|(existing, _)| *existing == key) {
            Some(entry) => entry.1 = value,
            None => data.push((key, value)),
        }
    }

    /// Returns the outermost ancestor of `span`, below `top`, whose status is not [`Status::Ok`].
    pub fn failed_ancestor(&self, span: Handle, top: Handle) -> Option<Handle> {
        let state = self.lock();
        let spans = &state.trace.spans;
        let ancestors = std::iter::successors(spans.get(span.0?)?.parent, |index| spans[*index].parent);
        let candidates = ancestors.take_while(|index| Some(*index) != top.0);
        candidates.filter(|index| spans[*index].status != Status::Ok).last().map(|index| Handle(Some(index)))
    }

    /// Adds a contact, or replaces the earlier one with the same host. A contact without an answer does not replace one
    /// with an answer. A trace has at most 100 hosts; further ones are ignored.
    pub fn record_contact(&self, contact: HostContact) {
        let mut state = self.lock();
        if state.finished {
            return;
        }
        let contacts = &mut state.trace.contacts;
        match contacts.iter().position(|existing| existing.host == contact.host) {
            Some(existing) if contacts[existing].answered && !contact.answered => {}
            Some(existing) => contacts[existing] = contact,
            None if contacts.len() < MAX_CONTACTS => contacts.push(contact),
            None => {}
        }
    }

    /// Returns the root, which holds the data of the whole run.
    pub fn root(&self) -> Handle {
        Handle(Some(0))
    }

    /// Returns the id of a span. For a handle to no span, returns the id of the root. After [`Recorder::finish`],
    /// returns an id of zeros.
    pub fn span_id(&self, span: Handle) -> SpanId {
        let state = self.lock();
        state.trace.spans.get(span.0.unwrap_or(0)).map_or(SpanId([0; 8]), |span| span.id)
    }

    /// Ends the trace and returns it. The root gets `status`; other open spans end now with `unfinished`. Later
    /// writes are ignored.
    pub fn finish(&self, status: Status, unfinished: Status) -> Trace {
        let mut state = self.lock();
        let end = state.elapsed();
        let OpenTrace { trace, open, finished, .. } = &mut *state;
        *finished = true;
        for (index, span) in trace.spans.iter_mut().enumerate() {
            if std::mem::replace(&mut open[index], false) {
                span.duration = end.saturating_sub(span.start);
                span.status = if index == 0 { status } else { unfinished };
            }
        }
        trace.show_dropped();
        Trace { spans: std::mem::take(&mut trace.spans), contacts: std::mem::take(&mut trace.contacts), ..*trace }
    }

    /// Keeps other threads from the trace until the result is dropped: they wait when they access it. The current
    /// thread accesses it as before.
    pub fn exclusive(&self) -> ReentrantMutexGuard<'_, ()> {
        self.0.exclusive.lock()
    }

    pub(super) fn lock(&self) -> LockedTrace<'_> {
        // The locks are not poisoned by a panic. The spans stay valid, since each write sets one field.
        let exclusive = self.exclusive();
        LockedTrace { state: self.0.state.lock(), _exclusive: exclusive }
    }
}
