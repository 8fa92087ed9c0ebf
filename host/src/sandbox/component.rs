//! Components: found, compiled, and linked with what they import.

use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::capability::Context;
use crate::capability::bindings::ProbePre;
use crate::config::Module;

/// The built-in probes, by their short names.
const BUILT_IN: &[(&str, &[u8])] = &[
    ("http", include_bytes!("../../../probes-wasm/built/http.wasm")),
    ("chain", include_bytes!("../../../probes-wasm/built/chain.wasm")),
    ("ssh", include_bytes!("../../../probes-wasm/built/ssh.wasm")),
];
/// The interface that a probe exports, without its version.
const PROBER: &str = "sentrynet:probe/prober";
/// The version of the contract that this host speaks.
pub const SPOKEN: &str = "0.1.0";

/// Why a component cannot be a probe.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoadError {
    #[error("cannot read {}: {why}", path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error(
        "{} is another file than was pinned: its sha256 is {digest}, and `sha256` of its module says {pinned}", path.display()
    )]
    OtherBytes { path: PathBuf, digest: String, pinned: String },
    #[error("no probe `{0}` is built in")]
    Unknown(String),
    #[error("{0} is not WebAssembly: expected a component, `.wasm`")]
    NotWasm(String),
    #[error(
        "{0} is a core module, not a component: make one of it with the tools of its language, \
         or with `wasm-tools component new`"
    )]
    CoreModule(String),
    #[error("{name} is not a valid component: {why}")]
    Invalid { name: String, why: String },
    #[error("{name} is no probe: it does not export `{PROBER}`, see the folder `wit`")]
    NoProbe { name: String },
    #[error(
        "{name} is built for version {version} of the contract, this host speaks {SPOKEN}: \
         build the probe with this version's `wit`, or use another version of the host"
    )]
    OtherVersion { name: String, version: String },
    #[error("{name} cannot be linked: {why}")]
    Unlinkable { name: String, why: String },
    #[error("the probe cannot say who it is: {0}")]
    Describe(String),
    #[error("the compiler gave up ({0}): this is a bug, please report it")]
    Panicked(String),
}

/// A compiled component, and what to call it in messages.
pub struct Compiled {
    component: Component,
    name: String,
    /// Of the file, in hexadecimal digits.
    pub sha256: String,
}

/// Compiles a component, or takes it from the cache.
pub fn load(engine: &Engine, module: &Module) -> Result<Compiled, LoadError> {
    match module {
        Module::BuiltIn(name) => {
            let known = BUILT_IN.iter().find(|(known, _)| known == name);
            let (_, bytes) = known.ok_or_else(|| LoadError::Unknown((*name).to_owned()))?;
            compile(engine, bytes, module.to_string())
        }
        Module::File { path, sha256 } => {
            let bytes = read(path)?;
            let digest = hex(digest(&SHA256, &bytes).as_ref());
            if let Some(pinned) = sha256.as_ref().filter(|pinned| **pinned != digest) {
                let (path, pinned) = (path.clone(), pinned.clone());
                return Err(LoadError::OtherBytes { path, digest, pinned });
            }
            compile(engine, &bytes, module.to_string())
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    /// More than any component measured, interpreters included.
    const LARGEST: u64 = 256 << 20;
    let unreadable = |why: String| LoadError::Unreadable { path: path.to_owned(), why };
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    if metadata.len() > LARGEST {
        return Err(unreadable(format!("it is larger than {} MiB", LARGEST >> 20)));
    }
    std::fs::read(path).map_err(|error| unreadable(error.to_string()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compile(engine: &Engine, bytes: &[u8], name: String) -> Result<Compiled, LoadError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm(name));
    }
    if bytes.get(4..8) == Some(&[1, 0, 0, 0]) {
        return Err(LoadError::CoreModule(name));
    }
    let started = std::time::Instant::now();
    match Component::from_binary(engine, bytes) {
        Ok(component) => {
            tracing::debug!("{name} compiled or taken from the cache in {:.0?}", started.elapsed());
            Ok(Compiled { component, name, sha256: sha256(bytes) })
        }
        Err(error) => Err(LoadError::Invalid { name, why: one_line(&error) }),
    }
}

fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Links a component with the capabilities that it imports.
pub fn link(linker: &Linker<Context>, compiled: &Compiled) -> Result<ProbePre<Context>, LoadError> {
    let Compiled { component, name, .. } = compiled;
    let name = || name.clone();
    let (engine, ty) = (component.engine(), component.component_type());
    let versions = ty.exports(engine).filter_map(|(export, _)| Some(export.strip_prefix(PROBER)?.to_owned()));
    match versions.map(|version| version.trim_start_matches('@').to_owned()).next() {
        None => return Err(LoadError::NoProbe { name: name() }),
        Some(version) if version != SPOKEN => return Err(LoadError::OtherVersion { name: name(), version }),
        Some(_) => {}
    }
    linker
        .instantiate_pre(component)
        .and_then(ProbePre::new)
        .map_err(|error| LoadError::Unlinkable { name: name(), why: one_line(&error) })
}

/// An error and its causes in one line.
fn one_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
