//! The connections that the runs of all probes open to one host at once. Servers refuse more than a few, such as sshd
//! beyond its `MaxStartups`: our own load would be taken for an outage.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::capability::timeout::Timeout;

/// Bounds the connections that are opened to one host and port at once. Built-in and third-party probes have a share
/// each, so that a component cannot delay the others.
pub struct OpeningLimit {
    per_host: AtomicUsize,
    hosts: Mutex<HashMap<Destination, Arc<Semaphore>>>,
}

/// The destination of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Destination {
    /// True for the connections of built-in probes.
    pub built_in: bool,
    /// The name or address that is connected to, in lower case.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

/// The connections that one attempt opens. Clones share what they remember.
#[derive(Clone)]
pub struct AttemptOpenings {
    limit: Arc<OpeningLimit>,
    built_in: bool,
    /// The time at which the attempt is stopped.
    deadline: Instant,
    /// The hosts and ports that were waited for, at most 100.
    opened: Arc<Mutex<Vec<Destination>>>,
}

/// A permit to open a connection, until this is dropped.
pub struct OpeningPermit {
    limit: Arc<OpeningLimit>,
    destination: Destination,
    semaphore: Arc<Semaphore>,
    permit: Option<OwnedSemaphorePermit>,
    /// The time that acquiring the permit has taken.
    waited: Duration,
}

impl OpeningLimit {
    /// Returns a limit of `per_host` connections.
    pub fn new(per_host: usize) -> Self {
        Self { per_host: AtomicUsize::new(per_host), hosts: Mutex::default() }
    }

    /// Changes the limit, for destinations to which no connection is being opened.
    pub fn set(&self, per_host: usize) {
        self.per_host.store(per_host, Relaxed);
    }

    /// Waits for a permit, in the order of the calls. After `max_wait` the connection may be opened without one: a host
    /// that does not answer, and holds up all connections, must not keep others from finding that out.
    pub async fn acquire(self: &Arc<Self>, destination: Destination, max_wait: Duration) -> OpeningPermit {
        let started = Instant::now();
        let new = || Arc::new(Semaphore::new(self.per_host.load(Relaxed)));
        let semaphore = Arc::clone(self.hosts.lock().entry(destination.clone()).or_insert_with(new));
        // This value exists while the future waits, so that dropping the future removes the destination too.
        let mut permit =
            OpeningPermit { limit: Arc::clone(self), destination, semaphore, permit: None, waited: Duration::ZERO };
        let acquiring = Arc::clone(&permit.semaphore).acquire_owned();
        permit.permit = tokio::time::timeout(max_wait, acquiring).await.ok().and_then(Result::ok);
        permit.waited = started.elapsed();
        permit
    }
}

impl AttemptOpenings {
    /// Returns the connections of an attempt that has opened none, and that ends at `deadline`.
    pub fn new(limit: Arc<OpeningLimit>, built_in: bool, deadline: Instant) -> Self {
        Self { limit, built_in, deadline, opened: Arc::default() }
    }

    /// Waits until a connection to a host may be opened beside those of other runs: for at most a quarter of the time
    /// that the attempt has left.
    pub fn wait(&self, host: &str, port: u16) -> impl Future<Output = OpeningPermit> + Send + use<> {
        let time_left = self.deadline.saturating_duration_since(Instant::now());
        let (limit, destination) = (Arc::clone(&self.limit), self.destination(host, port));
        async move { limit.acquire(destination, time_left / 4).await }
    }

    /// Waits like [`AttemptOpenings::wait`], unless the attempt has waited for the host before, so that it may reuse
    /// its connection. Returns `None` then.
    pub async fn wait_first(&self, host: &str, port: u16) -> Option<OpeningPermit> {
        /// The hosts that are remembered, which bounds the memory.
        const MAX_REMEMBERED: usize = 100;
        let destination = self.destination(host, port);
        let is_first = {
            let mut opened = self.opened.lock();
            let is_first = !opened.contains(&destination);
            if is_first && opened.len() < MAX_REMEMBERED {
                opened.push(destination);
            }
            is_first
        };
        if is_first { Some(self.wait(host, port).await) } else { None }
    }

    fn destination(&self, host: &str, port: u16) -> Destination {
        Destination { built_in: self.built_in, host: host.to_lowercase(), port }
    }
}

impl OpeningPermit {
    /// Returns true if the wait for this permit has left less time than the guest has asked for. The target is then not
    /// to blame if it takes longer than the time that is left.
    pub fn has_shortened(&self, timeout: Timeout) -> bool {
        /// The shortest wait that counts. Other delays that are not measured, such as that until a thread is free, can
        /// take as long as a shorter one.
        const MIN_WAIT: Duration = Duration::from_millis(10);
        self.waited >= MIN_WAIT && matches!(timeout, Timeout::Deadline(_))
    }
}

impl Drop for OpeningPermit {
    /// Removes the destination if nobody else opens a connection to it, so that the number of destinations stays
    /// bounded.
    fn drop(&mut self) {
        let mut hosts = self.limit.hosts.lock();
        drop(self.permit.take());
        // One reference is that of the map, one is that of this permit.
        if Arc::strong_count(&self.semaphore) == 2 {
            hosts.remove(&self.destination);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn to(host: &str, built_in: bool) -> Destination {
        Destination { built_in, host: host.to_owned(), port: 22 }
    }

    #[tokio::test]
    async fn connections_beyond_the_limit_wait() {
        let limit = Arc::new(OpeningLimit::new(2));
        let first = limit.acquire(to("a", true), LONG).await;
        let _second = limit.acquire(to("a", true), LONG).await;
        let _of_another_host = limit.acquire(to("b", true), LONG).await;
        let _of_third_party = limit.acquire(to("a", false), LONG).await;
        let waiting = tokio::spawn({
            let limit = Arc::clone(&limit);
            async move { limit.acquire(to("a", true), LONG).await }
        });
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        assert!(!waiting.is_finished());
        drop(first);
        assert!(waiting.await.expect("the task does not panic").permit.is_some());
    }

    #[tokio::test]
    async fn waiting_has_an_end() {
        let limit = Arc::new(OpeningLimit::new(1));
        let _first = limit.acquire(to("a", true), LONG).await;
        let second = limit.acquire(to("a", true), Duration::from_millis(1)).await;
        assert!(second.permit.is_none() && second.waited >= Duration::from_millis(1));
    }

    #[tokio::test]
    async fn unused_destinations_are_forgotten() {
        let limit = Arc::new(OpeningLimit::new(1));
        let first = limit.acquire(to("a", true), LONG).await;
        let second = limit.acquire(to("a", true), Duration::ZERO).await;
        drop((first, limit.acquire(to("b", true), LONG).await));
        assert_eq!(limit.hosts.lock().len(), 1);
        drop(second);
        assert_eq!(limit.hosts.lock().len(), 0);
    }
}
