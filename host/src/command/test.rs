//! `sentrynet test`: runs one component once, against its target or against a recording. Nothing is sent to Sentry.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use sentrynet::config::{self, Level, ParsedConfig, Source};
use sentrynet::propagation::EventDefaults;
use sentrynet::recording::Recording;
use sentrynet::run::Run;
use sentrynet::sandbox::{Probe, Sandbox};
use sentrynet::sink::console::ConsoleOptions;
use sentrynet::sink::{SinkOptions, Sinks};

use super::{FLUSH_TIMEOUT, Format, INVALID_INPUT, code_source, exit_code, load, print_runs, read};
use crate::logging::{print_diagnostics, print_error};

#[derive(clap::Args)]
pub struct Arguments {
    /// The component, a `.wasm` file; or a built-in probe: `http`, `chain` or `ssh`
    #[arg(value_name = "FILE")]
    probe: String,
    /// The settings of the probe, in YAML or JSON: the keys of an item of `probes` other than `probe`; `-` reads them
    /// from standard input
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// The format of the result on standard output
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Record every call of the run in this file, without secrets
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Run against the recording in this file instead of the target; secrets, which a recording does not contain, are
    /// taken from `--settings`
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    replay: Option<PathBuf>,
}

/// Runs a component once and shows the result. Returns the exit code.
pub async fn test(arguments: &Arguments) -> Result<u8> {
    let Arguments { probe, settings, format, record, replay } = arguments;
    let run = match replay {
        Some(recording) => replay_recording(probe, settings.as_deref(), recording).await?,
        None => run_component(probe, settings.as_deref(), record.as_deref()).await?,
    };
    let Some(run) = run else { return Ok(INVALID_INPUT) };
    let console = (*format == Format::Text).then(|| ConsoleOptions::text(true, false));
    let sinks = Sinks::start_local(1, SinkOptions { console, ..SinkOptions::default() });
    let assessed = sinks.report(run);
    if *format == Format::Json {
        print_runs(std::slice::from_ref(&assessed));
    }
    sinks.flush(FLUSH_TIMEOUT).await;
    Ok(exit_code(&assessed.run.outcome))
}

/// The file in which a run is recorded. It is created before the run begins.
pub struct RecordingFile {
    file: File,
    path: PathBuf,
}

impl RecordingFile {
    /// Creates the file, or empties it. Returns `None` if that fails, and prints the error.
    pub fn create(path: PathBuf) -> Option<Self> {
        match create_private(&path) {
            Ok(file) => Some(Self { file, path }),
            Err(error) => {
                print_error(&format!("cannot write {}: {error}", path.display()));
                None
            }
        }
    }

    /// Runs a probe once, and writes the recording of the run.
    ///
    /// # Errors
    ///
    /// Returns an error if the host fails, or if the file cannot be written.
    pub async fn run(mut self, probe: &Probe) -> Result<Run> {
        let (run, recording) = probe.record().await.context("the host failed: this is a bug, please report it")?;
        let result = self.file.write_all(recording.to_text().as_bytes());
        result.with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(run)
    }
}

/// Creates a file that only its owner can read, since a recording has whole responses of targets.
fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    if file.metadata()?.is_file() {
        // The mode above is for a new file. An existing one that belongs to another user keeps its mode.
        _ = file.set_permissions(Permissions::from_mode(0o600));
    }
    Ok(file)
}

/// Runs a component against its target. Returns `None` if the component, the settings or the path of the recording are
/// invalid, and prints the errors.
async fn run_component(probe: &str, settings: Option<&Path>, record: Option<&Path>) -> Result<Option<Run>> {
    let Some(source) = source(probe, settings) else { return Ok(None) };
    let Some(loaded) = load(&source, &environment).await? else { return Ok(None) };
    let [probe] = &loaded.probes[..] else { return Ok(None) };
    let Some(path) = record else { return Ok(Some(probe.run(Instant::now()).await)) };
    match RecordingFile::create(path.to_owned()) {
        Some(file) => file.run(probe).await.map(Some),
        None => Ok(None),
    }
}

/// Runs a component against a recording. Returns `None` if the component, the settings or the recording are invalid,
/// and prints the errors.
async fn replay_recording(probe: &str, settings: Option<&Path>, path: &Path) -> Result<Option<Run>> {
    let Some(source) = source(probe, settings) else { return Ok(None) };
    let recording = match Recording::read(path) {
        Ok(recording) => recording,
        Err(error) => {
            print_error(&error.to_string());
            return Ok(None);
        }
    };
    let ParsedConfig { config, errors, .. } = config::parse(&source, &environment);
    let Some(configured) = config.probes.first() else {
        print_diagnostics(&source, Level::Error, &errors);
        return Ok(None);
    };
    let loaded = match settings {
        Some(_) => load(&source, &environment).await?,
        None => None,
    };
    let with_settings = loaded.as_ref().and_then(|loaded| loaded.probes.first());
    if with_settings.is_none() && settings.is_some() {
        return Ok(None);
    }
    let sandbox = Sandbox::new(1, None, EventDefaults::new(&config.sentry), config.secrets.clone(), code_source()?)?;
    let probe = match sandbox.load_recorded(&configured.module, &recording, with_settings).await {
        Ok(probe) => probe,
        Err(error) => {
            print_error(&error.to_string());
            return Ok(None);
        }
    };
    probe.replay(recording).await.map(Some).context("the host failed: this is a bug, please report it")
}

/// Returns the settings of a component, which are empty if no file of settings is given. Returns `None` if the
/// component does not exist or the settings cannot be read, and prints the error.
fn source(probe: &str, settings: Option<&Path>) -> Option<Source> {
    // The path of the component is relative to the working directory, not to the file of the settings.
    let existing_path = std::path::absolute(probe).ok().filter(|path| path.exists());
    let probe = match existing_path {
        Some(path) => path.display().to_string(),
        None if probe.contains(['/', '.']) => {
            print_error(&format!("no file `{probe}`: name a component, or a built-in probe"));
            return None;
        }
        None => probe.to_owned(),
    };
    match settings {
        Some(settings) => Some(Source { probe: Some(probe), ..read(settings)? }),
        None => Some(Source::without_settings(probe)),
    }
}

/// Returns the value of an environment variable. The variables of Sentry are left out, so that nothing is sent.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|_| !["SENTRY_DSN", "SENTRY_ENVIRONMENT", "SENTRY_SPOTLIGHT"].contains(&name))
}
