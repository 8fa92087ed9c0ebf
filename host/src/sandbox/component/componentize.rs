//! Core modules: what a compiler writes that knows nothing of components. One that carries the contract's types, as
//! wit-bindgen leaves them in it, is made a component here, so that its author needs no further tool. Knows no engine.

use wasi_preview1_component_adapter_provider::{
    WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME as PREVIEW_1, WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER as ADAPTER,
};
use wasmparser::{Parser, Payload};
use wit_component::ComponentEncoder;

/// Why a core module cannot be made a component.
#[derive(Debug)]
pub enum Unfit {
    /// It does not say for which interfaces it is built.
    Untyped,
    /// How a sentence about it goes on.
    Invalid(String),
}

/// Whether bytes begin as a core module does.
pub fn is_core(bytes: &[u8]) -> bool {
    bytes.get(4..8) == Some(&[1, 0, 0, 0])
}

/// The component that a core module is the code of.
pub fn to_component(module: &[u8]) -> Result<Vec<u8>, Unfit> {
    let facts = Facts::read(module).map_err(|error| Unfit::Invalid(error.to_string()))?;
    if !facts.typed {
        return Err(Unfit::Untyped);
    }
    let encode = || {
        let mut encoder = ComponentEncoder::default().module(module)?;
        if facts.preview_1 {
            encoder = encoder.adapter(PREVIEW_1, ADAPTER)?;
        }
        // It is validated when it is compiled.
        encoder.encode()
    };
    encode().map_err(|error| Unfit::Invalid(format!("{error:#}")))
}

/// What is to be known of a module beforehand.
#[derive(Debug, Default, PartialEq, Eq)]
struct Facts {
    /// It carries the types of its imports and exports.
    typed: bool,
    /// It calls the WASI of before there were components, as a C library does.
    preview_1: bool,
}

impl Facts {
    fn read(module: &[u8]) -> wasmparser::Result<Self> {
        let mut facts = Self::default();
        for payload in Parser::new(0).parse_all(module) {
            match payload? {
                Payload::CustomSection(section) if section.name().starts_with("component-type") => facts.typed = true,
                Payload::ImportSection(imports) => {
                    for import in imports.into_imports() {
                        facts.preview_1 |= import?.module == PREVIEW_1;
                    }
                }
                _ => {}
            }
        }
        Ok(facts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, typed: bool, preview_1: bool) {
        let module = wat::parse_str(text).unwrap();
        assert!(is_core(&module));
        assert_eq!(Facts::read(&module).unwrap(), Facts { typed, preview_1 });
    }

    #[test]
    fn what_a_module_is_built_for() {
        check("(module)", false, false);
        check(r#"(module (@custom "component-type:probe" "x"))"#, true, false);
        check(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#, false, true);
        check(r#"(module (import "env" "fd_write" (func)))"#, false, false);
        assert!(!is_core(&wat::parse_str("(component)").unwrap()));
    }

    #[test]
    fn types_that_are_none_are_told() {
        let module = wat::parse_str(r#"(module (@custom "component-type:probe" "x"))"#).unwrap();
        let Err(Unfit::Invalid(why)) = to_component(&module) else { panic!("it has no types") };
        assert!(why.contains("component-type:probe"), "{why}");
        for length in 8..module.len() {
            assert!(to_component(&module[..length]).is_err());
        }
    }
}
