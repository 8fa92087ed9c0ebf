//! New hosts whose keys are accepted when they are first seen, as by OpenSSH's `StrictHostKeyChecking=accept-new`.

use std::collections::HashMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::geteuid;
use parking_lot::Mutex;
use russh::keys::PublicKey;

use crate::capability::operator_warnings::{OperatorWarnings, Warning};
use crate::capability::regular_file;
use crate::capability::ssh::text::io_message;
use crate::capability::ssh::trust::lookup::{KeyMatch, KnownHost, read_lossy};

/// The accepted host keys that could not be written to a file. They are lost when the process ends.
///
/// The lock also serialises the runs that accept keys, so that they do not write the same line twice.
#[derive(Debug, Default)]
pub struct AcceptedHosts(Mutex<KeysByHost>);

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
    /// program has added the host meanwhile, its entry decides. If the file cannot be written, the key is stored in
    /// memory until the process ends, and a warning is logged.
    ///
    /// # Errors
    /// A sentence, when the host has been added with another key meanwhile, or when the file cannot be written and 1000
    /// keys are stored in memory.
    pub fn accept(&self, known_host: &KnownHost, key: &PublicKey, file: &Path) -> Result<(), String> {
        let mut accepted = self.hosts.0.lock();
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

impl AcceptedHosts {
    /// Adds to `known_host` the accepted keys that could not be written to `file`.
    pub fn merge_into(&self, known_host: &mut KnownHost, file: &Path) {
        let accepted = self.0.lock();
        known_host.add_accepted_keys(file, keys_of(&accepted, file, &known_host.clone()));
    }
}

fn keys_of<'a>(accepted: &'a KeysByHost, file: &Path, known_host: &KnownHost) -> impl Iterator<Item = &'a PublicKey> {
    accepted.get(&(file.to_owned(), known_host.name())).into_iter().flatten()
}

/// Locks a file, passes its text to `line`, and appends the line that `line` returns, if any: the whole line or
/// nothing. Creates the file with mode 0600, and its directories with mode 0700.
///
/// # Errors
/// Returns the errors of [`open_to_append`], and of the system when the file is locked, read or written.
fn append_line(file: &Path, line: impl FnOnce(&str) -> Option<String>) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = open_to_append(file)?;
    // An error is ignored, since some file systems have no locks. There too the line is written whole: it is short
    // enough for one system call.
    let _ = file.lock();
    let text = read_lossy(&mut file)?;
    let Some(line) = line(&text) else { return Ok(()) };
    let separator = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let size = file.metadata()?.len();
    let appended = file.write_all(format!("{separator}{line}\n").as_bytes());
    if appended.is_err() {
        // The beginning of a line is not left in the file, e.g. if the disk is full.
        file.set_len(size)?;
    }
    appended
}

/// Opens a file to append to it, and creates it if it does not exist.
///
/// # Errors Returns [`io::ErrorKind::PermissionDenied`] if the path contains a symbolic link that another user has
/// created, and the errors of the system.
fn open_to_append(path: &Path) -> io::Result<File> {
    let own_user = geteuid().as_raw();
    check_links(path, own_user)?;
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    regular_file::check(&file, path)?;
    // The links are checked again: one could have been added before the file was opened, and removed since.
    check_links(path, own_user)?;
    let (opened, found) = (file.metadata()?, std::fs::metadata(path)?);
    if (opened.dev(), opened.ino()) == (found.dev(), found.ino()) {
        Ok(file)
    } else {
        Err(io::Error::other("the file was replaced while it was opened"))
    }
}

/// Checks that every symbolic link on a path belongs to the user `own_user` or to the superuser, links that the path
/// leads to included. Otherwise another user decides which file the path leads to.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] if a link belongs to another user, and the errors of the system.
fn check_links(path: &Path, own_user: u32) -> io::Result<()> {
    /// The maximum number of symbolic links that are followed, as in Linux.
    const MAX_LINKS: usize = 40;
    let mut unchecked = vec![std::path::absolute(path)?];
    let mut links = 0;
    while let Some(path) = unchecked.pop() {
        for part in path.ancestors() {
            let Ok(metadata) = std::fs::symlink_metadata(part) else { continue };
            if !metadata.is_symlink() {
                continue;
            }
            if metadata.uid() != own_user && metadata.uid() != 0 {
                let message = format!("the symbolic link {} belongs to another user", part.display());
                return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
            }
            links += 1;
            if links > MAX_LINKS {
                return Err(io::Error::other("too many symbolic links"));
            }
            unchecked.push(part.parent().unwrap_or(part).join(std::fs::read_link(part)?));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{lchown, symlink};

    use super::*;

    #[test]
    fn links_of_other_users_are_not_followed() {
        let folder = tempfile::tempdir().expect("a temporary directory can be created");
        // The temporary directory itself may lie behind links of the superuser.
        let root = folder.path().canonicalize().expect("the directory exists");
        let own_user = root.metadata().expect("the directory exists").uid();
        std::fs::create_dir(root.join("real")).expect("the directory is writable");
        symlink("real", root.join("directory")).expect("a link can be made");
        symlink("directory/known_hosts", root.join("file")).expect("a link can be made");
        symlink("loop", root.join("loop")).expect("a link can be made");
        for path in ["real/known_hosts", "directory/known_hosts", "file"] {
            assert!(check_links(&root.join(path), own_user).is_ok(), "{path}");
        }
        // Only the superuser can change the owner of a link. Without being the superuser, the test leaves the owner,
        // and checks the links on behalf of another user.
        let (own, stranger) = if own_user == 0 { (0, 1) } else { (own_user + 1, own_user) };
        for link in ["directory", "file"] {
            lchown(root.join(link), Some(stranger), None).expect("the owner can be set");
        }
        assert!(check_links(&root.join("real/known_hosts"), own).is_ok());
        for path in ["directory/known_hosts", "file"] {
            let error = check_links(&root.join(path), own).expect_err(path);
            assert!(error.to_string().ends_with("belongs to another user"), "{error}");
        }
        assert_eq!(
            check_links(&root.join("loop"), own_user).expect_err("a loop").to_string(),
            "too many symbolic links"
        );
    }
}
