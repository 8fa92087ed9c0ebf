//! Inspects a component without running it, except for its `describe`.

use std::collections::BTreeSet;
use std::sync::Arc;

use wasmparser::{KnownCustom, Parser, Payload};
use wasmtime::component::Component;

use crate::capability::truncate;
use crate::sandbox::component;
use crate::sandbox::description::Description;
use crate::sandbox::imports::{ImportInfo, import_info};

/// The facts about a component that help to decide whether to trust it.
#[derive(Debug)]
pub struct Inspection {
    /// The metadata that the component returns from `describe`.
    pub description: Arc<Description>,
    /// The version of the contract that it is built for.
    pub contract: String,
    /// The interfaces that it imports. It has no other way to act outside of the sandbox.
    pub imports: Vec<Import>,
    /// The tools that it was made with, at most 20, from its `producers` sections: the field (`language`,
    /// `processed-by` or `sdk`), a name, and a version, which may be empty.
    pub producers: Vec<[String; 3]>,
    /// True for a core module, which the host converts to a component.
    pub is_core_module: bool,
    /// The size of the file in bytes.
    pub size_bytes: usize,
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
    /// Inspects a compiled component, and `bytes`, the file that it was compiled from.
    pub fn new(description: Arc<Description>, component: &Component, bytes: &[u8], sha256: String) -> Self {
        // The component is linked, so the host has every interface that it imports.
        let imports = component::imports(component).into_iter().filter_map(|(interface, functions)| {
            import_info(&interface, &functions).map(|info| Import { interface, functions, info })
        });
        Self {
            description,
            contract: component::contract(component).unwrap_or_default(),
            imports: imports.collect(),
            producers: producers(bytes),
            is_core_module: component::is_core_module(bytes),
            size_bytes: bytes.len(),
            sha256,
        }
    }
}

/// Returns the `producers` fields of a component and its core modules. Fields that cannot be read are skipped, since
/// they are only informative.
fn producers(bytes: &[u8]) -> Vec<[String; 3]> {
    const MAX_PRODUCERS: usize = 20;
    const MAX_TEXT_BYTES: usize = 100;
    let sections = Parser::new(0).parse_all(bytes).map_while(Result::ok).filter_map(|payload| match payload {
        Payload::CustomSection(section) => match section.as_known() {
            KnownCustom::Producers(fields) => Some(fields),
            _ => None,
        },
        _ => None,
    });
    let mut producers = BTreeSet::new();
    for field in sections.flatten().flatten() {
        for value in field.values.into_iter().flatten() {
            let producer = [field.name, value.name, value.version];
            producers.insert(producer.map(|text| truncate(text.to_owned(), MAX_TEXT_BYTES)));
            if producers.len() == MAX_PRODUCERS {
                return producers.into_iter().collect();
            }
        }
    }
    producers.into_iter().collect()
}
