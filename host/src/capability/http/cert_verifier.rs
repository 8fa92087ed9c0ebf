//! Who judges a server's certificates, and what the server showed.

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

/// Has certificates judged, and notes what the server showed, so that a failed handshake can be explained.
#[derive(Debug)]
pub struct RecordingVerifier {
    pub provider: Arc<CryptoProvider>,
    pub verdict: Verification,
}

#[derive(Debug)]
pub enum Verification {
    /// By authorities.
    By {
        verifier: Arc<WebPkiServerVerifier>,
        /// The same, to know a server's certificate that is its own authority.
        trusted: HashSet<CertificateDer<'static>>,
    },
    AlwaysGood,
    /// There are no authorities.
    AlwaysBad,
}

impl Verification {
    pub fn by(trusted: Vec<CertificateDer<'static>>, provider: &CryptoProvider) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        // The builder refuses an empty store.
        match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), with_signature_cache(provider)).build() {
            Ok(verifier) => Self::By { verifier, trusted: trusted.into_iter().collect() },
            Err(_) => Self::AlwaysBad,
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
        HopTimings::record(|times| {
            times.chain = std::iter::once(leaf).chain(intermediates).map(|each| each.clone().into_owned()).collect();
        });
        match &self.verdict {
            Verification::By { verifier, trusted } => {
                let verdict = verifier.verify_server_cert(leaf, intermediates, name, ocsp, now);
                // webpki takes no certificate for an authority's and a server's at once.
                if verdict.is_err() && trusted.contains(leaf) { trusted_itself(leaf, name, now) } else { verdict }
            }
            Verification::AlwaysGood => Ok(ServerCertVerified::assertion()),
            Verification::AlwaysBad => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        HopTimings::record(|times| times.tls_version = Some("1.2"));
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        HopTimings::record(|times| times.tls_version = Some("1.3"));
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The server's certificate is one of the trusted: what is left to see is that it is the right one, and in time.
fn trusted_itself(
    leaf: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<ServerCertVerified, rustls::Error> {
    let read = certificate::read(leaf).ok_or(CertificateError::BadEncoding)?;
    let at = |seconds: i64| UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    let (not_before, not_after) = (at(read.not_before), at(read.not_after));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before }.into());
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after }.into());
    }
    verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
    Ok(ServerCertVerified::assertion())
}
