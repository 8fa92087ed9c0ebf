//! Loads probes again when a file has changed that their settings use by `${file:PATH}`.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{Mutex, mpsc};
use tokio::task::{JoinSet, spawn_blocking};

use super::attempt::Attempt;
use super::configured_probes::ConfiguredProbes;
use super::diagnostics::diagnostics;
use super::load_probe::load_probe;
use crate::config::{self, Config, Diagnostic, FileReferences, ParsedConfig};
use crate::redaction::Secrets;
use crate::sandbox::Sandbox;

/// Looks at the files every few seconds, and loads probes again.
pub struct Reloader {
    pub sandbox: Arc<Sandbox>,
    pub directory: Arc<Path>,
    pub configured: ConfiguredProbes,
    pub values: Arc<Mutex<ReferencedValues>>,
    /// Gets the probes that are loaded again.
    pub sender: mpsc::UnboundedSender<Attempt>,
}

/// The values that references stand for. Whoever loads probes with other values, or another configuration, holds the
/// lock meanwhile.
pub struct ReferencedValues {
    /// The files that references name. `None` if there are none.
    pub references: Option<Arc<FileReferences>>,
    /// The DSN of the configuration, which is used from the next start of the program on.
    pub dsn: Option<String>,
    /// The secrets.
    pub secrets: RetainedSecrets,
}

/// The time from one look at the files to the next.
const INTERVAL: Duration = Duration::from_secs(5);

impl ReferencedValues {
    /// Returns the values of a configuration.
    pub fn new(config: &Config, references: Option<FileReferences>) -> Self {
        let secrets = RetainedSecrets::new(config.secrets.clone());
        Self { references: references.map(Arc::new), dsn: dsn(config), secrets }
    }

    /// Parses the configuration again if a file has changed. Returns the number of changed files, and the
    /// configuration with their new values.
    pub fn parse_if_changed(&self) -> Option<(usize, ParsedConfig)> {
        parse_if_changed(self.references.as_ref()?)
    }
}

impl Reloader {
    /// Runs until it is dropped.
    pub async fn run(mut self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let values = Arc::clone(&self.values);
            let mut values = values.lock().await;
            let Some(references) = values.references.clone() else { continue };
            // Files and a large configuration must not delay the threads of runs.
            let read = spawn_blocking(move || {
                let (files, parsed) = parse_if_changed(&references)?;
                // A file that changes while it is read is read again later.
                let is_settled = parsed.references.as_ref().is_some_and(|references| references.changed().is_empty());
                is_settled.then_some((files, parsed))
            });
            // A panic is in the log.
            if let Ok(Some((files, parsed))) = read.await {
                self.reload(files, parsed, &mut values).await;
            }
        }
    }

    /// Loads the probes again whose settings have changed. A probe keeps its settings if the new ones have errors.
    async fn reload(&mut self, files: usize, mut parsed: ParsedConfig, values: &mut ReferencedValues) {
        if let Some(references) = parsed.references.take() {
            values.references = Some(Arc::new(references));
        }
        for error in &parsed.errors {
            tracing::warn!(cause = %error.message, "a changed file cannot be used, and its last value stays in use");
        }
        if parsed.errors.is_empty() && dsn(&parsed.config) != values.dsn {
            values.dsn = dsn(&parsed.config);
            tracing::warn!(
                setting = "sentry.dsn",
                "the file with the DSN has changed: the new value is used after the next start of this program"
            );
        }
        // The new values are known before they are used, and before the messages of checks.
        values.secrets.set_latest(parsed.config.secrets.values(), Instant::now());
        let by_pointer: HashMap<_, _> = parsed.config.probes.iter().map(|probe| (&*probe.pointer, probe)).collect();
        let mut loading = JoinSet::new();
        for old in self.configured.all() {
            let new = by_pointer.get(&*old.pointer).filter(|new| has_changed(&old, new, &parsed.errors));
            let Some(config::Probe { settings, interpolations, .. }) = new.map(|new| (*new).clone()) else { continue };
            let new = Arc::new(config::Probe { settings, interpolations, ..config::Probe::clone(&old) });
            // A probe that cannot be loaded is tried again soon, with the new settings.
            if !self.configured.replace_unless_loaded(&new) {
                continue;
            }
            let load = load_probe(Arc::clone(&self.sandbox), Arc::clone(&self.directory), Arc::clone(&new));
            loading.spawn(async move { (new, load.await) });
        }
        let (mut loaded_count, mut has_failed) = (0, !parsed.errors.is_empty());
        while let Some(ended) = loading.join_next().await {
            let Ok((new, loaded)) = ended else { continue };
            match loaded {
                Ok((probe, warnings)) => {
                    let warnings = diagnostics(&new, &warnings).collect();
                    self.configured.replace(new);
                    loaded_count += 1;
                    // Sending fails only if the receiver is dropped, which also ends this task.
                    _ = self.sender.send(Attempt::Ready { probe, warnings });
                }
                Err(problems) => {
                    has_failed = true;
                    let cause = problems.first().map(|problem| problem.message.as_str()).unwrap_or_default();
                    let title = &self.sandbox.identity(&new).title;
                    tracing::warn!(
                        probe = %title, %cause,
                        "`{title}` cannot use a file that has changed, and its last value stays in use: {cause}"
                    );
                }
            }
        }
        if !has_failed {
            values.secrets.drop_old(Instant::now());
        }
        tracing::info!(
            files,
            probes = loaded_count,
            "changed files read again: {files}, probes that use new values: {loaded_count}"
        );
    }
}

fn parse_if_changed(references: &FileReferences) -> Option<(usize, ParsedConfig)> {
    let changed = references.changed().len();
    let parse = || config::parse(references.source(), &|name| references.variable(name));
    (changed > 0).then(|| (changed, parse()))
}

/// Returns true if the settings of a probe have changed, and are not among those with errors.
fn has_changed(old: &config::Probe, new: &config::Probe, errors: &[Diagnostic]) -> bool {
    let is_changed = new.settings != old.settings || new.interpolations != old.interpolations;
    let shared = [&new.group_settings, &new.module_settings].into_iter().filter(|shared| !shared.keys.is_empty());
    let places: Vec<_> = shared.map(|shared| &shared.pointer).chain([&new.pointer]).collect();
    let is_about_probe = |pointer: &str| places.iter().any(|place| is_below(pointer, place));
    is_changed && !errors.iter().filter_map(Diagnostic::pointer).any(is_about_probe)
}

fn is_below(pointer: &str, parent: &str) -> bool {
    pointer.strip_prefix(parent).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the DSN of a configuration.
pub fn dsn(config: &Config) -> Option<String> {
    config.sentry.dsn.as_ref().map(ToString::to_string)
}

/// The secrets of the latest settings, and those of earlier ones for a while: a target may still show them.
pub struct RetainedSecrets {
    secrets: Secrets,
    latest: Vec<SecretString>,
    /// Earlier values, each with the time at which it was replaced.
    earlier: Vec<(Instant, SecretString)>,
}

impl RetainedSecrets {
    fn new(secrets: Secrets) -> Self {
        Self { latest: secrets.values(), secrets, earlier: Vec::new() }
    }

    /// Returns the values that are redacted, which all parts of the program share.
    pub fn shared(&self) -> &Secrets {
        &self.secrets
    }

    /// Returns the latest values.
    pub fn latest(&self) -> &[SecretString] {
        &self.latest
    }

    /// Adds the latest values to those that are redacted. Of more than a thousand earlier ones, the oldest are
    /// forgotten.
    pub fn set_latest(&mut self, latest: Vec<SecretString>, now: Instant) {
        const MAX_EARLIER: usize = 1000;
        // Making the search for values is expensive.
        if latest.iter().map(ExposeSecret::expose_secret).eq(self.latest.iter().map(ExposeSecret::expose_secret)) {
            return;
        }
        let known: HashSet<_> = latest.iter().map(|value| value.expose_secret().to_owned()).collect();
        let replaced = std::mem::replace(&mut self.latest, latest);
        self.earlier.extend(replaced.into_iter().map(|value| (now, value)));
        self.earlier.retain(|(_, value)| !known.contains(value.expose_secret()));
        self.earlier.drain(..self.earlier.len().saturating_sub(MAX_EARLIER));
        self.redact_all();
    }

    /// Forgets values that were replaced a day ago. None of them may be in use.
    pub fn drop_old(&mut self, now: Instant) {
        const RETAINED: Duration = Duration::from_secs(24 * 3600);
        let before = self.earlier.len();
        self.earlier.retain(|(replaced, _)| now.saturating_duration_since(*replaced) < RETAINED);
        if self.earlier.len() != before {
            self.redact_all();
        }
    }

    fn redact_all(&self) {
        let earlier = self.earlier.iter().map(|(_, value)| value);
        self.secrets.replace(self.latest.iter().chain(earlier).cloned().collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replaced_secrets_are_redacted_for_a_day() {
        let (secrets, start) = (Secrets::new(["first-value"]), Instant::now());
        let mut retained = RetainedSecrets::new(secrets.clone());
        let hour = |number: u64| start + Duration::from_secs(number * 3600);
        let text = "first-value second-value third-value";
        retained.set_latest(vec!["second-value".into()], hour(30));
        retained.drop_old(hour(30));
        assert_eq!(secrets.redact(text), "[Filtered] [Filtered] third-value");
        retained.set_latest(vec!["third-value".into()], hour(50));
        retained.drop_old(hour(50));
        assert_eq!(secrets.redact(text), "[Filtered] [Filtered] [Filtered]");
        retained.set_latest(vec!["third-value".into()], hour(55));
        retained.drop_old(hour(55));
        assert_eq!(secrets.redact(text), "first-value [Filtered] [Filtered]");
    }

    #[test]
    fn pointers_lie_below_others_at_a_slash() {
        assert!(is_below("/groups/0/probes/1/auth", "/groups/0/probes/1"));
        assert!(is_below("/groups/0/probes/1", "/groups/0/probes/1"));
        assert!(!is_below("/groups/0/probes/10/auth", "/groups/0/probes/1"));
    }
}
