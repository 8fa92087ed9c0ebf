//! `sentrynet diff`: shows what a running program would do if one configuration replaced another.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Result;
use sentrynet::Loaded;
use sentrynet::config::{
    ChangedHostKey, Level, Monitor, Probe, ProbeChanges, changed_host_keys, changed_keys, same_probes,
};
use sentrynet::printable::StyledText;
use serde_json::{Value, json};

use super::{Format, INVALID_INPUT, code_source, parse_quietly, print_errors, read};
use crate::logging::{REDACTOR, print_diagnostics, print_error};
use crate::output::{print, print_json};

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration that runs: a YAML file, a folder of them, or `-` for standard input; relative paths in it
    /// start from the directory of NEW
    old: PathBuf,
    /// The configuration that would replace it, or `-`
    new: PathBuf,
    /// The format of the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
}

/// The exit code if something changes, as that of diff(1).
const CHANGED: u8 = 1;

pub async fn diff(Arguments { old, new, format }: &Arguments) -> Result<u8> {
    if [old, new].iter().all(|path| path.as_os_str() == "-") {
        print_error("only one of the configurations can be standard input: name a file for the other");
        return Ok(INVALID_INPUT);
    }
    let (Some(mut old), Some(new)) = (read(old), read(new)) else { return Ok(INVALID_INPUT) };
    // The old one was at the place of the new one.
    old.directory.clone_from(&new.directory);
    let environment = |name: &str| std::env::var(name).ok();
    let (parsed_old, parsed_new) = (parse_quietly(&old, &environment), parse_quietly(&new, &environment));
    REDACTOR.install(parsed_old.config.secrets.joined(&parsed_new.config.secrets));
    let loaded = print_errors(&old, sentrynet::load(parsed_old, code_source()?).await)?;
    let Some(loaded_old) = loaded else { return Ok(INVALID_INPUT) };
    let loaded = print_errors(&new, sentrynet::load(parsed_new, code_source()?).await)?;
    let Some(loaded_new) = loaded else { return Ok(INVALID_INPUT) };
    print_diagnostics(&new, Level::Warning, &loaded_new.warnings);
    let differences = Differences::new(&loaded_old, &loaded_new);
    match format {
        Format::Text => print(&differences.to_text()),
        Format::Json => print_json(&differences.to_json()),
    }
    Ok(if differences.is_empty() { 0 } else { CHANGED })
}

/// What differs between two configurations.
struct Differences<'a> {
    old: Vec<(&'a Probe, &'a str)>,
    new: Vec<(&'a Probe, &'a str)>,
    probes: ProbeChanges,
    /// What becomes of monitors, by their slugs: `added`, `removed` or `changed`.
    monitors: BTreeMap<&'a str, &'static str>,
    host: Vec<ChangedHostKey>,
}

impl<'a> Differences<'a> {
    fn new(old: &'a Loaded, new: &'a Loaded) -> Self {
        let same = same_probes(&old.config.probes.iter().collect::<Vec<_>>(), &new.config.probes);
        let monitors = changed_monitors(&old.config.sentry.monitors, &new.config.sentry.monitors);
        let host = changed_host_keys(&old.config, &new.config);
        let (old, new) = (titled_probes(old), titled_probes(new));
        let probes = ProbeChanges::new(&old, &new, &same);
        Self { old, new, probes, monitors, host }
    }

    fn is_empty(&self) -> bool {
        self.probes.is_empty() && self.monitors.is_empty() && self.host.is_empty()
    }

    fn changed_keys(&self, (old, new): (usize, usize)) -> Vec<String> {
        changed_keys(self.old[old].0, self.new[new].0)
    }

    fn to_text(&self) -> StyledText {
        let mut text = StyledText::new();
        let line = |sign, (probe, title): (&Probe, &str)| format!("{sign} {title} ({})", place(probe));
        for index in &self.probes.removed {
            text.push_line(&line('-', self.old[*index]));
        }
        for index in &self.probes.added {
            text.push_line(&line('+', self.new[*index]));
        }
        for pair in &self.probes.changed {
            text.push_line(&format!("{}: {}", line('~', self.new[pair.1]), self.changed_keys(*pair).join(", ")));
        }
        for (slug, change) in &self.monitors {
            text.push_line(&format!("monitor {slug}: {change}"));
        }
        for ChangedHostKey { key, needs_restart } in &self.host {
            let effect = if *needs_restart { "needs a restart" } else { "takes over" };
            text.push_line(&format!("{key}: {effect}"));
        }
        text.push_line(&self.probes.to_string());
        text
    }

    fn to_json(&self) -> Value {
        let probe = |(probe, title): (&Probe, &str)| json!({ "title": title, "place": place(probe) });
        let changed = self.probes.changed.iter().map(|pair| {
            let (_, title) = self.new[pair.1];
            json!({ "title": title, "place": place(self.new[pair.1].0), "keys": self.changed_keys(*pair) })
        });
        let host = self.host.iter().map(|it| json!({ "key": it.key, "needs_restart": it.needs_restart }));
        json!({
            "added": self.probes.added.iter().map(|index| probe(self.new[*index])).collect::<Vec<_>>(),
            "removed": self.probes.removed.iter().map(|index| probe(self.old[*index])).collect::<Vec<_>>(),
            "changed": changed.collect::<Vec<_>>(),
            "unchanged": self.probes.unchanged,
            "monitors": self.monitors,
            "host": host.collect::<Vec<_>>(),
        })
    }
}

/// Returns the probes of a configuration, each with its title.
fn titled_probes(loaded: &Loaded) -> Vec<(&Probe, &str)> {
    let titles = loaded.probes.iter().map(|probe| probe.identity().title.as_str());
    loaded.config.probes.iter().zip(titles).collect()
}

/// Returns the place of a probe in its configuration: `groups/0/probes/1`.
fn place(probe: &Probe) -> &str {
    probe.pointer.trim_start_matches('/')
}

/// Returns what becomes of the monitors, except for those that stay as they are. Their places and probes do not count.
fn changed_monitors<'a>(old: &'a [Monitor], new: &'a [Monitor]) -> BTreeMap<&'a str, &'static str> {
    let by_slug = |monitors: &'a [Monitor]| -> BTreeMap<&'a str, &'a Monitor> {
        monitors.iter().map(|monitor| (monitor.slug.as_str(), monitor)).collect()
    };
    let (old, new) = (by_slug(old), by_slug(new));
    let settings = |monitor: &Monitor| {
        let Monitor { every, margin, failure_issue_threshold, recovery_threshold, .. } = *monitor;
        (every, margin, failure_issue_threshold, recovery_threshold, monitor.owner.clone())
    };
    let removed = old.keys().filter(|slug| !new.contains_key(**slug)).map(|slug| (*slug, "removed"));
    let others = new.iter().filter_map(|(slug, monitor)| match old.get(slug) {
        None => Some((*slug, "added")),
        Some(before) => (settings(before) != settings(monitor)).then_some((*slug, "changed")),
    });
    removed.chain(others).collect()
}
