//! A connection's span: from the attempt to make it until the last of it is dropped, with what went over it.

use std::io::{Error, ErrorKind};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use crate::capability::net_errors::is_refusal;
use crate::capability::quota::{ConnectionPermit, Exceeded};
use crate::capability::run_handles::RunHandles;
use crate::capability::wasi::evidence::TcpEvidence;
use crate::trace::{Handle, HostContact, Recorder, Status};

/// The span `tcp` of a connection, which ends with this value, and `tcp.connect` below it. Shared by all that have to do
/// with the connection.
pub struct Record {
    recorder: Recorder,
    span: Handle,
    connect: Handle,
    /// By the name that led to it, where there is one.
    host: String,
    to: SocketAddr,
    started: Instant,
    dialled: AtomicBool,
    open: ConnectionPermit,
    kept: Arc<TcpEvidence>,
}

impl Record {
    /// `name` is the one that led there, with all its addresses.
    pub fn open(run: RunHandles, open: ConnectionPermit, name: Option<(String, Vec<IpAddr>)>, to: SocketAddr) -> Self {
        let RunHandles { recorder, evidence, .. } = run;
        let host = name.as_ref().map_or_else(|| to.ip().to_string(), |(name, _)| name.clone());
        let at = if host.contains(':') { to.to_string() } else { format!("{host}:{}", to.port()) };
        let started = Instant::now();
        let span = recorder.open_at(recorder.current(), "tcp", at, started);
        recorder.set(span, "network.transport", "tcp");
        recorder.set(span, "server.address", host.as_str());
        recorder.set(span, "server.port", i64::from(to.port()));
        recorder.set(span, "network.peer.address", to.ip().to_string());
        recorder.set(span, "network.peer.port", i64::from(to.port()));
        let connect = recorder.open_at(span, "tcp.connect", format!("Connect to {to}"), started);
        let dialled = AtomicBool::new(false);
        let kept = Arc::new(TcpEvidence::new(name, to));
        evidence.add(span, kept.clone());
        Self { recorder, span, connect, host, to, started, dialled, open, kept }
    }

    /// The attempt to connect has come to its end.
    pub fn dialled(&self, error: Option<&Error>) {
        let (status, kind, answered) = match error.map(Error::kind) {
            None => (Status::Ok, None, true),
            Some(ErrorKind::TimedOut) => (Status::DeadlineExceeded, Some("timeout"), false),
            Some(kind) => (Status::Unavailable, Some("connect"), is_refusal(kind)),
        };
        self.end_dialling(status, kind, answered);
    }

    /// The guest does not wait any longer.
    pub fn given_up(&self) {
        self.end_dialling(Status::Cancelled, None, false);
    }

    fn end_dialling(&self, status: Status, kind: Option<&'static str>, answered: bool) {
        if self.dialled.swap(true, Relaxed) {
            return;
        }
        if status != Status::Ok {
            self.kept.failed(kind.unwrap_or("cancelled"));
        }
        for span in [self.connect, self.span] {
            self.recorder.set_status(span, status);
            if let Some(kind) = kind {
                self.recorder.set(span, "error.type", kind);
            }
        }
        let (from, to) = (self.started, Instant::now());
        self.recorder.close_at(self.connect, to);
        let loopback = HostContact::is_loopback(&self.host, [self.to.ip()]);
        self.recorder.record_contact(HostContact { host: self.host.clone(), loopback, answered, from, to });
    }

    /// The peer, or the way to it, broke the connection off.
    pub fn broken(&self) {
        self.recorder.set_status(self.span, Status::Unavailable);
        self.recorder.set(self.span, "error.type", "protocol");
        self.kept.failed("protocol");
    }

    /// The peer will send no more.
    pub fn closed(&self) {
        self.kept.closed();
    }

    /// # Errors
    /// When the run has sent more than it may.
    pub fn sent(&self, bytes: usize) -> Result<(), Exceeded> {
        self.kept.sent(bytes);
        self.open.quota().count_sent(bytes)
    }

    /// # Errors
    /// When the run has received more than it may.
    pub fn received(&self, bytes: &[u8]) -> Result<(), Exceeded> {
        self.kept.received(bytes);
        self.open.quota().count_received(bytes.len())
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let (sent, received) = self.kept.sizes();
        for (key, bytes) in [("tcp.sent.size", sent), ("tcp.received.size", received)] {
            self.recorder.set(self.span, key, i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        self.recorder.close(self.span);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::log_buffer::LogBuffer;
    use crate::capability::quota::Quota;
    use crate::capability::record_replay::RecordReplay;
    use crate::config::Limits;
    use crate::trace::Trace;

    fn record(host: Option<&str>, then: impl FnOnce(Record)) -> Trace {
        let recorder = Recorder::start("run".into(), String::new());
        let log = LogBuffer::new(recorder.clone(), Limits::default());
        let run = RunHandles::new(recorder.clone(), log, RecordReplay::default());
        let open = Quota::new(Limits::default()).acquire_connection().expect("there is room");
        let to = "192.0.2.1:80".parse().expect("an address and a port");
        let name = host.map(|host| (host.to_owned(), Vec::new()));
        then(Record::open(run, open, name, to));
        recorder.finish(Status::Ok, Status::Unknown)
    }

    /// The status of the spans `tcp` and `tcp.connect`, and whether the host has answered.
    #[track_caller]
    fn check(then: impl FnOnce(Record), expected: (Status, Status, bool)) {
        let trace = record(Some("shop.example"), then);
        let [_, tcp, connect] = &trace.spans[..] else { panic!("{trace:#?}") };
        assert_eq!((tcp.op.as_ref(), connect.op.as_ref()), ("tcp", "tcp.connect"));
        assert_eq!(trace.contacts.len(), 1);
        assert_eq!(trace.contacts[0].host, "shop.example");
        assert_eq!((tcp.status, connect.status, trace.contacts[0].answered), expected);
    }

    #[test]
    fn a_refusal_is_a_sign_of_life_and_a_silence_is_none() {
        let failed = |kind: ErrorKind| move |record: Record| record.dialled(Some(&kind.into()));
        check(|record| record.dialled(None), (Status::Ok, Status::Ok, true));
        check(failed(ErrorKind::ConnectionRefused), (Status::Unavailable, Status::Unavailable, true));
        check(failed(ErrorKind::HostUnreachable), (Status::Unavailable, Status::Unavailable, false));
        check(failed(ErrorKind::TimedOut), (Status::DeadlineExceeded, Status::DeadlineExceeded, false));
        check(|record| record.given_up(), (Status::Cancelled, Status::Cancelled, false));
        // What happens later is not the attempt's.
        let broken = |record: Record| {
            record.dialled(None);
            record.given_up();
            record.broken();
        };
        check(broken, (Status::Unavailable, Status::Ok, true));
    }

    #[test]
    fn who_was_not_looked_up_is_called_by_the_address() {
        let trace = record(None, |record| record.dialled(None));
        assert_eq!(trace.spans[1].description, "192.0.2.1:80");
        assert_eq!(trace.contacts[0].host, "192.0.2.1");
    }
}
