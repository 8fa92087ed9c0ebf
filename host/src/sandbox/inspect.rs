//! What can be known of a component without running it, but for what it says of itself.

use std::collections::BTreeSet;
use std::sync::Arc;

use wasmparser::{KnownCustom, Parser, Payload};
use wasmtime::component::Component;

use crate::capability::truncate;
use crate::sandbox::imports::{ImportInfo, import_info};
use crate::sandbox::{Description, component};

/// A component as whoever is to trust it wants to know it.
#[derive(Debug)]
pub struct Inspection {
    pub description: Arc<Description>,
    /// The version of the contract that it is built for.
    pub contract: String,
    /// All that it could ever do.
    pub imports: Vec<Import>,
    /// What it was made with: `language`, `processed-by` or `sdk`, a name and a version, which may be empty.
    pub producers: Vec<[String; 3]>,
    /// Whether it is a core module, which the host makes a component of.
    pub is_core_module: bool,
    /// Bytes of the file.
    pub size_bytes: usize,
    /// Of the file, in lower case.
    pub sha256: String,
}

/// An interface that a component imports.
#[derive(Debug)]
pub struct Import {
    /// With its version: `sentrynet:probe/http@0.1.0`.
    pub interface: String,
    /// Those of its functions that the component can call.
    pub functions: Vec<String>,
    pub info: ImportInfo,
}

impl Inspection {
    /// Of a component that is compiled, and the bytes that it was compiled from.
    pub fn new(description: Arc<Description>, component: &Component, bytes: &[u8], sha256: String) -> Self {
        // It is linked: the host has them all.
        let imports = component::imports(component).into_iter().filter_map(|(interface, functions)| {
            import_info(&interface, &functions).map(|info| Import { interface, functions, info })
        });
        Self {
            description,
            contract: component::contract(component).unwrap_or_default(),
            imports: imports.collect(),
            producers: producers(bytes),
            is_core_module: component::is_core(bytes),
            size_bytes: bytes.len(),
            sha256,
        }
    }
}

/// What a component and the modules in it say they were made with. It is for reading: what cannot be read is left out.
fn producers(bytes: &[u8]) -> Vec<[String; 3]> {
    const MOST: usize = 20;
    const LONGEST: usize = 100;
    let sections = Parser::new(0).parse_all(bytes).map_while(Result::ok).filter_map(|payload| match payload {
        Payload::CustomSection(section) => match section.as_known() {
            KnownCustom::Producers(fields) => Some(fields),
            _ => None,
        },
        _ => None,
    });
    let mut found = BTreeSet::new();
    for field in sections.flatten().flatten() {
        for value in field.values.into_iter().flatten() {
            found.insert([field.name, value.name, value.version].map(|text| truncate(text.to_owned(), LONGEST)));
            if found.len() == MOST {
                return found.into_iter().collect();
            }
        }
    }
    found.into_iter().collect()
}
