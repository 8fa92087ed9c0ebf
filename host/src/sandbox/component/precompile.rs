//! Compiles a component's file to native code: checks its structure, converts it if it is a core module, removes debug
//! information that is unsafe to read, and compiles it. Components are parsed only here; third-party ones in a process
//! of their own.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use wasmtime::Engine;

use super::componentize::{self, is_core_module};
use super::dwarf;
use super::error::{one_line, shorten};
use super::precompiled::{Facts, Precompiled};
use super::producers::producers;
use super::structure_bounds;

/// A reason why a file cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CompileError {
    /// The file is not WebAssembly.
    NotWasm,
    /// The file exceeds one of the [`structure_bounds`].
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
    structure_bounds::check(bytes).map_err(|exceeded| CompileError::TooComplex(exceeded.to_string()))?;
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
