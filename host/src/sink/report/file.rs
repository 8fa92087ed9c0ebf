//! The files of reports.

use std::fs::{File, FileType, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Checks that a report can probably be written to a path: there is a directory for it, and no other thing than a
/// regular file has its name. A symbolic link is not followed, since it would be replaced.
///
/// # Errors
/// Returns a sentence that says what to do.
pub fn check_path(path: &Path) -> Result<(), String> {
    let shown = path.display();
    match std::fs::symlink_metadata(path) {
        Ok(found) => check_type(found.file_type()).map_err(|problem| format!("`{shown}` {problem}")),
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory(path).is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(format!("there is no directory `{}` for the report `{shown}`: create it", directory(path).display()))
        }
        Err(error) => Err(format!("cannot write the report `{shown}`: {error}")),
    }
}

fn check_type(found: FileType) -> Result<(), &'static str> {
    match found {
        found if found.is_file() => Ok(()),
        found if found.is_dir() => Err("is a directory: name a file for the report"),
        found if found.is_symlink() => Err("is a symbolic link: name the file that it leads to"),
        _ => Err("is no regular file: `--format` writes a report to standard output"),
    }
}

/// Returns the directory that a file is in.
fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file so that it has all of the text or is as it was before: the text is written to another file of the same
/// directory, which then gets its name. A file that is replaced keeps its mode.
///
/// # Errors
/// The errors of the system, and an error if something else than a regular file has the name.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let existing = std::fs::symlink_metadata(path).ok();
    if let Some(existing) = &existing {
        check_type(existing.file_type()).map_err(|problem| io::Error::other(format!("it {problem}")))?;
    }
    let temporary = temporary_path(path)?;
    let written = write_new(&temporary, bytes).and_then(|file| {
        // Fails if the file belongs to another user: then the new file has the mode of any new file.
        _ = existing.map(|existing| file.set_permissions(existing.permissions()));
        std::fs::rename(&temporary, path)
    });
    if written.is_err() {
        // Fails if it could not be created.
        _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Returns the path of a file in the same directory that does not exist.
fn temporary_path(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| io::Error::other("it is a directory: name a file for the report"))?;
    let mut temporary = std::ffi::OsString::from(".");
    temporary.push(name);
    temporary.push(format!(".{:016x}", rand::random::<u64>()));
    Ok(path.with_file_name(temporary))
}

/// Writes a file that does not exist. No link is followed to create it.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    Ok(file)
}

/// Adds text to the end of a file. `render` returns the text for a number of bytes that it may have, so that the file
/// gets no longer than `max_bytes`.
///
/// # Errors
/// The errors of the system, and an error if the path leads to something else than a regular file.
pub fn append(path: &Path, max_bytes: usize, render: impl FnOnce(usize) -> String) -> io::Result<()> {
    // A pipe is refused before it is opened, which would block.
    if std::fs::metadata(path).is_ok_and(|existing| !existing.is_file()) {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut file = OpenOptions::new().append(true).create(true).open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    // What is in the file may end without a line break.
    let separator = if length > 0 { "\n\n" } else { "" };
    let text = render(max_bytes.saturating_sub(length).saturating_sub(separator.len()));
    if text.is_empty() {
        tracing::warn!(file = %path.display(), "the summary of the step is full: nothing was added to it");
        return Ok(());
    }
    file.write_all(format!("{separator}{text}").as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("report.xml");
        replace(&path, b"first").expect("the folder is writable");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("the file is the test's");
        replace(&path, b"2nd").expect("the folder is writable");
        assert_eq!(std::fs::read(&path).expect("it was written"), b"2nd");
        let mode = std::fs::metadata(&path).expect("it was written").permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        assert_eq!(std::fs::read_dir(folder.path()).expect("it is a folder").count(), 1, "nothing else is left");
    }

    #[test]
    fn only_a_regular_file_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "kept").expect("the folder is writable");
        symlink(path("file"), path("link")).expect("the folder is writable");
        let check = |path: &Path, expected: &str| {
            let problem = check_path(path).expect_err("it is refused");
            assert!(problem.contains(expected), "{problem}");
            assert!(replace(path, b"").is_err(), "{}", path.display());
        };
        check(&path("link"), "is a symbolic link");
        check(folder.path(), "is a directory");
        check(Path::new("/dev/null"), "is no regular file");
        check(&path("missing/report"), "there is no directory");
        check(&path("file/report"), "Not a directory");
        assert_eq!(std::fs::read(path("file")).expect("it was written"), b"kept");
        for name in ["file", "new"] {
            check_path(&path(name)).expect("it can be written");
        }
        check_path(Path::new("report")).expect("there is a current directory");
    }

    #[test]
    fn an_added_text_is_within_the_bound() {
        let folder = tempfile::tempdir().expect("a folder can be made");
        let path = folder.path().join("summary.md");
        append(&path, 10, |max| "x".repeat(max.min(4))).expect("the folder is writable");
        append(&path, 10, |max| "y".repeat(max)).expect("the folder is writable");
        append(&path, 10, |max| "z".repeat(max)).expect("the folder is writable");
        assert_eq!(std::fs::read(&path).expect("it was written"), b"xxxx\n\nyyyy");
        assert!(append(Path::new("/dev/null"), 10, |_| String::new()).is_err());
    }
}
