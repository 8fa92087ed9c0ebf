//! Converts core modules to components. A compiler without support for components writes a core module. If the module
//! has the types of the contract in a custom section, where wit-bindgen puts them, the host converts it, so that its
//! author needs no other tool.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW_1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// A reason why a core module cannot be converted to a component.
#[derive(Debug)]
pub enum Error {
    /// The module has no component type information.
    Untyped,
    /// The module or its type information is invalid; the message says how.
    Invalid(String),
}

/// Returns true if a WebAssembly file is a core module, by the version in its header.
pub fn is_core_module(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(&[1, 0, 0, 0])
}

/// Converts a core module to a component.
///
/// # Errors
/// - [`Error::Untyped`] if the module has no component type information.
/// - [`Error::Invalid`] if the module, or this information, is invalid.
pub fn to_component(module: &[u8]) -> Result<Vec<u8>, Error> {
    let properties = Properties::read(module).map_err(|error| Error::Invalid(error.to_string()))?;
    if !properties.has_types {
        return Err(Error::Untyped);
    }
    let encode = || {
        let mut encoder = ComponentEncoder::default().module(module)?;
        if properties.imports_preview_1 {
            encoder = encoder.adapter(PREVIEW_1, ADAPTER)?;
        }
        // The component is validated when it is compiled.
        encoder.encode()
    };
    encode().map_err(|error| Error::Invalid(format!("{error:#}")))
}

/// The properties of a core module that decide how it is converted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Properties {
    /// True if a custom section has the types of the module's imports and exports.
    has_types: bool,
    /// True if the module imports WASI preview 1, as modules with a C library do.
    imports_preview_1: bool,
}

impl Properties {
    fn read(module: &[u8]) -> wasmparser::Result<Self> {
        let mut properties = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::CustomSection(section) if section.name().starts_with("component-type") => {
                    properties.has_types = true;
                }
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        properties.imports_preview_1 |= import?.module == PREVIEW_1;
                    }
                }
                _ => {}
            }
        }
        Ok(properties)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, has_types: bool, imports_preview_1: bool) {
        let module = wat::parse_str(text).unwrap();
        assert!(is_core_module(&module));
        assert_eq!(Properties::read(&module).unwrap(), Properties { has_types, imports_preview_1 });
    }

    #[test]
    fn properties_are_read() {
        check("(module)", false, false);
        check(r#"(module (@custom "component-type:probe" "x"))"#, true, false);
        check(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#, false, true);
        check(r#"(module (import "env" "fd_write" (func)))"#, false, false);
        assert!(!is_core_module(&wat::parse_str("(component)").unwrap()));
    }

    #[test]
    fn invalid_types_are_reported() {
        let module = wat::parse_str(r#"(module (@custom "component-type:probe" "x"))"#).unwrap();
        let Err(Error::Invalid(why)) = to_component(&module) else { panic!("the types are invalid") };
        assert!(why.contains("component-type:probe"), "{why}");
        for length in 8..module.len() {
            assert!(to_component(&module[..length]).is_err());
        }
    }
}
