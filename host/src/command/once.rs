//! `sentrynet once`: runs each probe once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use sentrynet::Loaded;
use sentrynet::assessment::AssessedRun;
use sentrynet::config::MonitorSubject;
use sentrynet::sink::console::ConsoleOptions;
use sentrynet::sink::{SinkOptions, Sinks};
use sentrynet::workers::Workers;
use tokio::task::JoinSet;

use super::test::RecordingFile;
use super::{BROKEN, FLUSH_TIMEOUT, Format, INVALID_INPUT, exit_code, log_missing_dsn, print_runs, read_and_load};
use crate::logging::{REDACTOR, print_error};

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration: a YAML file, a folder of them, or `-` for standard input
    config: PathBuf,
    /// The format of the results on standard output: `text` has a line for each run, and the waterfall of a run that
    /// did not pass; `json` has one array with all runs
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Run only the probe with this title; may be given more than once
    #[arg(long, value_name = "TITLE")]
    only: Vec<String>,
    /// Show the waterfall of every run, not only of runs that did not pass
    #[arg(long)]
    trace: bool,
    /// Record every call of the run in this file, without secrets, to replay it with `test --replay`; only one probe
    /// may run
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// The maximum number of runs in progress: few enough that they do not delay each other.
const MAX_IN_FLIGHT: usize = 16;

pub async fn once(arguments: &Arguments) -> Result<u8> {
    let Arguments { config, format, only, trace, record } = arguments;
    let Some(mut loaded) = read_and_load(config).await? else { return Ok(INVALID_INPUT) };
    if let Err(message) = retain_titles(&mut loaded, only) {
        print_error(&message);
        return Ok(INVALID_INPUT);
    }
    let recording = match record {
        None => None,
        Some(path) => match create_recording_file(path.clone(), loaded.probes.len()) {
            Some(recording) => Some(recording),
            None => return Ok(INVALID_INPUT),
        },
    };
    // This process ends soon. It must not check in to the monitor of the host, which would then miss the next check-in.
    loaded.config.sentry.monitors.retain(|monitor| monitor.subject != MonitorSubject::Host);

    let options = SinkOptions {
        console: (*format == Format::Text).then(|| ConsoleOptions::text(*trace, false)),
        order: Some(loaded.probes.iter().map(|probe| Arc::clone(probe.identity())).collect()),
        report_panics: true,
    };
    let sinks = Sinks::start(&loaded.config, loaded.probes.len(), options)?;
    log_missing_dsn(&loaded.config);
    let runs = run_all(loaded, recording, &sinks).await?;
    if *format == Format::Json {
        print_runs(&runs);
    }
    sinks.flush(FLUSH_TIMEOUT).await;
    let of_runs = runs.iter().map(|assessed| exit_code(&assessed.run.outcome)).max().unwrap_or(0);
    let Some(undelivered) = sinks.undelivered() else { return Ok(of_runs) };
    print_error(&format!("Sentry has not accepted everything: {undelivered}"));
    Ok(of_runs.max(BROKEN))
}

/// Removes all probes but those whose titles are in `only`; keeps all if `only` is empty. Returns a message if a title
/// is unknown.
fn retain_titles(loaded: &mut Loaded, only: &[String]) -> Result<(), String> {
    // The titles of loaded probes are redacted, so the titles in `only` must be redacted for the comparison.
    let only: Vec<_> = only.iter().map(|title| REDACTOR.redact(title)).collect();
    let is_known = |title: &str| loaded.probes.iter().any(|probe| probe.identity().title == title);
    if let Some(unknown) = only.iter().find(|title| !is_known(title)) {
        let titles: Vec<_> = loaded.probes.iter().map(|probe| format!("`{}`", probe.identity().title)).collect();
        return Err(format!("no probe is titled `{unknown}`; there are {}", titles.join(", ")));
    }
    loaded.probes.retain(|probe| only.is_empty() || only.iter().any(|title| **title == probe.identity().title));
    Ok(())
}

/// Creates the file for the recording of the one probe that runs. Returns `None` if several probes would run or the
/// file cannot be created, and prints the error.
fn create_recording_file(path: PathBuf, probes: usize) -> Option<RecordingFile> {
    if probes != 1 {
        let advice = "select one with `--only` and a title that no other probe has";
        print_error(&format!("{probes} probes would run, and a recording holds only one: {advice}"));
        return None;
    }
    RecordingFile::create(path)
}

/// Runs every probe once, at most [`MAX_IN_FLIGHT`] and at most [`Loaded::in_flight`] at the same time, and reports
/// each run as it ends. Returns the runs in the probes' order.
async fn run_all(loaded: Loaded, mut recording: Option<RecordingFile>, sinks: &Sinks) -> Result<Vec<Arc<AssessedRun>>> {
    let in_flight = MAX_IN_FLIGHT.min(loaded.in_flight);
    let mut waiting = loaded.probes.into_iter().enumerate();
    // An infinite rate of runs starts the maximum number of workers.
    let workers = Workers::start(f64::INFINITY).context("cannot start the threads of probes")?;
    let mut running = JoinSet::new();
    let mut ended: Vec<Option<Arc<AssessedRun>>> = Vec::new();
    loop {
        while running.len() < in_flight
            && let Some((index, probe)) = waiting.next()
        {
            ended.push(None);
            let recording = recording.take();
            let run = async move {
                let run = match recording {
                    Some(recording) => recording.run(&probe).await,
                    None => Ok(probe.run(Instant::now()).await),
                };
                (index, run)
            };
            running.spawn_on(run, workers.handle(index));
        }
        let Some(run) = running.join_next().await else { break };
        let (index, run) = run.context("a run panicked: this is a bug, please report it")?;
        ended[index] = Some(sinks.report(run?));
    }
    Ok(ended.into_iter().flatten().collect())
}
