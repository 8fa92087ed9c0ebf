//! When a probe runs: `every` without drift, `burst` in a row, first runs spread, never more than may be in flight.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use self::skipped::SkippedRuns;
use self::timer_queue::{Finished, Start, TimerQueue};
use crate::sandbox::Probe;
use crate::sink::Sinks;
use crate::workers::Workers;

mod timer_queue;
mod skipped;

/// A probe, and when it runs.
pub struct Job {
    pub probe: Probe,
    pub every: Duration,
    pub burst: u32,
}

/// How long runs that have begun may go on after the stop. With what sinks then take to flush, it is less than the
/// ten seconds that a container is given to stop.
pub const GRACE: Duration = Duration::from_secs(5);

/// So many probes a second start at most at first: a handful starts at once, a thousand within a quarter of a minute,
/// but none later than its own period.
const FIRST_STARTS_PER_SECOND: f64 = 64.0;
/// The first of them start together.
const IMMEDIATE_STARTS: usize = 8;

/// How often the log has what was skipped: one line for all probes together.
const SKIPPED_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// Runs a second, of all of them together.
pub fn runs_per_second(jobs: &[Job]) -> f64 {
    jobs.iter().map(|job| f64::from(job.burst) / job.every.as_secs_f64()).sum()
}

/// What all runs have in common.
struct Common {
    /// Closed at the stop.
    run_permits: Semaphore,
    sinks: Arc<Sinks>,
    skipped: SkippedRuns,
}

/// Runs every job on its schedule and reports each run, until `stop` is ready. Then nothing starts any more, and
/// runs that have begun have [`GRACE`] to end; they are reported too.
pub async fn run(jobs: Vec<Job>, lanes: &Workers, in_flight: usize, sinks: Arc<Sinks>, stop: impl Future<Output = ()>) {
    let (stopping, stopped) = watch::channel(false);
    let common = Arc::new(Common { run_permits: Semaphore::new(in_flight), sinks, skipped: SkippedRuns::default() });
    let started = Instant::now();
    let mut tell = interval_at(started + SKIPPED_LOG_INTERVAL, SKIPPED_LOG_INTERVAL);
    tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let jobs = jobs.into_iter().enumerate().map(|(index, Job { probe, every, burst })| {
        let first = started + first_start(index, every);
        (ScheduledProbe { probe, runs: burst, number: index }, first, every)
    });
    let mut keeping = JoinSet::new();
    for (handle, share) in lanes.distribute(jobs) {
        keeping.spawn_on(run_worker(TimerQueue::new(share), Arc::clone(&common), stopped.clone()), handle);
    }
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = keeping.join_next() => log_worker_end(ended),
            _ = tell.tick() => log_skipped(&common.skipped),
        }
    }
    common.run_permits.close();
    stopping.send_replace(true);
    let ended = async {
        while let Some(ended) = keeping.join_next().await {
            log_worker_end(ended);
        }
    };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        let lost = in_flight - common.run_permits.available_permits();
        tracing::warn!("{lost} runs did not end within {} s, and are lost", GRACE.as_secs());
    }
    log_skipped(&common.skipped);
}

/// A probe, and how often it runs each time.
struct ScheduledProbe {
    probe: Probe,
    runs: u32,
    number: usize,
}

async fn run_worker(lane: TimerQueue<ScheduledProbe>, common: Arc<Common>, stopped: watch::Receiver<bool>) {
    let begin =
        |bursts: &ScheduledProbe, start| run_burst(bursts.probe.clone(), bursts.runs, start, Arc::clone(&common));
    let skipped = |bursts: &ScheduledProbe, times: u32, cause| {
        let ScheduledProbe { probe, runs, number } = bursts;
        common.skipped.record(*number, &probe.identity().title, times.saturating_mul(*runs), cause);
    };
    lane.run(begin, skipped, stopped).await;
}

/// So many runs in a row.
async fn run_burst(probe: Probe, runs: u32, start: Start, common: Arc<Common>) -> Finished {
    let Start { mut due, missed: passed } = start;
    let mut skipped = passed.saturating_mul(runs);
    let (mut waited, mut ran) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..runs {
        let asked = Instant::now();
        let Ok(place) = common.run_permits.acquire().await else { break };
        waited += asked.elapsed();
        let mut run = probe.run(due.into_std()).await;
        drop(place);
        ran += run.trace.duration();
        run.skipped = std::mem::take(&mut skipped);
        common.sinks.report(run);
        // The next of a burst is due when this one has ended.
        due = Instant::now();
    }
    Finished { at: Instant::now(), ran, waited }
}

fn log_skipped(skipped: &SkippedRuns) {
    if let Some(told) = skipped.take_summary() {
        tracing::warn!("{told}");
    }
}

/// A lane's schedule ends by itself only when we are wrong.
fn log_worker_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!("the schedule of many probes came to an end: {error}; this is a bug, please report it");
    }
}

/// How long after the start a job's first run is due.
fn first_start(index: usize, every: Duration) -> Duration {
    let late = Duration::from_secs_f64(index.saturating_sub(IMMEDIATE_STARTS - 1) as f64 / FIRST_STARTS_PER_SECOND);
    // A job that would wait longer than its period goes where it would be in that period.
    let periods = late.as_nanos() / every.as_nanos().max(1);
    late.saturating_sub(every.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_handful_starts_at_once() {
        assert!((0..IMMEDIATE_STARTS).all(|index| first_start(index, 300 * SECOND) == Duration::ZERO));
    }

    #[test]
    fn a_thousand_are_spread_within_their_period() {
        let starts: Vec<_> = (0..1000).map(|index| first_start(index, 300 * SECOND)).collect();
        assert!(starts.iter().all(|start| *start < 16 * SECOND));
        let busiest = (0..16).map(|second| starts.iter().filter(|start| start.as_secs() == second).count()).max();
        assert!(busiest <= Some(72), "{busiest:?} start within one second");
    }

    #[test]
    fn none_starts_later_than_its_period() {
        assert!((0..10_000).all(|index| first_start(index, SECOND / 10) < SECOND / 10));
    }
}
