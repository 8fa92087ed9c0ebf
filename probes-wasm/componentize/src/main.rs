//! Makes a component from a core module that wit-bindgen built: `componentize MODULE.wasm COMPONENT.wasm`.

use std::env;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use wit_component::ComponentEncoder;

fn main() -> Result<()> {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [module, component] = paths.as_slice() else {
        bail!("usage: componentize MODULE.wasm COMPONENT.wasm");
    };
    let bytes = fs::read(module).with_context(|| format!("cannot read {}", module.display()))?;
    let encoded = ComponentEncoder::default()
        .module(&bytes)
        .and_then(|encoder| encoder.validate(true).encode())
        .with_context(|| format!("{} is not a module that wit-bindgen built", module.display()))?;
    fs::write(component, encoded).with_context(|| format!("cannot write {}", component.display()))
}
