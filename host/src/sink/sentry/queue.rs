//! What waits to be sent: in which order, from when on, and what goes when there is too much. Pure but for the spool,
//! which it owns; knows kinds and answers, not the network.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use super::backoff::Backoff;
use super::envelope::{Category, Envelope, Kind};
use super::outcomes::{Counts, Outcomes, Reason};
use super::rate_limits::{Headers, RateLimits};
use super::spool::{Spool, SpooledEnvelope, Store};

/// The envelopes in a spool, in their order.
#[derive(Debug)]
pub struct Queue {
    pub spool: Spool,
    pub tally: Outcomes,
    /// Those on disk, and those in memory: one line for each kind, oldest first.
    waiting: [[VecDeque<InFlight>; Kind::ALL.len()]; 2],
    /// Not to be sent until it is known whether they are worth it.
    held: Vec<InFlight>,
    /// From either store.
    in_flight: [usize; 2],
    /// How many may be in flight.
    width: usize,
    limits: RateLimits,
    backoff: Backoff,
    /// Whether the server has ever answered, and whether it was said that it does not.
    spoke: bool,
    lost: bool,
}

/// An envelope on its way.
#[derive(Debug)]
pub struct InFlight {
    pub kept: SpooledEnvelope,
    /// How often the server failed at this one while it took others, and when it first did.
    suspicions: u32,
    suspected: Option<Instant>,
    /// What [`Backoff::sent`] gave when it was handed out.
    seen: u32,
}

/// What a worker is to do.
#[derive(Debug)]
pub enum Next {
    /// Send it; there may be work for another worker too.
    Send(InFlight, bool),
    /// Wait for something to come, or until then.
    Wait(Option<Instant>),
}

/// What came of sending.
#[derive(Debug)]
pub enum SendResult {
    Taken(Headers),
    /// Not now: a rate limit.
    Limited(Headers),
    /// Never.
    Refused(Headers),
    /// No answer, or the server's own failure.
    Failed(Headers),
    /// There was nothing that could be sent.
    Damaged,
}

/// Something that an operator wants to know, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueEvent {
    Lost,
    Back,
    /// These are not to be sent for so long.
    Limited(Vec<Category>, Duration),
    Refused,
    Damaged,
}

/// Requests at once. A few hide the way there and back; as long as more waits and the server takes what it gets, there
/// are more of them, to the most.
const FEW: usize = 4;
pub const MOST: usize = 32;
/// The server failing this often at one envelope, and at no other, for so long, is refusing it; until then it may be that
/// a part of the server is down.
const MAX_SUSPICIONS: u32 = 10;
const MAX_SUSPENSE: Duration = Duration::from_secs(86_400);
/// Sentry refuses transactions that are older.
const MAX_AGE: Duration = Duration::from_secs(5 * 86_400);
/// A check-in says how it is now. There is one each minute at most, so that the next one is due by then.
const MAX_AGE_OF_CHECK_IN: Duration = Duration::from_secs(90);
/// What goes first where there is no room. A report is small, and without it nobody knows what has gone.
const CHEAPEST: [Kind; Kind::ALL.len()] =
    [Kind::PassedTransaction, Kind::FailedTransaction, Kind::CheckIn, Kind::Error, Kind::Report];

impl Queue {
    /// What is in `left` is in the spool already.
    pub fn new(spool: Spool, left: Vec<SpooledEnvelope>) -> Self {
        let mut queue = Self {
            spool,
            tally: Outcomes::default(),
            waiting: Default::default(),
            held: Vec::new(),
            in_flight: [0; 2],
            width: FEW,
            limits: RateLimits::default(),
            backoff: Backoff::default(),
            spoke: false,
            lost: false,
        };
        for kept in left {
            queue.tally.spooled(kept.kind);
            queue.put(InFlight::new(kept));
        }
        queue
    }

    /// Takes envelopes in that belong together. Where there is no room the least dear goes, of those the oldest.
    pub fn push(&mut self, envelopes: Vec<Envelope>, now: SystemTime) {
        for kept in self.keep(envelopes, now) {
            self.put(InFlight::new(kept));
        }
        self.make_room();
    }

    /// Takes envelopes in that are not sent yet. After a restart they are like all others.
    pub fn hold(&mut self, envelopes: Vec<Envelope>, now: SystemTime) {
        let kept = self.keep(envelopes, now);
        self.held.extend(kept.into_iter().map(InFlight::new));
        self.make_room();
    }

    /// Sends what was held.
    pub fn release_held(&mut self) {
        for parcel in std::mem::take(&mut self.held) {
            self.put(parcel);
        }
    }

    /// Gives up what was held.
    pub fn drop_held(&mut self) {
        for parcel in std::mem::take(&mut self.held) {
            self.discard(parcel, Reason::Suppressed);
        }
    }

    /// The dearest envelope that may be sent now.
    pub fn next(&mut self, now: Instant) -> Next {
        loop {
            let Some(Due { until, line: (store, kind) }) = self.due(now) else { return Next::Wait(None) };
            if until.is_some() {
                return Next::Wait(until);
            }
            // Whoever sends wakes the next one when it is done.
            if self.in_flight() >= self.width {
                return Next::Wait(None);
            }
            let Some(parcel) = self.waiting[store][kind].pop_front() else { return Next::Wait(None) };
            if is_too_old(&parcel.kept, SystemTime::now()) {
                self.discard(parcel, Reason::TooOld);
                continue;
            }
            self.in_flight[store] += 1;
            let seen = self.backoff.sent(parcel.kept.kind.category());
            let more = self.in_flight() < self.width && self.due(now).is_some_and(|due| due.until.is_none());
            return Next::Send(InFlight { seen, ..parcel }, more);
        }
    }

    /// Takes back what [`Queue::next`] gave, with what came of it.
    pub fn on_response(&mut self, parcel: InFlight, answer: SendResult, now: Instant) -> Option<QueueEvent> {
        self.in_flight[parcel.kept.store() as usize] -= 1;
        let category = parcel.kept.kind.category();
        self.backoff.settled(category);
        match answer {
            SendResult::Taken(headers) => {
                let limited = self.limits.update(&headers, category, false, now);
                self.tally.sent(parcel.kept.kind);
                self.spool.forget(parcel.kept);
                self.width = (self.width + 1).min(MOST);
                self.answered(category, limited, now)
            }
            SendResult::Limited(headers) => {
                let limited = self.limits.update(&headers, category, true, now);
                self.put(parcel);
                self.answered(category, limited, now)
            }
            SendResult::Refused(headers) => {
                let limited = self.limits.update(&headers, category, false, now);
                self.discard(parcel, Reason::Refused);
                self.answered(category, limited, now);
                Some(QueueEvent::Refused)
            }
            SendResult::Failed(headers) => {
                // One that names its time is as good as a limit.
                self.limits.update(&headers, category, headers.retry_after.is_some(), now);
                self.failed(parcel, now)
            }
            SendResult::Damaged => {
                self.discard(parcel, Reason::Damaged);
                Some(QueueEvent::Damaged)
            }
        }
    }

    /// Gives up what has become too old while nothing could be sent.
    pub fn expire(&mut self, now: SystemTime) {
        for (store, kind) in lines() {
            while let Some(parcel) = self.waiting[store][kind].pop_front_if(|parcel| is_too_old(&parcel.kept, now)) {
                self.discard(parcel, Reason::TooOld);
            }
        }
    }

    /// Brings to disk what is in memory alone, once that works again.
    pub fn save(&mut self) {
        let memory = Store::Memory as usize;
        for kind in 0..Kind::ALL.len() {
            while let Some(parcel) = self.waiting[memory][kind].pop_front() {
                let parcel = InFlight { kept: self.spool.save(parcel.kept), ..parcel };
                if parcel.kept.store() == Store::Memory {
                    self.waiting[memory][kind].push_front(parcel);
                    return;
                }
                self.put(parcel);
            }
        }
        self.make_room();
    }

    /// Whether a report of what was discarded waits to be sent.
    pub fn has_report(&self) -> bool {
        self.waiting.iter().any(|lines| !lines[Kind::Report as usize].is_empty())
    }

    pub fn counts(&self) -> Counts {
        let lines = lines().filter(|(_, kind)| *kind != Kind::Report as usize);
        let waiting = |store: usize| -> u64 {
            let held = self.held.iter().filter(|parcel| parcel.kept.store() as usize == store).count();
            let lines = lines.clone().filter(|line| line.0 == store);
            (held + lines.map(|(store, kind)| self.waiting[store][kind].len()).sum::<usize>()) as u64
        };
        let [on_disk, in_memory] =
            [Store::Disk, Store::Memory].map(|store| waiting(store as usize) + self.in_flight[store as usize] as u64);
        let bytes = self.spool.size();
        Counts { waiting: on_disk + in_memory, in_memory, bytes, ..self.tally.counts.clone() }
    }

    /// Whether nothing more can leave before `deadline`; what has failed so often since [`Queue::hurry`] cannot.
    pub fn is_stuck(&self, now: Instant, deadline: Instant, patience: u32) -> bool {
        let later = |due: Due| {
            let failing = || self.backoff.tries(Kind::ALL[due.line.1].category()) >= patience;
            due.until.is_some_and(|until| until > deadline || failing())
        };
        self.in_flight() == 0 && self.dues(now).all(later)
    }

    /// Makes the next attempt come at once.
    pub fn retry_now(&mut self) {
        self.backoff.retry_now();
    }

    /// Where the next envelope waits, and from when on it may go if not now; none where nothing waits.
    fn due(&self, now: Instant) -> Option<Due> {
        self.dues(now).min_by_key(|due| (due.until, due.line.1, due.line.0))
    }

    /// The lines in which something waits, but for those that wait for one of theirs that is in flight.
    fn dues(&self, now: Instant) -> impl Iterator<Item = Due> {
        let waiting = lines().filter(|(store, kind)| !self.waiting[*store][*kind].is_empty());
        let waiting = waiting.map(|(store, kind)| (Kind::ALL[kind].category(), (store, kind)));
        let free = waiting.filter(|(category, _)| !self.backoff.is_asking(*category));
        free.map(move |(category, line)| {
            let until = self.limits.until(category, now).max(self.backoff.until(category, now));
            Due { until, line }
        })
    }

    fn in_flight(&self) -> usize {
        self.in_flight.iter().sum()
    }

    fn keep(&mut self, envelopes: Vec<Envelope>, now: SystemTime) -> Vec<SpooledEnvelope> {
        for envelope in &envelopes {
            self.tally.spooled(envelope.kind);
        }
        self.spool.keep(envelopes, now)
    }

    fn make_room(&mut self) {
        while let Some(store) = self.spool.full() {
            let lines = &mut self.waiting[store as usize];
            let cheapest = CHEAPEST.into_iter().find_map(|kind| lines[kind as usize].pop_front());
            let Some(parcel) = cheapest else { return };
            let reason = match store {
                Store::Disk => Reason::NoRoomOnDisk,
                Store::Memory => Reason::NoRoomInMemory,
            };
            if !self.tally.counts.dropped.contains_key(&reason) {
                tracing::warn!("more waits for Sentry than there may be ({reason}): the oldest passing runs go first");
            }
            self.discard(parcel, reason);
        }
    }

    fn discard(&mut self, parcel: InFlight, reason: Reason) {
        self.tally.dropped(parcel.kept.kind, parcel.kept.spans, reason);
        self.spool.forget(parcel.kept);
    }

    /// Behind the others of its kind, for their order is of no matter and none is to be in the way of all.
    fn put(&mut self, parcel: InFlight) {
        self.waiting[parcel.kept.store() as usize][parcel.kept.kind as usize].push_back(parcel);
    }

    fn failed(&mut self, mut parcel: InFlight, now: Instant) -> Option<QueueEvent> {
        let was_fine = self.backoff.failed(parcel.kept.kind.category(), parcel.seen, now);
        if was_fine {
            parcel.suspicions += 1;
            parcel.suspected.get_or_insert(now);
        }
        self.width = 1;
        let suspense = parcel.suspected.map(|since| now.saturating_duration_since(since));
        if parcel.suspicions >= MAX_SUSPICIONS && suspense >= Some(MAX_SUSPENSE) {
            self.discard(parcel, Reason::Refused);
            return Some(QueueEvent::Refused);
        }
        self.put(parcel);
        // One that fails now and then is not worth a word each time.
        let told = self.lost || (self.spoke && was_fine);
        self.lost |= !told;
        (!told).then_some(QueueEvent::Lost)
    }

    /// The server speaks to one of `category`.
    fn answered(&mut self, category: Option<Category>, limited: Vec<Category>, now: Instant) -> Option<QueueEvent> {
        self.spoke = true;
        self.backoff.answered(category);
        let is_back = self.lost && self.backoff.is_fine();
        self.lost &= !is_back;
        match limited.first() {
            Some(first) => {
                let until = self.limits.until(Some(*first), now).unwrap_or(now);
                Some(QueueEvent::Limited(limited, until - now))
            }
            None => is_back.then_some(QueueEvent::Back),
        }
    }
}

impl InFlight {
    fn new(kept: SpooledEnvelope) -> Self {
        Self { kept, suspicions: 0, suspected: None, seen: 0 }
    }
}

/// What is next in which line, and from when on.
struct Due {
    until: Option<Instant>,
    line: (usize, usize),
}

/// Each store's line of each kind.
fn lines() -> impl Iterator<Item = (usize, usize)> + Clone {
    (0..2).flat_map(|store| (0..Kind::ALL.len()).map(move |kind| (store, kind)))
}

fn is_too_old(kept: &SpooledEnvelope, now: SystemTime) -> bool {
    let most = if kept.kind == Kind::CheckIn { MAX_AGE_OF_CHECK_IN } else { MAX_AGE };
    now.duration_since(kept.since).is_ok_and(|age| age > most)
}

#[cfg(test)]
mod tests;
