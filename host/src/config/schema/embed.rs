//! Embeds the schema of a component's settings in the schema of a configuration: rewrites its references, and allows
//! the host's own keys beside its own.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use super::super::diagnostic::escape;
use super::super::section::Section;
use super::component::ComponentSchema;
use super::relax::{self, keywords};
use crate::schema::{InvalidSchema, Schema, Subschemas, subschemas_in};

/// Characters that must be escaped in the fragment of a URL.
const FRAGMENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'%').add(b'^').add(b'#');

/// Returns the schema of a probe with this component, for `#/$defs/KEY`. The host's own keys are allowed.
pub fn embed(component: &ComponentSchema, key: &str) -> Result<Value, InvalidSchema> {
    embedded(component, key, &|part| allow_host_keys(part, &component.given_keys))
}

/// Returns the schema of the `settings` of a module, which may lack any key, because its probes may have the rest.
pub fn embed_shared(component: &ComponentSchema, key: &str) -> Result<Value, InvalidSchema> {
    let mut schema = embedded(component, key, &remove_requirements)?;
    if let Some(part) = keywords(&mut schema)
        && let Some(properties) = part.entry("properties").or_insert_with(|| json!({})).as_object_mut()
    {
        properties.extend(Section::PROBE.keys().into_iter().map(|key| (key.to_owned(), false.into())));
    }
    Ok(schema)
}

fn embedded(component: &ComponentSchema, key: &str, change: &dyn Fn(&mut Value)) -> Result<Value, InvalidSchema> {
    let mut schema = component.schema.clone();
    let read = Schema::read(&schema)?;
    let targets: BTreeSet<&str> = read.references().iter().map(|reference| reference.to.as_str()).collect();
    for reference in read.references() {
        if let Some(part) = schema.pointer_mut(&reference.from).and_then(keywords) {
            let to = fragment(&reference.to);
            part.shift_remove("$dynamicRef");
            part.insert("$ref".to_owned(), format!("#/$defs/{key}{to}").into());
        }
    }
    remove_names(&mut schema);
    for pointer in top_level_parts(&schema, key) {
        if let Some(part) = schema.pointer_mut(&pointer) {
            change(part);
        }
    }
    // A part that contains the target of a reference must not be moved, because the reference is a path to the target.
    relax::allow_references(&mut schema, &|pointer| {
        let below = format!("{pointer}/");
        targets.range(below.as_str()..).next().is_some_and(|target| target.starts_with(&below))
    });
    if schema.is_boolean() {
        schema = json!({});
    }
    Ok(schema)
}

/// Returns a JSON pointer as it is written in the fragment of a URL.
pub fn fragment(pointer: &str) -> String {
    utf8_percent_encode(pointer, FRAGMENT).to_string()
}

/// Removes the names of the parts. They are of no use any more: all references are JSON pointers by now.
fn remove_names(schema: &mut Value) {
    let Some(part) = keywords(schema) else { return };
    for name in ["$id", "$schema", "$anchor", "$dynamicAnchor", "$vocabulary"] {
        part.shift_remove(name);
    }
    for (keyword, value) in part.iter_mut() {
        match (subschemas_in(keyword), value) {
            (Some(Subschemas::One), value) => remove_names(value),
            (Some(Subschemas::List), Value::Array(parts)) => parts.iter_mut().for_each(remove_names),
            (Some(Subschemas::Map), Value::Object(parts)) => parts.values_mut().for_each(remove_names),
            _ => {}
        }
    }
}

/// Returns JSON pointers to the parts that apply to the settings as a whole, and not to a value in them.
fn top_level_parts(schema: &Value, key: &str) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let mut waiting = vec![String::new()];
    while let Some(pointer) = waiting.pop() {
        let Some(part) = schema.pointer(&pointer) else { continue };
        if !all.insert(pointer.clone()) {
            continue;
        }
        let referred = part["$ref"].as_str().and_then(|reference| reference.strip_prefix(&format!("#/$defs/{key}")));
        let referred = referred.map(|to| percent_encoding::percent_decode_str(to).decode_utf8_lossy().into_owned());
        waiting.extend(referred);
        for keyword in ["allOf", "anyOf", "oneOf"] {
            let count = part[keyword].as_array().map_or(0, Vec::len);
            waiting.extend((0..count).map(|index| format!("{pointer}/{keyword}/{index}")));
        }
        waiting.extend(["if", "then", "else"].map(|keyword| format!("{pointer}/{keyword}")));
        let dependent = part["dependentSchemas"].as_object().into_iter().flatten();
        waiting.extend(dependent.map(|(name, _)| format!("{pointer}/dependentSchemas/{}", escape(name))));
    }
    all
}

/// Removes the keywords that require keys, or depend on which keys there are.
fn remove_requirements(part: &mut Value) {
    let Some(part) = keywords(part) else { return };
    for keyword in ["required", "minProperties", "dependentRequired", "dependentSchemas", "if", "then", "else", "not"] {
        part.shift_remove(keyword);
    }
}

/// Allows the host's own keys, and does not require the keys that the module has.
fn allow_host_keys(part: &mut Value, given_keys: &[String]) {
    let Some(part) = keywords(part) else { return };
    if let Some(Value::Array(required)) = part.get_mut("required") {
        required.retain(|key| !given_keys.iter().any(|given| key == given));
    }
    // These keywords apply to all keys, the host's too.
    for keyword in ["propertyNames", "minProperties", "maxProperties"] {
        part.shift_remove(keyword);
    }
    let closed = ["additionalProperties", "unevaluatedProperties", "patternProperties"];
    if !closed.iter().any(|keyword| part.contains_key(*keyword)) {
        return;
    }
    let properties = part.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = keywords(properties) {
        for key in Section::PROBE.keys() {
            properties.insert(key.to_owned(), true.into());
        }
    }
}
