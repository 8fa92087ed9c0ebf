//! Where a spool is on disk: a folder for each place that runs are sent to, and in it one for each process that sends
//! there at the same time. Knows names and locks.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use etcetera::BaseStrategy;

use super::segment::{Loaded, Segment};

/// A process's own part of a spool, locked for as long as this lives.
#[derive(Debug)]
pub struct SpoolDirectory {
    path: PathBuf,
    /// The number of the next file.
    next: u64,
    /// Its own, and those of parts that nobody has any more, which are emptied from here.
    locks: Vec<File>,
}

const LOCK: &str = "lock";
const SUFFIX: &str = "spool";
/// Processes at once. More than anybody starts on purpose.
const MOST_PARTS: u32 = 100;

/// Where spools are unless the configuration says otherwise: the state directory that systemd gives a service, or the
/// user's. None where there is neither.
pub fn default_folder(environment: &dyn Fn(&str) -> Option<String>) -> Option<PathBuf> {
    // It may be a list; each of its directories is as good.
    let given = environment("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    let given = given.filter(|path| path.is_absolute());
    given.or_else(|| Some(etcetera::choose_base_strategy().ok()?.state_dir()?.join("sentrynet")))
}

impl SpoolDirectory {
    /// Takes the first part of `folder` that no other process has, and with it what is in all parts that nobody has.
    pub fn open(folder: &Path) -> io::Result<(Self, Vec<Loaded>)> {
        let mut parts = (1..=MOST_PARTS).filter_map(|part| lock(&folder.join(part.to_string())).transpose());
        let (path, lock) = parts.next().unwrap_or_else(|| Err(io::Error::other("too many processes use it")))?;
        let mut this = Self { path, next: 1, locks: vec![lock] };
        let mut loaded = Self::load(&this.path)?;
        // Behind all that there are, whether they can be read or not.
        this.next = files(&this.path)?.iter().filter_map(|path| number(path)).max().unwrap_or_default() + 1;
        for other in std::fs::read_dir(folder)?.flatten() {
            let is_part = other.file_name().to_str().is_some_and(|name| name.parse::<u32>().is_ok());
            if is_part
                && other.path() != this.path
                && let Ok(Some((path, lock))) = self::lock(&other.path())
            {
                loaded.extend(Self::load(&path)?);
                this.locks.push(lock);
            }
        }
        Ok((this, loaded))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A new file.
    pub fn segment(&mut self) -> io::Result<Arc<Segment>> {
        let segment = Segment::create(self.path.join(format!("{:010}.{SUFFIX}", self.next)))?;
        self.next += 1;
        Ok(segment)
    }

    /// What was left in a part.
    fn load(part: &Path) -> io::Result<Vec<Loaded>> {
        let mut found = Vec::new();
        for path in files(part)? {
            match Segment::load(path.clone()) {
                Ok(Some(loaded)) if loaded.kept.is_empty() => loaded.segment.remove(),
                Ok(Some(loaded)) => found.push(loaded),
                Ok(None) => tracing::warn!("{}: not a spool that this version reads: left alone", path.display()),
                Err(error) => tracing::warn!("{}: cannot be read ({error}): left alone", path.display()),
            }
        }
        Ok(found)
    }
}

/// Makes a part if need be, and locks it. None if another process has it.
fn lock(part: &Path) -> io::Result<Option<(PathBuf, File)>> {
    // Runs may say more than everybody on this machine should know.
    DirBuilder::new().recursive(true).mode(0o700).create(part)?;
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(part.join(LOCK))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some((part.to_owned(), lock))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A part's files, in their order.
fn files(part: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths: Vec<_> = std::fs::read_dir(part)?.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| number(path).is_some());
    paths.sort();
    Ok(paths)
}

/// The number of a spool's file; none of any other file.
fn number(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(SUFFIX)?.strip_suffix('.')?.parse().ok()
}
