//! Trust in host keys: files of known hosts, pinned keys, and new hosts that are accepted.

use std::path::PathBuf;

use russh::keys::ssh_key::Fingerprint;
use russh::keys::{Algorithm, Certificate, PublicKey};

use crate::capability::blocking_pool::MayBlock;
use crate::capability::ssh::known_hosts::describe_key;
use crate::capability::ssh::text::join_list;
use crate::capability::ssh::trust::certificate::CertificateError;
use crate::capability::ssh::trust::lookup::KeyMatch;

pub use crate::capability::ssh::trust::accept_new::{AcceptNew, AcceptedHosts};
pub use crate::capability::ssh::trust::certificate::{key_of, validity_problem};
pub use crate::capability::ssh::trust::lookup::KnownHost;

mod accept_new;
mod certificate;
mod lookup;

/// The host keys that a connection trusts.
#[derive(Debug, Clone)]
pub enum Trust {
    /// The keys in files of OpenSSH's format `known_hosts`. A file that does not exist counts as empty.
    KnownHosts {
        /// The files.
        files: Vec<PathBuf>,
        /// Accepts the key of an unknown host and writes it to the first file, as OpenSSH does with
        /// `StrictHostKeyChecking=accept-new`. `None` refuses it.
        accept_new: Option<AcceptNew>,
    },
    /// These keys alone, regardless of files.
    Pinned(Vec<PinnedKey>),
}

/// A host key that the probe's settings pin.
#[derive(Debug, Clone)]
pub enum PinnedKey {
    /// The fingerprint of a key.
    Fingerprint(Fingerprint),
    /// A whole key.
    Key(PublicKey),
}

impl Trust {
    /// Reads the files, and returns their entries for a host, with the accepted keys that could not be written to the
    /// first file.
    pub fn known_host(&self, host: &str, port: u16, may_block: &MayBlock) -> KnownHost {
        let mut known_host = KnownHost::empty(host, port);
        if let Self::KnownHosts { files, accept_new } = self {
            for file in files {
                known_host.read_file(file, may_block);
            }
            if let (Some(accept_new), Some(file)) = (accept_new, files.first()) {
                accept_new.hosts.merge_into(&mut known_host, file);
            }
        }
        known_host
    }

    /// Sorts `algorithms` of host keys: those of trusted keys first. A host has a key of each type and shows only one
    /// of them. Without this order it might show a key that is not in the files, although another of its keys is.
    pub fn preferred_algorithms(&self, known_host: &KnownHost, algorithms: &[Algorithm]) -> Vec<Algorithm> {
        let trusted: Vec<_> = match self {
            Self::KnownHosts { .. } => known_host.key_algorithms(),
            Self::Pinned(pinned_keys) => pinned_keys.iter().filter_map(PinnedKey::algorithm).collect(),
        };
        let is_trusted = |algorithm: &Algorithm| trusted.iter().any(|trusted| is_same_type(trusted, algorithm));
        let (mut sorted, others): (Vec<_>, Vec<_>) = algorithms.iter().cloned().partition(is_trusted);
        sorted.extend(others);
        sorted
    }

    /// Returns those of `algorithms` of which a certificate is requested: all of them if an authority is known for the
    /// host, or else none, since nobody could say what a certificate proves.
    pub fn certificate_algorithms(&self, known_host: &KnownHost, algorithms: &[Algorithm]) -> Vec<Algorithm> {
        match self {
            Self::KnownHosts { .. } if known_host.has_authorities() => algorithms.to_vec(),
            _ => Vec::new(),
        }
    }

    /// Verifies the certificate that a host has shown. As in OpenSSH, one that proves nothing is taken for its key
    /// alone.
    ///
    /// # Errors
    /// A sentence that says why neither the certificate nor its key is trusted, and what to do about it.
    pub fn verify_certificate(
        &self,
        known_host: &KnownHost,
        certificate: &Certificate,
        may_block: &MayBlock,
    ) -> Result<(), String> {
        match certificate::check(certificate, known_host) {
            Ok(()) => Ok(()),
            Err(CertificateError::Revoked(message)) => Err(message),
            Err(CertificateError::Unusable(message)) => {
                let verified = self.verify(known_host, &key_of(certificate), may_block);
                verified.map_err(|of_key| format!("{message}, and {of_key}"))
            }
        }
    }

    /// Verifies the key that a host has shown. If new hosts are accepted, this may write a file.
    ///
    /// # Errors
    /// A sentence that says why the key is not trusted, and what to do about it.
    pub fn verify(&self, known_host: &KnownHost, key: &PublicKey, may_block: &MayBlock) -> Result<(), String> {
        match self {
            Self::Pinned(pinned_keys) if pinned_keys.iter().any(|pinned| pinned.matches(key)) => Ok(()),
            Self::Pinned(pinned_keys) => Err(not_pinned_message(pinned_keys, known_host, key)),
            Self::KnownHosts { files, accept_new } => match known_host.match_key(key) {
                KeyMatch::Known => Ok(()),
                KeyMatch::Rejected(message) => Err(message),
                KeyMatch::Unknown => match (accept_new, files.first()) {
                    (Some(accept_new), Some(file)) => accept_new.accept(known_host, key, file, may_block),
                    (_, file) => Err(known_host.unknown_key_message(key, file.map(PathBuf::as_path))),
                },
            },
        }
    }
}

impl PinnedKey {
    /// Parses a fingerprint (`SHA256:…`) or a public key (`ssh-ed25519 AAAA…`), which a host name may precede.
    ///
    /// # Errors
    /// A sentence that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with("SHA256:") || text.starts_with("SHA512:") {
            let fingerprint = text.trim_end_matches('=').parse();
            return fingerprint.map(Self::Fingerprint).map_err(|_| format!("`{text}` is not a complete fingerprint"));
        }
        if text.starts_with("MD5:") {
            return Err("MD5 fingerprints are too weak: give the one that begins with `SHA256:`".to_owned());
        }
        let words: Vec<_> = text.split_whitespace().collect();
        let key = words.windows(2).take(2).find_map(|pair| PublicKey::from_openssh(&pair.join(" ")).ok());
        key.map(Self::Key)
            .ok_or_else(|| "neither a fingerprint (`SHA256:…`) nor a public key (`ssh-ed25519 AAAA…`)".to_owned())
    }

    fn matches(&self, key: &PublicKey) -> bool {
        match self {
            Self::Fingerprint(fingerprint) => key.fingerprint(fingerprint.algorithm()) == *fingerprint,
            Self::Key(pinned) => pinned.key_data() == key.key_data(),
        }
    }

    /// Returns the algorithm of a whole key. Returns `None` for a fingerprint, which does not contain the algorithm.
    fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::Fingerprint(_) => None,
            Self::Key(key) => Some(key.algorithm()),
        }
    }
}

fn not_pinned_message(pinned_keys: &[PinnedKey], known_host: &KnownHost, key: &PublicKey) -> String {
    let pinned: Vec<_> = pinned_keys
        .iter()
        .map(|pinned| match pinned {
            PinnedKey::Fingerprint(fingerprint) => fingerprint.to_string(),
            PinnedKey::Key(key) => describe_key(key),
        })
        .collect();
    // A fingerprint does not contain the type of its key, so that the server shows a key of the type that russh
    // prefers.
    let hint = if pinned_keys.iter().all(|pinned| matches!(pinned, PinnedKey::Fingerprint(_))) {
        "; a host may have keys of several types: pin the whole public key to request one of its type"
    } else {
        ""
    };
    format!(
        "the host key of `{}` is not the pinned one: the server showed {}; pinned: {}{hint}",
        known_host.name(),
        describe_key(key),
        join_list(&pinned)
    )
}

/// Returns true if two algorithms use the same type of key. There are several for RSA, which differ in the hash.
fn is_same_type(one: &Algorithm, other: &Algorithm) -> bool {
    one == other || (matches!(one, Algorithm::Rsa { .. }) && matches!(other, Algorithm::Rsa { .. }))
}

#[cfg(test)]
mod tests;
