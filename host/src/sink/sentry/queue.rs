//! The queue of a transport: the order in which envelopes are sent, the time from which each may be sent, and which are
//! dropped when there are too many. The queue owns the spool, and does no other I/O: a transport sends the envelopes,
//! and reports the results.

use std::time::{Duration, Instant, SystemTime};

use self::queued_envelope::QueuedEnvelope;
use self::waiting::Waiting;
use super::backoff::Backoff;
use super::envelope::{Category, Envelope, Kind, Origin};
use super::outcomes::{Counts, DropReason, Outcomes};
use super::rate_limits::{RateLimitHeaders, RateLimits};
use super::spool::{Spool, SpooledEnvelope, Storage};

mod queued_envelope;
mod waiting;

/// The envelopes in a spool, in the order in which they are sent.
#[derive(Debug)]
pub struct Queue {
    pub spool: Spool,
    pub outcomes: Outcomes,
    /// The waiting envelopes of each storage.
    waiting: [Waiting; 2],
    /// Envelopes that are not sent until they are released.
    held: Vec<QueuedEnvelope>,
    /// The number of envelopes in flight from each storage.
    in_flight: [usize; 2],
    max_in_flight: usize,
    limits: RateLimits,
    backoff: Backoff,
    /// True once the server has answered for the first time.
    has_answered: bool,
    /// True from [`QueueEvent::Unreachable`] until [`QueueEvent::Reachable`].
    is_unreachable: bool,
}

/// The next action of a worker.
#[derive(Debug)]
pub enum Next {
    Send {
        envelope: QueuedEnvelope,
        /// True if another worker can send something at the same time.
        is_more_ready: bool,
    },
    /// Wait until the queue changes, or until this time if it is `Some`.
    Wait(Option<Instant>),
}

/// The result of sending an envelope.
#[derive(Debug)]
pub enum SendResult {
    Accepted(RateLimitHeaders),
    /// Rejected for now because of a rate limit.
    RateLimited(RateLimitHeaders),
    /// Rejected permanently.
    Rejected(RateLimitHeaders),
    /// There was no response, or it was a server error.
    Failed(RateLimitHeaders),
    /// The envelope could not be read from the spool.
    Unreadable,
}

/// A change that is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueEvent {
    /// The server has begun to fail.
    Unreachable,
    /// The server answers again.
    Reachable,
    /// The server has rate-limited these categories, for this time from now on.
    RateLimited(Vec<Category>, Duration),
    /// An envelope was dropped because the server rejects it, or fails at it while it accepts others.
    Rejected,
    /// An envelope was dropped because it could not be read.
    Unreadable,
}

/// The initial number of requests at the same time: enough that the round-trip time does not limit the throughput. Each
/// accepted envelope raises the number by one, up to [`MAX_IN_FLIGHT`]; a failure sets it to one.
const INITIAL_IN_FLIGHT: usize = 4;
/// The maximum number of requests at the same time.
pub const MAX_IN_FLIGHT: usize = 32;
impl Queue {
    /// Creates a queue with the envelopes that an earlier process left in the spool.
    pub fn new(spool: Spool, leftovers: Vec<SpooledEnvelope>) -> Self {
        let mut queue = Self {
            spool,
            outcomes: Outcomes::default(),
            waiting: Default::default(),
            held: Vec::new(),
            in_flight: [0; 2],
            max_in_flight: INITIAL_IN_FLIGHT,
            limits: RateLimits::default(),
            backoff: Backoff::default(),
            has_answered: false,
            is_unreachable: false,
        };
        for spooled in leftovers {
            queue.outcomes.count_spooled(spooled.kind);
            queue.enqueue(QueuedEnvelope::new(spooled));
        }
        queue
    }

    /// Adds envelopes that are sent as soon as possible. If the spool is full, drops the least important ones, those of
    /// a third-party probe if these probes use at least half of the spool.
    pub fn push(&mut self, envelopes: Vec<Envelope>, now: SystemTime) {
        for spooled in self.add_to_spool(envelopes, now) {
            self.enqueue(QueuedEnvelope::new(spooled));
        }
        self.drop_excess();
    }

    /// Adds envelopes that are not sent until they are released, or the process is restarted.
    pub fn hold(&mut self, envelopes: Vec<Envelope>, now: SystemTime) {
        let spooled = self.add_to_spool(envelopes, now);
        self.held.extend(spooled.into_iter().map(QueuedEnvelope::new));
        self.drop_excess();
    }

    /// Lets the held envelopes be sent.
    pub fn release_held(&mut self) {
        for envelope in std::mem::take(&mut self.held) {
            self.enqueue(envelope);
        }
    }

    /// Drops the held envelopes.
    pub fn drop_held(&mut self) {
        for envelope in std::mem::take(&mut self.held) {
            self.discard(envelope, DropReason::Suppressed);
        }
    }

    /// Takes the most important envelope that may be sent now. The caller must pass it to [`Queue::on_result`].
    pub fn next(&mut self, now: Instant) -> Next {
        loop {
            let Some(Due { not_before, queue: (storage, kind) }) = self.next_due(now) else { return Next::Wait(None) };
            if not_before.is_some() {
                return Next::Wait(not_before);
            }
            // The next worker whose envelope is sent calls this function again.
            if self.in_flight() >= self.max_in_flight {
                return Next::Wait(None);
            }
            let Some(mut envelope) = self.waiting[storage].pop(kind) else { return Next::Wait(None) };
            if envelope.is_expired(SystemTime::now()) {
                self.discard(envelope, DropReason::TooOld);
                continue;
            }
            self.in_flight[storage] += 1;
            envelope.failures_at_send = self.backoff.on_send(envelope.spooled.kind.category());
            let is_more_ready =
                self.in_flight() < self.max_in_flight && self.next_due(now).is_some_and(|due| due.not_before.is_none());
            return Next::Send { envelope, is_more_ready };
        }
    }

    /// Takes an envelope from [`Queue::next`] back, with the result of sending it. Returns an event if there is one to
    /// log.
    pub fn on_result(&mut self, envelope: QueuedEnvelope, result: SendResult, now: Instant) -> Option<QueueEvent> {
        self.in_flight[envelope.spooled.storage() as usize] -= 1;
        let category = envelope.spooled.kind.category();
        self.backoff.on_send_end(category);
        match result {
            SendResult::Accepted(headers) => {
                let limited = self.limits.update(&headers, category, false, now);
                self.outcomes.count_sent(envelope.spooled.kind);
                self.spool.remove(envelope.spooled);
                self.max_in_flight = (self.max_in_flight + 1).min(MAX_IN_FLIGHT);
                self.on_answer(category, limited, now)
            }
            SendResult::RateLimited(headers) => {
                let limited = self.limits.update(&headers, category, true, now);
                self.enqueue(envelope);
                self.on_answer(category, limited, now)
            }
            SendResult::Rejected(headers) => {
                let limited = self.limits.update(&headers, category, false, now);
                self.discard(envelope, DropReason::Rejected);
                self.on_answer(category, limited, now);
                Some(QueueEvent::Rejected)
            }
            SendResult::Failed(headers) => {
                // A failure with a `Retry-After` is treated like a rate limit.
                self.limits.update(&headers, category, headers.retry_after.is_some(), now);
                self.on_failure(envelope, now)
            }
            SendResult::Unreadable => {
                self.discard(envelope, DropReason::Unreadable);
                Some(QueueEvent::Unreadable)
            }
        }
    }

    /// Drops envelopes that have become too old while nothing could be sent.
    pub fn drop_expired(&mut self, now: SystemTime) {
        for (storage, kind) in queues() {
            while let Some(envelope) = self.waiting[storage].pop_expired(kind, now) {
                self.discard(envelope, DropReason::TooOld);
            }
        }
    }

    /// Moves envelopes that are in memory only to the disk, until one cannot be written.
    pub fn move_to_disk(&mut self) {
        let memory = Storage::Memory as usize;
        for kind in Kind::ALL {
            while let Some(mut envelope) = self.waiting[memory].pop(kind) {
                envelope.spooled = self.spool.move_to_disk(envelope.spooled);
                if envelope.spooled.storage() == Storage::Memory {
                    self.waiting[memory].push_front(envelope);
                    return;
                }
                self.enqueue(envelope);
            }
        }
        self.drop_excess();
    }

    /// Returns true if a client report waits to be sent.
    pub fn has_client_report(&self) -> bool {
        self.waiting.iter().any(|waiting| !waiting.is_empty(Kind::ClientReport))
    }

    pub fn counts(&self) -> Counts {
        let queues = queues().filter(|(_, kind)| *kind != Kind::ClientReport);
        let waiting = |storage: usize| -> u64 {
            let held = self.held.iter().filter(|envelope| envelope.spooled.storage() as usize == storage).count();
            let queues = queues.clone().filter(|queue| queue.0 == storage);
            (held + queues.map(|(storage, kind)| self.waiting[storage].len(kind)).sum::<usize>()) as u64
        };
        let [on_disk, in_memory] = [Storage::Disk, Storage::Memory]
            .map(|storage| waiting(storage as usize) + self.in_flight[storage as usize] as u64);
        let bytes = self.spool.size();
        Counts { waiting: on_disk + in_memory, in_memory, bytes, ..self.outcomes.counts.clone() }
    }

    /// Returns true if nothing is in flight and nothing more can be sent before `deadline`. A category with
    /// `max_failures` failures in a row since [`Queue::retry_now`] counts as one that cannot be sent.
    pub fn is_stuck(&self, now: Instant, deadline: Instant, max_failures: u32) -> bool {
        let cannot_be_sent_in_time = |due: Due| {
            let category = due.queue.1.category();
            let is_failing = || self.backoff.failures_since_retry_now(category) >= max_failures;
            due.not_before.is_some_and(|not_before| not_before > deadline || is_failing())
        };
        self.in_flight() == 0 && self.all_due(now).all(cannot_be_sent_in_time)
    }

    /// Ends the pauses after failures, so that everything is tried again at once.
    pub fn retry_now(&mut self) {
        self.backoff.retry_now();
    }

    /// Returns the queue to send from next, or `None` if nothing waits.
    fn next_due(&self, now: Instant) -> Option<Due> {
        self.all_due(now).min_by_key(|due| (due.not_before, due.queue.1, due.queue.0))
    }

    /// Returns the queues that are not empty, except those of a failing category of which an attempt is in flight.
    fn all_due(&self, now: Instant) -> impl Iterator<Item = Due> {
        let waiting = queues().filter(|(storage, kind)| !self.waiting[*storage].is_empty(*kind));
        let waiting = waiting.map(|queue| (queue.1.category(), queue));
        let not_retrying = waiting.filter(|(category, _)| !self.backoff.is_retrying(*category));
        not_retrying.map(move |(category, queue)| {
            let limited_until = self.limits.limited_until(category, now);
            Due { not_before: limited_until.max(self.backoff.paused_until(category, now)), queue }
        })
    }

    fn in_flight(&self) -> usize {
        self.in_flight.iter().sum()
    }

    /// Adds envelopes to the spool, except those of a third-party probe that exceeds its share of a full spool.
    fn add_to_spool(&mut self, mut envelopes: Vec<Envelope>, now: SystemTime) -> Vec<SpooledEnvelope> {
        envelopes.retain(|envelope| {
            self.outcomes.count_spooled(envelope.kind);
            let full = self.spool.exceeds_share(envelope);
            if let Some(storage) = full {
                self.outcomes.count_dropped(envelope.kind, envelope.spans, self.full(storage));
            }
            full.is_none()
        });
        self.spool.add(envelopes, now)
    }

    fn drop_excess(&mut self) {
        while let Some((storage, origin)) = self.spool.overfull() {
            let reason = self.full(storage);
            let Some(envelope) = self.pop_to_drop(storage, origin) else { return };
            self.discard(envelope, reason);
        }
    }

    /// Takes the envelope that is dropped from a full storage: one of this origin, or else of built-in probes.
    fn pop_to_drop(&mut self, storage: Storage, origin: Origin) -> Option<QueuedEnvelope> {
        [origin, Origin::BuiltIn].into_iter().find_map(|origin| {
            let waiting = self.waiting[storage as usize].pop_least_important(origin);
            waiting.or_else(|| {
                let is_excess =
                    |held: &QueuedEnvelope| held.spooled.storage() == storage && held.spooled.origin == origin;
                Some(self.held.remove(self.held.iter().position(is_excess)?))
            })
        })
    }

    /// Returns the reason for drops from a full storage. Logs it at the first drop.
    fn full(&self, storage: Storage) -> DropReason {
        let (reason, message) = match storage {
            Storage::Disk => (
                DropReason::SpoolFull,
                "spool full: dropping the oldest envelopes, those of passed runs first; raise `sentry.spool.size`",
            ),
            Storage::Memory => (
                DropReason::MemoryFull,
                "memory for waiting envelopes full: dropping the oldest ones, those of passed runs first",
            ),
        };
        if !self.outcomes.counts.dropped.contains_key(&reason) {
            tracing::warn!(reason = reason.as_str(), "{message}");
        }
        reason
    }

    fn discard(&mut self, envelope: QueuedEnvelope, reason: DropReason) {
        let SpooledEnvelope { kind, spans, .. } = envelope.spooled;
        self.outcomes.count_dropped(kind, spans, reason);
        self.spool.remove(envelope.spooled);
    }

    /// Adds an envelope behind all others of its kind, even if it was tried before: the order within a kind does not
    /// matter, and an envelope that cannot be sent must not block the others.
    fn enqueue(&mut self, envelope: QueuedEnvelope) {
        self.waiting[envelope.spooled.storage() as usize].push_back(envelope);
    }

    fn on_failure(&mut self, mut envelope: QueuedEnvelope, now: Instant) -> Option<QueueEvent> {
        let category = envelope.spooled.kind.category();
        let is_first = self.backoff.on_failure(category, envelope.failures_at_send, now);
        if is_first {
            envelope.add_lone_failure(now);
        }
        self.max_in_flight = 1;
        if envelope.is_rejected(now) {
            self.discard(envelope, DropReason::Rejected);
            return Some(QueueEvent::Rejected);
        }
        self.enqueue(envelope);
        // A single failure of a server that has answered before is not logged.
        let is_silent = self.is_unreachable || (self.has_answered && is_first);
        self.is_unreachable |= !is_silent;
        (!is_silent).then_some(QueueEvent::Unreachable)
    }

    /// Records that the server has answered a request for `category`. `limited` are the categories whose rate limit has
    /// just begun.
    fn on_answer(&mut self, category: Option<Category>, limited: Vec<Category>, now: Instant) -> Option<QueueEvent> {
        self.has_answered = true;
        self.backoff.on_answer(category);
        let is_reachable_again = self.is_unreachable && self.backoff.is_healthy();
        self.is_unreachable &= !is_reachable_again;
        if let Some(first) = limited.first() {
            let until = self.limits.limited_until(Some(*first), now).unwrap_or(now);
            return Some(QueueEvent::RateLimited(limited, until - now));
        }
        is_reachable_again.then_some(QueueEvent::Reachable)
    }
}

/// Envelopes of one kind that wait in one storage.
struct Due {
    /// The time from which they may be sent, or `None` if they may be sent now.
    not_before: Option<Instant>,
    /// The index of the storage, and the kind.
    queue: (usize, Kind),
}

/// Returns the index of each storage with each kind.
fn queues() -> impl Iterator<Item = (usize, Kind)> + Clone {
    (0..2).flat_map(|storage| Kind::ALL.into_iter().map(move |kind| (storage, kind)))
}

#[cfg(test)]
mod tests;
