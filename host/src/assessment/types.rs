//! The results of an assessment.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::run::{Outage, Run};

/// A finished run and its assessment.
#[derive(Debug, Clone)]
pub struct AssessedRun {
    /// The run, without secrets.
    pub run: Run,
    /// The meaning of the run in the context of earlier runs.
    pub assessment: Assessment,
}

/// The meaning of a run in the context of earlier runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    /// The outage that the run is part of or has ended, however short. `None` for a broken run, which says nothing
    /// about the target.
    pub outage: Option<Outage>,
    /// `Some` if the run passed and ended an outage of at least `failures_before_error` runs.
    pub recovery: Option<Recovery>,
    /// The action for the run's error. `None` if the run is no error: it passed, or fewer than
    /// `failures_before_error` runs in a row have failed. A broken run is always an error.
    pub error: Option<ErrorAction>,
    /// True if the run failed because this host has no network. The failure then says nothing about the target.
    pub is_offline: bool,
    /// The errors that the run's error is grouped with. [`Grouping::Reason`] if it is no error, or broken.
    pub grouping: Grouping,
    /// The assessment of each of the run's warnings, in their order.
    pub warnings: Vec<WarningAssessment>,
}

/// The meaning of a warning in the context of earlier runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WarningAssessment {
    /// The warnings that the warning is grouped with.
    pub grouping: Grouping,
    /// True if the warning is to be reported: it has lasted for `failures_before_error` runs, and was not reported
    /// since it began, or a day ago.
    pub is_due: bool,
}

/// The action for the error of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorAction {
    /// Report the error.
    Report,
    /// Hold the error: a later [`Decision`] reports or suppresses all held errors, within 30 s.
    Hold,
    /// Do not report the error: this host has no network, and nothing is known about the target.
    Suppress,
}

/// The errors of a probe that an error is grouped with, into one Issue. A component chooses its reasons and subjects,
/// and could raise a new alarm with each run: the number of groups is bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// Errors with the same reason and the same [subjects](crate::run::Failure::subjects) of failed checks.
    Checks,
    /// Errors with the same reason: those that are not about checks, and those whose subjects came after the first 20
    /// different ones of a third-party probe, or the first 200 of a built-in one.
    Reason,
    /// All errors of the probe whose reasons are not words, or came after the first 20.
    Other,
}

/// The end of an outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// At least one error was reported during the outage.
    Reported,
    /// No error of the outage has been reported: all were suppressed or are still held.
    Unreported,
}

/// A decision about earlier runs, or about the network of this host.
#[derive(Debug, Clone, Default)]
pub struct Decision {
    /// The decision about all errors that are held. `None` if they stay held, or if there are none.
    pub held_errors: Option<HeldErrors>,
    /// `Some` if the network of this host was found to be down, or is back.
    pub connectivity: Option<ConnectivityChange>,
    /// `Some` with the first error that is suppressed while this host has no network. Sinks report this event
    /// once, in place of the errors.
    pub offline_event: Option<OfflineFinding>,
}

/// The decision about held errors, with their runs in the order in which they ended.
#[derive(Debug, Clone)]
pub enum HeldErrors {
    /// Report the errors: the targets are down.
    Report(Vec<Arc<AssessedRun>>),
    /// Do not report the errors: this host has no network.
    Suppress(Vec<Arc<AssessedRun>>),
}

/// A change of the network of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectivityChange {
    /// This host has no network.
    Offline(OfflineFinding),
    /// A target has answered again.
    Online {
        /// The time from the first attempt without an answer to the first answer.
        lasted: Duration,
        /// The number of errors that were suppressed.
        suppressed: usize,
    },
}

/// The evidence that this host has no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineFinding {
    /// The start of the first attempt without an answer.
    pub since: Instant,
    /// The number of hosts that have stopped answering since `since`.
    pub silent: usize,
    /// The number of hosts that were tried since the program was started.
    pub known: usize,
    /// The first hosts that stopped answering, at most five.
    pub examples: Vec<SilentHost>,
}

/// A host that has stopped answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentHost {
    /// The name or address of the host.
    pub host: String,
    /// The reason of the failure of the run that did not reach the host.
    pub reason: String,
    /// The message of that failure.
    pub message: String,
}

impl Assessment {
    /// Returns true if a warning of the run is to be reported.
    pub fn has_due_warning(&self) -> bool {
        self.warnings.iter().any(|warning| warning.is_due)
    }

    /// Returns true if the run is an error, whichever action its error has.
    pub fn is_error(&self) -> bool {
        self.error.is_some()
    }
}

impl Decision {
    /// Returns the decision, or `None` if it is empty.
    pub(super) fn into_option(self) -> Option<Self> {
        let Self { held_errors, connectivity, offline_event } = &self;
        (held_errors.is_some() || connectivity.is_some() || offline_event.is_some()).then_some(self)
    }
}

/// A sentence for a person, lower case, without a full stop.
impl fmt::Display for OfflineFinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { silent, known, .. } = self;
        write!(
            f,
            "this host seems to have no network: {silent} of the {known} hosts that it has tried have stopped answering, \
             and no other has answered since"
        )
    }
}
