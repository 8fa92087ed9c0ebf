//! The configured probes with their latest settings, which change when a file changes that they use.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::config;

/// The configured probes by their indices. Clones share them.
#[derive(Clone)]
pub struct ConfiguredProbes(Arc<Mutex<Vec<Entry>>>);

struct Entry {
    configured: Arc<config::Probe>,
    is_loaded: bool,
}

impl ConfiguredProbes {
    /// Returns the probes of a configuration. `is_loaded` returns true for the index of a probe that has been loaded.
    pub fn new(probes: &[config::Probe], is_loaded: impl Fn(usize) -> bool) -> Self {
        let probes = probes.iter().enumerate();
        let entry = |(index, probe): (_, &config::Probe)| Entry {
            configured: Arc::new(probe.clone()),
            is_loaded: is_loaded(index),
        };
        Self(Arc::new(Mutex::new(probes.map(entry).collect())))
    }

    /// Returns a probe with its latest settings.
    pub fn get(&self, index: usize) -> Arc<config::Probe> {
        Arc::clone(&self.0.lock()[index].configured)
    }

    /// Marks a probe as loaded with the settings of `configured`. Returns false if it has other settings by now, and
    /// does nothing then.
    pub fn mark_loaded(&self, index: usize, configured: &Arc<config::Probe>) -> bool {
        let entry = &mut self.0.lock()[index];
        let is_latest = Arc::ptr_eq(&entry.configured, configured);
        entry.is_loaded |= is_latest;
        is_latest
    }

    /// Replaces a probe that has not been loaded. Returns true if it has been loaded, and does nothing then.
    pub fn replace_unless_loaded(&self, index: usize, configured: &Arc<config::Probe>) -> bool {
        let entry = &mut self.0.lock()[index];
        if !entry.is_loaded {
            entry.configured = Arc::clone(configured);
        }
        entry.is_loaded
    }

    /// Replaces a probe that has been loaded again.
    pub fn replace(&self, index: usize, configured: Arc<config::Probe>) {
        self.0.lock()[index].configured = configured;
    }
}
