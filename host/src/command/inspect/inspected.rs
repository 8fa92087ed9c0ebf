//! An inspected component as JSON, and its name in a configuration.

use std::path::Path;

use sentrynet::config;
use sentrynet::sandbox::Inspection;
use serde_json::{Value, json};

use super::grants;

/// A component that was inspected, and by what name it was asked for.
pub struct Inspected<'a> {
    pub asked: &'a str,
    pub built_in: bool,
    pub found: Inspection,
}

impl Inspected<'_> {
    /// All of it, the whole schema too.
    pub fn json(&self) -> Value {
        let Inspection { description, contract, imports, producers, is_core_module, size_bytes, sha256 } = &self.found;
        let imports = imports.iter().map(|import| {
            let can = Some(import.info.action).filter(|words| !words.is_empty());
            json!({ "interface": import.interface, "functions": import.functions, "can": can })
        });
        let producers =
            producers.iter().map(|[field, name, version]| json!({ "field": field, "name": name, "version": version }));
        json!({
            "name": description.name,
            "version": description.version,
            "summary": description.summary,
            "component": self.asked,
            "built_in": self.built_in,
            "core_module": is_core_module,
            "size": size_bytes,
            "sha256": sha256,
            "contract": contract,
            "producers": producers.collect::<Vec<_>>(),
            "imports": imports.collect::<Vec<_>>(),
            "allow": grants::needed(&self.found.imports),
            "schema": description.schema,
        })
    }

    /// What a configuration calls the component: its own name, unless that would take a built-in's place.
    pub fn module(&self) -> String {
        const LONGEST: usize = 50;
        let stem = Path::new(self.asked).file_stem().unwrap_or_default();
        let names = [&self.found.description.name, &*stem.to_string_lossy(), "probe"].map(slug::slugify);
        let name: String = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        let name: String = name.chars().take(LONGEST).collect();
        if config::built_in(&name).is_some() { format!("other-{name}") } else { name }
    }
}
