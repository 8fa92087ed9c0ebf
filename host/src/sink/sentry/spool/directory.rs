//! The directories of spools: one for each DSN, and in it one for each of the processes that use the spool at the same
//! time. This module names and locks them.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcetera::BaseStrategy;

use super::segment::{LoadedFile, LoadedSegment, Segment};
use crate::private_directory::check_own_directory;

/// The directory of this process's segments, locked until this is dropped.
#[derive(Debug)]
pub struct SpoolDirectory {
    path: PathBuf,
    /// The number of the next segment.
    next_number: u64,
    /// The locked lock files of this directory, and of the directories that ended processes left, whose segments this
    /// process sends.
    locks: Vec<File>,
}

const LOCK_FILE: &str = "lock";
const SEGMENT_EXTENSION: &str = "spool";
/// The maximum number of processes that can use the same spool at once: more than anybody starts on purpose.
const MAX_PROCESSES: u32 = 100;

/// Returns the directory for spools if the configuration names none: the state directory that systemd sets for a
/// service, or `sentrynet` in the state directory of the user. Returns `None` if there is neither.
pub fn default_directory(env: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // The variable may hold a list of directories, of which any can be used.
    let systemd = env("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    let systemd = systemd.filter(|path| path.is_absolute());
    systemd.or_else(|| Some(etcetera::choose_base_strategy().ok()?.state_dir()?.join("sentrynet")))
}

impl SpoolDirectory {
    /// Locks the first process directory in `parent` that no other process has locked, and loads its segments. Also
    /// locks all other process directories that no process has locked, and loads their segments.
    ///
    /// # Errors
    ///
    /// Returns an error if [`MAX_PROCESSES`] processes use the spool already, or if a directory cannot be created,
    /// locked or read.
    pub fn open(parent: &Path) -> io::Result<(Self, Vec<LoadedSegment>)> {
        let mut unused = (1..=MAX_PROCESSES).filter_map(|number| lock(&parent.join(number.to_string())).transpose());
        let (path, lock_file) =
            unused.next().unwrap_or_else(|| Err(io::Error::other("too many processes use the same spool")))?;
        let mut this = Self { path, next_number: 1, locks: vec![lock_file] };
        let mut loaded = Self::load(&this.path)?;
        // The next number is greater than all in use, including those of files that cannot be read.
        this.next_number =
            segment_paths(&this.path)?.iter().filter_map(|path| number(path)).max().unwrap_or_default() + 1;
        for other in std::fs::read_dir(parent)?.flatten() {
            let is_numbered = other.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok());
            if is_numbered
                && other.path() != this.path
                && let Ok(Some((path, lock_file))) = lock(&other.path())
            {
                loaded.extend(Self::load(&path)?);
                this.locks.push(lock_file);
            }
        }
        Ok((this, loaded))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Creates the next segment.
    ///
    /// # Errors
    ///
    /// Returns an error if its file cannot be created or written to.
    pub fn create_segment(&mut self) -> io::Result<Arc<Segment>> {
        let segment = Segment::create(self.path.join(format!("{:010}.{SEGMENT_EXTENSION}", self.next_number)))?;
        self.next_number += 1;
        Ok(segment)
    }

    /// Loads the segments of a process directory, and deletes those without live records. Files of an unknown format
    /// stay.
    fn load(directory: &Path) -> io::Result<Vec<LoadedSegment>> {
        let mut segments = Vec::new();
        for path in segment_paths(directory)? {
            let file = path.display();
            match Segment::load(path.clone()) {
                Ok(LoadedFile::Segment(loaded)) if loaded.records.is_empty() => loaded.segment.delete(),
                Ok(LoadedFile::Segment(loaded)) => segments.push(loaded),
                // Such a file has no records. If it cannot be deleted, the next start tries again.
                Ok(LoadedFile::Incomplete) => _ = std::fs::remove_file(&path),
                Ok(LoadedFile::UnknownFormat) => {
                    tracing::warn!(%file, "a file of the spool has an unknown format: not used and not deleted");
                }
                Err(error) => {
                    tracing::warn!(%file, %error, "cannot read a file of the spool: not used and not deleted");
                }
            }
        }
        Ok(segments)
    }
}

/// Locks a process directory, and creates it if it does not exist. Returns `None` if another process has locked it, or
/// if another user could have put envelopes into it.
fn lock(directory: &Path) -> io::Result<Option<(PathBuf, File)>> {
    // Only the owner may read it: runs may contain data that other users of the machine should not see.
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    if let Err(error) = check_own_directory(directory) {
        tracing::warn!(directory = %directory.display(), %error, "a directory of the spool is not used");
        return Ok(None);
    }
    let path = directory.join(LOCK_FILE);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some((directory.to_owned(), file))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Returns the paths of the segments in a process directory, in the order of their numbers.
fn segment_paths(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<_> = std::fs::read_dir(directory)?.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| number(path).is_some());
    paths.sort();
    Ok(paths)
}

/// Returns the number of a segment, or `None` for any other file.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(SEGMENT_EXTENSION)?.strip_suffix('.')?.parse().ok()
}
