//! `sentrynet test`: runs one component once, against its target or against recordings. Nothing is sent to Sentry.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use sentrynet::run::Run;
use sentrynet::sandbox::Probe;
use sentrynet::sink::console::ConsoleOptions;
use sentrynet::sink::{SinkOptions, Sinks};

use super::{FLUSH_TIMEOUT, Format, INVALID_INPUT, exit_code, load, print_runs};
use crate::logging::print_error;

mod recordings;
mod replayer;
mod settings;

use replayer::Replayer;
use settings::{environment, source};

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
    /// taken from `--settings`. May be given more than once, and may be a folder, of which all `*.jsonl` are replayed:
    /// each has a line, and the exit code is 0 if all end as recorded
    #[arg(long, value_name = "FILE", conflicts_with = "record")]
    replay: Vec<PathBuf>,
}

/// Runs a component once and shows the result. Returns the exit code.
pub async fn test(arguments: &Arguments) -> Result<u8> {
    let Arguments { probe, settings, format, record, replay } = arguments;
    let run = if replay.is_empty() {
        run_component(probe, settings.as_deref(), record.as_deref()).await?
    } else {
        let files = match recordings::find(replay) {
            Ok(files) => files,
            Err(problem) => {
                print_error(&problem);
                return Ok(INVALID_INPUT);
            }
        };
        let Some(replayer) = Replayer::new(probe, settings.as_deref()).await? else { return Ok(INVALID_INPUT) };
        match &replay[..] {
            [file] if !file.is_dir() => match replayer.replay(file).await? {
                Ok((_, run)) => Some(run),
                Err(problem) => {
                    print_error(&problem);
                    None
                }
            },
            _ => return recordings::replay_all(&replayer, &files, *format).await,
        }
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
