//! The interface `wasi:http/outgoing-handler`: requests, several at once, each made as those of our own `http` are but
//! that no redirect is followed.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll};

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_LENGTH;
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::capability::bindings::sentrynet::probe::http::Error as Why;
use crate::capability::http::{
    FailedExchange, OutgoingRequest, Phase, PhaseTimeouts, RequestBody as Sent, ResponseBody, StreamedBody,
    StreamedResponse, StreamingClient,
};

/// Sends what a guest asks for by this interface.
pub struct Outgoing {
    courier: StreamingClient,
    /// Bytes of requests' bodies that are held at once.
    room: Arc<Semaphore>,
}

impl Outgoing {
    pub fn new(courier: StreamingClient) -> Self {
        /// As much as of one answer's body.
        const MOST_HELD: usize = 16 << 20;
        Self { courier, room: Arc::new(Semaphore::new(MOST_HELD)) }
    }

    fn wanted(&self, parts: http::request::Parts, options: Option<RequestOptions>) -> Result<OutgoingRequest, Error> {
        if !self.courier.may_send() {
            return Err(Error::HttpRequestDenied);
        }
        if parts.method == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        // Whom it is for is read once, and by what connects.
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

type Sending = Box<dyn Future<Output = Result<(), Error>> + Send>;
type Answering = Box<dyn Future<Output = Result<(Response<WasiBody>, Sending), Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    /// The client sets it, from the URL.
    fn set_host_header(&mut self) -> bool {
        false
    }

    /// As little as nobody reads yet: a guest may begin many bodies, and send none.
    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        8 << 10
    }

    fn send_request(&mut self, request: Request<WasiBody>, options: Option<RequestOptions>, _: Sending) -> Answering {
        let (parts, body) = request.into_parts();
        let room = Arc::clone(&self.room);
        let length = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
        let wanted = self.wanted(parts, options);
        let answer = wanted.map(|wanted| self.courier.send(wanted, outgoing(body, length, room)));
        Box::new(async move {
            let StreamedResponse { status, headers, body } = answer?.await.map_err(code)?;
            let mut response = Response::new(WasiBody::new(Handed(body)));
            (*response.status_mut(), *response.headers_mut()) = (status, headers);
            Ok((response, Box::new(async { Ok(()) }) as Sending))
        })
    }
}

/// What the guest writes of a body. A short one is waited for, and goes out with its length, which not every server can
/// do without; of a long one, or one whose length the guest has said, each piece goes out as it is written.
async fn outgoing(mut body: WasiBody, length: Option<u64>, room: Arc<Semaphore>) -> Result<Sent, FailedExchange> {
    const SHORT: usize = 64 << 10;
    if length.is_some_and(|length| length > 0) {
        return Ok(stream(body, Bytes::new(), length));
    }
    let (mut bytes, mut held) = (BytesMut::new(), None::<OwnedSemaphorePermit>);
    let wrong = |why: &str| FailedExchange::before_sending(Why::Other(why.to_owned()));
    while let Some(frame) = std::future::poll_fn(|task| Pin::new(&mut body).poll_frame(task)).await {
        let frame = frame.map_err(|_| wrong("the probe gave its request up"))?;
        // Trailers of what has its length have no place.
        let Ok(more) = frame.into_data() else { continue };
        let size = u32::try_from(more.len()).unwrap_or(u32::MAX);
        let taken = Arc::clone(&room).try_acquire_many_owned(size);
        let taken = taken.map_err(|_| wrong("the bodies of the probe's requests are larger than 16 MiB together"))?;
        match &mut held {
            Some(held) => held.merge(taken),
            None => held = Some(taken),
        }
        bytes.extend_from_slice(&more);
        if bytes.len() > SHORT {
            break;
        }
    }
    let is_short = bytes.len() <= SHORT;
    let bytes = match held {
        // Held for as long as they are.
        Some(held) => Bytes::from_owner(Held(bytes.freeze(), held)),
        None => Bytes::new(),
    };
    Ok(if is_short { Sent::Whole(bytes) } else { stream(body, bytes, None) })
}

fn stream(rest: WasiBody, beginning: Bytes, length: Option<u64>) -> Sent {
    let beginning = Some(beginning).filter(|bytes| !bytes.is_empty());
    Sent::Streamed(Arc::new(StreamedBody::new(Written { beginning, rest }, length)))
}

/// A body as the guest writes it.
struct Written {
    beginning: Option<Bytes>,
    rest: WasiBody,
}

impl Body for Written {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.beginning.take() {
            Some(beginning) => Poll::Ready(Some(Ok(Frame::data(beginning)))),
            None => Pin::new(&mut self.rest).poll_frame(task).map_err(|_| "the probe gave its request up".into()),
        }
    }
}

struct Held(Bytes, #[expect(dead_code, reason = "it is given back when this is dropped")] OwnedSemaphorePermit);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// An answer's body on its way to the guest.
struct Handed(ResponseBody);

impl Body for Handed {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.poll_next(task).map(|next| next.map(|piece| piece.map_err(code)))
    }
}

/// Why there is no whole answer, in the words of WASI.
fn code(failed: FailedExchange) -> Error {
    let FailedExchange { error, phase, is_refused, is_cert_error } = failed;
    match (error, phase) {
        (Why::Denied(_), _) => Error::HttpRequestDenied,
        (Why::Dns(_), _) => Error::DnsError { rcode: None, info_code: None },
        (Why::Connect(_), _) if is_refused => Error::ConnectionRefused,
        (Why::Connect(_), _) => Error::DestinationUnavailable,
        (Why::Tls(_), _) if is_cert_error => Error::TlsCertificateError,
        (Why::Tls(_), _) => Error::TlsProtocolError,
        (Why::Timeout(_), Phase::Dns) => Error::DnsTimeout,
        (Why::Timeout(_), Phase::Connect | Phase::Tls) => Error::ConnectionTimeout,
        (Why::Timeout(_), Phase::Send) => Error::ConnectionWriteTimeout,
        (Why::Timeout(_), Phase::Wait) => Error::HttpResponseTimeout,
        (Why::Timeout(_), Phase::Receive) => Error::ConnectionReadTimeout,
        (Why::Protocol(_), Phase::Receive) => Error::HttpResponseIncomplete,
        (Why::Protocol(_) | Why::Redirect(_) | Why::Auth(_), _) => Error::HttpProtocolError,
        (Why::Other(why), _) => Error::InternalError(Some(why)),
    }
}
