//! What endpoints and suites of Gatus share: variables, intervals, alerts and tags.

use std::collections::HashMap;

use super::super::duration::parse_duration;
use super::super::entry::Entry;
use super::super::model::Every;
use super::super::report::Report;
use super::super::text::{Piece, Text};

/// The failures in a row after which an alert is sent, unless the configuration says otherwise.
const DEFAULT_THRESHOLD: u64 = 3;

/// The thresholds of the default alerts, by the names of their providers.
pub struct Thresholds(HashMap<String, u64>);

impl Thresholds {
    pub fn new(roots: &[Entry]) -> Self {
        let providers = roots.iter().filter_map(|root| root.get("alerting")).flat_map(|alerting| {
            let threshold = |provider: &Entry| provider.get("default-alert")?.get("failure-threshold")?.value.as_u64();
            alerting
                .members()
                .into_iter()
                .filter_map(move |(name, provider)| Some((name.to_owned(), threshold(&provider)?)))
        });
        Self(providers.collect())
    }

    /// Returns the lowest threshold of an endpoint's alerts; `None` without alerts.
    pub fn lowest(&self, alerts: &Entry) -> Option<u64> {
        let is_enabled = |alert: &Entry| alert.get("enabled").is_none_or(|enabled| enabled.is_true());
        let threshold = |alert: Entry| {
            let own = alert.get("failure-threshold").and_then(|threshold| threshold.value.as_u64());
            let of_type = || self.0.get(&alert.get("type")?.text()?).copied();
            own.or_else(of_type).unwrap_or(DEFAULT_THRESHOLD)
        };
        alerts.items().into_iter().filter(is_enabled).map(threshold).min()
    }
}

/// Returns the text of a value, with its variables.
pub fn text(entry: &Entry, report: &mut Report) -> Option<Text> {
    entry.text().map(|text| expand(&text, entry, report))
}

/// Returns a text in which `$NAME` and `${NAME}` are variables and `$$` is a dollar sign, as Gatus reads it.
pub fn expand(text: &str, entry: &Entry, report: &mut Report) -> Text {
    let mut expanded = Text::default();
    split_variables(text, |part| match part {
        Part::Literal(text) => expanded.push(Piece::Literal(text.to_owned())),
        Part::Variable(name) => expanded.push(report.given(name, &entry.place())),
    });
    expanded
}

/// Reserves the names of all variables in a file, so that no secret gets one of them.
pub fn reserve_variables(text: &str, report: &mut Report) {
    split_variables(text, |part| {
        if let Part::Variable(name) = part {
            report.reserve(name);
        }
    });
}

enum Part<'t> {
    Literal(&'t str),
    Variable(&'t str),
}

fn split_variables<'t>(text: &'t str, mut part: impl FnMut(Part<'t>)) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        part(Part::Literal(before));
        let braced = after.strip_prefix('{').and_then(|inside| inside.split_once('}'));
        if let Some(after) = after.strip_prefix('$') {
            part(Part::Literal("$"));
            rest = after;
        } else if let Some((name, after)) = braced.filter(|(name, _)| is_variable(name)) {
            part(Part::Variable(name));
            rest = after;
        } else {
            let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
            part(if is_variable(&after[..end]) { Part::Variable(&after[..end]) } else { Part::Literal("$") });
            rest = if is_variable(&after[..end]) { &after[end..] } else { after };
        }
    }
    part(Part::Literal(rest));
}

fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

/// Returns the interval of a value; the default in seconds unless it is given.
pub fn every(item: &Entry, default: f64, report: &mut Report) -> Every {
    let Some(interval) = item.get("interval") else { return Every::Seconds(default) };
    let Some(given) = text(&interval, report) else { return Every::Seconds(default) };
    match given.as_literal() {
        None => Every::Text(given),
        Some(literal) => {
            Every::Seconds(parse_duration(literal).filter(|seconds| *seconds > 0.0).unwrap_or_else(|| {
                report.left_out(&interval.place(), "an interval that is not a duration");
                default
            }))
        }
    }
}

/// Returns the seconds of a duration.
pub fn seconds(entry: &Entry, report: &mut Report) -> Option<f64> {
    let seconds = entry.text().and_then(|text| parse_duration(&text));
    if seconds.is_none() {
        report.left_out(&entry.place(), "a duration that has a variable or cannot be read");
    }
    seconds
}

/// Returns a tag with a name and a value that Sentry takes; `None` without a value.
pub fn tag(name: &str, value: &str) -> Option<(String, String)> {
    const MAX_CHARS: usize = 200;
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    let name: String = name.chars().take(MAX_CHARS).map(|c| if is_allowed(c) { c } else { '-' }).collect();
    let value: String = value.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CHARS).collect();
    let value = value.trim();
    (!value.is_empty() && !name.trim_matches('-').is_empty()).then(|| (name, value.to_owned()))
}

/// Returns the name of an endpoint for messages.
pub fn label(item: &Entry) -> String {
    let name = item.get("name").and_then(|name| name.text()).unwrap_or_default();
    format!("the endpoint `{}`", super::super::entry::shown(&name))
}
