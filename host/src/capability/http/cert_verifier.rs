//! Verification of servers' certificates, which also records them for the trace and for checks.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};

use crate::capability::http::certificate;
use crate::capability::http::signature_cache::with_signature_cache;
use crate::capability::http::timing_hooks::HopTimings;
use crate::capability::http::unverified_tls;

/// A verifier that records the server's certificates, the chain by which its own was verified and the TLS version of
/// the current hop, so that the trace and checks have them and a failed handshake can be explained.
#[derive(Debug)]
pub struct RecordingVerifier {
    pub provider: Arc<CryptoProvider>,
    pub verification: Verification,
}

/// A rule for servers' certificates.
#[derive(Debug)]
pub enum Verification {
    /// A certificate must be issued by one of the authorities, or be an authority's own certificate.
    Authorities(Box<Authorities>),
    /// Every certificate is accepted, whatever its version and its key.
    AcceptAll,
}

/// The authorities that may issue certificates. If there are none, every certificate is rejected.
#[derive(Debug)]
pub struct Authorities {
    roots: RootCertStore,
    /// The certificates of the authorities, to recognise a server that uses or sends one of them.
    trusted: HashSet<CertificateDer<'static>>,
    /// Algorithms for the signatures of certificates.
    provider: Arc<CryptoProvider>,
}

impl Verification {
    /// Returns the rule that trusts these authorities. Those that cannot be parsed are left out.
    pub fn by_authorities(trusted: Vec<CertificateDer<'static>>, provider: &CryptoProvider) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(trusted.iter().cloned());
        let (trusted, provider) = (trusted.into_iter().collect(), with_signature_cache(provider));
        Self::Authorities(Box::new(Authorities { roots, trusted, provider }))
    }
}

impl Authorities {
    /// Verifies a server's certificate: that a chain of signatures leads from an authority to it, that each certificate
    /// of this chain is valid at `now` and may be used for it, and that it is for the name. Revocation is not checked.
    ///
    /// Returns the chain as indices into the certificates that the server sent, of which the leaf is the first. The
    /// authority's own certificate is part of it if the server sent it.
    ///
    /// # Errors
    /// The reasons of webpki.
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Vec<usize>, webpki::Error> {
        let parsed = EndEntityCert::try_from(leaf)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        let usage = KeyUsage::server_auth();
        let verified = parsed.verify_for_usage(algorithms, &self.roots.roots, intermediates, now, usage, None, None);
        let chain = match &verified {
            Ok(path) => {
                let used = path.intermediate_certificates().map(webpki::Cert::der);
                let used = used.filter_map(|der| intermediates.iter().position(|sent| *sent == der));
                let is_anchor = |sent: &CertificateDer<'_>| {
                    self.trusted.contains(sent)
                        && webpki::anchor_from_trusted_cert(sent).is_ok_and(|anchor| anchor == *path.anchor())
                };
                let anchor = intermediates.iter().position(is_anchor);
                std::iter::once(0).chain(used.chain(anchor).map(|index| index + 1)).collect()
            }
            // webpki rejects a server that uses an authority's certificate as its own.
            Err(_) if self.trusted.contains(leaf) => {
                check_validity(leaf, now)?;
                vec![0]
            }
            Err(error) => return Err(error.clone()),
        };
        parsed.verify_is_valid_for_subject_name(name)?;
        Ok(chain)
    }

    /// Returns the certificate of the authority that issued a certificate, going by its name.
    fn issuer_of(&self, der: &CertificateDer<'_>) -> Option<CertificateDer<'static>> {
        self.trusted.iter().find(|trusted| certificate::is_issuer(trusted, der)).cloned()
    }
}

impl ServerCertVerifier for RecordingVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let sent: Vec<_> = std::iter::once(leaf).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        let (verified, authority) = match &self.verification {
            Verification::Authorities(authorities) => {
                let verified = authorities.verify(leaf, intermediates, name, now);
                let last = certificate::chain_by_names(&sent).last().copied().unwrap_or_default();
                let authority = if verified.is_err() { authorities.issuer_of(&sent[last]) } else { None };
                (verified, authority)
            }
            Verification::AcceptAll => (Ok(certificate::chain_by_names(&sent)), None),
        };
        let result = verified.as_ref().map(|_| ServerCertVerified::assertion()).map_err(to_rustls);
        HopTimings::record(|timestamps| {
            timestamps.cert_chain = sent;
            timestamps.cert_path = verified.unwrap_or_default();
            timestamps.issuing_authority = authority;
        });
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        HopTimings::record(|timestamps| timestamps.tls_version = Some("1.2"));
        let algorithms = &self.provider.signature_verification_algorithms;
        if matches!(self.verification, Verification::AcceptAll) {
            return unverified_tls::check_signature(message, certificate, signature, algorithms);
        }
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
        if matches!(self.verification, Verification::AcceptAll) {
            return unverified_tls::check_signature(message, certificate, signature, algorithms);
        }
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let mut schemes = self.provider.signature_verification_algorithms.supported_schemes();
        if matches!(self.verification, Verification::AcceptAll) {
            schemes.extend(unverified_tls::MORE_SCHEMES);
        }
        schemes
    }
}

/// Checks the validity period of a certificate of an authority that a server uses as its own.
///
/// # Errors
/// [`webpki::Error`] if the certificate cannot be parsed, or is not valid at `now`.
fn check_validity(der: &CertificateDer<'_>, now: UnixTime) -> Result<(), webpki::Error> {
    let parsed = certificate::parse(der).ok_or(webpki::Error::BadDer)?;
    let time = |seconds: i64| UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
    let (not_before, not_after) = (time(parsed.not_before), time(parsed.not_after));
    if now < not_before {
        return Err(webpki::Error::CertNotValidYet { time: now, not_before });
    }
    if now > not_after {
        return Err(webpki::Error::CertExpired { time: now, not_after });
    }
    Ok(())
}

/// Converts an error of webpki as rustls' own verifier does. The alert that the server gets depends on it.
fn to_rustls(error: &webpki::Error) -> rustls::Error {
    use CertificateError as C;
    use webpki::Error as E;
    rustls::Error::InvalidCertificate(match error.clone() {
        E::BadDer | E::BadDerTime | E::TrailingData(_) => C::BadEncoding,
        E::CertNotValidYet { time, not_before } => C::NotValidYetContext { time, not_before },
        E::CertExpired { time, not_after } => C::ExpiredContext { time, not_after },
        E::UnknownIssuer => C::UnknownIssuer,
        E::CertNotValidForName(context) => {
            C::NotValidForNameContext { expected: context.expected, presented: context.presented }
        }
        E::InvalidSignatureForPublicKey => C::BadSignature,
        E::UnsupportedSignatureAlgorithmContext(context) => C::UnsupportedSignatureAlgorithmContext {
            signature_algorithm_id: context.signature_algorithm_id,
            supported_algorithms: context.supported_algorithms,
        },
        E::UnsupportedSignatureAlgorithmForPublicKeyContext(context) => {
            C::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: context.signature_algorithm_id,
                public_key_algorithm_id: context.public_key_algorithm_id,
            }
        }
        E::RequiredEkuNotFoundContext(_) => C::InvalidPurpose,
        other => C::Other(OtherError(Arc::new(other))),
    })
}
