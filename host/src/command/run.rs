//! `sentrynet run`: runs all probes on their schedules, until SIGINT or SIGTERM.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sentrynet::config::{Level, Source};
use sentrynet::sandbox::Probe;
use sentrynet::schedule::{self, Job};
use sentrynet::sink::console::ConsoleOptions;
use sentrynet::sink::{SinkOptions, Sinks};
use sentrynet::workers::Workers;
use sentrynet::{Loading, PendingProbes, Progress, ReadyProbes};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use super::health_socket::HealthSocket;
use super::{Format, INVALID_INPUT, log_missing_dsn, read, start_loading};
use crate::logging::{never_wait_for_reader, print_diagnostics};

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration: a YAML file, a folder of them, or `-` for standard input
    config: PathBuf,
    /// The format of the results on standard output: `text` has a line for each run, and the waterfall of a run that
    /// did not pass; `json` has one JSON object a line for each run
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
    never_wait_for_reader();
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
            crate::logging::flush();
            std::process::exit(130);
        });
    };

    tokio::pin!(stop);
    let Some(source) = read(config) else { return Ok(INVALID_INPUT) };
    let loading = tokio::select! {
        loading = start_loading(&source) => loading?,
        () = &mut stop => return Ok(0),
    };
    let Some(Loading { config, probes, in_flight, pending, .. }) = loading else { return Ok(INVALID_INPUT) };
    let console = if *format == Format::Json { ConsoleOptions::json() } else { ConsoleOptions::text(*trace, true) };
    let options = SinkOptions { console: Some(console), order: None, report_panics: true };
    let sinks = Arc::new(Sinks::start(&config, config.probes.len(), options)?);
    log_missing_dsn(&config);

    let periods: Vec<_> = config.probes.iter().map(|probe| (probe.every, probe.burst)).collect();
    let runs_per_second = periods.iter().map(|(every, burst)| f64::from(*burst) / every.as_secs_f64()).sum();
    let workers = Workers::start(runs_per_second).context("cannot start the threads of probes")?;
    let _health = HealthSocket::open(workers.liveness());
    let (ready, pending_count) = (probes.len(), pending.count());
    let noun = if ready == 1 { "probe" } else { "probes" };
    let rest =
        if pending_count > 0 { format!(", {pending_count} of third parties are being loaded") } else { String::new() };
    tracing::info!(probes = ready, pending = pending_count, in_flight, "{ready} {noun} on schedule{rest}");
    let (job_sender, jobs) = mpsc::unbounded_channel();
    let schedule = Schedule { jobs: job_sender, periods };
    schedule.add(probes);
    let adding = AbortOnDropHandle::new(tokio::spawn(add_pending(pending, source, Arc::clone(&sinks), schedule)));
    schedule::run(jobs, &workers, in_flight, Arc::clone(&sinks), stop).await;
    drop(adding);
    sinks.flush(FLUSH_TIMEOUT).await;
    Ok(0)
}

/// Adds probes to the schedule.
struct Schedule {
    jobs: mpsc::UnboundedSender<Job>,
    /// The keys `every` and `burst` of each configured probe.
    periods: Vec<(Duration, u32)>,
}

impl Schedule {
    fn add(&self, probes: Vec<(usize, Probe)>) {
        for (index, probe) in probes {
            let (every, burst) = self.periods[index];
            // The schedule has ended if it takes no jobs.
            _ = self.jobs.send(Job { index, probe, every, burst });
        }
    }
}

/// Adds the probes of third parties to the schedule as they are loaded, and reports those that cannot be loaded.
async fn add_pending(mut pending: PendingProbes, source: Source, sinks: Arc<Sinks>, schedule: Schedule) {
    while let Some(progress) = pending.next().await {
        match progress {
            Progress::Failed(failed) => {
                print_diagnostics(&source, Level::Error, &failed.problems);
                sinks.report(failed.run);
            }
            Progress::Ready(ReadyProbes { probes, monitors, warnings }) => {
                print_diagnostics(&source, Level::Warning, &warnings);
                if let Some(monitors) = monitors {
                    sinks.set_monitors(&monitors);
                }
                schedule.add(probes);
            }
        }
    }
}
