//! Links a component with the capabilities that it imports, or reports which of its imports the host does not have.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use super::compile::Compiled;
use super::error::{ComponentError, one_line, shorten};
use crate::capability::bindings::ProbePre;
use crate::capability::{Context, truncate};
use crate::sandbox::contract::{CONTRACT_VERSION, PACKAGE, PROBER};
use crate::sandbox::imports::import_info;

/// Links a component with the capabilities that it imports.
///
/// # Errors
/// - [`ComponentError::NoProbe`] if it does not export the interface of a probe.
/// - [`ComponentError::OtherVersion`] if it exports an incompatible version of that interface.
/// - [`ComponentError::OtherImports`] or [`ComponentError::Foreign`] if it imports something that the host does not
///   have, from the contract or from elsewhere.
/// - [`ComponentError::Unlinkable`] if the type of an import or export is wrong.
pub fn link(linker: &Linker<Context>, compiled: &Compiled) -> Result<ProbePre<Context>, ComponentError> {
    let Compiled { component, name, .. } = compiled;
    let name = || name.clone();
    let Some(version) = contract(component) else {
        return Err(ComponentError::NoProbe { name: name(), exports: exports(component) });
    };
    // wasmtime's own rule decides which versions are compatible.
    if component.get_export_index(None, format!("{PROBER}@{CONTRACT_VERSION}")).is_none() {
        return Err(ComponentError::OtherVersion { name: name(), version: shorten(&version) });
    }
    linker.instantiate_pre(component).and_then(ProbePre::new).map_err(|error| {
        let (of_contract, foreign): (Vec<_>, Vec<_>) =
            missing(component, &error).into_iter().partition(|missing| missing.contains(PACKAGE));
        match (of_contract.is_empty(), foreign.is_empty()) {
            (false, _) => ComponentError::OtherImports { name: name(), imports: list(&of_contract) },
            (true, false) => {
                ComponentError::Foreign { name: name(), imports: list(&foreign), advice: advice(&foreign) }
            }
            (true, true) => ComponentError::Unlinkable { name: name(), why: one_line(&error) },
        }
    })
}

/// Returns the version of the contract that a component is built for, from its export, or the text `none` if the export
/// has no version. Returns `None` if the component does not export the interface of a probe.
pub fn contract(component: &Component) -> Option<String> {
    let ty = component.component_type();
    let mut versions = ty.exports(component.engine()).filter_map(|(export, _)| {
        let version = export.strip_prefix(PROBER)?;
        if version.is_empty() { Some("none") } else { version.strip_prefix('@') }.map(str::to_owned)
    });
    versions.next()
}

/// Returns the imports of a component: the names of interfaces, each with the functions that the component can call.
pub fn imports(component: &Component) -> Vec<(String, Vec<String>)> {
    let (engine, ty) = (component.engine(), component.component_type());
    let functions = |item: ComponentItem| match item {
        ComponentItem::ComponentInstance(instance) => {
            let exports = instance.exports(engine);
            let functions = exports.filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)));
            functions.map(|(name, _)| name.to_owned()).collect()
        }
        _ => Vec::new(),
    };
    ty.imports(engine).map(|(name, import)| (name.to_owned(), functions(import.ty))).collect()
}

/// Returns a list of the exports of a component for a message.
fn exports(component: &Component) -> String {
    let ty = component.component_type();
    let names: Vec<_> = ty.exports(component.engine()).map(|(name, _)| format!("`{name}`")).collect();
    if names.is_empty() { "nothing".to_owned() } else { list(&names) }
}

/// Returns the imports that the host does not have: all such interfaces, or else the first function that is missing
/// from an interface that the host has. Returns no imports if linking failed for another reason.
fn missing(component: &Component, error: &wasmtime::Error) -> Vec<String> {
    let unknown = imports(component).into_iter().filter(|(name, functions)| import_info(name, functions).is_none());
    let interfaces: Vec<_> = unknown.map(|(name, _)| format!("`{name}`")).collect();
    if !interfaces.is_empty() || !error.root_cause().to_string().ends_with(" implementation is missing") {
        return interfaces;
    }
    // wasmtime's messages name the interface first and the function last, each in backticks.
    let chain: Vec<_> = error.chain().map(ToString::to_string).collect();
    let mut names = chain.iter().filter_map(|message| message.split('`').nth(1)).rev();
    match (names.next(), names.next()) {
        (Some(item), Some(interface)) => vec![format!("`{item}` of `{interface}`")],
        _ => Vec::new(),
    }
}

/// Joins names with commas: up to ten of them, each cut to 100 bytes.
fn list(names: &[String]) -> String {
    const MAX_NAMES: usize = 10;
    const MAX_NAME_BYTES: usize = 100;
    let names: Vec<_> = names.iter().map(|name| truncate(name.clone(), MAX_NAME_BYTES)).collect();
    let more = names.len().saturating_sub(MAX_NAMES);
    let first = names[..names.len() - more].join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

/// Returns what to do about imports from outside of the contract.
fn advice(foreign: &[String]) -> &'static str {
    let is_wasi = |name: &String| name.contains("`wasi:");
    if foreign.iter().any(|name| is_wasi(name) && name.contains("@0.3")) {
        "build it for WASI 0.2 (Rust: the target `wasm32-wasip2`), not for 0.3"
    } else if foreign.iter().any(is_wasi) {
        "build it for WASI 0.2, without these imports"
    } else {
        "build it without these imports, for the world `probe` in the folder `wit`"
    }
}
