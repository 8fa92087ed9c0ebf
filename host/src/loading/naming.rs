//! The titles and monitors of probes, as far as they are known: a component may derive the titles of its probes, and is
//! loaded later than others.

use std::collections::HashSet;

use crate::config::{self, CheckIn, Config, Diagnostic, Monitor};
use crate::sandbox::Probe;

/// The probes of a configuration that have been loaded, and the titles of all.
pub struct Naming {
    config: Config,
    /// All keys `check_in` of the configuration.
    check_ins: Vec<CheckIn>,
    entries: Vec<Entry>,
}

struct Entry {
    /// The title that the component has derived or, before it is loaded, the configured title or the component's name.
    proposed_title: String,
    /// The probe with the title that it has. `None` before it is loaded.
    probe: Option<Probe>,
}

/// The titles and monitors of all probes that have been loaded.
pub struct Named {
    /// The indices of the probes that got another title than they had.
    pub renamed: Vec<usize>,
    /// The monitors, or the errors in the configuration that prevent them.
    pub monitors: Result<Vec<Monitor>, Vec<Diagnostic>>,
    /// Warnings about titles.
    pub warnings: Vec<Diagnostic>,
}

impl Naming {
    /// Creates a value without loaded probes. `placeholder` returns a probe's title until the probe is loaded.
    pub fn new(config: &Config, placeholder: impl Fn(&config::Probe) -> String) -> Self {
        let entry = |probe| Entry { proposed_title: placeholder(probe), probe: None };
        let entries = config.probes.iter().map(entry).collect();
        Self { config: config.clone(), check_ins: config.check_ins.clone(), entries }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Adds a probe that has been loaded, with the title that its component has derived.
    pub fn add(&mut self, index: usize, probe: Probe) {
        let proposed_title = probe.identity().title.clone();
        self.entries[index] = Entry { proposed_title, probe: Some(probe) };
    }

    /// Returns the loaded probe with this index.
    pub fn probe(&self, index: usize) -> Option<&Probe> {
        self.entries[index].probe.as_ref()
    }

    /// Returns the loaded probes, each with its index.
    pub fn probes(&self) -> impl Iterator<Item = (usize, Probe)> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| Some((index, entry.probe.clone()?)))
    }

    /// Gives each loaded probe a title that cannot be confused with that of a probe with another component, and makes
    /// the monitors.
    pub fn name(&mut self) -> Named {
        self.config.check_ins = self.known_check_ins();
        let mut titles: Vec<_> = self.entries.iter().map(|entry| entry.proposed_title.clone()).collect();
        let mut warnings = Vec::new();
        for renamed in config::distinct_titles(&self.config, &borrow(&titles)) {
            if self.entries[renamed.index].probe.is_some() {
                titles[renamed.index] = renamed.title;
                warnings.push(renamed.warning);
            }
        }
        let mut renamed = Vec::new();
        for (index, (Entry { probe, .. }, title)) in self.entries.iter_mut().zip(&titles).enumerate() {
            if let Some(probe) = probe
                && probe.identity().title != *title
            {
                *probe = probe.with_title(title.clone());
                renamed.push(index);
            }
        }
        let known = self.config.probes.iter().zip(&self.entries).zip(&titles);
        let known = known.filter(|((probe, entry), _)| probe.title.is_some() || entry.probe.is_some());
        warnings.extend(config::check_titles(known.map(|((probe, _), title)| (probe, title.as_str()))));
        let monitors = config::monitors(&self.config, &borrow(&titles));
        Named { renamed, monitors, warnings }
    }

    /// Returns the keys `check_in`, except those whose monitor is named after a probe whose title is not known yet.
    fn known_check_ins(&self) -> Vec<CheckIn> {
        let probes = self.config.probes.iter().zip(&self.entries);
        let unknown = probes.filter(|(probe, entry)| probe.title.is_none() && entry.probe.is_none());
        let unknown: HashSet<_> = unknown.map(|(probe, _)| probe.pointer.as_str()).collect();
        let is_known = |check_in: &&CheckIn| check_in.named_by().is_none_or(|pointer| !unknown.contains(pointer));
        self.check_ins.iter().filter(is_known).cloned().collect()
    }
}

fn borrow(titles: &[String]) -> Vec<&str> {
    titles.iter().map(String::as_str).collect()
}
