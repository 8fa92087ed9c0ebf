//! Opens and reads the files of components, built-in ones included, and computes their digests.

use std::fs::{File, Metadata};
#[cfg(feature = "compiler")]
use std::io::Seek;
use std::io::{self, Read};
use std::path::Path;

use ring::digest::{self, Digest, SHA256, SHA256_OUTPUT_LEN};

use super::error::ComponentError;
use crate::config::Module;

/// The names of the built-in probes, in the order in which [`BUILT_IN_ARCHIVE`] has them.
const BUILT_IN: &[&str] = include!(concat!(env!("OUT_DIR"), "/built_in.rs"));
/// The components of the built-in probes, each after its length (four bytes, little-endian), compressed with zstd.
const BUILT_IN_ARCHIVE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/built-in.zst"));

/// The maximal size of a component in bytes. All components that were measured are smaller, even those with the
/// interpreter of a language.
const MAX_FILE_BYTES: u64 = 256 << 20;

/// The file of a component, or a built-in component, with its size and digest. The bytes of a file are not kept in
/// memory.
pub struct Source {
    #[cfg_attr(not(feature = "compiler"), allow(dead_code, reason = "only the compiler reads it"))]
    contents: Contents,
    size: u64,
    sha256: [u8; SHA256_OUTPUT_LEN],
}

#[cfg_attr(not(feature = "compiler"), allow(dead_code, reason = "only the compiler reads it"))]
enum Contents {
    BuiltIn(Vec<u8>),
    File(File),
}

impl Source {
    /// Opens a module's file, or a built-in component, and computes its digest.
    ///
    /// # Errors
    /// - [`ComponentError::Unknown`] if no such probe is built in.
    /// - [`ComponentError::Unreadable`] if the file cannot be read, is no regular file, or is larger than 256 MiB.
    /// - [`ComponentError::OtherBytes`] if the file's digest is not the one that the configuration pins.
    pub fn open(module: &Module) -> Result<Self, ComponentError> {
        let (path, pinned) = match module {
            Module::BuiltIn(name) => {
                let bytes = built_in(name)?;
                let (size, sha256) = (bytes.len() as u64, sha256(&bytes));
                return Ok(Self { contents: Contents::BuiltIn(bytes), size, sha256 });
            }
            Module::File { path, sha256 } => (path, sha256),
        };
        let unreadable = |error: io::Error| ComponentError::Unreadable { path: path.clone(), why: error.to_string() };
        let mut file = open_file(path).map_err(unreadable)?;
        let (mut size, mut context) = (0, digest::Context::new(&SHA256));
        read_chunks(&mut file, |chunk| {
            size += chunk.len() as u64;
            context.update(chunk);
            size <= MAX_FILE_BYTES
        })
        .map_err(unreadable)?;
        if size > MAX_FILE_BYTES {
            return Err(unreadable(too_large()));
        }
        let this = Self { contents: Contents::File(file), size, sha256: bytes_of(&context.finish()) };
        match pinned {
            Some(pinned) if *pinned != this.sha256() => {
                Err(ComponentError::OtherBytes { path: path.clone(), digest: this.sha256(), pinned: pinned.clone() })
            }
            _ => Ok(this),
        }
    }

    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the SHA-256.
    pub fn digest(&self) -> [u8; SHA256_OUTPUT_LEN] {
        self.sha256
    }

    /// Returns the SHA-256 in lower-case hexadecimal digits, as `sha256sum` writes it.
    pub fn sha256(&self) -> String {
        hexadecimal(&self.sha256)
    }

    /// Passes the file's bytes to `take` in parts, until `take` returns false.
    ///
    /// # Errors
    /// Returns an error if the file cannot be read, or has changed since it was opened. In the second case, `take` may
    /// already have got changed bytes.
    #[cfg(feature = "compiler")]
    pub fn read_chunks(&mut self, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        let file = match &mut self.contents {
            Contents::BuiltIn(bytes) => {
                take(bytes);
                return Ok(());
            }
            Contents::File(file) => file,
        };
        file.rewind()?;
        let (mut left, mut context) = (self.size, digest::Context::new(&SHA256));
        let (mut is_longer, mut is_stopped) = (false, false);
        read_chunks(file, |chunk| {
            context.update(chunk);
            is_longer = chunk.len() as u64 > left;
            left = left.saturating_sub(chunk.len() as u64);
            is_stopped = !is_longer && !take(chunk);
            !is_longer && !is_stopped
        })?;
        if is_longer || !is_stopped && bytes_of(&context.finish()) != self.sha256 {
            return Err(io::Error::other("it has changed while it was read"));
        }
        Ok(())
    }

    /// Returns the file's bytes.
    ///
    /// # Errors
    /// Returns the errors of [`Source::read_chunks`].
    #[cfg(feature = "compiler")]
    pub fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.read_chunks(|chunk| {
            bytes.extend_from_slice(chunk);
            true
        })?;
        Ok(bytes)
    }
}

fn open_file(path: &Path) -> io::Result<File> {
    let check = |metadata: Metadata| match metadata {
        metadata if !metadata.is_file() => Err(io::Error::other("it is not a file")),
        metadata if metadata.len() > MAX_FILE_BYTES => Err(too_large()),
        _ => Ok(()),
    };
    // The type is checked before the file is opened, since opening a named pipe would wait for its other end.
    check(std::fs::metadata(path)?)?;
    let file = File::open(path)?;
    check(file.metadata()?)?;
    Ok(file)
}

fn too_large() -> io::Error {
    io::Error::other(format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20))
}

/// Reads a stream in parts, until its end or until `take` returns false.
fn read_chunks(stream: &mut impl Read, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
    const CHUNK_BYTES: usize = 64 << 10;
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let length = stream.read(&mut chunk)?;
        if length == 0 || !take(&chunk[..length]) {
            return Ok(());
        }
    }
}

fn sha256(bytes: &[u8]) -> [u8; SHA256_OUTPUT_LEN] {
    bytes_of(&digest::digest(&SHA256, bytes))
}

fn bytes_of(digest: &Digest) -> [u8; SHA256_OUTPUT_LEN] {
    digest.as_ref().try_into().expect("it is a SHA-256")
}

/// Returns bytes as lower-case hexadecimal digits.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn built_in(name: &str) -> Result<Vec<u8>, ComponentError> {
    let index = BUILT_IN.iter().position(|known| *known == name);
    let index = index.ok_or_else(|| ComponentError::Unknown(name.to_owned()))?;
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

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_built_in_probe_is_the_committed_component() {
        for (index, name) in BUILT_IN.iter().enumerate() {
            let path = format!("{}/../probes-wasm/built/{name}.wasm", env!("CARGO_MANIFEST_DIR"));
            let built = std::fs::read(path).expect("the built component is in the repository");
            assert!(unpack(index).expect("the archive can be unpacked") == built, "{name}");
        }
        assert!(matches!(built_in("smtp"), Err(ComponentError::Unknown(_))));
    }

    #[test]
    fn the_configuration_names_every_built_in_probe() {
        let named: BTreeSet<_> = crate::config::built_ins().map(|(component, _)| component).collect();
        let built: BTreeSet<_> = BUILT_IN.iter().copied().collect();
        assert_eq!(built, named, "the directory of built-in probes, and `BUILT_IN` of `config/decode/module.rs`");
    }

    #[test]
    fn a_file_is_read_as_it_was_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.wasm");
        let contents = vec![7; 200_000];
        std::fs::write(&path, &contents).unwrap();
        let mut source = Source::open(&Module::File { path: path.clone(), sha256: None }).unwrap();
        assert_eq!((source.size(), source.digest()), (200_000, sha256(&contents)));
        assert!(source.read().unwrap() == contents);
        let mut error_after_change = |contents: &[u8]| {
            std::fs::write(&path, contents).unwrap();
            source.read().unwrap_err().to_string()
        };
        for other in [&vec![8; 200_000][..], &contents[1..], &[contents.clone(), vec![7]].concat()] {
            assert_eq!(error_after_change(other), "it has changed while it was read");
        }
    }
}
