//! Replaying a run.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::capability::evidence::Evidence;
use crate::capability::log_buffer::LogBuffer;
use crate::capability::record_replay::call::{CallRecord, display};
use crate::capability::record_replay::halt::Halt;
use crate::capability::record_replay::matching::all_match;
use crate::recording::{Call, Effects, End, Entry};
use crate::run::{Fault, FaultKind};
use crate::trace::{Recorder, SpanId, Trace};

/// Follows the entries of a recording while a guest runs: checks each call against the recorded one, and restores what
/// the host had added to the trace, to the log and to the evidence.
pub struct Replayer {
    recorder: Recorder,
    log: LogBuffer,
    entries: Vec<Entry>,
    /// True if the component is the one that was recorded.
    same_component: bool,
    state: State,
    /// The index of the next entry.
    next: usize,
    /// The time when the last entry was reached, by this machine's clock and by the recorded run's.
    last_reached: (Instant, Duration),
    /// The number of spans in the trace when the guest made its last call.
    spans_before: usize,
    /// The id of the span that the same call opened in the recorded run, if it opened one.
    opened_span: Option<SpanId>,
    /// True once a warning has been logged that a local call differs from the recording.
    difference_reported: bool,
}

/// Calls that earlier versions of the built-in probes did not make. They return nothing, and say how a response is
/// taken. In a recording of such a version they are missing, and are not made.
const ADDED_CALLS: [&str; 2] = ["http.request.cookies", "http.request.decoding"];

#[derive(PartialEq)]
enum State {
    /// No attempt has begun since the last one ended.
    BetweenAttempts,
    /// The guest runs.
    Running,
    /// The guest has made another external call than the recorded one.
    Diverged,
}

impl Replayer {
    /// Returns a replayer at the beginning of a recording.
    pub fn new(recorder: Recorder, log: LogBuffer, entries: Vec<Entry>, same_component: bool) -> Self {
        Self {
            recorder,
            log,
            entries,
            same_component,
            state: State::BetweenAttempts,
            next: 0,
            last_reached: (Instant::now(), Duration::ZERO),
            spans_before: 1,
            opened_span: None,
            difference_reported: false,
        }
    }

    pub fn begin_attempt(&mut self) {
        self.begin_call();
        self.state = State::Running;
        let ahead = &self.entries[self.next..];
        let attempt = ahead.iter().enumerate().find_map(|(skipped, entry)| match entry {
            Entry::Attempt { at, span } => Some((skipped, *at, *span)),
            _ => None,
        });
        match attempt {
            Some((skipped, at, span)) => {
                self.reach(self.next + skipped, at);
                self.opened_span = span;
            }
            None => self.next = self.entries.len(),
        }
    }

    /// Follows a local call. The call may differ from the recording, since a replay can run a changed probe to debug
    /// it: the first difference is logged as a warning. If the call is among the recorded local calls before the next
    /// external call, the clock is set to the time of the recorded call.
    pub fn local(&mut self, call: &CallRecord) -> Result<(), Halt> {
        if self.state != State::Running {
            return Ok(());
        }
        self.begin_call();
        let mut index = self.next;
        while let Some(Entry::Call(recorded @ Call { answer: None, .. })) = self.entries.get(index) {
            if is_same_call(recorded, call) {
                let (at, span) = (recorded.at, recorded.span);
                if index > self.next {
                    self.report_difference(self.next, call);
                }
                self.reach(index, at);
                self.begin_call();
                self.opened_span = span;
                return Ok(());
            }
            index += 1;
        }
        if let Some(fault) = self.limit_fault() {
            return Err(Halt::Stopped(fault));
        }
        self.report_difference(self.next, call);
        Ok(())
    }

    /// Returns the limit that ended the recorded attempt, if the same component has now made all the calls before it.
    pub fn limit_fault(&self) -> Option<Fault> {
        let at_end = matches!(self.entries.get(self.next), Some(Entry::End(_)));
        self.recorded_limit_fault().filter(|_| self.same_component && at_end)
    }

    pub fn end_local(&mut self) {
        if let Some(id) = self.opened_span.take() {
            self.recorder.set_span_id(self.spans_before, id);
        }
    }

    pub fn external(&mut self, call: &CallRecord) -> Result<Value, Halt> {
        self.begin_call();
        let index = self.next_external();
        let number = self.call_number(index);
        let (expected, recorded) = match self.entries.get(index) {
            Some(Entry::Call(recorded)) => (display(&recorded.call, &recorded.with), Some(recorded.clone())),
            _ => ("the end of the run".to_owned(), None),
        };
        if let (None, true, Some(fault)) = (&recorded, self.same_component, self.recorded_limit_fault()) {
            return Err(Halt::Stopped(fault));
        }
        let has_other_handle =
            recorded.as_ref().is_some_and(|recorded| recorded.call == call.name() && !has_same_handles(recorded, call));
        let recorded = recorded.filter(|recorded| is_same_call(recorded, call));
        if recorded.is_none() && !self.same_component && ADDED_CALLS.contains(&call.name()) {
            self.report_difference(index, call);
            return Ok(Value::Null);
        }
        let Some(Call { answer: Some(answer), .. }) = recorded else {
            self.state = State::Diverged;
            return Err(Halt::Diverged(format!(
                "diverges from the recording at call {number}: recorded {expected}, now {}{}; if that is intended, record it anew",
                call.display(),
                if has_other_handle { " of another handle" } else { "" }
            )));
        };
        if index > self.next {
            self.report_difference(self.next, call);
        }
        self.reach(index, answer.until);
        self.restore(&answer.effects);
        match (answer.result, self.recorded_fault()) {
            (Some(result), _) => Ok(result),
            (None, Some(fault)) => Err(Halt::Stopped(fault)),
            (None, None) => Err(Halt::Diverged(format!(
                "the recording is damaged: call {number} has no result, though nothing stopped the probe; record it anew"
            ))),
        }
    }

    pub fn end_attempt(&mut self, evidence: &Evidence) {
        let index = self.next_external();
        if let (Some(Entry::End(End { at, effects, .. })), false) =
            (self.entries.get(index), self.state == State::Diverged)
        {
            let (at, effects) = (*at, effects.clone());
            self.reach(index, at);
            self.restore(&effects);
        }
        if self.state == State::Running {
            self.state = State::BetweenAttempts;
        }
        // The evidence of the whole attempt is restored here at once, since it is read only after the attempt.
        let attempt =
            self.entries[..self.next].iter().rev().take_while(|entry| !matches!(entry, Entry::Attempt { .. }));
        let changes: Vec<_> = attempt.filter_map(changes).collect();
        for recorded in changes.into_iter().rev().flat_map(|effects| &effects.evidence) {
            if let Some(span) = self.recorder.find_span(recorded.span) {
                evidence.set_replayed(span, recorded.exchange.clone());
            }
        }
    }

    pub fn finish(&self, trace: &mut Trace) {
        if let (Some(Entry::Finish(effects)), false) = (self.entries.last(), self.state == State::Diverged) {
            effects.log.iter().for_each(|line| self.log.insert(line.clone()));
            trace.add_dropped(effects.dropped);
            for span in &effects.spans {
                if self.same_component || trace.spans.iter().any(|known| known.id == span.id) {
                    trace.restore_span(span.to_trace(), span.parent);
                }
            }
        }
    }

    /// Stops a guest that computes, if a limit ended the recorded attempt after its last external call, and the replay
    /// has run for as long since then.
    pub fn check(&self) -> Result<(), Halt> {
        let end = self.entries[self.next..].iter().find_map(|entry| match entry {
            Entry::End(end) => Some(end),
            _ => None,
        });
        let (reached_at, recorded_at) = self.last_reached;
        match (end, self.recorded_limit_fault()) {
            (Some(end), Some(fault))
                if self.has_no_external_left() && reached_at.elapsed() >= end.at.saturating_sub(recorded_at) =>
            {
                Err(Halt::Stopped(fault))
            }
            _ => Ok(()),
        }
    }

    fn begin_call(&mut self) {
        self.spans_before = self.recorder.read(|trace, _| trace.spans.len());
        self.opened_span = None;
    }

    /// Advances past an entry and sets the clock to `at`. Restores what the host had added to the trace and to the log
    /// before the local calls up to this entry.
    fn reach(&mut self, index: usize, at: Duration) {
        for entry in &self.entries[self.next..=index] {
            if let Entry::Call(Call { before: Some(effects), .. }) = entry {
                self.restore(effects);
            }
        }
        self.next = index + 1;
        self.last_reached = (Instant::now(), at);
        self.recorder.hold_clock(at);
    }

    /// Returns the index of the next entry that is not a local call.
    fn next_external(&self) -> usize {
        let is_local = |entry: &&Entry| matches!(entry, Entry::Call(Call { answer: None, .. }));
        self.next + self.entries[self.next..].iter().take_while(is_local).count()
    }

    /// Returns true if the recorded attempt made no further external call.
    fn has_no_external_left(&self) -> bool {
        !matches!(self.entries.get(self.next_external()), Some(Entry::Call(_)))
    }

    /// Returns the fault that ended the recorded attempt, if one did.
    fn recorded_fault(&self) -> Option<Fault> {
        self.entries[self.next..].iter().find_map(|entry| match entry {
            Entry::End(end) => Some(end.fault.clone()),
            _ => None,
        })?
    }

    /// Returns the fault that ended the recorded attempt, if it was a limit or a fault of the host. Such a fault may
    /// not occur again by itself in a replay.
    fn recorded_limit_fault(&self) -> Option<Fault> {
        self.recorded_fault().filter(|fault| matches!(fault.kind, FaultKind::Limit(_) | FaultKind::Host))
    }

    fn restore(&self, effects: &Effects) {
        for span in &effects.spans {
            self.recorder.restore_span(span.to_trace(), span.parent, span.open);
        }
        self.recorder.add_dropped(effects.dropped);
        effects.log.iter().for_each(|line| self.log.insert(line.clone()));
    }

    /// Returns the number of a call among all recorded calls, from 1.
    fn call_number(&self, index: usize) -> usize {
        1 + self.entries.iter().take(index).filter(|entry| matches!(entry, Entry::Call(_))).count()
    }

    fn report_difference(&mut self, index: usize, call: &CallRecord) {
        if !std::mem::replace(&mut self.difference_reported, true) {
            let recorded = match self.entries.get(index) {
                Some(Entry::Call(recorded)) => display(&recorded.call, &recorded.with),
                _ => "the end of the run".to_owned(),
            };
            tracing::warn!(
                "the probe's spans or log lines differ from the recording, first at call {}: recorded {recorded}, now {}",
                self.call_number(index),
                call.display()
            );
        }
    }
}

fn is_same_call(recorded: &Call, call: &CallRecord) -> bool {
    recorded.call == call.name() && all_match(&recorded.with, call.arguments()) && has_same_handles(recorded, call)
}

/// Returns true if a call has the same handles as the recorded one. Handles that local calls have returned are not
/// compared, since their numbers change when a guest opens one span more.
fn has_same_handles(recorded: &Call, call: &CallRecord) -> bool {
    let mut pairs = recorded.handles.iter().zip(call.handles());
    pairs.all(|(recorded, now)| now.is_none_or(|now| now == *recorded))
}

/// Returns what the host had added by the end of an entry.
fn changes(entry: &Entry) -> Option<&Effects> {
    match entry {
        Entry::Call(call) => call.answer.as_ref().map(|answer| &answer.effects),
        Entry::End(end) => Some(&end.effects),
        Entry::Attempt { .. } | Entry::Finish(_) => None,
    }
}
