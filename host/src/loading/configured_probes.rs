//! The configured probes with their latest settings, which change when a file changes that they use.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::{self, Config};

/// The configured probes by their numbers. Clones share them.
#[derive(Clone)]
pub struct ConfiguredProbes(Arc<Mutex<Probes>>);

struct Probes {
    config: Arc<Config>,
    entries: HashMap<usize, Entry>,
}

struct Entry {
    /// The index in the configuration.
    index: usize,
    /// The probe, if it may be replaced or was. Other probes are not stored twice.
    latest: Option<Arc<config::Probe>>,
    is_loaded: bool,
}

impl ConfiguredProbes {
    /// Returns the probes of a configuration. `is_loaded` returns true for the number of a probe that has been loaded.
    pub fn new(config: &Arc<Config>, is_loaded: impl Fn(usize) -> bool) -> Self {
        let entry = |(index, probe): (usize, &config::Probe)| {
            (probe.number, Entry { index, latest: None, is_loaded: is_loaded(probe.number) })
        };
        let entries = config.probes.iter().enumerate().map(entry).collect();
        Self(Arc::new(Mutex::new(Probes { config: Arc::clone(config), entries })))
    }

    /// Returns a probe with its latest settings. `None` if it is no longer configured.
    pub fn get(&self, number: usize) -> Option<Arc<config::Probe>> {
        self.0.lock().latest(number)
    }

    /// Returns all probes with their latest settings, in the order of their numbers.
    pub fn all(&self) -> Vec<Arc<config::Probe>> {
        let mut numbers: Vec<_> = self.0.lock().entries.keys().copied().collect();
        numbers.sort_unstable();
        numbers.into_iter().filter_map(|number| self.get(number)).collect()
    }

    /// Marks a probe as loaded with the settings of `configured`. Returns false if it has other settings by now, or is
    /// no longer configured, and does nothing then.
    pub fn mark_loaded(&self, configured: &Arc<config::Probe>) -> bool {
        let mut probes = self.0.lock();
        let entry = probes.entries.get_mut(&configured.number);
        let is_latest = |entry: &&mut Entry| entry.latest.as_ref().is_some_and(|it| Arc::ptr_eq(it, configured));
        let Some(entry) = entry.filter(is_latest) else { return false };
        entry.is_loaded = true;
        true
    }

    /// Marks a probe as loaded, whatever its settings are.
    pub fn set_loaded(&self, number: usize) {
        if let Some(entry) = self.0.lock().entries.get_mut(&number) {
            entry.is_loaded = true;
        }
    }

    /// Replaces a probe that has not been loaded. Returns true if it has been loaded, and does nothing then.
    pub fn replace_unless_loaded(&self, configured: &Arc<config::Probe>) -> bool {
        let mut probes = self.0.lock();
        let Some(entry) = probes.entries.get_mut(&configured.number) else { return false };
        if !entry.is_loaded {
            entry.latest = Some(Arc::clone(configured));
        }
        entry.is_loaded
    }

    /// Replaces a probe that has been loaded again.
    pub fn replace(&self, configured: Arc<config::Probe>) {
        if let Some(entry) = self.0.lock().entries.get_mut(&configured.number) {
            entry.latest = Some(configured);
        }
    }

    /// Exchanges all probes with `other`, which no clone shares.
    pub fn exchange(&self, other: &Self) {
        std::mem::swap(&mut *self.0.lock(), &mut *other.0.lock());
    }
}

impl Probes {
    fn latest(&mut self, number: usize) -> Option<Arc<config::Probe>> {
        let entry = self.entries.get_mut(&number)?;
        if let Some(latest) = &entry.latest {
            return Some(Arc::clone(latest));
        }
        let probe = Arc::new(self.config.probes[entry.index].clone());
        if !entry.is_loaded {
            entry.latest = Some(Arc::clone(&probe));
        }
        Some(probe)
    }
}
