//! Compiled code on disk, so that a component is compiled once and not at each start, and failures to compile. An entry
//! is used only if it carries a MAC by a key of this user: whoever can write the directory cannot make the host execute
//! code.

use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use etcetera::BaseStrategy;
use ring::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use wasmtime::Engine;

use super::compiler_output;
use super::known_failure::KnownFailure;
use super::precompiled::{FACTS_VERSION, Precompiled};
use super::read::hexadecimal;
use crate::private_directory::PrivateDirectory;

/// The maximal size of all entries together, in bytes. The built-in probes take 20 MiB, and a language interpreter up
/// to 100 MiB.
const MAX_TOTAL_BYTES: u64 = 1 << 30;
/// The maximal number of entries. Entries of failures are small, so that the bound on bytes does not suffice.
const MAX_ENTRIES: usize = 10_000;
/// The maximal size of one entry, in bytes.
const MAX_ENTRY_BYTES: u64 = 512 << 20;
/// The time after which an entry that was not used is removed. Entries of other versions of the host are not used.
const MAX_AGE: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The version of the format and of the host. It must change whenever code that was compiled earlier must not be used
/// any more.
const VERSION: &str = concat!("1 ", env!("CARGO_PKG_VERSION"));
const MAC_BYTES: usize = SHA256_OUTPUT_LEN;
const KEY_BYTES: usize = 32;
/// The name of the file with the key of the MACs.
const KEY_FILE: &str = "compiled-code";

/// A directory with compiled code.
#[derive(Debug)]
pub struct CodeStore {
    directory: PrivateDirectory,
    key: hmac::Key,
    /// A digest of the wasmtime version, the processor features and the settings that code is compiled for.
    target: [u8; SHA256_OUTPUT_LEN],
    /// The formats of entries with code, and of those with a failure. An entry has its format after its MAC, which
    /// covers it. Entries of another format have other names too, so that they are not looked at.
    code_format: String,
    failure_format: String,
}

impl CodeStore {
    /// Opens the store in the directories of the systemd unit (`CACHE_DIRECTORY` and `STATE_DIRECTORY`), or else in
    /// those of this user. If the store cannot be used, logs the reason and returns `None`: each start then compiles
    /// all components.
    pub fn open_default(engine: &Engine) -> Option<Self> {
        // A systemd unit can have several directories, which are separated by colons. The first one is used.
        let of_unit = |name| {
            let list = std::env::var(name).ok()?;
            list.split(':').next().map(PathBuf::from).filter(|path| path.is_absolute())
        };
        let base = etcetera::choose_base_strategy().ok();
        let cache = of_unit("CACHE_DIRECTORY").or_else(|| Some(base.as_ref()?.cache_dir().join("sentrynet")));
        let state = of_unit("STATE_DIRECTORY").or_else(|| Some(base.as_ref()?.state_dir()?.join("sentrynet")));
        let (Some(cache), Some(state)) = (cache, state) else {
            tracing::info!("no directory for compiled components (`HOME` is not set): each start compiles them again");
            return None;
        };
        let (directory, keys) = (cache.join("code"), state.join("keys"));
        let unusable = |path: &Path, error: &io::Error| {
            let path = path.display();
            tracing::warn!(%path, "compiled components are not kept, each start compiles them again: {path}: {error}");
        };
        let key = read_key(&keys).inspect_err(|error| unusable(&keys, error)).ok()?;
        Self::open(&directory, &key, engine, VERSION).inspect_err(|error| unusable(&directory, error)).ok()
    }

    /// Opens a directory of code for `engine` by this version of the host. The entries are authenticated with `key`.
    ///
    /// # Errors
    /// Returns the errors of [`PrivateDirectory::open`].
    fn open(directory: &Path, key: &[u8], engine: &Engine, version: &str) -> io::Result<Self> {
        Ok(Self {
            directory: PrivateDirectory::open(directory)?,
            key: hmac::Key::new(HMAC_SHA256, key),
            target: target(engine),
            code_format: format!("sentrynet code {version}\n"),
            failure_format: format!("sentrynet failure {version}\n"),
        })
    }

    /// Returns the code of a component by the SHA-256 of its file, or `None` if the store does not have it. Removes an
    /// entry that is damaged or was written by another user.
    pub fn load(&self, source: &[u8; SHA256_OUTPUT_LEN]) -> Option<Precompiled> {
        let (facts, code) =
            compiler_output::decode(self.read(&self.code_format, source, &self.entry_name(source))?)?.ok()?;
        Some(Precompiled::trust(facts, code))
    }

    /// Returns the last failure to compile a component, by the digest of its file.
    pub fn load_failure(&self, source: &[u8; SHA256_OUTPUT_LEN]) -> Option<KnownFailure> {
        serde_json::from_slice(&self.read(&self.failure_format, source, &self.failure_name(source))?).ok()
    }

    /// Returns the path of the entry with the last failure to compile a component.
    pub fn failure_file(&self, source: &[u8; SHA256_OUTPUT_LEN]) -> PathBuf {
        self.directory.path().join(self.failure_name(source))
    }

    /// Returns the contents of an entry, if there is one.
    fn read(&self, format: &str, source: &[u8; SHA256_OUTPUT_LEN], name: &str) -> Option<Vec<u8>> {
        let entry = match self.directory.read(name, MAX_ENTRY_BYTES) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.refuse(name, &error.to_string());
                return None;
            }
        };
        let Some(payload) = self.authenticate(format, source, entry) else {
            self.refuse(name, "it is damaged, or another user has written it");
            return None;
        };
        self.directory.touch(name);
        Some(payload)
    }

    /// Saves the code of a component by the SHA-256 of its file. If all entries together are then too large, removes
    /// those that were not used for longest.
    ///
    /// # Errors
    /// Returns an error if the code cannot be written, or the directory cannot be read.
    pub fn save(&self, source: &[u8; SHA256_OUTPUT_LEN], compiled: &Precompiled) -> io::Result<()> {
        let header = compiler_output::encode_header(Ok(compiled));
        self.directory.remove(&self.failure_name(source));
        self.write(&self.code_format, source, &self.entry_name(source), [&header, compiled.code()])
    }

    /// Keeps a failure to compile a component in place of the one before.
    ///
    /// # Errors
    /// Returns an error if the failure cannot be written.
    pub fn save_failure(&self, source: &[u8; SHA256_OUTPUT_LEN], failure: &KnownFailure) -> io::Result<()> {
        let failure = serde_json::to_vec(failure)?;
        self.write(&self.failure_format, source, &self.failure_name(source), [&failure, &[]])
    }

    /// Writes an entry, and removes what was not used for longest if there is too much.
    fn write(
        &self,
        format: &str,
        source: &[u8; SHA256_OUTPUT_LEN],
        name: &str,
        [first, second]: [&[u8]; 2],
    ) -> io::Result<()> {
        let format = format.as_bytes();
        let mut mac = hmac::Context::with_key(&self.key);
        for part in [format, source, &self.target, first, second] {
            mac.update(part);
        }
        self.directory.replace(name, &[mac.sign().as_ref(), format, source, &self.target, first, second])?;
        self.remove_oldest(MAX_TOTAL_BYTES)
    }

    /// Returns the contents of an entry, if the MAC is right and the entry is that of `source`.
    fn authenticate(&self, format: &str, source: &[u8; SHA256_OUTPUT_LEN], mut entry: Vec<u8>) -> Option<Vec<u8>> {
        let (mac, data) = entry.split_at_checked(MAC_BYTES)?;
        hmac::verify(&self.key, data, mac).ok()?;
        let prefix = [format.as_bytes(), source, &self.target].concat();
        data.starts_with(&prefix).then_some(())?;
        entry.drain(..MAC_BYTES + prefix.len());
        Some(entry)
    }

    /// Removes an entry that must not be used, and logs the reason.
    fn refuse(&self, name: &str, why: &str) {
        let file = self.directory.path().join(name);
        tracing::warn!(file = %file.display(), "removed a file of compiled code instead of using it: {why}");
        self.directory.remove(name);
    }

    /// Removes all entries except those that were used last and together have at most `max_bytes`, and those that were
    /// not used for 90 days.
    fn remove_oldest(&self, max_bytes: u64) -> io::Result<()> {
        let mut files = self.directory.files()?;
        files.sort_by_key(|file| std::cmp::Reverse(file.modified));
        let mut total = 0_u64;
        let is_old = |modified: SystemTime| modified.elapsed().is_ok_and(|age| age > MAX_AGE);
        for (index, file) in files.into_iter().enumerate() {
            total = total.saturating_add(file.size);
            if total > max_bytes || index >= MAX_ENTRIES || is_old(file.modified) {
                self.directory.remove(&file.name);
            }
        }
        Ok(())
    }

    /// Returns the name of an entry, made from the digest of the component's file, the key, the version and the engine.
    /// Engines with other settings, other versions of the host, and hosts with other keys, have entries of their own,
    /// even in the same directory.
    fn entry_name(&self, source: &[u8; SHA256_OUTPUT_LEN]) -> String {
        const OWNER_BYTES: usize = 8;
        let owner = hmac::sign(&self.key, &[self.code_format.as_bytes(), &self.target].concat());
        hexadecimal(source) + "-" + &hexadecimal(&owner.as_ref()[..OWNER_BYTES])
    }

    fn failure_name(&self, source: &[u8; SHA256_OUTPUT_LEN]) -> String {
        self.entry_name(source) + "-failed"
    }
}

/// Reads the key in a directory, and creates it if there is none.
///
/// # Errors
/// Returns an error if the directory or the key is accessible to other users, cannot be read or created, or has another
/// length than a key.
fn read_key(directory: &Path) -> io::Result<Vec<u8>> {
    let directory = PrivateDirectory::open(directory)?;
    let read = || directory.read(KEY_FILE, KEY_BYTES as u64);
    let in_file = |error: io::Error| io::Error::new(error.kind(), format!("{KEY_FILE}: {error}"));
    let key = match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut key = [0; KEY_BYTES];
            SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("the system has no random numbers"))?;
            directory.create(KEY_FILE, &key).and_then(|()| read()).map_err(in_file)?
        }
        read => read.map_err(in_file)?,
    };
    if key.len() == KEY_BYTES { Ok(key) } else { Err(in_file(io::Error::other("it is not a key: remove it"))) }
}

/// Returns a digest of everything that decides which engine can execute the code of `engine`: wasmtime's version, the
/// processor's features and the engine's settings; and of the version of the facts that are stored with the code.
fn target(engine: &Engine) -> [u8; SHA256_OUTPUT_LEN] {
    /// A hasher that computes a SHA-256, since the 64 bits that a [`Hasher`] returns are too few.
    struct Digest(digest::Context);
    impl Hasher for Digest {
        fn write(&mut self, bytes: &[u8]) {
            self.0.update(bytes);
        }

        /// Returns 0. It is never called, since [`target`] takes the SHA-256 from the field.
        fn finish(&self) -> u64 {
            0
        }
    }
    let mut hasher = Digest(digest::Context::new(&SHA256));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    FACTS_VERSION.hash(&mut hasher);
    hasher.0.finish().as_ref().try_into().expect("it is a SHA-256")
}

#[cfg(test)]
mod tests;
