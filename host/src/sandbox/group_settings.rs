//! Settings that the probes of a group share: each component gets those that its schema names.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashSet};

use serde_json::{Map, Value};

use crate::config;

/// Returns a probe without those settings of its group that its component does not have.
pub fn for_component<'a>(probe: &'a config::Probe, schema: &Value) -> Cow<'a, config::Probe> {
    let Some(known) = named_keys(schema).filter(|_| !probe.group_settings.keys.is_empty()) else {
        return Cow::Borrowed(probe);
    };
    let is_foreign = |key: &str| probe.group_settings.keys.contains(key) && !known.contains(key);
    if !probe.settings.keys().any(|key| is_foreign(key)) {
        return Cow::Borrowed(probe);
    }
    let mut own = probe.clone();
    own.settings.retain(|key, _| !is_foreign(key));
    own.group_settings.keys.retain(|key| known.contains(key.as_str()));
    Cow::Owned(own)
}

/// Returns the keys that a schema of settings names. `None` if it names none, so that any key may stand there.
pub fn named_keys(schema: &Value) -> Option<BTreeSet<&str>> {
    let mut names = BTreeSet::new();
    let mut followed = HashSet::new();
    let mut waiting = vec![schema];
    // Each part is visited once for each place where it is written, and a target of references once.
    while let Some(part) = waiting.pop() {
        names.extend(part["properties"].as_object().into_iter().flat_map(Map::keys).map(String::as_str));
        let lists = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|keyword| part[keyword].as_array());
        waiting.extend(lists.flatten());
        waiting.extend(["if", "then", "else"].into_iter().filter_map(|keyword| part.get(keyword)));
        let target = part["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
        waiting.extend(target.filter(|pointer| followed.insert(*pointer)).and_then(|pointer| schema.pointer(pointer)));
    }
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn keys_are_named_in_all_parts_of_a_schema() {
        let names = |schema: &Value| named_keys(schema).map(|names| names.into_iter().collect::<Vec<_>>().join(" "));
        assert_eq!(names(&json!({})), None);
        assert_eq!(names(&json!(true)), None);
        assert_eq!(
            names(&json!({ "properties": { "b": {}, "a": { "properties": { "c": {} } } } })).as_deref(),
            Some("a b")
        );
        let parts = json!({
            "$ref": "#/$defs/all",
            "if": { "properties": { "a": {} } },
            "then": { "properties": { "b": {} } },
            "$defs": { "all": { "allOf": [{ "$ref": "#/$defs/all" }, { "anyOf": [{ "properties": { "c": {} } }] }] } },
        });
        assert_eq!(names(&parts).as_deref(), Some("a b c"));
    }
}
