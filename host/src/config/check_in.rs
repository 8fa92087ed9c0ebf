//! Decodes the key `check_in` of `sentry`, of groups and of probes.

use serde_json::{Map, Value};

use super::diagnostic::{Diagnostic, below, quote};
use super::section::Section;
use super::table::{DecodeContext, Field, Table, check_line};
use crate::redaction::Secrets;

/// A key `check_in`, decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckIn {
    /// The JSON pointer to the probe, the group or `sentry` that has the key.
    pub(super) owner_pointer: String,
    /// The slug as configured. If it is `None`, the slug is made from the title or the server name.
    pub(super) slug: Option<String>,
    /// Minutes. See [`Monitor`] for this and the following fields.
    pub(super) margin: Option<u32>,
    pub(super) failure_issue_threshold: Option<u32>,
    pub(super) recovery_threshold: Option<u32>,
    pub(super) owner: Option<String>,
}

/// A monitor in Sentry's Crons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// The name of the monitor, unique in the configuration.
    pub slug: String,
    /// The host or the probes that check in.
    pub subject: MonitorSubject,
    /// The [numbers](super::Probe::number) of the probes that check in; empty for the host.
    pub probes: Vec<usize>,
    /// Minutes from one check-in to the next.
    pub every: u32,
    /// Minutes that a check-in may be late before Sentry counts it as missed.
    pub margin: u32,
    /// Consecutive failed or missed check-ins before Sentry opens an issue; `None` leaves it to Sentry.
    pub failure_issue_threshold: Option<u32>,
    /// Consecutive good check-ins before Sentry closes the issue; `None` leaves it to Sentry.
    pub recovery_threshold: Option<u32>,
    /// `user:…` or `team:…`.
    pub owner: Option<String>,
}

/// The host or the probes that check in to a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonitorSubject {
    /// The host itself, while it runs.
    Host,
    /// A probe, or the probes of a group.
    Probes {
        /// The JSON pointer to the probe or the group.
        pointer: String,
        /// There may be several runs within a minute.
        several_per_minute: bool,
    },
}

/// Decodes `check_in`: `true`, `false`, or a map. `has_name` is true if a slug can be made from a title or a server
/// name.
pub fn decode_check_in(
    owner_pointer: &str,
    has_name: bool,
    field: Field,
    context: &mut DecodeContext,
) -> Option<CheckIn> {
    let keys = match field.value {
        Value::Bool(false) => return None,
        Value::Bool(true) => Map::new(),
        Value::Object(keys) => keys,
        _ => {
            let message = field.mismatch("must be true, false, or a map of keys such as `slug` and `margin`");
            return context.accept(&field, Err(message));
        }
    };
    let mut table = Table::with_keys(Section::CHECK_IN, field.pointer, keys);
    if !has_name && !table.has_value("slug") {
        let message = "a group has no title to make a slug of: write `check_in: {slug: …}`";
        context.errors.push(Diagnostic::at_value(&table.pointer, message));
    }
    let check_in = CheckIn {
        owner_pointer: owner_pointer.to_owned(),
        slug: table.take_identifier("slug", check_slug, context),
        margin: table.take_integer("margin", context),
        failure_issue_threshold: table.take_integer("failure_issue_threshold", context),
        recovery_threshold: table.take_integer("recovery_threshold", context),
        owner: table.take_identifier("owner", check_owner, context),
    };
    table.finish(context);
    Some(check_in)
}

impl CheckIn {
    /// Redacts the slug and the owner. The value of a reference in them is a secret only if another key uses the same
    /// value as a secret.
    pub fn redact(&mut self, secrets: &Secrets) {
        self.slug = self.slug.take().and_then(|slug| match secrets.redact(&slug).into_owned() {
            redacted if redacted == slug => Some(slug),
            redacted => slugify(&redacted),
        });
        self.owner.iter_mut().for_each(|owner| secrets.redact_in_place(owner));
    }

    /// Returns the JSON pointer to the probe or the section whose title or name the slug is made from. `None` if the
    /// slug is configured.
    pub fn named_by(&self) -> Option<&str> {
        self.slug.is_none().then_some(self.owner_pointer.as_str())
    }

    /// Returns a diagnostic at the slug, or at `check_in` if the slug was made from a title or the server name.
    pub(super) fn slug_diagnostic(&self, message: String) -> Diagnostic {
        let key = below(&self.owner_pointer, "check_in");
        match self.slug {
            Some(_) => Diagnostic::at_value(below(&key, "slug"), message),
            None => Diagnostic::at_key(key, message),
        }
    }
}

/// Makes a slug from a text. Returns `None` if the text has no letters.
pub(super) fn slugify(text: &str) -> Option<String> {
    let mut slug = slug::slugify(text);
    slug.truncate(Section::CHECK_IN.max_length("slug"));
    let slug = slug.trim_end_matches('-');
    slug.contains(|c: char| c.is_ascii_lowercase()).then(|| slug.to_owned())
}

/// Checks that Sentry accepts a slug, and does not change it.
fn check_slug(text: &str, max_length: usize) -> Result<(), String> {
    check_line("`slug`", text, max_length)?;
    let is_allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let ends = ['-', '_'];
    let is_unchanged = text.chars().all(is_allowed) && !text.contains("--") && text.trim_matches(ends) == text;
    match slugify(text) {
        Some(_) if is_unchanged => Ok(()),
        Some(better) => Err(format!("`slug` holds what Sentry would change: write {}", quote(&better))),
        None => Err("`slug` must have letters: Sentry takes `a` to `z`, digits, `-` and `_`".into()),
    }
}

fn check_owner(text: &str, max_length: usize) -> Result<(), String> {
    check_line("`owner`", text, max_length)?;
    match text.split_once(':') {
        Some(("user" | "team", name)) if !name.trim().is_empty() => Ok(()),
        _ => Err("`owner` must be `team:NAME` or `user:ADDRESS`, as Sentry has them".into()),
    }
}
