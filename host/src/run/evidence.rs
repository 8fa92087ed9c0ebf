//! Evidence: the host's own record of an exchange with a target, as plain data. It shows why a run did not pass. A
//! guest cannot forge it.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The evidence of one exchange, as far as the exchange went.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exchange {
    /// One hop of an HTTP exchange.
    Http(Box<Http>),
    /// An SSH connection.
    Ssh(Box<Ssh>),
    /// A TCP connection that the guest opened.
    Tcp(Box<Tcp>),
    /// A lookup of a name by the guest.
    Dns(Box<Connection>),
}

/// An HTTP request and its response: one hop of an exchange.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Http {
    /// The method, such as `GET`.
    pub method: String,
    /// The URL without credentials, query and fragment.
    pub url: String,
    /// The decoded parameters of the URL's query, at most 60.
    pub query: Lines,
    /// The request's headers: at most 60, with `user-agent` and `authorization` in addition if the client added them.
    pub headers: Lines,
    /// The beginning of the request's body, at most 8 KiB. Bytes that are not UTF-8 are replaced.
    ///
    /// It is never shown or serialised, and is empty after redaction. Redaction searches it for credentials, to redact
    /// these wherever else they occur.
    #[serde(skip)]
    pub body: String,
    /// The redirects that led to this hop, oldest first: the last 10.
    pub redirects: Vec<Redirect>,
    /// The connection that the request was sent over, or was to be sent over.
    pub connection: Connection,
    /// The TLS handshake. `None` if this hop had none, for example because the connection was reused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// The response. `None` if its head did not arrive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
}

/// Names and values, such as headers, in their order. A name may occur more than once.
pub type Lines = Vec<(String, String)>;

/// A redirect that was followed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Redirect {
    /// The status of the response that redirected: 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The URL that was redirected, without credentials, query and fragment.
    pub from: String,
}

/// A connection to a target, or the lookup of a name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Connection {
    /// The last phase that the exchange reached.
    ///
    /// - HTTP: `dns`, `connect`, `tls`, `send`, `wait` or `receive`, as in the operations of spans.
    /// - SSH: `dns`, `connect`, `banner`, `kex`, `auth` or `exec`, as in the operations of spans. It is empty if the
    ///   connection failed before the first phase.
    /// - TCP: `receive` if bytes arrived, otherwise `send` if bytes were sent, otherwise `connect`.
    /// - Lookup: `dns`.
    pub phase: Cow<'static, str>,
    /// The kind of the error, such as `dns` or `timeout`. `None` if there is no error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Cow<'static, str>>,
    /// The names that were resolved: two with some SOCKS proxies. It is empty if the target was given as an address, or
    /// if an HTTP connection was reused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The IP addresses of the last name: at most 60 for HTTP, otherwise at most 20.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resolved: Vec<String>,
    /// The address and port of the peer, or its name and port if no address is known. For a lookup it is the name
    /// alone.
    pub peer: String,
    /// True if an HTTP request went through a proxy. The proxy is then the peer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub proxy: bool,
    /// The status and the reason with which an HTTP proxy has refused to open a tunnel, such as `403 Forbidden`. At
    /// most 200 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proxy_answer: Option<String>,
    /// The part of an HTTP response that cannot be read: the line for which the response was refused, or header lines
    /// that were left out because they are no headers. Bytes that are no text are written as `\x00`. At most 200 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub malformed: Option<String>,
    /// True if an HTTP response arrived over a connection that was used before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reused: bool,
    /// The protocol and its version: `HTTP/1.1`, `HTTP/2`, `SSH-2.0`. `None` if the peer did not answer in this
    /// protocol, and for TCP and lookups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
}

/// A TLS handshake, successful or not.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tls {
    /// The version, `1.2` or `1.3`. `None` if the handshake failed before the server's signature was checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Cow<'static, str>>,
    /// The certificates as the server sent them, leaf first. At most 6; those that cannot be parsed are left out.
    pub certificates: Vec<Certificate>,
}

/// An X.509 certificate of a server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Certificate {
    /// The distinguished name of the subject.
    pub subject: String,
    /// The distinguished name of the issuer.
    pub issuer: String,
    /// The DNS names and IP addresses that the certificate is for, at most 20.
    pub names: Vec<String>,
    /// The start of the validity, per RFC 3339 in UTC.
    pub not_before: String,
    /// The end of the validity, per RFC 3339 in UTC.
    pub not_after: String,
    /// The whole days until the end of the validity, rounded down. Negative if the certificate has expired.
    pub days_left: i64,
}

/// An HTTP response, as far as it arrived.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers: at most 60, and only the first ones if they take more than 8 KiB.
    pub headers: Lines,
    /// The beginning of the body, decompressed.
    pub body: Excerpt,
}

/// The beginning of the bytes that a target sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Excerpt {
    /// The number of all bytes that arrived.
    pub size: u64,
    /// The first bytes as text, at most [`MAX_BYTES`](Self::MAX_BYTES) of them. `None` if they are binary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// An SSH connection, and the last command that was run over it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Ssh {
    /// The host, a name or an address, as the guest gave it.
    pub host: String,
    /// The user to log in as. `None` if the guest gave none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// The TCP connection to the server.
    pub connection: Connection,
    /// The server's identification string. If the server sent none, the first line that it sent instead, at most 200
    /// characters. `None` if nothing arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub banner: Option<String>,
    /// The type and the fingerprint of the server's key: `ssh-ed25519 SHA256:…`. `None` if the server showed no key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
    /// The methods of authentication that the server offered, such as `publickey`. It is empty if the server accepted
    /// the user without authentication, or if the connection failed before this phase.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// The last command. `None` if no command was run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<Command>,
}

/// A command that was run over SSH, and its result.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// The first line of the command, at most 200 characters.
    pub command: String,
    /// The exit status. `None` if a signal ended the command, or if the server did not send the status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u32>,
    /// The signal that ended the command, without `SIG`: `KILL`. `None` if no signal did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<String>,
    /// The beginning of the standard output.
    pub stdout: Excerpt,
    /// The beginning of the standard error.
    pub stderr: Excerpt,
}

/// A TCP connection over which the guest itself implements a protocol.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Tcp {
    /// The connection to the peer.
    pub connection: Connection,
    /// The number of bytes that were sent.
    pub sent: u64,
    /// The beginning of the bytes that were received.
    pub received: Excerpt,
    /// True if the peer ended its direction of the connection.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub closed: bool,
}

impl Connection {
    /// Returns true if both connections went to the same target: to the same port of the same names, or to the same
    /// address and port if no name was resolved for either.
    pub fn has_same_target(&self, other: &Self) -> bool {
        let port = |connection: &Self| connection.peer.rsplit(':').next().map(str::to_owned);
        if self.names.is_empty() {
            other.names.is_empty() && self.peer == other.peer
        } else {
            self.names == other.names && port(self) == port(other)
        }
    }
}

impl Excerpt {
    /// The maximum number of bytes of an excerpt.
    pub const MAX_BYTES: usize = 2048;

    /// Returns the excerpt of `size` bytes that start with `beginning`, of which the excerpt contains at most
    /// [`MAX_BYTES`](Self::MAX_BYTES).
    pub fn new(beginning: &[u8], size: u64) -> Self {
        let beginning = &beginning[..beginning.len().min(Self::MAX_BYTES)];
        Self { size, text: decode_text(beginning, size > beginning.len() as u64) }
    }
}

/// Decodes bytes as UTF-8, with replacement characters for invalid ones. Returns `None` if the bytes are binary: if
/// they contain a NUL, or if more than a tenth of the characters are invalid or control characters.
///
/// If `is_truncated`, an incomplete character at the end is left out, since more bytes followed.
fn decode_text(bytes: &[u8], is_truncated: bool) -> Option<String> {
    let bytes = match std::str::from_utf8(bytes) {
        // Only the last character is incomplete.
        Err(error) if is_truncated && error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    let text = String::from_utf8_lossy(bytes);
    // Escape characters count as text: the output of commands has them for colours.
    let is_unprintable = |c: &char| *c == '\u{fffd}' || c.is_control() && !c.is_whitespace() && *c != '\u{1b}';
    let unprintable = text.chars().filter(is_unprintable);
    // Text in a legacy encoding stays readable within this bound; compressed data and images exceed it.
    (unprintable.count() * 10 <= text.chars().count() && !text.contains('\0')).then(|| text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_to_the_same_target_are_recognised() {
        let check = |one: (Option<&str>, &str), other: (Option<&str>, &str), expected| {
            let connection = |(name, peer): (Option<&str>, &str)| Connection {
                names: name.into_iter().map(str::to_owned).collect(),
                peer: peer.to_owned(),
                ..Connection::default()
            };
            assert_eq!(connection(one).has_same_target(&connection(other)), expected, "{one:?} {other:?}");
        };
        check((Some("a"), "[::1]:80"), (Some("a"), "127.0.0.1:80"), true);
        check((Some("a"), "[::1]:80"), (Some("a"), "127.0.0.1:81"), false);
        check((Some("a"), "[::1]:80"), (Some("b"), "[::1]:80"), false);
        check((None, "[::1]:80"), (None, "127.0.0.1:80"), false);
        check((None, "[::1]:80"), (None, "[::1]:80"), true);
        check((None, "[::1]:80"), (Some("a"), "[::1]:80"), false);
    }

    #[test]
    fn only_excerpts_that_are_text_are_decoded() {
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
        // Each `é` has two bytes, and the bound falls between the two bytes of one.
        check(("x".to_owned() + &"é".repeat(3000)).as_bytes(), 6001, Some(&("x".to_owned() + &"é".repeat(1023))));
    }
}
