//! Counters of an attempt's requests, connections, traffic and memory of the host, which are compared with its limits.
//! The tasks in which exchanges run share the counters. This module is independent of protocols.
//!
//! Once a limit is reached, the attempt ends, whichever task reached it, so that a guest cannot mistake the limit for a
//! failure of the target. The same holds for resources of this host that are used up, such as open files.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::SetOnce;

use crate::capability::connection_budget::{FilePermit, RunConnections};
use crate::capability::memory_budget::{PoolExhausted, Reservation};
use crate::capability::shortage::{current_shortage, shortage};
use crate::config::Limits;
use crate::run::LimitKind;

/// Counters of one attempt's requests, connections, traffic and memory. Clones share them.
#[derive(Clone)]
pub struct Quota(Arc<Usage>);

struct Usage {
    limits: Limits,
    memory: Mutex<Memory>,
    requests: AtomicU64,
    connections: AtomicU64,
    /// The connections of the attempt among those of all runs.
    run_connections: Arc<RunConnections>,
    received: AtomicU64,
    sent: AtomicU64,
    /// The calls of the system that wait for a thread that other probes have.
    waiting_calls: AtomicU64,
    /// The reads and writes of files that are in progress.
    file_calls: AtomicU64,
    /// The CPU time of calls that threads of the host make for the guest, in nanoseconds.
    cpu_of_calls: AtomicU64,
    exceeded: SetOnce<Exceeded>,
}

/// The memory that an attempt uses, which counts against its own limit and against the pool of all runs.
struct Memory {
    /// Bytes that the host holds on the guest's behalf.
    held: usize,
    /// The bytes that the attempt has reserved from the pool: those held, and the guest's own memories and tables.
    reservation: Reservation,
}

/// A number of bytes that the host holds on a guest's behalf. Until this value is dropped, the bytes count against the
/// guest's `memory` limit and against the memory of all runs.
#[must_use]
pub struct HeldBytes {
    quota: Quota,
    bytes: usize,
}

/// The error that an attempt has reached a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the limit `{}` is reached", self.0.key())]
pub struct Exceeded(pub LimitKind);

impl From<PoolExhausted> for Exceeded {
    fn from(_: PoolExhausted) -> Self {
        Self(LimitKind::TotalMemory)
    }
}

/// A permit for one open connection. Until the permit is dropped, the connection, its open file and the bytes of its
/// buffers count against the limits.
pub struct ConnectionPermit {
    quota: Quota,
    _buffers: HeldBytes,
    _file: FilePermit,
}

/// The number of bytes that are counted for the buffers of one connection: of TLS and HTTP, or of SSH.
const CONNECTION_BYTES: usize = 32 << 10;

impl Quota {
    /// Returns counters at zero. Memory is taken from `reservation`, and connections from `run_connections`.
    pub fn new(limits: Limits, reservation: Reservation, run_connections: Arc<RunConnections>) -> Self {
        Self(Arc::new(Usage {
            limits,
            memory: Mutex::new(Memory { held: 0, reservation }),
            requests: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            run_connections,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            waiting_calls: AtomicU64::new(0),
            file_calls: AtomicU64::new(0),
            cpu_of_calls: AtomicU64::new(0),
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

    /// Returns true if another request may be made.
    pub fn may_request(&self) -> bool {
        self.0.requests.load(Relaxed) < self.0.limits.requests
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

    /// Returns true if any bytes were received.
    pub fn has_received(&self) -> bool {
        self.0.received.load(Relaxed) > 0
    }

    /// Counts a connection that is about to be made, and 32 KiB for its buffers.
    ///
    /// # Errors
    /// [`Exceeded`] when too many connections of the attempt or of all runs would be open at once, when the
    /// buffers would be too much memory, or when any limit was reached before.
    pub fn acquire_connection(&self) -> Result<ConnectionPermit, Exceeded> {
        let buffers = self.hold(CONNECTION_BYTES)?;
        self.add(&self.0.connections, 1, self.0.limits.connections, LimitKind::Connections)?;
        match self.0.run_connections.acquire() {
            Some(file) => Ok(ConnectionPermit { quota: self.clone(), _buffers: buffers, _file: file }),
            None => Err(self.set_exceeded(LimitKind::OpenFiles)),
        }
    }

    /// Counts bytes that the host is about to hold on the guest's behalf, until the result is dropped.
    ///
    /// # Errors
    /// [`Exceeded`] when the host would hold more than the guest's own `memory` limit, when the runs of all
    /// probes together leave too little, or when any limit has been reached before.
    pub fn hold(&self, bytes: usize) -> Result<HeldBytes, Exceeded> {
        self.check()?;
        let mut memory = self.0.memory.lock();
        let held = memory.held.saturating_add(bytes);
        let reserved = if held > self.0.limits.memory {
            Err(Exceeded(LimitKind::Memory))
        } else {
            memory.reservation.reserve(bytes).map_err(Exceeded::from)
        };
        if let Err(Exceeded(limit)) = reserved {
            drop(memory);
            return Err(self.set_exceeded(limit));
        }
        memory.held = held;
        Ok(HeldBytes { quota: self.clone(), bytes })
    }

    /// Counts received or buffered data until all clones of the returned bytes, and of parts of them, are dropped.
    ///
    /// # Errors
    /// Returns the errors of [`Quota::hold`].
    pub fn hold_data(&self, data: Bytes) -> Result<Bytes, Exceeded> {
        Ok(self.hold(data.len())?.with_data(data))
    }

    /// Reserves bytes of the pool of all runs for the guest's own memories and tables.
    ///
    /// # Errors
    /// [`Exceeded`] when the runs of all probes together leave too little.
    pub fn reserve_for_guest(&self, bytes: usize) -> Result<(), Exceeded> {
        Ok(self.0.memory.lock().reservation.reserve(bytes)?)
    }

    /// Gives back bytes that were reserved for the guest.
    pub fn release_for_guest(&self, bytes: usize) {
        self.0.memory.lock().reservation.release(bytes);
    }

    /// Returns true if another connection may be made. Otherwise idle ones have to be closed first.
    pub fn may_connect(&self) -> bool {
        self.0.connections.load(Relaxed) < self.0.limits.connections && self.0.run_connections.may_acquire()
    }

    /// Marks a limit as reached, unless another one was reached before: the later one may follow from it. Returns the
    /// limit that was reached first.
    pub fn set_exceeded(&self, limit: LimitKind) -> Exceeded {
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

    /// Ends the attempt if an error says that a resource of this host is used up, which is no failure of the target.
    ///
    /// # Errors
    /// [`Exceeded`] in that case, or when any limit was reached before.
    pub fn check_error(&self, error: &(dyn Error + 'static)) -> Result<(), Exceeded> {
        match shortage(error) {
            Some(resource) => Err(self.set_exceeded(resource)),
            None => self.check(),
        }
    }

    /// Ends the attempt if the kernel refuses another socket now. This is called after a failure whose error does not
    /// say whether this host is its cause.
    ///
    /// # Errors
    /// [`Exceeded`] in that case, or when any limit was reached before.
    pub fn check_host(&self) -> Result<(), Exceeded> {
        match current_shortage() {
            Some(resource) => Err(self.set_exceeded(resource)),
            None => self.check(),
        }
    }

    /// Counts a call of the system that begins to wait for a thread that other probes have.
    pub fn begin_wait_for_thread(&self) {
        self.0.waiting_calls.fetch_add(1, Relaxed);
    }

    /// Ends the wait of a call for a thread.
    pub fn end_wait_for_thread(&self) {
        self.0.waiting_calls.fetch_sub(1, Relaxed);
    }

    /// Ends the attempt if a call waits for a thread that other probes have. To be called when the guest reports a
    /// failure, which may be the missing result of that call.
    ///
    /// # Errors
    /// [`Exceeded`] then, or when any limit was reached before.
    pub fn check_waiting_calls(&self) -> Result<(), Exceeded> {
        if self.0.waiting_calls.load(Relaxed) > 0 { Err(self.set_exceeded(LimitKind::Threads)) } else { self.check() }
    }

    /// Counts a read or a write of a file that begins.
    pub fn begin_file_call(&self) {
        self.0.file_calls.fetch_add(1, Relaxed);
    }

    /// Ends a read or a write of a file.
    pub fn end_file_call(&self) {
        self.0.file_calls.fetch_sub(1, Relaxed);
    }

    /// Ends the attempt if a file is being read or written. To be called when a time is used up that includes the time
    /// for the file: it is not the target that took long.
    ///
    /// # Errors
    /// [`Exceeded`] then, or when any limit was reached before.
    pub fn check_file_calls(&self) -> Result<(), Exceeded> {
        if self.0.file_calls.load(Relaxed) > 0 { Err(self.set_exceeded(LimitKind::Files)) } else { self.check() }
    }

    /// Counts CPU time that a thread of the host has used for the guest. Ends the attempt if it is more than
    /// `limits.cpu`.
    pub fn count_cpu(&self, used: Duration) {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        // The limit ends the attempt.
        let _ = self.add(&self.0.cpu_of_calls, nanoseconds(used), nanoseconds(self.0.limits.cpu), LimitKind::Cpu);
    }

    /// Returns the CPU time that threads of the host have used for the guest.
    pub fn cpu_of_calls(&self) -> Duration {
        Duration::from_nanos(self.0.cpu_of_calls.load(Relaxed))
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
        &self.quota
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.quota.0.connections.fetch_sub(1, Relaxed);
    }
}

impl HeldBytes {
    /// Returns the number of bytes that are counted.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Counts more bytes.
    ///
    /// # Errors
    /// Returns the errors of [`Quota::hold`].
    pub fn grow(&mut self, bytes: usize) -> Result<(), Exceeded> {
        if bytes > 0 {
            self.merge(self.quota.hold(bytes)?);
        }
        Ok(())
    }

    /// Returns the data together with its count: the bytes that `self` counts, which must be those of the data, count
    /// until all clones of the returned bytes, and of parts of them, are dropped.
    pub fn with_data(self, data: Bytes) -> Bytes {
        struct HeldData {
            data: Bytes,
            _held: HeldBytes,
        }
        impl AsRef<[u8]> for HeldData {
            fn as_ref(&self) -> &[u8] {
                &self.data
            }
        }
        if data.is_empty() { data } else { Bytes::from_owner(HeldData { data, _held: self }) }
    }

    /// Adds the bytes that another value of the same attempt counts.
    pub fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for HeldBytes {
    fn drop(&mut self) {
        if self.bytes > 0 {
            let mut memory = self.quota.0.memory.lock();
            memory.held -= self.bytes;
            memory.reservation.release(self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;
    use crate::capability::connection_budget::ConnectionBudget;
    use crate::capability::memory_budget::MemoryPool;
    use crate::capability::shortage::too_many_open_files;

    fn with_limits(limits: Limits) -> Quota {
        let connections = Arc::new(ConnectionBudget::default()).for_run(false);
        Quota::new(limits, Arc::new(MemoryPool::new(1 << 20, 1)).reservation(false), connections)
    }

    fn quota() -> Quota {
        with_limits(Limits { requests: 2, connections: 1, received: 1000, sent: 10, ..Limits::default() })
    }

    #[test]
    fn held_bytes_count_until_they_are_dropped() {
        let quota = with_limits(Limits { memory: 1000, ..Limits::default() });
        let mut first = quota.hold(400).expect("nothing is held yet");
        first.grow(100).expect("500 of 1000 bytes");
        let data = quota.hold_data(Bytes::from(vec![7; 500])).expect("1000 of 1000 bytes");
        let part = data.slice(..1);
        drop(first);
        drop(data);
        drop(quota.hold(500).expect("the part holds the whole data"));
        drop(part);
        drop(quota.hold(1000).expect("nothing is held any longer"));
        assert_eq!(quota.hold(1001).err(), Some(Exceeded(LimitKind::Memory)));
        assert_eq!(quota.hold(1).err(), Some(Exceeded(LimitKind::Memory)), "nothing goes on after that");
    }

    #[test]
    fn held_bytes_come_from_the_pool_of_all_runs() {
        let quota = with_limits(Limits::default());
        quota.reserve_for_guest(1 << 19).expect("half of the pool");
        let held = quota.hold(1 << 19).expect("the other half");
        assert_eq!(quota.reserve_for_guest(1), Err(Exceeded(LimitKind::TotalMemory)));
        drop(held);
        quota.release_for_guest(1 << 19);
        assert_eq!(quota.hold((1 << 20) + 1).err(), Some(Exceeded(LimitKind::TotalMemory)));
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

    #[test]
    fn connections_of_all_runs_together_are_limited() {
        let budget = Arc::new(ConnectionBudget::new(2));
        let pool = Arc::new(MemoryPool::new(1 << 20, 1));
        let quota = || Quota::new(Limits::default(), pool.reservation(false), budget.for_run(false));
        let (greedy, other) = (quota(), quota());
        let permits = [greedy.acquire_connection(), greedy.acquire_connection()];
        assert!(!greedy.may_connect() && other.may_connect());
        assert!(permits.iter().all(Result::is_ok));
        assert_eq!(greedy.acquire_connection().err(), Some(Exceeded(LimitKind::OpenFiles)));
        assert_eq!(greedy.check(), Err(Exceeded(LimitKind::OpenFiles)), "the run ends");
        let permit = other.acquire_connection().expect("the first connection of a run is guaranteed");
        drop(permits);
        let _permits = (permit, other.acquire_connection().expect("the connections of the other run are closed"));
        assert_eq!(other.check(), Ok(()));
    }

    #[test]
    fn errors_of_this_host_end_the_attempt_and_those_of_targets_do_not() {
        let quota = quota();
        let refused = std::io::Error::from(ErrorKind::ConnectionRefused);
        assert_eq!(quota.check_error(&refused), Ok(()));
        assert_eq!(quota.check_host(), Ok(()));
        assert_eq!(quota.check_error(&too_many_open_files()), Err(Exceeded(LimitKind::OpenFiles)));
        assert_eq!(quota.check_error(&refused), Err(Exceeded(LimitKind::OpenFiles)));
        assert_eq!(quota.check(), Err(Exceeded(LimitKind::OpenFiles)));
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
