//! The spans of TCP connections and lookups.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use parking_lot::Mutex;

use crate::capability::net_errors::is_refusal;
use crate::capability::quota::{ConnectionPermit, Exceeded};
use crate::capability::run_handles::RunHandles;
use crate::capability::shortage::{local_port_shortage, shortage};
use crate::capability::wasi::evidence::{DnsEvidence, TcpEvidence};
use crate::capability::wasi::resolved_names::ResolvedName;
use crate::trace::{Handle, HostContact, Recorder, Status};

/// The span `tcp` of a connection, its child span `tcp.connect`, and the connection's evidence. The span `tcp` begins
/// with the attempt to connect, and ends when this is dropped. The connection's socket, streams and task share it.
pub struct TcpSpan {
    recorder: Recorder,
    handle: Handle,
    /// The span `tcp.connect` and its beginning, once the socket begins to connect.
    connect: Mutex<Option<(Handle, Instant)>>,
    /// The name through which the guest connected, or the address if there is none.
    host: String,
    peer: SocketAddr,
    is_connect_ended: AtomicBool,
    permit: ConnectionPermit,
    evidence: Arc<TcpEvidence>,
}

impl TcpSpan {
    /// Begins a span below the guest's innermost open one. `name` is the name through which the guest connects, if any;
    /// the connection holds `permit` until it ends.
    pub fn open(run: RunHandles, permit: ConnectionPermit, name: Option<ResolvedName>, peer: SocketAddr) -> Self {
        let RunHandles { recorder, evidence: all_evidence, .. } = run;
        let host = name.as_ref().map_or_else(|| peer.ip().to_string(), |name| name.name.clone());
        let description = if host.contains(':') { peer.to_string() } else { format!("{host}:{}", peer.port()) };
        let handle = recorder.open(recorder.current(), "tcp", description);
        recorder.set(handle, "network.transport", "tcp");
        recorder.set(handle, "server.address", host.as_str());
        recorder.set(handle, "server.port", i64::from(peer.port()));
        recorder.set(handle, "network.peer.address", peer.ip().to_string());
        recorder.set(handle, "network.peer.port", i64::from(peer.port()));
        let is_connect_ended = AtomicBool::new(false);
        let evidence = Arc::new(TcpEvidence::new(name, peer));
        all_evidence.add(handle, evidence.clone());
        let connect = Mutex::default();
        Self { recorder, handle, connect, host, peer, is_connect_ended, permit, evidence }
    }

    /// Returns the name through which the guest connects, or the address if there is none.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Begins the span `tcp.connect`.
    pub fn begin_connect(&self) {
        let now = Instant::now();
        let span = self.recorder.open_at(self.handle, "tcp.connect", format!("Connect to {}", self.peer), now);
        *self.connect.lock() = Some((span, now));
    }

    /// Records the end of the attempt to connect, with its error if it failed. If a resource of this host is used up,
    /// the run ends.
    pub fn end_connect(&self, error: Option<&Error>) {
        if let Some(error) = error {
            let ports = local_port_shortage(error, &[self.peer.ip()], None);
            if let Some(resource) = shortage(error).or(ports) {
                self.permit.quota().set_exceeded(resource);
            }
        }
        let (status, kind, has_answered) = match error.map(Error::kind) {
            None => (Status::Ok, None, true),
            Some(ErrorKind::TimedOut) => (Status::DeadlineExceeded, Some("timeout"), false),
            Some(kind) => (Status::Unavailable, Some("connect"), is_refusal(kind)),
        };
        self.end_connect_with(status, kind, has_answered);
    }

    /// Records that the guest has cancelled the attempt to connect, unless the attempt has ended.
    pub fn cancel_connect(&self) {
        self.end_connect_with(Status::Cancelled, None, false);
    }

    fn end_connect_with(&self, status: Status, kind: Option<&'static str>, answered: bool) {
        if self.is_connect_ended.swap(true, Relaxed) {
            return;
        }
        if status != Status::Ok {
            self.evidence.record_error(kind.unwrap_or("cancelled"));
        }
        let connect = *self.connect.lock();
        for span in connect.iter().map(|(span, _)| *span).chain([self.handle]) {
            self.recorder.set_status(span, status);
            if let Some(kind) = kind {
                self.recorder.set(span, "error.type", kind);
            }
        }
        // Without a beginning, the run has ended while it waited for the connections of others.
        let Some((span, from)) = connect else { return };
        let to = Instant::now();
        self.recorder.close_at(span, to);
        // Once a limit has ended the attempt, a missing answer does not mean that the host is down.
        if !answered && self.permit.quota().check().is_err() {
            return;
        }
        let loopback = HostContact::is_loopback(&self.host, [self.peer.ip()]);
        self.recorder.record_contact(HostContact { host: self.host.clone(), loopback, answered, from, to });
    }

    /// Records that the connection failed after it was established.
    pub fn record_broken(&self) {
        self.recorder.set_status(self.handle, Status::Unavailable);
        self.recorder.set(self.handle, "error.type", "protocol");
        self.evidence.record_error("protocol");
    }

    /// Records that the peer has ended its direction of the connection.
    pub fn record_closed_by_peer(&self) {
        self.evidence.record_closed_by_peer();
    }

    /// Records the number of bytes that were sent.
    ///
    /// # Errors
    /// [`Exceeded`] when the run has sent more than its limit.
    pub fn record_sent(&self, bytes: usize) -> Result<(), Exceeded> {
        self.evidence.record_sent(bytes);
        self.permit.quota().count_sent(bytes)
    }

    /// Records bytes that were received.
    ///
    /// # Errors
    /// [`Exceeded`] when the run has received more than its limit.
    pub fn record_received(&self, bytes: &[u8]) -> Result<(), Exceeded> {
        self.evidence.record_received(bytes);
        self.permit.quota().count_received(bytes.len())
    }
}

impl Drop for TcpSpan {
    fn drop(&mut self) {
        let (sent, received) = self.evidence.sizes();
        for (key, bytes) in [("tcp.sent.size", sent), ("tcp.received.size", received)] {
            self.recorder.set(self.handle, key, i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        self.recorder.close(self.handle);
    }
}

/// The span `dns` of a lookup, and the lookup's evidence. The span is cancelled if this is dropped before the lookup
/// ends.
pub struct DnsSpan {
    recorder: Recorder,
    handle: Handle,
    started: Instant,
    evidence: Arc<DnsEvidence>,
}

impl DnsSpan {
    /// Begins a span below the guest's innermost open one.
    pub fn open(run: &RunHandles, name: &str) -> Self {
        let recorder = run.recorder.clone();
        let started = Instant::now();
        let handle = recorder.open_at(recorder.current(), "dns", format!("Resolve {name}"), started);
        recorder.set(handle, "dns.question.name", name);
        let evidence = Arc::new(DnsEvidence::new(name));
        run.evidence.add(handle, evidence.clone());
        Self { recorder, handle, started, evidence }
    }

    /// Ends the span of a lookup that found addresses.
    pub fn end_answered(&self, addresses: &[IpAddr]) {
        let addresses = self.evidence.record_addresses(addresses);
        self.recorder.set(self.handle, "dns.answers", addresses.join(","));
        self.end(Status::Ok, None);
    }

    /// Ends the span of a lookup that failed or found no address, and records that the host has not answered.
    pub fn end_unanswered(&self, name: &str, status: Status, kind: &'static str) {
        self.recorder.record_contact(HostContact {
            host: name.to_owned(),
            loopback: HostContact::is_loopback(name, []),
            answered: false,
            from: self.started,
            to: Instant::now(),
        });
        self.end(status, Some(kind));
    }

    /// Ends the span of a lookup that failed because a resource of this host is used up.
    pub fn end_by_shortage(&self) {
        self.end(Status::ResourceExhausted, Some("dns"));
    }

    /// Ends the span of a lookup whose addresses the operator does not allow.
    pub fn end_denied(&self) {
        self.end(Status::PermissionDenied, Some("denied"));
    }

    fn end(&self, status: Status, kind: Option<&'static str>) {
        self.recorder.set_status(self.handle, status);
        if let Some(kind) = kind {
            self.recorder.set(self.handle, "error.type", kind);
            self.evidence.record_error(kind);
        }
        self.recorder.close(self.handle);
    }
}

impl Drop for DnsSpan {
    fn drop(&mut self) {
        self.recorder.cancel(self.handle);
        self.evidence.record_dropped();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::connection_budget::ConnectionBudget;
    use crate::capability::log_buffer::LogBuffer;
    use crate::capability::memory_budget::MemoryPool;
    use crate::capability::quota::Quota;
    use crate::capability::record_replay::RecordReplay;
    use crate::capability::shortage::too_many_open_files;
    use crate::config::Limits;
    use crate::run::LimitKind;
    use crate::trace::Trace;

    fn trace_of(host: Option<&str>, use_span: impl FnOnce(TcpSpan)) -> Trace {
        let recorder = Recorder::start("run".into(), String::new());
        let log = LogBuffer::new(recorder.clone(), Limits::default());
        let run = RunHandles::new(recorder.clone(), log, RecordReplay::default());
        let pool = Arc::new(MemoryPool::new(1 << 20, 1));
        let connections = Arc::new(ConnectionBudget::default()).for_run(false);
        let quota = Quota::new(Limits::default(), pool.reservation(false), connections);
        let permit = quota.acquire_connection().expect("the default limits allow connections");
        let peer = "192.0.2.1:80".parse().expect("an address and a port");
        let name = host.map(|host| ResolvedName { name: host.to_owned(), addresses: Vec::new() });
        let span = TcpSpan::open(run, permit, name, peer);
        span.begin_connect();
        use_span(span);
        recorder.finish(Status::Ok, Status::Unknown)
    }

    /// Checks the statuses of the spans `tcp` and `tcp.connect`, and whether the host is recorded as having answered.
    #[track_caller]
    fn check(use_span: impl FnOnce(TcpSpan), expected: (Status, Status, bool)) {
        let trace = trace_of(Some("shop.example"), use_span);
        let [_, tcp, connect] = &trace.spans[..] else { panic!("{trace:#?}") };
        assert_eq!((tcp.op.as_ref(), connect.op.as_ref()), ("tcp", "tcp.connect"));
        assert_eq!(trace.contacts.len(), 1);
        assert_eq!(trace.contacts[0].host, "shop.example");
        assert_eq!((tcp.status, connect.status, trace.contacts[0].answered), expected);
    }

    #[test]
    fn a_refusal_counts_as_an_answer() {
        let failed = |kind: ErrorKind| move |span: TcpSpan| span.end_connect(Some(&kind.into()));
        check(|span| span.end_connect(None), (Status::Ok, Status::Ok, true));
        check(failed(ErrorKind::ConnectionRefused), (Status::Unavailable, Status::Unavailable, true));
        check(failed(ErrorKind::HostUnreachable), (Status::Unavailable, Status::Unavailable, false));
        check(failed(ErrorKind::TimedOut), (Status::DeadlineExceeded, Status::DeadlineExceeded, false));
        check(|span| span.cancel_connect(), (Status::Cancelled, Status::Cancelled, false));
        // After the connection is established, its failure does not change the status of the attempt to connect.
        let broken = |span: TcpSpan| {
            span.end_connect(None);
            span.cancel_connect();
            span.record_broken();
        };
        check(broken, (Status::Unavailable, Status::Ok, true));
    }

    #[test]
    fn a_failure_of_this_host_does_not_count_as_a_missing_answer() {
        let trace = trace_of(Some("shop.example"), |span| {
            span.end_connect(Some(&too_many_open_files()));
            assert_eq!(span.permit.quota().check(), Err(Exceeded(LimitKind::OpenFiles)));
        });
        assert!(trace.contacts.is_empty(), "{trace:#?}");
    }

    #[test]
    fn a_host_that_was_not_looked_up_is_named_by_its_address() {
        let trace = trace_of(None, |span| span.end_connect(None));
        assert_eq!(trace.spans[1].description, "192.0.2.1:80");
        assert_eq!(trace.contacts[0].host, "192.0.2.1");
    }
}
