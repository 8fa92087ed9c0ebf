//! The algorithms that a connection may use: those that OpenSSH 9.2 uses unless told otherwise, and older ones that a
//! probe's settings allow.

use russh::keys::Algorithm;
use russh::{AlgorithmKind, Preferred, cipher, kex, mac};

use crate::capability::text::quotable;

/// The algorithms of each kind, the preferred ones first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedAlgorithms {
    kex: Vec<&'static str>,
    host_key: Vec<&'static str>,
    cipher: Vec<&'static str>,
    mac: Vec<&'static str>,
}

/// A kind of algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Exchanges of keys.
    Kex,
    /// Types of host keys, with the hash of their signatures.
    HostKey,
    /// Ciphers.
    Cipher,
    /// Message authentication codes.
    Mac,
}

const KEX: &[&str] = &[
    "mlkem768x25519-sha256",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group18-sha512",
    "diffie-hellman-group17-sha512",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group15-sha512",
    "diffie-hellman-group14-sha256",
];
const OLD_KEX: &[&str] =
    &["diffie-hellman-group14-sha1", "diffie-hellman-group-exchange-sha1", "diffie-hellman-group1-sha1"];
const HOST_KEY: &[&str] = &[
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];
const OLD_HOST_KEY: &[&str] = &["ssh-rsa"];
const CIPHER: &[&str] = &[
    "chacha20-poly1305@openssh.com",
    "aes256-gcm@openssh.com",
    "aes128-gcm@openssh.com",
    "aes256-ctr",
    "aes192-ctr",
    "aes128-ctr",
];
const OLD_CIPHER: &[&str] = &["aes256-cbc", "aes192-cbc", "aes128-cbc"];
const MAC: &[&str] = &[
    "hmac-sha2-512-etm@openssh.com",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512",
    "hmac-sha2-256",
    "hmac-sha1-etm@openssh.com",
    "hmac-sha1",
];

impl Kind {
    /// Returns the kind with a name of the contract.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Kex, Self::HostKey, Self::Cipher, Self::Mac].into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the kind of algorithms that russh names. Returns `None` for compression, of which there is no choice.
    pub fn from_russh(kind: &AlgorithmKind) -> Option<Self> {
        match kind {
            AlgorithmKind::Kex => Some(Self::Kex),
            AlgorithmKind::Key => Some(Self::HostKey),
            AlgorithmKind::Cipher => Some(Self::Cipher),
            AlgorithmKind::Mac => Some(Self::Mac),
            AlgorithmKind::Compression => None,
        }
    }

    /// Returns the key of the setting `algorithms`.
    pub fn key(self) -> &'static str {
        if self == Self::HostKey { "host_key" } else { self.name() }
    }

    /// Returns the algorithms of this kind that are supported, the default ones first.
    pub fn supported(self) -> impl Iterator<Item = &'static str> {
        let (default, old) = self.default_and_old();
        default.iter().chain(old).copied()
    }

    fn name(self) -> &'static str {
        match self {
            Self::Kex => "kex",
            Self::HostKey => "host-key",
            Self::Cipher => "cipher",
            Self::Mac => "mac",
        }
    }

    fn default_and_old(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Kex => (KEX, OLD_KEX),
            Self::HostKey => (HOST_KEY, OLD_HOST_KEY),
            Self::Cipher => (CIPHER, OLD_CIPHER),
            Self::Mac => (MAC, &[]),
        }
    }

    /// Parses names with commas between them.
    ///
    /// # Errors
    /// A sentence that names the first algorithm that is not supported, and those that are.
    fn parse_names(self, names: &str) -> Result<Vec<&'static str>, String> {
        let parse = |name: &str| {
            self.supported().find(|supported| *supported == name).ok_or_else(|| {
                let supported = self.supported().collect::<Vec<_>>().join("`, `");
                format!("`{}` is not supported: expected one of `{supported}`", quotable(name))
            })
        };
        names.split(',').map(|name| parse(name.trim())).collect()
    }
}

impl Default for AllowedAlgorithms {
    fn default() -> Self {
        Self { kex: KEX.to_vec(), host_key: HOST_KEY.to_vec(), cipher: CIPHER.to_vec(), mac: MAC.to_vec() }
    }
}

impl AllowedAlgorithms {
    /// Sets the algorithms of a kind by a list as in `ssh_config`: names with commas between them, after `+` to add
    /// them to the default ones, `^` to put them first, or `-` to leave them out.
    ///
    /// # Errors
    /// A sentence, when a name is unknown, or when no algorithm is left.
    pub fn set(&mut self, kind: Kind, list: &str) -> Result<(), String> {
        let (prefix, names) = match list.trim().split_at_checked(1) {
            Some((prefix @ ("+" | "^" | "-"), names)) => (prefix, names),
            _ => ("", list),
        };
        let names = kind.parse_names(names)?;
        let mut others = kind.default_and_old().0.to_vec();
        others.retain(|other| !names.contains(other));
        let allowed = match prefix {
            "+" => [others, names].concat(),
            "^" => [names, others].concat(),
            "-" => others,
            _ => names,
        };
        if allowed.is_empty() {
            return Err("no algorithm is left".to_owned());
        }
        *match kind {
            Kind::Kex => &mut self.kex,
            Kind::HostKey => &mut self.host_key,
            Kind::Cipher => &mut self.cipher,
            Kind::Mac => &mut self.mac,
        } = allowed;
        Ok(())
    }

    /// Returns the algorithms of host keys.
    pub fn host_keys(&self) -> Vec<Algorithm> {
        self.host_key.iter().filter_map(|name| name.parse().ok()).collect()
    }

    /// Returns true if signatures of RSA keys with SHA-1 are allowed.
    pub fn allow_rsa_with_sha1(&self) -> bool {
        self.host_key.contains(&"ssh-rsa")
    }

    /// Returns what russh offers to the server. `host_keys` are the algorithms of host keys in the order to offer, and
    /// `certificates` those for which a certificate is preferred.
    pub fn preferred(&self, host_keys: Vec<Algorithm>, certificates: Vec<Algorithm>) -> Preferred {
        // These names announce extensions of the protocol.
        let extensions = [kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];
        let kex = self.kex.iter().filter_map(|name| kex::Name::try_from(*name).ok()).chain(extensions);
        let cipher = self.cipher.iter().filter_map(|name| cipher::Name::try_from(*name).ok());
        let mac = self.mac.iter().filter_map(|name| mac::Name::try_from(*name).ok());
        Preferred {
            kex: kex.collect::<Vec<_>>().into(),
            key: host_keys.into(),
            host_key_certificates: certificates.into(),
            cipher: cipher.collect::<Vec<_>>().into(),
            mac: mac.collect::<Vec<_>>().into(),
            ..Preferred::DEFAULT
        }
    }
}

/// Returns true if an algorithm signs with SHA-1.
pub fn is_sha1(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Dsa | Algorithm::Rsa { hash: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_as_in_ssh_config() {
        let set = |list: &str| {
            let mut allowed = AllowedAlgorithms::default();
            allowed.set(Kind::HostKey, list).map(|()| allowed.host_key)
        };
        let default = HOST_KEY.to_vec();
        assert_eq!(set("+ssh-rsa"), Ok([HOST_KEY, &["ssh-rsa"]].concat()));
        assert_eq!(set("+ssh-ed25519").map(|names| names.len()), Ok(default.len()));
        assert_eq!(set("^rsa-sha2-256").map(|names| (names[0], names.len())), Ok(("rsa-sha2-256", default.len())));
        assert_eq!(set("-ssh-ed25519"), Ok(default[1..].to_vec()));
        assert_eq!(set(" ssh-rsa , rsa-sha2-256 "), Ok(vec!["ssh-rsa", "rsa-sha2-256"]));
        assert_eq!(set(&format!("-{}", default.join(","))), Err("no algorithm is left".to_owned()));
        let message = set("+ssh-sra").expect_err("there is no such algorithm");
        assert!(message.starts_with("`ssh-sra` is not supported: expected one of `ssh-ed25519`, "), "{message}");
    }

    #[test]
    fn russh_has_every_supported_algorithm() {
        assert!(Kind::Kex.supported().all(|name| kex::Name::try_from(name).is_ok()));
        assert!(Kind::Cipher.supported().all(|name| cipher::Name::try_from(name).is_ok()));
        assert!(Kind::Mac.supported().all(|name| mac::Name::try_from(name).is_ok()));
        let host_key = |name: &str| name.parse::<Algorithm>().is_ok_and(|algorithm| algorithm.as_str() == name);
        assert!(Kind::HostKey.supported().all(host_key));
    }
}
