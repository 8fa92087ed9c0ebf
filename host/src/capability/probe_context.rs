//! The part of a probe's configuration that its guest's calls need.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::capability::blocking_pool::ProbeCalls;
use crate::capability::grant::{self, Grants, Refusal, Secret, SecretTarget};
use crate::capability::log_buffer::LogBuffer;
use crate::capability::operator_warnings::OperatorWarnings;
use crate::capability::span_ops::SpanOps;
use crate::config::{TraceHeaders, TraceHost};
use crate::propagation::EventDefaults;
use crate::run::{Identity, Level};

/// The part of a probe's configuration that its guest's calls need. All runs of the probe share it.
#[derive(Clone)]
pub struct ProbeContext {
    /// The probe's names and tags.
    pub identity: Arc<Identity>,
    /// The probe's settings by their keys. A slice, since a map allocates more memory.
    pub settings: Box<[(String, Value)]>,
    /// The settings as the component has them: the values that it does not get are replaced by their JSON pointers.
    /// Null for a built-in component, which may send secrets to any host.
    pub visible_settings: Arc<Value>,
    /// The probe's permissions.
    pub policy: Arc<Policy>,
    /// The refusals that the host's log already has.
    pub refusals: Arc<Refusals>,
    /// The warnings that the probe's runs write to the host's log.
    pub warnings: Arc<OperatorWarnings>,
    /// The ops of the component's spans so far, if it is a third party's.
    pub span_ops: Arc<SpanOps>,
    /// Hosts that get the headers of a run's trace.
    pub trace_hosts: Arc<[TraceHost]>,
    /// The settings of `sentry` for the headers of a run's trace.
    pub event_defaults: Arc<EventDefaults>,
    /// The bound of the probe's lookups at once. `None` for a built-in probe, which has no bound of its own.
    pub lookups: Option<ProbeCalls>,
    /// The same for the reads and writes of files.
    pub files: Option<ProbeCalls>,
    /// True if the component is built into the host.
    pub built_in: bool,
    /// False while settings are checked, when no traffic may leave the host.
    pub may_send: bool,
}

/// The permissions of a probe. The probes of a group share them unless their configurations differ.
pub struct Policy {
    /// The folder against which relative paths of the configuration are resolved.
    pub directory: Box<Path>,
    /// The `allow` blocks that apply to the probe.
    pub grants: Grants,
    /// The variables of the host's environment that the probe may read, with their values.
    pub environment: BTreeMap<String, SecretString>,
    /// The headers of a trace that are sent, and the hosts that get them.
    pub trace_headers: TraceHeaders,
}

impl Policy {
    /// Returns the names and values of the environment variables that the probe may read.
    pub fn variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.expose_secret()))
    }
}

impl PartialEq for Policy {
    fn eq(&self, other: &Self) -> bool {
        let Self { directory, grants, environment: _, trace_headers } = self;
        *directory == other.directory
            && *grants == other.grants
            && *trace_headers == other.trace_headers
            && self.variables().eq(other.variables())
    }
}

/// The refusals of one probe that the host's log already has. Most probes have none.
#[derive(Default)]
pub struct Refusals {
    logged: Mutex<Vec<Refusal>>,
    /// The number of refusals that were logged for all probes with this component.
    of_component: Arc<AtomicUsize>,
}

impl Refusals {
    /// Creates the refusals of a probe. Probes with the same component share `of_component`.
    pub fn new(of_component: Arc<AtomicUsize>) -> Self {
        Self { logged: Mutex::default(), of_component }
    }
}

impl ProbeContext {
    /// Returns this context for another identity.
    #[must_use]
    pub fn with_identity(&self, identity: Identity) -> Self {
        Self { identity: Arc::new(identity), ..self.clone() }
    }

    /// Writes a refusal to the run's log and, the first time, to the host's log.
    ///
    /// The host's log gets at most 20 refusals of one probe, and 100 of all probes with one component, for as long as
    /// the process lives: a guest can make up names without end. The last of them says that no more follow.
    pub fn report_refusal(&self, log: &LogBuffer, refusal: &Refusal) {
        const MAX_OF_PROBE: usize = 20;
        const MAX_OF_COMPONENT: usize = 100;
        log.write_once(Level::Warn, refusal.to_string());
        let mut logged = self.refusals.logged.lock();
        if logged.len() == MAX_OF_PROBE || logged.contains(refusal) {
            return;
        }
        let number = 1 + self.refusals.of_component.fetch_add(1, Ordering::Relaxed);
        if number > MAX_OF_COMPONENT {
            // The refusal is not counted, so that the counter cannot overflow.
            self.refusals.of_component.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        logged.push(refusal.clone());
        let rest = match (number, logged.len()) {
            (MAX_OF_COMPONENT, _) => "; further refusals of this component are not logged here",
            (_, MAX_OF_PROBE) => "; further refusals of this probe are not logged here",
            _ => "",
        };
        tracing::warn!(probe = %self.identity.title, "{refusal}{rest}");
    }

    /// Returns true if a value that the component gives is one of the probe's settings, or if the component is built
    /// in.
    pub fn is_own_setting(&self, text: &str) -> bool {
        self.built_in || !self.file_pointers(text).is_empty()
    }

    /// Checks that the secret in a file may be sent to a server. The component gives the path alone, which several
    /// settings may have: the file may be used wherever one of them may be.
    ///
    /// # Errors
    /// A [`Refusal`] that names the entry to add for the first of these settings.
    pub fn check_secret_file(&self, pointers: &[String], target: &SecretTarget) -> Result<(), Refusal> {
        grant::any_of(pointers, |pointer| self.check_secret(pointer, target))
    }

    /// Checks that a secret setting may be sent to a server. A built-in component may send secrets to any host.
    ///
    /// # Errors
    /// A [`Refusal`] that names the entry to add.
    pub fn check_secret(&self, pointer: &str, target: &SecretTarget) -> Result<(), Refusal> {
        let secret = Secret { settings: &self.visible_settings, pointer };
        if self.built_in { Ok(()) } else { self.policy.grants.check_secret(secret, target) }
    }

    /// Returns the JSON pointers of the settings that name a file.
    pub fn file_pointers(&self, path: &str) -> Vec<String> {
        grant::file_pointers(self.settings.iter().map(|(key, value)| (key, value)), path)
    }

    /// Returns the setting at a JSON pointer, if there is one.
    pub fn setting(&self, pointer: &str) -> Option<&Value> {
        let mut segments =
            pointer.strip_prefix('/')?.split('/').map(|segment| segment.replace("~1", "/").replace("~0", "~"));
        let key = segments.next()?;
        let (_, value) = self.settings.iter().find(|(known, _)| *known == key)?;
        match pointer.match_indices('/').nth(1) {
            Some((rest, _)) => value.pointer(&pointer[rest..]),
            None => Some(value),
        }
    }

    /// Writes a guest's line to the run's log. Reports a refusal instead if the probe may not write there.
    pub fn write_log(&self, log: &LogBuffer, level: Level, message: String) {
        match self.policy.grants.check_log() {
            Ok(()) => log.write(level, message),
            Err(refusal) => self.report_refusal(log, &refusal),
        }
    }
}
