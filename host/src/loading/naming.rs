//! The titles and monitors of probes, as far as they are known: a component may derive the titles of its probes, and is
//! loaded later than others.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::config::{self, CheckIn, Config, Diagnostic, Monitor};
use crate::sandbox::Probe;

/// The probes of a configuration that have been loaded, and the titles of all. Cheap to clone.
#[derive(Clone)]
pub struct Naming {
    config: Arc<Config>,
    entries: Vec<Entry>,
    /// The indices of the probes by their numbers.
    indices: Arc<HashMap<usize, usize>>,
}

#[derive(Clone)]
struct Entry {
    /// The title that the component has derived or, before it is loaded, the configured title or the component's name.
    proposed_title: Arc<str>,
    /// The probe with the title that it has. `None` before it is loaded.
    probe: Option<Probe>,
}

impl Entry {
    fn title(&self) -> &str {
        self.probe.as_ref().map_or(&self.proposed_title, |probe| &probe.identity().title)
    }
}

/// The titles and monitors of all probes that have been loaded.
pub struct Named {
    /// The numbers of the probes that got another title than they had.
    pub renamed: Vec<usize>,
    /// The monitors, or the errors in the configuration that prevent them.
    pub monitors: Result<Vec<Monitor>, Vec<Diagnostic>>,
    /// Warnings about titles.
    pub warnings: Vec<Diagnostic>,
}

impl Naming {
    /// Creates a value without loaded probes. `placeholder` returns a probe's title until the probe is loaded.
    pub fn new(config: Arc<Config>, placeholder: impl Fn(&config::Probe) -> String) -> Self {
        let entry = |probe: &config::Probe| Entry { proposed_title: placeholder(probe).into(), probe: None };
        let entries = config.probes.iter().map(entry).collect();
        let indices = config.probes.iter().enumerate().map(|(index, probe)| (probe.number, index)).collect();
        Self { config, entries, indices: Arc::new(indices) }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Returns a probe's index in the configuration, by its number.
    pub fn index(&self, number: usize) -> Option<usize> {
        self.indices.get(&number).copied()
    }

    /// Adds a probe that has been loaded, with the title that its component has derived. If the probe was loaded
    /// before, it keeps its title and its state. Returns false if it is not configured, and does nothing then.
    pub fn add(&mut self, probe: &Probe) -> bool {
        let Some(index) = self.index(probe.identity().number) else { return false };
        let entry = &mut self.entries[index];
        let probe = entry.probe.as_ref().map_or_else(|| probe.clone(), |earlier| probe.replacing(earlier));
        *entry = Entry { proposed_title: probe.identity().title.as_str().into(), probe: Some(probe) };
        true
    }

    /// Takes over a probe as `other` has it. Returns false if one of them does not have it, and does nothing then.
    pub fn copy(&mut self, number: usize, other: &Self) -> bool {
        let (Some(own), Some(index)) = (self.index(number), other.index(number)) else { return false };
        self.entries[own] = other.entries[index].clone();
        true
    }

    /// Returns the loaded probe with this number.
    pub fn probe(&self, number: usize) -> Option<&Probe> {
        self.entries[self.index(number)?].probe.as_ref()
    }

    /// Returns the loaded probes, in the order of the configuration.
    pub fn probes(&self) -> impl Iterator<Item = &Probe> {
        self.entries.iter().filter_map(|entry| entry.probe.as_ref())
    }

    /// Returns the titles of all probes, in the order of the configuration.
    pub fn titles(&self) -> Vec<&str> {
        self.entries.iter().map(Entry::title).collect()
    }

    /// Gives each loaded probe a title that cannot be confused with that of a probe with another component, and makes
    /// the monitors.
    pub fn name(&mut self) -> Named {
        let check_ins = self.known_check_ins();
        let mut titles: Vec<_> = self.entries.iter().map(|entry| entry.proposed_title.to_string()).collect();
        let mut warnings = Vec::new();
        for renamed in config::distinct_titles(&self.config, &check_ins, &borrow(&titles)) {
            if self.entries[renamed.index].probe.is_some() {
                titles[renamed.index] = renamed.title;
                warnings.push(renamed.warning);
            }
        }
        let mut renamed = Vec::new();
        for (Entry { probe, .. }, title) in self.entries.iter_mut().zip(&titles) {
            if let Some(probe) = probe
                && probe.identity().title != *title
            {
                *probe = probe.with_title(title.clone());
                renamed.push(probe.identity().number);
            }
        }
        let known = self.config.probes.iter().zip(&self.entries).zip(&titles);
        let known = known.filter(|((probe, entry), _)| probe.title.is_some() || entry.probe.is_some());
        warnings.extend(config::check_titles(known.map(|((probe, _), title)| (probe, title.as_str()))));
        let monitors = config::monitors(&self.config, &check_ins, &borrow(&titles));
        Named { renamed, monitors, warnings }
    }

    /// Returns the keys `check_in`, except those whose monitor is named after a probe whose title is not known yet.
    fn known_check_ins(&self) -> Vec<CheckIn> {
        let probes = self.config.probes.iter().zip(&self.entries);
        let unknown = probes.filter(|(probe, entry)| probe.title.is_none() && entry.probe.is_none());
        let unknown: HashSet<_> = unknown.map(|(probe, _)| probe.pointer.as_str()).collect();
        let is_known = |check_in: &&CheckIn| check_in.named_by().is_none_or(|pointer| !unknown.contains(pointer));
        self.config.check_ins.iter().filter(is_known).cloned().collect()
    }
}

fn borrow(titles: &[String]) -> Vec<&str> {
    titles.iter().map(String::as_str).collect()
}
