//! A tape that is read.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::capability::evidence::Evidence;
use crate::capability::log::Journal;
use crate::capability::record_replay::Halt;
use crate::capability::record_replay::call::{CallRecord, shown};
use crate::capability::record_replay::matching::all_match;
use crate::recording::{Call, End, Entry, Left};
use crate::run::{Fault, FaultKind};
use crate::trace::{Recorder, SpanId, Trace};

pub struct Replayer {
    recorder: Recorder,
    log: Journal,
    entries: Vec<Entry>,
    /// The component is the one that was recorded.
    same: bool,
    state: State,
    /// The entry that is to come.
    next: usize,
    /// When the last one came, by the time of this run and by that of the recorded one.
    came: (Instant, Duration),
    /// Spans of the trace when the guest made its last call, and the id of the one that it opens.
    before: usize,
    opens: Option<SpanId>,
    /// That the guest says something else has been told.
    told: bool,
}

#[derive(PartialEq)]
enum State {
    /// Before an attempt, or after it.
    Between,
    /// The guest runs.
    Runs,
    /// It has done otherwise than recorded.
    Departed,
}

impl Replayer {
    pub fn new(recorder: Recorder, log: Journal, entries: Vec<Entry>, same: bool) -> Self {
        Self {
            recorder,
            log,
            entries,
            same,
            state: State::Between,
            next: 0,
            came: (Instant::now(), Duration::ZERO),
            before: 1,
            opens: None,
            told: false,
        }
    }

    pub fn attempt(&mut self) {
        self.begin();
        self.state = State::Runs;
        let ahead = &self.entries[self.next..];
        let attempt = ahead.iter().enumerate().find_map(|(skipped, entry)| match entry {
            Entry::Attempt { at, span } => Some((skipped, *at, *span)),
            _ => None,
        });
        match attempt {
            Some((skipped, at, span)) => {
                self.come(self.next + skipped, at);
                self.opens = span;
            }
            None => self.next = self.entries.len(),
        }
    }

    /// What a guest says may differ: it is debugged so. Where it says what it said, it says so when it did.
    pub fn local(&mut self, said: &CallRecord) -> Result<(), Halt> {
        if self.state != State::Runs {
            return Ok(());
        }
        self.begin();
        let mut index = self.next;
        while let Some(Entry::Call(call @ Call { answer: None, .. })) = self.entries.get(index) {
            if is(call, said) {
                let (at, span) = (call.at, call.span);
                if index > self.next {
                    self.differs(self.next, said);
                }
                self.come(index, at);
                self.begin();
                self.opens = span;
                return Ok(());
            }
            index += 1;
        }
        if let Some(fault) = self.limit_fault() {
            return Err(Halt::Stopped(fault));
        }
        self.differs(self.next, said);
        Ok(())
    }

    /// What stopped the attempt that was recorded, where the same guest has done all that it did until then.
    pub fn limit_fault(&self) -> Option<Fault> {
        let done = matches!(self.entries.get(self.next), Some(Entry::End(_)));
        self.stopped().filter(|_| self.same && done)
    }

    pub fn opened(&mut self) {
        if let Some(id) = self.opens.take() {
            self.recorder.rename(self.before, id);
        }
    }

    pub fn external(&mut self, said: &CallRecord) -> Result<Value, Halt> {
        self.begin();
        let index = self.ahead();
        let number = self.number(index);
        let (recorded, call) = match self.entries.get(index) {
            Some(Entry::Call(call)) => (shown(&call.call, &call.with), Some(call.clone())),
            _ => ("the end of the run".to_owned(), None),
        };
        if let (None, true, Some(fault)) = (&call, self.same, self.stopped()) {
            return Err(Halt::Stopped(fault));
        }
        let of_other = call.as_ref().is_some_and(|call| call.call == said.name() && !of_same(call, said));
        let call = call.filter(|call| is(call, said));
        let Some(Call { answer: Some(answer), .. }) = call else {
            self.state = State::Departed;
            return Err(Halt::Departed(format!(
                "departs from the recording at call {number}: recorded {recorded}, now {}{}; record anew what is to be so",
                said.display(),
                if of_other { " of another handle" } else { "" }
            )));
        };
        if index > self.next {
            self.differs(self.next, said);
        }
        self.come(index, answer.until);
        self.put(&answer.left);
        match (answer.result, self.fault()) {
            (Some(result), _) => Ok(result),
            (None, Some(fault)) => Err(Halt::Stopped(fault)),
            (None, None) => Err(Halt::Departed(format!(
                "the recording is damaged: call {number} has no result, though nothing stopped the probe; record it anew"
            ))),
        }
    }

    pub fn end(&mut self, evidence: &Evidence) {
        let index = self.ahead();
        if let (Some(Entry::End(End { at, left, .. })), false) =
            (self.entries.get(index), self.state == State::Departed)
        {
            let (at, left) = (*at, left.clone());
            self.come(index, at);
            self.put(&left);
        }
        if self.state == State::Runs {
            self.state = State::Between;
        }
        // All at once: it is looked at now, and no more is to come.
        let told = self.entries[..self.next].iter().rev().take_while(|entry| !matches!(entry, Entry::Attempt { .. }));
        let told: Vec<_> = told.filter_map(left).collect();
        for told in told.into_iter().rev().flat_map(|left| &left.evidence) {
            if let Some(span) = self.recorder.find(told.span) {
                evidence.put(span, told.exchange.clone());
            }
        }
    }

    pub fn finish(&self, trace: &mut Trace) {
        if let (Some(Entry::Finish(left)), false) = (self.entries.last(), self.state == State::Departed) {
            left.log.iter().for_each(|line| self.log.insert(line.clone()));
            for span in &left.spans {
                if self.same || trace.spans.iter().any(|known| known.id == span.id) {
                    trace.put(span.to_trace(), span.parent);
                }
            }
        }
    }

    pub fn check(&self) -> Result<(), Halt> {
        let end = self.entries[self.next..].iter().find_map(|entry| match entry {
            Entry::End(end) => Some(end),
            _ => None,
        });
        match (end, self.stopped()) {
            (Some(end), Some(fault)) if self.over() && self.came.0.elapsed() >= end.at.saturating_sub(self.came.1) => {
                Err(Halt::Stopped(fault))
            }
            _ => Ok(()),
        }
    }

    fn begin(&mut self) {
        self.before = self.recorder.read(|trace, _| trace.spans.len());
        self.opens = None;
    }

    /// An entry has come to pass, and what the host wrote before it.
    fn come(&mut self, index: usize, at: Duration) {
        for entry in &self.entries[self.next..=index] {
            if let Entry::Call(Call { before: Some(left), .. }) = entry {
                self.put(left);
            }
        }
        self.next = index + 1;
        self.came = (Instant::now(), at);
        self.recorder.hold_clock(at);
    }

    /// Where the next call to the outside stands, or what comes instead of one.
    fn ahead(&self) -> usize {
        let says = |entry: &&Entry| matches!(entry, Entry::Call(Call { answer: None, .. }));
        self.next + self.entries[self.next..].iter().take_while(says).count()
    }

    /// The attempt that was recorded asked for no more.
    fn over(&self) -> bool {
        !matches!(self.entries.get(self.ahead()), Some(Entry::Call(_)))
    }

    /// What stopped the attempt that was recorded.
    fn fault(&self) -> Option<Fault> {
        self.entries[self.next..].iter().find_map(|entry| match entry {
            Entry::End(end) => Some(end.fault.clone()),
            _ => None,
        })?
    }

    /// The same where a limit did, which the guest alone may not come to again.
    fn stopped(&self) -> Option<Fault> {
        self.fault().filter(|fault| matches!(fault.kind, FaultKind::Limit(_) | FaultKind::Host))
    }

    fn put(&self, left: &Left) {
        for span in &left.spans {
            self.recorder.insert(span.to_trace(), span.parent, span.open);
        }
        self.recorder.drop_more(left.dropped);
        left.log.iter().for_each(|line| self.log.insert(line.clone()));
    }

    /// The number of a call among all calls, from one on.
    fn number(&self, index: usize) -> usize {
        1 + self.entries.iter().take(index).filter(|entry| matches!(entry, Entry::Call(_))).count()
    }

    fn differs(&mut self, index: usize, said: &CallRecord) {
        if !std::mem::replace(&mut self.told, true) {
            let recorded = match self.entries.get(index) {
                Some(Entry::Call(call)) => shown(&call.call, &call.with),
                _ => "the end of the run".to_owned(),
            };
            tracing::warn!(
                "the probe says otherwise than recorded, first at call {}: recorded {recorded}, now {}",
                self.number(index),
                said.display()
            );
        }
    }
}

fn is(call: &Call, said: &CallRecord) -> bool {
    call.call == said.name() && all_match(&call.with, said.given()) && of_same(call, said)
}

/// Whether a call is about the handles that it was about. Those that follow from calls are left out: they have other
/// numbers when a guest opens one span more.
fn of_same(call: &Call, said: &CallRecord) -> bool {
    let mut pairs = call.handles.iter().zip(said.handles());
    pairs.all(|(recorded, now)| now.is_none_or(|now| now == *recorded))
}

fn left(entry: &Entry) -> Option<&Left> {
    match entry {
        Entry::Call(call) => call.answer.as_ref().map(|answer| &answer.left),
        Entry::End(end) => Some(&end.left),
        Entry::Attempt { .. } | Entry::Finish(_) => None,
    }
}
