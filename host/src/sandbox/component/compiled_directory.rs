//! A directory of code that `sentrynet compile` has written, perhaps on another machine. Its code is trusted as the
//! program itself is: by the owner and the mode of the directory and its files.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ring::digest::SHA256_OUTPUT_LEN;
use rustix::fs::{Mode, OFlags, Stat, fstat};
use rustix::io::Errno;
use rustix::process::geteuid;

use super::compiled_file;
use super::precompiled::Precompiled;
use super::read::hexadecimal;
use crate::private_directory::read_regular_file;

/// The maximal size of a file, in bytes.
const MAX_FILE_BYTES: u64 = 512 << 20;

/// A directory of compiled components, which only this process's user or root can have written. Each file is named for
/// the SHA-256 of its component.
#[derive(Debug)]
pub struct CompiledDirectory {
    handle: OwnedFd,
    path: PathBuf,
}

impl CompiledDirectory {
    /// Opens a directory. Its code will be executed without further checks of its contents: whoever has written the
    /// directory is trusted as whoever has written this program.
    ///
    /// # Errors
    /// Returns an error if the directory cannot be opened, is a symbolic link, belongs to another user than this one or
    /// root, or can be written by others. The message says what to do.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = match rustix::fs::open(path, flags, Mode::empty()) {
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(io::Error::other("it is a symbolic link or no directory: name the directory itself"));
            }
            opened => opened?,
        };
        check_trusted(&fstat(&handle)?)?;
        Ok(Self { handle, path: path.to_owned() })
    }

    /// Returns the path of the file with a component's code, whether it exists or not.
    pub fn file(&self, component: &[u8; SHA256_OUTPUT_LEN]) -> PathBuf {
        self.path.join(file_name(component))
    }

    /// Returns the code of a component, by the digest of its file, or `None` if the directory does not have it.
    ///
    /// # Errors
    /// Returns a sentence if the file cannot be used: it cannot be read, another user can have written it, or it is not
    /// for this component and this program.
    pub(super) fn load(&self, component: &[u8; SHA256_OUTPUT_LEN]) -> Result<Option<Precompiled>, String> {
        match read_regular_file(&self.handle, &file_name(component), MAX_FILE_BYTES, check_trusted) {
            Ok(file) => {
                let (facts, code) = compiled_file::decode(component, file).map_err(|mismatch| mismatch.to_string())?;
                Ok(Some(Precompiled::trust(facts, code)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Returns the name of the file with a component's code.
pub fn file_name(component: &[u8; SHA256_OUTPUT_LEN]) -> String {
    hexadecimal(component) + ".code"
}

/// Checks that only this user and root can have written a file or directory.
fn check_trusted(stat: &Stat) -> io::Result<()> {
    const ROOT: u32 = 0;
    const WRITABLE_BY_OTHERS: u32 = 0o022;
    let (user, owner) = (geteuid().as_raw(), stat.st_uid);
    if owner != user && owner != ROOT {
        return Err(io::Error::other(format!("it belongs to the user {owner} instead of {user} or root: `chown` it")));
    }
    let mode = stat.st_mode & 0o777;
    if mode & WRITABLE_BY_OTHERS != 0 {
        return Err(io::Error::other(format!("its mode is {mode:04o}, so that others can write it: `chmod go-w` it")));
    }
    Ok(())
}

#[cfg(all(test, feature = "compiler"))]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use tempfile::TempDir;

    use super::super::precompiled::Facts;
    use super::*;

    const COMPONENT: [u8; SHA256_OUTPUT_LEN] = [7; SHA256_OUTPUT_LEN];
    const OTHER_USER: u32 = 65_534;

    /// Creates a directory with the code of [`COMPONENT`]. Returns the path of the code too.
    fn directory_with_code() -> (TempDir, CompiledDirectory, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let directory = CompiledDirectory::open(folder.path()).unwrap();
        let file = directory.file(&COMPONENT);
        let header = compiled_file::encode_header(&COMPONENT, &Facts::default(), b"code");
        fs::write(&file, [&header[..], b"code"].concat()).unwrap();
        set_mode(&file, 0o644);
        (folder, directory, file)
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).expect("the test owns it");
    }

    #[track_caller]
    fn assert_refused<T: std::fmt::Debug>(result: Result<T, impl ToString>, expected: &str) {
        let message = result.map_err(|error| error.to_string()).expect_err("it is refused");
        assert!(message.contains(expected), "{expected} in {message}");
    }

    #[test]
    fn code_is_found_by_the_digest_of_its_component() {
        let (_folder, directory, _) = directory_with_code();
        assert_eq!(directory.load(&COMPONENT).unwrap().expect("it is there").code(), b"code");
        assert!(directory.load(&[8; SHA256_OUTPUT_LEN]).unwrap().is_none());
    }

    #[test]
    fn directories_that_others_could_have_written_are_refused() {
        let (folder, _, _) = directory_with_code();
        for mode in [0o755, 0o700, 0o555] {
            set_mode(folder.path(), mode);
            CompiledDirectory::open(folder.path()).unwrap();
        }
        for mode in [0o775, 0o757, 0o777] {
            set_mode(folder.path(), mode);
            assert_refused(CompiledDirectory::open(folder.path()), "others can write it: `chmod go-w` it");
        }
        set_mode(folder.path(), 0o755);
        let link = folder.path().join("link");
        symlink(folder.path(), &link).unwrap();
        assert_refused(CompiledDirectory::open(&link), "symbolic link");
        // Only root can give a directory away.
        if chown(folder.path(), Some(OTHER_USER), None).is_ok() {
            assert_refused(CompiledDirectory::open(folder.path()), "it belongs to the user 65534");
        }
    }

    #[test]
    fn files_that_others_could_have_written_are_refused() {
        let (folder, directory, file) = directory_with_code();
        for mode in [0o664, 0o646] {
            set_mode(&file, mode);
            assert_refused(directory.load(&COMPONENT), "others can write it");
        }
        set_mode(&file, 0o644);
        if chown(&file, Some(OTHER_USER), None).is_ok() {
            assert_refused(directory.load(&COMPONENT), "it belongs to the user 65534");
        }
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&file, &elsewhere).unwrap();
        symlink(&elsewhere, &file).unwrap();
        assert_refused(directory.load(&COMPONENT), "it is a symbolic link");
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert_refused(directory.load(&COMPONENT), "it is no regular file");
    }
}
