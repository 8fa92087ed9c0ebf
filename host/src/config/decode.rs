//! JSON to a [`Config`]: what each key of the host's means. Knows no YAML, and of a probe's own settings only that
//! they are not the host's.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use self::module::{Component, Modules, THIS_PROBE};
use super::check_in::{CheckIn, check_in};
use super::diagnostic::{Diagnostic, below, quote};
use super::known_keys::{GROUP, LIMITS, LIMITS_OF_A_RUN, ROOT, SENTRY, closest};
use super::limits::{MIB, TIB, limits};
use super::spool::spool;
use super::spotlight::spotlight;
use super::table::{Field, Report, Table, bounded, kind};
use super::tags::tags;
use super::{Config, Draft, Limits, Probe, Retries, Sentry, TraceHeaders};
use crate::redaction::Secrets;

mod allow;
mod module;
pub use module::built_in;
mod tracing;

pub use module::BUILT_IN;

const IN_FLIGHT: u32 = 1000;
const RETRY_DELAY: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(300);
const YEAR: f64 = 31_536_000.0;
const DAY: f64 = 86_400.0;

/// What a probe has unless it says otherwise.
#[derive(Clone)]
struct Inherited {
    tags: Arc<BTreeMap<String, String>>,
    limits: Limits,
    trace_headers: TraceHeaders,
}

struct Decoder<'a> {
    report: Report<'a>,
    directory: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
    check_ins: Vec<CheckIn>,
    modules: Modules,
}

/// Reads what there is, `value`, and fills in what there is not.
pub fn decode<'a>(
    value: Option<Value>,
    report: Report<'a>,
    directory: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
) -> Draft {
    let mut decoder = Decoder { report, directory, environment, check_ins: Vec::new(), modules: Modules::new() };
    let config = decoder.config(value);
    let Report { problems, warnings, found, .. } = decoder.report;
    Draft { config, problems: problems.into_vec(), warnings: warnings.into_vec(), unresolved: found.failed }
}

impl Decoder<'_> {
    fn config(&mut self, value: Option<Value>) -> Config {
        let field = value.map(|value| Field { pointer: String::new(), key: "a configuration".into(), value });
        let root = field.and_then(|field| Table::new(field, &mut self.report));
        // A file that cannot be read says nothing of what is missing from it.
        let readable = root.is_some();
        let mut root = root.unwrap_or(Table { pointer: String::new(), rest: serde_json::Map::new() });
        let (mut sentry, tags, trace_headers) = self.sentry(root.take("sentry"));
        let limits = root.take("limits").and_then(|field| Table::new(field, &mut self.report));
        let (limits, in_flight, total_memory) = self.top_limits(limits);
        self.modules = self.modules(root.take("modules"), limits);
        let inherited = Inherited { tags: tags.into(), limits, trace_headers };

        if readable && nothing(&root, "groups", ROOT) {
            self.idle("/groups".into(), "no probes: `groups` is empty, so that nothing would run");
        }
        let groups = root.list("groups", &mut self.report).unwrap_or_default();
        let probes = groups.into_iter().flat_map(|group| self.group(group, &inherited)).collect();
        self.warn_of_unused();
        root.finish(ROOT, &mut self.report);
        let secrets = Secrets::new(&self.report.found.secrets);
        // They are there to be told, but not what is a secret elsewhere.
        for told in [&mut sentry.environment, &mut sentry.release, &mut sentry.server_name] {
            secrets.redact_in_place(told);
        }
        let mut check_ins = std::mem::take(&mut self.check_ins);
        for check_in in &mut check_ins {
            check_in.redact(&secrets);
        }
        let directory = self.directory.to_path_buf();
        Config { sentry, in_flight, total_memory, probes, check_ins, directory, secrets }
    }

    fn idle(&mut self, pointer: String, message: &str) {
        self.report.warnings.push(Diagnostic::key(pointer, message));
    }

    fn sentry(&mut self, field: Option<Field>) -> (Sentry, BTreeMap<String, String>, TraceHeaders) {
        let table = field.and_then(|field| Table::new(field, &mut self.report));
        let mut table = table.unwrap_or(Table { pointer: String::new(), rest: serde_json::Map::new() });
        let dsn = table.take("dsn").filter(|field| field.value != "");
        let environment = table.take("environment");
        let release = self.text(table.take("release"), release);
        let server_name = self.text(table.take("server_name"), |text| bounded("`server_name`", text, 200));
        let tags = table.take("tags").map(|field| tags(field, &mut self.report)).unwrap_or_default();
        let sample = self.sample(table.take("sample"));
        let trace_headers = self.trace_headers(table.take("trace_headers"), &TraceHeaders::default());
        let spool = table.take("spool").and_then(|field| spool(field, self.directory, &mut self.report));
        self.check_in(&mut table, true);
        let spotlight = spotlight(table.take("spotlight"), (self.environment)("SENTRY_SPOTLIGHT"), &mut self.report);
        table.finish(SENTRY, &mut self.report);
        let sentry = Sentry {
            dsn: self.dsn(dsn),
            environment: self.sentry_environment(environment).unwrap_or_else(|| "production".into()),
            release: release.unwrap_or_else(|| concat!("sentrynet@", env!("CARGO_PKG_VERSION")).into()),
            server_name: server_name.unwrap_or_else(|| host_name(self.environment)),
            sample,
            spool: spool.unwrap_or_default(),
            spotlight,
            monitors: Vec::new(),
        };
        (sentry, tags, trace_headers)
    }

    fn dsn(&mut self, field: Option<Field>) -> Option<sentry::types::Dsn> {
        // Neither the text nor the parser's words for it: a DSN is a secret.
        const SHAPE: &str = "is no DSN: it looks like `https://KEY@HOST/PROJECT`, where PROJECT is a number";
        match field {
            Some(field) => {
                let text = field.text(&self.report);
                let dsn = text.and_then(|text| text.trim().parse().map_err(|_| format!("`dsn` {SHAPE}")));
                self.report.at(&field, dsn)
            }
            None => {
                let text = (self.environment)("SENTRY_DSN").filter(|text| !text.trim().is_empty())?;
                let dsn = text.trim().parse();
                dsn.map_err(|_| self.elsewhere(format!("the environment's `SENTRY_DSN` {SHAPE}"))).ok()
            }
        }
    }

    fn sentry_environment(&mut self, field: Option<Field>) -> Option<String> {
        if field.is_some() {
            return self.text(field, |text| environment("`environment`", text));
        }
        let text = (self.environment)("SENTRY_ENVIRONMENT").filter(|text| !text.is_empty())?;
        let right = environment("the environment's `SENTRY_ENVIRONMENT`", &text);
        right.map_err(|message| self.elsewhere(message)).ok().map(|()| text)
    }

    fn elsewhere(&mut self, message: String) {
        self.report.problems.push(Diagnostic::elsewhere(message));
    }

    fn top_limits(&mut self, table: Option<Table>) -> (Limits, usize, Option<usize>) {
        let Some(mut table) = table else { return (Limits::default(), IN_FLIGHT as usize, None) };
        let total = table.take("total_memory");
        let total = total.and_then(|field| self.report.at(&field, field.size(MIB..=TIB)));
        let in_flight = table.take("in_flight");
        let in_flight = in_flight.and_then(|field| self.report.at(&field, field.whole(1..=10_000)));
        let limits = self.limits(table, Limits::default(), LIMITS);
        (limits, in_flight.unwrap_or(IN_FLIGHT) as usize, total.map(|bytes| bytes as usize))
    }

    fn limits(&mut self, mut table: Table, inherited: Limits, known: &[&str]) -> Limits {
        let limits = limits(&mut table, inherited, &mut self.report);
        table.finish(known, &mut self.report);
        limits
    }

    fn group(&mut self, field: Field, inherited: &Inherited) -> Vec<Probe> {
        let Some(mut table) = Table::new(field, &mut self.report) else { return Vec::new() };
        let mut inherited = inherited.clone();
        inherited.tags = self.tags(&mut table, &inherited.tags);
        inherited.trace_headers = self.trace_headers(table.take("trace_headers"), &inherited.trace_headers);
        if nothing(&table, "probes", GROUP) {
            self.idle(below(&table.pointer, "probes"), "no probes in this group");
        }
        let probes = table.list("probes", &mut self.report).unwrap_or_default();
        self.check_in(&mut table, false);
        table.finish(GROUP, &mut self.report);
        probes.into_iter().filter_map(|probe| self.probe(probe, &inherited)).collect()
    }

    fn probe(&mut self, field: Field, inherited: &Inherited) -> Option<Probe> {
        let mut table = Table::new(field, &mut self.report)?;
        let component = self.component(&mut table);
        let title = self.text(table.take("title"), |text| bounded("`title`", text.trim(), 200));
        let every = self.seconds(table.take("every"), 0.05..=YEAR, "from 0.05 seconds to a year (31536000)");
        let burst = table.take("burst").and_then(|field| self.report.at(&field, field.whole(1..=1000)));
        let retries = table.take("retries").and_then(|field| self.report.at(&field, field.whole(0..=10)));
        let delay = self.seconds(table.take("retry_delay"), 0.0..=3600.0, "from 0 seconds to an hour (3600)");
        let before = table.take("failures_before_error");
        let before = before.and_then(|field| self.report.at(&field, field.whole(1..=1000)));
        let tags = self.tags(&mut table, &inherited.tags);
        let above = component.as_ref().and_then(|component| component.limits).unwrap_or(inherited.limits);
        let limits = table.take("limits").and_then(|field| Table::new(field, &mut self.report));
        let limits = limits.map(|table| self.limits(table, above, LIMITS_OF_A_RUN));
        let trace_headers = self.trace_headers(table.take("trace_headers"), &inherited.trace_headers);
        let allow = table.take("allow").and_then(|field| self.allow(field, THIS_PROBE.to_owned()));
        self.check_in(&mut table, true);
        let mut component = component?;
        component.narrow(allow);
        let shared = component.share(&mut table.rest);
        let mut referred = self.report.referred(&table.pointer);
        if !shared.keys.is_empty() {
            referred.extend(self.report.referred(&shared.pointer), &shared.keys);
        }
        Some(Probe {
            name: component.name,
            module: component.module,
            title: title.map(|title| title.trim().to_string()),
            tags,
            every: every.unwrap_or(EVERY),
            burst: burst.unwrap_or(1),
            retries: Retries { times: retries.unwrap_or(0), delay: delay.unwrap_or(RETRY_DELAY) },
            failures_before_error: before.unwrap_or(1),
            limits: limits.unwrap_or(above),
            allow: component.allow,
            environment: component.environment,
            trace_headers,
            referred,
            settings: table.rest,
            pointer: table.pointer,
            shared,
        })
    }

    /// What `probe` names.
    fn component(&mut self, table: &mut Table) -> Option<Component> {
        let Some(field) = table.take("probe") else {
            let near = table.rest.keys().find(|key| closest(key, &["probe"]).is_some());
            self.report.problems.push(match near {
                Some(near) => {
                    let message = format!("the key `probe` is missing, did you mean it by {}?", quote(near));
                    Diagnostic::key(below(&table.pointer, near), message)
                }
                None => {
                    let message = format!("the key `probe` is missing: {}", self.available());
                    Diagnostic::value(&table.pointer, message)
                }
            });
            return None;
        };
        let component = match &field.value {
            Value::String(name) => self.named(name.trim()),
            value => Err(format!("`probe` must be {}, not {}", self.available(), kind(value))),
        };
        self.report.at(&field, component).flatten()
    }

    /// Those that it has from above and its own; without any of its own, the same.
    fn tags(&mut self, table: &mut Table, above: &Arc<BTreeMap<String, String>>) -> Arc<BTreeMap<String, String>> {
        let mut all = Arc::clone(above);
        if let Some(field) = table.take("tags") {
            Arc::make_mut(&mut all).extend(tags(field, &mut self.report));
        }
        all
    }

    fn check_in(&mut self, table: &mut Table, named: bool) {
        let field = table.take("check_in");
        self.check_ins.extend(field.and_then(|field| check_in(&table.pointer, named, field, &mut self.report)));
    }

    fn text(&mut self, field: Option<Field>, right: impl Fn(&str) -> Result<(), String>) -> Option<String> {
        let field = field?;
        let text = field.text(&self.report).and_then(|text| right(&text).map(|()| text));
        self.report.at(&field, text)
    }

    fn seconds(&mut self, field: Option<Field>, range: RangeInclusive<f64>, bounds: &str) -> Option<Duration> {
        let field = field?;
        let seconds = field.seconds(range, bounds);
        self.report.at(&field, seconds)
    }
}

/// No list, or one without items; a list under a mistyped name is something.
fn nothing(table: &Table, key: &str, known: &[&str]) -> bool {
    match table.rest.get(key) {
        None => !table.rest.keys().any(|other| closest(other, known) == Some(key)),
        Some(Value::Null) => true,
        Some(list) => list.as_array().is_some_and(Vec::is_empty),
    }
}

/// What Sentry takes for the name of an environment.
fn environment(what: &str, text: &str) -> Result<(), String> {
    bounded(what, text, 64)?;
    match text {
        "None" => Err(format!("{what} cannot be `None`, which Sentry keeps for itself")),
        _ if text.contains(char::is_whitespace) => Err(format!("{what} holds a space: write `-` instead")),
        _ if text.contains('/') => Err(format!("{what} holds a `/`, which Sentry does not take: write `-` instead")),
        _ => Ok(()),
    }
}

/// What Sentry takes for a release.
fn release(text: &str) -> Result<(), String> {
    bounded("`release`", text, 200)?;
    match text.contains(['/', '\\']) || matches!(text, "." | ".." | "latest") || text.trim() != text {
        true => Err("`release` has a form that Sentry does not take: write `name@1.2.3`, without slashes".into()),
        false => Ok(()),
    }
}

fn host_name(environment: &dyn Fn(&str) -> Option<String>) -> String {
    let file = |path| std::fs::read_to_string(path).ok();
    let names = [file("/proc/sys/kernel/hostname"), file("/etc/hostname"), environment("HOSTNAME")];
    let mut names = names.into_iter().flatten().map(|name| name.trim().to_string());
    names.find(|name| !name.is_empty()).unwrap_or_else(|| "unknown".into())
}
