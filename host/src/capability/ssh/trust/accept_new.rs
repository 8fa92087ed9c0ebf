//! New hosts whose keys are accepted: written to a file, or remembered where that cannot be.

use std::collections::HashMap;
use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use parking_lot::{Mutex, MutexGuard};
use russh::keys::PublicKey;

use crate::capability::ssh::error;
use crate::capability::ssh::trust::lookup::{KeyMatch, KnownHost, lossy};

/// New hosts whose keys could not be written down, for as long as the program runs. Also has those who write wait for
/// each other.
#[derive(Debug, Default)]
pub struct AcceptedHosts(Mutex<HashMap<(PathBuf, String), Vec<PublicKey>>>);

type Remembered<'a> = MutexGuard<'a, HashMap<(PathBuf, String), Vec<PublicKey>>>;

impl AcceptedHosts {
    /// Makes a host known that was not when its files were read; another run may have been faster.
    ///
    /// # Errors
    /// That it has become known by another key meanwhile.
    pub fn accept(&self, known: &KnownHost, key: &PublicKey, file: &Path) -> Result<(), String> {
        let mut remembered = self.lock();
        let mut now = known.empty_for_same_host();
        now.remember(file, about(&remembered, file, known));
        let written = append(file, |text| {
            now.add(file, text);
            matches!(now.look_up(key), KeyMatch::Unknown).then(|| known.line(key))
        });
        match now.look_up(key) {
            KeyMatch::Known => Ok(()),
            KeyMatch::Wrong(why) => Err(why),
            KeyMatch::Unknown => {
                if let Err(error) = written {
                    let why = error::io(&error);
                    tracing::warn!(
                        "the new host key of {} is remembered until the program ends, no longer: {}: {why}",
                        now.name(),
                        file.display()
                    );
                    remembered.entry((file.to_owned(), now.name())).or_default().push(key.clone());
                }
                Ok(())
            }
        }
    }

    /// Adds to what files say of a host.
    pub fn merge_into(&self, known: &mut KnownHost, file: &Path) {
        known.remember(file, about(&self.lock(), file, &known.clone()));
    }

    fn lock(&self) -> Remembered<'_> {
        self.0.lock()
    }
}

fn about<'a>(remembered: &'a Remembered<'_>, file: &Path, known: &KnownHost) -> impl Iterator<Item = &'a PublicKey> {
    remembered.get(&(file.to_owned(), known.name())).into_iter().flatten()
}

/// Appends the line that `line` gives, if any, on seeing what the file holds. Other programs wait meanwhile.
fn append(file: &Path, line: impl FnOnce(&str) -> Option<String>) -> io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(file)?;
    // Some file systems have no locks; the line is short enough to be written at once.
    let _ = file.lock();
    let text = lossy(&mut file)?;
    let Some(line) = line(&text) else { return Ok(()) };
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    file.write_all(format!("{gap}{line}\n").as_bytes())
}
