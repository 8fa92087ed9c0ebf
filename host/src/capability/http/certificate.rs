//! Parsing of X.509 certificates.

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
    fn days_are_rounded_down() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100 * 86_400);
        assert_eq!(days_left(101 * 86_400 + 1, now), 1);
        assert_eq!(days_left(100 * 86_400, now), 0);
        assert_eq!(days_left(100 * 86_400 - 1, now), -1);
    }
}
