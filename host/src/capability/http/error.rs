//! Why there is no answer, in words for a person.

use std::error::Error as StdError;
use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::http::certificate;
use crate::capability::http::phase::Phase;
use crate::capability::http::timing_hooks::Timestamps;
use crate::capability::net_errors::{self, bytes, connect_error};
use crate::capability::timeout::Timeout;
use crate::trace::{HostContact, Status};

/// What reqwest says, told by how far the exchange got. `peer` is the URL's host and port.
pub fn explain(error: &reqwest::Error, times: &Timestamps, peer: &Peer) -> Error {
    let causes = || causes(error);
    let root = causes().last().map_or_else(|| error.to_string(), ToString::to_string);
    match Phase::of(times) {
        Phase::Dns => Error::Dns(root),
        Phase::Connect => {
            let kind = kind(error);
            let refused = peer.refused_by_proxy(&root, times).filter(|_| kind.is_none());
            Error::Connect(refused.unwrap_or_else(|| connect_error(kind, &peer.addresses(times), &root)))
        }
        Phase::Tls => Error::Tls(match causes().find_map(rustls_error) {
            Some(error) => tls(error, times, peer),
            None => broken_off(causes()).unwrap_or(root),
        }),
        // A certificate of our own that is refused comes only after the handshake, in TLS 1.3.
        _ => match causes().find_map(rustls_error) {
            Some(error) => Error::Tls(tls(error, times, peer)),
            None => Error::Protocol(broken_off(causes()).unwrap_or_else(|| protocol(&root))),
        },
    }
}

/// Whether somebody has answered an attempt to connect, if only to refuse: the peer, or a proxy on its behalf.
pub fn is_refusal(error: &reqwest::Error, times: &Timestamps, peer: &Peer) -> bool {
    match kind(error) {
        Some(kind) => net_errors::is_refusal(kind),
        None => causes(error).last().is_some_and(|root| peer.refused_by_proxy(&root.to_string(), times).is_some()),
    }
}

/// Whether it is the server's certificate that does not hold.
pub fn is_cert_error(error: &reqwest::Error) -> bool {
    matches!(causes(error).find_map(rustls_error), Some(rustls::Error::InvalidCertificate(_)))
}

/// What the system calls it.
fn kind(error: &reqwest::Error) -> Option<ErrorKind> {
    causes(error).find_map(io_kind).or_else(|| causes(error).last().and_then(hidden))
}

fn causes(error: &dyn StdError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

/// What a timeout says; `received` is the bytes of a body that came.
pub fn timed_out(limit: Timeout, phase: Phase, times: &Timestamps, peer: &Peer, received: u64) -> Error {
    let doing = match phase {
        Phase::Dns => format!("resolving `{}`", peer.names(times)),
        Phase::Connect => format!("connecting to {}", peer.addresses(times)),
        Phase::Tls => "in the TLS handshake".to_owned(),
        Phase::Send => "sending the request".to_owned(),
        Phase::Wait => "waiting for the answer".to_owned(),
        Phase::Receive => format!("receiving the answer, {} so far", bytes(received)),
    };
    Error::Timeout(limit.message(&doing))
}

/// Where a request goes.
#[derive(Debug, Clone)]
pub struct Peer {
    /// The URL's host, whom TLS asks for.
    pub host: String,
    /// The name or address that is connected to, and its port: the URL's, unless something else was asked for.
    pub via: String,
    pub port: u16,
    /// The URL's port, where what is connected to is a proxy.
    pub behind_proxy: Option<u16>,
}

impl Peer {
    /// Whose addresses were looked for, or would have been.
    pub fn names(&self, times: &Timestamps) -> String {
        if times.names.is_empty() { self.via.clone() } else { times.names.join(" and ") }
    }

    /// What a proxy says that could be connected to; none if it is no proxy's word.
    fn refused_by_proxy(&self, root: &str, times: &Timestamps) -> Option<String> {
        let (proxy, port) = (self.addresses(times), self.behind_proxy?);
        let why = root.strip_prefix("tunnel error: ").or_else(|| root.strip_prefix("SOCKS error: "))?;
        Some(match why {
            "proxy authorization required" => format!("{proxy} wants other credentials: authorization required"),
            "credentials not accepted" => format!("{proxy} wants other credentials: authorization failed"),
            // What it says when it accepts none of the ways to log in that it was offered.
            "server does not support user/pass authentication" => format!("{proxy} does not let us log in so"),
            "unsuccessful" => format!("{proxy} did not connect to {}:{port}", self.host),
            why => format!("{proxy} did not connect to {}:{port}: {why}", self.host),
        })
    }

    /// Whether what is connected to is of this machine's own.
    pub fn is_loopback(&self, times: &Timestamps) -> bool {
        HostContact::is_loopback(&self.via, self.ips(times))
    }

    fn ips(&self, times: &Timestamps) -> Vec<IpAddr> {
        let literal = self.via.trim_matches(['[', ']']).parse::<IpAddr>().ok();
        // By SOCKS, what was resolved last may be the target.
        let ours = times.names.last().is_none_or(|name| *name == self.via);
        let resolved = times.addresses.iter().filter(|_| ours);
        literal.iter().chain(resolved).copied().collect()
    }

    /// The addresses that were tried, or would have been.
    pub fn addresses(&self, times: &Timestamps) -> String {
        const MOST_NAMED: usize = 3;
        let addresses = self.ips(times);
        let named: Vec<_> =
            addresses.iter().take(MOST_NAMED).map(|ip| SocketAddr::new(*ip, self.port).to_string()).collect();
        let named = match addresses.len() {
            0 => format!("{}:{}", self.via, self.port),
            more if more > MOST_NAMED => format!("{} and {} more", named.join(", "), more - MOST_NAMED),
            _ => named.join(" and "),
        };
        if self.behind_proxy.is_some() { format!("the proxy {named}") } else { named }
    }
}

/// The kind of an I/O error, which may be wrapped in others of no kind.
fn io_kind(cause: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    let error = cause.downcast_ref::<std::io::Error>()?;
    let within = error.get_ref().and_then(|within| io_kind(within));
    Some(within.unwrap_or_else(|| error.kind()))
}

/// What SOCKS makes of an error to connect gives no source; only its shape for programmers shows what it was.
fn hidden(cause: &(dyn StdError + 'static)) -> Option<ErrorKind> {
    use ErrorKind as K;
    let shape = format!("{cause:?}");
    let kinds = [K::ConnectionRefused, K::TimedOut, K::HostUnreachable, K::NetworkUnreachable, K::PermissionDenied];
    kinds.into_iter().find(|kind| shape.contains(&format!("kind: {kind:?}")))
}

/// The peer ended the connection in the middle.
fn broken_off<'a>(mut causes: impl Iterator<Item = &'a (dyn StdError + 'static)>) -> Option<String> {
    match causes.find_map(io_kind)? {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => Some("the server reset the connection".to_owned()),
        ErrorKind::UnexpectedEof => Some("the server closed the connection in the middle".to_owned()),
        _ => None,
    }
}

/// hyper's words, where they are not those of a person.
fn protocol(root: &str) -> String {
    match root {
        "connection closed before message completed" => "the server closed the connection without a whole answer",
        "invalid HTTP version parsed" => "the answer is not HTTP",
        "message head is too large" => "the answer's headers are too large",
        "channel closed" | "connection closed" => "the server closed the connection",
        // What HTTP/1.1 says reads like that.
        "connection error detected: frame with invalid size" => "the answer is in another version of HTTP",
        other => return format!("the answer is not HTTP as it should be: {other}"),
    }
    .to_owned()
}

fn rustls_error<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    match cause.downcast_ref::<std::io::Error>() {
        // An I/O error hands on the source of what it wraps, not what it wraps, and may wrap another of its kind.
        Some(error) => rustls_error(error.get_ref()?),
        None => cause.downcast_ref(),
    }
}

fn tls(error: &rustls::Error, times: &Timestamps, peer: &Peer) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(error) => certificate_error(error, times, peer),
        E::InvalidMessage(_) | E::InappropriateMessage { .. } | E::PeerMisbehaved(_) => {
            let port = peer.behind_proxy.unwrap_or(peer.port);
            format!("what listens on port {port} does not speak TLS ({error})")
        }
        E::PeerIncompatible(_) => "the server offers no TLS version or cipher that we accept".to_owned(),
        E::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("the server knows no site named `{}`", peer.host)
        }
        E::AlertReceived(AlertDescription::CertificateRequired) => {
            "the server requires a client certificate".to_owned()
        }
        E::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            "the server does not speak the version of HTTP that is asked for".to_owned()
        }
        E::AlertReceived(AlertDescription::ProtocolVersion) => {
            "the server offers no TLS version that we accept".to_owned()
        }
        // A server speaks of certificates only where it has asked for one.
        E::AlertReceived(
            alert @ (AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA),
        ) => format!("the server does not accept our certificate ({alert:?})"),
        E::AlertReceived(alert) => format!("the server refused the TLS handshake ({alert:?})"),
        other => format!("the TLS handshake failed: {other}"),
    }
}

fn certificate_error(error: &CertificateError, times: &Timestamps, peer: &Peer) -> String {
    use CertificateError as C;
    match error {
        C::ExpiredContext { time, not_after } => format!("certificate expired {} ago", span(*not_after, *time)),
        C::Expired => "certificate expired".to_owned(),
        C::NotValidYetContext { time, not_before } => {
            format!("certificate becomes valid only in {}", span(*time, *not_before))
        }
        C::NotValidYet => "certificate is not valid yet".to_owned(),
        C::Revoked => "certificate was revoked by its issuer".to_owned(),
        C::UnknownIssuer => unknown_issuer(times),
        C::NotValidForName => format!("certificate is not for `{}`", peer.host),
        // A proxy over TLS has a certificate too: the name is that of either.
        C::NotValidForNameContext { expected, presented } if presented.is_empty() => {
            format!("certificate is not for `{}`: it names no host at all", expected.to_str())
        }
        C::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| plain_name(name)).collect();
            format!("certificate is not for `{}`, but for {}", expected.to_str(), names.join(", "))
        }
        C::BadSignature => "certificate is forged or damaged: its signature does not hold".to_owned(),
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "certificate is not one for servers (extended key usage)".to_owned()
        }
        C::BadEncoding => "certificate cannot be read".to_owned(),
        C::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => unknown_issuer(times),
        other => format!("certificate does not hold: {other}"),
    }
}

fn unknown_issuer(times: &Timestamps) -> String {
    let leaf = times.chain.first().and_then(certificate::read);
    let last = times.chain.last().and_then(certificate::read);
    match (leaf, last) {
        (Some(leaf), _) if leaf.subject == leaf.issuer => {
            format!("certificate is self-signed ({}) and not itself trusted", leaf.subject)
        }
        (_, Some(last)) => format!("certificate is issued by `{}`, which is not trusted", last.issuer),
        _ => "certificate is issued by nobody who is trusted".to_owned(),
    }
}

/// `DnsName("example.org")` as rustls shows names, without the shell.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    format!("`{}`", inner.trim_matches('"'))
}

/// From one time to a later one, in its largest unit.
fn span(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// What its spans are marked with.
pub fn type_of(error: &Error) -> &'static str {
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

pub fn status_of(error: &Error) -> Status {
    match error {
        Error::Denied(_) => Status::PermissionDenied,
        Error::Timeout(_) => Status::DeadlineExceeded,
        Error::Redirect(_) => Status::FailedPrecondition,
        Error::Auth(_) => Status::Unauthenticated,
        Error::Dns(_) | Error::Connect(_) | Error::Tls(_) => Status::Unavailable,
        Error::Protocol(_) | Error::Other(_) => Status::InternalError,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[track_caller]
    fn check(error: &CertificateError, expected: &str) {
        let peer = Peer { host: "shop.example".into(), via: "shop.example".into(), port: 443, behind_proxy: None };
        assert_eq!(certificate_error(error, &Timestamps::default(), &peer), expected);
    }

    #[test]
    fn certificates_in_words() {
        let expired =
            |ago: u64| CertificateError::ExpiredContext { time: at(1_000_000), not_after: at(1_000_000 - ago) };
        check(&expired(3 * 86_400 + 7), "certificate expired 3 days ago");
        check(&expired(86_400), "certificate expired 1 day ago");
        check(&expired(7200), "certificate expired 2 hours ago");
        check(&expired(1), "certificate expired 1 second ago");
        let early = CertificateError::NotValidYetContext { time: at(0), not_before: at(600) };
        check(&early, "certificate becomes valid only in 10 minutes");
        let named = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: "shop.example".try_into().expect("a name"),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        check(
            &named(&["DnsName(\"a.example\")", "IpAddress(127.0.0.1)"]),
            "certificate is not for `shop.example`, but for `a.example`, `127.0.0.1`",
        );
        check(&named(&[]), "certificate is not for `shop.example`: it names no host at all");
        check(&CertificateError::UnknownIssuer, "certificate is issued by nobody who is trusted");
    }

    #[test]
    fn addresses_that_were_tried() {
        let tried = |host: &str, addresses: &[&str]| {
            let addresses = addresses.iter().map(|address| address.parse().expect("an address")).collect();
            let peer = Peer { host: host.to_owned(), via: host.to_owned(), port: 80, behind_proxy: None };
            peer.addresses(&Timestamps { addresses, ..Timestamps::default() })
        };
        assert_eq!(tried("h", &["192.0.2.1", "2001:db8::1"]), "192.0.2.1:80 and [2001:db8::1]:80");
        assert_eq!(
            tried("h", &["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"]),
            "192.0.2.1:80, 192.0.2.2:80, 192.0.2.3:80 and 2 more"
        );
        assert_eq!(tried("[::1]", &[]), "[::1]:80");
        assert_eq!(tried("h", &[]), "h:80");
    }
}
