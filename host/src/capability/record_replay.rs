//! The tape of a run: every call of the guest's, and what came of it from outside. A run that is recorded writes it; one
//! that is replayed reads it, and touches nothing else.
//!
//! A call either follows from those before it (the guest's spans, lines of its log, what it reads of an answer), or it
//! has to do with the outside. The former happen again while a run is replayed; the latter are taken from the tape.
//! Between calls the run's clock stands still, so that both runs go by the same times.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use crate::capability::evidence::Evidence;
use crate::capability::log::Journal;
use crate::capability::record_replay::record::CallRecorder;
use crate::capability::record_replay::replay::Replayer;
use crate::recording::Entry;
use crate::run::Fault;
use crate::trace::{Recorder, Trace};

mod intercept;
mod matching;
mod replay;
mod call;
mod codec;
mod wasi;
mod record;

pub use call::CallRecord;
pub use codec::body;
pub use intercept::Intercepted;
pub use wasi::link;

/// A run's tape, or none. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct RecordReplay(Option<Arc<Mutex<Mode>>>);

enum Mode {
    Write(CallRecorder),
    Read(Replayer),
}

/// Why the guest cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Halt {
    /// The run that was recorded was stopped here; or is, while it is recorded.
    #[error("{}", .0.message)]
    Stopped(Fault),
    #[error("{0}")]
    Departed(String),
}

impl RecordReplay {
    /// An empty one, for a run that has this recorder and this log.
    pub fn record(recorder: &Recorder, log: &Journal) -> Self {
        Self(Some(Arc::new(Mutex::new(Mode::Write(CallRecorder::new(recorder.clone(), log.clone()))))))
    }

    /// A written one. `same` says whether the component is the one that was recorded.
    pub fn replay(recorder: &Recorder, log: &Journal, entries: Vec<Entry>, same: bool) -> Self {
        Self(Some(Arc::new(Mutex::new(Mode::Read(Replayer::new(recorder.clone(), log.clone(), entries, same))))))
    }

    pub fn is_off(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the run is replayed.
    pub fn is_replay(&self) -> bool {
        matches!(self.mode().as_deref(), Some(Mode::Read(_)))
    }

    /// An attempt begins.
    pub fn attempt(&self) {
        match self.mode().as_deref_mut() {
            Some(Mode::Write(writing)) => writing.attempt(),
            Some(Mode::Read(reading)) => reading.attempt(),
            None => {}
        }
    }

    /// A call that follows from those before it.
    ///
    /// # Errors
    /// When the run that was recorded was stopped before it.
    pub fn local(&self, said: CallRecord) -> Result<(), Halt> {
        match self.mode().as_deref_mut() {
            Some(Mode::Write(writing)) => writing.local(said),
            Some(Mode::Read(reading)) => return reading.local(&said),
            None => {}
        }
        Ok(())
    }

    /// What stopped the run that was recorded, where a replay of it has come as far and was not: a guest that computes
    /// may be done sooner.
    pub fn limit_fault(&self) -> Option<Fault> {
        match self.mode().as_deref() {
            Some(Mode::Read(reading)) => reading.limit_fault(),
            _ => None,
        }
    }

    /// Such a call, or an attempt's beginning, is done: a span that it opened is one of the guest's.
    pub fn opened(&self) {
        match self.mode().as_deref_mut() {
            Some(Mode::Write(writing)) => writing.opened(),
            Some(Mode::Read(reading)) => reading.opened(),
            None => {}
        }
    }

    /// A call that has to do with the outside: what came of it, while a run is replayed. Otherwise it is to be made, and
    /// [`Tape::answered`] to be told of its result.
    ///
    /// # Errors
    /// When the guest cannot go on: while its run is replayed, or for want of room.
    pub fn external(&self, said: CallRecord) -> Result<Option<Value>, Halt> {
        match self.mode().as_deref_mut() {
            Some(Mode::Write(writing)) => writing.external(said)?,
            Some(Mode::Read(reading)) => return reading.external(&said).map(Some),
            None => {}
        }
        Ok(None)
    }

    /// What came of a call that has to do with the outside; nothing where it stopped the guest.
    pub fn answered(&self, result: Option<Value>, evidence: &Evidence) {
        if let Some(Mode::Write(writing)) = self.mode().as_deref_mut() {
            writing.answered(result, evidence);
        }
    }

    /// The guest has ended, or was stopped by a fault.
    pub fn end(&self, outcome: &str, fault: Option<&Fault>, evidence: &Evidence) {
        match self.mode().as_deref_mut() {
            Some(Mode::Write(writing)) => writing.end(outcome, fault, evidence),
            Some(Mode::Read(reading)) => reading.end(evidence),
            None => {}
        }
    }

    /// The trace is finished: what happened to it behind the guest's back happens again.
    pub fn finish(&self, trace: &mut Trace) {
        match self.mode().as_deref_mut() {
            Some(Mode::Write(writing)) => writing.finish(trace),
            Some(Mode::Read(reading)) => reading.finish(trace),
            None => {}
        }
    }

    /// Asked while the guest computes.
    ///
    /// # Errors
    /// When the run that was recorded was stopped here, in its own time; or when one that is takes too much room.
    pub fn check(&self) -> Result<(), Halt> {
        match self.mode().as_deref_mut() {
            Some(Mode::Read(reading)) => reading.check(),
            Some(Mode::Write(writing)) => writing.check(),
            None => Ok(()),
        }
    }

    /// What was written.
    pub fn take(&self) -> Vec<Entry> {
        match self.mode().as_deref_mut() {
            Some(Mode::Write(writing)) => writing.take(),
            _ => Vec::new(),
        }
    }

    fn mode(&self) -> Option<MutexGuard<'_, Mode>> {
        Some(self.0.as_ref()?.lock())
    }
}
