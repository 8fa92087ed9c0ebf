//! Certificates that cannot be verified because of their version, their key or the algorithm of their signature. webpki
//! reports most of them as invalid signatures.

use rustls::pki_types::CertificateDer;
use x509_parser::prelude::*;
use x509_parser::public_key::PublicKey;

use crate::capability::http::certificate::chain_by_names;

/// The bounds of the length of an RSA key, in bits.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

const RSA: &str = "1.2.840.113549.1.1.1";
const ELLIPTIC_CURVE: &str = "1.2.840.10045.2.1";
const ED25519: &str = "1.3.101.112";

/// Algorithms of keys and of signatures, with their names.
const ALGORITHMS: [(&str, &str); 25] = [
    ("1.2.840.113549.1.1.2", "MD2 with RSA"),
    ("1.2.840.113549.1.1.4", "MD5 with RSA"),
    ("1.2.840.113549.1.1.5", "SHA-1 with RSA"),
    ("1.3.14.3.2.29", "SHA-1 with RSA"),
    ("1.2.840.113549.1.1.14", "SHA-224 with RSA"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.2.840.113549.1.1.11", "SHA-256 with RSA"),
    ("1.2.840.113549.1.1.12", "SHA-384 with RSA"),
    ("1.2.840.113549.1.1.13", "SHA-512 with RSA"),
    ("1.2.840.10045.4.1", "ECDSA with SHA-1"),
    ("1.2.840.10045.4.3.1", "ECDSA with SHA-224"),
    ("1.2.840.10045.4.3.2", "ECDSA with SHA-256"),
    ("1.2.840.10045.4.3.3", "ECDSA with SHA-384"),
    ("1.2.840.10045.4.3.4", "ECDSA with SHA-512"),
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.10040.4.3", "DSA with SHA-1"),
    ("2.16.840.1.101.3.4.3.2", "DSA with SHA-256"),
    (ED25519, "Ed25519"),
    ("1.3.101.113", "Ed448"),
    ("1.2.840.10045.3.1.7", "P-256"),
    ("1.3.132.0.34", "P-384"),
    ("1.3.132.0.35", "P-521"),
    ("1.3.132.0.10", "secp256k1"),
    ("1.3.36.3.3.2.8.1.1.7", "brainpoolP256r1"),
    ("1.3.36.3.3.2.8.1.1.11", "brainpoolP384r1"),
];

/// The algorithms of signatures of certificates that are verified.
const VERIFIED_SIGNATURES: [&str; 7] = [
    "SHA-256 with RSA",
    "SHA-384 with RSA",
    "SHA-512 with RSA",
    "RSASSA-PSS",
    "ECDSA with SHA-256",
    "ECDSA with SHA-384",
    "Ed25519",
];

/// Returns the reason why the chain from a server's own certificate to an authority cannot be verified, if its
/// versions, keys or algorithms are one. `authority` is the trusted certificate of the authority, if it is known: its
/// version and its own signature do not matter.
pub fn find(sent: &[CertificateDer<'_>], authority: Option<&CertificateDer<'_>>) -> Option<String> {
    let chain: Vec<_> = chain_by_names(sent).into_iter().filter_map(|index| parse(&sent[index])).collect();
    let in_chain = chain.iter().find_map(|certificate| {
        version_problem(certificate).or_else(|| key_problem(certificate)).or_else(|| signature_problem(certificate))
    });
    in_chain.or_else(|| key_problem(&parse(authority?)?))
}

/// Returns the public key of a certificate as DER, if it can be parsed and is of a kind whose signatures can be
/// verified.
pub fn supported_public_key<'a>(der: &'a CertificateDer<'_>) -> Option<&'a [u8]> {
    let certificate = parse(der)?;
    key_problem(&certificate).is_none().then_some(certificate.tbs_certificate.subject_pki.raw)
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Option<X509Certificate<'a>> {
    X509Certificate::from_der(der).ok().map(|(_, certificate)| certificate)
}

fn version_problem(certificate: &X509Certificate<'_>) -> Option<String> {
    let number = certificate.version().0.saturating_add(1);
    (number != 3)
        .then(|| format!("certificate of version {number}: `{}` has to be of version 3", certificate.subject()))
}

fn key_problem(certificate: &X509Certificate<'_>) -> Option<String> {
    let (subject, key) = (certificate.subject(), certificate.public_key());
    let algorithm = key.algorithm.algorithm.to_id_string();
    match algorithm.as_str() {
        RSA => {
            let Ok(PublicKey::RSA(rsa)) = key.parsed() else {
                return Some(format!("key of the certificate `{subject}` cannot be read"));
            };
            let bits = bit_length(rsa.modulus);
            if RSA_BITS.contains(&bits) {
                return None;
            }
            let (wrong, bound) = if bits < *RSA_BITS.start() {
                ("short", format!("at least {}", RSA_BITS.start()))
            } else {
                ("long", format!("at most {}", RSA_BITS.end()))
            };
            Some(format!("key too {wrong}: RSA {bits} in the certificate `{subject}`, expected {bound} bits"))
        }
        ELLIPTIC_CURVE => {
            let curve = key.algorithm.parameters.as_ref().and_then(|curve| curve.as_oid().ok());
            let curve = curve.map_or_else(|| "without a name".to_owned(), |curve| name(&curve.to_id_string()));
            let is_supported = ["P-256", "P-384"].contains(&curve.as_str());
            (!is_supported).then(|| {
                format!("key of an unsupported curve: {curve} in the certificate `{subject}`, expected P-256 or P-384")
            })
        }
        ED25519 => None,
        other => Some(format!(
            "key of an unsupported kind: {} in the certificate `{subject}`, expected RSA, ECDSA or Ed25519",
            name(other)
        )),
    }
}

fn signature_problem(certificate: &X509Certificate<'_>) -> Option<String> {
    // An authority's signature on its own certificate is not verified.
    if certificate.subject().as_raw() == certificate.issuer().as_raw() {
        return None;
    }
    let algorithm = name(&certificate.signature_algorithm.algorithm.to_id_string());
    let is_verified = VERIFIED_SIGNATURES.contains(&algorithm.as_str());
    (!is_verified).then(|| {
        format!("signature of an unsupported kind: {algorithm} on the certificate `{}`", certificate.subject())
    })
}

/// Returns the name of an algorithm or a curve, or its object identifier if it has no name here.
fn name(identifier: &str) -> String {
    let known = ALGORITHMS.iter().find(|(known, _)| *known == identifier);
    known.map_or_else(|| format!("OID {identifier}"), |(_, name)| (*name).to_owned())
}

/// Returns the number of bits of a number, without leading zeros.
fn bit_length(bytes: &[u8]) -> usize {
    match bytes.iter().position(|byte| *byte != 0) {
        Some(first) => (bytes.len() - first) * 8 - bytes[first].leading_zeros() as usize,
        None => 0,
    }
}
