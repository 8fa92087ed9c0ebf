//! New hosts whose keys are accepted when they are first seen, as by OpenSSH's `StrictHostKeyChecking=accept-new`.

use std::collections::HashMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use russh::keys::PublicKey;

use crate::capability::ssh::text::io_message;
use crate::capability::ssh::trust::lookup::{KeyMatch, KnownHost, read_lossy};

/// The accepted host keys that could not be written to a file. They are lost when the process ends.
///
/// The lock also serialises the runs that accept keys, so that they do not write the same line twice.
#[derive(Debug, Default)]
pub struct AcceptedHosts(Mutex<KeysByHost>);

/// Host keys by the file that they could not be written to, and by the host's name in that file.
type KeysByHost = HashMap<(PathBuf, String), Vec<PublicKey>>;

impl AcceptedHosts {
    /// Accepts a key of a host that was unknown when `known_host` was read, and writes it to `file`. If another run or
    /// program has added the host meanwhile, its entry decides. If the file cannot be written, the key is stored in
    /// memory until the process ends, and a warning is logged.
    ///
    /// # Errors
    /// A sentence, when the host has been added with another key meanwhile.
    pub fn accept(&self, known_host: &KnownHost, key: &PublicKey, file: &Path) -> Result<(), String> {
        let mut accepted = self.0.lock();
        let mut current = known_host.empty_for_same_host();
        current.add_accepted_keys(file, keys_of(&accepted, file, known_host));
        let written = append_line(file, |text| {
            current.add_text(file, text);
            matches!(current.match_key(key), KeyMatch::Unknown).then(|| known_host.line(key))
        });
        match current.match_key(key) {
            KeyMatch::Known => Ok(()),
            KeyMatch::Rejected(message) => Err(message),
            KeyMatch::Unknown => {
                if let Err(error) = written {
                    tracing::warn!(
                        host = %current.name(),
                        file = %file.display(),
                        error = %io_message(&error),
                        "cannot write the new host key to the file of known hosts: it is stored in memory until the \
                         process ends"
                    );
                    accepted.entry((file.to_owned(), current.name())).or_default().push(key.clone());
                }
                Ok(())
            }
        }
    }

    /// Adds to `known_host` the accepted keys that could not be written to `file`.
    pub fn merge_into(&self, known_host: &mut KnownHost, file: &Path) {
        let accepted = self.0.lock();
        known_host.add_accepted_keys(file, keys_of(&accepted, file, &known_host.clone()));
    }
}

fn keys_of<'a>(accepted: &'a KeysByHost, file: &Path, known_host: &KnownHost) -> impl Iterator<Item = &'a PublicKey> {
    accepted.get(&(file.to_owned(), known_host.name())).into_iter().flatten()
}

/// Locks a file, passes its text to `line`, and appends the line that `line` returns, if any. Creates the file with
/// mode 0600, and its directories with mode 0700.
fn append_line(file: &Path, line: impl FnOnce(&str) -> Option<String>) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    // An error is ignored, since some file systems have no locks. There too the line is written whole: it is short
    // enough for one system call.
    let _ = file.lock();
    let text = read_lossy(&mut file)?;
    let Some(line) = line(&text) else { return Ok(()) };
    let separator = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{separator}{line}\n").as_bytes())
}
