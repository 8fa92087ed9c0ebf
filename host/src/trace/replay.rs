//! The parts of a [`Recorder`] that recording and replaying a run need: a clock that can be held, and spans that are
//! restored as they were recorded.

use std::time::{Duration, Instant, SystemTime};

use super::id::SpanId;
use super::recorder::{Handle, OpenTrace, Recorder};
use super::span::{Span, Trace};

impl Recorder {
    /// Returns the current time, or the time at which the clock is held.
    pub fn now(&self) -> Instant {
        self.lock().now()
    }

    /// Returns [`Recorder::now`] as wall-clock time.
    pub fn wall_clock(&self) -> SystemTime {
        let state = self.lock();
        state.trace.started + state.elapsed()
    }

    /// Returns the time since the start of the trace, by the clock that may be held.
    pub fn elapsed(&self) -> Duration {
        self.lock().elapsed()
    }

    /// Holds the clock at an offset from the start of the trace.
    pub fn hold_clock(&self, at: Duration) {
        let mut state = self.lock();
        state.held_at = state.epoch.checked_add(at);
    }

    /// Lets the clock run again, from the real time.
    pub fn release_clock(&self) {
        self.lock().held_at = None;
    }

    /// Calls a closure with the unfinished trace and, for each span, true if the span is open.
    pub fn read<T>(&self, read: impl FnOnce(&Trace, &[bool]) -> T) -> T {
        let state = self.lock();
        read(&state.trace, &state.open)
    }

    /// Sets the id of the span at an index, if there is one.
    pub fn set_span_id(&self, index: usize, id: SpanId) {
        if let Some(span) = self.lock().trace.spans.get_mut(index) {
            span.id = id;
        }
    }

    /// Adds a recorded span below the span with the id `parent`, or replaces the span with the same id.
    pub fn restore_span(&self, mut span: Span, parent: Option<SpanId>, is_open: bool) -> Handle {
        let mut state = self.lock();
        let OpenTrace { trace, open, .. } = &mut *state;
        let index = trace.insert_index(&mut span, parent);
        if index == open.len() {
            open.push(is_open);
        }
        open[index] = is_open;
        trace.spans[index] = span;
        Handle(Some(index))
    }

    /// Returns the span with an id.
    pub fn find_span(&self, id: SpanId) -> Option<Handle> {
        self.lock().trace.spans.iter().position(|span| span.id == id).map(|index| Handle(Some(index)))
    }

    /// Adds to the number of spans that were dropped because the trace was full.
    pub fn add_dropped(&self, spans: usize) {
        self.lock().trace.dropped += spans;
    }
}

impl OpenTrace {
    fn now(&self) -> Instant {
        self.held_at.unwrap_or_else(Instant::now)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now().saturating_duration_since(self.epoch)
    }
}

impl Trace {
    /// Returns the index of the span with the same id; adds the span at the end if there is none. Sets the parent of
    /// `span` to the span with the id `parent` if this parent precedes `span`, and to the root otherwise. The root gets
    /// no parent.
    fn insert_index(&mut self, span: &mut Span, parent: Option<SpanId>) -> usize {
        let known = self.spans.iter().position(|known| known.id == span.id);
        let before = &self.spans[..known.unwrap_or(self.spans.len())];
        let parent = before.iter().position(|known| Some(known.id) == parent).unwrap_or(0);
        span.parent = (known != Some(0)).then_some(parent);
        known.unwrap_or_else(|| {
            self.spans.push(span.clone());
            self.spans.len() - 1
        })
    }

    /// Adds to the number of spans that were dropped from a finished trace because it was full.
    pub fn add_dropped(&mut self, spans: usize) {
        self.dropped += spans;
        self.show_dropped();
    }

    /// Adds or replaces a span of a finished trace, as [`Recorder::restore_span`] does.
    pub fn restore_span(&mut self, mut span: Span, parent: Option<SpanId>) {
        let index = self.insert_index(&mut span, parent);
        self.spans[index] = span;
    }
}
