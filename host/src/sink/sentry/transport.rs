//! Envelopes to a receiver over the network: in parallel, over kept connections, again until they are taken. Knows HTTP
//! and Sentry's answers, and nothing of runs.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::{Mutex, MutexGuard};
use reqwest::header::{CONTENT_ENCODING, HeaderName, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::compression::Compression;
use super::envelope::{Category, Envelope, Kind, report, sent_at};
use super::outcomes::{Counts, Reason};
use super::queue::{MOST, Next, Queue, QueueEvent, SendResult};
use super::rate_limits::Headers;
use super::spool::{Spool, SpooledEnvelope};

/// Sends what is pushed, until it is dropped. What is not sent by then stays in the spool.
pub struct Transport {
    post: Arc<Post>,
    _tasks: JoinSet<()>,
}

/// Where envelopes go.
pub struct Destination {
    /// For a person: `Sentry at o1.ingest.sentry.io`.
    pub name: String,
    pub client: Client,
    pub url: Url,
    pub packing: Compression,
    /// Whether it wants to know what it did not get.
    pub reports: bool,
    /// So many failures in a row to reach it, and a flush waits for it no longer.
    pub patience: u32,
}

struct Post {
    destination: Destination,
    queue: Mutex<Queue>,
    /// Something may be sent.
    work: Notify,
    /// Something may be sent soon, and whether that has been said already.
    soon: Notify,
    gathering: AtomicBool,
    /// Something was settled.
    settled: Notify,
    /// What was said in refusing, and the log has said.
    reasons: Mutex<HashSet<String>>,
}

/// Runs that passed within so long are sent together, so that none of them has to wake us for itself.
const GATHER: Duration = Duration::from_millis(250);
/// How often what waits is brought to the disk itself: as much can be lost when the machine stops. Measured at 200 runs a
/// second, it is a third of a millisecond each time during an outage, and seldom needed while Sentry keeps up.
const SYNC: Duration = Duration::from_secs(1);
/// How often the receiver is told of what was discarded, and what is too old is given up.
const REPORT: u32 = 30;
/// How often the log says how things stand, if anything has changed.
const SAY: u32 = 60;
const RATE_LIMITS: HeaderName = HeaderName::from_static("x-sentry-rate-limits");
/// Why something was refused.
const REASON: HeaderName = HeaderName::from_static("x-sentry-error");
/// Of an answer's body, which is read so that the connection can be kept.
const MAX_ANSWER: usize = 64 << 10;
/// How long an answer's body is waited for: one that drips in is not to hold up what comes next.
const ANSWER_TIME: Duration = Duration::from_secs(2);
/// Characters of what is said in refusing.
const MAX_REASON: usize = 300;
/// Different reasons that are logged, each once: there are few, unless the server puts the time into them.
const MAX_REASONS: usize = 20;

impl Transport {
    /// Starts sending, first of all what is `left` in the spool. Wants to be called within a tokio runtime.
    pub fn start(destination: Destination, spool: Spool, left: Vec<SpooledEnvelope>) -> Self {
        let post = Arc::new(Post {
            destination,
            queue: Mutex::new(Queue::new(spool, left)),
            work: Notify::new(),
            soon: Notify::new(),
            gathering: AtomicBool::new(false),
            settled: Notify::new(),
            reasons: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        for _ in 0..MOST {
            tasks.spawn(Arc::clone(&post).work());
        }
        tasks.spawn(Arc::clone(&post).gather());
        tasks.spawn(Arc::clone(&post).run_maintenance());
        Self { post, _tasks: tasks }
    }

    /// Takes envelopes that belong together, to be sent. Returns once they are in the spool.
    pub fn push(&self, envelopes: Vec<Envelope>) {
        let urgent = envelopes.iter().any(|envelope| envelope.kind != Kind::PassedTransaction);
        self.post.lock().push(envelopes, SystemTime::now());
        if urgent {
            self.post.work.notify_one();
        } else if !self.post.gathering.swap(true, Ordering::Relaxed) {
            self.post.soon.notify_one();
        }
    }

    /// The same for a thread that may have the queue itself, and then is not heard.
    pub fn push_at_once(&self, envelope: &Envelope) {
        const TRIES: u32 = 100;
        for _ in 0..TRIES {
            if let Some(mut queue) = self.post.queue.try_lock() {
                queue.push(vec![envelope.clone()], SystemTime::now());
                drop(queue);
                self.post.work.notify_one();
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Takes envelopes that are not to be sent yet. Returns once they are in the spool; after a restart they are sent.
    pub fn hold(&self, envelopes: Vec<Envelope>) {
        self.post.lock().hold(envelopes, SystemTime::now());
    }

    /// Sends what was held.
    pub fn release_held(&self) {
        self.post.lock().release_held();
        self.post.work.notify_one();
    }

    /// Gives up what was held.
    pub fn drop_held(&self) {
        self.post.lock().drop_held();
    }

    /// Counts an error that is not to be sent, since one event about this host says it for all.
    pub fn suppressed(&self) {
        self.post.lock().tally.dropped(Kind::Error, 0, Reason::Suppressed);
    }

    /// Counts a run, of so many spans, that is not to be sent.
    pub fn sampled_out(&self, spans: u32) {
        self.post.lock().tally.sampled_out(spans);
    }

    pub fn counts(&self) -> Counts {
        self.post.lock().counts()
    }

    /// Waits until everything is sent, for at most `grace`, and not for what cannot be sent by then; says how things
    /// stand.
    pub async fn flush(&self, grace: Duration) -> Counts {
        let now = Instant::now();
        // So long that it does not fit is as good as a day.
        let deadline = now.checked_add(grace).unwrap_or(now + Duration::from_secs(24 * 3600));
        self.post.lock().save();
        self.post.report(true);
        self.post.lock().retry_now();
        self.post.work.notify_one();
        loop {
            let mut settled = std::pin::pin!(self.post.settled.notified());
            // Listen before looking, or what happens between the two is missed.
            settled.as_mut().enable();
            if self.post.lock().is_stuck(Instant::now(), deadline, self.post.destination.patience) {
                break;
            }
            if tokio::time::timeout_at(deadline.into(), settled).await.is_err() {
                break;
            }
        }
        self.counts()
    }
}

impl Post {
    async fn work(self: Arc<Self>) {
        loop {
            let next = self.lock().next(Instant::now());
            match next {
                Next::Send(parcel, more) => {
                    if more {
                        self.work.notify_one();
                    }
                    let (answer, said) = match parcel.kept.read() {
                        Ok(envelope) => self.send(&envelope).await,
                        Err(error) => (SendResult::Damaged, error.to_string()),
                    };
                    let turn = self.lock().on_response(parcel, answer, Instant::now());
                    if let Some(turn) = turn {
                        self.log_transition(turn, &said);
                    }
                    self.settled.notify_waiters();
                }
                Next::Wait(None) => self.work.notified().await,
                Next::Wait(Some(until)) => {
                    tokio::select! {
                        () = self.work.notified() => {}
                        () = tokio::time::sleep_until(until.into()) => {}
                    }
                }
            }
        }
    }

    /// Has what nobody waits for sent together.
    async fn gather(self: Arc<Self>) {
        loop {
            self.soon.notified().await;
            self.gathering.store(false, Ordering::Relaxed);
            self.work.notify_one();
            tokio::time::sleep(GATHER).await;
        }
    }

    /// What is to be done from time to time.
    async fn run_maintenance(self: Arc<Self>) {
        let mut said = self.lock().counts();
        let mut ticks = 0_u32;
        loop {
            tokio::time::sleep(SYNC).await;
            ticks = ticks.wrapping_add(1);
            self.lock().save();
            self.sync().await;
            if ticks.is_multiple_of(REPORT) {
                self.lock().expire(SystemTime::now());
                self.report(false);
            }
            if ticks.is_multiple_of(SAY) {
                let counts = self.lock().counts();
                if counts != said {
                    tracing::info!("to {} so far: {counts}", self.destination.name);
                    said = counts;
                }
            }
        }
    }

    async fn sync(&self) {
        let unsynced = self.lock().spool.unsynced();
        for segment in unsynced {
            let synced = tokio::task::spawn_blocking(move || segment.sync()).await;
            if let Ok(Err(error)) = synced {
                tracing::debug!("the spool does not reach the disk: {error}");
            }
        }
    }

    /// Has the receiver told of what it did not get; `last` if what is not told now would never be.
    fn report(&self, last: bool) {
        if !self.destination.reports {
            return;
        }
        let mut queue = self.lock();
        // One that waits already is joined by what comes then, or many would wait for the end of an outage.
        if !last && queue.has_report() {
            return;
        }
        let discarded = queue.tally.take_unreported();
        if !discarded.is_empty() {
            let now = SystemTime::now();
            queue.push(vec![report(&discarded, now)], now);
            drop(queue);
            self.work.notify_one();
        }
    }

    /// Sends one envelope; besides the answer, what was said with it if it is not the wanted one.
    async fn send(&self, envelope: &[u8]) -> (SendResult, String) {
        let Destination { client, url, packing, .. } = &self.destination;
        let mut request = client.post(url.clone()).body(packing.compress(dated(envelope)));
        if let Some(encoding) = packing.encoding() {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => return (SendResult::Failed(Headers::default()), causes(&error.without_url())),
        };
        let status = response.status();
        let header = |name: HeaderName| {
            // Proxies may make several headers of one list.
            let values = response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.map(str::to_owned).reduce(|all, more| format!("{all},{more}"))
        };
        let headers = Headers { rate_limits: header(RATE_LIMITS), retry_after: header(RETRY_AFTER) };
        let reason = header(REASON);
        // Once the status is there the matter is settled, though the connection were cut in the middle of the rest.
        let body = read(response).await;
        let answer = match status {
            StatusCode::TOO_MANY_REQUESTS => SendResult::Limited(headers),
            // What a proxy says of an upstream that is slow, or of itself.
            StatusCode::REQUEST_TIMEOUT | StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::TOO_EARLY => {
                SendResult::Failed(headers)
            }
            _ if status.is_success() => SendResult::Taken(headers),
            _ if status.is_client_error() => SendResult::Refused(headers),
            // Sentry never redirects: something between us and it does, and may stop doing so.
            _ => SendResult::Failed(headers),
        };
        let said = match answer {
            SendResult::Taken(_) => String::new(),
            _ => {
                let reason = reason.map_or_else(|| String::from_utf8_lossy(&body), Cow::from);
                excerpt(&format!("{status} {reason}"))
            }
        };
        (answer, said)
    }

    fn log_transition(&self, turn: QueueEvent, said: &str) {
        let name = &self.destination.name;
        match turn {
            QueueEvent::Lost => tracing::warn!("cannot reach {name} ({said}): runs wait, and are sent again"),
            QueueEvent::Back => tracing::info!("{name} is back: what waited is being sent"),
            QueueEvent::Limited(categories, wait) => {
                let names: Vec<_> = categories.into_iter().map(Category::as_str).collect();
                let (names, seconds) = (names.join(", "), wait.as_secs_f64().ceil());
                tracing::warn!("{name} wants nothing of these for {seconds} s, a rate limit: {names}; they wait");
            }
            QueueEvent::Damaged => tracing::error!("the spool does not give back what was put there ({said}): dropped"),
            QueueEvent::Refused => {
                let mut reasons = self.reasons.lock();
                if reasons.len() >= MAX_REASONS || !reasons.insert(said.to_owned()) {
                    return;
                }
                tracing::warn!("{name} refuses what it is sent ({said}): dropped; check the DSN and quotas");
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock()
    }
}

/// The envelope as it is sent now.
fn dated(envelope: &[u8]) -> Vec<u8> {
    let head = sent_at(SystemTime::now(), envelope);
    [head.as_bytes(), envelope.get(1..).unwrap_or_default()].concat()
}

/// An answer's body, as much of it as came.
async fn read(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let all = async {
        while body.len() < MAX_ANSWER
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
    };
    _ = tokio::time::timeout(ANSWER_TIME, all).await;
    body
}

/// What the server says, fit for a line of a log.
fn excerpt(said: &str) -> String {
    said.trim().chars().take(MAX_REASON).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// What caused an error: the outermost says only that a request could not be sent.
fn causes(error: &dyn std::error::Error) -> String {
    let chain: Vec<_> =
        std::iter::successors(error.source(), |error| error.source()).map(ToString::to_string).collect();
    if chain.is_empty() { error.to_string() } else { chain.join(": ") }
}

#[cfg(test)]
mod tests;
