//! Sends envelopes to one destination: in parallel, and each again until the destination accepts or rejects it.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::client_report::client_report;
use super::delivery::{Blocked, Delivery};
use super::destination::Destination;
use super::envelope::{Category, Envelope, Kind};
use super::outcomes::{Counts, DropReason};
use super::queue::{MAX_IN_FLIGHT, Next, Queue, QueueEvent, SendResult};
use super::spool::{Spool, SpooledEnvelope};
use crate::threads::run_blocking;

/// Sends the envelopes that are pushed to it, until it is dropped. Envelopes that are not sent by then stay in the
/// spool.
pub struct Transport {
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

/// The state that the tasks of a transport share.
struct Shared {
    destination: Destination,
    queue: Mutex<Queue>,
    /// Wakes a worker: an envelope may be sent.
    ready: Notify,
    /// Wakes the batch timer: an envelope may be sent with the next batch.
    batch_started: Notify,
    /// True from the first envelope of a batch until the batch timer has been woken for it.
    is_batch_started: AtomicBool,
    /// Wakes flushes: a response was handled.
    response_handled: Notify,
    /// The explanations of rejections that have been logged.
    logged_rejections: Mutex<HashSet<String>>,
    /// The state of the delivery, about which the log tells the operator.
    delivery: Mutex<Delivery>,
}

/// The interval of sending transactions of passed runs. Sending them in batches saves waking the workers for each.
const BATCH_INTERVAL: Duration = Duration::from_millis(250);
/// The interval of syncing the spool. When the machine crashes, the envelopes of this time can be lost. Measured at 200
/// runs/s: a sync takes about 0.3 ms during an outage of Sentry, and is seldom needed while Sentry accepts envelopes as
/// fast as they are added.
const SYNC_INTERVAL: Duration = Duration::from_secs(1);
/// The number of syncs between client reports, and between searches for envelopes that have become too old.
const SYNCS_PER_REPORT: u32 = 30;
/// The number of syncs between log lines with the counts, if they have changed.
const SYNCS_PER_LOG_LINE: u32 = 60;
/// The maximum number of different explanations that are logged, each once. A server has few of them, unless its
/// explanations contain the time.
const MAX_LOGGED_REJECTIONS: usize = 20;

impl Transport {
    /// Starts sending, beginning with the envelopes that an earlier process left in the spool. Must be called within a
    /// tokio runtime.
    pub fn start(destination: Destination, spool: Spool, leftovers: Vec<SpooledEnvelope>) -> Self {
        let shared = Arc::new(Shared {
            destination,
            queue: Mutex::new(Queue::new(spool, leftovers)),
            ready: Notify::new(),
            batch_started: Notify::new(),
            is_batch_started: AtomicBool::new(false),
            response_handled: Notify::new(),
            logged_rejections: Mutex::default(),
            delivery: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..MAX_IN_FLIGHT {
            tasks.spawn(Arc::clone(&shared).run_worker());
        }
        tasks.spawn(Arc::clone(&shared).run_batch_timer());
        tasks.spawn(Arc::clone(&shared).run_maintenance());
        Self { shared, _tasks: tasks }
    }

    /// Adds envelopes of one run, and returns once they are in the spool. They are sent at once, or with the next batch
    /// if they are all transactions of passed runs.
    pub fn push(&self, envelopes: Vec<Envelope>) {
        let is_urgent = envelopes.iter().any(|envelope| envelope.kind != Kind::PassedTransaction);
        self.shared.lock().push(envelopes, SystemTime::now());
        if is_urgent {
            self.shared.ready.notify_one();
        } else if !self.shared.is_batch_started.swap(true, Ordering::Relaxed) {
            self.shared.batch_started.notify_one();
        }
    }

    /// Adds an envelope from a thread that may hold the queue's lock itself, such as one that panics. The envelope is
    /// lost if the lock is not available within about 100 ms.
    pub fn try_push(&self, envelope: &Envelope) {
        const ATTEMPTS: u32 = 100;
        for _ in 0..ATTEMPTS {
            if let Some(mut queue) = self.shared.queue.try_lock() {
                queue.push(vec![envelope.clone()], SystemTime::now());
                drop(queue);
                self.shared.ready.notify_one();
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Adds envelopes that are not sent until they are released, or the process is restarted. Returns once they are in
    /// the spool.
    pub fn hold(&self, envelopes: Vec<Envelope>) {
        self.shared.lock().hold(envelopes, SystemTime::now());
    }

    /// Lets the held envelopes be sent.
    pub fn release_held(&self) {
        self.shared.lock().release_held();
        self.shared.ready.notify_one();
    }

    /// Drops the held envelopes.
    pub fn drop_held(&self) {
        self.shared.lock().drop_held();
    }

    /// Counts an error that is not sent because the network of this host is down. One event about that replaces the
    /// errors of all targets.
    pub fn count_suppressed(&self) {
        self.shared.lock().outcomes.count_dropped(Kind::Error, 0, DropReason::Suppressed);
    }

    /// Counts a run that was sampled out. `spans` is the number of its spans.
    pub fn count_sampled_out(&self, spans: u32) {
        self.shared.lock().outcomes.count_sampled_out(spans);
    }

    pub fn counts(&self) -> Counts {
        self.shared.lock().counts()
    }

    /// Returns the latest explanation of an envelope that did not get through, if there was one.
    pub fn last_cause(&self) -> Option<String> {
        self.shared.delivery.lock().last_cause().map(str::to_owned)
    }

    /// Waits until everything is sent, but not longer than `timeout`, and not for envelopes that cannot be sent by
    /// then. Returns the counts after that.
    pub async fn flush(&self, timeout: Duration) -> Counts {
        let now = Instant::now();
        // A timeout that the clock cannot represent is replaced by a day.
        let deadline = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(24 * 3600));
        self.shared.lock().move_to_disk();
        self.shared.push_client_report(true);
        self.shared.lock().retry_now();
        self.shared.ready.notify_one();
        loop {
            let mut response_handled = std::pin::pin!(self.shared.response_handled.notified());
            // Registers for the notification before it checks the queue, so that no response in between is missed.
            response_handled.as_mut().enable();
            let max_failures = self.shared.destination.max_failures_in_flush;
            if self.shared.lock().is_stuck(Instant::now(), deadline, max_failures) {
                break;
            }
            if tokio::time::timeout_at(deadline.into(), response_handled).await.is_err() {
                break;
            }
        }
        self.counts()
    }
}

impl Shared {
    /// Sends one envelope after the other, for ever.
    async fn run_worker(self: Arc<Self>) {
        loop {
            let next = self.lock().next(Instant::now());
            match next {
                Next::Send { envelope, is_more_ready } => {
                    if is_more_ready {
                        self.ready.notify_one();
                    }
                    let (result, detail) = match envelope.spooled.read() {
                        Ok(bytes) => self.destination.send(&bytes).await,
                        Err(error) => (SendResult::Unreadable, error.to_string()),
                    };
                    let now = Instant::now();
                    let ended = self.delivery.lock().record(&result, &detail, now);
                    let event = self.lock().on_result(envelope, result, now);
                    if let Some(after) = ended.filter(|_| event != Some(QueueEvent::Reachable)) {
                        let (destination, seconds) = (&self.destination.name, after.as_secs());
                        tracing::info!(%destination, seconds, "envelopes are accepted again, after {seconds} s");
                    }
                    if let Some(event) = event {
                        self.log_event(event, &detail);
                    }
                    self.response_handled.notify_waiters();
                }
                Next::Wait(None) => self.ready.notified().await,
                Next::Wait(Some(until)) => {
                    tokio::select! {
                        () = self.ready.notified() => {}
                        () = tokio::time::sleep_until(until.into()) => {}
                    }
                }
            }
        }
    }

    /// Wakes the workers once for each batch.
    async fn run_batch_timer(self: Arc<Self>) {
        loop {
            self.batch_started.notified().await;
            self.is_batch_started.store(false, Ordering::Relaxed);
            self.ready.notify_one();
            tokio::time::sleep(BATCH_INTERVAL).await;
        }
    }

    /// Syncs the spool, drops envelopes that have become too old, pushes client reports and logs the counts.
    async fn run_maintenance(self: Arc<Self>) {
        let mut logged = self.lock().counts();
        let mut syncs = 0_u32;
        loop {
            tokio::time::sleep(SYNC_INTERVAL).await;
            syncs = syncs.wrapping_add(1);
            self.lock().move_to_disk();
            self.sync_spool().await;
            let blocked = self.delivery.lock().take_warning(Instant::now());
            if let Some(blocked) = blocked {
                self.log_blocked(&blocked);
            }
            if syncs.is_multiple_of(SYNCS_PER_REPORT) {
                self.lock().drop_expired(SystemTime::now());
                self.push_client_report(false);
            }
            if syncs.is_multiple_of(SYNCS_PER_LOG_LINE) {
                let counts = self.lock().counts();
                if counts != logged {
                    let Counts { sent, waiting, .. } = counts;
                    let dropped = counts.all_dropped();
                    tracing::info!(
                        destination = %self.destination.name, sent, waiting, dropped,
                        "envelopes so far: {counts}"
                    );
                    logged = counts;
                }
            }
        }
    }

    async fn sync_spool(&self) {
        let segments = self.lock().spool.unsynced_segments();
        for segment in segments {
            let result = run_blocking("sync", move || segment.sync()).await;
            if let Ok(Err(error)) = result {
                tracing::debug!(%error, "cannot sync the spool to the disk");
            }
        }
    }

    /// Pushes a client report if anything was dropped since the last one. `is_last` is true if no further report will
    /// follow.
    fn push_client_report(&self, is_last: bool) {
        if !self.destination.accepts_client_reports {
            return;
        }
        let mut queue = self.lock();
        // While a report waits, the next one collects more, so that few of them wait at the end of an outage.
        if !is_last && queue.has_client_report() {
            return;
        }
        let discarded = queue.outcomes.take_unreported();
        if !discarded.is_empty() {
            let now = SystemTime::now();
            queue.push(vec![client_report(&discarded, now)], now);
            drop(queue);
            self.ready.notify_one();
        }
    }

    /// Logs that nothing gets through.
    fn log_blocked(&self, Blocked { since, cause, rejected }: &Blocked) {
        let (destination, waiting) = (&self.destination.name, self.lock().counts().waiting);
        tracing::warn!(
            %destination, cause = %cause, waiting, rejected, %since,
            "nothing gets through since {since}: {waiting} envelopes waiting, {rejected} rejected and dropped; \
             `sentrynet check --online` tries the DSN"
        );
    }

    /// Logs an event. `detail` is the error, or the status and the explanation of the response, that led to it.
    fn log_event(&self, event: QueueEvent, detail: &str) {
        let destination = &self.destination.name;
        match event {
            QueueEvent::Unreachable => tracing::warn!(
                %destination, cause = %detail,
                "destination unreachable or failing: envelopes wait in the spool, and are sent again"
            ),
            QueueEvent::Reachable => {
                tracing::info!(%destination, "destination reachable again: sending the envelopes that wait");
            }
            QueueEvent::RateLimited(categories, limit) => {
                let categories: Vec<_> = categories.into_iter().map(Category::as_str).collect();
                tracing::warn!(
                    %destination, categories = %categories.join(","), seconds = limit.as_secs_f64().ceil() as u64,
                    "rate limit reached: envelopes of these categories wait in the spool"
                );
            }
            QueueEvent::Unreadable => tracing::error!(
                %destination, cause = %detail,
                "cannot read an envelope from the spool: dropped; check the disk"
            ),
            QueueEvent::Rejected => {
                let mut logged = self.logged_rejections.lock();
                if logged.len() >= MAX_LOGGED_REJECTIONS || !logged.insert(detail.to_owned()) {
                    return;
                }
                if detail.starts_with("413") {
                    tracing::warn!(
                        %destination, response = %detail,
                        "envelope rejected as too large: dropped; if a proxy is in front of Sentry, raise its limit on \
                         bodies to 20 MiB or more (nginx: `client_max_body_size`)"
                    );
                    return;
                }
                tracing::warn!(
                    %destination, response = %detail,
                    "envelope rejected: dropped; check the DSN and the project's settings in Sentry"
                );
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }
}

#[cfg(test)]
mod tests;
