//! The trace of a hop: its span, a child for each phase, and whether the host answered.

use std::time::{Instant, SystemTime};

use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::happy_eyeballs::add_spans;
use crate::capability::http::evidence::{HttpEvidence, ResponseHead};
use crate::capability::http::exchange::Exchange;
use crate::capability::http::format::without_secrets;
use crate::capability::http::phase::{HopTimeline, Phase, TimedPhase};
use crate::capability::http::timing_hooks::Timestamps;
use crate::capability::http::{certificate, error};
use crate::capability::net_errors::bytes;
use crate::time_format;
use crate::trace::{Handle, HostContact, Recorder, Status};

/// Opens the span of a hop that begins at `started`. `redirects` is the number of redirects before it.
pub fn open(exchange: &Exchange, redirects: u32, started: Instant) -> Handle {
    let recorder = &exchange.context.run.recorder;
    let (method, url) = (&exchange.request.method, &exchange.request.url);
    let shown_url = without_secrets(url);
    let span = recorder.open_at(exchange.parent_span, "http.client", format!("{method} {shown_url}"), started);
    let port = url.port_or_known_default().unwrap_or_default();
    recorder.set(span, "http.request.method", method.as_str());
    recorder.set(span, "url.full", shown_url);
    recorder.set(span, "server.address", url.host_str().unwrap_or_default());
    recorder.set(span, "server.port", i64::from(port));
    if redirects > 0 {
        recorder.set(span, "http.request.resend_count", i64::from(redirects));
    }
    span
}

/// Sets the attributes that the head of a response provides.
pub fn set_response(recorder: &Recorder, span: Handle, head: &ResponseHead) {
    recorder.set(span, "http.response.status_code", i64::from(head.status.as_u16()));
    recorder.set_status(span, Status::from_http(head.status.as_u16()));
    recorder.set(span, "network.protocol.name", "http");
    recorder.set(span, "network.protocol.version", head.version);
    if let Some(remote) = head.remote_address {
        recorder.set(span, "network.peer.address", remote.ip().to_string());
        recorder.set(span, "network.peer.port", i64::from(remote.port()));
    }
}

/// Marks the span of a hop or of a phase as failed.
pub fn set_error(recorder: &Recorder, span: Handle, error: &Error) {
    recorder.set_status(span, error::span_status(error));
    recorder.set(span, "error.type", error::error_type(error));
}

/// Adds a child to a hop's span for each phase. `failure` is the phase that failed and its error, if any.
pub fn add_phases(
    recorder: &Recorder,
    hop: Handle,
    phases: &[TimedPhase],
    evidence: &HttpEvidence,
    timestamps: &Timestamps,
    failure: Option<(Phase, &Error)>,
) {
    for TimedPhase { phase, start, end } in phases {
        let description = describe_phase(*phase, evidence, timestamps);
        let span = recorder.open_at(hop, phase.op(), description, *start);
        if let Some((_, error)) = failure.filter(|(failed, _)| failed == phase) {
            set_error(recorder, span, error);
        }
        if *phase == Phase::Connect {
            let port = evidence.peer.connect_port;
            add_spans(recorder, span, "http.client.connect.attempt", &timestamps.attempts, port, *end);
        }
        recorder.close_at(span, *end);
    }
}

fn describe_phase(phase: Phase, evidence: &HttpEvidence, timestamps: &Timestamps) -> String {
    match phase {
        Phase::Dns => format!("Resolve {}", evidence.peer.resolved_names(timestamps)),
        Phase::Connect => format!("Connect to {}", evidence.peer.addresses(timestamps)),
        Phase::Tls => {
            format!("TLS {}handshake", timestamps.tls_version.map(|version| format!("{version} ")).unwrap_or_default())
        }
        Phase::Send => "Send the request".to_owned(),
        Phase::Wait => "Wait for the answer".to_owned(),
        Phase::Receive => format!("Receive {}", bytes(evidence.received_bytes)),
    }
}

/// Sets the attributes of a hop's times, in seconds since the Unix epoch, the time to the first byte, in seconds, and
/// the attributes of TLS.
pub fn set_timeline(recorder: &Recorder, span: Handle, timeline: &HopTimeline<'_>) {
    let HopTimeline { started, timestamps, head_received, ended } = *timeline;
    let (connected, sent) = (timestamps.connected, timestamps.sent);
    let tcp_started = timestamps.connect_started.map(|started| timestamps.dns_ended.unwrap_or(started));
    let tcp_started = tcp_started.filter(|_| timestamps.dns_started.is_none() || timestamps.dns_ended.is_some());
    let times = [
        ("http.request.domain_lookup_start", timestamps.dns_started),
        ("http.request.domain_lookup_end", timestamps.dns_ended),
        ("http.request.connect_start", tcp_started),
        ("http.request.secure_connection_start", timestamps.tls_started),
        ("http.request.connection_end", connected),
        ("http.request.request_start", sent.map(|_| connected.unwrap_or(started))),
        ("http.request.response_start", head_received),
        ("http.request.response_end", head_received.map(|_| ended)),
    ];
    for (key, time) in times {
        if let Some(time) = time {
            recorder.set(span, key, recorder.unix_seconds(time));
        }
    }
    if let Some(head_received) = head_received {
        recorder.set(span, "http.request.time_to_first_byte", (head_received - started).as_secs_f64());
        recorder.set(span, "http.connection.reused", timestamps.is_connection_reused());
    }
    if let Some(version) = timestamps.tls_version {
        recorder.set(span, "tls.protocol.name", "tls");
        recorder.set(span, "tls.protocol.version", version);
    }
    if let Some(leaf) = timestamps.cert_chain.first().and_then(certificate::parse) {
        recorder.set(span, "tls.server.subject", leaf.subject);
        recorder.set(span, "tls.server.issuer", leaf.issuer);
        recorder.set(span, "tls.server.not_after", time_format::rfc3339_seconds(leaf.not_after));
        recorder.set(span, "tls.server.days_left", certificate::days_left(leaf.not_after, SystemTime::now()));
    }
}

/// Returns the record of whether and when the host answered. A refusal to connect counts as an answer. Returns `None`
/// if the host did not answer and no connection to it was attempted, because a connection was reused or the request was
/// never sent. A missing answer then does not mean that the host is down.
pub fn contact(
    evidence: &HttpEvidence,
    timeline: &HopTimeline<'_>,
    response_received: Option<Instant>,
    is_refused: bool,
) -> Option<HostContact> {
    let HopTimeline { started, timestamps, head_received, ended } = *timeline;
    let answered = response_received.or(head_received).or(timestamps.connected).or(timestamps.tls_started);
    let answered = answered.or(is_refused.then_some(ended));
    let silent_until = timestamps.connect_started.map(|_| ended);
    Some(HostContact {
        host: evidence.peer.host.trim_matches(['[', ']']).to_owned(),
        loopback: evidence.peer.is_loopback(timestamps),
        answered: answered.is_some(),
        from: started,
        to: answered.or(silent_until)?,
    })
}
