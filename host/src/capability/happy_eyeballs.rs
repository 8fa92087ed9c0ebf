//! Attempts to connect to several addresses of a name, by RFC 8305 ("Happy Eyeballs"): an attempt begins when the one
//! before it has failed, or has had no connection for a quarter of a second. The first connection is used.

use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::trace::{Handle, Recorder, Status};

/// The time after which the next address is tried, while no address has answered. RFC 8305 recommends it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// The maximum number of addresses that are tried.
const MAX_ATTEMPTS: usize = 20;

/// An attempt to connect to one address.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    pub address: IpAddr,
    pub started: Instant,
    /// The time at which there was a connection or an error; `None` if the attempt was given up.
    pub ended: Option<Instant>,
    pub has_failed: bool,
}

/// The attempts of one connection. Clones share them.
#[derive(Clone, Default)]
pub struct Race(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Default)]
struct State {
    /// The addresses in the order in which they are tried. Empty until the name is resolved.
    addresses: Vec<SocketAddr>,
    attempts: Vec<Attempt>,
    /// The index of the attempt that has a connection.
    winner: Option<usize>,
    last_failed: Option<usize>,
    /// The time before which no attempt begins, because none could be made.
    postponed_until: Option<Instant>,
}

/// An attempt that is being made.
pub type Attempting<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

impl Race {
    /// Sets the addresses of the name, and orders them: the versions of IP take turns, beginning with that of the first
    /// address. The attempt at the first address, which is returned, begins now.
    pub fn set_addresses(&self, addresses: Vec<SocketAddr>) -> Option<SocketAddr> {
        let mut state = self.0.state.lock();
        state.addresses = interleave(addresses);
        state.addresses.truncate(MAX_ATTEMPTS);
        let first = state.addresses.first().copied();
        if let Some(first) = first {
            state.attempts.push(Attempt::begin(first.ip()));
        }
        drop(state);
        self.0.changed.notify_one();
        first
    }

    /// Returns the address of an attempt.
    pub fn address(&self, index: usize) -> Option<SocketAddr> {
        self.0.state.lock().addresses.get(index).copied()
    }

    /// Claims the race for an attempt that has a connection. Returns false if another attempt was faster.
    pub fn claim(&self, index: usize) -> bool {
        let mut state = self.0.state.lock();
        let winner = *state.winner.get_or_insert(index);
        if let Some(attempt) = state.attempts.get_mut(index).filter(|_| winner == index) {
            attempt.ended.get_or_insert_with(Instant::now);
        }
        drop(state);
        self.0.changed.notify_one();
        winner == index
    }

    /// Returns the attempt that decides about the connection: the one that has it, else the last one that has failed,
    /// else the first.
    pub fn decisive(&self) -> usize {
        let state = self.0.state.lock();
        state.winner.or(state.last_failed).unwrap_or_default()
    }

    /// Returns true if there is a connection.
    pub fn is_won(&self) -> bool {
        self.0.state.lock().winner.is_some()
    }

    /// Returns the attempts so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.0.state.lock().attempts.clone()
    }

    /// Makes attempts until one has a connection, or all have failed, and returns the result of that attempt, or of the
    /// last. `start` begins the attempt with an index; it returns `None` if no further attempt can be made now, and is
    /// called again later. Returns `None` if no attempt can be made at all. Dropping the future gives up all attempts.
    pub async fn run<'a, T, E>(
        &self,
        mut start: impl FnMut(usize) -> Option<Attempting<'a, T, E>>,
    ) -> Option<Result<T, E>> {
        let mut running: Vec<_> = start(0).map(|first| (0, first)).into_iter().collect();
        let mut next = 1;
        loop {
            let due = self.due(next, running.is_empty());
            if running.is_empty() && due.is_none() {
                return None;
            }
            tokio::select! {
                biased;
                (index, result) = poll_fn(|task| self.poll_running(&mut running, task)) => match result {
                    Err(error) if !self.is_won() && self.is_resolved() => {
                        self.fail(index);
                        if running.is_empty() && self.address(next).is_none() {
                            return Some(Err(error));
                        }
                        if running.is_empty() || self.attempts().len() == index + 1 {
                            next = self.begin(next, &mut running, &mut start);
                        }
                        if running.is_empty() {
                            return Some(Err(error));
                        }
                    }
                    result => return Some(result),
                },
                () = self.0.changed.notified() => {}
                () = sleep_until(due) => next = self.begin(next, &mut running, &mut start),
            }
        }
    }

    /// Begins the attempt at the next address, if there is one. Returns the index of the attempt after it.
    fn begin<'a, T, E>(
        &self,
        next: usize,
        running: &mut Vec<(usize, Attempting<'a, T, E>)>,
        start: &mut impl FnMut(usize) -> Option<Attempting<'a, T, E>>,
    ) -> usize {
        let Some(address) = self.address(next) else { return next };
        let Some(attempt) = start(next) else {
            self.0.state.lock().postponed_until = Some(Instant::now() + ATTEMPT_DELAY);
            return next;
        };
        self.0.state.lock().attempts.push(Attempt::begin(address.ip()));
        running.push((next, attempt));
        next + 1
    }

    fn fail(&self, index: usize) {
        let mut state = self.0.state.lock();
        state.last_failed = Some(index);
        if let Some(attempt) = state.attempts.get_mut(index) {
            (attempt.ended, attempt.has_failed) = (Some(Instant::now()), true);
        }
    }

    fn is_resolved(&self) -> bool {
        !self.0.state.lock().addresses.is_empty()
    }

    /// Returns the time at which the attempt `next` is to begin; `None` if there is none to begin.
    fn due(&self, next: usize, is_idle: bool) -> Option<Instant> {
        let state = self.0.state.lock();
        if state.winner.is_some() || next >= state.addresses.len() {
            return None;
        }
        let last = state.attempts.last()?;
        if is_idle {
            return Some(Instant::now());
        }
        let due = last.started + ATTEMPT_DELAY;
        Some(state.postponed_until.map_or(due, |postponed| postponed.max(due)))
    }

    /// Polls all attempts, and removes one that has ended. Once there is a connection, the others are given up.
    fn poll_running<T, E>(
        &self,
        running: &mut Vec<(usize, Attempting<'_, T, E>)>,
        task: &mut Context<'_>,
    ) -> Poll<(usize, Result<T, E>)> {
        let mut at = 0;
        while let Some((index, attempt)) = running.get_mut(at) {
            let index = *index;
            let winner = self.0.state.lock().winner;
            if winner.is_some_and(|winner| winner != index) {
                drop(running.remove(at));
                continue;
            }
            if let Poll::Ready(result) = attempt.as_mut().poll(task) {
                drop(running.remove(at));
                return Poll::Ready((index, result));
            }
            at += 1;
        }
        Poll::Pending
    }
}

impl Attempt {
    fn begin(address: IpAddr) -> Self {
        Self { address, started: Instant::now(), ended: None, has_failed: false }
    }
}

/// Adds a child for each attempt to the span of a connection that ends at `end`, if there were several.
pub fn add_spans(recorder: &Recorder, parent: Handle, op: &'static str, attempts: &[Attempt], port: u16, end: Instant) {
    if attempts.len() < 2 {
        return;
    }
    for Attempt { address, started, ended, has_failed } in attempts {
        let description = format!("Connect to {}", SocketAddr::new(*address, port));
        let span = recorder.open_at(parent, op, description, *started);
        match ended {
            Some(_) if *has_failed => recorder.set_status(span, Status::Unavailable),
            Some(_) => {}
            None => recorder.set_status(span, Status::Cancelled),
        }
        recorder.close_at(span, ended.unwrap_or(end).max(*started));
    }
}

/// Orders addresses such that the versions of IP take turns, beginning with that of the first address.
fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv4) else { return addresses };
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv4() == first);
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut ordered = Vec::new();
    loop {
        let pair = [one.next(), other.next()];
        if pair == [None, None] {
            return ordered;
        }
        ordered.extend(pair.into_iter().flatten());
    }
}

/// Waits until a time; forever without one.
async fn sleep_until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().expect("the text is an address")).collect()
    }

    #[test]
    fn the_versions_of_ip_take_turns() {
        let check = |given: &[&str], expected: &[&str]| assert_eq!(interleave(addresses(given)), addresses(expected));
        check(&[], &[]);
        check(&["192.0.2.1:1", "192.0.2.2:1"], &["192.0.2.1:1", "192.0.2.2:1"]);
        check(
            &["[2001:db8::1]:1", "[2001:db8::2]:1", "192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"],
            &["[2001:db8::1]:1", "192.0.2.1:1", "[2001:db8::2]:1", "192.0.2.2:1", "192.0.2.3:1"],
        );
    }

    /// Runs a race between three addresses. `attempt` returns what each does: a result, or nothing for silence.
    async fn race(attempt: impl Fn(usize) -> Option<Result<usize, usize>>) -> (Result<usize, usize>, Vec<Attempt>) {
        let race = Race::default();
        race.set_addresses(addresses(&["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1"]));
        let result = race
            .run(|index| {
                let (race, result) = (race.clone(), attempt(index));
                Some(Box::pin(async move {
                    match result {
                        None => std::future::pending().await,
                        Some(Ok(_)) if !race.claim(index) => std::future::pending().await,
                        Some(result) => result,
                    }
                }))
            })
            .await;
        (result.expect("an attempt can be made"), race.attempts())
    }

    #[tokio::test]
    async fn the_first_connection_is_used() {
        let (result, attempts) = race(|index| Some(Ok(index))).await;
        assert_eq!((result, attempts.len()), (Ok(0), 1));
        let (result, attempts) = race(|index| (index > 0).then_some(Ok(index))).await;
        assert_eq!((result, attempts.len()), (Ok(1), 2));
        assert!(attempts[0].ended.is_none() && attempts[1].started >= attempts[0].started + ATTEMPT_DELAY);
    }

    #[tokio::test]
    async fn an_attempt_that_fails_is_followed_by_the_next() {
        let (result, attempts) = race(|index| Some(if index == 2 { Ok(2) } else { Err(index) })).await;
        assert_eq!((result, attempts.len()), (Ok(2), 3));
        assert_eq!(attempts.iter().map(|attempt| attempt.has_failed).collect::<Vec<_>>(), [true, true, false]);
        let (result, attempts) = race(|index| Some(Err(index))).await;
        assert_eq!((result, attempts.len()), (Err(2), 3));
    }
}
