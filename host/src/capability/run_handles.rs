//! The trace, log, recording and evidence of one run.

use crate::capability::evidence::Evidence;
use crate::capability::log_buffer::LogBuffer;
use crate::capability::record_replay::RecordReplay;
use crate::trace::Recorder;

/// Handles to the trace, log, recording and evidence of a run in progress. Clones share them.
#[derive(Clone)]
pub struct RunHandles {
    /// The spans of the run's trace.
    pub recorder: Recorder,
    /// The lines of the run's log.
    pub log: LogBuffer,
    /// The recording that is written or replayed, if any.
    pub record_replay: RecordReplay,
    /// The exchanges of the current attempt.
    pub evidence: Evidence,
}

impl RunHandles {
    /// Returns the handles of a run's first attempt.
    pub fn new(recorder: Recorder, log: LogBuffer, record_replay: RecordReplay) -> Self {
        Self { recorder, log, record_replay, evidence: Evidence::default() }
    }

    /// Returns the same handles with no evidence, for the next attempt.
    #[must_use]
    pub fn without_evidence(&self) -> Self {
        Self { evidence: Evidence::default(), ..self.clone() }
    }
}
