//! When monitors are told: as the minutes of their runs end, and for the host itself every minute. Knows the time, and
//! nothing of sending.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep_until};

use super::check_in::{CheckIn, MINUTE, Rollups};
use crate::config::{Monitor, MonitorSubject};
use crate::run::Run;

/// Checks in until it is dropped.
pub struct CheckInTimer {
    hands: Arc<Hands>,
    _tasks: JoinSet<()>,
}

struct Hands {
    rollups: Mutex<Rollups>,
    /// There may be something new to wait for.
    noted: Notify,
    tell: Box<dyn Fn(CheckIn) + Send + Sync>,
}

impl CheckInTimer {
    /// For these monitors; `tell` gets what they are to be told, and returns at once. Wants to be called within a tokio
    /// runtime.
    pub fn start(monitors: &[Monitor], tell: impl Fn(CheckIn) + Send + Sync + 'static) -> Self {
        let rollups = Mutex::new(Rollups::new(monitors));
        let hands = Arc::new(Hands { rollups, noted: Notify::new(), tell: Box::new(tell) });
        let mut tasks = JoinSet::new();
        tasks.spawn(Arc::clone(&hands).turn());
        for monitor in monitors.iter().filter(|monitor| monitor.subject == MonitorSubject::Host) {
            tasks.spawn(Arc::clone(&hands).beat(monitor.clone()));
        }
        Self { hands, _tasks: tasks }
    }

    /// Takes in a run that has ended just now.
    pub fn record(&self, run: &Run) {
        let mut rollups = self.hands.rollups.lock();
        if rollups.record(run, Instant::now()) {
            self.hands.noted.notify_one();
        }
    }

    /// Tells all that there is to tell, though its minute has not ended.
    pub fn flush(&self) {
        self.hands.tell(None);
    }
}

impl Hands {
    async fn turn(self: Arc<Self>) {
        loop {
            match self.tell(Some(Instant::now())) {
                None => self.noted.notified().await,
                Some(due) => {
                    tokio::select! {
                        () = self.noted.notified() => {}
                        () = sleep_until(due.into()) => {}
                    }
                }
            }
        }
    }

    /// Tells what is due by then, or all that there is; and when the next will be.
    fn tell(&self, by: Option<Instant>) -> Option<Instant> {
        // Told before it is let go, so that nothing is on its way when a flush is done.
        let mut rollups = self.rollups.lock();
        rollups.take(by).for_each(&self.tell);
        rollups.due()
    }

    /// Tells every minute that we are alive.
    async fn beat(self: Arc<Self>, monitor: Monitor) {
        let mut minutes = interval(MINUTE);
        // Nobody wants to hear of each minute that the machine has slept.
        minutes.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            minutes.tick().await;
            (self.tell)(CheckIn { monitor: &monitor, well: true, duration: None, trace: None });
        }
    }
}
