//! The part of the tests' helpers that their guests use.

use std::path::{Path, PathBuf};

/// Returns a folder of this name for temporary files, without the contents it may have had.
pub fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench-guests").join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).expect("the folder is writable");
    folder
}
