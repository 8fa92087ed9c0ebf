//! A tape that is written.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde_json::Value;

use crate::capability::evidence::Evidence;
use crate::capability::log::Journal;
use crate::capability::record_replay::Halt;
use crate::capability::record_replay::call::{CallRecord, weight};
use crate::recording::{self, Answer, End, Entry, Left, Span};
use crate::run::evidence::Exchange;
use crate::run::{Fault, FaultKind};
use crate::trace::{Recorder, SpanId, Trace};

pub struct CallRecorder {
    recorder: Recorder,
    log: Journal,
    entries: Vec<Entry>,
    /// The attempt's or the guest's own, which a replay opens again.
    own: HashSet<SpanId>,
    /// How all others stood when they were last written down, and what there was to tell of their exchanges.
    known: HashMap<SpanId, Span>,
    told: HashMap<SpanId, Exchange>,
    /// Spans have changed since, and with them there may be more to tell.
    untold: bool,
    /// How much the tape accounts for: spans of the trace, such as found no room, and lines of the log.
    spans: usize,
    dropped: usize,
    lines: usize,
    /// Bytes that may still be written, about.
    room: usize,
    /// The guest waits for an answer to its last call.
    waits: bool,
    /// The guest runs.
    runs: bool,
}

/// Bytes of a tape, about: more than any honest run brings in, and as many as the host can spare for one.
const MOST: usize = 256 << 20;
/// What an entry takes beside what it holds.
const ENTRY: usize = 256;

impl CallRecorder {
    pub fn new(recorder: Recorder, log: Journal) -> Self {
        let root = recorder.span_id(recorder.root());
        Self {
            recorder,
            log,
            spans: 1,
            dropped: 0,
            lines: 0,
            room: MOST,
            entries: Vec::new(),
            own: [root].into(),
            known: HashMap::new(),
            told: HashMap::new(),
            untold: false,
            waits: false,
            runs: false,
        }
    }

    pub fn attempt(&mut self) {
        let at = self.stop();
        self.runs = true;
        self.entries.push(Entry::Attempt { at, span: None });
    }

    pub fn local(&mut self, said: CallRecord) {
        // What is still written down when the guest is taken apart comes after its end.
        if self.runs && self.check().is_ok() {
            let (at, left) = (self.stop(), self.left(None));
            self.take_room(ENTRY * (1 + left.spans.len()) + said.weight());
            let before = (left != Left::default()).then(|| Box::new(left));
            self.entries.push(Entry::Call(recording::Call { at, before, ..said.into_call() }));
        }
    }

    pub fn opened(&mut self) {
        if !self.runs {
            return;
        }
        let current = self.recorder.span_id(self.recorder.current());
        let (opened, dropped) = self.recorder.read(|trace, _| {
            let opened = trace.spans[self.spans..].iter().any(|span| span.id == current);
            (opened.then_some(current), trace.dropped)
        });
        // The guest's own, which a replay comes to by itself.
        (self.dropped, self.lines) = (dropped, self.log.count());
        if let (Some(id), Some(Entry::Attempt { span, .. } | Entry::Call(recording::Call { span, .. }))) =
            (opened, self.entries.last_mut())
        {
            self.own.insert(id);
            *span = Some(id);
        }
    }

    pub fn external(&mut self, said: CallRecord) -> Result<(), Halt> {
        let full = self.check();
        self.take_room(ENTRY + said.weight());
        let at = self.stop();
        let answer = Some(Answer::default());
        self.entries.push(Entry::Call(recording::Call { at, answer, ..said.into_call() }));
        self.waits = true;
        full?;
        self.recorder.release_clock();
        Ok(())
    }

    /// Whether there is room for more.
    pub fn check(&self) -> Result<(), Halt> {
        match self.room {
            0 => Err(Halt::Stopped(Fault {
                kind: FaultKind::Host,
                message: format!("the recording would take more than {} MiB: let the probe ask for less", MOST >> 20),
                backtrace: Vec::new(),
            })),
            _ => Ok(()),
        }
    }

    fn take_room(&mut self, bytes: usize) {
        self.room = self.room.saturating_sub(bytes);
    }

    pub fn answered(&mut self, result: Option<Value>, evidence: &Evidence) {
        let (until, left) = (self.stop(), self.left(Some(evidence)));
        self.waits = false;
        self.take_room(result.as_ref().map_or(0, weight) + ENTRY * (left.spans.len() + left.evidence.len()));
        if let Some(answer) = self.last_answer() {
            *answer = Answer { until, result, left };
        }
    }

    pub fn end(&mut self, outcome: &str, fault: Option<&Fault>, evidence: &Evidence) {
        // What goes over a connection changes no span of it before that is closed.
        self.untold = true;
        let (at, mut left) = (self.stop(), self.left(Some(evidence)));
        self.runs = false;
        if std::mem::take(&mut self.waits)
            && let Some(answer) = self.last_answer()
        {
            *answer = Answer { until: at, result: None, left: std::mem::take(&mut left) };
        }
        self.entries.push(Entry::End(End { at, outcome: outcome.to_owned(), fault: fault.cloned(), left }));
    }

    pub fn finish(&mut self, trace: &Trace) {
        let spans = trace.spans.iter().filter(|span| !self.own.contains(&span.id));
        let spans = spans.map(|span| Span::of(span, &trace.spans, false));
        let spans = spans.filter(|span| self.known.get(&span.id) != Some(span)).collect();
        let log = self.log.since(self.lines);
        self.entries.push(Entry::Finish(Left { spans, log, ..Left::default() }));
    }

    pub fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }

    /// Has the clock stand still from now on.
    fn stop(&self) -> Duration {
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

    /// What the host wrote since it was last asked; of exchanges too, where there is their evidence.
    fn left(&mut self, evidence: Option<&Evidence>) -> Left {
        let (own, known) = (&self.own, &self.known);
        let (spans, seen, dropped) = self.recorder.read(|trace, open| {
            let more = trace.spans.len() > self.spans || known.values().any(|span| span.open);
            let changed = trace.spans.iter().zip(open).filter(|(span, _)| more && !own.contains(&span.id));
            let changed = changed.map(|(span, open)| Span::of(span, &trace.spans, *open));
            let changed: Vec<_> = changed.filter(|span| known.get(&span.id) != Some(span)).collect();
            (changed, trace.spans.len(), trace.dropped)
        });
        let (log, lines) = (self.log.since(self.lines), self.log.count());
        let mut left = Left { spans, dropped: dropped - self.dropped, evidence: Vec::new(), log };
        (self.spans, self.dropped, self.lines) = (seen, dropped, lines);
        self.known.extend(left.spans.iter().map(|span| (span.id, span.clone())));
        self.untold |= !left.spans.is_empty();
        if let (true, Some(evidence)) = (self.untold, evidence) {
            self.untold = false;
            for (span, exchange) in evidence.told() {
                let span = self.recorder.span_id(span);
                if self.told.get(&span) != Some(&exchange) {
                    self.told.insert(span, exchange.clone());
                    left.evidence.push(recording::Evidence { span, exchange });
                }
            }
        }
        left
    }
}
