//! Components: found, made of core modules where they are none yet, compiled, and linked with what they import.

use std::borrow::Cow;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ring::digest::{SHA256, digest};
use wasmtime::Engine;
use wasmtime::component::Component;

use crate::capability::truncate;
use crate::config::Module;
use crate::schema::InvalidSchema;

mod componentize;
mod dwarf;
mod link;

pub use componentize::is_core;
pub use link::{contract, imports, link};

/// The built-in probes, by their short names; and one after the other, each after its length, compressed.
const BUILT_IN: [&str; 3] = ["http", "chain", "ssh"];
const PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/built-in.zst"));
/// The package that the contract is.
pub const CONTRACT: &str = "sentrynet:probe/";
/// The interface that a probe exports, without its version.
const PROBER: &str = "sentrynet:probe/prober";
/// The version of the contract that this host speaks.
pub const CONTRACT_VERSION: &str = "0.1.0";

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
        "{0} is a core module that does not say for which interfaces it is built: build it with wit-bindgen for the \
         world `probe` in the folder `wit`, and keep its custom sections"
    )]
    Untyped(String),
    #[error("{name} cannot be made a component: {why}; build it for the world `probe` in the folder `wit`")]
    Unfit { name: String, why: String },
    #[error("{name} is not a valid component: {why}")]
    Invalid { name: String, why: String },
    #[error(
        "{name} is no probe: it does not export `{PROBER}`, but {exports}; \
         build it for the world `probe` in the folder `wit`"
    )]
    NoProbe { name: String, exports: String },
    #[error(
        "{name} is built for version {version} of the contract, this host speaks {CONTRACT_VERSION}: \
         build the probe with this version's `wit`, or use another version of the host"
    )]
    OtherVersion { name: String, version: String },
    #[error(
        "{name} is built for another version of the contract: it imports {imports}, which is not in {CONTRACT_VERSION}, \
         which this host speaks; build the probe with this version's `wit`, or use a newer host"
    )]
    OtherImports { name: String, imports: String },
    #[error("{name} imports {imports}, which this host does not have: {advice}")]
    Foreign { name: String, imports: String, advice: &'static str },
    #[error("{name} does not fit the contract: {why}; build it with this version's `wit`")]
    Unlinkable { name: String, why: String },
    #[error("the probe cannot say who it is: {0}")]
    Describe(String),
    #[error("the schema of its settings is invalid or not supported, {0}; the author of the probe must change it")]
    Schema(#[from] InvalidSchema),
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
    compile(engine, &bytes(module)?, module.to_string())
}

/// What is loaded, as it is in the file.
pub fn bytes(module: &Module) -> Result<Vec<u8>, LoadError> {
    match module {
        Module::BuiltIn(name) => built_in(name),
        Module::File { path, sha256: None } => read(path),
        Module::File { path, sha256: Some(pinned) } => {
            let bytes = read(path)?;
            let digest = sha256(&bytes);
            if *pinned == digest {
                return Ok(bytes);
            }
            Err(LoadError::OtherBytes { path: path.clone(), digest, pinned: pinned.clone() })
        }
    }
}

fn built_in(name: &str) -> Result<Vec<u8>, LoadError> {
    let index = BUILT_IN.iter().position(|known| *known == name);
    let index = index.ok_or_else(|| LoadError::Unknown(name.to_owned()))?;
    Ok(unpack(index).expect("it was packed as the program was built"))
}

fn unpack(index: usize) -> io::Result<Vec<u8>> {
    let mut stream = zstd::Decoder::new(PACKED)?;
    let mut bytes = Vec::new();
    for _ in 0..=index {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        bytes.resize(u32::from_le_bytes(length) as usize, 0);
        stream.read_exact(&mut bytes)?;
    }
    Ok(bytes)
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

/// As `sha256sum` writes it.
pub fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn compile(engine: &Engine, bytes: &[u8], name: String) -> Result<Compiled, LoadError> {
    if !bytes.starts_with(b"\0asm") {
        return Err(LoadError::NotWasm(name));
    }
    let component = match is_core(bytes) {
        false => Cow::Borrowed(bytes),
        true => match componentize::to_component(bytes) {
            Ok(component) => Cow::Owned(component),
            Err(componentize::Unfit::Untyped) => return Err(LoadError::Untyped(name)),
            Err(componentize::Unfit::Invalid(why)) => return Err(LoadError::Unfit { name, why: words(&why) }),
        },
    };
    let component = dwarf::without_unsafe_dwarf(component, &name);
    let started = std::time::Instant::now();
    match Component::from_binary(engine, &component) {
        Ok(component) => {
            tracing::debug!("{name} compiled or taken from the cache in {:.0?}", started.elapsed());
            Ok(Compiled { component, name, sha256: sha256(bytes) })
        }
        Err(error) => Err(LoadError::Invalid { name, why: one_line(&error) }),
    }
}

/// An error and its causes in one line.
fn one_line(error: &wasmtime::Error) -> String {
    words(&format!("{error:#}"))
}

/// As many words as anybody reads: what a component is made of can be named at any length.
fn words(text: &str) -> String {
    const LONGEST: usize = 500;
    truncate(text.split_whitespace().collect::<Vec<_>>().join(" "), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_built_in_probe_is_what_was_built() {
        for (index, name) in BUILT_IN.iter().enumerate() {
            let path = format!("{}/../probes-wasm/built/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
            let built = std::fs::read(path).expect("it is committed");
            assert_eq!(sha256(&unpack(index).expect("a stream")), sha256(&built), "{name}");
        }
        assert!(matches!(built_in("smtp"), Err(LoadError::Unknown(_))));
    }
}
