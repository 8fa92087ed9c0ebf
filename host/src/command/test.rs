//! `sentrynet test`: one component once, against its target or against what was recorded. Nothing is sent to Sentry.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use sentrynet::config::{self, Level, ParsedConfig, Source};
use sentrynet::propagation::EventDefaults;
use sentrynet::recording::Recording;
use sentrynet::run::Run;
use sentrynet::sandbox::{Probe, Sandbox};
use sentrynet::sink::Sinks;
use sentrynet::sink::console::{Console, ConsoleOptions};

use crate::{FLUSH_AT_END, Format, INVALID_INPUT, exit_code, load, print, print_error, red};

#[derive(clap::Args)]
pub struct Arguments {
    /// The component, a `.wasm` file; or a built-in probe: `http`, `chain`, `ssh`
    #[arg(value_name = "FILE")]
    probe: String,
    /// What an item of `probes` has beside `probe`, in YAML or JSON; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,
    /// How to write the result
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Keep every call of the run in this file, without secrets
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Run against what was recorded in this file, and nothing else; `--settings` gives it the secrets back that were
    /// struck out of it
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    replay: Option<PathBuf>,
}

pub async fn test(arguments: &Arguments) -> Result<u8> {
    let Arguments { probe, settings, format, record, replay } = arguments;
    let run = match replay {
        Some(recording) => replayed(probe, settings.as_deref(), recording).await?,
        None => ran(probe, settings.as_deref(), record.as_deref()).await?,
    };
    let Some(run) = run else { return Ok(INVALID_INPUT) };
    let console = (*format == Format::Text).then(|| ConsoleOptions::text(true, false));
    let sinks = Sinks::new(1, console.map(|options| Arc::new(Console::new(options)) as _).into_iter().collect());
    let assessed = sinks.report(run);
    if *format == Format::Json {
        print(std::slice::from_ref(&assessed));
    }
    sinks.flush(FLUSH_AT_END).await;
    Ok(exit_code(&assessed.run.outcome))
}

/// Where a run is kept: found writable before it begins.
pub struct Keep(File, PathBuf);

impl Keep {
    /// None if there is no such place, which has been said.
    pub fn new(path: &Path) -> Option<Self> {
        match File::create(path) {
            Ok(file) => Some(Self(file, path.to_owned())),
            Err(error) => {
                print_error(format_args!("{}: cannot write {}: {error}\n", red("error"), path.display()));
                None
            }
        }
    }

    /// Runs a probe, and keeps what it did.
    pub async fn run(mut self, probe: &Probe) -> Result<Run> {
        let (run, recording) = probe.record().await.context("the host failed: this is a bug, please report it")?;
        let written = self.0.write_all(recording.to_text().as_bytes());
        written.with_context(|| format!("cannot write {}", self.1.display()))?;
        Ok(run)
    }
}

/// None if something is wrong, and has been said.
async fn ran(probe: &str, settings: Option<&Path>, record: Option<&Path>) -> Result<Option<Run>> {
    let Some(source) = source(probe, settings) else { return Ok(None) };
    let Some(loaded) = load(source, &environment).await? else { return Ok(None) };
    let [probe] = &loaded.probes[..] else { return Ok(None) };
    let keep = match record {
        None => return Ok(Some(probe.run(Instant::now()).await)),
        Some(path) => Keep::new(path),
    };
    match keep {
        Some(keep) => keep.run(probe).await.map(Some),
        None => Ok(None),
    }
}

async fn replayed(probe: &str, settings: Option<&Path>, path: &Path) -> Result<Option<Run>> {
    let wrong = |error: &dyn std::fmt::Display| {
        print_error(format_args!("{}: {error}\n", red("error")));
        Ok(None)
    };
    let Some(source) = source(probe, settings) else { return Ok(None) };
    let recording = match Recording::read(path) {
        Ok(recording) => recording,
        Err(error) => return wrong(&error),
    };
    let ParsedConfig { config, errors, .. } = config::parse(&source, &environment);
    let Some(configured) = config.probes.first() else {
        print_error(format_args!("{}", config::render(&source, Level::Error, &errors, true)));
        return Ok(None);
    };
    let loaded = match settings {
        Some(_) => load(source, &environment).await?,
        None => None,
    };
    let given = loaded.as_ref().and_then(|loaded| loaded.probes.first());
    if given.is_none() && settings.is_some() {
        return Ok(None);
    }
    let mut sandbox = Sandbox::new(1, None, EventDefaults::new(&config.sentry), config.secrets.clone())?;
    let probe = match sandbox.load_recorded(&configured.module, &recording, given).await {
        Ok(probe) => probe,
        Err(error) => return wrong(&error),
    };
    probe.replay(recording).await.map(Some).context("the host failed: this is a bug, please report it")
}

/// A component's settings, or none of them. None if something is wrong, and has been said.
fn source(probe: &str, settings: Option<&Path>) -> Option<Source> {
    // A path counts from here, whatever file the settings are in.
    let found = std::path::absolute(probe).ok().filter(|path| path.exists());
    let probe = match found {
        Some(path) => path.display().to_string(),
        None if probe.contains(['/', '.']) => {
            print_error(format_args!("{}: no file `{probe}`: name a component, or a built-in probe\n", red("error")));
            return None;
        }
        None => probe.to_owned(),
    };
    let Some(settings) = settings else { return Some(Source::without_settings(probe)) };
    match Source::read(settings) {
        Ok(source) => Some(Source { probe: Some(probe), ..source }),
        Err(error) => {
            print_error(format_args!("{}: {error}\n", red("error")));
            None
        }
    }
}

/// Nothing is sent, wherever it were to go.
fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|_| !["SENTRY_DSN", "SENTRY_ENVIRONMENT", "SENTRY_SPOTLIGHT"].contains(&name))
}
