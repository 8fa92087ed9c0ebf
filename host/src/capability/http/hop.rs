//! One hop of an exchange: a request, its answer, and what they leave in the trace.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use reqwest::Body;
use reqwest::header::{HOST, HeaderMap, HeaderValue};

use crate::capability::bindings::sentrynet::probe::http::{Connection, Error, Tls};
use crate::capability::grant;
use crate::capability::http::evidence::{Head, HttpEvidence, bounded};
use crate::capability::http::exchange::Exchange;
use crate::capability::http::format::{lines, size, version_name, without_credentials, without_secrets};
use crate::capability::http::phase::{Marked, Phase, PhaseTimeouts, Reached};
use crate::capability::http::response::Response;
use crate::capability::http::response_stream::ResponseSender;
use crate::capability::http::timing_hooks::{HopTimings, TimedBody, Timestamps};
use crate::capability::http::transport;
use crate::capability::http::{certificate, error};
use crate::capability::net_errors::bytes;
use crate::capability::timeout::Timeout;
use crate::run::evidence::Excerpt;
use crate::time_format;
use crate::trace::{Handle, HostContact, Recorder, Status};

/// One request of an exchange, and its span.
pub struct Hop {
    span: Handle,
    started: Instant,
    marks: HopTimings,
    /// When the answer's head had come.
    head: Option<Instant>,
    end: Option<Instant>,
    kept: Box<HttpEvidence>,
    /// There is no connection, because somebody refused it.
    pub refused: bool,
    /// The server's certificate does not hold.
    pub untrusted: bool,
    _guard: Guard,
}

/// Cancels a hop's span when nobody waits for the hop any longer.
struct Guard(Recorder, Handle);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.cancel(self.1);
    }
}

impl Hop {
    pub fn open(exchange: &Exchange, hops: u32) -> Self {
        let Exchange { url, method, .. } = exchange;
        let recorder = &exchange.run.recorder;
        let shown = without_secrets(url);
        let started = Instant::now();
        let span = recorder.open_at(exchange.parent, "http.client", format!("{method} {shown}"), started);
        let port = url.port_or_known_default().unwrap_or_default();
        recorder.set(span, "http.request.method", method.as_str());
        recorder.set(span, "url.full", shown);
        recorder.set(span, "server.address", url.host_str().unwrap_or_default());
        recorder.set(span, "server.port", i64::from(port));
        if hops > 0 {
            recorder.set(span, "http.request.resend_count", i64::from(hops));
        }
        let kept = Box::new(HttpEvidence::new(exchange));
        let (marks, guard) = (HopTimings::within(exchange.peer_filter()), Guard(recorder.clone(), span));
        Self { span, started, marks, head: None, end: None, kept, refused: false, untrusted: false, _guard: guard }
    }

    pub async fn exchange(&mut self, exchange: &Exchange) -> Result<Response, Error> {
        let mut answer = self.send(exchange).await?;
        // A server may close a kept connection just as it is used again, which says nothing of its health.
        let kept = self.marks.read().started.is_none();
        let again = exchange.stream.is_none() && exchange.method.is_idempotent();
        if kept && again && answer.as_ref().is_err_and(|error| !error.is_timeout()) {
            self.marks = self.marks.anew();
            exchange.session.quota.count_request()?;
            answer = self.send(exchange).await?;
        }
        let head = Instant::now();
        self.head = Some(head);
        let times = self.marks.read();
        let mut answer = answer.map_err(|error| {
            self.head = None;
            self.refused = error::is_refusal(&error, &times, &self.kept.peer);
            self.untrusted = error::is_cert_error(&error);
            if let Some(refusal) = &times.refusal {
                return Error::Denied(refusal.to_string());
            }
            match error::explain(&error, &times, &self.kept.peer) {
                // Many a server that does not speak it says nothing at all.
                Error::Protocol(why) if exchange.transport.version == Some(transport::Version::Two) => {
                    Error::Protocol(format!("{why} (it was spoken to in HTTP/2, as asked for)"))
                }
                error => error,
            }
        })?;

        let (status, version) = (answer.status(), answer.version());
        let remote = answer.remote_addr();
        let recorder = &exchange.run.recorder;
        recorder.set(self.span, "http.response.status_code", i64::from(status.as_u16()));
        recorder.set_status(self.span, Status::from_http(status.as_u16()));
        recorder.set(self.span, "network.protocol.name", "http");
        recorder.set(self.span, "network.protocol.version", version_name(version));
        if let Some(remote) = remote {
            recorder.set(self.span, "network.peer.address", remote.ip().to_string());
            recorder.set(self.span, "network.peer.port", i64::from(remote.port()));
        }
        let headers = lines(answer.headers());
        if exchange.transport.cookies {
            exchange.session.cookies.store_from_response(&exchange.url, answer.headers());
        }
        self.kept.answer =
            Some(Head { status, version: version_name(version), remote, headers: bounded(answer.headers()) });
        exchange.session.quota.count_received(size(answer.headers()))?;
        let body = match &exchange.flow {
            Some(flow) => {
                flow.begin(status, answer.headers().clone());
                self.hand_on(answer, flow, exchange).await?;
                Vec::new()
            }
            None => self.receive(&mut answer, exchange).await?,
        };
        let end = Instant::now();
        self.end = Some(end);
        recorder.set(self.span, "http.response.body.size", i64::try_from(self.kept.received).unwrap_or(i64::MAX));
        Ok(Response {
            status: status.as_u16(),
            url: without_credentials(&exchange.url).into(),
            location: exchange.location(status.as_u16(), &headers),
            headers,
            body,
            body_size: self.kept.received,
            timing: Marked { started: self.started, times: &times, head: Some(head), end }.timing(),
            connection: Connection {
                reused: times.started.is_none(),
                remote_address: remote.map(|address| address.to_string()),
                http_version: version_name(version).to_owned(),
                tls: times.tls_version.map(|version| Tls {
                    version: version.to_owned(),
                    chain: times.chain.iter().filter_map(certificate::read).collect(),
                }),
            },
        })
    }

    async fn send(&mut self, exchange: &Exchange) -> Result<reqwest::Result<reqwest::Response>, Error> {
        let client = exchange.session.client(&exchange.transport).map_err(Error::Other)?;
        let body = match &exchange.stream {
            Some(stream) => Body::wrap(stream.send(self.marks.clone(), exchange.session.quota.clone())),
            None => Body::wrap(TimedBody::new(exchange.body.clone(), self.marks.clone())),
        };
        let mut headers = self.headers(exchange);
        let mut url = exchange.url.clone();
        if exchange.transport.moves_port(&url) {
            // The resolver chooses the port only where the URL does not.
            let named = format!("{}:{}", url.host_str().unwrap_or_default(), url.port().unwrap_or_default());
            if let (Ok(named), Ok(())) = (HeaderValue::try_from(named), url.set_port(None)) {
                headers.entry(HOST).or_insert(named);
            }
        }
        if exchange.transport.cookies {
            exchange.session.cookies.add_to_request(&exchange.url, &mut headers);
        }
        self.kept.sent = bounded(&headers);
        // `request` takes credentials out of the URL, into a header; one that was given goes before them.
        exchange.session.quota.count_sent(url.as_str().len() + size(&headers) + exchange.body.len())?;
        let request = client.request(exchange.method.clone(), url).headers(headers).body(body);
        let PhaseTimeouts { connect, first_byte, .. } = exchange.patience;
        let head = first_byte.map(|first_byte| first_byte.saturating_add(connect.unwrap_or_default()));
        tokio::select! {
            biased;
            answer = self.marks.scope(request.send()) => Ok(answer),
            limit = self.no_connection(connect) => Err(self.timed_out(limit)),
            limit = passed(head) => Err(self.timed_out(limit)),
        }
    }

    /// Waits for as long as a connection may take; then for ever, if it stands.
    async fn no_connection(&self, patience: Option<Duration>) -> Timeout {
        let limit = passed(patience).await;
        let times = self.marks.read();
        if times.started.is_none() || times.connected.is_some() {
            std::future::pending::<()>().await;
        }
        limit
    }

    /// The guest's headers and, unless it is on a trace of its own, those that tell the target of ours.
    fn headers(&self, exchange: &Exchange) -> HeaderMap {
        let (recorder, probe) = (&exchange.run.recorder, &exchange.probe);
        let mut headers = exchange.headers.clone();
        if !grant::gets_trace_headers(&exchange.told, &exchange.url) || headers.contains_key("sentry-trace") {
            return headers;
        }
        let (trace, span) = (recorder.trace_id(), recorder.span_id(self.span));
        for (name, value) in probe.origin.headers(trace, span, &probe.identity.title, &probe.policy.trace_headers) {
            let Ok(value) = HeaderValue::try_from(value) else { continue };
            match name {
                // A list, which may go on over several lines.
                "baggage" => _ = headers.append(name, value),
                _ => _ = headers.entry(name).or_insert(value),
            }
        }
        headers
    }

    async fn receive(&mut self, answer: &mut reqwest::Response, exchange: &Exchange) -> Result<Vec<u8>, Error> {
        let mut kept = Vec::new();
        loop {
            match answer.chunk().await {
                Ok(Some(chunk)) => {
                    self.take(&chunk, exchange)?;
                    let room = usize::try_from(exchange.max_body).unwrap_or(usize::MAX) - kept.len();
                    kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
                }
                Ok(None) => return Ok(kept),
                Err(error) => return Err(self.broken_off(&error)),
            }
        }
    }

    /// Hands the answer on as it comes, with its trailers.
    async fn hand_on(
        &mut self,
        answer: reqwest::Response,
        flow: &ResponseSender,
        exchange: &Exchange,
    ) -> Result<(), Error> {
        let mut body = http::Response::<Body>::from(answer).into_body();
        loop {
            let frame = tokio::select! {
                biased;
                frame = next(&mut body) => frame,
                // Who reads it has read enough.
                () = flow.closed() => return Ok(()),
                limit = passed(exchange.patience.between_bytes) => return Err(self.timed_out(limit)),
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(chunk) => {
                        self.take(&chunk, exchange)?;
                        flow.pass(chunk).await;
                    }
                    Err(other) => {
                        if let Ok(trailers) = other.into_trailers() {
                            exchange.session.quota.count_received(size(&trailers))?;
                            flow.end(trailers).await;
                        }
                    }
                },
                None => return Ok(()),
                Some(Err(error)) => return Err(self.broken_off(&error)),
            }
        }
    }

    fn take(&mut self, chunk: &[u8], exchange: &Exchange) -> Result<(), Error> {
        self.kept.received += chunk.len() as u64;
        exchange.session.quota.count_received(chunk.len())?;
        let untold = Excerpt::MOST - self.kept.excerpt.len();
        self.kept.excerpt.extend_from_slice(&chunk[..chunk.len().min(untold)]);
        Ok(())
    }

    fn broken_off(&self, error: &reqwest::Error) -> Error {
        error::explain(error, &self.marks.read(), &self.kept.peer)
    }

    pub fn timed_out(&self, limit: Timeout) -> Error {
        let times = self.marks.read();
        let phase = if self.head.is_some() { Phase::Receive } else { Phase::of(&times) };
        error::timed_out(limit, phase, &times, &self.kept.peer, self.kept.received)
    }

    /// Ends the hop's span, with a child for each phase that was reached, and keeps what there is to tell of it. The last
    /// of the phases comes back.
    pub fn close(self, exchange: &Exchange, error: Option<&Error>) -> Phase {
        let recorder = &exchange.run.recorder;
        let times = self.marks.read();
        let end = self.end.unwrap_or_else(Instant::now);
        let phases = Marked { started: self.started, times: &times, head: self.head, end }.phases();
        // A redirect that cannot be followed is no phase's fault: the hop itself was well.
        let last = phases.last().map_or(Phase::Send, |last| last.phase);
        let at_fault = Some(last).filter(|_| self.end.is_none());
        for Reached { phase, start, end } in phases {
            let span = recorder.open_at(self.span, phase.op(), self.describe(phase, &times), start);
            if let (Some(error), true) = (error, at_fault == Some(phase)) {
                recorder.set_status(span, error::status_of(error));
                recorder.set(span, "error.type", error::type_of(error));
            }
            recorder.close_at(span, end);
        }
        self.attributes(recorder, &times, end);
        if let Some(contact) = self.contact(&times, end) {
            recorder.record_contact(contact);
        }
        if let Some(error) = error {
            recorder.set_status(self.span, error::status_of(error));
            recorder.set(self.span, "error.type", error::type_of(error));
        }
        recorder.close_at(self.span, end);
        let mut kept = self.kept;
        if let Some(stream) = &exchange.stream {
            kept.body = stream.beginning();
        }
        (kept.phase, kept.error, kept.times) = (last, error.map(error::type_of), times);
        exchange.run.evidence.add(self.span, Arc::new(*kept));
        last
    }

    /// What the network brought back. Of a kept connection, and of a request that never left, silence says nothing.
    fn contact(&self, times: &Timestamps, end: Instant) -> Option<HostContact> {
        let refused = self.refused.then_some(end);
        let answered = self.end.or(self.head).or(times.connected).or(times.tls_started).or(refused);
        let silent = times.started.map(|_| end);
        Some(HostContact {
            host: self.kept.peer.host.trim_matches(['[', ']']).to_owned(),
            loopback: self.kept.peer.is_loopback(times),
            answered: answered.is_some(),
            from: self.started,
            to: answered.or(silent)?,
        })
    }

    /// What a phase was about, for a person.
    fn describe(&self, phase: Phase, times: &Timestamps) -> String {
        match phase {
            Phase::Dns => format!("Resolve {}", self.kept.peer.names(times)),
            Phase::Connect => format!("Connect to {}", self.kept.peer.addresses(times)),
            Phase::Tls => format!("TLS {}handshake", times.tls_version.map(|it| format!("{it} ")).unwrap_or_default()),
            Phase::Send => "Send the request".to_owned(),
            Phase::Wait => "Wait for the answer".to_owned(),
            Phase::Receive => format!("Receive {}", bytes(self.kept.received)),
        }
    }

    fn attributes(&self, recorder: &Recorder, times: &Timestamps, end: Instant) {
        let (connected, sent) = (times.connected, times.sent);
        let tcp_from = times.started.map(|started| times.dns_ended.unwrap_or(started));
        let tcp = tcp_from.filter(|_| times.dns_started.is_none() || times.dns_ended.is_some());
        let marks = [
            ("http.request.domain_lookup_start", times.dns_started),
            ("http.request.domain_lookup_end", times.dns_ended),
            ("http.request.connect_start", tcp),
            ("http.request.secure_connection_start", times.tls_started),
            ("http.request.connection_end", connected),
            ("http.request.request_start", sent.map(|_| connected.unwrap_or(self.started))),
            ("http.request.response_start", self.head),
            ("http.request.response_end", self.head.map(|_| end)),
        ];
        for (key, at) in marks {
            if let Some(at) = at {
                recorder.set(self.span, key, recorder.unix_seconds(at));
            }
        }
        if let Some(head) = self.head {
            recorder.set(self.span, "http.request.time_to_first_byte", (head - self.started).as_secs_f64());
            recorder.set(self.span, "http.connection.reused", times.started.is_none());
        }
        if let Some(version) = times.tls_version {
            recorder.set(self.span, "tls.protocol.name", "tls");
            recorder.set(self.span, "tls.protocol.version", version);
        }
        if let Some(leaf) = times.chain.first().and_then(certificate::read) {
            recorder.set(self.span, "tls.server.subject", leaf.subject);
            recorder.set(self.span, "tls.server.issuer", leaf.issuer);
            recorder.set(self.span, "tls.server.not_after", time_format::rfc3339_seconds(leaf.not_after));
            recorder.set(self.span, "tls.server.days_left", certificate::days_left(leaf.not_after, SystemTime::now()));
        }
    }
}

async fn next(body: &mut Body) -> Option<reqwest::Result<Frame<Bytes>>> {
    poll_fn(|task| Pin::new(&mut *body).poll_frame(task)).await
}

/// Waits for a time that was set; for ever where none was.
async fn passed(time: Option<Duration>) -> Timeout {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
    Timeout::Timeout(time.unwrap_or_default())
}
