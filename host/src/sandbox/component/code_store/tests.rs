use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use tempfile::TempDir;

use super::*;
use crate::sandbox::component::compiler_process::Failure;
use crate::sandbox::component::precompiled::Facts;
use crate::sandbox::engine::{self, Cpu};

const KEY: [u8; KEY_BYTES] = [1; KEY_BYTES];
const SOURCE: [u8; SHA256_OUTPUT_LEN] = [2; SHA256_OUTPUT_LEN];

fn open_version(folder: &TempDir, key: &[u8], version: &str) -> CodeStore {
    let engine = engine::for_compiling(Cpu::Native).unwrap();
    CodeStore::open(&folder.path().join("code"), key, &engine, version).unwrap()
}

fn open(folder: &TempDir, key: &[u8]) -> CodeStore {
    open_version(folder, key, VERSION)
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
    let other = CodeStore::open(&folder.path().join("code"), &KEY, &other, VERSION).unwrap();
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
fn entries_of_another_version_are_left_alone_until_they_are_old() {
    let folder = tempfile::tempdir().unwrap();
    let old = open_version(&folder, &KEY, "1 0.0.0");
    old.save(&SOURCE, &compiled()).unwrap();
    old.save_failure(&[3; SHA256_OUTPUT_LEN], &KnownFailure::new(&Failure::CpuTime, 1).unwrap()).unwrap();
    let entry = old.directory.path().join(old.entry_name(&SOURCE));
    let store = open(&folder, &KEY);
    assert!(store.load(&SOURCE).is_none() && store.load_failure(&[3; SHA256_OUTPUT_LEN]).is_none());
    store.save(&SOURCE, &compiled()).unwrap();
    assert!(store.load(&SOURCE).is_some() && old.load(&SOURCE).is_some(), "each version has an entry");
    assert!(old.load_failure(&[3; SHA256_OUTPUT_LEN]).is_some());
    // Under the name of the other version, an entry is refused.
    let renamed = store.directory.path().join(store.entry_name(&[4; SHA256_OUTPUT_LEN]));
    old.save(&[4; SHA256_OUTPUT_LEN], &compiled()).unwrap();
    fs::rename(old.directory.path().join(old.entry_name(&[4; SHA256_OUTPUT_LEN])), &renamed).unwrap();
    assert!(store.load(&[4; SHA256_OUTPUT_LEN]).is_none() && !renamed.exists());
    let unused_since = SystemTime::now() - MAX_AGE - Duration::from_secs(60);
    File::options().write(true).open(&entry).unwrap().set_modified(unused_since).unwrap();
    store.save(&[5; SHA256_OUTPUT_LEN], &compiled()).unwrap();
    assert!(!entry.exists() && store.load(&SOURCE).is_some());
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
