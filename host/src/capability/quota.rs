//! Counters of an attempt's requests, connections and traffic, compared with its limits. The tasks in which exchanges
//! run share them. Independent of protocols.
//!
//! Once a limit is reached, the attempt ends, whichever task reached it, so that a guest cannot mistake the limit for a
//! failure of the target.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::SetOnce;

use crate::config::Limits;
use crate::run::LimitKind;

/// Counters of one attempt's requests, connections and traffic. Clones share them.
#[derive(Clone)]
pub struct Quota(Arc<Usage>);

struct Usage {
    limits: Limits,
    requests: AtomicU64,
    connections: AtomicU64,
    received: AtomicU64,
    sent: AtomicU64,
    exceeded: SetOnce<Exceeded>,
}

/// The error that an attempt has reached a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit `{}` is reached", self.0.key())]
pub struct Exceeded(pub LimitKind);

/// A permit for one open connection, which counts against the limit until the permit is dropped.
pub struct ConnectionPermit(Quota);

impl Quota {
    /// Returns counters at zero.
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Usage {
            limits,
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            exceeded: SetOnce::new(),
        }))
    }

    /// Counts a request that is about to be made: an HTTP request, a lookup, a connection of a socket or of SSH, or a
    /// command.
    ///
    /// # Errors
    /// [`Exceeded`] when the request would be one too many, or any limit was reached before.
    pub fn count_request(&self) -> Result<(), Exceeded> {
        self.add(&self.0.requests, 1, self.0.limits.requests, LimitKind::Requests)
    }

    /// Counts bytes that are about to be sent.
    ///
    /// # Errors
    /// [`Exceeded`] when more bytes than allowed would be sent, or any limit was reached before.
    pub fn count_sent(&self, bytes: usize) -> Result<(), Exceeded> {
        self.add(&self.0.sent, bytes as u64, self.0.limits.sent, LimitKind::Sent)
    }

    /// Counts bytes that were received.
    ///
    /// # Errors
    /// [`Exceeded`] when more bytes than allowed were received, or any limit was reached before.
    pub fn count_received(&self, bytes: usize) -> Result<(), Exceeded> {
        self.add(&self.0.received, bytes as u64, self.0.limits.received, LimitKind::Received)
    }

    /// Counts a connection that is about to be made.
    ///
    /// # Errors
    /// [`Exceeded`] when too many connections would be open at once, or any limit was reached before.
    pub fn acquire_connection(&self) -> Result<ConnectionPermit, Exceeded> {
        let permit = ConnectionPermit(self.clone());
        self.add(&self.0.connections, 1, self.0.limits.connections, LimitKind::Connections)?;
        Ok(permit)
    }

    /// Returns true if another connection may be made. Otherwise idle ones have to be closed first.
    pub fn may_connect(&self) -> bool {
        self.0.connections.load(Relaxed) < self.0.limits.connections
    }

    /// Marks a limit as reached, unless another one was reached before: the later one may follow from it. Returns the
    /// limit that was reached first.
    fn set_exceeded(&self, limit: LimitKind) -> Exceeded {
        // An error means that a limit is marked already.
        let _ = self.0.exceeded.set(Exceeded(limit));
        self.0.exceeded.get().copied().unwrap_or(Exceeded(limit))
    }

    /// Checks whether a limit was reached.
    ///
    /// # Errors
    /// [`Exceeded`] with the limit that was reached first.
    pub fn check(&self) -> Result<(), Exceeded> {
        self.0.exceeded.get().map_or(Ok(()), |exceeded| Err(*exceeded))
    }

    /// Waits until a limit is reached.
    pub async fn wait_exceeded(&self) -> Exceeded {
        *self.0.exceeded.wait().await
    }

    fn add(&self, used: &AtomicU64, amount: u64, max: u64, limit: LimitKind) -> Result<(), Exceeded> {
        self.check()?;
        // The amount is added even if it exceeds the limit: the attempt ends then, so that the counter no longer
        // matters.
        let before = used.fetch_add(amount, Relaxed);
        if before.saturating_add(amount) > max { Err(self.set_exceeded(limit)) } else { Ok(()) }
    }
}

impl ConnectionPermit {
    /// Returns the counters for the connection's traffic.
    pub fn quota(&self) -> &Quota {
        &self.0
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.0.connections.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota() -> Quota {
        Quota::new(Limits { requests: 2, connections: 1, received: 1000, sent: 10, ..Limits::default() })
    }

    #[test]
    fn each_limit_can_be_reached_exactly() {
        let quota = quota();
        assert_eq!((quota.count_request(), quota.count_request()), (Ok(()), Ok(())));
        assert_eq!(quota.count_request(), Err(Exceeded(LimitKind::Requests)));
        let quota = self::quota();
        assert_eq!((quota.count_sent(4), quota.count_sent(6), quota.count_sent(0)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(quota.count_sent(1), Err(Exceeded(LimitKind::Sent)));
        let quota = self::quota();
        assert_eq!(quota.count_received(usize::MAX), Err(Exceeded(LimitKind::Received)));
    }

    #[test]
    fn once_a_limit_is_reached_all_counting_fails() {
        let quota = quota();
        assert_eq!(quota.check(), Ok(()));
        assert_eq!(quota.count_received(1001), Err(Exceeded(LimitKind::Received)));
        let clone = quota.clone();
        assert_eq!(clone.check(), Err(Exceeded(LimitKind::Received)));
        assert_eq!(clone.count_request(), Err(Exceeded(LimitKind::Received)), "the first limit counts");
        assert_eq!(clone.set_exceeded(LimitKind::Cpu), Exceeded(LimitKind::Received));
    }

    #[test]
    fn a_dropped_permit_allows_another_connection() {
        let quota = quota();
        let permit = quota.acquire_connection().expect("no connection is open");
        assert!(!quota.may_connect());
        drop(permit);
        assert!(quota.may_connect());
        let _permit = quota.acquire_connection().expect("the permit of the only connection was dropped");
        assert_eq!(quota.acquire_connection().err(), Some(Exceeded(LimitKind::Connections)));
    }

    #[tokio::test]
    async fn a_waiting_task_is_woken() {
        let quota = quota();
        let waiting = tokio::spawn({
            let quota = quota.clone();
            async move { quota.wait_exceeded().await }
        });
        assert_eq!(quota.count_sent(11), Err(Exceeded(LimitKind::Sent)));
        assert_eq!(waiting.await.expect("the task does not panic"), Exceeded(LimitKind::Sent));
    }
}
