//! Makes one JSON Schema for a whole configuration, for editors: the host's own keys from `host.json`, and the settings
//! of each component from the component's own schema.

mod component;
mod embed;
mod relax;

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::diagnostic::{Diagnostics, escape};
use super::folder;
use super::section::{HOST_SCHEMA, Section};
use super::source_map::SourceMap;
use super::{BUILT_IN, Source};
use crate::schema::InvalidSchema;

pub use component::ComponentSchema;

/// Returns the schema of configurations that use these components. It has only keywords that editors know: those of
/// draft 7, and some later ones.
///
/// # Errors
/// Returns [`InvalidSchema`] if the schema of a component is no JSON Schema.
pub fn schema(components: &[ComponentSchema]) -> Result<Value, InvalidSchema> {
    let mut whole = host_schema();
    let mut choices = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    let mut keys = Vec::new();
    for component in components {
        let key = unused_key("probe", &component.key, &taken);
        let names = &component.names;
        choices.push(json!({
            "if": { "properties": { "probe": { "enum": names } }, "required": ["probe"] },
            "then": { "$ref": format!("#/$defs/{key}") },
        }));
        let mut settings = embed::embed(component, &key)?;
        settings["title"] = component.key.as_str().into();
        if settings.get("description").is_none() {
            settings["description"] = component.summary.as_str().into();
        }
        whole["$defs"][key.as_str()] = settings;
        keys.push(key.clone());
        taken.push(key);
        if let Some(module) = &component.module {
            let key = unused_key("module", module, &taken);
            whole["$defs"][key.as_str()] = embed::embed_shared(component, &key)?;
            let settings = json!({ "anyOf": [{ "$ref": format!("#/$defs/{key}") }, { "type": "null" }] });
            whole["properties"]["modules"]["properties"][module.as_str()] =
                json!({ "allOf": [{ "$ref": "#/$defs/module" }, { "properties": { "settings": settings } }] });
            taken.push(key);
        }
    }
    add_shared_settings(&mut whole, components, &keys);
    let names = components.iter().flat_map(|component| &component.names);
    whole["$defs"]["probe"]["properties"]["probe"]["anyOf"][0]["enum"] = names.cloned().collect();
    if !choices.is_empty() {
        whole["$defs"]["probe"]["allOf"] = choices.into();
    }
    Ok(whole)
}

/// Adds the settings of components to the schema of a group's `defaults`. `keys` are the names of the components'
/// schemas under `$defs`. Unless all components name the keys that they take, any key is allowed.
fn add_shared_settings(whole: &mut Value, components: &[ComponentSchema], keys: &[String]) {
    let mut settings: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    for (component, key) in components.iter().zip(keys) {
        let names = component.schema["properties"].as_object().into_iter().flat_map(Map::keys);
        for name in names.filter(|name| !Section::PROBE.has(name)) {
            let pointer = format!("/$defs/{key}/properties/{}", escape(name));
            if whole.pointer(&pointer).is_some() {
                let fragment = embed::fragment(&pointer);
                settings.entry(name).or_default().push(json!({ "$ref": format!("#{fragment}") }));
            }
        }
    }
    let defaults = &mut whole["$defs"]["defaults"];
    for (name, mut schemas) in settings {
        let only = if schemas.len() == 1 { schemas.pop() } else { None };
        defaults["properties"][name] = only.unwrap_or_else(|| json!({ "anyOf": schemas }));
    }
    let is_closed = |component: &ComponentSchema| component.schema["additionalProperties"] == false;
    if !components.is_empty() && components.iter().all(is_closed) {
        defaults["additionalProperties"] = false.into();
    }
}

/// Returns the schema of the host's own keys, in which every scalar may also be a reference, and every optional key may
/// be null.
fn host_schema() -> Value {
    let mut host = HOST_SCHEMA.clone();
    let is_reference = |pointer: &str| matches!(pointer, "/$defs/reference" | "/$defs/text_with_reference");
    relax::allow_references(&mut host, &is_reference);
    relax::allow_null(&mut host);
    host
}

/// Returns the component and all names of each built-in probe.
pub fn built_ins() -> impl Iterator<Item = (&'static str, Vec<String>)> {
    BUILT_IN.iter().map(|(names, _, module)| (*module, names.iter().map(|name| (*name).to_owned()).collect()))
}

/// Returns all values of `probe` that name the module of this name. A module with the name of a built-in probe also has
/// the other names of this probe.
pub fn aliases(name: &str) -> Vec<String> {
    let built_in = BUILT_IN.iter().find(|(names, ..)| names.contains(&name));
    built_in.map_or_else(|| vec![name.to_owned()], |(names, ..)| names.iter().map(|name| (*name).to_owned()).collect())
}

/// Returns the texts that JSON pointers lead to, as they are written in the file, with references not replaced;
/// `None` for a pointer that leads to no text.
pub fn source_texts(source: &Source, pointers: &[String]) -> Vec<Option<String>> {
    let document = folder::parse(source, &mut Diagnostics::default());
    let source_map = document.as_ref().map(SourceMap::new);
    pointers.iter().map(|pointer| source_map.as_ref()?.text(pointer).map(str::to_owned)).collect()
}

/// Returns a key of `$defs` that is not in `taken`, of characters that need no escaping in a `$ref`.
fn unused_key(kind: &str, name: &str, taken: &[String]) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let first = format!("{kind}:{}", name.chars().map(safe).collect::<String>());
    let others = (2..).map(|number| format!("{first}-{number}"));
    std::iter::once(first.clone()).chain(others).find(|key| !taken.contains(key)).unwrap_or(first)
}

#[cfg(test)]
mod tests;
