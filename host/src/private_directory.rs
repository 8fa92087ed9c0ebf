//! Directories and files that no other user of the machine can read or write, and that no other user has written. Files
//! are named relative to the open directory, so that replacing a directory of its path changes nothing.

use std::fs::{DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, fstat, linkat, openat,
    renameat, statat, unlinkat, utimensat,
};
use rustix::io::Errno;
use rustix::process::geteuid;

/// A directory that belongs to this process's user, and that nobody else can read or write.
#[derive(Debug)]
pub struct PrivateDirectory {
    handle: OwnedFd,
    path: PathBuf,
}

/// A regular file in a [`PrivateDirectory`].
#[derive(Debug, PartialEq, Eq)]
pub struct PrivateFile {
    /// The file's name in the directory.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// The time of the last change.
    pub modified: SystemTime,
}

/// The mode of the directory.
const DIRECTORY_MODE: u32 = 0o700;
/// The mode of the files in the directory.
const FILE_MODE: u32 = 0o600;
/// The beginning of the names of files that are being written.
const TEMPORARY: &str = ".new-";

impl PrivateDirectory {
    /// Opens a directory, and creates it and the directories above it if they do not exist.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be created or opened, is a symbolic link, belongs to another user, or
    /// is accessible to others. In the last three cases, the message says what to do.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(io::Error::other("it is a symbolic link or no directory: remove it"));
            }
            opened => opened?,
        };
        let stat = fstat(&handle)?;
        check_owner(&stat)?;
        let mode = stat.st_mode & 0o777;
        if mode != DIRECTORY_MODE {
            return Err(io::Error::other(format!("its mode is {mode:04o}: `chmod 0700` it, or remove it")));
        }
        Ok(Self { handle, path: path.to_owned() })
    }

    /// Returns the path by which the directory was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the contents of a file.
    ///
    /// # Errors
    /// Returns an error of the kind [`io::ErrorKind::NotFound`] if there is no such file. Returns another error if the
    /// file cannot be read, is larger than `max_bytes`, is no regular file, belongs to another user, or has another
    /// mode than 0600.
    pub fn read(&self, name: &str, max_bytes: u64) -> io::Result<Vec<u8>> {
        read_regular_file(&self.handle, name, max_bytes, |stat| {
            check_owner(stat)?;
            let mode = stat.st_mode & 0o777;
            if mode != FILE_MODE {
                return Err(io::Error::other(format!("its mode is {mode:04o} instead of 0600")));
            }
            Ok(())
        })
    }

    /// Writes a file of these `parts`, which replaces a file of the same name. Readers see the old file or the whole
    /// new one.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written; the old one stays.
    pub fn replace(&self, name: &str, parts: &[&[u8]]) -> io::Result<()> {
        let temporary = self.write_temporary(parts)?;
        renameat(&self.handle, &temporary, &self.handle, name).inspect_err(|_| self.remove(&temporary))?;
        Ok(())
    }

    /// Writes a file unless there is one of this name. Readers see no file or the whole file.
    ///
    /// # Errors
    /// Returns an error if the file cannot be written.
    pub fn create(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        let temporary = self.write_temporary(&[contents])?;
        let linked = linkat(&self.handle, &temporary, &self.handle, name, AtFlags::empty());
        self.remove(&temporary);
        match linked {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a file, if there is one. A file that cannot be removed stays.
    pub fn remove(&self, name: &str) {
        let _ = unlinkat(&self.handle, name, AtFlags::empty());
    }

    /// Sets the time of a file's last change to now, if possible.
    pub fn touch(&self, name: &str) {
        let time = |nanoseconds| Timespec { tv_sec: 0, tv_nsec: nanoseconds };
        let times = Timestamps { last_access: time(UTIME_OMIT), last_modification: time(UTIME_NOW) };
        let _ = utimensat(&self.handle, name, &times, AtFlags::SYMLINK_NOFOLLOW);
    }

    /// Returns the regular files of the directory. Removes temporary files that were last written more than an hour
    /// ago: the processes that wrote them did not finish.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be read.
    pub fn files(&self) -> io::Result<Vec<PrivateFile>> {
        const UNFINISHED_AFTER: Duration = Duration::from_secs(3600);
        let mut files = Vec::new();
        for entry in Dir::read_from(&self.handle)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            let Ok(stat) = statat(&self.handle, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                continue;
            }
            let seconds = u64::try_from(stat.st_mtime).unwrap_or_default();
            let nanoseconds = stat.st_mtime_nsec;
            let since_epoch = Duration::from_secs(seconds) + Duration::from_nanos(nanoseconds);
            let modified = SystemTime::UNIX_EPOCH + since_epoch;
            if !name.starts_with(TEMPORARY) {
                let size = u64::try_from(stat.st_size).unwrap_or_default();
                files.push(PrivateFile { name: name.to_owned(), size, modified });
            } else if modified.elapsed().is_ok_and(|age| age > UNFINISHED_AFTER) {
                self.remove(name);
            }
        }
        Ok(files)
    }

    /// Writes a temporary file, and returns its name.
    fn write_temporary(&self, parts: &[&[u8]]) -> io::Result<String> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{TEMPORARY}{}-{count}", std::process::id());
        // A process with the same number, for example in another container, may have left a file.
        self.remove(&name);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut file = File::from(openat(&self.handle, &name, flags, Mode::from_raw_mode(FILE_MODE))?);
        let written = parts.iter().try_for_each(|part| file.write_all(part));
        written.inspect_err(|_| self.remove(&name))?;
        Ok(name)
    }
}

/// Returns the contents of a file in an open directory, after `check` has accepted the file's properties.
///
/// # Errors
/// Returns an error of the kind [`io::ErrorKind::NotFound`] if there is no such file. Returns another error if the file
/// cannot be read, is a symbolic link, is no regular file, or is larger than `max_bytes`; and the error of `check`.
pub fn read_regular_file(
    directory: &OwnedFd,
    name: &str,
    max_bytes: u64,
    check: impl FnOnce(&Stat) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    // NONBLOCK: opening a named pipe must not wait for its other end.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match openat(directory, name, flags, Mode::empty()) {
        Err(Errno::LOOP) => return Err(io::Error::other("it is a symbolic link")),
        opened => opened?,
    };
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is no regular file"));
    }
    check(&stat)?;
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    if size > max_bytes {
        return Err(io::Error::other(format!("it is larger than {max_bytes} bytes")));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    File::from(file).take(max_bytes).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Checks that a directory is this user's own: it is no symbolic link, and no other user can put files into it.
///
/// # Errors
/// Returns an error that says what to do if the directory is not this user's own. Returns the system's error if the
/// properties of the directory cannot be read.
pub fn check_own_directory(path: &Path) -> io::Result<()> {
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let stat = rustix::fs::lstat(path)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        return Err(io::Error::other("it is a symbolic link or no directory: remove it"));
    }
    check_owner(&stat)?;
    let mode = stat.st_mode & 0o777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(io::Error::other(format!("its mode is {mode:04o}: `chmod 0700` it, or remove it")));
    }
    Ok(())
}

fn check_owner(stat: &Stat) -> io::Result<()> {
    let user = geteuid().as_raw();
    if stat.st_uid == user {
        return Ok(());
    }
    let owner = stat.st_uid;
    Err(io::Error::other(format!("it belongs to the user {owner} instead of {user}: `chown` it, or remove it")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    const OTHER_USER: u32 = 65_534;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).expect("the test owns it");
    }

    #[track_caller]
    fn assert_refused<T: std::fmt::Debug>(result: io::Result<T>, expected: &str) {
        let error = result.expect_err("it is refused").to_string();
        assert!(error.contains(expected), "{expected} in {error}");
    }

    #[test]
    fn files_are_written_read_and_listed() {
        let folder = tempfile::tempdir().unwrap();
        let directory = PrivateDirectory::open(&folder.path().join("a/b")).unwrap();
        directory.replace("x", &[b"one ", b"two"]).unwrap();
        assert_eq!(directory.read("x", 7).unwrap(), b"one two");
        assert_refused(directory.read("x", 6), "larger than 6 bytes");
        directory.replace("x", &[b"three"]).unwrap();
        directory.create("x", b"four").unwrap();
        assert_eq!(directory.read("x", 100).unwrap(), b"three");
        let files = directory.files().unwrap();
        assert_eq!(files.iter().map(|file| (file.name.as_str(), file.size)).collect::<Vec<_>>(), [("x", 5)]);
        directory.remove("x");
        assert_eq!(directory.read("x", 100).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn directories_of_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        PrivateDirectory::open(&path).unwrap();
        for mode in [0o755, 0o770, 0o701] {
            set_mode(&path, mode);
            assert_refused(PrivateDirectory::open(&path), "`chmod 0700` it");
        }
        set_mode(&path, 0o700);
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert_refused(PrivateDirectory::open(&link), "symbolic link");
        // Only root can give a directory away.
        if chown(&path, Some(OTHER_USER), None).is_ok() {
            assert_refused(PrivateDirectory::open(&path), "it belongs to the user 65534");
        }
    }

    #[test]
    fn files_of_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        let directory = PrivateDirectory::open(&path).unwrap();
        directory.create("x", b"x").unwrap();
        symlink(path.join("x"), path.join("link")).unwrap();
        assert_refused(directory.read("link", 100), "symbolic link");
        std::fs::create_dir(path.join("folder")).unwrap();
        assert_refused(directory.read("folder", 100), "no regular file");
        for mode in [0o644, 0o660, 0o400] {
            set_mode(&path.join("x"), mode);
            assert_refused(directory.read("x", 100), "instead of 0600");
        }
        set_mode(&path.join("x"), 0o600);
        if chown(path.join("x"), Some(OTHER_USER), None).is_ok() {
            assert_refused(directory.read("x", 100), "it belongs to the user 65534");
        }
    }

    #[test]
    fn unfinished_files_are_removed_later() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        let directory = PrivateDirectory::open(&path).unwrap();
        for (name, age) in [(".new-1-1", 7200), (".new-1-2", 0)] {
            let file = File::create(path.join(name)).unwrap();
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).unwrap();
        }
        assert_eq!(directory.files().unwrap(), []);
        assert!(!path.join(".new-1-1").exists() && path.join(".new-1-2").exists());
    }

    #[test]
    fn directories_that_others_can_write_are_not_own() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("own");
        std::fs::create_dir(&path).unwrap();
        let refused = |path: &Path| check_own_directory(path).unwrap_err().to_string();
        for mode in [0o700, 0o755] {
            set_mode(&path, mode);
            check_own_directory(&path).unwrap();
        }
        for mode in [0o720, 0o702, 0o777] {
            set_mode(&path, mode);
            assert_eq!(refused(&path), format!("its mode is {mode:04o}: `chmod 0700` it, or remove it"));
        }
        set_mode(&path, 0o700);
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(refused(&link).contains("symbolic link"));
        // Only root can give a directory away.
        if chown(&path, Some(65_534), None).is_ok() {
            assert!(refused(&path).contains("belongs to the user 65534"));
        }
    }
}
