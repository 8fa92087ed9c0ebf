//! Servers whose certificates are not verified: `verify_tls: false` accepts certificates of every version, with every
//! kind of key.

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use webpki::RawPublicKeyEntity;

use crate::capability::http::certificate_weakness::supported_public_key;

/// Signature schemes that are offered without verification, in addition to those that can be checked. A server with
/// such a key would otherwise refuse the handshake.
pub const MORE_SCHEMES: [SignatureScheme; 4] = [
    SignatureScheme::ECDSA_NISTP521_SHA512,
    SignatureScheme::ED448,
    SignatureScheme::ECDSA_SHA1_Legacy,
    SignatureScheme::RSA_PKCS1_SHA1,
];

/// Checks the server's signature of a handshake with the key in its certificate, as far as the algorithms allow. If the
/// certificate cannot be parsed, or if the algorithms do not support its key or the scheme, the signature is accepted
/// without a check. There is no protection either way: nobody has vouched for the key.
///
/// # Errors
/// [`CertificateError::BadSignature`] if the signature is not that of the key.
pub fn check_signature(
    message: &[u8],
    der: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let accepted = Ok(HandshakeSignatureValid::assertion());
    let Some(key) = supported_public_key(der) else { return accepted };
    let key = SubjectPublicKeyInfoDer::from(key);
    let Ok(key) = RawPublicKeyEntity::try_from(&key) else { return accepted };
    let candidates = algorithms.mapping.iter().filter(|(scheme, _)| *scheme == signature.scheme);
    for algorithm in candidates.flat_map(|(_, algorithms)| *algorithms) {
        match key.verify_signature(*algorithm, message, signature.signature()) {
            Ok(()) => return accepted,
            Err(webpki::Error::InvalidSignatureForPublicKey) => return Err(CertificateError::BadSignature.into()),
            Err(_) => {}
        }
    }
    accepted
}
