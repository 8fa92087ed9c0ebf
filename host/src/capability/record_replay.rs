//! Recording and replaying a run: every call of the guest, and the results that came from outside of the sandbox.
//!
//! While a run is recorded, each call is added to the recording. While it is replayed, results are taken from the
//! recording, and nothing outside of the sandbox is used. There are two kinds of calls:
//!
//! - The result of a *local* call depends only on the calls before it: spans, lines of the log, reading a response. The
//!   call is made again while a run is replayed.
//! - The result of an *external* call depends on something outside of the sandbox: the network, clocks, random numbers.
//!   While a run is replayed, the call is not made, and its result is taken from the recording.
//!
//! Between calls the run's clock does not advance, so that a recorded run and its replay see the same times.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;

use crate::capability::evidence::Evidence;
use crate::capability::log_buffer::LogBuffer;
use crate::capability::record_replay::record::CallRecorder;
use crate::capability::record_replay::replay::Replayer;
use crate::recording::Entry;
use crate::run::Fault;
use crate::trace::{Recorder, Trace};

mod call;
mod codec;
mod halt;
pub mod held_arguments;
mod intercept;
mod matching;
mod record;
mod replay;
mod wasi;

pub use call::CallRecord;
pub use halt::Halt;
pub use intercept::Intercepted;
pub use wasi::link;

/// Records or replays a run, or does neither. Clones share their state.
#[derive(Clone, Default)]
pub struct RecordReplay(Option<Arc<Mutex<Mode>>>);

enum Mode {
    Record(CallRecorder),
    Replay(Replayer),
}

impl RecordReplay {
    /// Records a run whose spans go to `recorder` and whose lines go to `log`.
    pub fn record(recorder: &Recorder, log: &LogBuffer) -> Self {
        Self(Some(Arc::new(Mutex::new(Mode::Record(CallRecorder::new(recorder.clone(), log.clone()))))))
    }

    /// Replays the entries of a recording. `same_component` is true if the component is the one that was recorded.
    pub fn replay(recorder: &Recorder, log: &LogBuffer, entries: Vec<Entry>, same_component: bool) -> Self {
        let replayer = Replayer::new(recorder.clone(), log.clone(), entries, same_component);
        Self(Some(Arc::new(Mutex::new(Mode::Replay(replayer)))))
    }

    /// Returns true if the run is neither recorded nor replayed.
    pub fn is_off(&self) -> bool {
        self.0.is_none()
    }

    /// Returns true if the run is replayed.
    pub fn is_replay(&self) -> bool {
        matches!(self.mode().as_deref(), Some(Mode::Replay(_)))
    }

    /// Begins an attempt. `make` opens its span, if it has one of its own, as a local call does.
    pub fn begin_attempt<T>(&self, recorder: &Recorder, make: impl FnOnce() -> T) -> T {
        let _exclusive = recorder.exclusive();
        match self.mode().as_deref_mut() {
            Some(Mode::Record(recording)) => recording.begin_attempt(),
            Some(Mode::Replay(replay)) => replay.begin_attempt(),
            None => {}
        }
        let result = make();
        self.end_local();
        result
    }

    /// Makes a local call by `make`. Records what the host has added to the trace and to the log before, and not what
    /// the call adds, which a replay adds by itself. To tell them apart, exchanges that are in progress add nothing to
    /// the trace, of `recorder`, or to the log during the call. If the call opens a span, the recording gets the span's
    /// id, and a replay sets the recorded id.
    ///
    /// # Errors
    /// [`Halt::Stopped`] when the run that is replayed was stopped by a limit before this call, which is not made then.
    pub fn local<T>(&self, recorder: &Recorder, call: CallRecord, make: impl FnOnce() -> T) -> Result<T, Halt> {
        let _exclusive = recorder.exclusive();
        match self.mode().as_deref_mut() {
            Some(Mode::Record(recording)) => recording.local(call),
            Some(Mode::Replay(replay)) => replay.local(&call)?,
            None => {}
        }
        let result = make();
        self.end_local();
        Ok(result)
    }

    /// Returns the limit that ended the recorded attempt, if the replay has made all recorded calls without reaching
    /// the limit: a replay may compute faster. Returns `None` if the replayed component is not the recorded one.
    pub fn limit_fault(&self) -> Option<Fault> {
        match self.mode().as_deref() {
            Some(Mode::Replay(replay)) => replay.limit_fault(),
            _ => None,
        }
    }

    fn end_local(&self) {
        match self.mode().as_deref_mut() {
            Some(Mode::Record(recording)) => recording.end_local(),
            Some(Mode::Replay(replay)) => replay.end_local(),
            None => {}
        }
    }

    /// Begins an external call. Returns the recorded result while a run is replayed. Otherwise returns `None`: the
    /// caller makes the call, and passes its result to [`RecordReplay::end_external`].
    ///
    /// # Errors
    /// [`Halt::Diverged`] when the recording has another call or is damaged. [`Halt::Stopped`] when the run that is
    /// replayed was stopped here, or when the recording has become too large.
    pub fn external(&self, call: CallRecord) -> Result<Option<Value>, Halt> {
        match self.mode().as_deref_mut() {
            Some(Mode::Record(recording)) => recording.external(call)?,
            Some(Mode::Replay(replay)) => return replay.external(&call).map(Some),
            None => {}
        }
        Ok(None)
    }

    /// Ends an external call that was made. `result` is `None` if the call stopped the guest.
    pub fn end_external(&self, result: Option<Value>, evidence: &Evidence) {
        if let Some(Mode::Record(recording)) = self.mode().as_deref_mut() {
            recording.end_external(result, evidence);
        }
    }

    /// Ends an attempt. `fault` is what stopped the guest, if it did not return by itself.
    pub fn end_attempt(&self, outcome: &str, fault: Option<&Fault>, evidence: &Evidence) {
        match self.mode().as_deref_mut() {
            Some(Mode::Record(recording)) => recording.end_attempt(outcome, fault, evidence),
            Some(Mode::Replay(replay)) => replay.end_attempt(evidence),
            None => {}
        }
    }

    /// Ends the run. Records how the host has changed the trace since the last attempt; a replay makes the recorded
    /// changes.
    pub fn finish(&self, trace: &mut Trace) {
        match self.mode().as_deref_mut() {
            Some(Mode::Record(recording)) => recording.finish(trace),
            Some(Mode::Replay(replay)) => replay.finish(trace),
            None => {}
        }
    }

    /// Checks, while the guest computes, whether it may continue.
    ///
    /// # Errors
    /// [`Halt::Stopped`] when a limit stopped the recorded run, and its replay has no external calls left and has
    /// computed for as long as the recorded run; or when the recording has become too large.
    pub fn check(&self) -> Result<(), Halt> {
        match self.mode().as_deref_mut() {
            Some(Mode::Record(recording)) => recording.check(),
            Some(Mode::Replay(replay)) => replay.check(),
            None => Ok(()),
        }
    }

    /// Takes the entries that were recorded. Returns none if the run is not recorded.
    pub fn take_entries(&self) -> Vec<Entry> {
        match self.mode().as_deref_mut() {
            Some(Mode::Record(recording)) => recording.take_entries(),
            _ => Vec::new(),
        }
    }

    fn mode(&self) -> Option<MutexGuard<'_, Mode>> {
        Some(self.0.as_ref()?.lock())
    }
}

#[cfg(test)]
mod tests;
