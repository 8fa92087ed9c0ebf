//! The configuration: from a YAML file to a [`Config`], with all errors and warnings.
//!
//! [`parse`] parses the YAML (`yaml_tree`, `yaml_to_json`), replaces references such as `${env:NAME}`
//! (`interpolation`), and decodes the host's own keys (`decode`). It collects every error with its location, so that
//! all errors in a file can be repaired at once. The result is valid: no other module checks its values again.
//!
//! `schema/host.json` declares the names, bounds, defaults and descriptions of the host's own keys; see `section`.

mod allowed_host;
mod changes;
mod check_in;
mod decode;
mod destination;
mod diagnostic;
mod diagnostic_render;
mod distinct_titles;
mod duration;
mod file_references;
mod folder;
mod foreign_yaml;
mod identifiers;
mod interpolation;
mod limits;
mod model;
mod monitor;
mod places;
mod unknown_key;
mod sample_rate;
mod schema;
mod section;
mod size;
mod source;
mod source_map;
mod spool;
mod spotlight;
mod table;
mod tags;
mod title_lint;
mod trace_host;
mod yaml_errors;
mod yaml_size;
mod yaml_to_json;
mod yaml_tree;

use std::cell::RefCell;
use std::path::PathBuf;

use decode::BUILT_IN;
use diagnostic::Diagnostics;
pub(crate) use diagnostic::push_within;
pub(crate) use file_references::FileReferences;
use interpolation::InterpolationEnv;
use serde_json::Map;
use source_map::SourceMap;
use table::DecodeContext;

pub use allowed_host::AllowedHost;
pub use changes::{ChangedHostKey, ProbeChanges, changed_host_keys, changed_keys, same_probes};
pub use check_in::{CheckIn, Monitor, MonitorSubject};
pub use decode::{THIS_PROBE, built_in};
pub use destination::{Destination, Protocol};
pub use diagnostic::{Diagnostic, Location, MissingFile, TextRange};
pub use diagnostic_render::{Level, render};
pub use distinct_titles::{Renamed, distinct_titles};
pub use duration::parse_duration;
pub use foreign_yaml::{ForeignYaml, YamlPlaces};
pub use interpolation::{Interpolations, world_readable_warning};
pub use limits::{Limits, MAX_MEMORY_BYTES, MAX_TABLE_ELEMENTS, default_per_host};
pub use model::{
    Allow, AllowSsh, Config, Module, ParsedConfig, Probe, Retries, Sample, Sentry, SharedSettings, TraceHeaders,
    TraceMode,
};
pub use monitor::monitors;
pub use places::{Place, places};
pub use sample_rate::SampleRate;
pub use schema::{ComponentSchema, aliases, built_ins, schema, source_texts};
pub use source::{Source, SourceError, SourceFile, SourceVersion};
pub use spool::{Spool, SpoolLocation};
pub use title_lint::{check_titles, unfiltered_title};
pub use trace_host::{TraceHost, parse_host_and_port};
pub use unknown_key::{unknown_group_key, unknown_setting};

/// Parses a configuration.
///
/// `environment` looks up environment variables: those of `${env:NAME}` references and of `allow.env`, and
/// `SENTRY_DSN`, `SENTRY_ENVIRONMENT` and `SENTRY_SPOTLIGHT` for keys that the file does not have.
pub fn parse(source: &Source, environment: &dyn Fn(&str) -> Option<String>) -> ParsedConfig {
    let looked_up = RefCell::default();
    let environment = file_references::remember(environment, &looked_up);
    let (mut errors, mut warnings) = (Diagnostics::default(), Diagnostics::default());
    let document = parse_document(source, &mut errors);
    let mut value = document.as_ref().map(|document| yaml_to_json::value(document, &mut errors));
    let source_map = document.as_ref().map(SourceMap::new);
    let file = |pointer: &str| file_of(source, source_map.as_ref(), pointer);
    let env = InterpolationEnv { directory: &source.directory, environment: &environment, file: &file };
    let resolve = |value| interpolation::resolve(value, &env, &mut errors, &mut warnings);
    let mut resolved = value.as_mut().map(resolve).unwrap_or_default();
    let files = std::mem::take(&mut resolved.files);
    let context = DecodeContext::new(document.as_ref(), errors, warnings, resolved);
    let parsed = decode::decode(value, context, &source.directory, &environment);
    ParsedConfig { references: FileReferences::new(source, looked_up.take(), files), ..parsed }
}

/// Returns the path of the file that has the value at a JSON pointer; `None` for standard input.
fn file_of(source: &Source, source_map: Option<&SourceMap>, pointer: &str) -> Option<PathBuf> {
    if source.files.is_empty() {
        return source.path.clone();
    }
    let line = source_map?.find(pointer).value.range.line;
    source.file_of(line).map(|file| file.path.clone())
}

/// Parses the YAML, and checks that it is not too large with its aliases replaced. Returns `None` if nothing of it can
/// be decoded; `errors` says why.
fn parse_document(source: &Source, errors: &mut Diagnostics) -> Option<yaml_tree::Document> {
    let document = folder::parse(source, errors)?;
    yaml_size::check_size(&document).map_err(|error| errors.push(error)).ok().map(|()| document)
}

/// Returns one probe for each module that a configuration declares, without settings of its own. Modules with errors
/// get no probe.
pub fn module_probes(source: &Source, environment: &dyn Fn(&str) -> Option<String>) -> Vec<Probe> {
    let mut value = parse_document(source, &mut Diagnostics::default())
        .map(|document| yaml_to_json::value(&document, &mut Diagnostics::default()))
        .unwrap_or_default();
    let names = value["modules"].as_object().into_iter().flat_map(Map::keys);
    let probes: Vec<_> = names.map(|name| serde_json::json!({ "probe": name })).collect();
    if probes.is_empty() {
        return Vec::new();
    }
    value["groups"] = serde_json::json!([{ "probes": probes }]);
    let source = Source { text: value.to_string(), files: Vec::new(), ..source.clone() };
    parse(&source, environment).config.probes
}

#[cfg(test)]
mod tests;
