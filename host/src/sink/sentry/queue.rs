//! What waits to be sent: in which order, from when on, and what goes when there is too much. Pure but for the spool,
//! which it owns; knows kinds and answers, not the network.

use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

use super::backoff::Backoff;
use super::envelope::{Category, Envelope, Kind};
use super::limits::{Headers, Limits};
use super::spool::{Kept, Spool, Store};
use super::tally::{Counts, Reason, Tally};

/// The envelopes in a spool, in their order.
#[derive(Debug)]
pub struct Queue {
    pub spool: Spool,
    pub tally: Tally,
    /// Those on disk, and those in memory: one line for each kind, oldest first.
    waiting: [[VecDeque<Parcel>; Kind::ALL.len()]; 2],
    /// Not to be sent until it is known whether they are worth it.
    held: Vec<Parcel>,
    /// From either store.
    in_flight: [usize; 2],
    /// How many may be in flight.
    width: usize,
    limits: Limits,
    backoff: Backoff,
}

/// An envelope on its way.
#[derive(Debug)]
pub struct Parcel {
    pub kept: Kept,
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
    Send(Parcel, bool),
    /// Wait for something to come, or until then.
    Wait(Option<Instant>),
}

/// What came of sending.
#[derive(Debug)]
pub enum Answer {
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
pub enum Turn {
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
const CHEAPEST: [Kind; Kind::ALL.len()] = [Kind::Passed, Kind::Trouble, Kind::CheckIn, Kind::Error, Kind::Report];

impl Queue {
    /// What is in `left` is in the spool already.
    pub fn new(spool: Spool, left: Vec<Kept>) -> Self {
        let mut queue = Self {
            spool,
            tally: Tally::default(),
            waiting: Default::default(),
            held: Vec::new(),
            in_flight: [0; 2],
            width: FEW,
            limits: Limits::default(),
            backoff: Backoff::default(),
        };
        for kept in left {
            queue.tally.spooled(kept.kind);
            queue.put(Parcel::new(kept));
        }
        queue
    }

    /// Takes envelopes in that belong together. Where there is no room the least dear goes, of those the oldest.
    pub fn push(&mut self, envelopes: Vec<Envelope>, now: SystemTime) {
        for kept in self.keep(envelopes, now) {
            self.put(Parcel::new(kept));
        }
        self.make_room();
    }

    /// Takes envelopes in that are not sent yet. After a restart they are like all others.
    pub fn hold(&mut self, envelopes: Vec<Envelope>, now: SystemTime) {
        let kept = self.keep(envelopes, now);
        self.held.extend(kept.into_iter().map(Parcel::new));
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
            return Next::Send(Parcel { seen, ..parcel }, more);
        }
    }

    /// Takes back what [`Queue::next`] gave, with what came of it.
    pub fn settle(&mut self, parcel: Parcel, answer: Answer, now: Instant) -> Option<Turn> {
        self.in_flight[parcel.kept.store() as usize] -= 1;
        let category = parcel.kept.kind.category();
        self.backoff.settled(category);
        match answer {
            Answer::Taken(headers) => {
                let limited = self.limits.note(&headers, category, false, now);
                self.tally.sent(parcel.kept.kind);
                self.spool.forget(parcel.kept);
                self.width = (self.width + 1).min(MOST);
                self.answered(category, limited, now)
            }
            Answer::Limited(headers) => {
                let limited = self.limits.note(&headers, category, true, now);
                self.put(parcel);
                self.answered(category, limited, now)
            }
            Answer::Refused(headers) => {
                let limited = self.limits.note(&headers, category, false, now);
                self.discard(parcel, Reason::Refused);
                self.answered(category, limited, now);
                Some(Turn::Refused)
            }
            Answer::Failed(headers) => {
                // One that names its time is as good as a limit.
                self.limits.note(&headers, category, headers.retry_after.is_some(), now);
                self.failed(parcel, now)
            }
            Answer::Damaged => {
                self.discard(parcel, Reason::Damaged);
                Some(Turn::Damaged)
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
                let parcel = Parcel { kept: self.spool.save(parcel.kept), ..parcel };
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
    pub fn hurry(&mut self) {
        self.backoff.hurry();
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

    fn keep(&mut self, envelopes: Vec<Envelope>, now: SystemTime) -> Vec<Kept> {
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

    fn discard(&mut self, parcel: Parcel, reason: Reason) {
        self.tally.dropped(parcel.kept.kind, parcel.kept.spans, reason);
        self.spool.forget(parcel.kept);
    }

    /// Behind the others of its kind, for their order is of no matter and none is to be in the way of all.
    fn put(&mut self, parcel: Parcel) {
        self.waiting[parcel.kept.store() as usize][parcel.kept.kind as usize].push_back(parcel);
    }

    fn failed(&mut self, mut parcel: Parcel, now: Instant) -> Option<Turn> {
        let all_fine = self.backoff.is_fine();
        if self.backoff.failed(parcel.kept.kind.category(), parcel.seen, now) {
            parcel.suspicions += 1;
            parcel.suspected.get_or_insert(now);
        }
        self.width = 1;
        let suspense = parcel.suspected.map(|since| now.saturating_duration_since(since));
        if parcel.suspicions >= MAX_SUSPICIONS && suspense >= Some(MAX_SUSPENSE) {
            self.discard(parcel, Reason::Refused);
            return Some(Turn::Refused);
        }
        self.put(parcel);
        all_fine.then_some(Turn::Lost)
    }

    /// The server speaks to one of `category`.
    fn answered(&mut self, category: Option<Category>, limited: Vec<Category>, now: Instant) -> Option<Turn> {
        let was_fine = self.backoff.is_fine();
        self.backoff.answered(category);
        let is_back = !was_fine && self.backoff.is_fine();
        match limited.first() {
            Some(first) => {
                let until = self.limits.until(Some(*first), now).unwrap_or(now);
                Some(Turn::Limited(limited, until - now))
            }
            None => is_back.then_some(Turn::Back),
        }
    }
}

impl Parcel {
    fn new(kept: Kept) -> Self {
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

fn is_too_old(kept: &Kept, now: SystemTime) -> bool {
    let most = if kept.kind == Kind::CheckIn { MAX_AGE_OF_CHECK_IN } else { MAX_AGE };
    now.duration_since(kept.since).is_ok_and(|age| age > most)
}

#[cfg(test)]
mod tests {
    use super::super::backoff::LONGEST_PAUSE;
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn envelope(kind: Kind, name: &str) -> Envelope {
        Envelope { kind, spans: 0, bytes: format!("{name:10}").into_bytes() }
    }

    /// A queue in memory, of so many bytes.
    fn queue(room: u64) -> Queue {
        Queue::new(Spool::with_memory(room), Vec::new())
    }

    fn push(queue: &mut Queue, kind: Kind, name: &str) {
        queue.push(vec![envelope(kind, name)], SystemTime::now());
    }

    fn name(parcel: &Parcel) -> String {
        String::from_utf8(parcel.kept.read().unwrap().to_vec()).unwrap().trim().to_owned()
    }

    fn dropped(queue: &Queue, reason: Reason) -> u64 {
        queue.counts().dropped.get(&reason).copied().unwrap_or_default()
    }

    #[track_caller]
    fn send(queue: &mut Queue, now: Instant) -> Parcel {
        match queue.next(now) {
            Next::Send(parcel, _) => parcel,
            Next::Wait(until) => panic!("nothing may go until {until:?}"),
        }
    }

    #[track_caller]
    fn wait(queue: &mut Queue, now: Instant) -> Duration {
        match queue.next(now) {
            Next::Wait(Some(until)) => until - now,
            other => panic!("{other:?} is no wait for a time"),
        }
    }

    fn taken() -> Answer {
        Answer::Taken(Headers::default())
    }

    #[test]
    fn the_dearest_go_first_and_the_oldest_passing_are_dropped_first() {
        let now = Instant::now();
        let mut queue = queue(40);
        for (kind, name, gone) in [
            (Kind::Passed, "passed 1", 0),
            (Kind::Passed, "passed 2", 0),
            (Kind::Trouble, "trouble", 0),
            (Kind::Error, "error 1", 0),
            (Kind::Error, "error 2", 1),
            (Kind::Error, "error 3", 2),
        ] {
            push(&mut queue, kind, name);
            assert_eq!(dropped(&queue, Reason::NoRoomInMemory), gone, "{name}");
        }
        let order: Vec<_> = (0..4).map(|_| name(&send(&mut queue, now))).collect();
        assert_eq!(order, ["error 1", "error 2", "error 3", "trouble"]);
        let counts = queue.counts();
        assert_eq!((counts.spooled, counts.waiting, counts.all_dropped()), (6, 4, 2));
    }

    #[test]
    fn what_is_larger_than_all_room_is_dropped() {
        let mut queue = queue(5);
        push(&mut queue, Kind::Error, "error");
        assert_eq!(dropped(&queue, Reason::NoRoomInMemory), 1);
        assert!(matches!(queue.next(Instant::now()), Next::Wait(None)));
    }

    #[test]
    fn what_is_held_waits_until_it_is_released() {
        let now = Instant::now();
        let mut queue = queue(1000);
        queue.hold(vec![envelope(Kind::Error, "held")], SystemTime::now());
        assert!(matches!(queue.next(now), Next::Wait(None)));
        assert!(queue.is_stuck(now, now, u32::MAX));
        assert_eq!(queue.counts().waiting, 1);
        queue.release_held();
        assert_eq!(name(&send(&mut queue, now)), "held");
        queue.hold(vec![envelope(Kind::Error, "held")], SystemTime::now());
        queue.drop_held();
        assert_eq!(dropped(&queue, Reason::Suppressed), 1);
        assert!(matches!(queue.next(now), Next::Wait(None)));
    }

    #[test]
    fn what_is_too_old_is_not_sent() {
        let now = SystemTime::now();
        let ago = |seconds| now - Duration::from_secs(seconds);
        let mut queue = queue(1000);
        queue.push(vec![envelope(Kind::CheckIn, "stale")], ago(91));
        queue.push(vec![envelope(Kind::CheckIn, "fresh")], ago(60));
        queue.push(vec![envelope(Kind::Passed, "old")], ago(5 * 86_400 + 1));
        queue.push(vec![envelope(Kind::Passed, "young")], ago(4 * 86_400));
        let found = [(); 2].map(|()| name(&send(&mut queue, Instant::now())));
        assert_eq!(found, ["fresh", "young"]);
        assert_eq!(dropped(&queue, Reason::TooOld), 2);
        queue.push(vec![envelope(Kind::Error, "old")], ago(6 * 86_400));
        queue.push(vec![envelope(Kind::Error, "young")], now);
        queue.expire(now);
        assert_eq!(dropped(&queue, Reason::TooOld), 3);
        assert_eq!(name(&send(&mut queue, Instant::now())), "young");
    }

    #[test]
    fn there_are_more_at_once_while_the_server_takes_them_and_one_alone_when_it_does_not() {
        let mut now = Instant::now();
        let mut queue = queue(10_000);
        for _ in 0..200 {
            push(&mut queue, Kind::Passed, "one");
        }
        let all = |queue: &mut Queue, now| -> Vec<Parcel> {
            let next = std::iter::from_fn(|| match queue.next(now) {
                Next::Send(parcel, _) => Some(parcel),
                Next::Wait(_) => None,
            });
            next.collect()
        };
        let mut found = Vec::new();
        for _ in 0..6 {
            let parcels = all(&mut queue, now);
            found.push(parcels.len());
            for parcel in parcels {
                queue.settle(parcel, taken(), now);
            }
        }
        assert_eq!(found, [4, 8, 16, 32, 32, 32]);
        let parcels = all(&mut queue, now);
        for parcel in parcels {
            queue.settle(parcel, Answer::Failed(Headers::default()), now);
        }
        now += SECOND;
        let [parcel] = all(&mut queue, now).try_into().unwrap();
        queue.settle(parcel, taken(), now);
        assert_eq!(all(&mut queue, now).len(), 2);
    }

    #[test]
    fn what_is_damaged_is_dropped() {
        let mut queue = queue(1000);
        push(&mut queue, Kind::Passed, "one");
        let parcel = send(&mut queue, Instant::now());
        assert_eq!(queue.settle(parcel, Answer::Damaged, Instant::now()), Some(Turn::Damaged));
        assert_eq!(dropped(&queue, Reason::Damaged), 1);
        assert_eq!(queue.counts().waiting, 0);
    }

    #[test]
    fn a_report_that_is_limited_waits_by_itself() {
        let now = Instant::now();
        let mut queue = queue(1000);
        push(&mut queue, Kind::Report, "report");
        let parcel = send(&mut queue, now);
        queue.settle(parcel, Answer::Limited(Headers::default()), now);
        assert_eq!(wait(&mut queue, now), Duration::from_secs(60));
        let mut queue = self::queue(1000);
        push(&mut queue, Kind::Passed, "passed");
        let parcel = send(&mut queue, now);
        queue.settle(parcel, Answer::Limited(Headers::default()), now);
        push(&mut queue, Kind::Report, "report");
        assert_eq!(name(&send(&mut queue, now)), "report", "Sentry takes reports whatever else it limits");
    }

    #[test]
    fn a_report_stays_where_there_is_no_room() {
        let mut queue = queue(20);
        push(&mut queue, Kind::Report, "report");
        for number in 0..3 {
            push(&mut queue, Kind::Error, &format!("error {number}"));
        }
        let left = [(); 2].map(|()| name(&send(&mut queue, Instant::now())));
        assert_eq!(left, ["error 2", "report"]);
        assert_eq!(dropped(&queue, Reason::NoRoomInMemory), 2);
    }

    #[test]
    fn a_server_that_fails_for_a_time_is_left_alone_for_that_time() {
        let now = Instant::now();
        let mut queue = queue(1000);
        push(&mut queue, Kind::Passed, "one");
        push(&mut queue, Kind::Error, "error");
        let headers = |rate_limits: Option<&str>, retry_after: Option<&str>| {
            let [rate_limits, retry_after] = [rate_limits, retry_after].map(|text| text.map(str::to_owned));
            Answer::Failed(Headers { rate_limits, retry_after })
        };
        let parcel = send(&mut queue, now);
        queue.settle(parcel, headers(None, Some("40")), now);
        assert_eq!(wait(&mut queue, now), Duration::from_secs(40));
        let now = now + Duration::from_secs(40);
        let parcel = send(&mut queue, now);
        queue.settle(parcel, headers(Some("50:error:key"), None), now);
        let now = now + LONGEST_PAUSE;
        assert_eq!(name(&send(&mut queue, now)), "one", "errors alone are limited");
    }

    #[test]
    fn failures_are_followed_by_ever_longer_pauses() {
        let mut now = Instant::now();
        let mut queue = queue(1000);
        push(&mut queue, Kind::Passed, "one");
        let mut failures = 0;
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            let parcel = send(&mut queue, now);
            let turn = queue.settle(parcel, Answer::Failed(Headers::default()), now);
            assert_eq!(turn, (expected == 1).then_some(Turn::Lost));
            let pause = wait(&mut queue, now).as_secs_f64();
            let longest = f64::from(expected);
            assert!((longest / 2.0..=longest).contains(&pause), "{pause} of {longest}");
            failures += 1;
            let long = now + LONGEST_PAUSE;
            assert!(!queue.is_stuck(now, long, failures + 1));
            assert!(queue.is_stuck(now, long, failures), "so many failures are enough");
            now += Duration::from_secs(60);
        }
        let parcel = send(&mut queue, now);
        assert_eq!(queue.settle(parcel, taken(), now), Some(Turn::Back));
        assert_eq!(queue.counts(), Counts { spooled: 1, sent: 1, ..Counts::default() });
    }

    #[test]
    fn several_that_fail_together_are_one_failure() {
        let now = Instant::now();
        let mut queue = queue(1000);
        for _ in 0..4 {
            push(&mut queue, Kind::Passed, "one");
        }
        let parcels: Vec<_> = (0..4).map(|_| send(&mut queue, now)).collect();
        let turns: Vec<_> = parcels
            .into_iter()
            .filter_map(|parcel| queue.settle(parcel, Answer::Failed(Headers::default()), now))
            .collect();
        assert_eq!(turns, [Turn::Lost]);
        assert!(wait(&mut queue, now) <= SECOND);
    }

    #[test]
    fn what_the_server_fails_at_holds_nothing_else_up() {
        let now = Instant::now();
        let mut queue = queue(1000);
        push(&mut queue, Kind::Error, "poison");
        let parcel = send(&mut queue, now);
        assert_eq!(queue.settle(parcel, Answer::Failed(Headers::default()), now), Some(Turn::Lost));
        for number in 0..20 {
            push(&mut queue, Kind::Passed, &number.to_string());
            let parcel = send(&mut queue, now);
            assert_eq!(name(&parcel), number.to_string());
            assert_eq!(queue.settle(parcel, taken(), now), None);
        }
        let now = now + SECOND;
        let parcel = send(&mut queue, now);
        assert_eq!(name(&parcel), "poison");
        assert_eq!(queue.settle(parcel, taken(), now), Some(Turn::Back));
    }

    #[test]
    fn where_the_server_is_back_for_one_it_is_tried_for_all() {
        let now = Instant::now();
        let mut queue = queue(1000);
        for kind in [Kind::Error, Kind::Passed] {
            push(&mut queue, kind, "one");
        }
        for _ in 0..2 {
            let parcel = send(&mut queue, now);
            queue.settle(parcel, Answer::Failed(Headers::default()), now);
        }
        let now = now + wait(&mut queue, now);
        let parcel = send(&mut queue, now);
        assert_eq!(queue.settle(parcel, taken(), now), Some(Turn::Back));
        let parcel = send(&mut queue, now);
        assert_eq!(queue.settle(parcel, taken(), now), None);
    }

    /// What is left of an envelope at which the server alone fails, as often as it is tried in so long.
    fn after_suspense(tries: u32, lasted: Duration) -> u64 {
        let mut now = Instant::now();
        let mut queue = queue(1000);
        push(&mut queue, Kind::Error, "poison");
        for _ in 0..tries {
            let parcel = send(&mut queue, now);
            assert_eq!(name(&parcel), "poison");
            queue.settle(parcel, Answer::Failed(Headers::default()), now);
            now += lasted / (tries - 1);
            push(&mut queue, Kind::Error, "good");
            while let Next::Send(parcel, _) = queue.next(now) {
                if name(&parcel) == "good" {
                    queue.settle(parcel, taken(), now);
                    break;
                }
                queue.settle(parcel, Answer::Failed(Headers::default()), now);
                now += LONGEST_PAUSE;
            }
        }
        queue.counts().waiting
    }

    #[test]
    fn an_envelope_at_which_the_server_alone_fails_is_given_up_after_a_day() {
        assert_eq!(after_suspense(MAX_SUSPICIONS, MAX_SUSPENSE), 0);
        assert_eq!(after_suspense(200, MAX_SUSPENSE / 4), 1, "it may be that it alone is down");
        assert_eq!(after_suspense(MAX_SUSPICIONS / 2, MAX_SUSPENSE * 2), 1);
    }

    #[test]
    fn a_limit_holds_its_category_and_keeps_what_it_answered() {
        let now = Instant::now();
        let mut queue = queue(1000);
        push(&mut queue, Kind::Passed, "passed");
        let parcel = send(&mut queue, now);
        let headers = Headers { rate_limits: Some("100:transaction".to_owned()), retry_after: None };
        let limited = Turn::Limited(vec![Category::Transaction], Duration::from_secs(100));
        assert_eq!(queue.settle(parcel, Answer::Limited(headers), now), Some(limited));
        assert_eq!(wait(&mut queue, now), Duration::from_secs(100));
        assert!(queue.is_stuck(now, now + Duration::from_secs(99), u32::MAX));
        assert!(!queue.is_stuck(now, now + Duration::from_secs(101), u32::MAX));
        push(&mut queue, Kind::Error, "error");
        assert!(!queue.is_stuck(now, now, u32::MAX));
        assert_eq!(name(&send(&mut queue, now)), "error");
        assert_eq!(name(&send(&mut queue, now + Duration::from_secs(101))), "passed");
    }
}
