//! New hosts whose keys are accepted when they are first seen, as by OpenSSH's `StrictHostKeyChecking=accept-new`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use russh::keys::PublicKey;

use crate::capability::blocking_pool::MayBlock;
use crate::capability::operator_warnings::{OperatorWarnings, Warning};
use crate::capability::regular_file;
use crate::capability::ssh::text::io_message;
use crate::capability::ssh::trust::lookup::{KeyMatch, KnownHost};

/// The accepted host keys that could not be written to a file. They are lost when the process ends.
#[derive(Debug)]
pub struct AcceptedHosts {
    /// Locked for moments only, and never while a file is locked, read or written: the runs of all probes take this
    /// lock.
    pub(super) keys: Mutex<KeysByHost>,
    /// The time to wait for other programs that have locked a file of known hosts.
    pub(super) max_lock_wait: Duration,
}

/// Host keys by the file that they could not be written to, and by the host's name in that file.
type KeysByHost = HashMap<(PathBuf, String), Vec<PublicKey>>;

/// The acceptance of new host keys by the runs of one probe.
#[derive(Debug, Clone, Default)]
pub struct AcceptNew {
    /// The keys that could not be written to a file, of all probes.
    pub hosts: Arc<AcceptedHosts>,
    /// The title of the probe.
    pub probe: String,
    /// The warnings of the probe.
    pub warnings: Arc<OperatorWarnings>,
}

/// The maximum number of keys that are stored in memory for all probes.
const MAX_STORED_KEYS: usize = 1000;

impl AcceptNew {
    /// Accepts a key of a host that was unknown when `known_host` was read, and writes it to `file`. If another run or
    /// program has added the host meanwhile, its entry decides. If the file cannot be written, or another program keeps
    /// it locked for 5 s, the key is stored in memory until the process ends, and a warning is logged.
    ///
    /// # Errors
    /// A sentence, when the host has been added with another key meanwhile, or when the file cannot be written and 1000
    /// keys are stored in memory.
    pub fn accept(
        &self,
        known_host: &KnownHost,
        key: &PublicKey,
        file: &Path,
        may_block: &MayBlock,
    ) -> Result<(), String> {
        let mut current = known_host.empty_for_same_host();
        self.hosts.merge_into(&mut current, file);
        let written = regular_file::append_line(file, self.hosts.max_lock_wait, may_block, |text| {
            current.add_text(file, text);
            matches!(current.match_key(key), KeyMatch::Unknown).then(|| known_host.line(key))
        });
        // Another run may have stored a key of the host meanwhile.
        let mut accepted = self.hosts.keys.lock();
        current.add_accepted_keys(file, keys_of(&accepted, file, known_host));
        match current.match_key(key) {
            KeyMatch::Known => Ok(()),
            KeyMatch::Rejected(message) => Err(message),
            KeyMatch::Unknown => {
                let Err(error) = written else { return Ok(()) };
                let (name, error) = (current.name(), io_message(&error));
                if accepted.values().map(Vec::len).sum::<usize>() >= MAX_STORED_KEYS {
                    return Err(format!(
                        "the host key of `{name}` is new and cannot be written to {}: {error}; {MAX_STORED_KEYS} new \
                         keys are in memory already",
                        file.display()
                    ));
                }
                self.warn(&name, file, &error);
                accepted.entry((file.to_owned(), name)).or_default().push(key.clone());
                Ok(())
            }
        }
    }

    fn warn(&self, host: &str, file: &Path, error: &str) {
        let message = "cannot write the new host key to the file of known hosts: it is stored in memory until the process \
                       ends";
        self.warnings.write(&Warning { probe: &self.probe, host, file, error, message });
    }
}

impl Default for AcceptedHosts {
    fn default() -> Self {
        const MAX_LOCK_WAIT: Duration = Duration::from_secs(5);
        Self { keys: Mutex::default(), max_lock_wait: MAX_LOCK_WAIT }
    }
}

impl AcceptedHosts {
    /// Adds to `known_host` the accepted keys that could not be written to `file`.
    pub fn merge_into(&self, known_host: &mut KnownHost, file: &Path) {
        let accepted = self.keys.lock();
        known_host.add_accepted_keys(file, keys_of(&accepted, file, &known_host.clone()));
    }
}

fn keys_of<'a>(accepted: &'a KeysByHost, file: &Path, known_host: &KnownHost) -> impl Iterator<Item = &'a PublicKey> {
    accepted.get(&(file.to_owned(), known_host.name())).into_iter().flatten()
}
