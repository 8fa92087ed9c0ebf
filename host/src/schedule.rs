//! When a probe runs: `every` without drift, `burst` in a row, first runs spread, never more than may be in flight.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep_until};

use self::skipped::{Cause, Skipped};
use crate::lanes::Lanes;
use crate::run::Run;
use crate::sandbox::Probe;
use crate::sink::Sink;

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
const FIRST_STARTS_A_SECOND: f64 = 64.0;
/// The first of them start together.
const AT_ONCE: usize = 8;

/// The event loop's clock ticks once a millisecond, and rounds up twice, which comes to one tick on average: with so much
/// of it taken off, a start is no earlier than that, and seldom a whole one late.
const AHEAD: Duration = Duration::from_micros(750);

/// How often the log has what was skipped: one line for all probes together.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Runs every job on its schedule and reports each run, until `stop` is ready. Then nothing starts any more, and
/// runs that have begun have [`GRACE`] to end; they are reported too.
pub async fn run(
    jobs: Vec<Job>,
    lanes: &Lanes,
    in_flight: usize,
    sinks: Arc<[Box<dyn Sink>]>,
    stop: impl Future<Output = ()>,
) {
    let (stopping, stopped) = watch::channel(false);
    let places = Arc::new(Semaphore::new(in_flight));
    let started = Instant::now();
    let skipped = Arc::<Skipped>::default();
    let mut tell = interval_at(started + TELL_EVERY, TELL_EVERY);
    tell.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut running = JoinSet::new();
    for (index, job) in jobs.into_iter().enumerate() {
        let first = started + first_start(index, job.every);
        let (places, sinks, skipped) = (Arc::clone(&places), Arc::clone(&sinks), Arc::clone(&skipped));
        let count = move |title: &str, runs, cause| skipped.note(index, title, runs, cause);
        running.spawn_on(repeat(job, first, places, sinks, stopped.clone(), count), lanes.of(index));
    }
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = running.join_next() => note(ended),
            _ = tell.tick() => warn(&skipped),
        }
    }
    stopping.send_replace(true);
    let ended = async {
        while let Some(ended) = running.join_next().await {
            note(ended);
        }
    };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::warn!("{} runs did not end within {} s, and are lost", running.len(), GRACE.as_secs());
    }
    warn(&skipped);
}

/// One job, over and over. `skipped` is told how many runs were, and why.
async fn repeat(
    job: Job,
    first: Instant,
    places: Arc<Semaphore>,
    sinks: Arc<[Box<dyn Sink>]>,
    mut stopped: watch::Receiver<bool>,
    skipped: impl Fn(&str, u32, Cause),
) {
    let mut due = first;
    let mut skipped_before = 0;
    loop {
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => return,
            () = sleep_until(due.checked_sub(AHEAD).unwrap_or(due)) => {}
        }
        let (mut waited, mut ran) = (Duration::ZERO, Duration::ZERO);
        let mut burst_due = due;
        for _ in 0..job.burst {
            let asked = Instant::now();
            let place = tokio::select! {
                biased;
                _ = stopped.wait_for(|stopped| *stopped) => return,
                place = places.acquire() => place,
            };
            waited += asked.elapsed();
            // On the heap: a probe that waits is to take little.
            let mut run = Box::pin(job.probe.run(burst_due.into_std())).await;
            drop(place);
            ran += run.trace.duration();
            run.skipped = std::mem::take(&mut skipped_before);
            report(&sinks, &Arc::new(run));
            // The next of a burst is due when this one has ended.
            burst_due = Instant::now();
        }
        let (following, passed) = next(first, job.every, due, burst_due);
        if passed > 0 {
            skipped_before = passed.saturating_mul(job.burst);
            let cause = Cause::of(burst_due - due, ran, waited);
            skipped(&job.probe.identity().title, skipped_before, cause);
        }
        due = following;
    }
}

fn warn(skipped: &Skipped) {
    if let Some(told) = skipped.take() {
        tracing::warn!("{told}");
    }
}

/// A schedule ends by itself only when we are wrong.
fn note(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("a probe's schedule came to an end: {error}; this is a bug, please report it");
    }
}

/// Tells every sink of a run.
pub fn report(sinks: &[Box<dyn Sink>], run: &Arc<Run>) {
    for sink in sinks {
        sink.report(run);
    }
}

/// How long after the start a job's first run is due.
fn first_start(index: usize, every: Duration) -> Duration {
    let late = Duration::from_secs_f64(index.saturating_sub(AT_ONCE - 1) as f64 / FIRST_STARTS_A_SECOND);
    // A job that would wait longer than its period goes where it would be in that period.
    let periods = late.as_nanos() / every.as_nanos().max(1);
    late.saturating_sub(every.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX)))
}

/// The next of `first + k * every` that is not past, and how many have passed before it. These are skipped: runs of one
/// probe never overlap, and none is made up for.
fn next(first: Instant, every: Duration, due: Instant, now: Instant) -> (Instant, u32) {
    let following = due + every;
    if following >= now {
        return (following, 0);
    }
    let k = (now - first).as_nanos().div_ceil(every.as_nanos());
    let offset = every.checked_mul(u32::try_from(k).unwrap_or(u32::MAX));
    let next = offset.map_or(following, |offset| first + offset);
    let passed = (next - following).as_nanos() / every.as_nanos();
    (next, u32::try_from(passed).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_handful_starts_at_once() {
        assert!((0..AT_ONCE).all(|index| first_start(index, 300 * SECOND) == Duration::ZERO));
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

    #[test]
    fn the_period_does_not_drift() {
        let first = Instant::now();
        let every = 10 * SECOND;
        let mut due = first;
        for k in 1..100 {
            let (following, skipped) = next(first, every, due, due + Duration::from_millis(1234));
            assert_eq!((following, skipped), (first + every * k, 0));
            due = following;
        }
    }

    #[test]
    fn what_has_passed_is_skipped_and_counted() {
        let first = Instant::now();
        let every = 10 * SECOND;
        assert_eq!(next(first, every, first, first + 10 * SECOND), (first + 10 * SECOND, 0));
        assert_eq!(next(first, every, first, first + 11 * SECOND), (first + 20 * SECOND, 1));
        assert_eq!(next(first, every, first, first + 30 * SECOND), (first + 30 * SECOND, 2));
        assert_eq!(next(first, every, first, first + 31 * SECOND), (first + 40 * SECOND, 3));
    }

    #[test]
    fn each_time_is_either_due_or_skipped() {
        let first = Instant::now();
        let every = Duration::from_millis(70);
        let (mut due, mut counted) = (first, 0);
        for run in 0..1000_u32 {
            let (following, skipped) = next(first, every, due, due + Duration::from_millis(u64::from(run * 37 % 500)));
            (due, counted) = (following, counted + 1 + skipped);
            assert_eq!(due, first + every * counted);
        }
    }
}
