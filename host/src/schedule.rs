//! Schedules runs: each probe starts once in each period `every`, without drift, with `burst` runs in a row. First runs
//! are spread over time, and at most `limits.in_flight` runs are in progress at once.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use self::skipped::{SkipCause, SkippedRuns};
use self::timer_queue::{Change as QueueChange, Finished, NewJob, Start, TimerQueue};
use crate::sandbox::Probe;
use crate::sink::Sinks;
use crate::workers::Workers;

mod period;
mod skipped;
mod timer_queue;

/// A probe with its schedule.
pub struct Job {
    /// The probe to run. A job with the number of an earlier probe replaces that probe, and keeps its due times.
    pub probe: Probe,
    /// The time from one due time to the next.
    pub every: Duration,
    /// The number of consecutive runs at each due time.
    pub burst: u32,
}

/// A change of the probes that are on schedule.
pub enum Change {
    /// Adds a probe, which is due for the first time as soon as possible.
    Set(Job),
    /// Ends the probe with this number. Runs in progress end as they began, and no other starts.
    Remove(usize),
}

/// Changes the probes of a schedule while it runs. Clones change the same schedule.
#[derive(Clone)]
pub struct ScheduleHandle(mpsc::UnboundedSender<Message>);

/// The changes that [`ScheduleHandle`]s ask for.
pub struct Changes(mpsc::UnboundedReceiver<Message>);

enum Message {
    Change(Vec<Change>),
    /// Asks for an answer from each worker.
    Ping(oneshot::Sender<Vec<oneshot::Receiver<()>>>),
}

/// Returns a handle for a schedule, and what [`run`] takes from it.
pub fn handle() -> (ScheduleHandle, Changes) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (ScheduleHandle(sender), Changes(receiver))
}

impl ScheduleHandle {
    /// Changes probes. All changes of one worker's probes take effect together, between two starts.
    pub fn change(&self, changes: Vec<Change>) {
        // The schedule has ended if it takes no changes.
        _ = self.0.send(Message::Change(changes));
    }

    /// Returns true once every worker has come to look at its probes again. Returns false if the schedule has ended, or
    /// that of a worker has panicked. Waits for as long as a worker does not go on.
    pub async fn responds(&self) -> bool {
        let (sender, answers) = oneshot::channel();
        if self.0.send(Message::Ping(sender)).is_err() {
            return false;
        }
        let Ok(answers) = answers.await else { return false };
        for answer in answers {
            if answer.await.is_err() {
                return false;
            }
        }
        true
    }
}

/// The time for which runs in progress may continue after the stop. With the time that sinks then take to flush, it is
/// less than the 10 s after which container runtimes kill a process.
pub const STOP_GRACE: Duration = Duration::from_secs(5);

/// The rate at which probes start for the first time: a thousand probes start within 16 s. No first start is later than
/// a period of its probe after it is added.
const FIRST_STARTS_PER_SECOND: f64 = 64.0;
/// The number of probes that start immediately, before that rate applies.
const IMMEDIATE_STARTS: u32 = 8;

/// The interval between log lines about skipped runs: one line for all probes together.
const SKIPPED_LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The state that the runs of all workers share.
struct Shared {
    /// One permit for each run that may be in progress. Closed at the stop.
    run_permits: Semaphore,
    sinks: Arc<Sinks>,
    skipped: SkippedRuns,
}

/// Runs probes on their schedules, each on one of the `workers`, and reports each run to `sinks`, until `stop`
/// completes. At most `in_flight` runs are in progress at once.
///
/// After the stop no run starts. Runs in progress have 5 s to end, and are reported too; those that take longer are
/// lost.
pub async fn run(
    mut changes: Changes,
    workers: &Workers,
    in_flight: usize,
    sinks: Arc<Sinks>,
    stop: impl Future<Output = ()>,
) {
    let (stop_sender, stopped) = watch::channel(false);
    let shared = Arc::new(Shared { run_permits: Semaphore::new(in_flight), sinks, skipped: SkippedRuns::default() });
    let started = Instant::now();
    let mut log_timer = interval_at(started + SKIPPED_LOG_INTERVAL, SKIPPED_LOG_INTERVAL);
    log_timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut schedules = JoinSet::new();
    let queues: Vec<_> = workers
        .handles()
        .map(|runtime| {
            let (sender, changes) = mpsc::unbounded_channel();
            schedules.spawn_on(run_worker(TimerQueue::new(changes), Arc::clone(&shared), stopped.clone()), runtime);
            sender
        })
        .collect();
    let mut queues = WorkerQueues { queues, first_starts: FirstStarts { next: started } };
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            Some(ended) = schedules.join_next() => {
                workers.record_end();
                log_worker_end(ended);
            }
            Some(message) = changes.0.recv() => queues.pass_on(message),
            _ = log_timer.tick() => log_skipped(&shared.skipped),
        }
    }
    shared.run_permits.close();
    stop_sender.send_replace(true);
    let all_ended = async {
        while let Some(ended) = schedules.join_next().await {
            log_worker_end(ended);
        }
    };
    if tokio::time::timeout(STOP_GRACE, all_ended).await.is_err() {
        let runs = in_flight - shared.run_permits.available_permits();
        let seconds = STOP_GRACE.as_secs();
        tracing::warn!(runs, "{runs} runs did not end within {seconds} s of the stop, and are not reported");
    }
    log_skipped(&shared.skipped);
}

/// The queues of all workers. A probe belongs to the same worker for as long as it is on schedule.
struct WorkerQueues {
    queues: Vec<mpsc::UnboundedSender<Vec<QueueChange<ScheduledProbe>>>>,
    first_starts: FirstStarts,
}

impl WorkerQueues {
    /// Passes a message on to the workers. Sending fails only if the schedule of a worker has panicked, which was
    /// logged.
    fn pass_on(&mut self, message: Message) {
        match message {
            Message::Change(changes) => self.change(changes),
            Message::Ping(sender) => {
                let ping = |queue: &mpsc::UnboundedSender<Vec<QueueChange<_>>>| {
                    let (answer, answered) = oneshot::channel();
                    _ = queue.send(vec![QueueChange::Ping(answer)]);
                    answered
                };
                // An error means that nobody waits for the answers any more.
                _ = sender.send(self.queues.iter().map(ping).collect());
            }
        }
    }

    fn change(&mut self, changes: Vec<Change>) {
        let mut of_workers: Vec<Vec<_>> = self.queues.iter().map(|_| Vec::new()).collect();
        let now = Instant::now();
        for change in changes {
            let (number, change) = match change {
                Change::Remove(number) => (number, QueueChange::Remove(number)),
                Change::Set(Job { probe, every, burst }) => {
                    let (key, first_due) = (probe.identity().number, self.first_starts.take(now, every));
                    (key, QueueChange::Set(NewJob { key, job: ScheduledProbe { probe, burst }, first_due, every }))
                }
            };
            of_workers[number % self.queues.len()].push(change);
        }
        for (queue, changes) in self.queues.iter().zip(of_workers).filter(|(_, changes)| !changes.is_empty()) {
            _ = queue.send(changes);
        }
    }
}

/// A probe in a worker's queue.
struct ScheduledProbe {
    probe: Probe,
    burst: u32,
}

impl fmt::Display for ScheduledProbe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.probe.identity().title)
    }
}

/// Runs one worker's share of the probes until the stop.
async fn run_worker(queue: TimerQueue<ScheduledProbe>, shared: Arc<Shared>, stopped: watch::Receiver<bool>) {
    let start = |scheduled: &ScheduledProbe, start| {
        run_burst(scheduled.probe.clone(), scheduled.burst, start, Arc::clone(&shared))
    };
    let record_skipped = |scheduled: &ScheduledProbe, missed: u32, cause: SkipCause| {
        let (probe, missed) = (scheduled.probe.identity(), missed.saturating_mul(scheduled.burst));
        shared.skipped.record(probe.number, &probe.title, missed, cause);
    };
    queue.run(start, record_skipped, stopped).await;
}

/// Runs a probe `burst` times in a row, and reports each run. Ends early at the stop.
async fn run_burst(probe: Probe, burst: u32, start: Start, shared: Arc<Shared>) -> Finished {
    let Start { mut due, missed } = start;
    let mut skipped = missed.saturating_mul(burst);
    let (mut waited, mut ran) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..burst {
        let wait_started = Instant::now();
        let Ok(permit) = shared.run_permits.acquire().await else { break };
        waited += wait_started.elapsed();
        let mut run = probe.run(due.into_std()).await;
        drop(permit);
        ran += run.trace.duration();
        run.skipped = std::mem::take(&mut skipped);
        shared.sinks.report(run);
        // The next run of a burst is due when the previous one has ended.
        due = Instant::now();
    }
    Finished { at: Instant::now(), ran, waited }
}

fn log_skipped(skipped: &SkippedRuns) {
    if let Some(summary) = skipped.take_summary() {
        let causes = summary.causes().join(",");
        tracing::warn!(
            runs = summary.runs(), probes = summary.probes, probe = summary.title, cause = %causes,
            "{summary}"
        );
    }
}

/// Logs the end of a worker's schedule if the schedule panicked, the only reason why it ends before the stop.
fn log_worker_end(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(
            %error,
            "the schedule of a worker panicked, and its probes no longer run; this is a bug, please report it, and \
             restart the host"
        );
    }
}

/// Spreads the first starts of probes over time.
struct FirstStarts {
    /// The time at which the next probe would start if none started immediately.
    next: Instant,
}

impl FirstStarts {
    /// Returns the first due time of a probe that is added at `now`: less than one period later.
    fn take(&mut self, now: Instant, every: Duration) -> Instant {
        let interval = Duration::from_secs_f64(FIRST_STARTS_PER_SECOND.recip());
        let earliest = self.next.max(now);
        self.next = earliest + interval;
        let delay = (earliest - now).saturating_sub(interval * (IMMEDIATE_STARTS - 1));
        // The delay is reduced modulo the period, so that it is shorter than the period.
        let periods = delay.as_nanos() / every.as_nanos().max(1);
        now + delay.saturating_sub(every.saturating_mul(u32::try_from(periods).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns the delays of the first starts of probes that are added at the same time.
    fn delays(count: u32, every: Duration) -> Vec<Duration> {
        let now = Instant::now();
        let mut first_starts = FirstStarts { next: now };
        (0..count).map(|_| first_starts.take(now, every) - now).collect()
    }

    #[tokio::test]
    async fn a_schedule_responds_unless_the_thread_of_a_worker_is_blocked() {
        let workers = Workers::start(0.0).unwrap();
        let (handle, changes) = handle();
        let stop = tokio::sync::Notify::new();
        let check = async {
            assert!(handle.responds().await);
            let (release, blocked) = std::sync::mpsc::channel::<()>();
            workers.handle(0).spawn(async move { blocked.recv() });
            let responds = tokio::time::timeout(Duration::from_millis(50), handle.responds()).await;
            assert!(responds.is_err(), "the schedule responds although the thread of its worker is blocked");
            drop(release);
            assert!(handle.responds().await);
            stop.notify_one();
        };
        let sinks = Arc::new(Sinks::new(0, Vec::new()));
        tokio::join!(run(changes, &workers, 1, sinks, stop.notified()), check);
        assert!(!handle.responds().await, "the schedule has ended");
    }

    #[test]
    fn the_first_probes_start_at_once() {
        assert_eq!(delays(IMMEDIATE_STARTS, 300 * SECOND), [Duration::ZERO; IMMEDIATE_STARTS as usize]);
    }

    #[test]
    fn a_thousand_first_starts_are_spread() {
        let starts = delays(1000, 300 * SECOND);
        assert!(starts.iter().all(|start| *start < 16 * SECOND));
        let busiest = (0..16).map(|second| starts.iter().filter(|start| start.as_secs() == second).count()).max();
        assert!(busiest <= Some(72), "{busiest:?} start within one second");
    }

    #[test]
    fn no_first_start_is_later_than_its_period() {
        assert!(delays(10_000, SECOND / 10).iter().all(|delay| *delay < SECOND / 10));
    }

    #[test]
    fn probes_that_are_added_later_start_at_once_too() {
        let now = Instant::now();
        let mut first_starts = FirstStarts { next: now };
        (0..100).for_each(|_| _ = first_starts.take(now, 300 * SECOND));
        let later = now + 10 * SECOND;
        let starts: Vec<_> = (0..=IMMEDIATE_STARTS).map(|_| first_starts.take(later, 300 * SECOND)).collect();
        let (last, immediate) = starts.split_last().expect("there are starts");
        assert!(immediate.iter().all(|start| *start == later) && *last > later, "{starts:?}");
    }
}
