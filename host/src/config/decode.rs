//! Decodes the JSON of a configuration file to a [`Config`]: the meaning of each of the host's own keys. Independent
//! of YAML. Does not decode the settings of a probe.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use secrecy::ExposeSecret;
use serde_json::Value;

use self::component::{Component, Modules};
use self::decoder::Decoder;
use self::defaults::Defaults;
use self::inherited::Inherited;
use super::check_in::decode_check_in;
use super::diagnostic::{Diagnostic, below, quote};
use super::limits::{HostLimits, decode_limits};
use super::section::Section;
use super::spool::decode_spool;
use super::spotlight::decode_spotlight;
use super::table::{DecodeContext, Field, Table, check_line, type_name};
use super::tags::decode_tags;
use super::{Config, Limits, ParsedConfig, Probe, Retries, Sentry, TraceHeaders};
use crate::redaction::Secrets;
use crate::schema::closest;

mod allow;
mod component;
mod decoder;
mod defaults;
mod inherited;
mod module;
mod sample;
mod trace_headers;

pub use component::THIS_PROBE;
pub use module::{BUILT_IN, built_in};

/// Decodes a configuration. Sections and keys that are missing or wrong get their defaults; errors and warnings are in
/// the result.
///
/// `value` is `None` if the file is no YAML.
pub fn decode<'a>(
    value: Option<Value>,
    context: DecodeContext<'a>,
    directory: &'a Path,
    environment: &'a dyn Fn(&str) -> Option<String>,
) -> ParsedConfig {
    let mut decoder = Decoder { context, directory, environment, check_ins: Vec::new(), modules: Modules::new() };
    let config = decoder.config(value);
    let DecodeContext { errors, warnings, missing_files, resolved, .. } = decoder.context;
    let (errors, warnings) = (errors.into_vec(), warnings.into_vec());
    ParsedConfig { config, errors, warnings, missing_files, unresolved: resolved.unresolved, references: None }
}

impl Decoder<'_> {
    fn config(&mut self, value: Option<Value>) -> Config {
        let field = value.map(|value| Field { pointer: String::new(), label: "a configuration".into(), value });
        let root = field.and_then(|field| Table::new(field, Section::ROOT, &mut self.context));
        // If the file is no map of keys, or one of several is none, a warning about missing keys would be of no use.
        let is_map = root.is_some() && !self.context.is_incomplete();
        let mut root = root.unwrap_or(Table::empty(Section::ROOT));
        let (mut sentry, tags, trace_headers) = self.sentry(root.take("sentry"));
        let limits = root.take_table("limits", Section::HOST_LIMITS, &mut self.context);
        let HostLimits { of_run: limits, in_flight, per_host, total_memory } = self.host_limits(limits);
        self.modules = self.modules(root.take("modules"), limits);
        let inherited = Inherited { tags: tags.into(), limits, trace_headers };

        if is_map && is_empty_list(&root, "groups", Section::ROOT) {
            self.warn("/groups".into(), "no probes: `groups` is empty, so that nothing would run");
        }
        let groups = root.take_list("groups", &mut self.context).unwrap_or_default();
        let mut probes: Vec<_> = groups.into_iter().flat_map(|group| self.group(group, &inherited)).collect();
        for (number, probe) in probes.iter_mut().enumerate() {
            probe.number = number;
        }
        self.warn_of_unused_modules();
        root.finish(&mut self.context);
        let secrets = Secrets::new(self.context.resolved.secrets.iter().map(ExposeSecret::expose_secret));
        self.context.identifiers.warn_of_secrets(&secrets, &mut self.context.warnings);
        // These texts are sent with every run. The value of a reference in them is a secret only if another key uses
        // the same value as a secret.
        for text in [&mut sentry.environment, &mut sentry.release, &mut sentry.server_name] {
            secrets.redact_in_place(text);
        }
        let mut check_ins = std::mem::take(&mut self.check_ins);
        for check_in in &mut check_ins {
            check_in.redact(&secrets);
        }
        let directory = self.directory.to_path_buf();
        Config { sentry, in_flight, per_host, total_memory, probes, check_ins, directory, secrets }
    }

    fn warn(&mut self, pointer: String, message: &str) {
        self.context.warnings.push(Diagnostic::at_key(pointer, message));
    }

    fn sentry(&mut self, field: Option<Field>) -> (Sentry, BTreeMap<String, String>, TraceHeaders) {
        let table = field.and_then(|field| Table::new(field, Section::SENTRY, &mut self.context));
        let mut table = table.unwrap_or(Table::empty(Section::SENTRY));
        let dsn = table.take("dsn").filter(|field| field.value != "");
        let dsn = self.dsn(dsn);
        let check_ca = |text: &str, max_length| check_line("`ca`", text, max_length);
        let ca = table.take_text("ca", check_ca, &mut self.context).map(|file| self.directory.join(file));
        let environment = self.sentry_environment(&mut table);
        let release = table.take_identifier("release", check_release, &mut self.context);
        let check = |text: &str, max_length| check_line("`server_name`", text, max_length);
        let server_name = table.take_identifier("server_name", check, &mut self.context);
        let tags = table.take("tags").map(|field| decode_tags(field, &mut self.context)).unwrap_or_default();
        let sample = self.sample(table.take("sample"));
        let trace_headers = self.trace_headers(table.take("trace_headers"), &TraceHeaders::default());
        let spool = table.take("spool").and_then(|field| decode_spool(field, self.directory, &mut self.context));
        self.check_in(&mut table, true);
        let variable = (self.environment)("SENTRY_SPOTLIGHT");
        let spotlight = decode_spotlight(table.take("spotlight"), variable, &mut self.context);
        table.finish(&mut self.context);
        let sentry = Sentry {
            dsn,
            ca,
            environment: environment.unwrap_or_else(|| "production".into()),
            release: release.unwrap_or_else(|| concat!("sentrynet@", env!("CARGO_PKG_VERSION")).into()),
            server_name: server_name.unwrap_or_else(|| host_name(self.environment)),
            sample,
            spool: spool.unwrap_or_default(),
            spotlight,
            monitors: Vec::new(),
        };
        (sentry, tags, trace_headers)
    }

    /// Returns the DSN of the file, or else that of the environment. A DSN is a secret: messages repeat neither the
    /// text nor the parser's own message.
    fn dsn(&mut self, field: Option<Field>) -> Option<sentry::types::Dsn> {
        const SHAPE: &str = "is no DSN: it looks like `https://KEY@HOST/PROJECT`, where PROJECT is a number";
        match field {
            Some(field) => {
                let text = field.text(&self.context);
                let dsn = text.and_then(|text| text.trim().parse().map_err(|_| format!("`dsn` {SHAPE}")));
                self.context.accept(&field, dsn)
            }
            None => {
                let text = (self.environment)("SENTRY_DSN").filter(|text| !text.trim().is_empty())?;
                let dsn = text.trim().parse();
                dsn.map_err(|_| self.error_outside_file(format!("the environment's `SENTRY_DSN` {SHAPE}"))).ok()
            }
        }
    }

    /// Returns Sentry's environment, from the file or else from `SENTRY_ENVIRONMENT`.
    fn sentry_environment(&mut self, table: &mut Table) -> Option<String> {
        let max_length = Section::SENTRY.max_length("environment");
        if let Some(field) = table.take("environment") {
            let text = field.text(&self.context);
            let text = text.and_then(|text| check_environment("`environment`", &text, max_length).map(|()| text));
            let text = self.context.accept(&field, text)?;
            self.context.identifiers.push(field.pointer, field.label, &text);
            return Some(text);
        }
        let text = (self.environment)("SENTRY_ENVIRONMENT").filter(|text| !text.is_empty())?;
        let checked = check_environment("the environment's `SENTRY_ENVIRONMENT`", &text, max_length);
        checked.map_err(|message| self.error_outside_file(message)).ok().map(|()| text)
    }

    fn error_outside_file(&mut self, message: String) {
        self.context.errors.push(Diagnostic::outside_file(message));
    }

    /// Returns the limits at the top of the file.
    fn host_limits(&mut self, table: Option<Table>) -> HostLimits {
        let mut table = table.unwrap_or(Table::empty(Section::HOST_LIMITS));
        let total_memory = table.take_bytes("total_memory", &mut self.context).map(|bytes| bytes as usize);
        let mut integer = |key| {
            let given = table.take_integer(key, &mut self.context).map(u64::from);
            given.unwrap_or_else(|| Section::HOST_LIMITS.default_integer(key)) as usize
        };
        let (in_flight, per_host) = (integer("in_flight"), integer("per_host"));
        let of_run = decode_limits(table, &mut self.context).over(Limits::default());
        HostLimits { of_run, in_flight, per_host, total_memory }
    }

    fn group(&mut self, field: Field, inherited: &Inherited) -> Vec<Probe> {
        let Some(mut table) = Table::new(field, Section::GROUP, &mut self.context) else { return Vec::new() };
        let mut inherited = inherited.clone();
        inherited.tags = self.tags(&mut table, &inherited.tags);
        inherited.trace_headers = self.trace_headers(table.take("trace_headers"), &inherited.trace_headers);
        let defaults = self.defaults(table.take("defaults"), &mut inherited);
        if is_empty_list(&table, "probes", Section::GROUP) {
            self.warn(below(&table.pointer, "probes"), "no probes in this group");
        }
        let probes = table.take_list("probes", &mut self.context).unwrap_or_default();
        self.check_in(&mut table, false);
        table.finish(&mut self.context);
        probes.into_iter().filter_map(|probe| self.probe(probe, &inherited, &defaults)).collect()
    }

    fn probe(&mut self, field: Field, inherited: &Inherited, defaults: &Defaults) -> Option<Probe> {
        let mut table = Table::new(field, Section::PROBE, &mut self.context)?;
        let component = self.component(&mut table);
        let check = |text: &str, max_length| check_line("`title`", text.trim(), max_length);
        let title = table.take_identifier("title", check, &mut self.context);
        let every = table.take_seconds_or("every", defaults.every, &mut self.context);
        let burst = table.take_integer_or("burst", defaults.burst, &mut self.context);
        let retries = Retries {
            times: table.take_integer_or("retries", defaults.retries, &mut self.context),
            delay: table.take_seconds_or("retry_delay", defaults.retry_delay, &mut self.context),
        };
        let shared = defaults.failures_before_error;
        let failures_before_error = table.take_integer_or("failures_before_error", shared, &mut self.context);
        let tags = self.tags(&mut table, &inherited.tags);
        let outer_limits = component.as_ref().and_then(|component| component.limits).unwrap_or(inherited.limits);
        let limits = table.take_table("limits", Section::RUN_LIMITS, &mut self.context);
        let limits = limits.map(|table| decode_limits(table, &mut self.context)).unwrap_or_default();
        let limits = limits.over(defaults.limits.over(outer_limits));
        let trace_headers = self.trace_headers(table.take("trace_headers"), &inherited.trace_headers);
        let shared_allow = defaults.allow.as_ref().filter(|_| !table.rest.contains_key("allow")).cloned();
        let allow = table.take("allow").and_then(|field| self.allow(field, THIS_PROBE.to_owned())).or(shared_allow);
        if !table.rest.contains_key("check_in") {
            self.check_ins.extend(defaults.check_in_of(&table.pointer));
        }
        self.check_in(&mut table, true);
        let mut component = component?;
        component.narrow(allow);
        let mut interpolations = self.context.interpolations_below(&table.pointer, &table.rest);
        let group_settings = defaults.add_settings(&mut table.rest);
        let module_settings = component.add_settings(&mut table.rest);
        for shared in [&group_settings, &module_settings].into_iter().filter(|shared| !shared.keys.is_empty()) {
            interpolations.extend(self.context.interpolations_below(&shared.pointer, &table.rest), &shared.keys);
        }
        Some(Probe {
            number: 0,
            name: component.name,
            module: component.module,
            title: title.map(|title| title.trim().to_string()),
            tags,
            every,
            burst,
            retries,
            failures_before_error,
            limits,
            allow: component.allow,
            environment: component.environment,
            trace_headers,
            interpolations,
            settings: table.rest,
            pointer: table.pointer,
            group_settings,
            module_settings,
        })
    }

    /// Returns the component that the key `probe` names; `None`, after adding an error, if there is no such component.
    fn component(&mut self, table: &mut Table) -> Option<Component> {
        let Some(field) = table.take("probe") else {
            let misspelt = table.rest.keys().find(|key| closest(key, &["probe"]).is_some());
            self.context.errors.push(match misspelt {
                Some(key) => {
                    let message = format!("the key `probe` is missing, did you misspell it as {}?", quote(key));
                    Diagnostic::at_key(below(&table.pointer, key), message)
                }
                None => {
                    let message = format!("the key `probe` is missing: {}", self.available());
                    Diagnostic::at_value(&table.pointer, message)
                }
            });
            return None;
        };
        let component = match &field.value {
            Value::String(name) => self.named(name.trim(), &field.pointer),
            value => Err(format!("`probe` must be {}, not {}", self.available(), type_name(value))),
        };
        self.context.accept(&field, component).flatten()
    }

    /// Returns the inherited tags and the table's own. Without own tags the inherited map is shared, not copied.
    fn tags(&mut self, table: &mut Table, inherited: &Arc<BTreeMap<String, String>>) -> Arc<BTreeMap<String, String>> {
        let mut all = Arc::clone(inherited);
        if let Some(field) = table.take("tags") {
            Arc::make_mut(&mut all).extend(decode_tags(field, &mut self.context));
        }
        all
    }

    /// Decodes the key `check_in`. `has_name` is true if a slug can be made from a title or a server name.
    fn check_in(&mut self, table: &mut Table, has_name: bool) {
        let Some(field) = table.take("check_in") else { return };
        self.check_ins.extend(decode_check_in(&table.pointer, has_name, field, &mut self.context));
    }
}

/// Returns true if a list is missing or has no items. A list under a misspelt name is not missing.
fn is_empty_list(table: &Table, key: &str, section: Section) -> bool {
    match table.rest.get(key) {
        None => !table.rest.keys().any(|other| closest(other, &section.keys()) == Some(key)),
        Some(Value::Null) => true,
        Some(list) => list.as_array().is_some_and(Vec::is_empty),
    }
}

/// Checks that Sentry accepts a text as the name of an environment.
fn check_environment(label: &str, text: &str, max_length: usize) -> Result<(), String> {
    check_line(label, text, max_length)?;
    check_bytes(label, text, max_length)?;
    match text {
        "." | ".." => Err(format!("{label} cannot be {}, which Sentry reserves", quote(text))),
        _ if text.eq_ignore_ascii_case("none") => {
            Err(format!("{label} cannot be {}, which Sentry reserves", quote(text)))
        }
        _ if text.contains(char::is_whitespace) => Err(format!("{label} holds a space: write `-` instead")),
        _ if text.contains('/') => Err(format!("{label} holds a `/`, which Sentry does not take: write `-` instead")),
        _ if text.contains('\\') => Err(format!("{label} holds a `\\`, which Sentry does not take: write `-` instead")),
        _ => Ok(()),
    }
}

/// Checks that Sentry accepts a text as a release.
fn check_release(text: &str, max_length: usize) -> Result<(), String> {
    check_line("`release`", text, max_length)?;
    check_bytes("`release`", text, max_length)?;
    let is_reserved = matches!(text, "." | "..") || text.eq_ignore_ascii_case("latest");
    if text.contains(['/', '\\']) || is_reserved || text.trim() != text {
        return Err("`release` has a form that Sentry does not take: write `name@1.2.3`, without slashes".into());
    }
    Ok(())
}

/// Checks the length of a text for which Sentry counts bytes.
fn check_bytes(label: &str, text: &str, max_bytes: usize) -> Result<(), String> {
    match text.len() {
        length if length > max_bytes => Err(format!("{label} is {length} bytes long: {max_bytes} at most")),
        _ => Ok(()),
    }
}

/// Returns the name of this machine, or `unknown`.
fn host_name(environment: &dyn Fn(&str) -> Option<String>) -> String {
    let file = |path| std::fs::read_to_string(path).ok();
    let names = [file("/proc/sys/kernel/hostname"), file("/etc/hostname"), environment("HOSTNAME")];
    let mut names = names.into_iter().flatten().map(|name| name.trim().to_string());
    names.find(|name| !name.is_empty()).unwrap_or_else(|| "unknown".into())
}
