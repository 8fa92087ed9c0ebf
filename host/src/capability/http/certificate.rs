//! What a certificate says.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::*;

use crate::capability::bindings::sentrynet::probe::http::Certificate;

/// Reads a certificate; none where it is not one.
pub fn read(der: &CertificateDer<'_>) -> Option<Certificate> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    Some(Certificate {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        not_before: validity.not_before.timestamp(),
        not_after: validity.not_after.timestamp(),
    })
}
