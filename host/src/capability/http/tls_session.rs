//! The TLS sessions of an attempt's connections. The certificates are seen once, in the handshake, and belong to every
//! response that comes over the connection later.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use url::{Origin, Url};

use crate::capability::bindings::sentrynet::probe::http::{Certificate, Tls};
use crate::capability::http::certificate;
use crate::capability::http::timing_hooks::Timestamps;
use crate::capability::http::transport::Transport;
use crate::capability::quota::{Exceeded, HeldBytes, Quota};

/// The TLS session of a connection. For a connection without TLS, it is empty.
#[derive(Default)]
pub struct TlsSession {
    pub tls: Option<Tls>,
    /// The ends of the validity of the certificates by which the server's own was verified, its own first.
    pub validity_ends: Vec<i64>,
}

/// The TLS sessions of an attempt's connections.
#[derive(Default)]
pub struct TlsSessions(Mutex<Vec<Entry>>);

struct Entry {
    key: Key,
    session: Arc<TlsSession>,
    _held: HeldBytes,
}

/// The properties of a connection that decide whether a request can use it, and the address of the other end.
#[derive(PartialEq)]
struct Key {
    transport: Transport,
    origin: Origin,
    peer: Option<SocketAddr>,
}

impl TlsSessions {
    /// Returns the TLS session of the connection that a response came over. Of a new connection, the session is stored;
    /// of a connection that was used before, it is the one that was stored last for the same address.
    ///
    /// # Errors
    /// [`Exceeded`] if the memory of the session exceeds a limit.
    pub fn session(
        &self,
        transport: &Transport,
        url: &Url,
        peer: Option<SocketAddr>,
        timestamps: &Timestamps,
        quota: &Quota,
    ) -> Result<Arc<TlsSession>, Exceeded> {
        /// The maximum number of sessions, more than a well-behaved probe needs. Before another is added, all are
        /// dropped.
        const MAX_SESSIONS: usize = 100;
        // With an https proxy, a connection for http has the proxy's certificate.
        if url.scheme() != "https" {
            return Ok(Arc::default());
        }
        let key = Key { transport: transport.clone(), origin: url.origin(), peer };
        let mut entries = self.0.lock();
        if timestamps.is_connection_reused() {
            let known = entries.iter().find(|entry| entry.key == key);
            return Ok(known.map(|entry| Arc::clone(&entry.session)).unwrap_or_default());
        }
        let session = Arc::new(TlsSession::of(timestamps));
        let held = quota.hold(size_of::<Entry>() + session.bytes_in_memory())?;
        entries.retain(|entry| entry.key != key);
        if entries.len() == MAX_SESSIONS {
            entries.clear();
        }
        entries.push(Entry { key, session: Arc::clone(&session), _held: held });
        Ok(session)
    }
}

impl TlsSession {
    fn of(timestamps: &Timestamps) -> Self {
        let Timestamps { cert_chain, cert_path, tls_version, .. } = timestamps;
        let tls = tls_version.map(|version| Tls {
            version: version.to_owned(),
            chain: cert_chain.iter().filter_map(certificate::parse).collect(),
        });
        Self { tls, validity_ends: certificate::validity_ends(cert_chain, cert_path) }
    }

    fn bytes_in_memory(&self) -> usize {
        let texts = |certificate: &Certificate| certificate.subject.len() + certificate.issuer.len();
        let certificates = self.tls.iter().flat_map(|tls| &tls.chain);
        size_of::<Self>()
            + certificates.map(|certificate| size_of::<Certificate>() + texts(certificate)).sum::<usize>()
            + size_of_val(self.validity_ends.as_slice())
    }
}
