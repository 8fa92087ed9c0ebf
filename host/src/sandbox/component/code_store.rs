//! Compiled code on disk, so that a component is compiled once and not at each start, and failures to compile. An entry is
//! used only if it carries a MAC by a key of this user: whoever can write the directory cannot make the host execute code.

use std::hash::{Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use etcetera::BaseStrategy;
use ring::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use ring::hmac::{self, HMAC_SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use wasmtime::Engine;

use super::known_failure::KnownFailure;
use super::output;
use super::precompiled::Precompiled;
use super::read::hexadecimal;
use crate::private_directory::PrivateDirectory;

/// The maximal size of all entries together, in bytes. The built-in probes take 20 MiB, and a language interpreter up
/// to 100 MiB.
const MAX_TOTAL_BYTES: u64 = 1 << 30;
/// The maximal number of entries. Entries of failures are small, so that the bound on bytes does not suffice.
const MAX_ENTRIES: usize = 10_000;
/// The maximal size of one entry, in bytes.
const MAX_ENTRY_BYTES: u64 = 512 << 20;
/// The version of the format and of the host, which each entry has after its MAC. The MAC covers it, and entries of
/// another version are not used. It must change whenever code that was compiled earlier must not be used any more.
const FORMAT: &[u8] = concat!("sentrynet code 1 ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();
/// The format of entries that have a failure.
const FAILURE_FORMAT: &[u8] = concat!("sentrynet failure 1 ", env!("CARGO_PKG_VERSION"), "\n").as_bytes();
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
        Self::open(&directory, &key, engine).inspect_err(|error| unusable(&directory, error)).ok()
    }

    /// Opens a directory of code for `engine`, whose entries are authenticated with `key`.
    ///
    /// # Errors
    /// Returns the errors of [`PrivateDirectory::open`].
    fn open(directory: &Path, key: &[u8], engine: &Engine) -> io::Result<Self> {
        let directory = PrivateDirectory::open(directory)?;
        Ok(Self { directory, key: hmac::Key::new(HMAC_SHA256, key), target: target(engine) })
    }

    /// Returns the code of a component by the SHA-256 of its file, or `None` if the store does not have it. Removes an
    /// entry that is damaged, or that was written by another user or another version of the host.
    pub fn load(&self, source: &[u8; SHA256_OUTPUT_LEN]) -> Option<Precompiled> {
        let (facts, code) = output::decode(self.read(FORMAT, source, &self.entry_name(source))?)?.ok()?;
        Some(Precompiled::trust(facts, code))
    }

    /// Returns the last failure to compile a component, by the digest of its file.
    pub fn load_failure(&self, source: &[u8; SHA256_OUTPUT_LEN]) -> Option<KnownFailure> {
        serde_json::from_slice(&self.read(FAILURE_FORMAT, source, &self.failure_name(source))?).ok()
    }

    /// Returns the path of the entry with the last failure to compile a component.
    pub fn failure_file(&self, source: &[u8; SHA256_OUTPUT_LEN]) -> PathBuf {
        self.directory.path().join(self.failure_name(source))
    }

    /// Returns the contents of an entry, if there is one.
    fn read(&self, format: &[u8], source: &[u8; SHA256_OUTPUT_LEN], name: &str) -> Option<Vec<u8>> {
        let entry = match self.directory.read(name, MAX_ENTRY_BYTES) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                self.refuse(name, &error.to_string());
                return None;
            }
        };
        let Some(payload) = self.authenticate(format, source, entry) else {
            self.refuse(name, "it is damaged, or another version of the host or another user has written it");
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
        let header = output::encode_header(Ok(compiled));
        self.directory.remove(&self.failure_name(source));
        self.write(FORMAT, source, &self.entry_name(source), [&header, compiled.code()])
    }

    /// Keeps a failure to compile a component in place of the one before.
    ///
    /// # Errors
    /// Returns an error if the failure cannot be written.
    pub fn save_failure(&self, source: &[u8; SHA256_OUTPUT_LEN], failure: &KnownFailure) -> io::Result<()> {
        let failure = serde_json::to_vec(failure)?;
        self.write(FAILURE_FORMAT, source, &self.failure_name(source), [&failure, &[]])
    }

    /// Writes an entry, and removes what was not used for longest if there is too much.
    fn write(
        &self,
        format: &[u8],
        source: &[u8; SHA256_OUTPUT_LEN],
        name: &str,
        [first, second]: [&[u8]; 2],
    ) -> io::Result<()> {
        let mut mac = hmac::Context::with_key(&self.key);
        for part in [format, source, &self.target, first, second] {
            mac.update(part);
        }
        self.directory.replace(name, &[mac.sign().as_ref(), format, source, &self.target, first, second])?;
        self.remove_oldest(MAX_TOTAL_BYTES)
    }

    /// Returns the contents of an entry, if the MAC is right and the entry is that of `source`.
    fn authenticate(&self, format: &[u8], source: &[u8; SHA256_OUTPUT_LEN], mut entry: Vec<u8>) -> Option<Vec<u8>> {
        let (mac, data) = entry.split_at_checked(MAC_BYTES)?;
        hmac::verify(&self.key, data, mac).ok()?;
        let prefix = [format, source, &self.target].concat();
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

    /// Removes all entries except those that were used last and together have at most `max_bytes`.
    fn remove_oldest(&self, max_bytes: u64) -> io::Result<()> {
        let mut files = self.directory.files()?;
        files.sort_by_key(|file| std::cmp::Reverse(file.modified));
        let mut total = 0_u64;
        for (index, file) in files.into_iter().enumerate() {
            total = total.saturating_add(file.size);
            if total > max_bytes || index >= MAX_ENTRIES {
                self.directory.remove(&file.name);
            }
        }
        Ok(())
    }

    /// Returns the name of an entry, made from the digest of the component's file, the key and the engine. Engines with
    /// other settings, and hosts with other keys, have entries of their own, even in the same directory.
    fn entry_name(&self, source: &[u8; SHA256_OUTPUT_LEN]) -> String {
        const OWNER_BYTES: usize = 8;
        let owner = hmac::sign(&self.key, &self.target);
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
/// processor's features and the engine's settings.
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
    hasher.0.finish().as_ref().try_into().expect("it is a SHA-256")
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};
    use std::time::{Duration, SystemTime};

    use tempfile::TempDir;

    use super::super::precompiled::Facts;
    use super::*;
    use crate::sandbox::component::compiler_process::Failure;
    use crate::sandbox::engine::{self, Cpu};

    const KEY: [u8; KEY_BYTES] = [1; KEY_BYTES];
    const SOURCE: [u8; SHA256_OUTPUT_LEN] = [2; SHA256_OUTPUT_LEN];

    fn open(folder: &TempDir, key: &[u8]) -> CodeStore {
        CodeStore::open(&folder.path().join("code"), key, &engine::for_compiling(Cpu::Native).unwrap()).unwrap()
    }

    /// Creates a store with one entry, whose path it returns.
    fn store_with_entry() -> (TempDir, CodeStore, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder, &KEY);
        store.save(&SOURCE, &compiled()).unwrap();
        let entry = store.directory.path().join(store.entry_name(&SOURCE));
        (folder, store, entry)
    }

    fn compiled() -> Precompiled {
        let facts = Facts { producers: vec![["language", "Rust", ""].map(str::to_owned)], ..Facts::default() };
        Precompiled::trust(facts, b"native code".to_vec())
    }

    fn assert_removed(store: &CodeStore, entry: &Path) {
        assert!(store.load(&SOURCE).is_none());
        assert!(fs::symlink_metadata(entry).is_err(), "it is removed");
    }

    #[test]
    fn code_is_kept_for_its_file_and_engine() {
        let (folder, store, entry) = store_with_entry();
        let kept = store.load(&SOURCE).expect("it is kept");
        assert_eq!((kept.facts(), kept.code()), (compiled().facts(), compiled().code()));
        assert_eq!(fs::metadata(&entry).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(store.load(&[3; SHA256_OUTPUT_LEN]).is_none());
        let mut settings = wasmtime::Config::new();
        settings.epoch_interruption(false);
        let other = wasmtime::Engine::new(&settings).unwrap();
        let other = CodeStore::open(&folder.path().join("code"), &KEY, &other).unwrap();
        assert!(other.load(&SOURCE).is_none() && entry.exists(), "another engine has entries of its own");
        assert!(open(&folder, &KEY).load(&SOURCE).is_some());
    }

    #[test]
    fn changed_entries_are_removed() {
        let length = fs::metadata(store_with_entry().2).unwrap().len();
        for position in (0..usize::try_from(length).unwrap()).step_by(7) {
            let (_folder, store, entry) = store_with_entry();
            let mut bytes = fs::read(&entry).unwrap();
            bytes[position] ^= 1;
            fs::write(&entry, bytes).unwrap();
            assert_removed(&store, &entry);
        }
        for length in [0, 10, 40, length - 1] {
            let (_folder, store, entry) = store_with_entry();
            File::options().write(true).open(&entry).unwrap().set_len(length).unwrap();
            assert_removed(&store, &entry);
        }
    }

    #[test]
    fn entries_of_another_key_file_or_user_are_not_used() {
        let (folder, _, entry) = store_with_entry();
        let other = open(&folder, &[9; KEY_BYTES]);
        assert!(other.load(&SOURCE).is_none() && entry.exists(), "another host has entries of its own");
        let renamed = other.directory.path().join(other.entry_name(&SOURCE));
        fs::rename(&entry, &renamed).unwrap();
        assert_removed(&other, &renamed);

        // The entry of another file, under this file's name.
        let (_folder, store, entry) = store_with_entry();
        let other = [5; SHA256_OUTPUT_LEN];
        store.save(&other, &compiled()).unwrap();
        fs::rename(store.directory.path().join(store.entry_name(&other)), &entry).unwrap();
        assert_removed(&store, &entry);

        let (_folder, store, entry) = store_with_entry();
        fs::set_permissions(&entry, Permissions::from_mode(0o644)).unwrap();
        assert_removed(&store, &entry);

        let (folder, store, entry) = store_with_entry();
        fs::rename(&entry, folder.path().join("elsewhere")).unwrap();
        symlink(folder.path().join("elsewhere"), &entry).unwrap();
        assert_removed(&store, &entry);
        assert!(folder.path().join("elsewhere").exists(), "what a link points to is not touched");

        let (_folder, store, entry) = store_with_entry();
        // Only root can give a file away.
        if chown(&entry, Some(65_534), None).is_ok() {
            assert_removed(&store, &entry);
        }
    }

    #[test]
    fn a_failure_is_kept_until_there_is_code() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder, &KEY);
        assert!(store.load_failure(&SOURCE).is_none());
        let failure = KnownFailure::new(&Failure::CpuTime, 1).unwrap();
        store.save_failure(&SOURCE, &failure).unwrap();
        assert_eq!(store.load_failure(&SOURCE), Some(failure.clone()));
        assert!(store.load(&SOURCE).is_none() && store.load_failure(&[3; SHA256_OUTPUT_LEN]).is_none());
        // The entry of one kind under the name of the other.
        let file = store.failure_file(&SOURCE);
        fs::rename(&file, folder.path().join("code").join(store.entry_name(&SOURCE))).unwrap();
        assert!(store.load(&SOURCE).is_none());
        store.save_failure(&SOURCE, &failure).unwrap();
        store.save(&SOURCE, &compiled()).unwrap();
        assert!(store.load(&SOURCE).is_some() && !file.exists());
    }

    #[test]
    fn what_was_not_used_for_longest_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let store = open(&folder, &KEY);
        let sources: Vec<_> = (0..5).map(|number| [number; SHA256_OUTPUT_LEN]).collect();
        let mut size = 0;
        for (source, age) in sources.iter().zip([50, 40, 30, 20, 10]) {
            store.save(source, &compiled()).unwrap();
            let file = File::options().write(true).open(store.directory.path().join(store.entry_name(source))).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
            size = file.metadata().unwrap().len();
        }
        assert!(store.load(&sources[0]).is_some(), "it is used");
        store.remove_oldest(2 * size).unwrap();
        let kept: Vec<_> = sources.iter().map(|source| store.load(source).is_some()).collect();
        assert_eq!(kept, [true, false, false, false, true]);
    }

    #[test]
    fn the_key_is_created_once_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let key = read_key(&keys).unwrap();
        assert_eq!((key.len(), &read_key(&keys).unwrap()), (KEY_BYTES, &key));
        assert_ne!(read_key(&folder.path().join("others")).unwrap(), key);
        let file = keys.join(KEY_FILE);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        let assert_refused = |expected: &str| {
            let error = read_key(&keys).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        assert_refused("compiled-code: its mode is 0640");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
        fs::write(&file, b"short").unwrap();
        assert_refused("it is not a key: remove it");
        fs::remove_file(&file).unwrap();
        symlink("/dev/zero", &file).unwrap();
        assert_refused("compiled-code: it is a symbolic link");
    }
}
