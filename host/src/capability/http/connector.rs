//! The connector of the HTTP client: TCP, proxies and TLS.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

use crate::capability::http::connection::{BoxStream, Connection, Protocol, Stream};
use crate::capability::http::resolve::Resolver;
use crate::capability::http::timing_hooks::HopTimings;
use crate::capability::http::transport::{HttpVersion, ProxyUrl, Transport};
use crate::capability::http::tunnel;
use crate::capability::quota::Quota;

type BoxError = Box<dyn Error + Send + Sync>;

/// Opens the connections of one client.
#[derive(Clone)]
pub struct Connector {
    tcp: HttpConnector<Resolver>,
    resolver: Resolver,
    /// The configuration for targets, and for an https proxy that forwards requests.
    tls: Arc<ClientConfig>,
    proxy: Option<Arc<Proxy>>,
    /// True if HTTP/2 is spoken whether or not TLS negotiates it.
    requires_h2: bool,
    quota: Quota,
}

/// A proxy, and how it is reached.
struct Proxy {
    url: ProxyUrl,
    uri: Uri,
    /// The TLS configuration for tunnels: a proxy speaks HTTP/1.1 then.
    tls: Arc<ClientConfig>,
}

impl Connector {
    /// Returns the connector for a transport, whose TLS configuration is `tls`.
    ///
    /// # Errors
    /// A message for a person if the proxy's URL cannot be used.
    pub fn new(
        transport: &Transport,
        resolver: Resolver,
        tls: Arc<ClientConfig>,
        quota: Quota,
    ) -> Result<Self, String> {
        let mut tcp = HttpConnector::new_with_resolver(resolver.clone());
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_local_address(transport.source_address);
        let proxy = transport.proxy.as_ref().map(|url| Proxy::new(url, &tls)).transpose()?;
        let requires_h2 = transport.http_version == Some(HttpVersion::Http2);
        Ok(Self { tcp, resolver, tls, proxy: proxy.map(Arc::new), requires_h2, quota })
    }

    async fn connect(mut self, target: Uri) -> Result<TokioIo<Connection>, BoxError> {
        let is_https = target.scheme() == Some(&Scheme::HTTPS);
        let (stream, peer) = match self.proxy.clone() {
            None if is_https => {
                let (stream, peer) = self.open(target.clone()).await?;
                let stream = handshake(&self.tls, &target, stream).await?;
                return self.finish_tls(stream, peer);
            }
            None => boxed(self.open(target.clone()).await?),
            Some(proxy) if proxy.is_socks() => self.open_socks_tunnel(&proxy, &target, is_https).await?,
            Some(proxy) if is_https => self.open_http_tunnel(&proxy, &target).await?,
            Some(proxy) => return self.connect_to_forwarding(&proxy).await,
        };
        if is_https {
            let stream = handshake(&self.tls, &target, stream).await?;
            return self.finish_tls(stream, peer);
        }
        let protocol = if self.requires_h2 { Protocol::Http2 } else { Protocol::Http1 };
        Ok(TokioIo::new(Connection::new(stream, peer, protocol, false, &self.quota)?))
    }

    /// Connects to a proxy that forwards requests.
    async fn connect_to_forwarding(mut self, proxy: &Proxy) -> Result<TokioIo<Connection>, BoxError> {
        let (stream, peer) = self.open(proxy.uri.clone()).await?;
        let (stream, is_h2): (BoxStream, _) = if proxy.is_https() {
            let stream = handshake(&self.tls, &proxy.uri, stream).await?;
            let is_h2 = has_negotiated_h2(&stream);
            (Box::new(stream), is_h2)
        } else {
            (Box::new(stream), false)
        };
        Ok(TokioIo::new(Connection::new(stream, peer, Protocol::Proxied, is_h2, &self.quota)?))
    }

    fn finish_tls<S: Stream + 'static>(
        &self,
        stream: TlsStream<S>,
        peer: SocketAddr,
    ) -> Result<TokioIo<Connection>, BoxError> {
        let is_h2 = has_negotiated_h2(&stream);
        let protocol = if is_h2 || self.requires_h2 { Protocol::Http2 } else { Protocol::Http1 };
        Ok(TokioIo::new(Connection::new(Box::new(stream), peer, protocol, is_h2, &self.quota)?))
    }

    /// Opens a TCP connection to the host and port of a URI. Returns it with the address of the other end.
    async fn open(&mut self, to: Uri) -> Result<(TcpStream, SocketAddr), BoxError> {
        let stream = self.tcp.call(to).await?.into_inner();
        let peer = stream.peer_addr()?;
        Ok((stream, peer))
    }

    async fn open_http_tunnel(&mut self, proxy: &Proxy, target: &Uri) -> Result<(BoxStream, SocketAddr), BoxError> {
        let (stream, peer) = self.open(proxy.uri.clone()).await?;
        let mut stream: BoxStream = if proxy.is_https() {
            let stream = handshake(&proxy.tls, &proxy.uri, stream).await?;
            HopTimings::record_proxy_tls();
            Box::new(stream)
        } else {
            Box::new(stream)
        };
        let authority = format!("{}:{}", host(target), target.port_u16().unwrap_or(443));
        tunnel::open_http(&mut stream, &authority, tunnel::basic_credentials(proxy.url.url()).as_ref()).await?;
        Ok((stream, peer))
    }

    async fn open_socks_tunnel(
        &mut self,
        proxy: &Proxy,
        target: &Uri,
        is_https: bool,
    ) -> Result<(BoxStream, SocketAddr), BoxError> {
        let mut target_host = host(target).to_owned();
        if !proxy.url.resolves_names()
            && let Some(address) = self.resolver.call(Name::from_str(&target_host)?).await?.next()
        {
            target_host = bracketed(address);
        }
        let port = target.port_u16().unwrap_or(if is_https { 443 } else { 80 });
        let target = format!("http://{target_host}:{port}").parse()?;
        let (stream, peer) = self.open(proxy.uri.clone()).await?;
        let stream = tunnel::open_socks(Box::new(stream), target, proxy.login()).await?;
        Ok((stream, peer))
    }
}

impl Proxy {
    fn new(url: &ProxyUrl, tls: &ClientConfig) -> Result<Self, String> {
        let uri = format!("{}://{}:{}/", url.url().scheme(), url.host(), url.port());
        let uri = uri.parse().map_err(|error| format!("cannot use the proxy: {error}"))?;
        let mut tls = tls.clone();
        tls.alpn_protocols.clear();
        Ok(Self { url: url.clone(), uri, tls: Arc::new(tls) })
    }

    fn is_https(&self) -> bool {
        self.url.url().scheme() == "https"
    }

    fn is_socks(&self) -> bool {
        self.url.url().scheme().starts_with("socks")
    }

    /// Returns the user name and the password for a SOCKS proxy, if the URL has any.
    fn login(&self) -> Option<(String, String)> {
        let (user, password) = (self.url.url().username(), self.url.url().password());
        let decoded = |text| percent_decode_str(text).decode_utf8_lossy().into_owned();
        (!user.is_empty() || password.is_some()).then(|| (decoded(user), decoded(password.unwrap_or_default())))
    }
}

/// Makes the TLS handshake with the host of a URI.
async fn handshake<S: Stream>(tls: &Arc<ClientConfig>, to: &Uri, stream: S) -> Result<TlsStream<S>, BoxError> {
    let name = ServerName::try_from(host(to).trim_matches(['[', ']']).to_owned())?;
    Ok(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?)
}

fn has_negotiated_h2<S>(stream: &TlsStream<S>) -> bool {
    stream.get_ref().1.alpn_protocol() == Some(b"h2")
}

fn host(uri: &Uri) -> &str {
    uri.host().unwrap_or_default()
}

fn boxed((stream, peer): (TcpStream, SocketAddr)) -> (BoxStream, SocketAddr) {
    (Box::new(stream), peer)
}

fn bracketed(address: SocketAddr) -> String {
    if address.is_ipv6() { format!("[{}]", address.ip()) } else { address.ip().to_string() }
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Connection>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        Box::pin(self.clone().connect(target))
    }
}
