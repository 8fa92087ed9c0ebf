//! Messages for certificates of servers that are not valid.

use rustls::CertificateError;
use rustls::pki_types::UnixTime;

use crate::capability::bindings::sentrynet::probe::http::Certificate;
use crate::capability::http::peer::Peer;
use crate::capability::http::timing_hooks::Timestamps;
use crate::capability::http::{certificate, certificate_weakness};
use crate::plain_error::variant_words;

/// Returns a message for a person about a server's certificate that is not valid.
pub fn message(error: &CertificateError, timestamps: &Timestamps, peer: &Peer) -> String {
    use CertificateError as C;
    match error {
        C::ExpiredContext { time, not_after } => {
            let ago = duration(*not_after, *time);
            format!("certificate expired {ago} ago{}", whose(timestamps, |valid| valid.not_after, *not_after))
        }
        C::Expired => "certificate expired".to_owned(),
        C::NotValidYetContext { time, not_before } => {
            let wait = duration(*time, *not_before);
            let whose = whose(timestamps, |valid| valid.not_before, *not_before);
            format!("certificate becomes valid only in {wait}{whose}")
        }
        C::NotValidYet => "certificate is not valid yet".to_owned(),
        C::Revoked => "certificate was revoked by its issuer".to_owned(),
        C::UnhandledCriticalExtension => UNSUPPORTED_EXTENSION.to_owned(),
        C::UnknownIssuer => unknown_issuer(timestamps),
        C::UnknownRevocationStatus | C::ExpiredRevocationList | C::ExpiredRevocationListContext { .. } => {
            "it is not known whether the certificate was revoked".to_owned()
        }
        C::NotValidForName => format!("certificate is not for `{}`", peer.host),
        // The expected name may be that of an https proxy, which has a certificate too.
        C::NotValidForNameContext { expected, presented } if presented.is_empty() => {
            format!("certificate is not for `{}`: it names no host at all", expected.to_str())
        }
        C::NotValidForNameContext { expected, presented } => {
            let names: Vec<_> = presented.iter().map(|name| plain_name(name)).collect();
            format!("certificate is not for `{}`, but for {}", expected.to_str(), names.join(", "))
        }
        C::BadSignature => weakness(timestamps)
            .unwrap_or_else(|| "certificate is forged or damaged: its signature is not valid".to_owned()),
        C::UnsupportedSignatureAlgorithmContext { .. } | C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            weakness(timestamps).unwrap_or_else(|| "certificate has a signature of an unsupported kind".to_owned())
        }
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => {
            "certificate is not one for servers (extended key usage)".to_owned()
        }
        C::BadEncoding => UNREADABLE.to_owned(),
        C::InvalidOcspResponse => "the server's proof that its certificate is not revoked is not valid".to_owned(),
        C::ApplicationVerificationFailure => "certificate is not accepted".to_owned(),
        C::Other(other) => match other.0.downcast_ref() {
            Some(error) => webpki_message(error, timestamps, peer),
            None => "certificate is not valid".to_owned(),
        },
        other => format!("certificate is not valid: {}", variant_words(other)),
    }
}

const UNREADABLE: &str = "certificate cannot be read";
const UNSUPPORTED_EXTENSION: &str = "certificate has a critical extension that is not supported";

/// Returns the message for a reason that rustls does not name itself.
fn webpki_message(error: &webpki::Error, timestamps: &Timestamps, peer: &Peer) -> String {
    use webpki::Error as E;
    let text = match error {
        E::CaUsedAsEndEntity => return unknown_issuer(timestamps),
        E::UnsupportedCertVersion => {
            return weakness(timestamps).unwrap_or_else(|| "certificate is not of version 3".to_owned());
        }
        E::CertNotValidForName(_) => return format!("certificate is not for `{}`", peer.host),
        E::CertDistrusted => "certificate has a key that nobody should trust any more",
        E::EndEntityUsedAsCa => "certificate is issued by the owner of a certificate that is no authority's",
        E::PathLenConstraintViolated => "certificate chain is longer than one of its authorities allows",
        E::NameConstraintViolation => "certificate is for a name for which its authority may issue none",
        E::InvalidCertValidity => "certificate ends before it begins",
        E::EmptyEkuExtension => "certificate is for no purpose at all (empty extended key usage)",
        E::UnsupportedCriticalExtension => UNSUPPORTED_EXTENSION,
        E::InvalidSerialNumber => "certificate has a serial number that is not valid",
        E::SignatureAlgorithmMismatch => "certificate names two different algorithms for its signature",
        E::MalformedDnsIdentifier => "certificate has a name that is not valid",
        E::MalformedNameConstraint | E::InvalidNetworkMaskConstraint => {
            "certificate chain has a constraint on names that is not valid"
        }
        E::BadDer | E::BadDerTime | E::ExtensionValueInvalid | E::MalformedExtensions | E::TrailingData(_) => {
            UNREADABLE
        }
        E::MaximumNameConstraintComparisonsExceeded
        | E::MaximumPathBuildCallsExceeded
        | E::MaximumPathDepthExceeded
        | E::MaximumSignatureChecksExceeded => "certificate chain is too complex to be verified",
        other => return format!("certificate is not valid: {}", variant_words(other)),
    };
    text.to_owned()
}

fn weakness(timestamps: &Timestamps) -> Option<String> {
    certificate_weakness::find(&timestamps.cert_chain, timestamps.issuing_authority.as_ref())
}

/// Returns, as the end of a sentence, which of the server's certificates it is about: the one of whose validity one
/// end, by `end`, is at `time`.
fn whose(timestamps: &Timestamps, end: impl Fn(&Certificate) -> i64, time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    let parsed = timestamps.cert_chain.iter().map(certificate::parse).enumerate();
    let mut matching =
        parsed.filter_map(|(index, parsed)| Some((index, parsed.filter(|parsed| end(parsed) == seconds)?)));
    match matching.next() {
        Some((0, leaf)) => format!(": `{}`, the server's own", leaf.subject),
        Some((_, other)) => format!(": `{}`, an intermediate certificate that the server sends", other.subject),
        None => String::new(),
    }
}

fn unknown_issuer(timestamps: &Timestamps) -> String {
    let chain = certificate::chain_by_names(&timestamps.cert_chain);
    let parsed = |index: Option<&usize>| index.and_then(|index| certificate::parse(&timestamps.cert_chain[*index]));
    match (parsed(chain.first()), parsed(chain.last())) {
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
        assert_eq!(message(error, &Timestamps::default(), &peer), expected);
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
