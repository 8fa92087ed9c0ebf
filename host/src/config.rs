//! The configuration: from a YAML file to a [`Config`], with all errors and warnings.
//!
//! [`parse`] parses the YAML (`yaml_tree`, `yaml_to_json`), replaces references such as `${env:NAME}`
//! (`interpolation`), and decodes the host's own keys (`decode`). It collects every error with its location, so that one
//! look at the output is enough to repair the file. The result is valid: no other module checks a value of it again.
//!
//! `schema/host.json` declares the names, bounds, defaults and descriptions of the host's own keys; see `section`.

mod allowed_host;
mod check_in;
mod decode;
mod diagnostic;
mod diagnostic_render;
mod interpolation;
mod limits;
mod sample_rate;
mod schema;
mod section;
mod source;
mod source_map;
mod spool;
mod spotlight;
mod table;
mod tags;
mod title_lint;
mod trace_host;
mod yaml_errors;
mod yaml_to_json;
mod yaml_tree;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use decode::BUILT_IN;
use diagnostic::Diagnostics;
use interpolation::InterpolationEnv;
use secrecy::SecretString;
use serde_json::{Map, Value};
use table::DecodeContext;
use url::Url;

use crate::redaction::Secrets;

pub use allowed_host::AllowedHost;
pub use check_in::{CheckIn, Monitor, MonitorSubject, monitors, pointer_ancestors};
pub use decode::built_in;
pub use diagnostic::{Diagnostic, Location, TextRange};
pub use diagnostic_render::{Level, render};
pub use interpolation::world_readable_warning;
pub use limits::{Limits, MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS};
pub use sample_rate::SampleRate;
pub use schema::{ComponentSchema, aliases, built_ins, schema, source_texts};
pub use source::{Source, SourceError};
pub use spool::{Spool, SpoolLocation};
pub use title_lint::check_titles;
pub use trace_host::TraceHost;

/// A decoded configuration file. It has no `Debug`, because settings and the DSN are secrets.
#[derive(Clone)]
pub struct Config {
    /// The section `sentry`, with defaults for the keys that it does not have.
    pub sentry: Sentry,
    /// The maximal number of runs at once.
    pub in_flight: usize,
    /// Bytes of memory of all runs together; `None` if the file has no `total_memory`.
    pub total_memory: Option<usize>,
    /// The probes of all groups, in the order of the file.
    pub probes: Vec<Probe>,
    /// The keys `check_in`, from which [`monitors`] makes monitors.
    pub check_ins: Vec<CheckIn>,
    /// The directory that relative paths in the file start from.
    pub directory: PathBuf,
    /// The values to redact from everything that leaves the program.
    pub secrets: Secrets,
}

/// Where runs are sent, and what Sentry is told about this host. It has no `Debug`, because the DSN is a secret.
#[derive(Clone)]
pub struct Sentry {
    /// `None` if neither the file nor `SENTRY_DSN` has one: runs are only shown.
    pub dsn: Option<sentry::types::Dsn>,
    /// Sentry's environment: `production` by default.
    pub environment: String,
    /// Sentry's release: `sentrynet@` and the version of this program by default.
    pub release: String,
    /// The name of this host: the machine's name by default.
    pub server_name: String,
    /// Where runs wait until Sentry has accepted them.
    pub spool: Spool,
    /// The passing runs that are sent.
    pub sample: Sample,
    /// The URL of a Spotlight that gets the same envelopes as Sentry.
    pub spotlight: Option<Url>,
    /// The monitors of `check_ins`. Empty after [`parse`]: [`monitors`] makes them, once the titles of all probes are known.
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
    /// The name that its runs carry: the full name of a built-in probe (`probes.http`), the name of a module, or the stem of
    /// a component's file.
    pub name: String,
    /// The component.
    pub module: Module,
    /// `None` leaves the title to the component.
    pub title: Option<String>,
    /// The tags of `sentry`, the group and the probe; the innermost overrides.
    pub tags: Arc<BTreeMap<String, String>>,
    /// The time from one start to the next.
    pub every: Duration,
    /// Consecutive runs at each start.
    pub burst: u32,
    /// How often, and when, a failed run is repeated before it counts as failed.
    pub retries: Retries,
    /// Consecutive runs that must fail before an error event is sent.
    pub failures_before_error: u32,
    /// What each run may use.
    pub limits: Limits,
    /// The `allow` blocks, each of which narrows those before it. If empty, everything is allowed.
    pub allow: Vec<Allow>,
    /// The environment variables that the component may read: values by name.
    pub environment: BTreeMap<String, SecretString>,
    /// What targets are told about the trace.
    pub trace_headers: TraceHeaders,
    /// The settings for the component: the probe's own, and those of its module. The host's own keys are not in it.
    pub settings: Map<String, Value>,
    /// The references that were replaced in `settings`.
    pub interpolations: Interpolations,
    /// The JSON pointer to the probe in the file (`/groups/0/probes/1`), for the locations of diagnostics.
    pub pointer: String,
    /// The settings that come from the module.
    pub module_settings: ModuleSettings,
}

/// The settings of a probe that come from its module.
#[derive(Debug, Clone, Default)]
pub struct ModuleSettings {
    /// The JSON pointer to the module's `settings` in the file.
    pub pointer: String,
    /// The keys that the probe itself does not have.
    pub keys: HashSet<String>,
}

/// References that were replaced in a probe's settings. All keys are JSON pointers into the settings.
#[derive(Clone, Default)]
pub struct Interpolations {
    /// Settings that were one reference and nothing else. Their text may stand for a number.
    pub whole_values: HashSet<String>,
    /// Settings whose replacement has braces, as they must be written in a template: with these braces doubled.
    pub template_escaped: BTreeMap<String, String>,
}

impl Interpolations {
    /// Adds those of other settings that lie below one of these keys.
    fn extend(&mut self, other: Self, keys: &HashSet<String>) {
        let is_below_key =
            |pointer: &str| pointer.split('/').nth(1).is_some_and(|key| keys.contains(&diagnostic::unescape(key)));
        self.whole_values.extend(other.whole_values.into_iter().filter(|pointer| is_below_key(pointer)));
        let escaped = other.template_escaped.into_iter().filter(|(pointer, _)| is_below_key(pointer));
        self.template_escaped.extend(escaped);
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
}

/// The attempts before a run counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// The number of attempts after the first.
    pub times: u32,
    /// The time from the end of one attempt to the start of the next.
    pub delay: Duration,
}

/// What targets are told about the trace that a request belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceHeaders {
    /// Whether Sentry's headers are sent, and what they ask for.
    pub mode: TraceMode,
    /// Also send W3C's header `traceparent`, for targets that do not know Sentry's.
    pub traceparent: bool,
    /// Hosts that may be told, besides those that the probe's settings name.
    pub hosts: Arc<[TraceHost]>,
}

/// Whether targets are told about the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TraceMode {
    /// Targets are told nothing.
    Off,
    /// Targets are told the trace, and asked to record no trace of their own.
    #[default]
    Linked,
    /// Targets are told the trace, and asked to record the runs that are sampled.
    Sampled,
}

/// A configuration with its errors and warnings.
///
/// If there are errors, `config` has defaults in the place of wrong values, and lacks wrong probes. The rest can still be
/// checked, so that all errors are reported at once.
pub struct ParsedConfig {
    /// The configuration. Not to be used while there are errors, except for further checks.
    pub config: Config,
    /// What must be repaired before the configuration can be used.
    pub errors: Vec<Diagnostic>,
    /// What may be a mistake.
    pub warnings: Vec<Diagnostic>,
    /// JSON pointers to values with a reference that could not be resolved. `errors` has an error for each.
    unresolved: HashSet<String>,
}

impl ParsedConfig {
    /// Adds an error, unless it is about a value with an unresolved reference: this value has an error already.
    pub fn push_error(&mut self, error: Diagnostic) {
        if !error.pointer().is_some_and(|pointer| self.unresolved.contains(pointer)) {
            self.errors.push(error);
        }
    }
}

/// Parses a configuration.
///
/// `environment` looks up environment variables: those of `${env:NAME}` references and of `allow.env`, and `SENTRY_DSN`,
/// `SENTRY_ENVIRONMENT` and `SENTRY_SPOTLIGHT` for keys that the file does not have.
pub fn parse(source: &Source, environment: &dyn Fn(&str) -> Option<String>) -> ParsedConfig {
    let (mut errors, mut warnings) = (Diagnostics::default(), Diagnostics::default());
    let document = yaml_tree::Document::parse(source).map_err(|error| errors.push(error)).ok();
    let mut value = document.as_ref().map(|document| yaml_to_json::value(document, &mut errors));
    let env = InterpolationEnv { directory: &source.directory, environment, file: source.path.as_deref() };
    let resolve = |value| interpolation::resolve(value, &env, &mut errors, &mut warnings);
    let resolved = value.as_mut().map(resolve).unwrap_or_default();
    let context = DecodeContext::new(document.as_ref(), errors, warnings, resolved);
    decode::decode(value, context, &source.directory, environment)
}

/// Returns one probe for each module that a configuration declares, without settings of its own. Modules with errors have
/// none.
pub fn module_probes(source: &Source, environment: &dyn Fn(&str) -> Option<String>) -> Vec<Probe> {
    let mut value = yaml_tree::Document::parse(source)
        .ok()
        .map(|document| yaml_to_json::value(&document, &mut Diagnostics::default()))
        .unwrap_or_default();
    let names = value["modules"].as_object().into_iter().flat_map(Map::keys);
    let probes: Vec<_> = names.map(|name| serde_json::json!({ "probe": name })).collect();
    if probes.is_empty() {
        return Vec::new();
    }
    value["groups"] = serde_json::json!([{ "probes": probes }]);
    let source = Source { text: value.to_string(), ..source.clone() };
    parse(&source, environment).config.probes
}

#[cfg(test)]
mod tests;
