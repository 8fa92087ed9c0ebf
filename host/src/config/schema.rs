//! One JSON Schema for a whole configuration, for editors: the host's own keys, and what each probe says of its
//! settings. Knows how the host's part is written down, and nothing of where a probe's comes from.

mod embed;
mod relax;

use serde_json::{Map, Value, json};

use super::source_map::SourceMap;
use super::yaml_tree::Document;
use super::{BUILT_IN, Source};
use crate::schema::InvalidSchema;

/// A component, as a configuration can name it.
#[derive(Debug, Clone)]
pub struct Component {
    /// As they stand after `probe:`.
    pub names: Vec<String>,
    /// What its schema is to be called.
    pub key: String,
    /// One sentence for a person.
    pub summary: String,
    /// JSON Schema of its settings.
    pub schema: Value,
    /// The name of the module that declares it.
    pub module: Option<String>,
    /// Settings that its probes have from that, and need not have of their own.
    pub given: Vec<String>,
}

/// The host's part, in which the built-in probes' names and all settings are yet to be put.
const HOST: &str = include_str!("schema/host.json");

/// The schema of a configuration that names these components, in the words of JSON Schema that editors know: they read
/// draft 7 and some of what came after.
///
/// # Errors
/// A component's schema is none.
pub fn schema(components: &[Component]) -> Result<Value, InvalidSchema> {
    let mut whole = host();
    let mut choices = Vec::new();
    let mut taken: Vec<String> = Vec::new();
    for component in components {
        let key = free("probe", &component.key, &taken);
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
        taken.push(key);
        if let Some(module) = &component.module {
            let key = free("module", module, &taken);
            whole["$defs"][key.as_str()] = embed::embed_shared(component, &key)?;
            let settings = json!({ "anyOf": [{ "$ref": format!("#/$defs/{key}") }, { "type": "null" }] });
            whole["properties"]["modules"]["properties"][module.as_str()] =
                json!({ "allOf": [{ "$ref": "#/$defs/module" }, { "properties": { "settings": settings } }] });
            taken.push(key);
        }
    }
    let names = components.iter().flat_map(|component| &component.names);
    whole["$defs"]["probe"]["properties"]["probe"]["anyOf"][0]["enum"] = names.cloned().collect();
    if !choices.is_empty() {
        whole["$defs"]["probe"]["allOf"] = choices.into();
    }
    Ok(whole)
}

/// The host's part. Whatever it takes may be left empty, and may be a reference.
fn host() -> Value {
    // It stands in the program; a test reads it.
    let mut host: Value = serde_json::from_str(HOST).unwrap_or_default();
    relax::open(&mut host, &|pointer| matches!(pointer, "/$defs/reference" | "/$defs/referring"));
    relax::nullable(&mut host);
    host
}

/// The built-in probes by their modules, with all their names.
pub fn built_ins() -> impl Iterator<Item = (&'static str, Vec<String>)> {
    BUILT_IN.iter().map(|(names, _, module)| (*module, names.iter().map(|name| (*name).to_owned()).collect()))
}

/// All names that lead to the module of this one: a declared one may replace a built-in.
pub fn aliases(name: &str) -> Vec<String> {
    let built_in = BUILT_IN.iter().find(|(names, ..)| names.contains(&name));
    built_in.map_or_else(|| vec![name.to_owned()], |(names, ..)| names.iter().map(|name| (*name).to_owned()).collect())
}

/// The texts of a file that JSON pointers lead to, as they are written: an editor sees no more.
pub fn written(source: &Source, pointers: &[String]) -> Vec<Option<String>> {
    let document = Document::of(source).ok();
    let locator = document.as_ref().map(SourceMap::new);
    pointers.iter().map(|pointer| locator.as_ref()?.text(pointer).map(str::to_owned)).collect()
}

/// A key of `$defs` that none of the others has, and that a reference can spell out.
fn free(kind: &str, name: &str, taken: &[String]) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' };
    let first = format!("{kind}:{}", name.chars().map(plain).collect::<String>());
    let others = (2..).map(|number| format!("{first}-{number}"));
    std::iter::once(first.clone()).chain(others).find(|key| !taken.contains(key)).unwrap_or(first)
}

/// A part of a schema, if it is a map.
fn map(schema: &mut Value) -> Option<&mut Map<String, Value>> {
    schema.as_object_mut()
}

#[cfg(test)]
mod tests;
