//! Finds keys under `defaults` of a group that no component of the group has.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{self, Config, Diagnostic};
use crate::sandbox::{Sandbox, named_keys};

/// The settings of one group, and the components that may have them.
#[derive(Default)]
struct Group<'a> {
    keys: BTreeSet<&'a str>,
    probes: Vec<&'a config::Probe>,
}

/// Returns an error for each key under `defaults` of a group that none of its components has. Groups with a component
/// that cannot be described, or for which `is_loaded` returns false, get none, since this component may have the key.
pub async fn unknown_keys(
    sandbox: &Sandbox,
    config: &Config,
    is_loaded: impl Fn(&config::Probe) -> bool,
) -> Vec<Diagnostic> {
    let mut groups: BTreeMap<&str, Group> = BTreeMap::new();
    for probe in config.probes.iter().filter(|probe| !probe.group_settings.pointer.is_empty()) {
        let group = groups.entry(&probe.group_settings.pointer).or_default();
        group.keys.extend(probe.group_settings.keys.iter().map(String::as_str));
        // Probes of one component differ in nothing that counts here.
        if group.probes.iter().all(|other| other.module != probe.module) {
            group.probes.push(probe);
        }
    }
    let mut errors = Vec::new();
    for (pointer, Group { keys, probes }) in groups.iter().filter(|(_, group)| !group.keys.is_empty()) {
        let mut descriptions = Vec::new();
        for probe in probes.iter().filter(|probe| is_loaded(probe)) {
            descriptions.extend(sandbox.describe(probe).await.ok());
        }
        let named: Vec<_> = descriptions.iter().map(|description| named_keys(&description.schema)).collect();
        if descriptions.len() < probes.len() || named.iter().any(Option::is_none) {
            continue;
        }
        let named: BTreeSet<&str> = named.into_iter().flatten().flatten().collect();
        let unknown = keys.iter().filter(|key| !named.contains(**key));
        errors.extend(unknown.map(|key| config::unknown_group_key(pointer, key, named.iter().copied())));
    }
    errors
}
