//! Messages for failures of TLS handshakes and certificates.

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError};

use crate::capability::http::certificate;
use crate::capability::http::peer::Peer;
use crate::capability::http::timing_hooks::Timestamps;

/// Returns a message for a person about an error of rustls.
pub fn message(error: &rustls::Error, timestamps: &Timestamps, peer: &Peer) -> String {
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(error) => certificate_message(error, timestamps, peer),
        E::InvalidMessage(_) | E::InappropriateMessage { .. } | E::PeerMisbehaved(_) => {
            let port = peer.port_behind_proxy.unwrap_or(peer.connect_port);
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
        // A server sends these alerts only if it has requested a client certificate.
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

fn certificate_message(error: &CertificateError, timestamps: &Timestamps, peer: &Peer) -> String {
    use CertificateError as C;
    match error {
        C::ExpiredContext { time, not_after } => format!("certificate expired {} ago", duration(*not_after, *time)),
        C::Expired => "certificate expired".to_owned(),
        C::NotValidYetContext { time, not_before } => {
            format!("certificate becomes valid only in {}", duration(*time, *not_before))
        }
        C::NotValidYet => "certificate is not valid yet".to_owned(),
        C::Revoked => "certificate was revoked by its issuer".to_owned(),
        C::UnknownIssuer => unknown_issuer(timestamps),
        C::NotValidForName => format!("certificate is not for `{}`", peer.host),
        // The expected name may be that of an https proxy, which has a certificate too.
        C::NotValidForNameContext { expected, presented } if presented.is_empty() => {
            format!("certificate is not for `{}`: it names no host at all", expected.to_str())
        }
        C::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| plain_name(name)).collect();
            format!("certificate is not for `{}`, but for {}", expected.to_str(), names.join(", "))
        }
        C::BadSignature => "certificate is forged or damaged: its signature is not valid".to_owned(),
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "certificate is not one for servers (extended key usage)".to_owned()
        }
        C::BadEncoding => "certificate cannot be read".to_owned(),
        C::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => unknown_issuer(timestamps),
        other => format!("certificate is not valid: {other}"),
    }
}

fn unknown_issuer(timestamps: &Timestamps) -> String {
    let leaf = timestamps.cert_chain.first().and_then(certificate::parse);
    let last = timestamps.cert_chain.last().and_then(certificate::parse);
    match (leaf, last) {
        (Some(leaf), _) if leaf.subject == leaf.issuer => {
            format!("certificate is self-signed ({}) and not itself trusted", leaf.subject)
        }
        (_, Some(last)) => format!("certificate is issued by `{}`, which is not trusted", last.issuer),
        _ => "certificate is issued by an authority that is not trusted".to_owned(),
    }
}

/// Returns the host in rustls' `Debug` output of a name, such as `DnsName("example.org")`, in backticks.
fn plain_name(name: &str) -> String {
    let inner = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')')).unwrap_or(name);
    format!("`{}`", inner.trim_matches('"'))
}

/// Returns the time from `from` to `to` as a number of days, hours, minutes or seconds, such as `3 days`. The unit is
/// the largest that is not longer than the time, and the number is rounded down.
fn duration(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
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
        let host = "shop.example".to_owned();
        let peer = Peer { connect_host: host.clone(), host, connect_port: 443, port_behind_proxy: None };
        assert_eq!(certificate_message(error, &Timestamps::default(), &peer), expected);
    }

    #[test]
    fn a_message_says_what_is_wrong_with_a_certificate() {
        let expired =
            |ago: u64| CertificateError::ExpiredContext { time: at(1_000_000), not_after: at(1_000_000 - ago) };
        check(&expired(3 * 86_400 + 7), "certificate expired 3 days ago");
        check(&expired(86_400), "certificate expired 1 day ago");
        check(&expired(7200), "certificate expired 2 hours ago");
        check(&expired(1), "certificate expired 1 second ago");
        let early = CertificateError::NotValidYetContext { time: at(0), not_before: at(600) };
        check(&early, "certificate becomes valid only in 10 minutes");
        let wrong_name = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: "shop.example".try_into().expect("the test's host name is valid"),
            presented: presented.iter().map(|name| (*name).to_owned()).collect(),
        };
        check(
            &wrong_name(&["DnsName(\"a.example\")", "IpAddress(127.0.0.1)"]),
            "certificate is not for `shop.example`, but for `a.example`, `127.0.0.1`",
        );
        check(&wrong_name(&[]), "certificate is not for `shop.example`: it names no host at all");
        check(&CertificateError::UnknownIssuer, "certificate is issued by an authority that is not trusted");
    }
}
