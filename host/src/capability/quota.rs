//! What a stay in a guest has used of what it may: asked before anything is done on the guest's behalf, and while it is
//! done. Shared with the tasks in which exchanges go on. Knows no protocol.
//!
//! Once a ceiling is reached the stay is over, whoever of them reached it: no guest can take that for the target's
//! failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::sync::SetOnce;

use crate::config::Limits;
use crate::run::LimitKind;

/// What one stay has used so far.
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

/// A ceiling was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit `{}` is reached", self.0.key())]
pub struct Exceeded(pub LimitKind);

/// A connection that is open, for as long as it is kept; what goes over it is counted on its meter.
pub struct ConnectionPermit(Quota);

impl Quota {
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

    /// Something is about to be asked of a target.
    ///
    /// # Errors
    /// When nothing more may be.
    pub fn request(&self) -> Result<(), Exceeded> {
        self.add(&self.0.requests, 1, self.0.limits.requests, LimitKind::Requests)
    }

    /// So many bytes are about to go out.
    ///
    /// # Errors
    /// When they may not.
    pub fn sent(&self, bytes: usize) -> Result<(), Exceeded> {
        self.add(&self.0.sent, bytes as u64, self.0.limits.sent, LimitKind::Sent)
    }

    /// So many bytes have come in.
    ///
    /// # Errors
    /// When they are too many, and no more are to be waited for.
    pub fn received(&self, bytes: usize) -> Result<(), Exceeded> {
        self.add(&self.0.received, bytes as u64, self.0.limits.received, LimitKind::Received)
    }

    /// A connection is about to be made.
    ///
    /// # Errors
    /// When there are as many as there may be.
    pub fn acquire_connection(&self) -> Result<ConnectionPermit, Exceeded> {
        let open = ConnectionPermit(self.clone());
        self.add(&self.0.connections, 1, self.0.limits.connections, LimitKind::Connections)?;
        Ok(open)
    }

    /// Whether there is room for another connection: where there is none, those that are idle are to be closed.
    pub fn may_connect(&self) -> bool {
        self.0.connections.load(Relaxed) < self.0.limits.connections
    }

    /// Notes a ceiling that somebody else watches over.
    pub fn set_exceeded(&self, ceiling: LimitKind) -> Exceeded {
        // The first is the one that counts: what comes after may come of it.
        let _ = self.0.exceeded.set(Exceeded(ceiling));
        self.0.exceeded.get().copied().unwrap_or(Exceeded(ceiling))
    }

    /// Whether a ceiling has been reached.
    ///
    /// # Errors
    /// When it has.
    pub fn check(&self) -> Result<(), Exceeded> {
        self.0.exceeded.get().map_or(Ok(()), |exceeded| Err(*exceeded))
    }

    /// Waits until a ceiling is reached.
    pub async fn exceeded(&self) -> Exceeded {
        *self.0.exceeded.wait().await
    }

    fn add(&self, used: &AtomicU64, more: u64, most: u64, ceiling: LimitKind) -> Result<(), Exceeded> {
        self.check()?;
        // Counted whether it may be or not: once it may not, nothing more is.
        let before = used.fetch_add(more, Relaxed);
        if before.saturating_add(more) > most { Err(self.set_exceeded(ceiling)) } else { Ok(()) }
    }
}

impl ConnectionPermit {
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

    fn meter() -> Quota {
        Quota::new(Limits { requests: 2, connections: 1, received: 1000, sent: 10, ..Limits::default() })
    }

    #[test]
    fn as_much_as_there_may_be_and_no_more() {
        let meter = meter();
        assert_eq!((meter.request(), meter.request()), (Ok(()), Ok(())));
        assert_eq!(meter.request(), Err(Exceeded(LimitKind::Requests)));
        let meter = self::meter();
        assert_eq!((meter.sent(4), meter.sent(6), meter.sent(0)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(meter.sent(1), Err(Exceeded(LimitKind::Sent)));
        let meter = self::meter();
        assert_eq!(meter.received(usize::MAX), Err(Exceeded(LimitKind::Received)));
    }

    #[test]
    fn nothing_goes_on_once_a_ceiling_is_reached() {
        let meter = meter();
        assert_eq!(meter.check(), Ok(()));
        assert_eq!(meter.received(1001), Err(Exceeded(LimitKind::Received)));
        let also = meter.clone();
        assert_eq!(also.check(), Err(Exceeded(LimitKind::Received)));
        assert_eq!(also.request(), Err(Exceeded(LimitKind::Received)), "the first ceiling is the one that counts");
        assert_eq!(also.set_exceeded(LimitKind::Cpu), Exceeded(LimitKind::Received));
    }

    #[test]
    fn connections_that_are_closed_make_room() {
        let meter = meter();
        let open = meter.acquire_connection().expect("there is room");
        assert!(!meter.may_connect());
        drop(open);
        assert!(meter.may_connect());
        let _open = meter.acquire_connection().expect("there is room again");
        assert_eq!(meter.acquire_connection().err(), Some(Exceeded(LimitKind::Connections)));
    }

    #[tokio::test]
    async fn who_waits_hears_of_it() {
        let meter = meter();
        let waiting = tokio::spawn({
            let meter = meter.clone();
            async move { meter.exceeded().await }
        });
        assert_eq!(meter.sent(11), Err(Exceeded(LimitKind::Sent)));
        assert_eq!(waiting.await.expect("it does not panic"), Exceeded(LimitKind::Sent));
    }
}
