//! Compiles a component's file to native code: checks its structure, converts it if it is a core module, removes debug
//! information that is unsafe to read, and compiles it. Components are parsed only here; third-party ones in a process
//! of their own.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use wasmparser::{KnownCustom, Parser, Payload};
use wasmtime::Engine;

use super::bounds;
use super::componentize::{self, is_core_module};
use super::dwarf;
use super::error::{one_line, shorten};
use super::precompiled::{Facts, Precompiled};
use crate::capability::truncate;

/// A reason why a file cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompileError {
    /// The file is not WebAssembly.
    NotWasm,
    /// The file exceeds one of the [`bounds`].
    TooComplex(String),
    /// The file is a core module without component type information.
    Untyped,
    /// The file is a core module that cannot be converted to a component; with the converter's message.
    Unfit(String),
    /// The component is invalid; with wasmtime's message.
    Invalid(String),
    /// No memory was left.
    OutOfMemory,
}

/// Compiles a component or a core module.
///
/// # Errors
/// Each variant of [`CompileError`].
pub fn precompile(engine: &Engine, bytes: &[u8]) -> Result<Precompiled, CompileError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(CompileError::NotWasm);
    }
    bounds::check(bytes).map_err(|exceeded| CompileError::TooComplex(exceeded.to_string()))?;
    let is_core_module = is_core_module(bytes);
    let component = if is_core_module { Cow::Owned(convert(bytes)?) } else { Cow::Borrowed(bytes) };
    let (component, has_unsafe_dwarf) = dwarf::without_unsafe_dwarf(component);
    match engine.precompile_component(&component) {
        Ok(code) => {
            Ok(Precompiled::trust(Facts { producers: producers(bytes), is_core_module, has_unsafe_dwarf }, code))
        }
        Err(error) if error.is::<wasmtime::OutOfMemory>() => Err(CompileError::OutOfMemory),
        Err(error) => Err(CompileError::Invalid(one_line(&error))),
    }
}

fn convert(module: &[u8]) -> Result<Vec<u8>, CompileError> {
    componentize::to_component(module).map_err(|error| match error {
        componentize::Error::Untyped => CompileError::Untyped,
        componentize::Error::Invalid(why) => CompileError::Unfit(shorten(&why)),
    })
}

/// Returns the `producers` fields of a component and its core modules: at most 20, with texts of at most 100 bytes.
/// Skips fields that cannot be read, since they are only informative.
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
