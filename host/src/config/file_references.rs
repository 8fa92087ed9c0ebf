//! The files that a configuration's references name, and what it takes to read them again.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::source::Source;
use crate::file_version::FileVersion;

/// Variables of the environment by their names. `None` for those that are not set.
type Variables = BTreeMap<String, Option<SecretString>>;

/// The files that `${file:PATH}` names in a configuration. The configuration can be parsed again from the same text and
/// with the same environment, but with what the files have by then.
#[derive(Clone)]
pub struct FileReferences {
    source: Source,
    environment: Variables,
    /// Each file, with its version before it was read.
    versions: BTreeMap<PathBuf, FileVersion>,
}

impl FileReferences {
    /// Returns the references of a configuration; `None` if there are none.
    pub(super) fn new(
        source: &Source,
        environment: Variables,
        versions: BTreeMap<PathBuf, FileVersion>,
    ) -> Option<Self> {
        (!versions.is_empty()).then(|| Self { source: source.clone(), environment, versions })
    }

    /// Returns the files that have changed since they were read. Looks at each file once.
    pub fn changed(&self) -> Vec<PathBuf> {
        let changed = self.versions.iter().filter(|(path, version)| FileVersion::of(path) != **version);
        changed.map(|(path, _)| path.clone()).collect()
    }

    /// Returns the text of the configuration.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Returns the value that a variable of the environment had when the configuration was parsed.
    pub fn variable(&self, name: &str) -> Option<String> {
        Some(self.environment.get(name)?.as_ref()?.expose_secret().to_owned())
    }
}

/// Returns a lookup of environment variables that remembers each result in `looked_up`.
pub fn remember<'a>(
    environment: &'a dyn Fn(&str) -> Option<String>,
    looked_up: &'a RefCell<Variables>,
) -> impl Fn(&str) -> Option<String> + 'a {
    move |name| {
        let value = environment(name);
        looked_up.borrow_mut().insert(name.to_owned(), value.as_deref().map(SecretString::from));
        value
    }
}
