//! The types of a decoded configuration.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use super::allowed_host::AllowedHost;
use super::check_in::{CheckIn, Monitor};
use super::destination::Destination;
use super::diagnostic::{Diagnostic, MissingFile, push_within, quote_key, unescape};
use super::file_references::FileReferences;
use super::interpolation::Interpolations;
use super::limits::Limits;
use super::sample_rate::SampleRate;
use super::section::Section;
use super::spool::Spool;
use super::trace_host::TraceHost;
use crate::redaction::Secrets;
use crate::schema::closest;

/// A decoded configuration file. It has no `Debug`, because settings and the DSN are secrets.
#[derive(Clone)]
pub struct Config {
    /// The section `sentry`, with defaults for the keys that it does not have.
    pub sentry: Sentry,
    /// The maximal number of runs at once.
    pub in_flight: usize,
    /// The connections that all runs open to one host at once.
    pub per_host: usize,
    /// Bytes of memory of all runs together; `None` if the file has no `total_memory`.
    pub total_memory: Option<usize>,
    /// The probes of all groups, in the order of the file.
    pub probes: Vec<Probe>,
    /// The keys `check_in`, from which [`monitors`](super::monitors) makes monitors.
    pub check_ins: Vec<CheckIn>,
    /// The directory that relative paths in the file start from.
    pub directory: PathBuf,
    /// The values to redact from everything that leaves the program.
    pub secrets: Secrets,
}

/// The section `sentry`: the destination of runs, and the data about this host that is sent to Sentry. It has no
/// `Debug`, because the DSN is a secret.
#[derive(Clone)]
pub struct Sentry {
    /// `None` if neither the file nor `SENTRY_DSN` has one: runs are only shown.
    pub dsn: Option<sentry::types::Dsn>,
    /// A PEM file of authorities that are trusted for Sentry, beside the system's.
    pub ca: Option<PathBuf>,
    /// Sentry's environment: `production` by default.
    pub environment: String,
    /// Sentry's release: `sentrynet@` and the version of this program by default.
    pub release: String,
    /// The name of this host: the machine's name by default.
    pub server_name: String,
    /// The place where runs wait until Sentry has accepted them.
    pub spool: Spool,
    /// The passing runs that are sent.
    pub sample: Sample,
    /// The URL of a Spotlight that gets the same envelopes as Sentry.
    pub spotlight: Option<Url>,
    /// The monitors of `check_ins`. Empty after [`parse`](super::parse): [`monitors`](super::monitors) makes them once
    /// the titles of all probes are known.
    pub monitors: Vec<Monitor>,
}

/// The passing runs that are sent. All other runs are always sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    /// The share of passing runs that is sent.
    pub rate: SampleRate,
    /// Passing runs that took longer are sent at any rate.
    pub slower_than: Option<Duration>,
}

/// One item of `probes`. It has no `Debug`, because settings may be secrets.
#[derive(Clone)]
pub struct Probe {
    /// The number by which the process knows the probe while it runs. After [`parse`](super::parse) it is the index in
    /// [`Config::probes`]; a configuration that takes over from another keeps the numbers of probes that are the same.
    pub number: usize,
    /// The name that its runs are reported with: the full name of a built-in probe (`probes.http`), the name of a
    /// module, or the stem of a component's file.
    pub name: String,
    /// The component.
    pub module: Module,
    /// The title in the configuration. If it is `None`, the component gives the probe a title.
    pub title: Option<String>,
    /// The tags of `sentry`, the group and the probe; the innermost overrides.
    pub tags: Arc<BTreeMap<String, String>>,
    /// The time from one start to the next.
    pub every: Duration,
    /// Consecutive runs at each start.
    pub burst: u32,
    /// The repetitions of a failed run before it counts as failed.
    pub retries: Retries,
    /// Consecutive runs that must fail before an error event is sent.
    pub failures_before_error: u32,
    /// The limits of each run.
    pub limits: Limits,
    /// The `allow` blocks, each of which narrows those before it. If empty, everything is allowed.
    pub allow: Vec<Allow>,
    /// The environment variables that the component may read: values by name.
    pub environment: BTreeMap<String, SecretString>,
    /// The trace headers for targets.
    pub trace_headers: TraceHeaders,
    /// The settings for the component: the probe's own, and those of its group and its module. The host's own keys are
    /// not in it.
    pub settings: Map<String, Value>,
    /// The references that were replaced in `settings`.
    pub interpolations: Interpolations,
    /// The JSON pointer to the probe in the file (`/groups/0/probes/1`), for the locations of diagnostics.
    pub pointer: String,
    /// The settings that come from `defaults` of the group.
    pub group_settings: SharedSettings,
    /// The settings that come from the module.
    pub module_settings: SharedSettings,
}

/// The settings of a probe that are written in another place, where several probes share them.
#[derive(Debug, Clone, Default)]
pub struct SharedSettings {
    /// The JSON pointer to that place: `settings` of the module, or `defaults` of the group.
    pub pointer: String,
    /// The keys that the probe has from there.
    pub keys: HashSet<String>,
}

impl SharedSettings {
    /// Adds `shared`, which are at this JSON pointer, to the settings of a probe, except for keys that these have
    /// already. Returns those that were added.
    pub(super) fn add(shared: &Map<String, Value>, pointer: &str, settings: &mut Map<String, Value>) -> Self {
        let added = shared.iter().filter(|(key, _)| !settings.contains_key(*key));
        let added: Vec<_> = added.map(|(key, value)| (key.clone(), value.clone())).collect();
        let keys = added.iter().map(|(key, _)| key.clone()).collect();
        settings.extend(added);
        Self { pointer: pointer.to_owned(), keys }
    }
}

impl Interpolations {
    /// Adds the interpolations of other settings, if they lie below one of these keys.
    pub(super) fn extend(&mut self, other: Self, keys: &HashSet<String>) {
        let is_below_key = |pointer: &str| pointer.split('/').nth(1).is_some_and(|key| keys.contains(&unescape(key)));
        self.whole_values.extend(other.whole_values.into_iter().filter(|pointer| is_below_key(pointer)));
        let escaped = other.template_escaped.into_iter().filter(|(pointer, _)| is_below_key(pointer));
        self.template_escaped.extend(escaped);
        let written = other.source_texts.into_iter().filter(|(pointer, _)| is_below_key(pointer));
        self.source_texts.extend(written);
    }
}

/// The component of a probe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Module {
    /// A built-in probe, by the name of its component.
    BuiltIn(&'static str),
    /// A file.
    File {
        /// The absolute path.
        path: PathBuf,
        /// The SHA-256 digest that the file must have, in lower-case hexadecimal digits.
        sha256: Option<String>,
    },
}

impl Module {
    /// Returns the path of the component's file, or `None` for a built-in probe.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::BuiltIn(_) => None,
            Self::File { path, .. } => Some(path),
        }
    }
}

impl fmt::Display for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn(name) => write!(f, "the built-in probe `{name}`"),
            Self::File { path, .. } => path.display().fmt(f),
        }
    }
}

/// The permissions of one `allow` block. `None` leaves a permission as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    /// The owner of the block, as messages name it: `this probe`, ``the module `redis` ``.
    pub declared_by: String,
    /// The hosts that the component may connect to, by HTTP or by a socket.
    pub hosts: Option<Vec<AllowedHost>>,
    /// The permissions for SSH.
    pub ssh: AllowSsh,
    /// The destinations to which the host may send settings that it keeps from the component. Each entry has the path
    /// of a setting, the keys and indices that lead to it, and its destinations. A setting without an entry may be sent
    /// to the hosts that the settings name.
    pub secret_hosts: Vec<(Vec<String>, Vec<Destination>)>,
    /// The component may write to the log of its run.
    pub log: Option<bool>,
}

/// The permissions for the host's interface `ssh`. `None` leaves a permission as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowSsh {
    /// The hosts that the component may connect to.
    pub hosts: Option<Vec<AllowedHost>>,
    /// The component may run commands.
    pub commands: Option<bool>,
    /// The component may log in with the keys of the SSH agent.
    pub agent: Option<bool>,
    /// The component may accept the key of a host that is not known yet, which writes a file of known hosts.
    pub accept_new: Option<bool>,
}

/// The repetitions of a failed run before it counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// The number of attempts after the first.
    pub times: u32,
    /// The time from the end of one attempt to the start of the next.
    pub delay: Duration,
}

impl Retries {
    /// Returns the greatest number of retries that a probe can have.
    pub fn max_times() -> u32 {
        *Section::PROBE.bounds("retries").end() as u32
    }
}

/// The headers that propagate the trace of a request to targets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceHeaders {
    /// The mode of Sentry's headers.
    pub mode: TraceMode,
    /// Also send W3C's header `traceparent`, for targets that do not support Sentry's.
    pub traceparent: bool,
    /// Hosts that get the headers, besides those that the probe's settings name.
    pub hosts: Arc<[TraceHost]>,
}

/// The modes of trace propagation to targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TraceMode {
    /// Targets get no trace headers.
    Off,
    /// Targets get the trace, with the sampling flag off, so that they record no transactions.
    #[default]
    Linked,
    /// Targets get the trace, with the sampling flag on for the runs that are sampled.
    Sampled,
}

impl Probe {
    /// Returns a diagnostic for a problem that the component reported about its settings. `pointer` is a JSON pointer
    /// into the settings.
    ///
    /// A component checks only its own keys. A key that is unknown to the component may be a misspelt key of the
    /// host's; the message then suggests that key.
    pub fn diagnostic(&self, pointer: &str, message: &str) -> Diagnostic {
        let first = pointer.split('/').nth(1).map(unescape);
        let shared = [&self.group_settings, &self.module_settings];
        let shared = first.and_then(|key| shared.into_iter().find(|shared| shared.keys.contains(&key)));
        let settings = shared.map_or(&self.pointer, |shared| &shared.pointer);
        let file_pointer = format!("{settings}{pointer}");
        if !message.starts_with("unknown key") {
            return Diagnostic::at_value(file_pointer, message);
        }
        let key = pointer.strip_prefix('/').filter(|key| !key.contains('/')).map(unescape);
        let meant = key.as_deref().and_then(|key| Some((key, closest(key, &Section::PROBE.keys())?)));
        match meant {
            Some((key, meant)) if !message.contains("did you mean") => {
                Diagnostic::at_key(file_pointer, format!("unknown key {}, did you mean `{meant}`?", quote_key(key)))
            }
            _ => Diagnostic::at_key(file_pointer, message),
        }
    }
}

/// A configuration with its errors and warnings.
///
/// If there are errors, `config` has defaults in the place of wrong values, and lacks wrong probes. The rest can still
/// be checked, so that all errors are reported at once.
pub struct ParsedConfig {
    /// The configuration. Not to be used while there are errors, except for further checks.
    pub config: Config,
    /// The mistakes that must be repaired before the configuration can be used.
    pub errors: Vec<Diagnostic>,
    /// Possible mistakes.
    pub warnings: Vec<Diagnostic>,
    /// The files of components that cannot be found now. Their probes are in `config`.
    pub missing_files: Vec<MissingFile>,
    /// JSON pointers to values with a reference that could not be resolved. `errors` has an error for each.
    pub(super) unresolved: HashSet<String>,
    /// The files that references name, from which the configuration can be parsed again. `None` if there are none.
    pub(crate) references: Option<FileReferences>,
}

impl ParsedConfig {
    /// Adds an error, unless it is about a value with an unresolved reference: this value has an error already. Of more
    /// than 1000 errors, the list has only the first.
    pub fn push_error(&mut self, error: Diagnostic) {
        if !error.pointer().is_some_and(|pointer| self.unresolved.contains(pointer)) {
            push_within(&mut self.errors, error);
        }
    }

    /// Adds an error for each missing file whose path is needed. Returns their paths.
    pub fn require_files(&mut self, is_needed: impl Fn(&Path) -> bool) -> HashSet<PathBuf> {
        let mut paths = HashSet::new();
        for MissingFile { path, error } in std::mem::take(&mut self.missing_files) {
            if is_needed(&path) {
                paths.insert(path);
                self.push_error(error);
            }
        }
        paths
    }

    /// Adds a warning. Of more than 1000 warnings, the list has only the first.
    pub fn push_warning(&mut self, warning: Diagnostic) {
        push_within(&mut self.warnings, warning);
    }
}
