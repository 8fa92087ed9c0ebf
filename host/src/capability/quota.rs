//! Counters of what an attempt has used of its limits on requests, connections and traffic. They are shared with the tasks
//! in which exchanges run. Independent of protocols.
//!
//! Once a limit is reached, the attempt ends, whichever task reached the limit: a guest cannot mistake it for a failure of
//! the target.

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

/// A limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit `{}` is reached", self.0.key())]
pub struct Exceeded(pub LimitKind);

/// One open connection. It counts against the limit until this is dropped.
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

    /// Counts a request that is about to be made: an HTTP request, a lookup, a connection of a socket or of SSH, or a command.
    ///
    /// # Errors
    /// [`Exceeded`] when it would be one too many, or any limit has been reached before.
    pub fn count_request(&self) -> Result<(), Exceeded> {
        self.add(&self.0.requests, 1, self.0.limits.requests, LimitKind::Requests)
    }

    /// Counts bytes that are about to be sent.
    ///
    /// # Errors
    /// [`Exceeded`] when they would be too many, or any limit has been reached before.
    pub fn count_sent(&self, bytes: usize) -> Result<(), Exceeded> {
        self.add(&self.0.sent, bytes as u64, self.0.limits.sent, LimitKind::Sent)
    }

    /// Counts bytes that were received.
    ///
    /// # Errors
    /// [`Exceeded`] when they are too many, or any limit has been reached before.
    pub fn count_received(&self, bytes: usize) -> Result<(), Exceeded> {
        self.add(&self.0.received, bytes as u64, self.0.limits.received, LimitKind::Received)
    }

    /// Counts a connection that is about to be made.
    ///
    /// # Errors
    /// [`Exceeded`] when it would be one too many at once, or any limit has been reached before.
    pub fn acquire_connection(&self) -> Result<ConnectionPermit, Exceeded> {
        let permit = ConnectionPermit(self.clone());
        self.add(&self.0.connections, 1, self.0.limits.connections, LimitKind::Connections)?;
        Ok(permit)
    }

    /// Returns true if another connection may be made. Otherwise idle ones have to be closed first.
    pub fn may_connect(&self) -> bool {
        self.0.connections.load(Relaxed) < self.0.limits.connections
    }

    /// Marks a limit as reached, and returns the limit that was reached first: later ones may follow from it.
    fn set_exceeded(&self, limit: LimitKind) -> Exceeded {
        // An error means that a limit was marked before.
        let _ = self.0.exceeded.set(Exceeded(limit));
        self.0.exceeded.get().copied().unwrap_or(Exceeded(limit))
    }

    /// Checks whether a limit was reached.
    ///
    /// # Errors
    /// [`Exceeded`] with the first limit that was.
    pub fn check(&self) -> Result<(), Exceeded> {
        self.0.exceeded.get().map_or(Ok(()), |exceeded| Err(*exceeded))
    }

    /// Waits until a limit is reached.
    pub async fn wait_exceeded(&self) -> Exceeded {
        *self.0.exceeded.wait().await
    }

    fn add(&self, used: &AtomicU64, more: u64, max: u64, limit: LimitKind) -> Result<(), Exceeded> {
        self.check()?;
        // Counted even if it is too much: after that, nothing more is done.
        let before = used.fetch_add(more, Relaxed);
        if before.saturating_add(more) > max { Err(self.set_exceeded(limit)) } else { Ok(()) }
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
    fn nothing_goes_on_once_a_limit_is_reached() {
        let quota = quota();
        assert_eq!(quota.check(), Ok(()));
        assert_eq!(quota.count_received(1001), Err(Exceeded(LimitKind::Received)));
        let clone = quota.clone();
        assert_eq!(clone.check(), Err(Exceeded(LimitKind::Received)));
        assert_eq!(clone.count_request(), Err(Exceeded(LimitKind::Received)), "the first limit counts");
        assert_eq!(clone.set_exceeded(LimitKind::Cpu), Exceeded(LimitKind::Received));
    }

    #[test]
    fn closed_connections_make_room() {
        let quota = quota();
        let permit = quota.acquire_connection().expect("there is room");
        assert!(!quota.may_connect());
        drop(permit);
        assert!(quota.may_connect());
        let _permit = quota.acquire_connection().expect("the dropped permit is free again");
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
        assert_eq!(waiting.await.expect("it does not panic"), Exceeded(LimitKind::Sent));
    }
}
