//! Compiles components.

use std::borrow::Cow;
use std::time::Instant;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::componentize::{self, is_core_module};
use super::dwarf;
use super::error::{LoadError, one_line, shorten};
use super::read::{read, sha256};
use crate::config::Module;

/// A compiled component.
pub struct Compiled {
    /// The component.
    pub component: Component,
    /// The name of the module for messages.
    pub name: String,
    /// The SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
}

/// Reads and compiles a component, or loads the compiled code from the cache. A core module is converted to a component
/// first.
///
/// # Errors
/// - The errors of [`read`].
/// - [`LoadError::NotWasm`], [`LoadError::Untyped`], [`LoadError::Unfit`] or [`LoadError::Invalid`] if the file is not a
///   valid component, and not a core module that can be converted to one.
pub fn compile(engine: &Engine, module: &Module) -> Result<Compiled, LoadError> {
    let bytes = read(module)?;
    let name = module.to_string();
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm(name));
    }
    let component = dwarf::without_unsafe_dwarf(to_component(&bytes, &name)?, &name);
    let started = Instant::now();
    match Component::from_binary(engine, &component) {
        Ok(component) => {
            tracing::debug!(module = name, "compiled, or loaded from the cache, in {:.0?}", started.elapsed());
            Ok(Compiled { component, name, sha256: sha256(&bytes) })
        }
        Err(error) => Err(LoadError::Invalid { name, why: one_line(&error) }),
    }
}

fn to_component<'a>(bytes: &'a [u8], name: &str) -> Result<Cow<'a, [u8]>, LoadError> {
    if !is_core_module(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    componentize::to_component(bytes).map(Cow::Owned).map_err(|error| match error {
        componentize::Error::Untyped => LoadError::Untyped(name.to_owned()),
        componentize::Error::Invalid(why) => LoadError::Unfit { name: name.to_owned(), why: shorten(&why) },
    })
}
