//! `sentrynet run`: runs all probes on their schedules, until SIGINT or SIGTERM.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sentrynet::Loaded;
use sentrynet::schedule::{self, Job};
use sentrynet::sink::console::ConsoleOptions;
use sentrynet::sink::{SinkOptions, Sinks};
use sentrynet::workers::Workers;
use tokio::signal::unix::{SignalKind, signal};

use super::{Format, INVALID_INPUT, log_missing_dsn, read_and_load};

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration, a YAML file; `-` reads it from standard input
    config: PathBuf,
    /// The format of the results on standard output: `text` has a line for each run, and the waterfall of a run that did
    /// not pass; `json` has one JSON object a line for each run
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Show the waterfall of every run, not only of runs that did not pass
    #[arg(long)]
    trace: bool,
}

/// The time limit for all sinks together to deliver the last runs after a signal. Together with
/// [`schedule::STOP_GRACE`], it is less than the 10 s after which container runtimes kill a process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

pub async fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { config, format, trace } = arguments;
    // The handlers are installed before anything that takes time, so that an early signal does not kill the process.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!(
            grace_seconds = schedule::STOP_GRACE.as_secs(),
            "stopping: waiting for runs in progress to end; a second signal ends the process at once"
        );
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    };

    let Some(Loaded { config, probes, in_flight, .. }) = read_and_load(config).await? else {
        return Ok(INVALID_INPUT);
    };
    let console = if *format == Format::Json { ConsoleOptions::json() } else { ConsoleOptions::text(*trace, true) };
    let options = SinkOptions { console: Some(console), order: None, report_panics: true };
    let sinks = Arc::new(Sinks::start(&config, probes.len(), options)?);
    log_missing_dsn(&config);
    let jobs = probes.into_iter().zip(config.probes);
    let jobs: Vec<_> =
        jobs.map(|(probe, configured)| Job { probe, every: configured.every, burst: configured.burst }).collect();
    let noun = if jobs.len() == 1 { "probe" } else { "probes" };
    tracing::info!(probes = jobs.len(), in_flight, "{} {noun} on schedule", jobs.len());
    let workers = Workers::start(schedule::runs_per_second(&jobs)).context("cannot start the threads of probes")?;
    schedule::run(jobs, &workers, in_flight, Arc::clone(&sinks), stop).await;
    sinks.flush(FLUSH_TIMEOUT).await;
    Ok(0)
}
