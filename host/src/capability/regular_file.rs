//! Files that settings name, such as certificates and known hosts. A pipe, a device or a directory in place of a file
//! does not keep the host waiting.
//!
//! Files are read and written in this module alone, which a test of the architecture checks. Each function takes a
//! [`MayBlock`]: it can be called only on threads that may wait for a disk or a network file system.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::capability::blocking_pool::MayBlock;
use crate::config;
use crate::file_version::FileVersion;

pub use append::append_line;

mod append;

/// Opens a file and closes it again, to find out whether it can be read.
///
/// # Errors
/// The errors of the system, and [`io::ErrorKind::InvalidInput`] if the path leads to a directory, a pipe or a device
/// other than `/dev/null`.
pub fn check_readable(path: &Path, _: &MayBlock) -> io::Result<()> {
    open(path).map(drop)
}

/// Reads a file of at most `max_bytes`.
///
/// # Errors
/// The errors of [`check_readable`], those of the system, and [`io::ErrorKind::FileTooLarge`].
pub fn read(path: &Path, max_bytes: u64, _: &MayBlock) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {} KiB", max_bytes >> 10)));
    }
    Ok(bytes)
}

/// Reads a file of known hosts as UTF-8 with replacement characters, since a comment may be in another encoding. Reads
/// 64 MiB at most.
///
/// # Errors
/// The errors of [`check_readable`], and those of the system.
pub fn read_known_hosts(path: &Path, _: &MayBlock) -> io::Result<String> {
    read_lossy(&mut open(path)?)
}

/// Returns true if there is a file with this path.
pub fn exists(path: &Path, _: &MayBlock) -> bool {
    path.exists()
}

/// Returns the version of a file, which is another one once the file has changed.
pub fn version(path: &Path, _: &MayBlock) -> FileVersion {
    FileVersion::of(path)
}

/// Returns a warning about a file with a secret if everyone can read it.
pub fn world_readable_warning(path: &Path, _: &MayBlock) -> Option<String> {
    config::world_readable_warning(path)
}

/// Returns the files of known hosts that OpenSSH reads by default: the user's and the system's. Without `HOME`, the
/// system looks up the user, and may ask a server. Called once, at the start.
pub fn default_known_hosts() -> Vec<PathBuf> {
    let user = std::env::home_dir().map(|home| home.join(".ssh/known_hosts"));
    user.into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect()
}

/// Opens a file to read it, without waiting for the writer of a pipe.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    check(&file, path)?;
    Ok(file)
}

/// Checks that an open file is a regular file, or `/dev/null`.
fn check(file: &File, path: &Path) -> io::Result<()> {
    if file.metadata()?.is_file() || path == Path::new("/dev/null") {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

fn read_lossy(file: &mut File) -> io::Result<String> {
    const MAX_FILE_BYTES: u64 = 64 << 20;
    let mut bytes = Vec::new();
    file.take(MAX_FILE_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
        let read = |path: &Path, max_bytes| read(path, max_bytes, &MayBlock::in_test());
        let folder = tempfile::tempdir().expect("a temporary directory can be created");
        let path = folder.path().join("file");
        std::fs::write(&path, [b'x'; 2048]).expect("the file can be written");
        assert_eq!(read(&path, 2048).expect("the file is small enough").len(), 2048);
        assert_eq!(read(&path, 2047).expect_err("the file is too large").to_string(), "it has more than 1 KiB");
        assert_eq!(read(Path::new("/dev/null"), 10).expect("it can be read"), b"");
        let pipe = folder.path().join("pipe");
        mkfifoat(CWD, &pipe, Mode::RWXU).expect("a pipe can be made");
        for wrong in [&pipe, folder.path(), Path::new("/dev/zero")] {
            assert_eq!(read(wrong, 10).expect_err("it is no file").to_string(), "it is not a regular file");
        }
        assert_eq!(read(&folder.path().join("absent"), 10).expect_err("it is absent").kind(), io::ErrorKind::NotFound);
    }
}
