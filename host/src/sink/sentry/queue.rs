//! What waits to be sent: how much, in which order, and from when on. Pure; knows envelopes and answers, not the network.
//! This is what a spool on disk would stand in for.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::envelope::{Envelope, Kind};
use super::limits::{Headers, Limits};

/// Envelopes in memory, up to a bound.
#[derive(Debug)]
pub struct Queue {
    /// One for each kind, oldest first.
    waiting: [VecDeque<Parcel>; Kind::ALL.len()],
    bytes: usize,
    room: usize,
    in_flight: usize,
    limits: Limits,
    /// Failures in a row to reach the server, and when to try again.
    failures: u32,
    pause: Option<Instant>,
    counts: Counts,
}

/// An envelope on its way.
#[derive(Debug)]
pub struct Parcel {
    pub envelope: Envelope,
    /// How often the server failed at this one while it took others.
    suspicions: u32,
    /// [`Queue::failures`] when it was handed out.
    seen: u32,
}

/// What became of envelopes so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Taken by Sentry.
    pub sent: u64,
    /// Dropped for want of room.
    pub overflowed: u64,
    /// Refused by Sentry, never to be taken.
    pub refused: u64,
    /// Waiting or in flight now.
    pub left: usize,
}

/// What a worker is to do.
#[derive(Debug)]
pub enum Next {
    Send(Parcel),
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
    Failed,
}

/// Something that an operator wants to know, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Lost,
    Back,
    Refused,
}

/// The server failing this often at one envelope, and at no other, is refusing it.
const MAX_SUSPICIONS: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Queue {
    /// With room for so many bytes.
    pub fn new(room: usize) -> Self {
        Self {
            waiting: Default::default(),
            bytes: 0,
            room,
            in_flight: 0,
            limits: Limits::default(),
            failures: 0,
            pause: None,
            counts: Counts::default(),
        }
    }

    /// Takes an envelope in. Where there is no room the least dear goes, of those the oldest; says how many went.
    pub fn push(&mut self, envelope: Envelope) -> usize {
        self.put(Parcel { envelope, suspicions: 0, seen: 0 });
        let mut dropped = 0;
        while self.bytes > self.room
            && let Some(parcel) = self.waiting.iter_mut().rev().find_map(VecDeque::pop_front)
        {
            self.bytes -= parcel.envelope.bytes.len();
            dropped += 1;
        }
        self.counts.overflowed += dropped as u64;
        dropped
    }

    /// The dearest envelope that may be sent now.
    pub fn next(&mut self, now: Instant) -> Next {
        match self.due(now) {
            Some((None, index)) => match self.waiting[index].pop_front() {
                Some(parcel) => {
                    self.bytes -= parcel.envelope.bytes.len();
                    self.in_flight += 1;
                    Next::Send(Parcel { seen: self.failures, ..parcel })
                }
                None => Next::Wait(None),
            },
            Some((until, _)) => Next::Wait(until),
            None => Next::Wait(None),
        }
    }

    /// Takes back what [`Queue::next`] gave, with what came of it.
    pub fn settle(&mut self, parcel: Parcel, answer: Answer, now: Instant) -> Option<Turn> {
        self.in_flight -= 1;
        let category = parcel.envelope.kind.category();
        match answer {
            Answer::Failed => return self.failed(parcel, now),
            Answer::Taken(headers) => {
                self.limits.note(&headers, category, false, now);
                self.counts.sent += 1;
            }
            Answer::Limited(headers) => {
                self.limits.note(&headers, category, true, now);
                match category {
                    Some(_) => self.put(parcel),
                    None => self.counts.refused += 1,
                }
            }
            Answer::Refused(headers) => {
                self.limits.note(&headers, category, false, now);
                self.counts.refused += 1;
                self.answered();
                return Some(Turn::Refused);
            }
        }
        self.answered().then_some(Turn::Back)
    }

    pub fn counts(&self) -> Counts {
        Counts { left: self.in_flight + self.waiting.iter().map(VecDeque::len).sum::<usize>(), ..self.counts }
    }

    /// Whether nothing more can leave before `deadline`.
    pub fn is_stuck(&self, now: Instant, deadline: Instant) -> bool {
        self.in_flight == 0 && self.due(now).is_none_or(|(until, _)| until.is_some_and(|until| until > deadline))
    }

    /// Makes the next attempt come at once.
    pub fn hurry(&mut self) {
        self.pause = None;
    }

    /// From when on the next envelope may go, if not now, and where it waits; none where nothing waits.
    fn due(&self, now: Instant) -> Option<(Option<Instant>, usize)> {
        let pause = self.pause.filter(|until| *until > now);
        let waiting = Kind::ALL.into_iter().zip(&self.waiting).enumerate().filter(|(_, (_, queue))| !queue.is_empty());
        waiting.map(|(index, (kind, _))| (self.limits.until(kind.category(), now).max(pause), index)).min()
    }

    /// Behind the others of its kind, for their order is of no matter and none is to be in the way of all.
    fn put(&mut self, parcel: Parcel) {
        self.bytes += parcel.envelope.bytes.len();
        self.waiting[parcel.envelope.kind as usize].push_back(parcel);
    }

    fn failed(&mut self, mut parcel: Parcel, now: Instant) -> Option<Turn> {
        let was_fine = self.failures == 0;
        if was_fine {
            parcel.suspicions += 1;
        }
        // Several in flight fail together: that is one failure.
        if parcel.seen == self.failures {
            self.failures = self.failures.saturating_add(1);
            let pause = (FIRST_PAUSE * 2_u32.pow((self.failures - 1).min(10))).min(LONGEST_PAUSE);
            // Not all hosts are to come back in the same moment.
            self.pause = Some(now + pause.mul_f64(rand::random_range(0.5..=1.0)));
        }
        if parcel.suspicions >= MAX_SUSPICIONS {
            self.counts.refused += 1;
            return Some(Turn::Refused);
        }
        self.put(parcel);
        was_fine.then_some(Turn::Lost)
    }

    /// The server speaks; true if it did not before.
    fn answered(&mut self) -> bool {
        self.pause = None;
        std::mem::take(&mut self.failures) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(kind: Kind, name: &str) -> Envelope {
        Envelope { kind, spans: 0, bytes: format!("{name:10}").into_bytes() }
    }

    fn name(parcel: &Parcel) -> &str {
        std::str::from_utf8(&parcel.envelope.bytes).unwrap().trim()
    }

    #[track_caller]
    fn send(queue: &mut Queue, now: Instant) -> Parcel {
        match queue.next(now) {
            Next::Send(parcel) => parcel,
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
        let mut queue = Queue::new(40);
        queue.push(envelope(Kind::Passed, "passed 1"));
        queue.push(envelope(Kind::Passed, "passed 2"));
        queue.push(envelope(Kind::Trouble, "trouble"));
        assert_eq!(queue.push(envelope(Kind::Error, "error 1")), 0);
        assert_eq!(queue.push(envelope(Kind::Error, "error 2")), 1);
        assert_eq!(queue.push(envelope(Kind::Error, "error 3")), 1);
        let order: Vec<_> = (0..4).map(|_| name(&send(&mut queue, now)).to_owned()).collect();
        assert_eq!(order, ["error 1", "error 2", "error 3", "trouble"]);
        assert_eq!(queue.counts(), Counts { overflowed: 2, left: 4, ..Counts::default() });
    }

    #[test]
    fn what_is_larger_than_all_room_is_dropped() {
        let mut queue = Queue::new(5);
        assert_eq!(queue.push(envelope(Kind::Error, "error")), 1);
        assert!(matches!(queue.next(Instant::now()), Next::Wait(None)));
    }

    #[test]
    fn failures_are_followed_by_ever_longer_pauses() {
        let mut now = Instant::now();
        let mut queue = Queue::new(1000);
        queue.push(envelope(Kind::Passed, "one"));
        for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
            let parcel = send(&mut queue, now);
            let turn = queue.settle(parcel, Answer::Failed, now);
            assert_eq!(turn, (expected == 1).then_some(Turn::Lost));
            let pause = wait(&mut queue, now).as_secs_f64();
            let longest = f64::from(expected);
            assert!((longest / 2.0..=longest).contains(&pause), "{pause} of {longest}");
            now += Duration::from_secs(60);
        }
        let parcel = send(&mut queue, now);
        assert_eq!(queue.settle(parcel, taken(), now), Some(Turn::Back));
        assert_eq!(queue.counts(), Counts { sent: 1, ..Counts::default() });
    }

    #[test]
    fn several_that_fail_together_are_one_failure() {
        let now = Instant::now();
        let mut queue = Queue::new(1000);
        for _ in 0..4 {
            queue.push(envelope(Kind::Passed, "one"));
        }
        let parcels: Vec<_> = (0..4).map(|_| send(&mut queue, now)).collect();
        let turns: Vec<_> =
            parcels.into_iter().filter_map(|parcel| queue.settle(parcel, Answer::Failed, now)).collect();
        assert_eq!(turns, [Turn::Lost]);
        assert!(wait(&mut queue, now) <= FIRST_PAUSE);
    }

    #[test]
    fn an_envelope_at_which_the_server_alone_fails_is_given_up() {
        let mut now = Instant::now();
        let mut queue = Queue::new(1000);
        queue.push(envelope(Kind::Error, "poison"));
        for _ in 0..MAX_SUSPICIONS {
            let parcel = send(&mut queue, now);
            queue.settle(parcel, Answer::Failed, now);
            now += LONGEST_PAUSE;
            queue.push(envelope(Kind::Error, "good"));
            while let Next::Send(parcel) = queue.next(now) {
                if name(&parcel) == "good" {
                    queue.settle(parcel, taken(), now);
                    break;
                }
                queue.settle(parcel, Answer::Failed, now);
                now += LONGEST_PAUSE;
            }
        }
        assert_eq!(queue.counts().refused, 1);
    }

    #[test]
    fn a_limit_holds_its_category_and_keeps_what_it_answered() {
        let now = Instant::now();
        let mut queue = Queue::new(1000);
        queue.push(envelope(Kind::Passed, "passed"));
        let parcel = send(&mut queue, now);
        let headers = Headers { rate_limits: Some("100:transaction".to_owned()), retry_after: None };
        assert_eq!(queue.settle(parcel, Answer::Limited(headers), now), None);
        assert_eq!(wait(&mut queue, now), Duration::from_secs(100));
        assert!(queue.is_stuck(now, now + Duration::from_secs(99)));
        assert!(!queue.is_stuck(now, now + Duration::from_secs(101)));
        queue.push(envelope(Kind::Error, "error"));
        assert!(!queue.is_stuck(now, now));
        assert_eq!(name(&send(&mut queue, now)), "error");
        assert_eq!(name(&send(&mut queue, now + Duration::from_secs(101))), "passed");
    }
}
