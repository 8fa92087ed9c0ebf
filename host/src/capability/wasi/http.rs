//! The interface `wasi:http/outgoing-handler`: HTTP requests, of which several can be in progress at once. They are
//! sent like those of the contract's interface `http`, but redirects are not followed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use url::Url;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::capability::bindings::sentrynet::probe::http::Error as HttpError;
use crate::capability::http::{
    FailedExchange, OutgoingRequest, Phase, PhaseTimeouts, RequestBody, ResponseBody, StreamedBody, StreamedResponse,
    StreamingClient,
};
use crate::capability::quota::{Exceeded, Quota};

/// The maximum size of a request's body that is buffered, to be sent with its length.
const MAX_BUFFERED_BYTES: usize = 64 << 10;

/// Sends the requests of one attempt.
pub struct OutgoingHandler {
    client: StreamingClient,
}

impl OutgoingHandler {
    /// Returns a handler that sends requests with this client.
    pub fn new(client: StreamingClient) -> Self {
        Self { client }
    }

    fn outgoing_request(
        &self,
        parts: http::request::Parts,
        options: Option<RequestOptions>,
    ) -> Result<OutgoingRequest, Error> {
        if !self.client.may_send() {
            return Err(Error::HttpRequestDenied);
        }
        if parts.method == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        // The authority is parsed as the client parses it, so that the host that is checked is the one that is
        // connected to.
        let url = Url::parse(&parts.uri.to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
        if url.host_str().is_none_or(str::is_empty) || url.port() == Some(0) {
            return Err(Error::HttpRequestUriInvalid);
        }
        let RequestOptions { connect_timeout, first_byte_timeout, between_bytes_timeout } = options.unwrap_or_default();
        let phase_timeouts = PhaseTimeouts {
            connect: connect_timeout,
            first_byte: first_byte_timeout,
            between_bytes: between_bytes_timeout,
        };
        Ok(OutgoingRequest { method: parts.method, url, headers: parts.headers, phase_timeouts })
    }
}

type BodySent = Box<dyn Future<Output = Result<(), Error>> + Send>;
type ResponseFuture = Box<dyn Future<Output = Result<(Response<WasiBody>, BodySent), Error>> + Send>;

impl WasiHttpHooks for OutgoingHandler {
    /// Returns false: the client sets the header, from the URL.
    fn set_host_header(&mut self) -> bool {
        false
    }

    /// Returns a small size, 8 KiB, since a guest may begin many bodies without sending any.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        8 << 10
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _: BodySent,
    ) -> ResponseFuture {
        let (parts, body) = request.into_parts();
        let quota = self.client.context.session.quota.clone();
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let request = self.outgoing_request(parts, options);
        let response = request.map(|request| self.client.send(request, read_body(body, length, quota)));
        Box::new(async move {
            let StreamedResponse { status, headers, body } = response?.await.map_err(error_code)?;
            let mut response = Response::new(WasiBody::new(GuestResponseBody(body)));
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            Ok((response, Box::new(async { Ok(()) }) as BodySent))
        })
    }
}

/// Reads the body of a request as the guest writes it. A body of at most 64 KiB is read to its end, to be sent with its
/// length, which some servers require. A longer body, or one whose length the guest has set, is sent while the guest
/// writes it.
///
/// # Errors
/// Returns an error if the guest drops the body before its end, or if the host would hold too much memory for the run.
async fn read_body(mut body: WasiBody, length: Option<u64>, quota: Quota) -> Result<RequestBody, FailedExchange> {
    if length.is_some_and(|length| length > 0) {
        return Ok(stream_body(body, Bytes::new(), length));
    }
    let (mut bytes, mut held) = (BytesMut::new(), quota.hold(0).map_err(limit_reached)?);
    let failed = |message: &str| FailedExchange::before_sending(HttpError::Other(message.to_owned()));
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        let frame = frame.map_err(|_| failed(BODY_DROPPED))?;
        // HTTP/1.1 has no trailers for a body with a length.
        let Ok(data) = frame.into_data() else { continue };
        held.grow(data.len()).map_err(limit_reached)?;
        bytes.extend_from_slice(&data);
        if bytes.len() > MAX_BUFFERED_BYTES {
            break;
        }
    }
    let is_short = bytes.len() <= MAX_BUFFERED_BYTES;
    let bytes = held.with_data(bytes.freeze());
    Ok(if is_short { RequestBody::Whole(bytes) } else { stream_body(body, bytes, None) })
}

fn limit_reached(exceeded: Exceeded) -> FailedExchange {
    FailedExchange::before_sending(exceeded.into())
}

const BODY_DROPPED: &str = "the probe dropped the body of its request before the end";

fn stream_body(rest: WasiBody, beginning: Bytes, length: Option<u64>) -> RequestBody {
    let beginning = Some(beginning).filter(|bytes| !bytes.is_empty());
    RequestBody::Streamed(Arc::new(StreamedBody::new(GuestBody { beginning, rest }, length)))
}

/// The body of a request that is sent while the guest writes it.
struct GuestBody {
    /// The bytes that were buffered until the body exceeded 64 KiB.
    beginning: Option<Bytes>,
    rest: WasiBody,
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.beginning.take() {
            Some(beginning) => Poll::Ready(Some(Ok(Frame::data(beginning)))),
            None => Pin::new(&mut self.rest).poll_frame(cx).map_err(|_| BODY_DROPPED.into()),
        }
    }
}

/// The body of a response, which the guest reads while it arrives.
struct GuestResponseBody(ResponseBody);

impl Body for GuestResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut TaskContext<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_next(cx).map(|next| next.map(|frame| frame.map_err(error_code)))
    }
}

/// Returns WASI's error code for a failed exchange.
fn error_code(failed: FailedExchange) -> Error {
    let FailedExchange { error, phase, is_refused, is_cert_error } = failed;
    match (error, phase) {
        (HttpError::Denied(_), _) => Error::HttpRequestDenied,
        (HttpError::Dns(_), _) => Error::DnsError { rcode: None, info_code: None },
        (HttpError::Connect(_), _) if is_refused => Error::ConnectionRefused,
        (HttpError::Connect(_), _) => Error::DestinationUnavailable,
        (HttpError::Tls(_), _) if is_cert_error => Error::TlsCertificateError,
        (HttpError::Tls(_), _) => Error::TlsProtocolError,
        (HttpError::Timeout(_), Phase::Dns) => Error::DnsTimeout,
        (HttpError::Timeout(_), Phase::Connect | Phase::Tls) => Error::ConnectionTimeout,
        (HttpError::Timeout(_), Phase::Send) => Error::ConnectionWriteTimeout,
        (HttpError::Timeout(_), Phase::Wait) => Error::HttpResponseTimeout,
        (HttpError::Timeout(_), Phase::Receive) => Error::ConnectionReadTimeout,
        (HttpError::Protocol(_), Phase::Receive) => Error::HttpResponseIncomplete,
        (HttpError::Protocol(_) | HttpError::Redirect(_) | HttpError::Auth(_), _) => Error::HttpProtocolError,
        (HttpError::Other(message), _) => Error::InternalError(Some(message)),
    }
}
