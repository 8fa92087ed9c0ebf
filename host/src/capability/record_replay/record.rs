//! Recording a run.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;

use crate::capability::evidence::Evidence;
use crate::capability::log_buffer::LogBuffer;
use crate::capability::record_replay::call::{CallRecord, approximate_size};
use crate::capability::record_replay::halt::Halt;
use crate::recording::{self, Answer, Effects, End, Entry, Span};
use crate::run::evidence::Exchange;
use crate::run::{Fault, FaultKind};
use crate::trace::{Recorder, SpanId, Trace};

/// Records the calls of a run, and with each call the spans, log lines and evidence that the host has added since the
/// call before it.
pub struct CallRecorder {
    recorder: Recorder,
    log: LogBuffer,
    entries: Vec<Entry>,
    /// Spans that a replay opens by itself: those of the attempts and of the guest.
    own_spans: HashSet<SpanId>,
    /// All other spans, as they were when they were recorded last.
    recorded_spans: HashMap<SpanId, Span>,
    /// The evidence of each exchange, as it was when it was recorded last, by the exchange's span.
    recorded_evidence: HashMap<SpanId, Exchange>,
    /// True if the evidence may have changed since it was recorded last, because a span has changed.
    evidence_changed: bool,
    /// The number of spans in the trace when changes were recorded last.
    spans_seen: usize,
    /// The number of spans dropped from the trace when changes were recorded last.
    dropped_seen: usize,
    /// The number of lines in the log when changes were recorded last.
    lines_seen: usize,
    /// The approximate number of bytes that may still be recorded.
    bytes_left: usize,
    /// True between the beginning and the end of an external call.
    in_external_call: bool,
    /// True between the beginning and the end of an attempt.
    is_guest_running: bool,
}

/// The approximate maximum size of a recording in memory. This is much more than an ordinary run needs, and bounds the
/// memory that one run can take from the host.
const MAX_RECORDING_BYTES: usize = 256 << 20;
/// The approximate number of bytes that an entry takes in addition to its values.
const ENTRY_BYTES: usize = 256;

impl CallRecorder {
    /// Returns a recorder for a run that has not begun.
    pub fn new(recorder: Recorder, log: LogBuffer) -> Self {
        let root = recorder.span_id(recorder.root());
        Self {
            recorder,
            log,
            entries: Vec::new(),
            own_spans: [root].into(),
            recorded_spans: HashMap::new(),
            recorded_evidence: HashMap::new(),
            evidence_changed: false,
            spans_seen: 1,
            dropped_seen: 0,
            lines_seen: 0,
            bytes_left: MAX_RECORDING_BYTES,
            in_external_call: false,
            is_guest_running: false,
        }
    }

    pub fn begin_attempt(&mut self) {
        let at = self.hold_clock();
        self.is_guest_running = true;
        self.entries.push(Entry::Attempt { at, span: None });
    }

    pub fn local(&mut self, call: CallRecord) {
        // When a guest's standard stream is dropped after the attempt's end, it may write a last line to the log. That
        // line is not recorded as a call.
        if self.is_guest_running && self.check().is_ok() {
            let (at, effects) = (self.hold_clock(), self.take_changes(None));
            self.use_bytes(ENTRY_BYTES * (1 + effects.spans.len()) + call.approximate_size());
            let before = (effects != Effects::default()).then(|| Box::new(effects));
            self.entries.push(Entry::Call(recording::Call { at, before, ..call.into_call() }));
        }
    }

    pub fn end_local(&mut self) {
        if !self.is_guest_running {
            return;
        }
        let current = self.recorder.span_id(self.recorder.current());
        let (opened, dropped) = self.recorder.read(|trace, _| {
            let opened = trace.spans[self.spans_seen..].iter().any(|span| span.id == current);
            (opened.then_some(current), trace.dropped)
        });
        // A replay drops the same spans and writes the same lines by itself.
        (self.dropped_seen, self.lines_seen) = (dropped, self.log.count());
        if let (Some(id), Some(Entry::Attempt { span, .. } | Entry::Call(recording::Call { span, .. }))) =
            (opened, self.entries.last_mut())
        {
            self.own_spans.insert(id);
            *span = Some(id);
        }
    }

    pub fn external(&mut self, call: CallRecord) -> Result<(), Halt> {
        let checked = self.check();
        self.use_bytes(ENTRY_BYTES + call.approximate_size());
        let at = self.hold_clock();
        let answer = Some(Answer::default());
        self.entries.push(Entry::Call(recording::Call { at, answer, ..call.into_call() }));
        self.in_external_call = true;
        checked?;
        self.recorder.release_clock();
        Ok(())
    }

    /// Checks whether more may be recorded.
    ///
    /// # Errors
    /// [`Halt::Stopped`] when the recording has reached its maximum size.
    pub fn check(&self) -> Result<(), Halt> {
        if self.bytes_left > 0 {
            return Ok(());
        }
        let message =
            format!("the recording is larger than {} MiB: make the probe request less data", MAX_RECORDING_BYTES >> 20);
        Err(Halt::Stopped(Fault { kind: FaultKind::Host, message, backtrace: Vec::new() }))
    }

    fn use_bytes(&mut self, bytes: usize) {
        self.bytes_left = self.bytes_left.saturating_sub(bytes);
    }

    pub fn end_external(&mut self, result: Option<Value>, evidence: &Evidence) {
        let (until, effects) = (self.hold_clock(), self.take_changes(Some(evidence)));
        self.in_external_call = false;
        self.use_bytes(
            result.as_ref().map_or(0, approximate_size) + ENTRY_BYTES * (effects.spans.len() + effects.evidence.len()),
        );
        if let Some(answer) = self.last_answer() {
            *answer = Answer { until, result, effects };
        }
    }

    pub fn end_attempt(&mut self, outcome: &str, fault: Option<&Fault>, evidence: &Evidence) {
        // Evidence can have changed even if no span has: traffic on a connection changes its span only when the
        // connection is closed.
        self.evidence_changed = true;
        let (at, mut effects) = (self.hold_clock(), self.take_changes(Some(evidence)));
        self.is_guest_running = false;
        if std::mem::take(&mut self.in_external_call)
            && let Some(answer) = self.last_answer()
        {
            *answer = Answer { until: at, result: None, effects: std::mem::take(&mut effects) };
        }
        self.entries.push(Entry::End(End { at, outcome: outcome.to_owned(), fault: fault.cloned(), effects }));
    }

    pub fn finish(&mut self, trace: &Trace) {
        let spans = trace.spans.iter().filter(|span| !self.own_spans.contains(&span.id));
        let spans = spans.map(|span| Span::from_trace(span, &trace.spans, false));
        let spans = spans.filter(|span| self.recorded_spans.get(&span.id) != Some(span)).collect();
        let log = self.log.since(self.lines_seen);
        let dropped = trace.dropped - self.dropped_seen;
        self.entries.push(Entry::Finish(Effects { spans, dropped, evidence: Vec::new(), log }));
    }

    pub fn take_entries(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// Stops the run's clock at the current time, and returns this time.
    fn hold_clock(&self) -> Duration {
        self.recorder.release_clock();
        let at = self.recorder.elapsed();
        self.recorder.hold_clock(at);
        at
    }

    fn last_answer(&mut self) -> Option<&mut Answer> {
        match self.entries.last_mut() {
            Some(Entry::Call(call)) => call.answer.as_mut(),
            _ => None,
        }
    }

    /// Returns what the host has added to the trace, to the log and to `evidence`, if given, since the last call of
    /// this function.
    fn take_changes(&mut self, evidence: Option<&Evidence>) -> Effects {
        // No line is written between reading the lines and counting them.
        let trace = self.recorder.clone();
        let _exclusive = trace.exclusive();
        let (own, recorded) = (&self.own_spans, &self.recorded_spans);
        let (spans, spans_seen, dropped) = self.recorder.read(|trace, open| {
            let may_have_changed = trace.spans.len() > self.spans_seen || recorded.values().any(|span| span.open);
            let others = trace.spans.iter().zip(open).filter(|(span, _)| may_have_changed && !own.contains(&span.id));
            let others = others.map(|(span, open)| Span::from_trace(span, &trace.spans, *open));
            let changed: Vec<_> = others.filter(|span| recorded.get(&span.id) != Some(span)).collect();
            (changed, trace.spans.len(), trace.dropped)
        });
        let (log, lines) = (self.log.since(self.lines_seen), self.log.count());
        let mut effects = Effects { spans, dropped: dropped - self.dropped_seen, evidence: Vec::new(), log };
        (self.spans_seen, self.dropped_seen, self.lines_seen) = (spans_seen, dropped, lines);
        self.recorded_spans.extend(effects.spans.iter().map(|span| (span.id, span.clone())));
        self.evidence_changed |= !effects.spans.is_empty();
        if let (true, Some(evidence)) = (self.evidence_changed, evidence) {
            self.evidence_changed = false;
            for (span, exchange) in evidence.exchanges() {
                let span = self.recorder.span_id(span);
                if self.recorded_evidence.get(&span) != Some(&exchange) {
                    self.recorded_evidence.insert(span, exchange.clone());
                    effects.evidence.push(recording::Evidence { span, exchange });
                }
            }
        }
        effects
    }
}
