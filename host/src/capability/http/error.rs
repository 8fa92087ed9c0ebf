//! Conversion of the HTTP client's errors to the guest's errors, with messages for a person.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::net::IpAddr;

use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::http::connection::{ConnectionInfo, Protocol};
use crate::capability::http::malformed::{self, Malformed};
use crate::capability::http::peer::Peer;
use crate::capability::http::phase::Phase;
use crate::capability::http::timing_hooks::Timestamps;
use crate::capability::http::tls_error;
use crate::capability::http::tunnel::TunnelError;
use crate::capability::net_errors::{self, bytes, connect_error};
use crate::capability::shortage::{self, local_port_shortage};
use crate::capability::timeout::Timeout;
use crate::plain_error::plain_text;
use crate::run::LimitKind;
use crate::trace::Status;

/// The error of a client, or of a response's body.
pub type SourceError = dyn StdError + 'static;

/// Converts an error of the client to the guest's error. Its kind depends on the phase in which the hop failed.
/// `malformed` is what is known about a response that cannot be read.
pub fn from_client(error: &SourceError, timestamps: &Timestamps, peer: &Peer, malformed: Option<&Malformed>) -> Error {
    if let Some(refusal) = proxy_refusal(error, peer, timestamps) {
        return Error::Connect(refusal);
    }
    let root_cause = root_cause(error);
    match Phase::without_response(timestamps) {
        Phase::Dns => Error::Dns(root_cause),
        Phase::Connect => Error::Connect(connect_error(io_error_kind(error), &peer.addresses(timestamps), &root_cause)),
        Phase::Tls => Error::Tls(match causes(error).find_map(rustls_error) {
            Some(error) => tls_error::message(error, timestamps, peer),
            None => closed_by_server(error).unwrap_or_else(|| plain_text(&root_cause)),
        }),
        // In TLS 1.3, the refusal of a client certificate arrives only after the handshake.
        Phase::Send | Phase::Wait | Phase::Receive => match causes(error).find_map(rustls_error) {
            Some(error) => Error::Tls(tls_error::message(error, timestamps, peer)),
            None => Error::Protocol(match (closed_by_server(error), malformed) {
                (Some(closed), _) => closed,
                (None, Some(malformed)) => malformed.message.clone(),
                (None, None) => protocol_message(&root_cause),
            }),
        },
    }
}

/// Returns what is known about a response that cannot be read, or `None` if the error has another reason.
pub fn malformed(error: &SourceError, connection: &ConnectionInfo) -> Option<Malformed> {
    if closed_by_server(error).is_some() || causes(error).find_map(rustls_error).is_some() {
        return None;
    }
    let (received, total) = connection.received.get();
    match connection.protocol {
        Protocol::Http2 => malformed::of_http2(&received),
        Protocol::Http1 | Protocol::Proxied => malformed::of_http1(&received, total, &root_cause(error)),
    }
}

/// Returns a message for a person if a proxy has refused to connect to the target.
fn proxy_refusal(error: &SourceError, peer: &Peer, timestamps: &Timestamps) -> Option<String> {
    match tunnel_error(error) {
        Some(error) => peer.tunnel_refusal(error, timestamps),
        None => peer.socks_refusal(&root_cause(error), timestamps),
    }
}

/// Returns the answer of an HTTP proxy that has refused to open a tunnel: its status and its reason.
pub fn proxy_answer(error: &SourceError) -> Option<String> {
    match tunnel_error(error)? {
        TunnelError::Refused { answer, .. } => Some(answer.clone()),
        _ => None,
    }
}

fn tunnel_error(error: &SourceError) -> Option<&TunnelError> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Returns the message of the innermost cause of an error.
fn root_cause(error: &SourceError) -> String {
    causes(error).last().unwrap_or(error).to_string()
}

/// Returns the resource of this host that is used up, if the hop failed for that reason. `source` is the local address
/// that the request has to connect from, if any.
pub fn shortage(
    error: &SourceError,
    timestamps: &Timestamps,
    peer: &Peer,
    source: Option<IpAddr>,
) -> Option<LimitKind> {
    let ports = || local_port_shortage(error, &peer.ip_addresses(timestamps), source);
    timestamps.shortage.or_else(|| shortage::shortage(error)).or_else(ports)
}

/// Returns true if the server, or a proxy on its behalf, refused or reset the connection, which counts as an answer.
pub fn is_refusal(error: &SourceError, timestamps: &Timestamps, peer: &Peer) -> bool {
    match io_error_kind(error) {
        Some(kind) => net_errors::is_refusal(kind),
        None => proxy_refusal(error, peer, timestamps).is_some(),
    }
}

/// Returns true if the server's certificate is not valid.
pub fn is_cert_error(error: &SourceError) -> bool {
    matches!(causes(error).find_map(rustls_error), Some(rustls::Error::InvalidCertificate(_)))
}

/// Returns true if the system has given up waiting for the other end.
pub fn is_timeout(error: &SourceError) -> bool {
    io_error_kind(error) == Some(ErrorKind::TimedOut)
}

/// Returns the error of a timeout in a phase, when `received_bytes` bytes of the response's body have arrived.
pub fn timed_out(timeout: Timeout, phase: Phase, timestamps: &Timestamps, peer: &Peer, received_bytes: u64) -> Error {
    let doing = match phase {
        Phase::Dns => format!("resolving `{}`", peer.resolved_names(timestamps)),
        Phase::Connect => format!("connecting to {}", peer.addresses(timestamps)),
        Phase::Tls => "in the TLS handshake".to_owned(),
        Phase::Send => "sending the request".to_owned(),
        Phase::Wait => "waiting for the answer".to_owned(),
        Phase::Receive => format!("receiving the answer, {} so far", bytes(received_bytes)),
    };
    Error::Timeout(timeout.message(&doing))
}

/// Returns the kind of the I/O error that caused an error, if any.
fn io_error_kind(error: &SourceError) -> Option<ErrorKind> {
    causes(error).find_map(io_kind)
}

/// Returns an error and its sources, outermost first.
fn causes(error: &SourceError) -> impl Iterator<Item = &SourceError> {
    std::iter::successors(Some(error), |cause: &&SourceError| (*cause).source())
}

/// Returns the kind of an I/O error, or of the I/O error that it wraps.
fn io_kind(cause: &SourceError) -> Option<ErrorKind> {
    let error = cause.downcast_ref::<std::io::Error>()?;
    let wrapped = error.get_ref().and_then(|wrapped| io_kind(wrapped));
    Some(wrapped.unwrap_or_else(|| error.kind()))
}

/// Returns a message if the server closed or reset the connection in the middle of an exchange.
fn closed_by_server(error: &SourceError) -> Option<String> {
    match io_error_kind(error)? {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Some("the server reset the connection".to_owned()),
        ErrorKind::UnexpectedEof => {
            Some("the server closed the connection before the exchange was complete".to_owned())
        }
        _ => None,
    }
}

/// Returns an error message of hyper in plainer words.
fn protocol_message(root_cause: &str) -> String {
    match root_cause {
        "connection closed before message completed" => "the server closed the connection without a whole answer",
        "invalid HTTP version parsed" => "the answer is not HTTP",
        "message head is too large" => "the answer's headers are too large",
        "channel closed" | "connection closed" => "the server closed the connection",
        // This error arises when an HTTP/1.1 response is parsed as an HTTP/2 frame: its bytes give an impossible size.
        "connection error detected: frame with invalid size" => "the answer is in another version of HTTP",
        other => return format!("the answer is not valid HTTP: {}", plain_text(other)),
    }
    .to_owned()
}

fn rustls_error(cause: &SourceError) -> Option<&rustls::Error> {
    match cause.downcast_ref::<std::io::Error>() {
        // `source` of an I/O error skips the error that it wraps, which may be an I/O error again.
        Some(error) => rustls_error(error.get_ref()?),
        None => cause.downcast_ref(),
    }
}

/// Returns the name of an error's kind, for the attribute `error.type` of spans and for evidence.
pub fn error_type(error: &Error) -> &'static str {
    match error {
        Error::Denied(_) => "denied",
        Error::Dns(_) => "dns",
        Error::Connect(_) => "connect",
        Error::Tls(_) => "tls",
        Error::Timeout(_) => "timeout",
        Error::Redirect(_) => "redirect",
        Error::Protocol(_) => "protocol",
        Error::Auth(_) => "auth",
        Error::Other(_) => "other",
    }
}

/// Returns the status of a span that ends with an error.
pub fn span_status(error: &Error) -> Status {
    match error {
        Error::Denied(_) => Status::PermissionDenied,
        Error::Timeout(_) => Status::DeadlineExceeded,
        Error::Redirect(_) => Status::FailedPrecondition,
        Error::Auth(_) => Status::Unauthenticated,
        Error::Dns(_) | Error::Connect(_) | Error::Tls(_) => Status::Unavailable,
        Error::Protocol(_) | Error::Other(_) => Status::InternalError,
    }
}
