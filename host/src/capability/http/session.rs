//! The HTTP clients and cookies of one attempt.

use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::ClientConfig;
use url::Url;

use crate::capability::file_calls::FileCalls;
use crate::capability::host_lookup::HostLookup;
use crate::capability::http::client::Client;
use crate::capability::http::cookies::Cookies;
use crate::capability::http::resolve::Resolver;
use crate::capability::http::shared_state::SharedState;
use crate::capability::http::timing_hooks::Timestamps;
use crate::capability::http::tls_session::{TlsSession, TlsSessions};
use crate::capability::http::transport::{HttpVersion, Transport};
use crate::capability::quota::{Exceeded, Quota};

/// State that the requests of one attempt share: connections and cookies. Clones share it.
#[derive(Clone)]
pub struct Session {
    /// The attempt's limits on requests, connections and bytes.
    pub quota: Quota,
    /// State that all runs share.
    pub shared: Arc<SharedState>,
    /// The cookies of requests that send and store them.
    pub cookies: Arc<Cookies>,
    lookup: HostLookup,
    files: FileCalls,
    /// A client for each transport.
    clients: Arc<Mutex<Vec<(Transport, SessionClient)>>>,
    /// The TLS sessions of the connections.
    tls_sessions: Arc<TlsSessions>,
}

/// A client, which is a pool of connections.
#[derive(Clone)]
pub struct SessionClient {
    /// The client itself.
    pub client: Client,
    /// The TLS configuration that the client is built with.
    pub tls: Arc<ClientConfig>,
}

impl Session {
    /// Returns a session without connections and cookies. It resolves names by `lookup`, and reads certificates by
    /// `files`.
    pub fn new(shared: Arc<SharedState>, quota: Quota, lookup: HostLookup, files: FileCalls) -> Self {
        let (cookies, clients, tls_sessions) = (Arc::default(), Arc::default(), Arc::default());
        Self { quota, shared, cookies, lookup, files, clients, tls_sessions }
    }

    /// Returns the client for a transport, and builds it if there is none yet.
    ///
    /// # Errors
    /// A message for a person if no client can be built, e.g. because a file with certificates cannot be read.
    pub async fn client(&self, transport: &Transport) -> Result<SessionClient, String> {
        /// The maximum number of clients, more than a well-behaved probe needs. Before another is added, all are
        /// dropped.
        const MAX_CLIENTS: usize = 100;
        let find = |clients: &[(Transport, SessionClient)]| {
            clients.iter().find(|(known, _)| known == transport).map(|(_, client)| client.clone())
        };
        self.close_idle_if_full();
        if let Some(client) = find(&self.clients.lock()) {
            return Ok(client);
        }
        let tls = self.shared.tls_config(&transport.trust, transport.client_cert.as_ref(), &self.files).await?;
        let client = SessionClient { client: self.build(transport, &tls)?, tls };
        let mut clients = self.clients.lock();
        // Another exchange may have built one meanwhile.
        if let Some(client) = find(&clients) {
            return Ok(client);
        }
        if clients.len() == MAX_CLIENTS {
            clients.clear();
        }
        clients.push((transport.clone(), client.clone()));
        Ok(client)
    }

    /// Returns the TLS session of the connection that a response for a URL came over, from the address `peer`.
    ///
    /// # Errors
    /// The errors of `TlsSessions::session`.
    pub fn tls_session(
        &self,
        transport: &Transport,
        url: &Url,
        peer: Option<SocketAddr>,
        timestamps: &Timestamps,
    ) -> Result<Arc<TlsSession>, Exceeded> {
        self.tls_sessions.session(transport, url, peer, timestamps, &self.quota)
    }

    /// Closes all idle connections if the attempt has as many open connections as its limit allows. Connections that a
    /// server has closed may still be counted as open.
    pub fn close_idle_if_full(&self) {
        if !self.quota.may_connect() {
            self.clients.lock().clear();
        }
    }

    /// Replaces the client for a transport.
    pub fn set_client(&self, transport: &Transport, client: Client) {
        if let Some((_, known)) = self.clients.lock().iter_mut().find(|(known, _)| known == transport) {
            known.client = client;
        }
    }

    /// Builds a client for a transport, whose TLS configuration is `tls`.
    ///
    /// # Errors
    /// A message for a person.
    pub fn build(&self, transport: &Transport, tls: &Arc<ClientConfig>) -> Result<Client, String> {
        let mut tls = Arc::clone(tls);
        match transport.http_version {
            None => {}
            Some(HttpVersion::Http1) => Arc::make_mut(&mut tls).alpn_protocols.retain(|protocol| protocol != b"h2"),
            Some(HttpVersion::Http2) => Arc::make_mut(&mut tls).alpn_protocols.retain(|protocol| protocol == b"h2"),
        }
        let lookup = self.lookup.clone();
        let resolver = Resolver::new(lookup, transport.ip_version, transport.connect_to.clone(), transport.dns_server)?;
        Client::new(transport, resolver, tls, &self.quota)
    }
}
