//! Replays a recording with a component.

use std::path::Path;

use anyhow::{Context, Result};
use sentrynet::config::{self, Level, Module, ParsedConfig};
use sentrynet::propagation::EventDefaults;
use sentrynet::recording::{Entry, Recording};
use sentrynet::run::Run;
use sentrynet::sandbox::{Probe, Sandbox};

use super::super::{code_source, load};
use super::settings::{environment, source};
use crate::logging::print_diagnostics;

/// A component that recordings are replayed with.
pub struct Replayer {
    sandbox: Sandbox,
    module: Module,
    /// The probe with its settings, if they are given, since recordings have no secrets.
    configured: Option<Probe>,
}

impl Replayer {
    /// Returns `None` if the component or the settings are invalid, and prints the errors.
    pub async fn new(probe: &str, settings: Option<&Path>) -> Result<Option<Self>> {
        let Some(source) = source(probe, settings) else { return Ok(None) };
        let ParsedConfig { mut config, errors, .. } = config::parse(&source, &environment);
        if config.probes.is_empty() {
            print_diagnostics(&source, Level::Error, &errors);
            return Ok(None);
        }
        let module = config.probes.swap_remove(0).module;
        let configured = match settings {
            Some(_) => match load(&source, &environment).await?.and_then(|loaded| loaded.probes.into_iter().next()) {
                Some(probe) => Some(probe),
                None => return Ok(None),
            },
            None => None,
        };
        let sandbox =
            Sandbox::new(1, None, EventDefaults::new(&config.sentry), config.secrets.clone(), code_source()?)?;
        Ok(Some(Self { sandbox, module, configured }))
    }

    /// Replays a recording. Returns the recorded outcome with the run, or a message if the recording or the component
    /// is invalid.
    ///
    /// # Errors
    /// Returns an error if the host fails.
    pub async fn replay(&self, file: &Path) -> Result<Result<(String, Run), String>> {
        let recording = match Recording::read(file) {
            Ok(recording) => recording,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let probe = match self.sandbox.load_recorded(&self.module, &recording, self.configured.as_ref()).await {
            Ok(probe) => probe,
            Err(error) => return Ok(Err(error.to_string())),
        };
        let recorded = recorded_outcome(&recording);
        let run = probe.replay(recording).await.context("the host failed: this is a bug, please report it")?;
        Ok(Ok((recorded, run)))
    }
}

/// Returns the outcome of the last attempt of a recording: `passed`, `failed` or `broken`. Returns an empty text if the
/// recording has no attempt that ended.
fn recorded_outcome(recording: &Recording) -> String {
    let outcome = recording.entries.iter().rev().find_map(|entry| match entry {
        Entry::End(end) => Some(end.outcome.clone()),
        _ => None,
    });
    outcome.unwrap_or_default()
}
