//! Reads components: built-in ones, and files.

use std::io::{self, Read};
use std::path::Path;

use ring::digest::{SHA256, digest};

use super::error::LoadError;
use crate::config::Module;

/// The names of the built-in probes, in the order in which [`BUILT_IN_ARCHIVE`] has them.
const BUILT_IN: [&str; 3] = ["http", "chain", "ssh"];
/// The components of the built-in probes, each after its length (four bytes, little-endian), compressed with zstd.
const BUILT_IN_ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/built-in.zst"));

/// Returns the bytes of a module's file, or of a built-in component.
///
/// # Errors
/// - [`LoadError::Unknown`] if no such probe is built in.
/// - [`LoadError::Unreadable`] if the file cannot be read, is no regular file, or is larger than 256 MiB.
/// - [`LoadError::OtherBytes`] if the file's digest is not the one that the configuration pins.
pub fn read(module: &Module) -> Result<Vec<u8>, LoadError> {
    match module {
        Module::BuiltIn(name) => built_in(name),
        Module::File { path, sha256: None } => read_file(path),
        Module::File { path, sha256: Some(pinned) } => {
            let bytes = read_file(path)?;
            let digest = sha256(&bytes);
            if *pinned == digest {
                return Ok(bytes);
            }
            Err(LoadError::OtherBytes { path: path.clone(), digest, pinned: pinned.clone() })
        }
    }
}

/// Returns the SHA-256 in lower-case hexadecimal digits, as `sha256sum` writes it.
pub fn sha256(bytes: &[u8]) -> String {
    digest(&SHA256, bytes).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn built_in(name: &str) -> Result<Vec<u8>, LoadError> {
    let index = BUILT_IN.iter().position(|known| *known == name);
    let index = index.ok_or_else(|| LoadError::Unknown(name.to_owned()))?;
    Ok(unpack(index).expect("the build script has packed each built-in component"))
}

fn unpack(index: usize) -> io::Result<Vec<u8>> {
    let mut stream = zstd::Decoder::new(BUILT_IN_ARCHIVE)?;
    let mut bytes = Vec::new();
    for _ in 0..=index {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        bytes.resize(u32::from_le_bytes(length) as usize, 0);
        stream.read_exact(&mut bytes)?;
    }
    Ok(bytes)
}

fn read_file(path: &Path) -> Result<Vec<u8>, LoadError> {
    /// The maximal size of a component. Measured components are smaller, even those with the interpreter of a language.
    const MAX_FILE_BYTES: u64 = 256 << 20;
    let unreadable = |why: String| LoadError::Unreadable { path: path.to_owned(), why };
    let metadata = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?;
    if !metadata.is_file() {
        return Err(unreadable("it is not a file".to_owned()));
    }
    if metadata.len() > MAX_FILE_BYTES {
        return Err(unreadable(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20)));
    }
    std::fs::read(path).map_err(|error| unreadable(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_built_in_probe_is_the_committed_component() {
        for (index, name) in BUILT_IN.iter().enumerate() {
            let path = format!("{}/../probes-wasm/built/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
            let built = std::fs::read(path).expect("the built component is in the repository");
            assert_eq!(sha256(&unpack(index).expect("the archive can be unpacked")), sha256(&built), "{name}");
        }
        assert!(matches!(built_in("smtp"), Err(LoadError::Unknown(_))));
    }
}
