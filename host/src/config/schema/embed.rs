//! A component's schema put into another: whatever it refers to is found there, and it lets the host's own keys stand
//! beside its own.

use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde_json::{Value, json};

use super::super::diagnostic::escape;
use super::super::known_keys::PROBE;
use super::{Component, map, relax};
use crate::schema::{InvalidSchema, Schema, Subschemas, subschemas_in};

/// What a URL's fragment cannot hold as it is.
const FRAGMENT: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>').add(b'`').add(b'%').add(b'^').add(b'#');

/// The schema of a component's probes as it stands at `#/$defs/KEY`, with the host's keys let in.
pub fn embed(component: &Component, key: &str) -> Result<Value, InvalidSchema> {
    embedded(component, key, &|part| let_in(part, &component.given))
}

/// The schema of settings that a module has for its probes, which have the rest.
pub fn embed_shared(component: &Component, key: &str) -> Result<Value, InvalidSchema> {
    let mut schema = embedded(component, key, &ask_for_nothing)?;
    if let Some(part) = map(&mut schema)
        && let Some(properties) = part.entry("properties").or_insert_with(|| json!({})).as_object_mut()
    {
        properties.extend(PROBE.iter().map(|key| ((*key).to_owned(), false.into())));
    }
    Ok(schema)
}

fn embedded(component: &Component, key: &str, change: &dyn Fn(&mut Value)) -> Result<Value, InvalidSchema> {
    let mut schema = component.schema.clone();
    let read = Schema::read(&schema)?;
    let targets: BTreeSet<&str> = read.references().iter().map(|reference| reference.to.as_str()).collect();
    for reference in read.references() {
        if let Some(part) = schema.pointer_mut(&reference.from).and_then(map) {
            let to = utf8_percent_encode(&reference.to, FRAGMENT);
            part.shift_remove("$dynamicRef");
            part.insert("$ref".to_owned(), format!("#/$defs/{key}{to}").into());
        }
    }
    unname(&mut schema);
    for place in at_the_top(&schema, key) {
        if let Some(part) = schema.pointer_mut(&place) {
            change(part);
        }
    }
    // What something within it is referred to by its place stays in it.
    relax::open(&mut schema, &|pointer| {
        let below = format!("{pointer}/");
        targets.range(below.as_str()..).next().is_some_and(|target| target.starts_with(&below))
    });
    if schema.is_boolean() {
        schema = json!({});
    }
    Ok(schema)
}

/// Takes out the names of its parts, which all references are now without.
fn unname(schema: &mut Value) {
    let Some(part) = map(schema) else { return };
    for name in ["$id", "$schema", "$anchor", "$dynamicAnchor", "$vocabulary"] {
        part.shift_remove(name);
    }
    for (keyword, value) in part.iter_mut() {
        match (subschemas_in(keyword), value) {
            (Some(Subschemas::One), value) => unname(value),
            (Some(Subschemas::List), Value::Array(parts)) => parts.iter_mut().for_each(unname),
            (Some(Subschemas::Map), Value::Object(parts)) => parts.values_mut().for_each(unname),
            _ => {}
        }
    }
}

/// JSON pointers to the parts that apply to the settings as a whole.
fn at_the_top(schema: &Value, key: &str) -> BTreeSet<String> {
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

/// Lets any key be missing, with all that hangs on which are there.
fn ask_for_nothing(part: &mut Value) {
    let Some(part) = map(part) else { return };
    for keyword in ["required", "minProperties", "dependentRequired", "dependentSchemas", "if", "then", "else", "not"] {
        part.shift_remove(keyword);
    }
}

/// Lets keys stand there that are not the part's own.
fn let_in(part: &mut Value, given: &[String]) {
    let Some(part) = map(part) else { return };
    if let Some(Value::Array(required)) = part.get_mut("required") {
        required.retain(|key| !given.iter().any(|given| key == given));
    }
    // These count and look at all keys.
    for keyword in ["propertyNames", "minProperties", "maxProperties"] {
        part.shift_remove(keyword);
    }
    let closed = ["additionalProperties", "unevaluatedProperties", "patternProperties"];
    if !closed.iter().any(|keyword| part.contains_key(*keyword)) {
        return;
    }
    let properties = part.entry("properties").or_insert_with(|| json!({}));
    if let Some(properties) = map(properties) {
        for key in PROBE {
            properties.insert((*key).to_owned(), true.into());
        }
    }
}
