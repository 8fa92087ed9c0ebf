//! Files that settings name, such as certificates and known hosts. A pipe, a device or a directory in place of a file does
//! not keep the host waiting.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file to read it, without waiting for the writer of a pipe.
///
/// # Errors
/// The errors of the system, and [`io::ErrorKind::InvalidInput`] if the path leads to a directory, a pipe or a device other
/// than `/dev/null`.
pub fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed()).open(path)?;
    check(&file, path)?;
    Ok(file)
}

/// Reads a file of at most `max_bytes`.
///
/// # Errors
/// The errors of [`open`], those of the system, and [`io::ErrorKind::FileTooLarge`].
pub fn read(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {} KiB", max_bytes >> 10)));
    }
    Ok(bytes)
}

/// Checks that an open file is a regular file, or `/dev/null`.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] if it is something else, and the errors of the system.
pub fn check(file: &File, path: &Path) -> io::Result<()> {
    if file.metadata()?.is_file() || path == Path::new("/dev/null") {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, mkfifoat};

    use super::*;

    #[test]
    fn only_regular_files_of_bounded_size_are_read() {
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
