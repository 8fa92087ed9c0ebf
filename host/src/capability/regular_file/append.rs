//! Appending a line to a file that other programs may append to as well.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::geteuid;

use super::{check, read_lossy};
use crate::capability::blocking_pool::MayBlock;

/// Locks a file, passes its text to `line`, and appends the line that `line` returns, if any: the whole line or
/// nothing. Creates the file with mode 0600, and its directories with mode 0700.
///
/// # Errors
/// [`io::ErrorKind::PermissionDenied`] if the path contains a symbolic link that another user has created,
/// [`io::ErrorKind::WouldBlock`] if another program keeps the file locked for `max_wait`, and the errors of the system.
pub fn append_line(
    path: &Path,
    max_wait: Duration,
    _: &MayBlock,
    line: impl FnOnce(&str) -> Option<String>,
) -> io::Result<()> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = open_to_append(path)?;
    lock(&file, max_wait)?;
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

/// Locks a file, and waits for other programs that have locked it. Closing the file releases the lock.
///
/// On a file system without locks, the file is not locked. There too a line is written whole: it is short enough for
/// one system call.
///
/// # Errors
/// [`io::ErrorKind::WouldBlock`] after `max_wait`.
fn lock(file: &File, max_wait: Duration) -> io::Result<()> {
    const PAUSE: Duration = Duration::from_millis(10);
    let started = Instant::now();
    while let Err(TryLockError::WouldBlock) = file.try_lock() {
        if started.elapsed() >= max_wait {
            return Err(io::Error::new(io::ErrorKind::WouldBlock, "another program keeps it locked"));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

/// Opens a file to append to it, and creates it if it does not exist.
fn open_to_append(path: &Path) -> io::Result<File> {
    let own_user = geteuid().as_raw();
    check_links(path, own_user)?;
    let file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)?;
    check(&file, path)?;
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
