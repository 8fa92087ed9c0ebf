//! The timer of check-ins: sends the check-ins of runs at the end of their minute, and the check-in of the host itself
//! every minute. The caller provides the function that sends a check-in.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::check_in::{CheckIn, MINUTE, Rollups};
use crate::config::{Monitor, MonitorSubject};
use crate::run::Run;

/// Checks in to all monitors until it is dropped.
pub struct CheckInTimer {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// The state that the tasks share.
struct Shared {
    rollups: Mutex<Rollups>,
    /// Wakes the task that sends due check-ins, after a run was recorded.
    recorded: Notify,
    send: Box<dyn Fn(CheckIn) + Send + Sync>,
}

impl CheckInTimer {
    /// Starts checking in to these monitors. `send` is called with each check-in, and must return quickly. Must be
    /// called within a tokio runtime.
    pub fn start(monitors: &[Monitor], send: impl Fn(CheckIn) + Send + Sync + 'static) -> Self {
        let rollups = Mutex::new(Rollups::new(monitors));
        let shared = Arc::new(Shared { rollups, recorded: Notify::new(), send: Box::new(send) });
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&shared).send_when_due());
        for monitor in monitors.iter().filter(|monitor| monitor.subject == MonitorSubject::Host) {
            tasks.spawn(Arc::clone(&shared).send_heartbeats(monitor.clone()));
        }
        Self { shared, _tasks: tasks }
    }

    /// Replaces the monitors that runs check in to.
    pub fn set_monitors(&self, monitors: &[Monitor]) {
        let mut rollups = Rollups::new(monitors);
        {
            let mut current = self.shared.rollups.lock();
            std::mem::swap(&mut *current, &mut rollups);
            current.continue_from(rollups);
        }
        self.shared.recorded.notify_one();
    }

    /// Records a run that has just ended.
    pub fn record(&self, run: &Run) {
        let mut rollups = self.shared.rollups.lock();
        if rollups.record(run, Instant::now()) {
            self.shared.recorded.notify_one();
        }
    }

    /// Sends all pending check-ins, even if their minute has not ended.
    pub fn flush(&self) {
        self.shared.send_due(None);
    }
}

impl Shared {
    /// Sends check-ins when they are due.
    async fn send_when_due(self: Arc<Self>) {
        loop {
            match self.send_due(Some(Instant::now())) {
                None => self.recorded.notified().await,
                Some(due) => {
                    tokio::select! {
                        () = self.recorded.notified() => {}
                        () = sleep_until(due.into()) => {}
                    }
                }
            }
        }
    }

    /// Sends the check-ins that are due at or before `by`, or all that are pending if it is `None`. Returns the time at
    /// which the next one is due, or `None` if no run waits for one.
    fn send_due(&self, by: Option<Instant>) -> Option<Instant> {
        // Sends under the lock, so that everything is sent when a later flush has taken the lock.
        let mut rollups = self.rollups.lock();
        rollups.take(by).for_each(&self.send);
        rollups.next_due()
    }

    /// Checks in every minute to a monitor of the host itself.
    async fn send_heartbeats(self: Arc<Self>, monitor: Monitor) {
        let mut minutes = interval(MINUTE);
        // Does not catch up on minutes in which the machine was suspended.
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            minutes.tick().await;
            (self.send)(CheckIn { monitor: &monitor, is_ok: true, duration: None, trace: None });
        }
    }
}
