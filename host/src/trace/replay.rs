//! A trace whose time is held, and whose spans are put there as they once were: what recording and replaying a run take.
//! Knows nothing of what is recorded.

use std::time::{Duration, Instant, SystemTime};

use super::{Handle, Recorder, Recording, Span, SpanId, Trace};

impl Recorder {
    /// The time, which stands still while it is held.
    pub fn now(&self) -> Instant {
        self.lock().now()
    }

    /// The same by the wall clock.
    pub fn wall(&self) -> SystemTime {
        let recording = self.lock();
        recording.trace.started + recording.elapsed()
    }

    /// Since the start of the trace.
    pub fn elapsed(&self) -> Duration {
        self.lock().elapsed()
    }

    /// Has the time stand still, so long after the start of the trace.
    pub fn hold_clock(&self, at: Duration) {
        let mut recording = self.lock();
        recording.held = recording.epoch.checked_add(at);
    }

    /// Has it go on as everybody else's.
    pub fn release_clock(&self) {
        self.lock().held = None;
    }

    /// The trace as it stands; `open` says of each span whether it has not ended.
    pub fn read<T>(&self, read: impl FnOnce(&Trace, &[bool]) -> T) -> T {
        let recording = self.lock();
        read(&recording.trace, &recording.open)
    }

    /// Gives a span the id that it once had.
    pub fn rename(&self, index: usize, id: SpanId) {
        if let Some(span) = self.lock().trace.spans.get_mut(index) {
            span.id = id;
        }
    }

    /// Puts a span there as it once was, under the one with the id `parent`, or in the place of itself.
    pub fn insert(&self, mut span: Span, parent: Option<SpanId>, is_open: bool) -> Handle {
        let mut recording = self.lock();
        let Recording { trace, open, .. } = &mut *recording;
        let index = trace.parent_index(&mut span, parent);
        if index == open.len() {
            open.push(is_open);
        }
        open[index] = is_open;
        trace.spans[index] = span;
        Handle(Some(index))
    }

    /// The span with an id.
    pub fn find(&self, id: SpanId) -> Option<Handle> {
        self.lock().trace.spans.iter().position(|span| span.id == id).map(|index| Handle(Some(index)))
    }

    /// Counts spans for which there was no room.
    pub fn drop_more(&self, spans: usize) {
        self.lock().trace.dropped += spans;
    }
}

impl Recording {
    fn now(&self) -> Instant {
        self.held.unwrap_or_else(Instant::now)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.now().saturating_duration_since(self.epoch)
    }
}

impl Trace {
    /// Where a span stands that is known by its id, or a place for it, under the one with the id `parent`.
    fn parent_index(&mut self, span: &mut Span, parent: Option<SpanId>) -> usize {
        let known = self.spans.iter().position(|known| known.id == span.id);
        let before = &self.spans[..known.unwrap_or(self.spans.len())];
        let parent = before.iter().position(|known| Some(known.id) == parent).unwrap_or(0);
        // A parent always stands before its children, and the root has none.
        span.parent = (known != Some(0)).then_some(parent);
        known.unwrap_or_else(|| {
            self.spans.push(span.clone());
            self.spans.len() - 1
        })
    }

    /// Puts a span there, as [`Recorder::put`] does, in a trace that is finished.
    pub fn put(&mut self, mut span: Span, parent: Option<SpanId>) {
        let index = self.parent_index(&mut span, parent);
        self.spans[index] = span;
    }
}
