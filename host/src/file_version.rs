//! Versions of files, by which a change since a file was read is noticed.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A version of a file: its identity, its size, and the times of its last changes. Symbolic links are followed, so that
/// a link that points to another file, as Kubernetes replaces secrets, is another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileVersion(Option<[i128; 5]>);

impl FileVersion {
    /// Returns the version of the file at a path. All files that cannot be looked at have the same.
    pub fn of(path: &Path) -> Self {
        const NANOSECONDS: i128 = 1_000_000_000;
        Self(std::fs::metadata(path).ok().map(|file| {
            [
                file.dev().into(),
                file.ino().into(),
                file.size().into(),
                i128::from(file.mtime()) * NANOSECONDS + i128::from(file.mtime_nsec()),
                i128::from(file.ctime()) * NANOSECONDS + i128::from(file.ctime_nsec()),
            ]
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_replaced_file_or_link_is_another_version() {
        let folder = tempfile::tempdir().expect("a temporary directory can be created");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("one"), "same").expect("the folder is writable");
        std::fs::write(path("other"), "same").expect("the folder is writable");
        symlink("one", path("link")).expect("the folder is writable");
        let first = FileVersion::of(&path("link"));
        assert_eq!(first, FileVersion::of(&path("link")));
        symlink("other", path("new")).expect("the folder is writable");
        std::fs::rename(path("new"), path("link")).expect("the folder is writable");
        let second = FileVersion::of(&path("link"));
        assert_ne!(first, second);
        std::fs::write(path("other"), "longer").expect("the folder is writable");
        assert_ne!(second, FileVersion::of(&path("link")));
        std::fs::remove_file(path("other")).expect("the folder is writable");
        assert_eq!(FileVersion::of(&path("link")), FileVersion(None));
    }
}
