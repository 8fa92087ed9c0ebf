//! The answer of an HTTP proxy that opens no tunnel. The HTTP client tells only that it does not, so that the proxy is
//! asked once more, by a request of its own.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::client::conn::http1;
use hyper::ext::ReasonPhrase;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use reqwest::header::{HOST, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use reqwest::{Method, StatusCode};
use tokio::net::TcpSocket;
use tokio_util::task::AbortOnDropHandle;
use url::Url;

use crate::capability::http::transport;
use crate::capability::quota::Quota;
use crate::capability::text::quotable;

/// A tunnel that a proxy has refused to open.
pub struct RefusedTunnel<'a> {
    /// The URL of the proxy.
    pub proxy: &'a Url,
    /// The proxy's address.
    pub address: SocketAddr,
    /// The local address to connect from, if one is configured.
    pub source: Option<IpAddr>,
    /// The host and the port of the target.
    pub target: String,
}

/// The time to wait for the answer: a proxy that has just refused does it again soon.
const TIMEOUT: Duration = Duration::from_secs(1);
/// The maximum size of the answer's head, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;

impl RefusedTunnel<'_> {
    /// Asks the proxy again. Returns its status and what it says about it, such as `403 Forbidden`, escaped. Returns
    /// `None` if it does not answer soon, or opens the tunnel now, which is then closed. Does not ask if `quota` allows
    /// no connection.
    pub async fn ask_again(&self, quota: &Quota) -> Option<String> {
        if !quota.may_connect() {
            return None;
        }
        let _permit = quota.acquire_connection().ok()?;
        tokio::time::timeout(TIMEOUT, self.request(quota)).await.ok()?
    }

    async fn request(&self, quota: &Quota) -> Option<String> {
        let socket = if self.address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.ok()?;
        if let Some(source) = self.source {
            socket.bind(SocketAddr::new(source, 0)).ok()?;
        }
        let stream = socket.connect(self.address).await.ok()?;
        let handshake = http1::Builder::new().max_buf_size(MAX_HEAD_BYTES).handshake(TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.ok()?;
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let mut request = hyper::Request::builder()
            .method(Method::CONNECT)
            .uri(&self.target)
            .header(HOST, &self.target)
            .header(USER_AGENT, transport::USER_AGENT);
        if let Some(credentials) = self.credentials() {
            request = request.header(PROXY_AUTHORIZATION, credentials);
        }
        quota.count_sent(self.target.len() * 2).ok()?;
        let response = sender.send_request(request.body(String::new()).ok()?).await.ok()?;
        let status = response.status();
        let reason =
            response.extensions().get::<ReasonPhrase>().map(|reason| String::from_utf8_lossy(reason.as_bytes()));
        (!status.is_success()).then(|| describe(status, reason.as_deref()))
    }

    /// Returns the header with the credentials of the proxy's URL, if it has any.
    fn credentials(&self) -> Option<HeaderValue> {
        let (user, password) = (self.proxy.username(), self.proxy.password());
        if user.is_empty() && password.is_none() {
            return None;
        }
        let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
        let pair = [decoded(user), decoded(password.unwrap_or_default())].join(&b':');
        let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
        header.set_sensitive(true);
        Some(header)
    }
}

/// Returns a status with the reason that the proxy gives, or else with the usual one.
fn describe(status: StatusCode, reason: Option<&str>) -> String {
    let reason = reason.or_else(|| status.canonical_reason()).unwrap_or_default();
    quotable(format!("{} {reason}", status.as_u16()).trim_end())
}
