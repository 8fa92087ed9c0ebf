//! Tunnels through proxies: by the method CONNECT of HTTP, and by SOCKS5.

use std::future::{Ready, ready};
use std::io;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderValue;
use http::{StatusCode, Uri};
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tower_service::Service;
use url::Url;

use crate::capability::http::connection::{BoxStream, Stream};
use crate::capability::http::format::USER_AGENT;
use crate::capability::http::malformed::{self, Malformed};
use crate::capability::text::quotable;

/// The maximum size of the head of a proxy's answer, in bytes.
const MAX_HEAD_BYTES: usize = 16 << 10;
/// The maximum number of header lines of a proxy's answer.
const MAX_HEADERS: usize = 100;

/// The reason why an HTTP proxy opens no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The proxy has refused. `answer` has the status and what the proxy says about it, such as `403 Forbidden`,
    /// escaped, in at most 200 bytes.
    #[error("the proxy answers `{answer}`")]
    Refused { status: u16, answer: String },
    /// The proxy has closed the connection before the end of the answer's head.
    #[error("the proxy closes the connection without an answer")]
    Closed,
    /// The head of the answer has more than 16 KiB, or more than 100 lines.
    #[error("the proxy's answer has more than 16 KiB or 100 lines of headers")]
    TooLarge,
    /// The answer cannot be read.
    #[error("{}", .0.message)]
    Malformed(Malformed),
    /// The connection to the proxy has failed.
    #[error("the connection to the proxy failed")]
    Io(#[from] io::Error),
}

/// Asks an HTTP proxy for a tunnel to `authority`, a host with its port. `credentials` is the header
/// `proxy-authorization`.
///
/// # Errors
/// Each variant of [`TunnelError`].
pub async fn open_http(
    stream: &mut impl Stream,
    authority: &str,
    credentials: Option<&HeaderValue>,
) -> Result<(), TunnelError> {
    let mut request = format!("CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: {USER_AGENT}\r\n");
    if let Some(credentials) = credentials.and_then(|credentials| credentials.to_str().ok()) {
        request += &format!("Proxy-Authorization: {credentials}\r\n");
    }
    request += "\r\n";
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = Vec::with_capacity(1 << 10);
    // Bytes after the head would belong to the tunnel, in which the client speaks first.
    while answer.len() < MAX_HEAD_BYTES {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(TunnelError::Closed);
        }
        if let Some(status) = parse_answer(&answer)? {
            return status;
        }
    }
    Err(TunnelError::TooLarge)
}

/// Parses the head of a proxy's answer. Returns `None` if it is not complete.
///
/// # Errors
/// The outer error is [`TunnelError::Malformed`] or [`TunnelError::TooLarge`], the inner one [`TunnelError::Refused`].
fn parse_answer(answer: &[u8]) -> Result<Option<Result<(), TunnelError>>, TunnelError> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    match malformed::parser().parse_response(&mut response, answer) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(TunnelError::TooLarge),
        Err(_) => return Err(TunnelError::Malformed(malformed::of_proxy(answer))),
    }
    let status = response.code.unwrap_or_default();
    if (200..300).contains(&status) {
        return Ok(Some(Ok(())));
    }
    let usual = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let reason = response.reason.filter(|reason| !reason.is_empty()).or(usual).unwrap_or_default();
    let answer = quotable(format!("{status} {reason}").trim_end());
    Ok(Some(Err(TunnelError::Refused { status, answer })))
}

/// Asks a SOCKS5 proxy for a tunnel to the host and port of `target`. `login` is a user name and a password.
///
/// # Errors
/// An error of the client's, whose text begins with `SOCKS error: `.
pub async fn open_socks(
    stream: BoxStream,
    target: Uri,
    login: Option<(String, String)>,
) -> Result<BoxStream, Box<dyn std::error::Error + Send + Sync>> {
    let mut handshake = SocksV5::new(target.clone(), Opened(Some(stream)));
    if let Some((user, password)) = login {
        handshake = handshake.with_auth(user, password);
    }
    match handshake.call(target).await {
        Ok(tunnel) => Ok(tunnel.into_inner()),
        Err(SocksError::Io(error)) => Err(error.into()),
        Err(error) => Err(error.into()),
    }
}

type SocksError = <SocksV5<Opened> as Service<Uri>>::Error;

/// A connector whose connection is open already.
struct Opened(Option<BoxStream>);

impl Service<Uri> for Opened {
    type Response = TokioIo<BoxStream>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().map(TokioIo::new).ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

/// Returns the header with the credentials of a URL, for basic authentication, if it has any.
pub fn basic_credentials(url: &Url) -> Option<HeaderValue> {
    let (user, password) = (url.username(), url.password());
    if user.is_empty() && password.is_none() {
        return None;
    }
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let pair = [decoded(user), decoded(password.unwrap_or_default())].join(&b':');
    let mut header = HeaderValue::try_from(format!("Basic {}", STANDARD.encode(pair))).ok()?;
    header.set_sensitive(true);
    Some(header)
}
