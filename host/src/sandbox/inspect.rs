//! Inspects a component. Of its code, only `describe` runs.

use std::sync::Arc;

use crate::capability::truncate;
use crate::sandbox::component;
use crate::sandbox::component_cache::DescribedComponent;
use crate::sandbox::description::Description;
use crate::sandbox::imports::{ImportInfo, import_info};

/// The facts about a component that help to decide whether to trust it.
#[derive(Debug)]
pub struct Inspection {
    /// The metadata that the component returns from `describe`.
    pub description: Arc<Description>,
    /// The version of the contract that the component is built for.
    pub contract: String,
    /// The interfaces that the component imports. It has no other way to act outside of the sandbox.
    pub imports: Vec<Import>,
    /// The language and the tools with which the component was made, at most 20, from its `producers` sections: the
    /// field (`language`, `processed-by` or `sdk`), a name, and a version, which may be empty. A component that
    /// contains a known interpreter has the interpreter's language.
    pub producers: Vec<[String; 3]>,
    /// True for a core module, which the host converts to a component.
    pub is_core_module: bool,
    /// The size of the file in bytes.
    pub size_bytes: u64,
    /// The SHA-256 of the file, in lower-case hexadecimal digits.
    pub sha256: String,
}

/// An interface that a component imports.
#[derive(Debug)]
pub struct Import {
    /// The interface's name with its version: `sentrynet:probe/http@0.1.0`.
    pub interface: String,
    /// The functions of the interface that the component can call.
    pub functions: Vec<String>,
    /// The ability that the import gives the component.
    pub info: ImportInfo,
}

impl Inspection {
    /// Inspects a component that has described itself.
    pub fn new(described: DescribedComponent) -> Self {
        let DescribedComponent { component: loaded, description, file, .. } = described;
        let component = loaded.pre.instance_pre().component();
        // The component is linked, so the host has every interface that it imports.
        let imports = component::imports(component).into_iter().filter_map(|(interface, functions)| {
            import_info(&interface, &functions).map(|info| Import { interface, functions, info })
        });
        Self {
            description,
            contract: truncate(component::contract(component).unwrap_or_default(), MAX_TEXT_BYTES),
            imports: imports.collect(),
            producers: file.facts.producers.clone(),
            is_core_module: file.facts.is_core_module,
            size_bytes: file.size_bytes,
            sha256: loaded.sha256.to_string(),
        }
    }
}

/// The greatest length of the version of the contract, in bytes.
const MAX_TEXT_BYTES: usize = 100;
