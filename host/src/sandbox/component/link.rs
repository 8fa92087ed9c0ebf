//! Linking: a component is given what it imports, or it is said what of that the host does not have.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use super::{CONTRACT, CONTRACT_VERSION, Compiled, LoadError, PROBER, one_line};
use crate::capability::bindings::ProbePre;
use crate::capability::{Context, truncate};
use crate::sandbox::imports::import_info;

/// Links a component with the capabilities that it imports.
pub fn link(linker: &Linker<Context>, compiled: &Compiled) -> Result<ProbePre<Context>, LoadError> {
    let Compiled { component, name, .. } = compiled;
    let name = || name.clone();
    let Some(version) = contract(component) else {
        return Err(LoadError::NoProbe { name: name(), exports: exports(component) });
    };
    // The linker's own rule says which versions go together.
    if component.get_export_index(None, format!("{PROBER}@{CONTRACT_VERSION}")).is_none() {
        return Err(LoadError::OtherVersion { name: name(), version });
    }
    linker.instantiate_pre(component).and_then(ProbePre::new).map_err(|error| {
        let (ours, foreign): (Vec<_>, Vec<_>) =
            missing(component, &error).into_iter().partition(|missing| missing.contains(CONTRACT));
        match (ours.is_empty(), foreign.is_empty()) {
            (false, _) => LoadError::OtherImports { name: name(), imports: list(&ours) },
            (true, false) => LoadError::Foreign { name: name(), imports: list(&foreign), advice: advice(&foreign) },
            (true, true) => LoadError::Unlinkable { name: name(), why: one_line(&error) },
        }
    })
}

/// The version of the contract that a component is built for, by what it exports; none where it is no probe.
pub fn contract(component: &Component) -> Option<String> {
    let ty = component.component_type();
    let mut versions = ty.exports(component.engine()).filter_map(|(export, _)| {
        let version = export.strip_prefix(PROBER)?;
        if version.is_empty() { Some("none") } else { version.strip_prefix('@') }.map(str::to_owned)
    });
    versions.next()
}

/// What a component imports: the names of interfaces, each with those of its functions that it calls.
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

fn exports(component: &Component) -> String {
    let ty = component.component_type();
    let names: Vec<_> = ty.exports(component.engine()).map(|(name, _)| format!("`{name}`")).collect();
    if names.is_empty() { "nothing".to_owned() } else { list(&names) }
}

/// What a component imports and the host does not have: interfaces, or else the first function that is not in one.
fn missing(component: &Component, error: &wasmtime::Error) -> Vec<String> {
    let unknown = imports(component).into_iter().filter(|(name, functions)| import_info(name, functions).is_none());
    let interfaces: Vec<_> = unknown.map(|(name, _)| format!("`{name}`")).collect();
    if !interfaces.is_empty() || !error.root_cause().to_string().ends_with(" implementation is missing") {
        return interfaces;
    }
    // The linker says it from the outside to the inside, each time with the name in backticks.
    let chain: Vec<_> = error.chain().map(ToString::to_string).collect();
    let mut names = chain.iter().filter_map(|said| said.split('`').nth(1)).rev();
    match (names.next(), names.next()) {
        (Some(item), Some(interface)) => vec![format!("`{item}` of `{interface}`")],
        _ => Vec::new(),
    }
}

fn list(names: &[String]) -> String {
    const MOST: usize = 10;
    const LONGEST: usize = 100;
    let names: Vec<_> = names.iter().map(|name| truncate(name.clone(), LONGEST)).collect();
    let more = names.len().saturating_sub(MOST);
    let first = names[..names.len() - more].join(", ");
    if more > 0 { format!("{first} and {more} more") } else { first }
}

fn advice(foreign: &[String]) -> &'static str {
    if foreign.iter().any(|name| name.contains("`wasi:")) {
        "build it for WASI 0.2, and without these"
    } else {
        "build it without them, for the world `probe` in the folder `wit`"
    }
}
