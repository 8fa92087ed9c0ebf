//! Decodes `defaults` of a group: keys that its probes share.

use std::time::Duration;

use serde_json::{Map, Value};

use super::component::Environment;
use super::decoder::Decoder;
use super::inherited::Inherited;
use crate::config::check_in::{CheckIn, decode_check_in};
use crate::config::diagnostic::{Diagnostic, below};
use crate::config::limits::{PartialLimits, decode_limits};
use crate::config::section::Section;
use crate::config::table::{Field, Table};
use crate::config::{Allow, SharedSettings};

/// The owner of the block `allow` of `defaults`, as messages name it.
const DECLARED_BY: &str = "the group's `defaults`";

/// The keys of a probe that are the same for all probes of a group, except those with a key of their own. `tags` and
/// `trace_headers` are not among them, since they are joined with those of the group.
#[derive(Default)]
pub struct Defaults {
    pub every: Option<Duration>,
    pub burst: Option<u32>,
    pub retries: Option<u32>,
    pub retry_delay: Option<Duration>,
    pub failures_before_error: Option<u32>,
    pub limits: PartialLimits,
    pub allow: Option<(Allow, Option<Environment>)>,
    /// Its owner is the group: [`Defaults::check_in_of`] gives it to a probe.
    check_in: Option<CheckIn>,
    /// All other keys, which are settings of components.
    settings: Map<String, Value>,
    /// The JSON pointer to `defaults`.
    pointer: String,
}

impl Decoder<'_> {
    /// Decodes `defaults`. Adds its tags and trace headers to those that the probes of the group inherit.
    pub fn defaults(&mut self, field: Option<Field>, inherited: &mut Inherited) -> Defaults {
        let table = field.and_then(|field| Table::new(field, Section::DEFAULTS, &mut self.context));
        let Some(mut table) = table else { return Defaults::default() };
        for key in Section::PROBE.keys().into_iter().filter(|key| !Section::DEFAULTS.has(key)) {
            if table.rest.shift_remove(key).is_some() {
                let message = format!("`{key}` is each probe's own: write it there");
                self.context.errors.push(Diagnostic::at_key(below(&table.pointer, key), message));
            }
        }
        inherited.tags = self.tags(&mut table, &inherited.tags);
        inherited.trace_headers = self.trace_headers(table.take("trace_headers"), &inherited.trace_headers);
        let check_in = table.take("check_in");
        let check_in = check_in.and_then(|field| decode_check_in(&table.pointer, true, field, &mut self.context));
        if check_in.as_ref().is_some_and(|check_in| check_in.slug.is_some()) {
            let slug = below(&below(&table.pointer, "check_in"), "slug");
            let message = "each probe has a monitor with a slug of its own: write `slug` there, or `check_in` in the \
                           group for one monitor of all its probes";
            self.context.errors.push(Diagnostic::at_key(slug, message));
        }
        let context = &mut self.context;
        let limits = table.take_table("limits", Section::RUN_LIMITS, context);
        let limits = limits.map(|table| decode_limits(table, context)).unwrap_or_default();
        let (every, burst) = (table.take_seconds("every", context), table.take_integer("burst", context));
        let (retries, retry_delay) =
            (table.take_integer("retries", context), table.take_seconds("retry_delay", context));
        let failures_before_error = table.take_integer("failures_before_error", context);
        let allow = table.take("allow").and_then(|field| self.allow(field, DECLARED_BY.to_owned()));
        Defaults {
            every,
            burst,
            retries,
            retry_delay,
            failures_before_error,
            limits,
            allow,
            check_in,
            settings: table.rest,
            pointer: table.pointer,
        }
    }
}

impl Defaults {
    /// Returns the check-in that the probe at a JSON pointer has, unless it has the key itself.
    pub fn check_in_of(&self, probe_pointer: &str) -> Option<CheckIn> {
        let owner_pointer = probe_pointer.to_owned();
        self.check_in.clone().map(|check_in| CheckIn { owner_pointer, ..check_in })
    }

    /// Adds the settings to those of a probe, except where the probe has its own. Returns those that were added.
    pub fn add_settings(&self, settings: &mut Map<String, Value>) -> SharedSettings {
        SharedSettings::add(&self.settings, &self.pointer, settings)
    }
}
