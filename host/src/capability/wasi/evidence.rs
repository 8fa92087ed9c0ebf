//! Evidence of TCP connections and lookups: facts that are recorded while they last, and become a report if the run
//! fails.

use std::net::{IpAddr, SocketAddr};

use parking_lot::Mutex;

use crate::capability::evidence::ExchangeEvidence;
use crate::capability::wasi::resolved_names::ResolvedName;
use crate::run::evidence::{Connection, Excerpt, Exchange, Tcp};

/// The maximum number of addresses of one name in evidence and on spans.
pub const MAX_ADDRESSES: usize = 20;

/// The evidence of one TCP connection.
pub struct TcpEvidence {
    /// The name through which the guest connected, if any.
    name: Option<ResolvedName>,
    peer: SocketAddr,
    facts: Mutex<TcpFacts>,
}

#[derive(Default)]
struct TcpFacts {
    error: Option<&'static str>,
    /// The number of bytes that were sent.
    sent: u64,
    /// The number of bytes that were received.
    received: u64,
    /// The first bytes that were received, at most [`Excerpt::MAX_BYTES`].
    excerpt: Vec<u8>,
    is_closed_by_peer: bool,
}

impl TcpEvidence {
    /// Returns the evidence of a connection that is about to be made.
    pub fn new(name: Option<ResolvedName>, peer: SocketAddr) -> Self {
        Self { name, peer, facts: Mutex::default() }
    }

    /// Records the kind of the first error; later errors are its consequences.
    pub fn record_error(&self, kind: &'static str) {
        self.facts.lock().error.get_or_insert(kind);
    }

    /// Records the number of bytes that were sent.
    pub fn record_sent(&self, bytes: usize) {
        self.facts.lock().sent += bytes as u64;
    }

    /// Records bytes that were received.
    pub fn record_received(&self, bytes: &[u8]) {
        let mut facts = self.facts.lock();
        facts.received += bytes.len() as u64;
        let max_bytes = Excerpt::MAX_BYTES.saturating_sub(facts.excerpt.len());
        facts.excerpt.extend_from_slice(&bytes[..bytes.len().min(max_bytes)]);
    }

    /// Records that the peer has ended its direction of the connection.
    pub fn record_closed_by_peer(&self) {
        self.facts.lock().is_closed_by_peer = true;
    }

    /// Returns the numbers of bytes that were sent and received.
    pub fn sizes(&self) -> (u64, u64) {
        let facts = self.facts.lock();
        (facts.sent, facts.received)
    }

    /// Converts the evidence to the form that reports have.
    pub fn report(&self) -> Tcp {
        let facts = self.facts.lock();
        let phase = match (facts.received, facts.sent) {
            (1.., _) => "receive",
            (_, 1..) => "send",
            _ => "connect",
        };
        let addresses = self.name.iter().flat_map(|name| &name.addresses);
        Tcp {
            connection: Connection {
                phase: phase.into(),
                error: facts.error.map(Into::into),
                names: self.name.iter().map(|name| name.name.clone()).collect(),
                resolved: addresses.take(MAX_ADDRESSES).map(ToString::to_string).collect(),
                peer: self.peer.to_string(),
                ..Connection::default()
            },
            sent: facts.sent,
            received: Excerpt::new(&facts.excerpt, facts.received),
            closed: facts.is_closed_by_peer,
        }
    }
}

impl ExchangeEvidence for TcpEvidence {
    fn is_error(&self) -> bool {
        self.facts.lock().error.is_some()
    }

    fn to_evidence(&self) -> Exchange {
        Exchange::Tcp(Box::new(self.report()))
    }

    fn tcp_connection(&self) -> Option<Connection> {
        Some(self.report().connection)
    }
}

/// The evidence of one lookup.
pub struct DnsEvidence(Mutex<Connection>);

impl DnsEvidence {
    /// Returns the evidence of a lookup that is about to be made.
    pub fn new(name: &str) -> Self {
        Self(Mutex::new(Connection {
            phase: "dns".into(),
            names: vec![name.to_owned()],
            peer: name.to_owned(),
            ..Connection::default()
        }))
    }

    /// Records the first 20 addresses of the name, and returns them as text.
    pub fn record_addresses(&self, addresses: &[IpAddr]) -> Vec<String> {
        let addresses: Vec<_> = addresses.iter().take(MAX_ADDRESSES).map(ToString::to_string).collect();
        self.0.lock().resolved.clone_from(&addresses);
        addresses
    }

    /// Records the kind of an error.
    pub fn record_error(&self, kind: &'static str) {
        self.0.lock().error = Some(kind.into());
    }

    /// Records that the lookup was cancelled, unless it has ended with addresses or an error.
    pub fn record_dropped(&self) {
        let mut connection = self.0.lock();
        if connection.resolved.is_empty() {
            connection.error.get_or_insert("cancelled".into());
        }
    }
}

impl ExchangeEvidence for DnsEvidence {
    fn is_error(&self) -> bool {
        self.0.lock().error.is_some()
    }

    fn to_evidence(&self) -> Exchange {
        Exchange::Dns(Box::new(self.0.lock().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp_evidence(name: Option<&str>, peer: &str) -> TcpEvidence {
        let peer: SocketAddr = peer.parse().expect("the address is valid");
        let resolved = |name: &str| ResolvedName { name: name.to_owned(), addresses: vec![peer.ip()] };
        TcpEvidence::new(name.map(resolved), peer)
    }

    #[test]
    fn the_phase_is_the_last_that_a_connection_reached() {
        let evidence = tcp_evidence(Some("shop.example"), "192.0.2.1:6379");
        let phase = || evidence.report().connection.phase;
        assert_eq!(phase(), "connect");
        evidence.record_sent(4);
        assert_eq!(phase(), "send");
        evidence.record_received(b"-ERR ");
        evidence.record_received(b"no");
        evidence.record_closed_by_peer();
        let tcp = evidence.report();
        assert_eq!((tcp.connection.phase.as_ref(), tcp.sent, tcp.closed), ("receive", 4, true));
        assert_eq!(tcp.received, Excerpt { size: 7, text: Some("-ERR no".to_owned()) });
        assert_eq!(
            (tcp.connection.names, tcp.connection.resolved),
            (vec!["shop.example".into()], vec!["192.0.2.1".into()])
        );
        assert_eq!(tcp.connection.peer, "192.0.2.1:6379");
        evidence.record_error("connect");
        evidence.record_error("protocol");
        assert_eq!(evidence.report().connection.error.as_deref(), Some("connect"));
    }

    #[test]
    fn the_excerpt_of_received_bytes_is_bounded() {
        let evidence = tcp_evidence(None, "192.0.2.1:80");
        (0..1000).for_each(|_| evidence.record_received(&[b'a'; 1000]));
        assert_eq!(evidence.facts.lock().excerpt.len(), Excerpt::MAX_BYTES);
        assert_eq!(evidence.report().received.size, 1_000_000);
    }
}
