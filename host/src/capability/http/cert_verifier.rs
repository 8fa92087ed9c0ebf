//! Verification of servers' certificates, which also records them for the trace.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::capability::http::certificate;
use crate::capability::http::signature_cache::with_signature_cache;
use crate::capability::http::timing_hooks::HopTimings;

/// A verifier that records the server's certificates and the TLS version of the current hop, so that the trace has them
/// and a failed handshake can be explained.
#[derive(Debug)]
pub struct RecordingVerifier {
    pub provider: Arc<CryptoProvider>,
    pub verification: Verification,
}

/// A rule for servers' certificates.
#[derive(Debug)]
pub enum Verification {
    /// A certificate must be issued by one of the authorities, or be an authority's own certificate.
    Authorities {
        verifier: Arc<WebPkiServerVerifier>,
        /// The certificates of the authorities, to recognise a server that uses one of them as its own.
        trusted: HashSet<CertificateDer<'static>>,
    },
    /// Every certificate is accepted.
    AcceptAll,
    /// Every certificate is rejected, because there are no authorities.
    RejectAll,
}

impl Verification {
    /// Returns the rule that trusts these authorities. Those that cannot be parsed are left out.
    pub fn by_authorities(trusted: Vec<CertificateDer<'static>>, provider: &CryptoProvider) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        // The builder fails if there are no authorities.
        match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), with_signature_cache(provider)).build() {
            Ok(verifier) => Self::Authorities { verifier, trusted: trusted.into_iter().collect() },
            Err(_) => Self::RejectAll,
        }
    }
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        HopTimings::record(|timestamps| {
            timestamps.cert_chain =
                std::iter::once(leaf).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        });
        match &self.verification {
            Verification::Authorities { verifier, trusted } => {
                let result = verifier.verify_server_cert(leaf, intermediates, name, ocsp, now);
                // webpki rejects a server that uses an authority's certificate as its own.
                if result.is_err() && trusted.contains(leaf) { verify_trusted_leaf(leaf, name, now) } else { result }
            }
            Verification::AcceptAll => Ok(ServerCertVerified::assertion()),
            Verification::RejectAll => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        HopTimings::record(|timestamps| timestamps.tls_version = Some("1.2"));
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        HopTimings::record(|timestamps| timestamps.tls_version = Some("1.3"));
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Verifies the name and the validity period of a server's certificate that is the certificate of a trusted authority.
///
/// # Errors
/// [`CertificateError`] if the certificate cannot be parsed, is not valid at `now`, or is not for `name`.
fn verify_trusted_leaf(
    leaf: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, rustls::Error> {
    let parsed = certificate::parse(leaf).ok_or(CertificateError::BadEncoding)?;
    let time = |seconds: i64| UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    let (not_before, not_after) = (time(parsed.not_before), time(parsed.not_after));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
    Ok(ServerCertVerified::assertion())
}
