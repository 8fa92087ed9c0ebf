//! What a connection leaves behind, noted as it comes; and what there is to tell of it, should the run not pass.

use std::net::{IpAddr, SocketAddr};

use parking_lot::{Mutex, MutexGuard};

use crate::capability::evidence::ExchangeEvidence;
use crate::run::evidence::{Connection, Excerpt, Exchange, Tcp};

/// What a connection leaves behind.
pub struct TcpEvidence {
    /// The name that led to it, and where that led.
    name: Option<(String, Vec<IpAddr>)>,
    to: SocketAddr,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    error: Option<&'static str>,
    sent: u64,
    received: u64,
    /// The first of what was received.
    beginning: Vec<u8>,
    closed: bool,
}

impl TcpEvidence {
    pub fn new(name: Option<(String, Vec<IpAddr>)>, to: SocketAddr) -> Self {
        Self { name, to, seen: Mutex::default() }
    }

    pub fn failed(&self, error: &'static str) {
        self.seen().error.get_or_insert(error);
    }

    pub fn sent(&self, bytes: usize) {
        self.seen().sent += bytes as u64;
    }

    pub fn received(&self, bytes: &[u8]) {
        let mut seen = self.seen();
        seen.received += bytes.len() as u64;
        let room = Excerpt::MOST.saturating_sub(seen.beginning.len());
        seen.beginning.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// The peer will send no more.
    pub fn closed(&self) {
        self.seen().closed = true;
    }

    /// Bytes that went out, and that came in.
    pub fn sizes(&self) -> (u64, u64) {
        let seen = self.seen();
        (seen.sent, seen.received)
    }

    pub fn to_evidence(&self) -> Tcp {
        let Seen { error, sent, received, beginning, closed } = &*self.seen();
        let phase = match (received, sent) {
            (1.., _) => "receive",
            (_, 1..) => "send",
            _ => "connect",
        };
        let (name, addresses) = self.name.clone().unzip();
        Tcp {
            connection: Connection {
                phase: phase.into(),
                error: error.map(Into::into),
                names: name.into_iter().collect(),
                resolved: addresses.iter().flatten().take(MOST_ADDRESSES).map(ToString::to_string).collect(),
                peer: self.to.to_string(),
                ..Connection::default()
            },
            sent: *sent,
            received: Excerpt::new(beginning, *received),
            closed: *closed,
        }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock()
    }
}

impl ExchangeEvidence for TcpEvidence {
    fn is_error(&self) -> bool {
        self.seen().error.is_some()
    }

    fn to_evidence(&self) -> Exchange {
        Exchange::Tcp(Box::new(self.to_evidence()))
    }

    fn tcp_connection(&self) -> Option<Connection> {
        Some(self.to_evidence().connection)
    }
}

/// Evidence of a lookup.
pub struct DnsEvidence(pub Mutex<Connection>);

impl ExchangeEvidence for DnsEvidence {
    fn is_error(&self) -> bool {
        self.0.lock().error.is_some()
    }

    fn to_evidence(&self) -> Exchange {
        Exchange::Dns(Box::new(self.0.lock().clone()))
    }
}

/// Addresses of one name.
pub const MOST_ADDRESSES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(name: Option<&str>, to: &str) -> TcpEvidence {
        let to: SocketAddr = to.parse().expect("an address and a port");
        TcpEvidence::new(name.map(|name| (name.to_owned(), vec![to.ip()])), to)
    }

    #[test]
    fn how_far_it_got() {
        let kept = kept(Some("shop.example"), "192.0.2.1:6379");
        let phase = || kept.to_evidence().connection.phase;
        assert_eq!(phase(), "connect");
        kept.sent(4);
        assert_eq!(phase(), "send");
        kept.received(b"-ERR ");
        kept.received(b"no");
        kept.closed();
        let told = kept.to_evidence();
        assert_eq!((told.connection.phase.as_ref(), told.sent, told.closed), ("receive", 4, true));
        assert_eq!(told.received, Excerpt { size: 7, text: Some("-ERR no".to_owned()) });
        assert_eq!(
            (told.connection.names, told.connection.resolved),
            (vec!["shop.example".into()], vec!["192.0.2.1".into()])
        );
        assert_eq!(told.connection.peer, "192.0.2.1:6379");
        // What comes of the first failure is not why.
        kept.failed("connect");
        kept.failed("protocol");
        assert_eq!(kept.to_evidence().connection.error.as_deref(), Some("connect"));
    }

    #[test]
    fn no_more_is_kept_than_is_told() {
        let kept = kept(None, "192.0.2.1:80");
        (0..1000).for_each(|_| kept.received(&[b'a'; 1000]));
        assert_eq!(kept.seen().beginning.len(), Excerpt::MOST);
        assert_eq!(kept.to_evidence().received.size, 1_000_000);
    }
}
