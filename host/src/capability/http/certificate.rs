//! Parsing of X.509 certificates, and chains of them.

use std::net::IpAddr;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::*;

use crate::capability::bindings::sentrynet::probe::http::Certificate;
use crate::run::evidence;
use crate::time_format;

/// Returns the subject, the issuer and the validity period of a certificate, or `None` if it cannot be parsed.
pub fn parse(der: &CertificateDer<'_>) -> Option<Certificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some(Certificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}

/// Returns true if the subject of a certificate is the issuer of another.
pub fn is_issuer(authority: &CertificateDer<'_>, leaf: &CertificateDer<'_>) -> bool {
    let parsed = X509Certificate::from_der(authority).ok().zip(X509Certificate::from_der(leaf).ok());
    parsed.is_some_and(|((_, authority), (_, leaf))| authority.subject().as_raw() == leaf.issuer().as_raw())
}

/// Returns the chain that leads from a server's own certificate, the first of those that it sent, to an issuer that it
/// did not send or that issued itself, going by names alone. Of several certificates with the name of an issuer, it has
/// the one that is valid longest. The chain consists of indices, and has at most ten.
pub fn chain_by_names(sent: &[CertificateDer<'_>]) -> Vec<usize> {
    /// Longer chains are rejected wherever certificates are verified.
    const MAX_CHAIN: usize = 10;
    let parsed: Vec<_> = sent.iter().map(|der| X509Certificate::from_der(der).ok().map(|(_, parsed)| parsed)).collect();
    let mut chain = if sent.is_empty() { Vec::new() } else { vec![0] };
    while let Some(Some(last)) = chain.last().and_then(|last| parsed.get(*last)).filter(|_| chain.len() < MAX_CHAIN) {
        let issuers = parsed.iter().enumerate().filter_map(|(index, issuer)| Some((index, issuer.as_ref()?)));
        let issuers = issuers
            .filter(|(index, issuer)| !chain.contains(index) && issuer.subject().as_raw() == last.issuer().as_raw());
        let is_own_issuer = last.subject().as_raw() == last.issuer().as_raw();
        let next = issuers.max_by_key(|(_, issuer)| issuer.validity().not_after.timestamp());
        match next.filter(|_| !is_own_issuer) {
            Some((index, _)) => chain.push(index),
            None => break,
        }
    }
    chain
}

/// Returns the ends of the validity of a chain's certificates, in seconds since the Unix epoch: first that of the
/// server's own certificate. A certificate that cannot be parsed counts as ended in 1970, so that no check passes
/// because of it.
pub fn validity_ends(sent: &[CertificateDer<'_>], chain: &[usize]) -> Vec<i64> {
    let ends = chain.iter().filter_map(|index| sent.get(*index));
    ends.map(|der| parse(der).map_or(0, |parsed| parsed.not_after)).collect()
}

/// Returns the ends of validity of the chains of two hops together: first the earlier end of the two servers' own
/// certificates, then the other ends, each once.
pub fn merge_validity_ends(one: &[i64], other: &[i64]) -> Vec<i64> {
    let Some(first) = one.first().into_iter().chain(other.first()).min().copied() else { return Vec::new() };
    let mut merged = vec![first];
    for end in one.iter().chain(other) {
        if !merged.contains(end) {
            merged.push(*end);
        }
    }
    merged
}

/// Returns a certificate in the form of evidence, with the hosts that it names, or `None` if it cannot be parsed.
pub fn to_evidence(der: &CertificateDer<'_>, now: SystemTime) -> Option<evidence::Certificate> {
    let Certificate { subject, issuer, not_before, not_after } = parse(der)?;
    Some(evidence::Certificate {
        subject,
        issuer,
        names: names(der),
        not_before: time_format::rfc3339_seconds(not_before),
        not_after: time_format::rfc3339_seconds(not_after),
        days_left: days_left(not_after, now),
    })
}

/// Returns the DNS names and IP addresses that a certificate is for, at most 20.
fn names(der: &CertificateDer<'_>) -> Vec<String> {
    /// The maximum number of names in evidence, since some certificates have a thousand.
    const MAX_NAMES: usize = 20;
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let Ok(Some(names)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
            _ => <[u8; 16]>::try_from(*bytes).ok().map(|bytes| IpAddr::from(bytes).to_string()),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(name).take(MAX_NAMES).collect()
}

/// Returns the number of days from `now` to `not_after`, which is in seconds since the Unix epoch. The number is
/// rounded down: it is -1 on the first day after `not_after`.
pub fn days_left(not_after: i64, now: SystemTime) -> i64 {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    (not_after - i64::try_from(now).unwrap_or(i64::MAX)).div_euclid(86_400)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_ends_of_two_chains_are_merged() {
        assert_eq!(merge_validity_ends(&[], &[]), [] as [i64; 0]);
        assert_eq!(merge_validity_ends(&[5, 9], &[]), [5, 9]);
        assert_eq!(merge_validity_ends(&[], &[5, 9]), [5, 9]);
        assert_eq!(merge_validity_ends(&[7, 9], &[5, 9, 2]), [5, 7, 9, 2]);
    }

    #[test]
    fn days_are_rounded_down() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100 * 86_400);
        assert_eq!(days_left(101 * 86_400 + 1, now), 1);
        assert_eq!(days_left(100 * 86_400, now), 0);
        assert_eq!(days_left(100 * 86_400 - 1, now), -1);
    }
}
