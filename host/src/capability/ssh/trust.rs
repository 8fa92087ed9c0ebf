//! Whether a host's key is the one that it should be. Knows files and keys; nothing of connections.

use std::path::PathBuf;
use std::sync::Arc;

use russh::keys::ssh_key::Fingerprint;
use russh::keys::{Algorithm, PublicKey};

use crate::capability::ssh::error;
use crate::capability::ssh::known_hosts::show;
use crate::capability::ssh::trust::lookup::KeyMatch;

pub use crate::capability::ssh::trust::accept_new::AcceptedHosts;
pub use crate::capability::ssh::trust::lookup::KnownHost;

mod accept_new;
mod lookup;

/// What a host's key is held against.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Files in OpenSSH's format; those that are not there know nobody. With somebody to remember new ones, an unknown
    /// host's key is accepted, and written to the first file.
    KnownHosts { files: Vec<PathBuf>, accept_new: Option<Arc<AcceptedHosts>> },
    /// These keys alone.
    Pinned(Vec<Pin>),
}

/// A host key that is trusted whatever the files say.
#[derive(Debug, Clone)]
pub enum Pin {
    Fingerprint(Fingerprint),
    Key(PublicKey),
}

impl Trust {
    /// The files that OpenSSH reads when none is named: the user's, and the system's.
    pub fn default_files() -> Vec<PathBuf> {
        let user = std::env::home_dir().map(|home| home.join(".ssh/known_hosts"));
        user.into_iter().chain([PathBuf::from("/etc/ssh/ssh_known_hosts")]).collect()
    }

    /// What there is to hold this host's key against. Reads files.
    pub fn about(&self, host: &str, port: u16) -> KnownHost {
        let mut known = KnownHost::empty(host, port);
        if let Self::KnownHosts { files, accept_new } = self {
            for file in files {
                known.read(file);
            }
            if let (Some(acquaintances), Some(file)) = (accept_new, files.first()) {
                acquaintances.merge_into(&mut known, file);
            }
        }
        known
    }

    /// Which types of key to ask the host for, the best first. A host has a key of each type, and shows one: without
    /// this, one that is known by another would be a stranger.
    pub fn preferred(&self, known: &KnownHost, all: &[Algorithm]) -> Vec<Algorithm> {
        let trusted: Vec<_> = match self {
            Self::KnownHosts { .. } => known.types(),
            Self::Pinned(pins) => pins.iter().filter_map(Pin::algorithm).collect(),
        };
        let (mut first, rest): (Vec<_>, Vec<_>) =
            all.iter().cloned().partition(|algorithm| trusted.iter().any(|it| same_type(it, algorithm)));
        first.extend(rest);
        first
    }

    /// Judges the key that a host showed. Where new keys are accepted, this writes a file.
    ///
    /// # Errors
    /// Why it is not trusted, and what to do about it.
    pub fn check(&self, known: &KnownHost, key: &PublicKey) -> Result<(), String> {
        match self {
            Self::Pinned(pins) if pins.iter().any(|pin| pin.is(key)) => Ok(()),
            Self::Pinned(pins) => Err(not_pinned(pins, known, key)),
            Self::KnownHosts { files, accept_new } => match known.look_up(key) {
                KeyMatch::Known => Ok(()),
                KeyMatch::Wrong(why) => Err(why),
                KeyMatch::Unknown => match (accept_new, files.first()) {
                    (Some(acquaintances), Some(file)) => acquaintances.accept(known, key, file),
                    (_, file) => Err(known.unknown(key, file.map(PathBuf::as_path))),
                },
            },
        }
    }
}

impl Pin {
    /// Reads a fingerprint (`SHA256:…`) or a public key (`ssh-ed25519 AAAA…`, also with a host before it).
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with("SHA256:") || text.starts_with("SHA512:") {
            let fingerprint = text.trim_end_matches('=').parse();
            return fingerprint.map(Self::Fingerprint).map_err(|_| format!("`{text}` is no whole fingerprint"));
        }
        if text.starts_with("MD5:") {
            return Err("MD5 fingerprints are too weak: give the one that begins with `SHA256:`".to_owned());
        }
        let words: Vec<_> = text.split_whitespace().collect();
        let read = words.windows(2).take(2).find_map(|pair| PublicKey::from_openssh(&pair.join(" ")).ok());
        read.map(Self::Key)
            .ok_or_else(|| "neither a fingerprint (`SHA256:…`) nor a public key (`ssh-ed25519 AAAA…`)".to_owned())
    }

    fn is(&self, key: &PublicKey) -> bool {
        match self {
            Self::Fingerprint(fingerprint) => key.fingerprint(fingerprint.algorithm()) == *fingerprint,
            Self::Key(pinned) => pinned.key_data() == key.key_data(),
        }
    }

    fn algorithm(&self) -> Option<Algorithm> {
        match self {
            Self::Fingerprint(_) => None,
            Self::Key(key) => Some(key.algorithm()),
        }
    }
}

fn not_pinned(pins: &[Pin], known: &KnownHost, key: &PublicKey) -> String {
    let pinned: Vec<_> = pins
        .iter()
        .map(|pin| match pin {
            Pin::Fingerprint(fingerprint) => fingerprint.to_string(),
            Pin::Key(key) => show(key),
        })
        .collect();
    // The type is known only of a whole key, and the server shows the one that we like best.
    let hint = match pins.iter().all(|pin| matches!(pin, Pin::Fingerprint(_))) {
        true => "; a host has a key of each type: give the public key itself to have it show one of another type",
        false => "",
    };
    format!(
        "the host key of `{}` is not the pinned one: the server showed {}, and trusted is {}{hint}",
        known.name(),
        show(key),
        error::list(&pinned)
    )
}

/// An RSA key signs in several ways, each of which is negotiated as a type of its own.
fn same_type(one: &Algorithm, other: &Algorithm) -> bool {
    one == other || (matches!(one, Algorithm::Rsa { .. }) && matches!(other, Algorithm::Rsa { .. }))
}

#[cfg(test)]
mod tests;
