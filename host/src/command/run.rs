//! `sentrynet run`: runs all probes on their schedules, until SIGINT or SIGTERM.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use sentrynet::Loading;
use sentrynet::config::SourceVersion;
use sentrynet::schedule::{self, ScheduleHandle};
use sentrynet::sink::console::ConsoleOptions;
use sentrynet::sink::{SinkOptions, Sinks};
use sentrynet::workers::Workers;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use self::running::{Running, jobs};
use super::health_socket::HealthSocket;
use super::{Format, INVALID_INPUT, log_missing_destination, read, start_loading};
use crate::logging::never_wait_for_reader;
use crate::service::ServiceManager;

mod reload;
mod running;
mod watch;

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
    /// Do not reload the configuration when it changes on disk, only at SIGHUP
    #[arg(long)]
    no_watch: bool,
}

/// The time limit for all sinks together to deliver the last runs after a signal. Together with
/// [`schedule::STOP_GRACE`], it is less than the 10 s after which container runtimes kill a process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

pub async fn run(arguments: &Arguments) -> Result<u8> {
    let Arguments { config: path, format, trace, no_watch } = arguments;
    never_wait_for_reader();
    let service = Arc::new(ServiceManager::from_environment());
    // The handlers are installed before anything that takes time, so that an early signal does not kill the process.
    let (reload_sender, reload_requests) = mpsc::channel(1);
    let _reloading = AbortOnDropHandle::new(tokio::spawn(request_at_hangup(signal(SignalKind::hangup())?, {
        let reload_sender = reload_sender.clone();
        move || request(&reload_sender)
    })));
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stopping = Arc::clone(&service);
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        stopping.stopping();
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
    let is_watched = !no_watch && path.as_os_str() != "-";
    // The version is that before the configuration is read, so that no change is missed.
    let version = SourceVersion::of(path);
    if is_watched && let Err(error) = watch::start(path.clone(), version, move || request(&reload_sender)) {
        tracing::warn!(%error, "the configuration is not watched: the system refuses a thread");
    }
    let Some(source) = read(path) else { return Ok(INVALID_INPUT) };
    let loading = tokio::select! {
        loading = start_loading(&source) => loading?,
        () = &mut stop => return Ok(0),
    };
    let Some(Loading { config, probes, in_flight, pending, .. }) = loading else { return Ok(INVALID_INPUT) };
    let console = if *format == Format::Json { ConsoleOptions::json() } else { ConsoleOptions::text(*trace, true) };
    let options = SinkOptions { console: Some(console), report_panics: true, ..SinkOptions::default() };
    let sinks = Arc::new(Sinks::start(&config, config.probes.len(), options)?);
    log_missing_destination(&config);

    let periods = config.probes.iter().map(|probe| (probe.every, probe.burst));
    let runs_per_second = periods.map(|(every, burst)| f64::from(burst) / every.as_secs_f64()).sum();
    // `pending` has the configuration of the probes that run.
    drop(config);
    let workers = Workers::start(runs_per_second).context("cannot start the threads of probes")?;
    let _health = HealthSocket::open(workers.liveness());
    let (ready, pending_count) = (probes.len(), pending.count());
    let noun = if ready == 1 { "probe" } else { "probes" };
    let rest =
        if pending_count > 0 { format!(", {pending_count} of third parties are being loaded") } else { String::new() };
    let status = format!("{ready} {noun} on schedule{rest}");
    tracing::info!(probes = ready, pending = pending_count, in_flight, "{status}");
    let (schedule, changes) = schedule::handle();
    schedule.change(jobs(probes));
    let _watchdog = AbortOnDropHandle::new(tokio::spawn(show_progress(Arc::clone(&service), schedule.clone())));
    service.ready(&status);
    let running = Running::new(pending, source, in_flight, Arc::clone(&sinks), schedule, service);
    let running = AbortOnDropHandle::new(tokio::spawn(running.run(reload_requests)));
    schedule::run(changes, &workers, in_flight, Arc::clone(&sinks), stop).await;
    drop(running);
    sinks.flush(FLUSH_TIMEOUT).await;
    Ok(0)
}

/// Requests a reload, unless one is requested already and has not begun.
fn request(sender: &mpsc::Sender<()>) {
    _ = sender.try_send(());
}

/// Requests a reload at each SIGHUP.
async fn request_at_hangup(mut hangup: tokio::signal::unix::Signal, request: impl Fn()) {
    while hangup.recv().await.is_some() {
        request();
    }
}

/// Tells the service manager that the program makes progress, for as long as the schedule of every worker does.
async fn show_progress(service: Arc<ServiceManager>, schedule: ScheduleHandle) {
    let Some(interval) = service.watchdog_interval() else { return };
    while schedule.responds().await {
        service.progress();
        tokio::time::sleep(interval).await;
    }
}
