//! Tags: what Sentry would change, cut or drop is said before it is sent.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, below, quote};
use super::table::{Field, Report, Table, bounded, kind};

/// More than anybody slices by; a bound, as each probe carries its own copy.
const MOST: usize = 100;
/// Sentry's own bound, for keys and for values.
const LENGTH: usize = 200;

pub fn tags(field: Field, report: &mut Report) -> BTreeMap<String, String> {
    let pointer = field.pointer.clone();
    let Some(table) = Table::new(field, report) else { return BTreeMap::new() };
    if table.rest.len() > MOST {
        let message = format!("{} tags: {MOST} at most", table.rest.len());
        report.problems.push(Diagnostic::key(pointer, message));
        return BTreeMap::new();
    }
    let mut tags = BTreeMap::new();
    for (key, value) in table.rest {
        let place = below(&pointer, &key);
        let named = format!("the tag {}", quote(&key));
        if let Err(message) = name(&key) {
            report.problems.push(Diagnostic::key(&place, message));
            continue;
        }
        if let Some(other) = taken(&key) {
            report.warnings.push(Diagnostic::key(&place, format!("{named} is left out: {other}")));
            continue;
        }
        if value.is_array() || value.is_object() {
            let message = format!("{named} must be text, not {}", kind(&value));
            report.problems.push(Diagnostic::value(&place, message));
            continue;
        }
        if value.is_null() {
            continue;
        }
        let field = Field { pointer: place, key: named, value };
        let text = field.text(report).and_then(|text| bounded(&field.key, &text, LENGTH).map(|()| text));
        if let Some(text) = report.at(&field, text) {
            tags.insert(key, text);
        }
    }
    tags
}

fn name(key: &str) -> Result<(), String> {
    let right = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    if key.is_empty() {
        return Err("a tag without a name".into());
    }
    if key.len() > LENGTH {
        return Err(format!("a tag's name of {} characters: {LENGTH} at most", key.chars().count()));
    }
    if key.chars().all(right) {
        return Ok(());
    }
    let better: String = key.chars().map(|c| if right(c) { c } else { '-' }).collect();
    let better = better.trim_matches('-');
    let advice = match better.is_empty() {
        true => String::new(),
        false => format!(", such as {}", quote(better)),
    };
    Err(format!("the tag {}: Sentry takes letters, digits and `_.:-`{advice}", quote(key)))
}

/// Names that are not a configuration's to give.
fn taken(key: &str) -> Option<&'static str> {
    match key {
        "probe" => Some("it is set for every run, to the probe's name"),
        "release" => Some("Sentry drops a tag of this name, `sentry.release` sets it"),
        "outcome" | "reason" | "attempts" => Some("it is set for every run, to how it ended"),
        "server_name" => Some("Sentry has its own of this name, `sentry.server_name` sets it"),
        "dist" | "filename" | "function" | "user" => Some("Sentry has its own of this name: choose another"),
        "environment" => Some("Sentry has its own of this name, `sentry.environment` sets it"),
        _ => None,
    }
}
