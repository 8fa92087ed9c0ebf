//! The description of a component as JSON, and a name for the component in a configuration.

use std::path::Path;

use sentrynet::config;
use sentrynet::sandbox::Inspection;
use serde_json::{Value, json};

use super::grants;

/// An inspected component, and the argument that named it.
pub struct Inspected<'a> {
    /// The component as the command line names it: a path, or the name of a built-in probe.
    pub argument: &'a str,
    pub is_built_in: bool,
    pub inspection: Inspection,
}

impl Inspected<'_> {
    /// Returns everything that is known about the component, with the whole schema of its settings.
    pub fn json(&self) -> Value {
        let Inspection { description, contract, imports, producers, is_core_module, size_bytes, sha256 } =
            &self.inspection;
        let imports = imports.iter().map(|import| {
            let action = Some(import.info.action).filter(|action| !action.is_empty());
            json!({ "interface": import.interface, "functions": import.functions, "can": action })
        });
        let producers =
            producers.iter().map(|[field, name, version]| json!({ "field": field, "name": name, "version": version }));
        json!({
            "name": description.name,
            "version": description.version,
            "summary": description.summary,
            "component": self.argument,
            "built_in": self.is_built_in,
            "core_module": is_core_module,
            "size": size_bytes,
            "sha256": sha256,
            "contract": contract,
            "producers": producers.collect::<Vec<_>>(),
            "imports": imports.collect::<Vec<_>>(),
            "allow": grants::required_permissions(&self.inspection.imports),
            "schema": description.schema,
        })
    }

    /// Returns a name for the component under `modules` in a configuration: the name from its metadata, or else the
    /// name of its file, as a slug of at most 50 characters. The name of a built-in probe gets the prefix `other-`, so
    /// that the component does not replace this probe.
    pub fn module_name(&self) -> String {
        const MAX_CHARACTERS: usize = 50;
        let stem = Path::new(self.argument).file_stem().unwrap_or_default();
        let names = [&self.inspection.description.name, &*stem.to_string_lossy(), "probe"].map(slug::slugify);
        let name: String = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        let name: String = name.chars().take(MAX_CHARACTERS).collect();
        if config::built_in(&name).is_some() { format!("other-{name}") } else { name }
    }
}
