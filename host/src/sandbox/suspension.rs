//! Notices periods in which this process did not run: it was stopped by a signal, its control group was frozen, or the
//! machine was suspended. What a run sees meanwhile is no fault of its target.
//!
//! A thread wakes four times a second and compares clocks. A machine with too little CPU time wakes it late too, but
//! then the kernel counts how long the thread was ready to run (`schedstat`). A thread that is stopped is not ready to
//! run. While the machine sleeps, `CLOCK_MONOTONIC` stands still, and `CLOCK_BOOTTIME` does not.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use parking_lot::Mutex;

use crate::threads::refused;

/// A record of the last periods in which this process did not run, which a thread of its own keeps.
pub struct SuspensionMonitor(Mutex<State>);

struct State {
    last: Sample,
    /// The last suspensions, oldest first, at most [`MAX_KNOWN`].
    known: VecDeque<Suspension>,
}

/// The clocks at one time, as the monitor's thread sees them.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    /// The time for which the machine has slept since it was started: `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`.
    slept: Duration,
    /// The time for which the thread was ready to run and had no processor. `None` if the kernel does not count it.
    ready: Option<Duration>,
}

/// A period in which this process did not run for the time `lasted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Suspension {
    began: Instant,
    ended: Instant,
    lasted: Duration,
}

/// The interval at which the thread wakes.
const INTERVAL: Duration = Duration::from_millis(250);
/// The shortest time without running that counts. A thread that waits for its memory to be read from a slow disk stands
/// still too, but hardly for so long.
const MIN_STOPPED: Duration = Duration::from_secs(2);
/// The same for a kernel that does not count how long a thread was ready to run: longer than a loaded machine delays
/// one.
const MIN_STOPPED_UNCOUNTED: Duration = Duration::from_secs(10);
/// The shortest sleep of the machine that counts.
const MIN_SLEPT: Duration = Duration::from_secs(1);
/// The time after which the thread is overdue, so that a run waits for it: less than [`MIN_STOPPED`].
const OVERDUE: Duration = Duration::from_secs(1);
/// The number of suspensions that are remembered, more than happen during one run.
const MAX_KNOWN: usize = 64;

impl SuspensionMonitor {
    /// Starts the thread, which ends when the monitor is dropped.
    ///
    /// # Errors
    /// Returns an error if the operating system refuses the thread.
    pub fn start() -> io::Result<Arc<Self>> {
        let last = Sample { at: Instant::now(), slept: slept().unwrap_or_default(), ready: None };
        let monitor = Arc::new(Self(Mutex::new(State { last, known: VecDeque::new() })));
        let weak = Arc::downgrade(&monitor);
        thread::Builder::new()
            .name("suspensions".to_owned())
            .spawn(move || run_thread(&weak))
            .map_err(|error| refused(&error))?;
        Ok(monitor)
    }

    /// Waits until the thread has looked at the clocks, if it is overdue. So a suspension is known right after it has
    /// ended, before any run starts or ends. Waits for a few seconds at most.
    pub async fn settle(&self) {
        const PAUSE: Duration = Duration::from_millis(10);
        const MAX_PAUSES: u32 = 500;
        for _ in 0..MAX_PAUSES {
            if !self.is_overdue() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns the time for which this process did not run between `began` and now, if it was suspended.
    pub fn suspended_since(&self, began: Instant) -> Option<Duration> {
        let state = self.0.lock();
        let during = state.known.iter().filter(|suspension| suspension.ended > began);
        Some(during.map(|suspension| suspension.lasted).sum()).filter(|lasted: &Duration| !lasted.is_zero())
    }

    fn is_overdue(&self) -> bool {
        let last = self.0.lock().last;
        last.at.elapsed() > OVERDUE || slept().is_some_and(|slept| slept.saturating_sub(last.slept) >= MIN_SLEPT)
    }

    fn record(&self, sample: Sample) {
        let mut state = self.0.lock();
        let last = std::mem::replace(&mut state.last, sample);
        let Some(suspension) = Suspension::between(&last, &sample) else { return };
        if state.known.len() == MAX_KNOWN {
            state.known.pop_front();
        }
        state.known.push_back(suspension);
        drop(state);
        let seconds = suspension.lasted.as_secs_f64();
        tracing::warn!(
            seconds,
            "this host was suspended for {seconds:.1} s: runs that were in progress are broken, and runs that were due \
             meanwhile are skipped"
        );
    }
}

impl Suspension {
    /// Returns the suspension between two samples, if there was one.
    fn between(last: &Sample, now: &Sample) -> Option<Self> {
        let late = now.at.saturating_duration_since(last.at).saturating_sub(INTERVAL);
        let (stopped, min_stopped) = match (last.ready, now.ready) {
            (Some(before), Some(after)) => (late.saturating_sub(after.saturating_sub(before)), MIN_STOPPED),
            _ => (late, MIN_STOPPED_UNCOUNTED),
        };
        let stopped = Some(stopped).filter(|stopped| *stopped >= min_stopped);
        let slept = Some(now.slept.saturating_sub(last.slept)).filter(|slept| *slept >= MIN_SLEPT);
        let lasted = stopped.unwrap_or_default() + slept.unwrap_or_default();
        (!lasted.is_zero()).then_some(Self { began: last.at, ended: now.at, lasted })
    }
}

fn run_thread(monitor: &Weak<SuspensionMonitor>) {
    // The file of this thread, whichever thread reads it.
    let statistics = File::open("/proc/thread-self/schedstat").ok();
    let mut last_slept = Duration::ZERO;
    while let Some(monitor) = monitor.upgrade() {
        last_slept = slept().unwrap_or(last_slept);
        let ready = statistics.as_ref().and_then(ready_time);
        monitor.record(Sample { at: Instant::now(), slept: last_slept, ready });
        drop(monitor);
        thread::sleep(INTERVAL);
    }
}

/// Returns the time for which a thread was ready to run: the second number of its `schedstat`, in nanoseconds.
fn ready_time(statistics: &File) -> Option<Duration> {
    let mut bytes = [0; 100];
    let count = statistics.read_at(&mut bytes, 0).ok()?;
    let text = std::str::from_utf8(&bytes[..count]).ok()?;
    text.split_whitespace().nth(1)?.parse().ok().map(Duration::from_nanos)
}

/// Returns the time for which the machine has slept since it was started. `None` if the clocks cannot be read, or not
/// at the same time because this thread was interrupted.
fn slept() -> Option<Duration> {
    const MAX_INTERRUPTION: Duration = Duration::from_millis(100);
    const ATTEMPTS: u32 = 3;
    let read = |clock| clock_gettime(clock).map(Duration::from).ok();
    (0..ATTEMPTS).find_map(|_| {
        let before = read(ClockId::CLOCK_MONOTONIC)?;
        let since_boot = read(ClockId::CLOCK_BOOTTIME)?;
        let after = read(ClockId::CLOCK_MONOTONIC)?;
        (after.saturating_sub(before) < MAX_INTERRUPTION).then(|| since_boot.saturating_sub(after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Checks the suspension between a first sample and one with these clocks, in seconds after it.
    #[track_caller]
    fn check(at: f64, slept: f64, ready: Option<f64>, expected: Option<f64>) {
        let began = Instant::now();
        let seconds = Duration::from_secs_f64;
        let last = Sample { at: began, slept: 100 * SECOND, ready: ready.map(|_| 7 * SECOND) };
        let ready = ready.map(|ready| 7 * SECOND + seconds(ready));
        let now = Sample { at: began + seconds(at), slept: 100 * SECOND + seconds(slept), ready };
        let found = Suspension::between(&last, &now).map(|suspension| suspension.lasted);
        assert_eq!(found, expected.map(seconds));
    }

    #[test]
    fn a_stopped_process_is_suspended_and_one_on_a_loaded_machine_is_not() {
        check(0.25, 0.0, Some(0.0), None);
        check(25.25, 0.0, Some(0.0), Some(25.0));
        check(2.2, 0.0, Some(0.0), None);
        check(2.25, 0.0, Some(0.0), Some(2.0));
        // The thread was ready to run for all of this time, or for most of it.
        check(25.25, 0.0, Some(25.0), None);
        check(25.25, 0.0, Some(24.0), None);
        check(30.25, 0.0, Some(5.0), Some(25.0));
        // Without the kernel's counter.
        check(10.2, 0.0, None, None);
        check(25.25, 0.0, None, Some(25.0));
    }

    #[test]
    fn a_machine_that_slept_was_suspended() {
        check(0.3, 3600.0, Some(0.0), Some(3600.0));
        check(0.3, 0.9, Some(0.0), None);
        check(5.25, 60.0, Some(0.0), Some(65.0));
    }

    #[test]
    fn a_run_is_suspended_if_it_began_before_the_end() {
        let monitor = SuspensionMonitor(Mutex::new(State {
            last: Sample { at: Instant::now(), slept: Duration::ZERO, ready: None },
            known: VecDeque::new(),
        }));
        let began = monitor.0.lock().last.at;
        assert_eq!(monitor.suspended_since(began), None);
        monitor.record(Sample { at: began + 30 * SECOND, slept: Duration::ZERO, ready: None });
        assert_eq!(monitor.suspended_since(began), Some(Duration::from_millis(29_750)));
        assert_eq!(monitor.suspended_since(began + 29 * SECOND), Some(Duration::from_millis(29_750)));
        assert_eq!(monitor.suspended_since(began + 30 * SECOND), None);
        for number in 2..100 {
            monitor.record(Sample { at: began + number * 30 * SECOND, slept: Duration::ZERO, ready: None });
        }
        assert_eq!(monitor.0.lock().known.len(), MAX_KNOWN);
    }

    #[test]
    fn this_kernel_counts_how_long_a_thread_was_ready() {
        let statistics = File::open("/proc/thread-self/schedstat").expect("the kernel has statistics");
        assert!(ready_time(&statistics).is_some());
        assert!(slept().is_some());
    }
}
