//! Imports configurations of Gatus: endpoints of HTTP and SSH with their conditions, and suites.

mod client;
mod condition;
mod endpoint;
mod pattern;
mod shared;
mod ssh;
mod suite;

use super::entry::{Entry, File};
use super::input::{Input, InputError};
use super::model::{Configuration, Group, Probe};
use super::report::Report;
use super::text::Text;
use crate::config::ForeignYaml;
use shared::{Thresholds, reserve_variables};

/// The keys at the top that have no equivalent. Other keys hold anchors.
const WITHOUT_EQUIVALENT: [&str; 13] = [
    "announcements",
    "connectivity",
    "debug",
    "disable-monitoring-lock",
    "maintenance",
    "metrics",
    "remote",
    "security",
    "skip-invalid-config-update",
    "storage",
    "tunneling",
    "ui",
    "web",
];

/// Returns a probe for each endpoint and each suite, in groups as Gatus has them.
///
/// # Errors
/// Returns an error for a file that is no YAML.
pub fn import(inputs: &[Input], report: &mut Report) -> Result<Configuration, InputError> {
    let mut parsed = Vec::new();
    for input in inputs {
        let yaml = ForeignYaml::parse(&input.text).map_err(|(line, message)| input.invalid(line, message))?;
        parsed.push(yaml);
        reserve_variables(&input.text, report);
    }
    let files: Vec<_> = inputs.iter().zip(&parsed).map(|(input, yaml)| File::new(&input.name, yaml, report)).collect();
    let roots: Vec<_> = files.iter().map(File::root).collect();
    let thresholds = Thresholds::new(&roots);
    let mut configuration = Configuration::default();
    let mut groups: Vec<(String, Group)> = Vec::new();
    for root in &roots {
        import_file(root, &thresholds, &mut configuration, &mut groups, report);
    }
    name_apart(&mut groups);
    configuration.groups = groups.into_iter().map(|(_, group)| group).collect();
    Ok(configuration)
}

fn import_file(
    root: &Entry,
    thresholds: &Thresholds,
    configuration: &mut Configuration,
    groups: &mut Vec<(String, Group)>,
    report: &mut Report,
) {
    for (key, value) in root.members() {
        match key {
            "endpoints" | "services" => {
                for item in value.items() {
                    let probe = endpoint::probe(&item, thresholds, report);
                    add(groups, &item, probe);
                }
            }
            "suites" => {
                for item in value.items() {
                    let probe = suite::probe(&item, report);
                    add(groups, &item, probe);
                }
            }
            "external-endpoints" => {
                for item in value.items() {
                    report.left_out(&item.place(), "an external endpoint, which tells its state itself");
                }
            }
            "alerting" => {
                for (provider, value) in value.members() {
                    let message =
                        format!("alerts by {}: Sentry's alerts take their place", super::entry::shown(provider));
                    report.left_out(&value.place(), message);
                }
            }
            "concurrency" => {
                configuration.in_flight = value.value.as_u64().filter(|count| (1..=10_000).contains(count));
            }
            key if WITHOUT_EQUIVALENT.contains(&key) => value.no_equivalent(key, report),
            _ => {}
        }
    }
    report.take_comments();
}

/// Adds a probe to the group that its endpoint or suite names.
fn add(groups: &mut Vec<(String, Group)>, item: &Entry, probe: Option<Probe>) {
    let Some(probe) = probe else { return };
    let name = item.get("group").and_then(|group| group.text()).unwrap_or_default();
    if let Some((_, group)) = groups.iter_mut().find(|(known, _)| *known == name) {
        return group.probes.push(probe);
    }
    let tag = shared::tag("group", &name);
    groups.push((name, Group { tags: tag.into_iter().collect(), probes: vec![probe], ..Group::default() }));
}

/// Adds the group to titles that several probes have.
fn name_apart(groups: &mut [(String, Group)]) {
    let mut counts = std::collections::HashMap::new();
    for title in groups.iter().flat_map(|(_, group)| &group.probes).filter_map(|probe| probe.title.as_ref()) {
        *counts.entry(title.skeleton()).or_insert(0_usize) += 1;
    }
    for (name, group) in groups.iter_mut().filter(|(name, _)| !name.is_empty()) {
        for title in group.probes.iter_mut().filter_map(|probe| probe.title.as_mut()) {
            if counts.get(&title.skeleton()).is_some_and(|count| *count > 1) {
                let mut full = Text::literal(format!("{name}/"));
                full.append(title.clone());
                *title = full;
            }
        }
    }
}
