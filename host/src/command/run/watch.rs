//! Notices that the configuration on disk has changed: the folder that it is in is watched by inotify, on a thread of
//! its own.

use std::fs::{metadata, symlink_metadata};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread::{self, sleep};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;
use sentrynet::config::SourceVersion;

/// The time without further events after which a change is complete: editors and package managers make several.
const QUIET: Duration = Duration::from_millis(250);
/// The time after which the configuration is looked at without an event: a network file system may not report any.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// Starts to watch a configuration, until the program ends. `changed` is called whenever it has another version on disk
/// than before.
///
/// # Errors
/// Returns an error if the system refuses the thread.
pub fn start(path: PathBuf, version: SourceVersion, changed: impl Fn() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name("watch".to_owned()).spawn(move || watch(&path, version, changed)).map(|_| ())
}

fn watch(path: &Path, mut version: SourceVersion, changed: impl Fn()) {
    let mut is_logged = false;
    loop {
        if let Err(error) = wait_for_event(path, &version) {
            if !std::mem::replace(&mut is_logged, true) {
                let path = path.display();
                tracing::warn!(%error, %path, "cannot watch the configuration: it is looked at every 30 s instead");
            }
            sleep(LOOK_AGAIN);
        }
        let current = SourceVersion::of(path);
        if current != version {
            version = settle(path, current);
            changed();
        }
    }
}

/// Waits until the configuration does not change any more. Returns its version then.
fn settle(path: &Path, mut version: SourceVersion) -> SourceVersion {
    loop {
        sleep(QUIET);
        let current = SourceVersion::of(path);
        if current == version {
            return current;
        }
        version = current;
    }
}

/// Waits for an event that may mean a change, 30 s at most. Returns immediately if the configuration has another
/// version.
fn wait_for_event(path: &Path, version: &SourceVersion) -> io::Result<()> {
    // Each wait has watches of its own, since folders can be replaced too.
    let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
    for folder in folders(path) {
        let events = WatchFlags::CLOSE_WRITE | WatchFlags::CREATE | WatchFlags::DELETE | WatchFlags::MOVE;
        inotify::add_watch(&inotify, &folder, events | WatchFlags::ONLYDIR)?;
    }
    if SourceVersion::of(path) != *version {
        return Ok(());
    }
    loop {
        let timeout = PollTimeout::try_from(LOOK_AGAIN).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)], timeout) {
            // A signal came.
            Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
            Ok(0) => return Ok(()),
            Ok(_) if has_change(&inotify, path)? => return Ok(()),
            Ok(_) => {}
        }
    }
}

/// Returns the folder that a configuration is in, and the configuration itself if it is a folder.
fn folders(path: &Path) -> Vec<PathBuf> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let own = metadata(path).is_ok_and(|file| file.is_dir()).then(|| path.to_owned());
    own.into_iter().chain([parent.to_owned()]).collect()
}

/// Reads all events. Returns true if one of them may mean a change.
fn has_change(inotify: &OwnedFd, path: &Path) -> io::Result<bool> {
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = Reader::new(inotify, &mut buffer);
    let mut has_change = false;
    loop {
        match reader.next() {
            Ok(event) => {
                let is_created = event.events().contains(ReadFlags::CREATE);
                let name = event.file_name().map(|name| std::ffi::OsStr::from_bytes(name.to_bytes()));
                // A file that is being written is complete when it is closed.
                has_change |= !(is_created && name.is_some_and(|name| is_being_written(path, Path::new(name))));
            }
            Err(Errno::AGAIN) => return Ok(has_change),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Returns true if a new file is an ordinary one, which is followed by an event when it is closed.
fn is_being_written(path: &Path, name: &Path) -> bool {
    folders(path).iter().filter_map(|folder| symlink_metadata(folder.join(name)).ok()).all(|file| {
        let has_other_names = file.nlink() > 1;
        file.is_file() && !has_other_names
    })
}
