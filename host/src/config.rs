//! YAML to [`Config`]: the only room that knows YAML. What it hands on is checked and never checked again.
//!
//! Everything that is wrong is collected, each problem with its place, so that one look at the answer mends the file.

mod check_in;
mod decode;
mod yaml_tree;
mod table;
mod trace_host;
mod known_keys;
mod limits;
mod source_map;
mod diagnostic;
mod sample_rate;
mod allowed_host;
mod interpolation;
mod diagnostic_render;
mod schema;
mod source;
mod spool;
mod spotlight;
mod yaml_errors;
mod tags;
mod title_lint;
mod yaml_to_json;

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use decode::BUILT_IN;
use diagnostic::Diagnostics;
use interpolation::InterpolationEnv;
use serde_json::{Map, Value};
use table::Report;
use url::Url;

use crate::redaction::Secrets;

pub use allowed_host::AllowedHost;
pub use check_in::{CheckIn, Monitor, MonitorSubject, monitors, places};
pub use decode::built_in;
pub use diagnostic::{Diagnostic, Location, Spot};
pub use diagnostic_render::{Level, render};
pub use interpolation::exposed;
pub use limits::{Limits, MOST_MEMORY, MOST_TABLE};
pub use sample_rate::SampleRate;
pub use schema::{Component, aliases, built_ins, schema, written};
pub use source::{Source, Unreadable};
pub use spool::{Place as SpoolPlace, Spool};
pub use title_lint::check_titles;
pub use trace_host::TraceHost;

/// What an operator has configured.
#[derive(Debug, Clone)]
pub struct Config {
    pub sentry: Sentry,
    /// The most runs at once.
    pub in_flight: usize,
    /// Bytes of memory of all runs together; none where the file does not say.
    pub total_memory: Option<usize>,
    /// Every probe of every group, in the file's order.
    pub probes: Vec<Probe>,
    /// What [`monitors`] makes monitors of.
    pub check_ins: Vec<CheckIn>,
    /// Where relative paths in the file start from.
    pub directory: PathBuf,
    /// What is to be struck out of all that leaves.
    pub secrets: Secrets,
}

/// Where runs are sent, and what is said about ourselves.
#[derive(Debug, Clone)]
pub struct Sentry {
    pub dsn: Option<sentry::types::Dsn>,
    pub environment: String,
    pub release: String,
    pub server_name: String,
    pub spool: Spool,
    pub sample: Sample,
    /// Where envelopes go too: a Spotlight on this machine.
    pub spotlight: Option<Url>,
    /// None until [`monitors`] has made them of `check_ins`.
    pub monitors: Vec<Monitor>,
}

/// Which runs are sent, of those that need not be: they passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sample {
    pub rate: SampleRate,
    /// What took longer is sent, whatever the rate.
    pub slower_than: Option<Duration>,
}

/// One probe, as configured.
#[derive(Debug, Clone)]
pub struct Probe {
    /// The name that its runs carry: a built-in's in full (`probes.http`), a file's stem.
    pub name: String,
    pub module: Module,
    /// None leaves it to the component.
    pub title: Option<String>,
    /// Sentry's, the group's and its own, the most specific winning.
    pub tags: Arc<BTreeMap<String, String>>,
    pub every: Duration,
    /// Runs in a row, each time.
    pub burst: u32,
    pub retries: Retries,
    /// So many runs in a row must fail before an error is sent.
    pub failures_before_error: u32,
    pub limits: Limits,
    /// Each narrows those before it; without any, everything is allowed.
    pub allow: Vec<Allow>,
    /// Values of our environment that it may see, by their names.
    pub environment: BTreeMap<String, String>,
    pub trace_headers: TraceHeaders,
    /// What is left for the component: every key that is not the host's.
    pub settings: Map<String, Value>,
    pub referred: Referred,
    /// JSON pointer to it in the file (`/groups/0/probes/1`), to say where a problem is.
    pub pointer: String,
    pub shared: Shared,
}

/// Settings that a probe has from its module.
#[derive(Debug, Clone, Default)]
pub struct Shared {
    /// JSON pointer to what holds them in the file.
    pub pointer: String,
    pub keys: HashSet<String>,
}

/// What references among a probe's settings came to, by JSON pointers into them.
#[derive(Debug, Clone, Default)]
pub struct Referred {
    /// Settings that were one reference and nothing else: text that may stand for a number.
    pub whole: HashSet<String>,
    /// Settings with braces in what was put in, and how they are where they are templates: with these doubled.
    pub braced: BTreeMap<String, String>,
}

impl Referred {
    /// Takes in those of other settings, as far as these keys go.
    fn extend(&mut self, other: Self, keys: &HashSet<String>) {
        let within =
            |pointer: &str| pointer.split('/').nth(1).is_some_and(|key| keys.contains(&diagnostic::unescape(key)));
        self.whole.extend(other.whole.into_iter().filter(|pointer| within(pointer)));
        self.braced.extend(other.braced.into_iter().filter(|(pointer, _)| within(pointer)));
    }
}

/// Where a probe's component comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Module {
    BuiltIn(&'static str),
    File {
        path: PathBuf,
        /// What the file's digest must be, in lower-case hexadecimal digits.
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

/// What a component may do: one word of the operator's on it. What that does not speak of stays as it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allow {
    /// Whose word it is, for a sentence: `this probe`.
    pub of: String,
    /// Whom it may connect to, by HTTP or a socket.
    pub hosts: Option<Vec<AllowedHost>>,
    pub ssh: AllowSsh,
    /// Whether it may write to the run's log.
    pub log: Option<bool>,
}

/// The same of SSH, as the host speaks it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowSsh {
    pub hosts: Option<Vec<AllowedHost>>,
    pub commands: Option<bool>,
    /// Whether it may log in with the keys that the SSH agent holds.
    pub agent: Option<bool>,
}

/// What happens before a run counts as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// How often it is tried again.
    pub times: u32,
    /// From one attempt's end to the next one's start.
    pub delay: Duration,
}

/// What targets are told of the trace that a request belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TraceHeaders {
    pub mode: TraceMode,
    /// In W3C's header too, for targets that do not know Sentry's.
    pub traceparent: bool,
    /// Who may be told, beside the hosts that the probe's settings name.
    pub hosts: Arc<[TraceHost]>,
}

/// Whether the target is told of the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TraceMode {
    Off,
    /// Told, and asked not to record a trace of its own for it.
    #[default]
    Linked,
    /// Told, and asked to record where the run itself is sampled.
    Sampled,
}

/// A configuration, and what is wrong with it: while there are problems, `config` holds only what is right, so that
/// the rest can be checked and reported with them.
#[derive(Debug)]
pub struct Draft {
    pub config: Config,
    pub problems: Vec<Diagnostic>,
    pub warnings: Vec<Diagnostic>,
    /// Pointers of values that refer to what is not there, which is among the problems already.
    unresolved: HashSet<String>,
}

impl Draft {
    /// Adds a problem, unless it is one with what is not there.
    pub fn add(&mut self, problem: Diagnostic) {
        if !problem.pointer().is_some_and(|pointer| self.unresolved.contains(pointer)) {
            self.problems.push(problem);
        }
    }
}

/// Reads a configuration. `environment` looks up what `${env:NAME}` stands for, and `SENTRY_DSN` and
/// `SENTRY_ENVIRONMENT` for what the file leaves out.
pub fn parse(source: &Source, environment: &dyn Fn(&str) -> Option<String>) -> Draft {
    let (mut problems, mut warnings) = (Diagnostics::default(), Diagnostics::default());
    let document = yaml_tree::Document::of(source).map_err(|problem| problems.push(problem)).ok();
    let mut value = document.as_ref().map(|document| yaml_to_json::value(document, &mut problems));
    let around = InterpolationEnv { directory: &source.directory, environment, file: source.path.as_deref() };
    let resolve = |value| interpolation::resolve(value, &around, &mut problems, &mut warnings);
    let found = value.as_mut().map(resolve).unwrap_or_default();
    let report = Report::new(document.as_ref(), problems, warnings, found);
    decode::decode(value, report, &source.directory, environment)
}

/// A probe of each module that a configuration declares, without settings of its own.
pub fn declared(source: &Source, environment: &dyn Fn(&str) -> Option<String>) -> Vec<Probe> {
    let mut value = yaml_tree::Document::of(source)
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
