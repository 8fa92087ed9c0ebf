//! OpenSSH's format `known_hosts`: finding the lines for a host, and writing a line.

use ring::hmac;
use russh::keys::ssh_key::known_hosts::HostPatterns;
use russh::keys::{HashAlg, PublicKey};

/// The port of a name without a port.
const DEFAULT_PORT: u16 = 22;

/// A line that applies to a host.
#[derive(Debug, Clone)]
pub struct Line {
    /// The number of the line, from 1.
    pub number: usize,
    /// The marker before the patterns.
    pub marker: Marker,
    /// The key.
    pub key: PublicKey,
    /// True if the line names the host without a port, and the connection's port is not 22.
    pub is_portless: bool,
}

/// A marker at the beginning of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// The line has no marker: the key is one of the host's.
    None,
    /// `@revoked`: the key must not be accepted.
    Revoked,
    /// `@cert-authority`: the key signs the certificates of hosts.
    Authority,
}

/// Returns the lines of a file that apply to a host. Lines that cannot be parsed are skipped, as by OpenSSH.
pub fn lines_for(text: &str, host: &str, port: u16) -> Vec<Line> {
    let (plain_name, name) = (host.to_lowercase(), host_name(host, port));
    let parse = |(index, line): (usize, &str)| {
        let (marker, patterns, key) = parse_fields(line)?;
        let is_named = matches_host(patterns, &name);
        let is_portless = !is_named && port != DEFAULT_PORT && matches_host(patterns, &plain_name);
        if !is_named && !is_portless {
            return None;
        }
        Some(Line { number: index + 1, marker, key: PublicKey::from_openssh(&key).ok()?, is_portless })
    };
    text.lines().enumerate().filter_map(parse).collect()
}

/// Returns a host's name in the form that the file has: in lower case, and as `[host]:port` unless the port is 22.
pub fn host_name(host: &str, port: u16) -> String {
    let host = host.to_lowercase();
    if port == DEFAULT_PORT { host } else { format!("[{host}]:{port}") }
}

/// Returns the line that makes a host's key known, without a newline.
pub fn format_line(host: &str, port: u16, key: &PublicKey) -> String {
    let key = key.to_openssh().unwrap_or_default();
    let without_comment = key.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" ");
    format!("{} {without_comment}", host_name(host, port))
}

/// Returns the type and fingerprint of a key for a message: `ssh-ed25519 SHA256:…`.
pub fn describe_key(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

/// Returns true if a pattern of a certificate's principal matches a host's name: `*` stands for any text, `?` for one
/// byte.
pub fn matches_pattern(pattern: &str, host: &str) -> bool {
    matches_glob(pattern.as_bytes(), host.to_lowercase().as_bytes())
}

/// Splits a line into the marker, the patterns and the key. Returns `None` for comments, unknown markers, and lines
/// with too few fields.
fn parse_fields(line: &str) -> Option<(Marker, &str, String)> {
    let mut fields = line.split_whitespace().peekable();
    let marker = match *fields.peek()? {
        comment if comment.starts_with('#') => return None,
        "@revoked" => Marker::Revoked,
        "@cert-authority" => Marker::Authority,
        unknown if unknown.starts_with('@') => return None,
        _ => Marker::None,
    };
    if marker != Marker::None {
        fields.next();
    }
    let patterns = fields.next()?;
    Some((marker, patterns, format!("{} {}", fields.next()?, fields.next()?)))
}

/// Returns true if a list of patterns, or a hashed name, matches a host's name: at least one pattern must match, and
/// none that begins with `!`.
fn matches_host(patterns: &str, name: &str) -> bool {
    if patterns.starts_with("|1|") {
        let Ok(HostPatterns::HashedName { salt, hash }) = patterns.parse() else { return false };
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &salt);
        return hmac::verify(&key, name.as_bytes(), &hash).is_ok();
    }
    let mut is_matched = false;
    for pattern in patterns.split(',') {
        let pattern = pattern.to_lowercase();
        match pattern.strip_prefix('!') {
            Some(pattern) if matches_glob(pattern.as_bytes(), name.as_bytes()) => return false,
            Some(_) => {}
            None => is_matched |= matches_glob(pattern.as_bytes(), name.as_bytes()),
        }
    }
    is_matched
}

/// Returns true if a pattern matches the whole text: `*` stands for any text, `?` for one byte. Takes at most
/// O(pattern × text) time.
fn matches_glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // The position of the last `*`, and the end of the text that it stands for.
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
                let Some((position, end)) = star else { return false };
                star = Some((position, end + 1));
                p = position + 1;
                t = end + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[track_caller]
    fn check(patterns: &str, host: &str, port: u16, expected: bool) {
        let lines = lines_for(&format!("{patterns} {KEY} a comment\n"), host, port);
        assert_eq!(lines.iter().filter(|line| !line.is_portless).count(), usize::from(expected), "{patterns}");
    }

    #[test]
    fn matches_names_with_their_ports() {
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
    fn matches_patterns() {
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
    fn matches_hashed_names() {
        // Written by `ssh-keygen -H`.
        let by_ssh_keygen = "|1|Uei3VLhuzmDXwUpYlgJBtqhM3rE=|KZ0+X3Ob7tYSPwUBx7vEuPKPOec=";
        check(by_ssh_keygen, "other.example.org", 22, false);
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
    fn markers_and_ports_are_read() {
        let text =
            format!("\n@revoked h {KEY}\n@cert-authority * {KEY}\nh {KEY}\n[h]:23 {KEY}\nh ssh-ed25519 torn\nh\n");
        let found: Vec<_> =
            lines_for(&text, "h", 23).iter().map(|line| (line.number, line.marker, line.is_portless)).collect();
        let expected = [
            (2, Marker::Revoked, true),
            (3, Marker::Authority, false),
            (4, Marker::None, true),
            (5, Marker::None, false),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn written_lines_can_be_read() {
        let key = PublicKey::from_openssh(&format!("{KEY} me@home")).expect("the test key is valid");
        for (host, port) in [("example.org", 22), ("example.org", 2222), ("::1", 22), ("::1", 2222)] {
            let line = format_line(host, port, &key);
            assert!(line.ends_with(KEY), "{line}");
            let read = lines_for(&line, host, port);
            assert_eq!(read.len(), 1, "{line}");
            assert!(!read[0].is_portless && read[0].key.key_data() == key.key_data());
        }
    }
}
