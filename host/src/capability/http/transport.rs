//! How a request gets to its target, and the clients that take it there: one for each way, for as long as the run.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::{Client, Proxy};
use rustls::ClientConfig;
use url::Url;

use crate::capability::http::cookies::Cookies;
use crate::capability::http::error::Peer;
use crate::capability::http::resolve::{ConnectTo, Family, Resolver};
use crate::capability::http::stack::Stack;
use crate::capability::http::timing_hooks::TimedConnect;
use crate::capability::http::tls::Trust;
use crate::capability::quota::Quota;

/// What requests say that we are, unless they say it themselves.
pub const USER_AGENT: &str = concat!("sentrynet/", env!("CARGO_PKG_VERSION"));

/// What two requests must have in common to share connections.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Transport {
    pub trust: Trust,
    /// The files of a client certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    pub version: Option<Version>,
    pub family: Option<Family>,
    pub connect_to: Option<ConnectTo>,
    pub dns_server: Option<SocketAddr>,
    pub proxy: Option<Url>,
    pub source: Option<IpAddr>,
    pub compression: bool,
    pub cookies: bool,
}

/// A version of HTTP to insist on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Version {
    One,
    Two,
}

/// What the requests of one run share: connections and cookies.
#[derive(Clone)]
pub struct Session {
    pub quota: Quota,
    pub stack: Arc<Stack>,
    clients: Arc<Mutex<Vec<(Transport, Client)>>>,
    pub cookies: Arc<Cookies>,
}

impl Session {
    pub fn new(stack: Arc<Stack>, quota: Quota) -> Self {
        Self { stack, quota, clients: Arc::default(), cookies: Arc::default() }
    }

    /// # Errors
    /// When there can be no such client; a sentence for a person.
    pub fn client(&self, transport: &Transport) -> Result<Client, String> {
        /// More ways than any honest probe goes.
        const MOST: usize = 100;
        self.make_room();
        let mut clients = self.clients.lock();
        if let Some((_, client)) = clients.iter().find(|(known, _)| known == transport) {
            return Ok(client.clone());
        }
        let client = self.build(transport)?;
        if clients.len() == MOST {
            clients.clear();
        }
        clients.push((transport.clone(), client.clone()));
        Ok(client)
    }

    /// Closes the connections that are idle where there may be no other beside them. Which of them a server has closed
    /// already is not known here, so that they may be fewer than are counted.
    pub fn make_room(&self) {
        if !self.quota.may_connect() {
            self.clients.lock().clear();
        }
    }

    fn build(&self, transport: &Transport) -> Result<Client, String> {
        let Transport { trust, identity, version, compression, .. } = transport;
        let mut tls = ClientConfig::clone(&*self.stack.configurations.get(trust, identity.as_ref())?);
        match version {
            None => {}
            Some(Version::One) => tls.alpn_protocols.retain(|protocol| protocol != b"h2"),
            Some(Version::Two) => tls.alpn_protocols.retain(|protocol| protocol == b"h2"),
        }
        let resolver = Resolver::new(transport.family, transport.connect_to.clone(), transport.dns_server)?;
        let mut builder = Client::builder()
            .tls_backend_preconfigured(tls)
            .dns_resolver(Arc::new(resolver))
            .connector_layer(TimedConnect::new(self.quota.clone()))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .user_agent(USER_AGENT)
            // No run lasts long enough for these to be of use: they cost system calls and a timer for each connection.
            .tcp_keepalive(None)
            .tcp_keepalive_interval(None)
            .tcp_keepalive_retries(None)
            .tcp_user_timeout(None)
            .pool_idle_timeout(None)
            .gzip(*compression)
            .brotli(*compression)
            .zstd(*compression)
            .deflate(*compression);
        builder = match version {
            None => builder,
            Some(Version::One) => builder.http1_only(),
            Some(Version::Two) => builder.http2_prior_knowledge(),
        };
        if let Some(proxy) = &transport.proxy {
            builder = builder.proxy(Proxy::all(proxy.clone()).map_err(|error| format!("no such proxy: {error}"))?);
        }
        builder.local_address(transport.source).build().map_err(|error| format!("cannot make an HTTP client: {error}"))
    }
}

impl Transport {
    /// The way to another server than the one that is asked: which version of HTTP to speak says nothing of that.
    pub fn to(&self, url: &Url) -> Self {
        let version = self.moves_port(url).then_some(Version::One);
        Self { version, ..self.clone() }
    }

    /// Whether connections go to another port than one that the URL names: what is asked for and where are then two.
    pub fn moves_port(&self, url: &Url) -> bool {
        let to = self.connect_to.as_ref().filter(|to| to.is_for(url.host_str().unwrap_or_default()));
        url.port().is_some() && to.and_then(|to| to.port).is_some_and(|port| Some(port) != url.port())
    }

    /// Whom a request for `url` connects to.
    pub fn peer(&self, url: &Url) -> Peer {
        let host = url.host_str().unwrap_or_default().to_owned();
        let port = url.port_or_known_default().unwrap_or_default();
        if let Some(proxy) = &self.proxy {
            let via = proxy.host_str().unwrap_or_default().to_owned();
            return Peer { host, via, port: proxy.port_or_known_default().unwrap_or(1080), behind_proxy: Some(port) };
        }
        match &self.connect_to {
            Some(to) if to.is_for(&host) => {
                Peer { host, via: to.host.clone(), port: to.port.unwrap_or(port), behind_proxy: None }
            }
            _ => Peer { via: host.clone(), host, port, behind_proxy: None },
        }
    }
}
