//! What a run of a probe comes to: plain data that every sink reads. Knows the trace, and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::trace::Trace;

pub mod evidence;

/// One finished run.
#[derive(Debug, Clone)]
pub struct Run {
    pub probe: Arc<Identity>,
    pub outcome: Outcome,
    pub trace: Trace,
    /// How long after its time it started.
    pub lateness: Duration,
    /// How many runs before it were skipped, since their time passed before they could start.
    pub skipped: u32,
    /// How often it was tried: more than once where it failed and was to be retried.
    pub attempts: u32,
    /// Why the attempts before the last did not pass.
    pub earlier: Vec<Failure>,
    /// The exchange that the last attempt did not pass for; none where it passed, or made none.
    pub evidence: Option<evidence::Exchange>,
    /// Tags that the guest set, beside the configuration's.
    pub tags: BTreeMap<String, String>,
    pub log: Vec<LogLine>,
}

/// Who ran, as the configuration has it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The component's name in the configuration, a built-in's in full: `probes.http`.
    pub probe: String,
    pub title: String,
    /// Sentry's, the group's and the probe's own, the most specific winning.
    /// Probes of one group have them in common.
    pub tags: Arc<BTreeMap<String, String>>,
    /// So many runs in a row must fail before an error is told of.
    pub failures_before_error: u32,
    /// Where the configuration has it, as a JSON pointer: no other probe's, as a title can be.
    pub pointer: String,
}

/// Runs of one probe in a row that have failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// When the first of them started.
    pub began: SystemTime,
    /// How many there are so far; a run that ended them is none of them.
    pub runs: u32,
    /// From the start of the first to the end of the run that says so, by a clock that nobody sets.
    pub lasted: Duration,
}

/// How a run ended. The target's failures and our own are never mixed: they have exit codes and fingerprints of their
/// own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Passed,
    /// The last attempt passed; why the first did not.
    PassedAfterRetry(Failure),
    /// The target is wrong.
    Failed(Failure),
    /// Our side is: the probe trapped, ran out of a limit, or could not do its work.
    Broken(Fault),
}

/// Why the target is considered down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Short, stable, low in cardinality (`dns`, `status`, `assertion`): outages are grouped by it.
    pub reason: String,
    /// One sentence for a person, lower case, no full stop.
    pub message: String,
    /// What was compared and differed, in the order in which it was checked; may be empty.
    pub mismatches: Vec<Mismatch>,
}

/// A check that did not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// What was checked: `status`, `$.version`.
    pub subject: String,
    pub expected: String,
    pub actual: String,
}

/// Why a probe could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub kind: FaultKind,
    /// One sentence for a person, lower case, no full stop.
    pub message: String,
    /// The guest's stack where it was stopped, innermost frame first; empty where there is none.
    pub backtrace: Vec<Frame>,
}

/// A function of the guest's, and how far it had come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Frame {
    /// As its author named it, or by its number.
    pub function: String,
    /// The part of the component that it is in, where that has a name.
    pub module: Option<String>,
    /// Its place in the source, where the component carries that.
    pub file: Option<String>,
    pub line: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The guest trapped.
    Trap,
    /// It reached one of its limits.
    #[serde(rename = "ceiling")]
    Limit(LimitKind),
    /// It said itself that it could not do its work.
    #[serde(rename = "gave")]
    ReportedByProbe,
    /// The host could not run it.
    Host,
    /// It did otherwise than on the recording that it was to replay.
    #[serde(rename = "departed")]
    ReplayDiverged,
}

/// What a run may use no more of, under the names that these have below `limits`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    Deadline,
    Cpu,
    Memory,
    TotalMemory,
    Table,
    Handles,
    Requests,
    Connections,
    Received,
    Sent,
}

/// A line that the guest wrote while it ran.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Since the start of the run.
    pub at: Duration,
    pub level: Level,
    pub message: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { function, file, line, .. } = self;
        match (file, line) {
            (Some(file), Some(line)) => write!(f, "{function} ({file}:{line})"),
            (Some(file), None) => write!(f, "{function} ({file})"),
            (None, _) => f.write_str(function),
        }
    }
}

impl Outcome {
    /// `passed`, `passed-after-retry`, `failed` or `broken`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::PassedAfterRetry(_) => "passed-after-retry",
            Self::Failed(_) => "failed",
            Self::Broken(_) => "broken",
        }
    }

    /// Whether the target is well in the end.
    pub fn passed(&self) -> bool {
        matches!(self, Self::Passed | Self::PassedAfterRetry(_))
    }

    /// Why the target was not well, in the end or at first.
    pub fn failure_mut(&mut self) -> Option<&mut Failure> {
        match self {
            Self::PassedAfterRetry(failure) | Self::Failed(failure) => Some(failure),
            Self::Passed | Self::Broken(_) => None,
        }
    }

    /// The reason of a failure or fault, and its sentence.
    pub fn why(&self) -> Option<(&str, &str)> {
        match self {
            Self::Passed => None,
            Self::PassedAfterRetry(failure) | Self::Failed(failure) => Some((&failure.reason, &failure.message)),
            Self::Broken(fault) => Some((fault.kind.as_str(), &fault.message)),
        }
    }
}

impl FaultKind {
    /// A reason as short and stable as a failure's.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Limit(ceiling) => ceiling.key(),
            Self::ReportedByProbe => "gave-up",
            Self::Host => "host",
            Self::ReplayDiverged => "departed",
        }
    }
}

impl LimitKind {
    /// Its key under `limits`.
    pub fn key(self) -> &'static str {
        match self {
            Self::Deadline => "deadline",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::TotalMemory => "total_memory",
            Self::Table => "table",
            Self::Handles => "handles",
            Self::Requests => "requests",
            Self::Connections => "connections",
            Self::Received => "received",
            Self::Sent => "sent",
        }
    }
}
