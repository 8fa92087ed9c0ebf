//! OpenSSH's format of known hosts: which lines speak of a host, and how one is written. Judges nothing.

use ring::hmac;
use russh::keys::ssh_key::known_hosts::HostPatterns;
use russh::keys::{HashAlg, PublicKey};

/// A line that speaks of a host.
#[derive(Debug, Clone)]
pub struct Line {
    pub number: usize,
    pub marker: Marker,
    pub key: PublicKey,
    /// It names the host without a port, and the port asked for is another than 22.
    pub portless: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    None,
    Revoked,
    /// The key signs others; it is no host's own.
    Authority,
}

/// The lines of a file that speak of this host. Lines that cannot be read speak of none, as with OpenSSH.
pub fn about(text: &str, host: &str, port: u16) -> Vec<Line> {
    let (plain, name) = (host.to_lowercase(), name(host, port));
    let line = |(index, line): (usize, &str)| {
        let (marker, patterns, key) = fields(line)?;
        let named = matches(patterns, &name);
        let portless = !named && port != PORT && matches(patterns, &plain);
        if !named && !portless {
            return None;
        }
        Some(Line { number: index + 1, marker, key: PublicKey::from_openssh(&key).ok()?, portless })
    };
    text.lines().enumerate().filter_map(line).collect()
}

/// A host's name as it stands in the file.
pub fn name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == PORT { host } else { format!("[{host}]:{port}") }
}

/// The line that makes a host's key known.
pub fn line(host: &str, port: u16, key: &PublicKey) -> String {
    format!("{} {}", name(host, port), bare(key))
}

/// A public key as OpenSSH writes it, without its comment.
pub fn bare(key: &PublicKey) -> String {
    let text = key.to_openssh().unwrap_or_default();
    text.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ")
}

const PORT: u16 = 22;

fn fields(line: &str) -> Option<(Marker, &str, String)> {
    let mut words = line.split_whitespace().peekable();
    let marker = match *words.peek()? {
        comment if comment.starts_with('#') => return None,
        "@revoked" => Marker::Revoked,
        "@cert-authority" => Marker::Authority,
        unknown if unknown.starts_with('@') => return None,
        _ => Marker::None,
    };
    if marker != Marker::None {
        words.next();
    }
    let patterns = words.next()?;
    Some((marker, patterns, format!("{} {}", words.next()?, words.next()?)))
}

/// Whether a name is meant by a list of patterns: by one at least, and by none that begins with `!`.
fn matches(patterns: &str, name: &str) -> bool {
    if patterns.starts_with("|1|") {
        let Ok(HostPatterns::HashedName { salt, hash }) = patterns.parse() else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        return hmac::verify(&key, name.as_bytes(), &hash).is_ok();
    }
    let mut meant = false;
    for pattern in patterns.split(',') {
        let pattern = pattern.to_lowercase();
        match pattern.strip_prefix('!') {
            Some(pattern) if glob(pattern.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => meant |= glob(pattern.as_bytes(), name.as_bytes()),
        }
    }
    meant
}

/// `*` stands for any text and `?` for one character. Takes time in proportion to both lengths at most.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where the last star stood, and what of the text it has taken.
    let mut star = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// `ssh-ed25519 SHA256:…`.
pub fn show(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[track_caller]
    fn check(patterns: &str, host: &str, port: u16, expected: bool) {
        let lines = about(&format!("{patterns} {KEY} a comment\n"), host, port);
        assert_eq!(lines.iter().filter(|line| !line.portless).count(), usize::from(expected), "{patterns}");
    }

    #[test]
    fn names() {
        check("example.org", "example.org", 22, true);
        check("Example.ORG", "eXample.org", 22, true);
        check("example.org", "www.example.org", 22, false);
        check("a,example.org,192.0.2.1", "192.0.2.1", 22, true);
        check("[example.org]:2222", "example.org", 2222, true);
        check("[example.org]:2222", "example.org", 22, false);
        check("example.org", "example.org", 2222, false);
        check("::1", "::1", 22, true);
        check("[::1]:2222", "::1", 2222, true);
        check("# example.org", "example.org", 22, false);
        check("@unknown example.org", "example.org", 22, false);
    }

    #[test]
    fn patterns() {
        check("*", "example.org", 22, true);
        check("*.example.org", "www.example.org", 22, true);
        check("*.example.org", "example.org", 22, false);
        check("*.example.org,!secret.example.org", "secret.example.org", 22, false);
        check("!secret.example.org,*.example.org", "www.example.org", 22, true);
        check("!other", "example.org", 22, false);
        check("192.0.2.?", "192.0.2.7", 22, true);
        check("192.0.2.?", "192.0.2.17", 22, false);
        check("[*.example.org]:2222", "www.example.org", 2222, true);
        check(&"*a".repeat(5000), &"a".repeat(60), 22, false);
    }

    #[test]
    fn hashed_names() {
        // Written by `ssh-keygen -H`.
        let plain = "|1|Uei3VLhuzmDXwUpYlgJBtqhM3rE=|KZ0+X3Ob7tYSPwUBx7vEuPKPOec=";
        check(plain, "other.example.org", 22, false);
        let salt = [7u8; 20];
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        let hash: [u8; 20] = hmac::sign(&key, b"[example.org]:2222").as_ref().try_into().expect("SHA-1 has 20 bytes");
        let hashed = HostPatterns::HashedName { salt: salt.to_vec(), hash }.to_string();
        check(&hashed, "example.org", 2222, true);
        check(&hashed, "Example.org", 2222, true);
        check(&hashed, "example.org", 22, false);
        check("|1|torn", "example.org", 22, false);
    }

    #[test]
    fn markers_and_ports() {
        let text =
            format!("\n@revoked h {KEY}\n@cert-authority * {KEY}\nh {KEY}\n[h]:23 {KEY}\nh ssh-ed25519 torn\nh\n");
        let found: Vec<_> =
            about(&text, "h", 23).iter().map(|line| (line.number, line.marker, line.portless)).collect();
        let expected = [
            (2, Marker::Revoked, true),
            (3, Marker::Authority, false),
            (4, Marker::None, true),
            (5, Marker::None, false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn what_is_written_is_read() {
        let key = PublicKey::from_openssh(&format!("{KEY} me@home")).expect("a key");
        for (host, port) in [("example.org", 22), ("example.org", 2222), ("::1", 22), ("::1", 2222)] {
            let line = line(host, port, &key);
            assert!(line.ends_with(KEY), "{line}");
            let read = about(&line, host, port);
            assert_eq!(read.len(), 1, "{line}");
            assert!(!read[0].portless && read[0].key.key_data() == key.key_data());
        }
    }
}
