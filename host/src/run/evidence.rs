//! What the host saw of an exchange with a target: plain data that says why a run did not pass, and that no guest can
//! forge.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One exchange, as far as it went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exchange {
    Http(Box<Http>),
    Ssh(Box<Ssh>),
    Tcp(Box<Tcp>),
    /// A name that was looked up.
    Dns(Box<Connection>),
}

/// A request and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Http {
    pub method: String,
    /// With neither credentials nor query.
    pub url: String,
    pub query: Lines,
    pub headers: Lines,
    /// The beginning of what was sent. It is not shown: it says what must not be.
    #[serde(skip)]
    pub body: String,
    /// The hops before this one.
    pub redirects: Vec<Redirect>,
    pub connection: Connection,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
}

/// Names and values in the order in which they came; a name may stand more than once.
pub type Lines = Vec<(String, String)>;

/// A hop that led to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Redirect {
    pub status: u16,
    pub from: String,
}

/// The way to a target.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// The last that was reached, as its span is called (`dns`, `tls`, `wait`, `auth`); of TCP by what went over it: `connect`, `send`,
    /// `receive`.
    pub phase: Cow<'static, str>,
    /// Why it went no further: the error's type. None where it came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'static, str>>,
    /// The names that were resolved.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// What they resolved to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved: Vec<String>,
    /// Who answered, or would have: address and port, or a name where there is no address.
    pub peer: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxy: bool,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
    /// `HTTP/2`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// What a TLS handshake showed, whether or not it succeeded.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tls {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Cow<'static, str>>,
    /// As the server sent it, leaf first.
    pub certificates: Vec<Certificate>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    /// Whom it is for.
    pub names: Vec<String>,
    pub not_before: String,
    pub not_after: String,
    /// Negative once it has expired.
    pub days_left: i64,
}

/// An answer, whole or as far as it came.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    pub status: u16,
    pub headers: Lines,
    pub body: Excerpt,
}

/// The beginning of what a target sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Excerpt {
    /// Bytes that came in all.
    pub size: u64,
    /// None where it is not text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// An SSH connection and what came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ssh {
    pub host: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    pub connection: Connection,
    /// The server's banner; where there is none, what came in its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banner: Option<String>,
    /// Type and fingerprint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// The ways to log in that the server offered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
}

/// A command that was run, and what it left.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Command {
    pub command: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    pub stdout: Excerpt,
    pub stderr: Excerpt,
}

/// A connection over which a guest spoke a protocol of its own.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tcp {
    pub connection: Connection,
    /// Bytes that went out.
    pub sent: u64,
    pub received: Excerpt,
    /// The target had sent all that it would.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

impl Connection {
    /// Whether both led to the same target: a name's port, or an address's.
    pub fn is_like(&self, other: &Self) -> bool {
        let port = |connection: &Self| connection.peer.rsplit(':').next().map(str::to_owned);
        match self.names.is_empty() {
            true => other.names.is_empty() && self.peer == other.peer,
            false => self.names == other.names && port(self) == port(other),
        }
    }
}

impl Excerpt {
    /// Bytes of what came that are kept.
    pub const MOST: usize = 2048;

    /// The beginning of what came, of which there were `size` bytes.
    pub fn new(beginning: &[u8], size: u64) -> Self {
        let beginning = &beginning[..beginning.len().min(Self::MOST)];
        Self { size, text: text(beginning, size > beginning.len() as u64) }
    }
}

/// The text that some bytes are; none if they are something else.
fn text(bytes: &[u8], cut: bool) -> Option<String> {
    let bytes = match std::str::from_utf8(bytes) {
        // A character that was cut in two.
        Err(error) if cut && error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    let text = String::from_utf8_lossy(bytes);
    let strange = text.chars().filter(|c| *c == '\u{fffd}' || c.is_control() && !c.is_whitespace() && *c != '\u{1b}');
    // Text in an old encoding is read well enough; what is compressed or an image is not.
    (strange.count() * 10 <= text.chars().count() && !text.contains('\0')).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_to_the_same() {
        let check = |one: (Option<&str>, &str), other: (Option<&str>, &str), expected| {
            let connection = |(name, peer): (Option<&str>, &str)| Connection {
                names: name.into_iter().map(str::to_owned).collect(),
                peer: peer.to_owned(),
                ..Connection::default()
            };
            assert_eq!(connection(one).is_like(&connection(other)), expected, "{one:?} {other:?}");
        };
        check((Some("a"), "[::1]:80"), (Some("a"), "127.0.0.1:80"), true);
        check((Some("a"), "[::1]:80"), (Some("a"), "127.0.0.1:81"), false);
        check((Some("a"), "[::1]:80"), (Some("b"), "[::1]:80"), false);
        check((None, "[::1]:80"), (None, "127.0.0.1:80"), false);
        check((None, "[::1]:80"), (None, "[::1]:80"), true);
        check((None, "[::1]:80"), (Some("a"), "[::1]:80"), false);
    }

    #[test]
    fn an_excerpt_is_text_or_nothing() {
        let check = |bytes: &[u8], size: u64, expected: Option<&str>| {
            assert_eq!(Excerpt::new(bytes, size), Excerpt { size, text: expected.map(str::to_owned) });
        };
        check(b"", 0, Some(""));
        check(b"{\"a\": 1}\n", 9, Some("{\"a\": 1}\n"));
        check("caf\u{e9}".as_bytes(), 5, Some("café"));
        check(&"café".as_bytes()[..4], 5, Some("caf"));
        check(b"caf\xe9 au lait", 12, Some("caf\u{fffd} au lait"));
        check(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03", 10, None);
        check(b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR", 500, None);
        check(&[0xff; 40], 40, None);
        check(&[b'a'; 5000], 5000, Some(&"a".repeat(2048)));
        // Two bytes each: the bound falls between them.
        check(("x".to_owned() + &"é".repeat(3000)).as_bytes(), 6001, Some(&("x".to_owned() + &"é".repeat(1023))));
    }
}
