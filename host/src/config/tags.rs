//! Decodes `tags`. What Sentry would change, cut or drop is an error or a warning here.

use std::collections::BTreeMap;

use super::diagnostic::{Diagnostic, below, quote};
use super::table::{DecodeContext, Field, check_line, type_name};

/// The maximal number of tags in one map. Each probe with tags of its own has a copy of all its tags.
const MAX_TAGS: usize = 100;
/// Sentry's maximum for the characters of a tag's name and of its value.
const MAX_LENGTH: usize = 200;

/// Decodes one map of tags. Tags with errors are left out.
pub fn decode_tags(field: Field, context: &mut DecodeContext) -> BTreeMap<String, String> {
    let Some((pointer, map)) = field.into_map(context) else { return BTreeMap::new() };
    if map.len() > MAX_TAGS {
        let message = format!("{} tags: {MAX_TAGS} at most", map.len());
        context.errors.push(Diagnostic::at_key(pointer, message));
        return BTreeMap::new();
    }
    let mut tags = BTreeMap::new();
    for (key, value) in map {
        let tag_pointer = below(&pointer, &key);
        let label = format!("the tag {}", quote(&key));
        if let Err(message) = check_name(&key) {
            context.errors.push(Diagnostic::at_key(&tag_pointer, message));
            continue;
        }
        if let Some(reason) = reserved(&key) {
            context.warnings.push(Diagnostic::at_key(&tag_pointer, format!("{label} is left out: {reason}")));
            continue;
        }
        if value.is_array() || value.is_object() {
            let message = format!("{label} must be text, not {}", type_name(&value));
            context.errors.push(Diagnostic::at_value(&tag_pointer, message));
            continue;
        }
        if value.is_null() {
            continue;
        }
        let field = Field { pointer: tag_pointer, label, value };
        let text = field.text(context).and_then(|text| check_line(&field.label, &text, MAX_LENGTH).map(|()| text));
        if let Some(text) = context.accept(&field, text) {
            context.identifiers.push(field.pointer, field.label, &text);
            tags.insert(key, text);
        }
    }
    tags
}

fn check_name(key: &str) -> Result<(), String> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '-');
    if key.is_empty() {
        return Err("a tag without a name".into());
    }
    if key.len() > MAX_LENGTH {
        return Err(format!("a tag's name of {} characters: {MAX_LENGTH} at most", key.chars().count()));
    }
    if key.chars().all(is_allowed) {
        return Ok(());
    }
    let better: String = key.chars().map(|c| if is_allowed(c) { c } else { '-' }).collect();
    let better = better.trim_matches('-');
    let advice = if better.is_empty() { String::new() } else { format!(", such as {}", quote(better)) };
    Err(format!("the tag {}: Sentry takes letters, digits and `_.:-`{advice}", quote(key)))
}

/// Returns the reason why a configuration cannot set a tag of this name, if it cannot.
fn reserved(key: &str) -> Option<&'static str> {
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
