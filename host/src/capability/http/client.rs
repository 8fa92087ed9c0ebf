//! The HTTP client of one transport: a pool of connections, over which requests are sent.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, PROXY_AUTHORIZATION, USER_AGENT};
use http::uri::InvalidUri;
use http::{Extensions, Method, Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use url::Url;

use crate::capability::http::connection::ConnectionInfo;
use crate::capability::http::connector::Connector;
use crate::capability::http::format::{self, without_credentials};
use crate::capability::http::malformed::MAX_HEADERS;
use crate::capability::http::request_body::SendingBody;
use crate::capability::http::resolve::Resolver;
use crate::capability::http::timing_hooks::{TimedBody, TimedConnect, TimedConnector};
use crate::capability::http::transport::{HttpVersion, Transport};
use crate::capability::http::tunnel::basic_credentials;
use crate::capability::quota::Quota;

/// The maximum bytes of a response's headers over HTTP/2.
const MAX_HEADER_BYTES: u32 = 300 << 10;

/// The error of a request that got no response. Among its sources are those of hyper, rustls and the system.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// A pool of connections for one transport. Clones share it.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<TimedConnector<Connector>, SentBody>,
    /// The credentials for a proxy that forwards requests.
    proxy_credentials: Option<HeaderValue>,
}

/// The body of a request that is sent.
pub enum SentBody {
    Whole(TimedBody),
    Streamed(SendingBody),
}

impl Client {
    /// Returns a client without connections, whose TLS configuration is `tls`.
    ///
    /// # Errors
    /// A message for a person if the proxy's URL cannot be used.
    pub fn new(
        transport: &Transport,
        resolver: Resolver,
        tls: Arc<ClientConfig>,
        quota: &Quota,
    ) -> Result<Self, String> {
        let connector = Connector::new(transport, resolver, tls, quota.clone())?;
        let connector = TimedConnect::new(quota.clone()).wrap(connector);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            // No attempt lasts long enough for a timeout to be useful, and it costs a timer per connection.
            .pool_idle_timeout(None::<Duration>)
            .http2_only(transport.http_version == Some(HttpVersion::Http2))
            .http2_max_header_list_size(MAX_HEADER_BYTES)
            // Responses are taken as clients take them: with folded header lines, spaces before a colon, and lines that
            // are no header among the others.
            .http1_allow_obsolete_multiline_headers_in_responses(true)
            .http1_allow_spaces_after_header_name_in_responses(true)
            .http1_ignore_invalid_headers_in_responses(true)
            .http1_max_headers(MAX_HEADERS);
        let proxy = transport.proxy.as_ref();
        let proxy = proxy.filter(|proxy| proxy.url().scheme().starts_with("http"));
        let proxy_credentials = proxy.and_then(|proxy| basic_credentials(proxy.url()));
        Ok(Self { inner: builder.build(connector), proxy_credentials })
    }

    /// Sends a request, and waits for the head of the response. A header `authorization` is added from the URL's
    /// credentials, unless there is one, and `accept` and `user-agent` if they are missing.
    ///
    /// # Errors
    /// A [`BoxError`] of the client, which has the [`ConnectionInfo`] if there was a connection: [`connection_info`].
    pub async fn send(
        &self,
        method: Method,
        url: &Url,
        mut headers: HeaderMap,
        body: SentBody,
    ) -> Result<Response<Incoming>, BoxError> {
        headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
        headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(format::USER_AGENT));
        if let Some(credentials) = basic_credentials(url) {
            headers.entry(AUTHORIZATION).or_insert(credentials);
        }
        if let Some(credentials) = self.proxy_credentials.as_ref().filter(|_| url.scheme() == "http") {
            headers.entry(PROXY_AUTHORIZATION).or_insert_with(|| credentials.clone());
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = to_uri(url)?;
        *request.headers_mut() = headers;
        Ok(self.inner.request(request).await?)
    }
}

/// Returns a URL without its credentials as the client takes it. The client leaves out its fragment.
fn to_uri(url: &Url) -> Result<Uri, InvalidUri> {
    if url.username().is_empty() && url.password().is_none() {
        return url.as_str().parse();
    }
    without_credentials(url).as_str().parse()
}

/// Returns the connection on which an error has occurred, if there was one.
pub fn connection_info(error: &BoxError) -> Option<ConnectionInfo> {
    let mut extensions = Extensions::new();
    error.downcast_ref::<legacy::Error>()?.connect_info()?.get_extras(&mut extensions);
    extensions.remove()
}

impl Body for SentBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body).poll_frame(task),
            Self::Streamed(body) => Pin::new(body).poll_frame(task),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Streamed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Streamed(body) => body.size_hint(),
        }
    }
}
