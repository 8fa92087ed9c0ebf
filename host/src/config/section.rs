//! The sections of a configuration file, and the keys of each as `schema/host.json` declares them.
//!
//! `host.json` is the only place that has the names, bounds, defaults and descriptions of the host's own keys. The
//! decoder takes them from here, `sentrynet schema` prints them, and a test writes them into the tables of
//! `docs/configuration.md`.

use std::ops::RangeInclusive;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::size::parse_size;

/// The schema of the host's own keys. The names of built-in probes and the settings of components are not in it;
/// [`schema`](super::schema()) adds them.
pub static HOST_SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    let mut schema: Value = serde_json::from_str(include_str!("schema/host.json")).expect("`host.json` is valid JSON");
    add_run_limits(&mut schema);
    schema
});

/// Adds the limits of a run to those at the top of the file, where they are the defaults of all probes.
fn add_run_limits(schema: &mut Value) {
    let keys = schema["$defs"]["limits"]["properties"].as_object().into_iter().flat_map(Map::keys);
    let references = keys.map(|key| (key.clone(), json!({ "$ref": format!("#/$defs/limits/properties/{key}") })));
    let mut all: Map<_, _> = references.collect();
    if let Some(own) = schema["$defs"]["host_limits"]["properties"].as_object() {
        all.extend(own.clone());
    }
    schema["$defs"]["host_limits"]["properties"] = all.into();
}

/// One map of the configuration file whose keys are the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// The name under `$defs` in `host.json`; empty for the top of the file.
    definition: &'static str,
    /// The place of the section in the file, as messages name it.
    pub place: &'static str,
}

impl Section {
    pub const ROOT: Self = Self::new("", "at the top of the file");
    pub const SENTRY: Self = Self::new("sentry", "under `sentry`");
    pub const HOST_LIMITS: Self = Self::new("host_limits", "under `limits`");
    pub const CHECK_IN: Self = Self::new("check_in_map", "under `check_in`");
    pub const GROUP: Self = Self::new("group", "in a group, an item of `groups`");
    pub const PROBE: Self = Self::new("probe", "in a probe, an item of a group's `probes`");
    pub const DEFAULTS: Self = Self::new("defaults", "under `defaults` of a group");
    pub const ALLOW: Self = Self::new("allow", "under `allow`");
    pub const MODULE: Self = Self::new("module", "in a module, under a name in `modules`");
    pub const RUN_LIMITS: Self = Self::new("limits", "under `limits`");
    pub const SAMPLE: Self = Self::new("sample_map", "under `sample`");
    pub const SPOOL: Self = Self::new("spool_map", "under `spool`");
    pub const TRACE_HEADERS: Self = Self::new("trace_headers_map", "under `trace_headers`");
    pub const ALLOW_SSH: Self = Self::new("allow_ssh", "under `ssh`");

    /// Every section. A message about a misplaced key names the first section that has the key.
    pub const ALL: &[Self] = &[
        Self::ROOT,
        Self::SENTRY,
        Self::HOST_LIMITS,
        Self::CHECK_IN,
        Self::GROUP,
        Self::PROBE,
        Self::DEFAULTS,
        Self::ALLOW,
        Self::MODULE,
        Self::RUN_LIMITS,
        Self::SAMPLE,
        Self::SPOOL,
        Self::TRACE_HEADERS,
        Self::ALLOW_SSH,
    ];

    const fn new(definition: &'static str, place: &'static str) -> Self {
        Self { definition, place }
    }

    /// Returns the JSON pointer to the section's keys in `host.json`.
    pub fn pointer(self) -> String {
        match self.definition {
            "" => "/properties".to_owned(),
            definition => format!("/$defs/{definition}/properties"),
        }
    }

    fn properties(self) -> &'static Map<String, Value> {
        let section = if self.definition.is_empty() { &*HOST_SCHEMA } else { &HOST_SCHEMA["$defs"][self.definition] };
        section["properties"].as_object().expect("every section of `host.json` has `properties`")
    }

    /// Returns the names of the section's keys, in the order of `host.json`.
    pub fn keys(self) -> Vec<&'static str> {
        self.properties().keys().map(String::as_str).collect()
    }

    /// Returns true if the section has a key of this name.
    pub fn has(self, key: &str) -> bool {
        self.properties().contains_key(key)
    }

    /// Returns true if a key takes a number: always, or as one of several forms.
    pub fn is_number(self, key: &str) -> bool {
        self.number(key).is_some()
    }

    /// Returns the bounds of a key that takes a number.
    ///
    /// # Panics
    /// `host.json` declares no `minimum` and `maximum` for the key.
    pub fn bounds(self, key: &str) -> RangeInclusive<f64> {
        let bound = |keyword| self.number(key).and_then(|schema| schema[keyword].as_f64());
        let bounds = bound("minimum").zip(bound("maximum"));
        let (least, most) = bounds.unwrap_or_else(|| self.undeclared("`minimum` and `maximum`", key));
        least..=most
    }

    /// Returns the maximal number of characters of a key that takes text.
    ///
    /// # Panics
    /// `host.json` declares no `maxLength` for the key.
    pub fn max_length(self, key: &str) -> usize {
        self.declared_max_length(key).unwrap_or_else(|| self.undeclared("`maxLength`", key))
    }

    /// Returns the maximal number of characters that `host.json` declares for a key, if any.
    pub fn declared_max_length(self, key: &str) -> Option<usize> {
        self.branches(key).into_iter().find_map(|schema| schema["maxLength"].as_u64()).map(|length| length as usize)
    }

    /// Returns the description of a key.
    #[cfg(test)]
    pub fn description(self, key: &str) -> Option<&'static str> {
        let own = self.properties().get(key)?["description"].as_str();
        own.or_else(|| self.declaration(key)["description"].as_str())
    }

    /// Returns the default of a key in seconds.
    ///
    /// # Panics
    /// `host.json` declares no number as the key's `default`.
    pub fn default_seconds(self, key: &str) -> Duration {
        let seconds = self.default(key).as_f64();
        Duration::from_secs_f64(seconds.unwrap_or_else(|| self.undeclared("a number as `default`", key)))
    }

    /// Returns the default of a key that takes a whole number.
    ///
    /// # Panics
    /// `host.json` declares no whole number as the key's `default`.
    pub fn default_integer(self, key: &str) -> u64 {
        self.default(key).as_u64().unwrap_or_else(|| self.undeclared("a whole number as `default`", key))
    }

    /// Returns the default of a key in bytes.
    ///
    /// # Panics
    /// `host.json` declares no text such as `64 MiB` as the key's `default`.
    pub fn default_bytes(self, key: &str) -> u64 {
        let bytes = self.default(key).as_str().and_then(parse_size);
        bytes.unwrap_or_else(|| self.undeclared("text such as `64 MiB` as `default`", key)) as u64
    }

    fn default(self, key: &str) -> &'static Value {
        &self.declaration(key)["default"]
    }

    /// Returns the schema of a key, with a `$ref` followed; null if there is none.
    fn declaration(self, key: &str) -> &'static Value {
        self.properties().get(key).map_or(&Value::Null, follow)
    }

    /// Returns the schemas of the forms that a key's value can have.
    fn branches(self, key: &str) -> Vec<&'static Value> {
        let declaration = self.declaration(key);
        declaration["anyOf"]
            .as_array()
            .map_or_else(|| vec![declaration], |branches| branches.iter().map(follow).collect())
    }

    /// Returns the schema of a key's value for the form that is a number.
    fn number(self, key: &str) -> Option<&'static Value> {
        let is_number = |schema: &&Value| schema["type"] == "number" || schema["type"] == "integer";
        let nested = |schema: &'static Value| schema["anyOf"].as_array().into_iter().flatten();
        let branches = self.branches(key);
        branches.iter().copied().find(is_number).or_else(|| branches.into_iter().flat_map(nested).find(is_number))
    }

    fn undeclared(self, what: &str, key: &str) -> ! {
        panic!("config/schema/host.json does not declare {what} of `{key}` at {}", self.pointer())
    }
}

/// Returns the schema that a `$ref` leads to, or the schema itself.
fn follow(schema: &'static Value) -> &'static Value {
    let target = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    target.map_or(schema, |pointer| {
        HOST_SCHEMA.pointer(pointer).expect("every `$ref` of `host.json` leads to a part of it")
    })
}

/// Returns true if a key of this name takes a number in any section.
pub fn is_number(key: &str) -> bool {
    Section::ALL.iter().any(|section| section.is_number(key))
}

/// Returns true if a pointer leads to `trace_headers`, `check_in`, `allow`, `limits`, `component` or `sha256` of the
/// host, a module, a group or a probe, or to a key of one of these. The values of these keys are the host's.
pub fn is_shared(pointer: &str) -> bool {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    let (name, below) = match path.as_slice() {
        ["modules", _, "component" | "sha256", ..] => return true,
        ["modules", _, "settings", ..] => return false,
        ["groups", _, "probes", _, name, below @ ..]
        | ["groups", _, "defaults", name, below @ ..]
        | ["groups" | "modules", _, name, below @ ..]
        | ["sentry", name, below @ ..] => (*name, below),
        _ => return false,
    };
    let section = match name {
        "trace_headers" => Section::TRACE_HEADERS,
        "check_in" => Section::CHECK_IN,
        "allow" => Section::ALLOW,
        "limits" => Section::HOST_LIMITS,
        _ => return false,
    };
    below.first().is_none_or(|key| section.has(key))
}

/// Returns the path within a probe, or within the `defaults` of a group, of a path from the top of the file.
pub fn path_in_probe<'a, 'p>(path: &'a [&'p str]) -> Option<&'a [&'p str]> {
    match path {
        ["groups", _, "probes", _, inside @ ..] | ["groups", _, "defaults", inside @ ..] => Some(inside),
        _ => None,
    }
}

/// Returns the place in the file where a key would have a meaning, as a message names it.
pub fn place_of(key: &str) -> Option<&'static str> {
    Section::ALL.iter().find(|section| section.has(key)).map(|section| section.place)
}
