//! The result of one run of a probe, as plain data that all sinks read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use crate::trace::Trace;

pub mod evidence;
pub mod reserved_names;

/// One finished run.
#[derive(Debug, Clone)]
pub struct Run {
    /// The probe that ran. All runs of a loaded probe share its identity.
    pub probe: Arc<Identity>,
    /// The outcome of the last attempt.
    pub outcome: Outcome,
    /// The warnings of the last attempt: what is wrong with the target, and does not make the run fail. At most 20,
    /// with 256 KiB of text together.
    pub warnings: Vec<Failure>,
    /// The spans of all attempts, and the hosts that the run tried to reach.
    pub trace: Trace,
    /// The time from the run's due time to its start.
    pub lateness: Duration,
    /// The number of runs immediately before this one that were skipped because they were due before the previous run
    /// had ended.
    pub skipped: u32,
    /// The number of attempts, at least 1. It is greater than 1 if the run was retried after a failure.
    pub attempts: u32,
    /// The failures of the attempts before the last one, oldest first; empty if there was one attempt.
    pub earlier: Vec<Failure>,
    /// The exchange that the failure, the fault or the warnings of the last attempt are most likely about. `None` if
    /// that attempt passed without warnings or made no exchange.
    pub evidence: Option<evidence::Exchange>,
    /// The tags that the guest set during the last attempt, in addition to those of the configuration. At most 50, with
    /// names and values of at most 200 bytes.
    pub tags: BTreeMap<String, String>,
    /// The last log lines of all attempts, oldest first, within `limits.log_lines` and `limits.log_size`. If some were
    /// dropped, the first line says how many.
    pub log: Vec<LogLine>,
}

/// The identity of a probe, from the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Identity {
    /// The number by which the process knows the probe. No other probe of the process has had it.
    pub number: usize,
    /// The name of the component in the configuration. The name of a built-in component is written in full:
    /// `probes.http`.
    pub probe: String,
    /// The title, from the configuration or the component. Without either, it is the component's name.
    pub title: String,
    /// The tags of `sentry`, of the group and of the probe; the innermost overrides. Probes of one group share them
    /// unless a probe has tags of its own.
    pub tags: Arc<BTreeMap<String, String>>,
    /// The number of consecutive runs that must fail before an error is reported.
    pub failures_before_error: u32,
    /// The JSON pointer to the probe in the configuration, such as `/groups/0/probes/1`, when it was loaded. It is
    /// unique in that configuration, unlike the title.
    pub pointer: String,
    /// True if the component comes with the host. Third-party components may be written by an attacker.
    pub built_in: bool,
    /// The hosts whose answers and whose silence tell whether the network of this host is up, without a final dot:
    /// those that the settings of a built-in probe name. Empty for a third-party component, which chooses by itself
    /// what it connects to, and how.
    pub voting_hosts: Box<[String]>,
}

/// Consecutive failed runs of one probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outage {
    /// The wall-clock time at which the first failed run started.
    pub began: SystemTime,
    /// The number of failed runs so far, at least 1. A passing run that ended the outage is not counted.
    pub runs: u32,
    /// The time from the start of the first failed run to the end of the latest run, or of the run that ended the
    /// outage. It is measured with the monotonic clock.
    pub lasted: Duration,
}

/// The result of a run. Failures of the target and faults of the probe or the host are distinct: they have separate
/// exit codes and fingerprints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The first attempt passed.
    Passed,
    /// The last attempt passed after at least one had failed. The failure is that of the first attempt.
    PassedAfterRetry(Failure),
    /// The last attempt failed: the target is not as it should be.
    Failed(Failure),
    /// The probe could not do its work: it trapped, reached a limit, returned that it could not, or could not be run.
    /// Nothing is known about the target.
    Broken(Fault),
}

/// The reason why the target counts as down; or, among the warnings of a run, what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The kind of failure, by which outages are grouped: a short, stable word of low cardinality (`dns`, `status`,
    /// `assertion`). It is truncated to 64 bytes.
    pub reason: String,
    /// One sentence for a person, in lower case and without a full stop. It is truncated to 4096 bytes.
    pub message: String,
    /// The checks that failed, in the order in which they were made. At most 100; empty if the failure is not about a
    /// checked value.
    pub mismatches: Vec<Mismatch>,
}

/// A check that failed. Each text comes from the guest, and is truncated to 4096 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The thing that was checked: `status`, `$.version`.
    pub subject: String,
    /// The expected value: `2xx`, `at most 12.5`.
    pub expected: String,
    /// The actual value: `503`, `no match`.
    pub actual: String,
}

/// The reason why a probe could not do its work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The kind of fault.
    pub kind: FaultKind,
    /// One sentence for a person, in lower case and without a full stop.
    pub message: String,
    /// The guest's stack at the point where it was stopped, innermost frame first. At most 30 frames; empty if the
    /// fault did not occur in the guest's code.
    pub backtrace: Vec<Frame>,
}

/// A frame of a guest's stack. All text in it comes from the guest; each text is truncated to 300 bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Frame {
    /// The demangled name of the function, or `wasm function` and its index if it has no name.
    pub function: String,
    /// The name of the core module that contains the function. `None` if the module has no name.
    pub module: Option<String>,
    /// The source file. `None` if the component has no debug information for the function.
    pub file: Option<String>,
    /// The line in the source file. `None` if the component has no debug information for the function.
    pub line: Option<u32>,
}

/// The kind of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// The guest trapped or exited, or was stopped because it called the host in an invalid way.
    Trap,
    /// The guest reached a limit.
    #[serde(rename = "ceiling")]
    Limit(LimitKind),
    /// The guest returned that it could not do its work.
    #[serde(rename = "gave")]
    ReportedByProbe,
    /// The host could not run the guest, or could not complete the run.
    Host,
    /// The component could not be loaded, or refuses its settings.
    Load,
    /// This host was suspended during the run, or its process was stopped.
    Suspended,
    /// The guest behaved differently from the recording that it was to replay, or the recording is damaged.
    #[serde(rename = "departed")]
    ReplayDiverged,
}

/// A limit that ends a run when it is reached. [`key`](Self::key) returns the key that sets it, if one does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LimitKind {
    /// The wall-clock time of an attempt.
    Deadline,
    /// The CPU time of the guest.
    Cpu,
    /// The bytes of the guest's linear memory, or the bytes that the host holds for the guest.
    Memory,
    /// The bytes of memory of all runs together.
    TotalMemory,
    /// The elements of the guest's tables.
    Table,
    /// The resources that the guest holds at once.
    Handles,
    /// The number of HTTP requests, SSH connections and SSH commands together.
    Requests,
    /// The number of connections at once.
    Connections,
    /// The bytes that are received over the network, with bodies decompressed.
    Received,
    /// The bytes that are sent over the network.
    Sent,
    /// The open files of this host. Not set by a key.
    OpenFiles,
    /// The ports of this host for outgoing connections. Not set by a key.
    LocalPorts,
    /// The kernel's memory for connections. Not set by a key.
    KernelMemory,
    /// The threads of this host for lookups of names and for files. Not set by a key.
    Threads,
    /// The files of this host that settings name: one could not be read or written in time. Not set by a key.
    Files,
}

/// A line of a run's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// The time from the start of the run to the line.
    pub at: Duration,
    /// The severity of the line.
    pub level: Level,
    /// The text. It is truncated to 4096 bytes.
    pub message: String,
}

/// The severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Details for the author of the probe.
    Debug,
    /// Ordinary information. Lines that a guest writes to its standard output have this level.
    Info,
    /// A warning. Lines that a guest writes to its standard error have this level.
    Warn,
    /// An error.
    Error,
}

impl Run {
    /// Returns a run of one attempt that started when it was due, without warnings, evidence, tags and log.
    pub fn new(probe: Arc<Identity>, outcome: Outcome, trace: Trace) -> Self {
        Self {
            probe,
            outcome,
            warnings: Vec::new(),
            trace,
            lateness: Duration::ZERO,
            skipped: 0,
            attempts: 1,
            earlier: Vec::new(),
            evidence: None,
            tags: BTreeMap::new(),
            log: Vec::new(),
        }
    }
}

impl Level {
    /// Returns the level's name in lower case, as it is serialised.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// Formats the function, followed by its file and line in parentheses if they are known.
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

impl Identity {
    /// Returns true if a contact with this host is evidence about the network of this host.
    pub fn has_vote_of(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        self.voting_hosts.iter().any(|known| known.eq_ignore_ascii_case(host))
    }
}

impl Outcome {
    /// Returns the outcome's name: `passed`, `passed-after-retry`, `failed` or `broken`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::PassedAfterRetry(_) => "passed-after-retry",
            Self::Failed(_) => "failed",
            Self::Broken(_) => "broken",
        }
    }

    /// Returns true if the last attempt passed.
    pub fn passed(&self) -> bool {
        matches!(self, Self::Passed | Self::PassedAfterRetry(_))
    }

    /// Returns true if this host was suspended during the run, so that its duration and its result mean nothing.
    pub fn is_suspended(&self) -> bool {
        matches!(self, Self::Broken(Fault { kind: FaultKind::Suspended, .. }))
    }

    /// Returns the failure of the target: that of the last attempt, or that of the first attempt if a later one passed.
    /// `None` if the first attempt passed, or if the run is broken.
    pub fn failure_mut(&mut self) -> Option<&mut Failure> {
        match self {
            Self::PassedAfterRetry(failure) | Self::Failed(failure) => Some(failure),
            Self::Passed | Self::Broken(_) => None,
        }
    }

    /// Returns the reason and the message of the failure or fault. `None` if the first attempt passed.
    pub fn why(&self) -> Option<(&str, &str)> {
        match self {
            Self::Passed => None,
            Self::PassedAfterRetry(failure) | Self::Failed(failure) => Some((&failure.reason, &failure.message)),
            Self::Broken(fault) => Some((fault.kind.as_str(), &fault.message)),
        }
    }
}

impl Failure {
    /// Returns the subjects of the failed checks by which the failure is grouped with others: each once, in
    /// alphabetical order, at most ten, and of each at most 200 bytes. Empty if the failure is not about checks.
    pub fn subjects(&self) -> Vec<&str> {
        const MAX_SUBJECTS: usize = 10;
        const MAX_SUBJECT_BYTES: usize = 200;
        let subjects = self.mismatches.iter().map(|mismatch| mismatch.subject.as_str());
        let mut subjects: Vec<_> =
            subjects.map(|subject| &subject[..subject.floor_char_boundary(MAX_SUBJECT_BYTES)]).collect();
        subjects.sort_unstable();
        subjects.dedup();
        subjects.truncate(MAX_SUBJECTS);
        subjects
    }
}

impl FaultKind {
    /// Returns the name of the kind, which is used where a failure has its [`reason`](Failure::reason). For a limit, it
    /// is the limit's key. These names differ from the serialised ones.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Limit(limit) => limit.key(),
            Self::ReportedByProbe => "gave-up",
            Self::Host => "host",
            Self::Load => "load",
            Self::Suspended => "suspended",
            Self::ReplayDiverged => "departed",
        }
    }
}

impl LimitKind {
    /// Returns true if a key below `limits` in the configuration sets the limit. The others are those of this host.
    pub fn is_configured(self) -> bool {
        !matches!(self, Self::OpenFiles | Self::LocalPorts | Self::KernelMemory | Self::Threads | Self::Files)
    }

    /// Returns the key below `limits` in the configuration, or the limit's name if no key sets it.
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
            Self::OpenFiles => "open_files",
            Self::LocalPorts => "local_ports",
            Self::KernelMemory => "kernel_memory",
            Self::Threads => "threads",
            Self::Files => "files",
        }
    }
}
