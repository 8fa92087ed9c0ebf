//! Certificates of host keys, by the authorities that files of known hosts name (`@cert-authority`).

use std::time::{SystemTime, UNIX_EPOCH};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, HashAlg, PublicKey};

use crate::capability::ssh::algorithms::is_sha1;
use crate::capability::ssh::known_hosts::matches_pattern;
use crate::capability::ssh::text::printable_line;
use crate::capability::ssh::trust::lookup::KnownHost;
use crate::time_format::rfc3339_seconds;

/// The reason why a certificate does not prove the identity of a host, with a sentence for the operator.
#[derive(Debug, PartialEq, Eq)]
pub enum CertificateError {
    /// The key or its authority is revoked.
    Revoked(String),
    /// The certificate is not for this host, not valid now, or not from a known authority. The key in it may be known.
    Unusable(String),
}

/// Returns the public key that a certificate is about.
pub fn key_of(certificate: &Certificate) -> PublicKey {
    PublicKey::new(certificate.public_key().clone(), "")
}

/// Checks a certificate that a host has shown, as OpenSSH does.
///
/// # Errors
/// [`CertificateError`] if it does not prove the identity of the host.
pub fn check(certificate: &Certificate, known_host: &KnownHost) -> Result<(), CertificateError> {
    let authority = PublicKey::new(certificate.signature_key().clone(), "");
    for key in [&key_of(certificate), &authority] {
        if let Some(message) = known_host.revoked_message(key) {
            return Err(CertificateError::Revoked(message));
        }
    }
    let problem = if !known_host.has_authority(&authority) {
        Some(format!("is by the authority {}, which is not known", authority.fingerprint(HashAlg::Sha256)))
    } else if certificate.cert_type() != CertType::Host {
        Some("is one of a user, not of a host".to_owned())
    } else {
        validity_problem(certificate).or_else(|| content_problem(certificate, known_host.host()))
    };
    match problem {
        None => Ok(()),
        Some(problem) => {
            Err(CertificateError::Unusable(format!("the certificate of `{}` {problem}", known_host.name())))
        }
    }
}

/// Returns what is wrong with the time of a certificate.
pub fn validity_problem(certificate: &Certificate) -> Option<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let time = |seconds| rfc3339_seconds(i64::try_from(seconds).unwrap_or(i64::MAX));
    if now < certificate.valid_after() {
        Some(format!("is not valid before {}", time(certificate.valid_after())))
    } else if now >= certificate.valid_before() {
        Some(format!("has expired on {}", time(certificate.valid_before())))
    } else {
        None
    }
}

/// Returns what else is wrong with a certificate of a known authority.
fn content_problem(certificate: &Certificate, host: &str) -> Option<String> {
    let principals = certificate.valid_principals();
    if !principals.is_empty() && !principals.iter().any(|principal| matches_pattern(principal, host)) {
        let names = printable_line(principals.join(", ").as_bytes());
        return Some(format!("is not for this host, but for {names}"));
    }
    if let Some((option, _)) = certificate.critical_options().iter().next() {
        return Some(format!("has the critical option `{}`, which is unknown", printable_line(option.as_bytes())));
    }
    let algorithm = certificate.signature().algorithm();
    if is_sha1(&algorithm) {
        return Some(format!("is signed with {}, which is too weak", algorithm.as_str()));
    }
    let authority = certificate.signature_key().fingerprint(HashAlg::Sha256);
    certificate
        .validate_at(certificate.valid_after(), [&authority])
        .is_err()
        .then(|| "has a wrong signature".to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use russh::keys::ssh_key::certificate::Builder;
    use russh::keys::{Algorithm, PrivateKey};

    use super::*;

    fn private_key() -> PrivateKey {
        PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).expect("there is randomness")
    }

    /// Checks a certificate for `shop.example` that `change` changes, with a file of known hosts that `lines` returns
    /// from the keys of the authority and of the host.
    #[track_caller]
    fn check_with(
        change: impl FnOnce(&mut Builder),
        lines: impl FnOnce(&str, &str) -> String,
        expected: Result<(), &str>,
    ) {
        let (authority, host_key) = (private_key(), private_key());
        let openssh = |key: &PrivateKey| key.public_key().to_openssh().expect("the key can be written");
        let rng = &mut russh::keys::key::safe_rng();
        let mut builder = Builder::new_with_random_nonce(rng, host_key.public_key(), 1_000, 4_000_000_000)
            .expect("the times are in order");
        builder.cert_type(CertType::Host).expect("the type is not set yet");
        change(&mut builder);
        let certificate = builder.sign(&authority).expect("the certificate is complete");
        let mut known_host = KnownHost::empty("shop.example", 22);
        known_host.add_text(Path::new("FILE"), &lines(&openssh(&authority), &openssh(&host_key)));
        let checked = super::check(&certificate, &known_host).map_err(|error| match error {
            CertificateError::Revoked(message) | CertificateError::Unusable(message) => message,
        });
        match expected {
            Ok(()) => assert_eq!(checked, Ok(())),
            Err(part) => {
                let message = checked.expect_err(part);
                assert!(message.contains(part), "{message}");
            }
        }
    }

    fn for_shop(builder: &mut Builder) {
        builder.valid_principal("shop.example").expect("the name is valid");
    }

    fn known_authority(authority: &str, _: &str) -> String {
        format!("@cert-authority *.example {authority}")
    }

    #[test]
    fn certificates_of_known_authorities_are_accepted() {
        check_with(for_shop, known_authority, Ok(()));
        check_with(|builder| drop(builder.valid_principal("*.example")), known_authority, Ok(()));
        check_with(|builder| drop(builder.all_principals_valid()), known_authority, Ok(()));
    }

    #[test]
    fn other_certificates_are_rejected() {
        check_with(for_shop, |_, _| String::new(), Err("which is not known"));
        check_with(for_shop, |authority, _| format!("@cert-authority *.org {authority}"), Err("which is not known"));
        check_with(for_shop, |authority, _| format!("shop.example {authority}"), Err("which is not known"));
        check_with(
            |builder| drop(builder.valid_principal("other.example")),
            known_authority,
            Err("the certificate of `shop.example` is not for this host, but for other.example"),
        );
        let with_option = |builder: &mut Builder| {
            for_shop(builder);
            builder.critical_option("force-command", "x").expect("the option is new");
        };
        check_with(with_option, known_authority, Err("has the critical option `force-command`, which is unknown"));
        let revoked = |key: &str| format!("@revoked * {key}\n");
        check_with(for_shop, |ca, key| known_authority(ca, key) + "\n" + &revoked(key), Err("is revoked (FILE:2)"));
        check_with(for_shop, |ca, key| revoked(ca) + &known_authority(ca, key), Err("is revoked (FILE:1)"));
    }
}
