//! The tape of a run: every call of the guest's, and what came of it from outside. A run that is recorded writes it; one
//! that is replayed reads it, and touches nothing else.
//!
//! A call either follows from those before it (the guest's spans, lines of its log, what it reads of an answer), or it
//! has to do with the outside. The former happen again while a run is replayed; the latter are taken from the tape.
//! Between calls the run's clock stands still, so that both runs go by the same times.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::capability::evidence::Evidence;
use crate::capability::log::Journal;
use crate::capability::tape::read::Reading;
use crate::capability::tape::write::Writing;
use crate::recording::Entry;
use crate::run::Fault;
use crate::trace::{Recorder, Trace};

mod calls;
mod fits;
mod read;
mod said;
mod told;
mod wasi;
mod write;

pub use calls::Taped;
pub use said::Said;
pub use told::body;
pub use wasi::link;

/// A run's tape, or none. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct Tape(Option<Arc<Mutex<Reel>>>);

enum Reel {
    Write(Writing),
    Read(Reading),
}

/// Why the guest cannot go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Off {
    /// The run that was recorded was stopped here; or is, while it is recorded.
    #[error("{}", .0.message)]
    Stopped(Fault),
    #[error("{0}")]
    Departed(String),
}

impl Tape {
    /// An empty one, for a run that has this recorder and this log.
    pub fn write(recorder: &Recorder, log: &Journal) -> Self {
        Self(Some(Arc::new(Mutex::new(Reel::Write(Writing::new(recorder.clone(), log.clone()))))))
    }

    /// A written one. `same` says whether the component is the one that was recorded.
    pub fn read(recorder: &Recorder, log: &Journal, entries: Vec<Entry>, same: bool) -> Self {
        Self(Some(Arc::new(Mutex::new(Reel::Read(Reading::new(recorder.clone(), log.clone(), entries, same))))))
    }

    pub fn is_none(&self) -> bool {
        self.0.is_none()
    }

    /// Whether the run is replayed.
    pub fn is_read(&self) -> bool {
        matches!(self.reel().as_deref(), Some(Reel::Read(_)))
    }

    /// An attempt begins.
    pub fn attempt(&self) {
        match self.reel().as_deref_mut() {
            Some(Reel::Write(writing)) => writing.attempt(),
            Some(Reel::Read(reading)) => reading.attempt(),
            None => {}
        }
    }

    /// A call that follows from those before it.
    ///
    /// # Errors
    /// When the run that was recorded was stopped before it.
    pub fn says(&self, said: Said) -> Result<(), Off> {
        match self.reel().as_deref_mut() {
            Some(Reel::Write(writing)) => writing.says(said),
            Some(Reel::Read(reading)) => return reading.says(&said),
            None => {}
        }
        Ok(())
    }

    /// What stopped the run that was recorded, where a replay of it has come as far and was not: a guest that computes
    /// may be done sooner.
    pub fn overrun(&self) -> Option<Fault> {
        match self.reel().as_deref() {
            Some(Reel::Read(reading)) => reading.overrun(),
            _ => None,
        }
    }

    /// Such a call, or an attempt's beginning, is done: a span that it opened is one of the guest's.
    pub fn opened(&self) {
        match self.reel().as_deref_mut() {
            Some(Reel::Write(writing)) => writing.opened(),
            Some(Reel::Read(reading)) => reading.opened(),
            None => {}
        }
    }

    /// A call that has to do with the outside: what came of it, while a run is replayed. Otherwise it is to be made, and
    /// [`Tape::answered`] to be told of its result.
    ///
    /// # Errors
    /// When the guest cannot go on: while its run is replayed, or for want of room.
    pub fn asks(&self, said: Said) -> Result<Option<Value>, Off> {
        match self.reel().as_deref_mut() {
            Some(Reel::Write(writing)) => writing.asks(said)?,
            Some(Reel::Read(reading)) => return reading.asks(&said).map(Some),
            None => {}
        }
        Ok(None)
    }

    /// What came of a call that has to do with the outside; nothing where it stopped the guest.
    pub fn answered(&self, result: Option<Value>, evidence: &Evidence) {
        if let Some(Reel::Write(writing)) = self.reel().as_deref_mut() {
            writing.answered(result, evidence);
        }
    }

    /// The guest has ended, or was stopped by a fault.
    pub fn end(&self, outcome: &str, fault: Option<&Fault>, evidence: &Evidence) {
        match self.reel().as_deref_mut() {
            Some(Reel::Write(writing)) => writing.end(outcome, fault, evidence),
            Some(Reel::Read(reading)) => reading.end(evidence),
            None => {}
        }
    }

    /// The trace is finished: what happened to it behind the guest's back happens again.
    pub fn finish(&self, trace: &mut Trace) {
        match self.reel().as_deref_mut() {
            Some(Reel::Write(writing)) => writing.finish(trace),
            Some(Reel::Read(reading)) => reading.finish(trace),
            None => {}
        }
    }

    /// Asked while the guest computes.
    ///
    /// # Errors
    /// When the run that was recorded was stopped here, in its own time; or when one that is takes too much room.
    pub fn look(&self) -> Result<(), Off> {
        match self.reel().as_deref_mut() {
            Some(Reel::Read(reading)) => reading.look(),
            Some(Reel::Write(writing)) => writing.look(),
            None => Ok(()),
        }
    }

    /// What was written.
    pub fn take(&self) -> Vec<Entry> {
        match self.reel().as_deref_mut() {
            Some(Reel::Write(writing)) => writing.take(),
            _ => Vec::new(),
        }
    }

    fn reel(&self) -> Option<MutexGuard<'_, Reel>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
