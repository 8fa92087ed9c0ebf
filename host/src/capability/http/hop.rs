//! One hop of an exchange: a request, its response, and their span and evidence.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, HOST, HeaderValue, RANGE};
use http::{Method, Response as ResponseParts};
use http_body::{Body as _, Frame};
use hyper::body::Incoming;

use crate::capability::bindings::sentrynet::probe::http::{Connection, Error};
use crate::capability::happy_eyeballs::Attempting;
use crate::capability::http::client::{BoxError, Client, SentBody, connection_info};
use crate::capability::http::connect_attempts::ConnectAttempts;
use crate::capability::http::connection::{ConnectionInfo, Protocol};
use crate::capability::http::content_coding::ACCEPTED;
use crate::capability::http::error::SourceError;
use crate::capability::http::evidence::{HttpEvidence, ResponseHead, bounded_headers};
use crate::capability::http::exchange::Exchange;
use crate::capability::http::format::{
    absolute_location, header_bytes, header_lines, header_memory, version_name, without_credentials,
};
use crate::capability::http::phase::{HopTimeline, Phase, PhaseTimeouts};
use crate::capability::http::request_body::RequestBody;
use crate::capability::http::response::Response;
use crate::capability::http::response_body::{BodyDecoding, BodyError, receive};
use crate::capability::http::response_stream::ResponseSender;
use crate::capability::http::timing_hooks::{HopTimings, TimedBody};
use crate::capability::http::transport::HttpVersion;
use crate::capability::http::{error, hop_span};
use crate::capability::quota::Exceeded;
use crate::capability::timeout::Timeout;
use crate::trace::{Handle, Recorder};

/// One request of an exchange: the first, or one that follows a redirect.
pub struct Hop {
    span: Handle,
    started: Instant,
    attempts: ConnectAttempts,
    /// The time at which the head of the response had arrived.
    head_received: Option<Instant>,
    /// The time at which the whole response had arrived.
    response_received: Option<Instant>,
    /// The connection that the response came over.
    connection: Option<ConnectionInfo>,
    evidence: Box<HttpEvidence>,
    /// True if there is no connection because the server or a proxy refused it.
    pub is_refused: bool,
    /// True if the server's certificate is not valid.
    pub is_cert_error: bool,
    _cancel_on_drop: CancelOnDrop,
}

/// Cancels a hop's span on drop, unless the span is closed: it is still open only if the hop's future was dropped.
struct CancelOnDrop(Recorder, Handle);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel(self.1);
    }
}

impl Hop {
    /// Begins a hop, and opens its span. `redirects` is the number of redirects that the exchange has followed.
    pub fn open(exchange: &Exchange, redirects: u32) -> Self {
        let started = Instant::now();
        let span = hop_span::open(exchange, redirects, started);
        Self {
            span,
            started,
            attempts: ConnectAttempts::new(&exchange.transport, exchange.peer_filter(), Arc::clone(&exchange.opening)),
            head_received: None,
            response_received: None,
            connection: None,
            evidence: Box::new(HttpEvidence::new(exchange)),
            is_refused: false,
            is_cert_error: false,
            _cancel_on_drop: CancelOnDrop(exchange.context.run.recorder.clone(), span),
        }
    }

    /// Sends the request, and receives the response.
    ///
    /// If a request fails on a reused connection, it is sent once more, provided that its method is idempotent and its
    /// body is not streamed. It is not sent again after a timeout.
    ///
    /// # Errors
    /// [`Error`] if there is no whole response. The timeout of the whole exchange is not checked here.
    pub async fn send_and_receive(&mut self, exchange: &Exchange) -> Result<Response, Error> {
        let session = &exchange.context.session;
        let mut result = self.send(exchange).await?;
        // A server may close an idle connection at the moment of its reuse, which does not mean that the server fails.
        let is_reused = self.attempts.timestamps().is_connection_reused();
        let is_repeatable =
            matches!(exchange.request.body, RequestBody::Whole(_)) && exchange.request.method.is_idempotent();
        if is_reused && is_repeatable && result.as_ref().is_err_and(|error| !error::is_timeout(&**error)) {
            self.attempts = self.attempts.for_retry();
            session.quota.count_request()?;
            result = self.send(exchange).await?;
        }
        let head_received = Instant::now();
        let timestamps = self.attempts.timestamps();
        let mut response = result.map_err(|error| self.send_error(&error, exchange))?;
        self.head_received = Some(head_received);

        let (status, version) = (response.status(), version_name(response.version()));
        self.connection = response.extensions_mut().remove();
        let remote_address = self.connection.as_ref().map(|connection| connection.peer);
        let http1 = self.connection.as_ref().filter(|connection| connection.protocol != Protocol::Http2);
        let headers = response.headers().len();
        self.evidence.malformed = http1.and_then(|connection| connection.received.left_out_headers(headers));
        let recorder = &exchange.context.run.recorder;
        let decoding = BodyDecoding::of_response(&mut response, &exchange.transport);
        let headers = header_lines(response.headers());
        if exchange.transport.cookies {
            session.cookies.store_from_response(&exchange.request.url, response.headers());
        }
        let head = ResponseHead { status, version, remote_address, headers: bounded_headers(response.headers()) };
        hop_span::set_response(recorder, self.span, &head);
        self.evidence.response_head = Some(head);
        session.quota.count_received(header_bytes(response.headers()))?;
        let tls_session =
            session.tls_session(&exchange.transport, &exchange.request.url, remote_address, &timestamps)?;
        let mut held_bytes = session.quota.hold(header_memory(response.headers()))?;
        let (body, undecoded) = match &exchange.response_sender {
            Some(sender) => {
                sender.send_head(status, response.headers().clone());
                self.forward_body(response, sender, exchange).await?;
                (Vec::new(), None)
            }
            None => receive(&mut response, decoding, exchange, &mut self.evidence, &mut held_bytes).await.map_err(
                |error| match error {
                    BodyError::Network(error) => self.body_error(&error, exchange),
                    BodyError::Other(error) => error,
                },
            )?,
        };
        let ended = Instant::now();
        self.response_received = Some(ended);
        let body_size = self.evidence.received_bytes;
        recorder.set(self.span, "http.response.body.size", i64::try_from(body_size).unwrap_or(i64::MAX));
        let timeline =
            HopTimeline { started: self.started, timestamps: &timestamps, head_received: Some(head_received), ended };
        Ok(Response {
            status: status.as_u16(),
            url: without_credentials(&exchange.request.url).into(),
            location: absolute_location(&exchange.request.url, status.as_u16(), &headers),
            headers,
            body,
            body_size,
            undecoded,
            timing: timeline.timing(),
            connection: Connection {
                reused: timestamps.is_connection_reused(),
                remote_address: remote_address.map(|address| address.to_string()),
                http_version: version.to_owned(),
                tls: tls_session.tls.clone(),
            },
            validity_ends: tls_session.validity_ends.clone(),
            held: Some(held_bytes),
        })
    }

    /// Sends the request, and waits for the head of the response.
    ///
    /// # Errors
    /// The outer error comes from the host: a limit, a timeout of a phase, or a client that cannot be built. The inner
    /// error comes from the network or the server.
    async fn send(&mut self, exchange: &Exchange) -> Result<Result<ResponseParts<Incoming>, BoxError>, Error> {
        let (session, parts) = (&exchange.context.session, &exchange.request);
        let client = session.client(&exchange.transport).await;
        if client.is_err() {
            session.quota.check_host()?;
        }
        let client = client.map_err(Error::Other)?;
        let mut headers = exchange.headers_with_trace(self.span);
        let mut url = parts.url.clone();
        if exchange.transport.changes_port(&url) {
            // The client connects to the resolver's port only if the URL has no port.
            let authority = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or_default());
            if let (Ok(authority), Ok(())) = (HeaderValue::try_from(authority), url.set_port(None)) {
                headers.entry(HOST).or_insert(authority);
            }
        }
        if exchange.transport.cookies {
            session.cookies.add_to_request(&parts.url, &mut headers);
        }
        if exchange.transport.compression && !headers.contains_key(RANGE) {
            headers.entry(ACCEPT_ENCODING).or_insert(HeaderValue::from_static(ACCEPTED));
        }
        // Servers may wait for the body of these methods, or answer with 411, unless they are told that there is none.
        let has_body_by_definition = [Method::POST, Method::PUT, Method::PATCH].contains(&parts.method);
        if has_body_by_definition && matches!(&parts.body, RequestBody::Whole(bytes) if bytes.is_empty()) {
            headers.entry(CONTENT_LENGTH).or_insert(HeaderValue::from_static("0"));
        }
        self.evidence.request_headers = bounded_headers(&headers);
        session.quota.count_sent(url.as_str().len() + header_bytes(&headers) + parts.body.bytes_in_memory())?;
        let (method, quota) = (&parts.method, &session.quota);
        let send = |client: Client, timings: HopTimings| -> Attempting<'_, _, _> {
            let body = match &parts.body {
                RequestBody::Whole(bytes) => SentBody::Whole(TimedBody::new(bytes.clone(), timings.clone())),
                RequestBody::Streamed(stream) => SentBody::Streamed(stream.send(timings.clone(), quota.clone())),
            };
            let (method, url, headers) = (method.clone(), &url, headers.clone());
            Box::pin(async move { timings.scope(client.send(method, url, headers, body)).await })
        };
        let sending = self.attempts.send(session, &exchange.transport, client, send);
        let PhaseTimeouts { connect, first_byte, .. } = exchange.limits.phase_timeouts;
        let head_timeout = first_byte.map(|first_byte| first_byte.saturating_add(connect.unwrap_or_default()));
        tokio::select! {
            biased;
            result = sending => result.ok_or_else(|| Error::Other("no connection can be attempted".to_owned())),
            timeout = self.connect_timeout(connect) => Err(self.timed_out(timeout)),
            timeout = sleep(head_timeout) => Err(self.timed_out(timeout)),
        }
    }

    /// Returns after `timeout` if there is no connection by then; otherwise never returns.
    async fn connect_timeout(&self, timeout: Option<Duration>) -> Timeout {
        let timeout = sleep(timeout).await;
        let timestamps = self.attempts.timestamps();
        if timestamps.is_connection_reused() || timestamps.connected.is_some() || self.attempts.is_connected() {
            std::future::pending::<()>().await;
        }
        timeout
    }

    /// Forwards the body and its trailers as they arrive, until their end, or until the reader is dropped.
    async fn forward_body(
        &mut self,
        response: ResponseParts<Incoming>,
        sender: &ResponseSender,
        exchange: &Exchange,
    ) -> Result<(), Error> {
        let mut body = response.into_body();
        loop {
            let frame = tokio::select! {
                biased;
                frame = next_frame(&mut body) => frame,
                () = sender.closed() => return Ok(()),
                timeout = sleep(exchange.limits.phase_timeouts.between_bytes) => return Err(self.timed_out(timeout)),
            };
            let Some(frame) = frame else { return Ok(()) };
            match frame.map_err(|error| self.body_error(&error, exchange))?.into_data() {
                Ok(chunk) => {
                    self.evidence.add_body(&chunk, &exchange.context.session.quota)?;
                    sender.send_data(exchange.context.session.quota.hold_data(chunk)?).await;
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        exchange.context.session.quota.count_received(header_bytes(&trailers))?;
                        sender.send_trailers(trailers).await;
                    }
                }
            }
        }
    }

    /// Returns the error for a request that got no response, and sets `is_refused` and `is_cert_error`.
    fn send_error(&mut self, error: &BoxError, exchange: &Exchange) -> Error {
        let connection = connection_info(error);
        let error = &**error;
        if let Err(exceeded) = self.check_host(error, exchange) {
            return exceeded.into();
        }
        let timestamps = self.attempts.timestamps();
        let peer = &self.evidence.peer;
        self.is_refused = error::is_refusal(error, &timestamps, peer);
        self.is_cert_error = error::is_cert_error(error);
        if let Some(refusal) = &timestamps.refusal {
            return Error::Denied(refusal.message_for(exchange.context.probe.built_in));
        }
        let malformed = connection.and_then(|connection| error::malformed(error, &connection));
        let guest_error = error::from_client(error, &timestamps, peer, malformed.as_ref());
        self.evidence.proxy_answer = error::proxy_answer(error);
        self.evidence.malformed = malformed.and_then(|malformed| malformed.quote);
        match guest_error {
            // Servers that do not speak HTTP/2 often close the connection without sending anything.
            Error::Protocol(why) if exchange.transport.http_version == Some(HttpVersion::Http2) => {
                Error::Protocol(format!("{why} (the request requires HTTP/2)"))
            }
            error => error,
        }
    }

    /// Ends the attempt if an error means that a resource of this host is used up.
    ///
    /// # Errors
    /// [`Exceeded`] in that case, or if the attempt has reached any limit before.
    fn check_host(&self, error: &SourceError, exchange: &Exchange) -> Result<(), Exceeded> {
        let (quota, source) = (&exchange.context.session.quota, exchange.transport.source_address);
        match error::shortage(error, &self.attempts.timestamps(), &self.evidence.peer, source) {
            Some(resource) => Err(quota.set_exceeded(resource)),
            None => quota.check(),
        }
    }

    /// Returns the error for a response whose body did not arrive as a whole.
    fn body_error(&mut self, error: &SourceError, exchange: &Exchange) -> Error {
        if let Err(exceeded) = self.check_host(error, exchange) {
            return exceeded.into();
        }
        let malformed = self.connection.as_ref().and_then(|connection| error::malformed(error, connection));
        let guest_error =
            error::from_client(error, &self.attempts.timestamps(), &self.evidence.peer, malformed.as_ref());
        if let Some(quote) = malformed.and_then(|malformed| malformed.quote) {
            self.evidence.malformed = Some(quote);
        }
        guest_error
    }

    /// Returns the error for a hop that ends now because of `timeout`. It names the current phase.
    pub fn timed_out(&self, timeout: Timeout) -> Error {
        let timestamps = self.attempts.timestamps();
        let phase = if self.head_received.is_some() { Phase::Receive } else { Phase::without_response(&timestamps) };
        error::timed_out(timeout, phase, &timestamps, &self.evidence.peer, self.evidence.received_bytes)
    }

    /// Closes the hop's span with a child for each phase, records whether the host answered, adds the hop to the
    /// evidence, and returns the last phase.
    pub fn close(mut self, exchange: &Exchange, error: Option<&Error>) -> Phase {
        let recorder = &exchange.context.run.recorder;
        let timestamps = self.attempts.timestamps();
        let ended = self.response_received.unwrap_or_else(Instant::now);
        let timeline =
            HopTimeline { started: self.started, timestamps: &timestamps, head_received: self.head_received, ended };
        let phases = timeline.phases();
        let last_phase = phases.last().map_or(Phase::Send, |last| last.phase);
        // After a whole response, the error is a redirect that cannot be followed: no phase has failed.
        let failure = error.filter(|_| self.response_received.is_none()).map(|error| (last_phase, error));
        hop_span::add_phases(recorder, self.span, &phases, &self.evidence, &timestamps, failure);
        hop_span::set_timeline(recorder, self.span, &timeline);
        let contact = hop_span::contact(&self.evidence, &timeline, self.response_received, self.is_refused);
        // Once a limit has ended the attempt, a missing answer does not mean that the host is down.
        let is_ended = exchange.context.session.quota.check().is_err();
        if let Some(contact) = contact.filter(|contact| contact.answered || !is_ended) {
            recorder.record_contact(contact);
        }
        if let Some(error) = error {
            hop_span::set_error(recorder, self.span, error);
        }
        recorder.close_at(self.span, ended);
        if let RequestBody::Streamed(stream) = &exchange.request.body {
            self.evidence.request_body = stream.beginning();
        }
        self.evidence.phase = last_phase;
        self.evidence.error = error.map(error::error_type);
        self.evidence.timestamps = timestamps;
        self.evidence.hold(&exchange.context.session.quota);
        let evidence: Arc<HttpEvidence> = self.evidence.into();
        exchange.context.run.evidence.add(self.span, evidence);
        last_phase
    }
}

async fn next_frame(body: &mut Incoming) -> Option<hyper::Result<Frame<Bytes>>> {
    poll_fn(|task| Pin::new(&mut *body).poll_frame(task)).await
}

/// Waits for `timeout`, and returns it; if it is `None`, waits forever.
async fn sleep(timeout: Option<Duration>) -> Timeout {
    match timeout {
        Some(timeout) => tokio::time::sleep(timeout).await,
        None => std::future::pending().await,
    }
    Timeout::Timeout(timeout.unwrap_or_default())
}
