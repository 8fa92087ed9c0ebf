//! The subjects of checks: the parts of a response that can be checked.

use std::net::SocketAddr;

use serde_json::Value;

use crate::JsonPath;
use crate::messages::{closest_name, truncate};
use crate::unit::Unit;

/// A part of a response that can be checked. An [`Observation`](crate::Observation) has its value.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// The status of the HTTP response.
    Status,
    /// The header of this name, in lower case. Several lines of one name are one value, joined by `, `.
    Header(String),
    /// The body as text.
    Body,
    /// The matches of a JSONPath. They are searched in [`Observation::json`](crate::Observation::json), and
    /// [`Observation::value`](crate::Observation::value) is not called for them.
    Json(JsonPath),
    /// The size of the whole body in bytes, whatever part of it is available.
    Size,
    /// The time of the whole exchange, in seconds.
    Time,
    /// The time of one phase, in seconds; 0 if the phase did not take place, so that a bound holds.
    TimeOf(Phase),
    /// The whole days until the server's own certificate expires; after redirects, the smallest number of all servers.
    CertificateDays,
    /// The whole days until the first certificate expires of those by which the servers were verified.
    ChainDays,
    /// The absolute URL that the response redirects to.
    Redirect,
    /// The URL that the response came from, after redirects.
    Url,
    /// The version of HTTP: `1.0`, `1.1` or `2`.
    HttpVersion,
    /// The version of TLS: `1.2` or `1.3`.
    TlsVersion,
    /// The address and port of the server.
    RemoteAddress,
    /// The exit status of the command.
    ExitStatus,
    /// The standard output of the command as text.
    Stdout,
    /// The size of the standard output in bytes.
    StdoutSize,
    /// The standard error of the command as text.
    Stderr,
    /// The size of the standard error in bytes.
    StderrSize,
    /// The identification of the SSH server: `SSH-2.0-OpenSSH_9.2p1`.
    ServerVersion,
}

/// A phase of an HTTP exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Dns,
    Connect,
    Tls,
    Send,
    Wait,
    Receive,
}

/// The protocol of a response, which decides the subjects that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http,
    Ssh,
}

/// The kind of a subject, which decides the operators and values that are allowed, and how it is displayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubjectKind {
    Json,
    Text,
    /// Text that is parsed as a number or a boolean where it is compared with one.
    Wire,
    Status,
    Number(Unit),
}

/// A subject's name, the subject, and a description for editors.
pub(crate) type Name = (&'static str, Subject, &'static str);

const HTTP: &[Name] = &[
    ("status", Subject::Status, "The status of the response"),
    ("body", Subject::Body, "The body of the response as text"),
    ("size", Subject::Size, "The size of the body in bytes"),
    ("time", Subject::Time, "Seconds for the whole exchange; a bound can be text such as `500ms`"),
    ("time dns", Subject::TimeOf(Phase::Dns), "Seconds to resolve the name"),
    ("time connect", Subject::TimeOf(Phase::Connect), "Seconds to connect"),
    ("time tls", Subject::TimeOf(Phase::Tls), "Seconds for the TLS handshake"),
    ("time send", Subject::TimeOf(Phase::Send), "Seconds to send the request"),
    ("time wait", Subject::TimeOf(Phase::Wait), "Seconds from the sent request to the head of the response"),
    ("time receive", Subject::TimeOf(Phase::Receive), "Seconds to receive the body"),
    (
        "certificate days",
        Subject::CertificateDays,
        "Whole days until the server's own certificate expires; after redirects, the smallest number of all servers",
    ),
    (
        "certificate chain days",
        Subject::ChainDays,
        "Whole days until the first certificate expires of the chain by which the server's was verified; after redirects, of all servers",
    ),
    ("redirect", Subject::Redirect, "The absolute URL that the response redirects to"),
    ("url", Subject::Url, "The URL that the response came from, after redirects"),
    ("http version", Subject::HttpVersion, "The version of HTTP: 1.0, 1.1 or 2"),
    ("tls version", Subject::TlsVersion, "The version of TLS: 1.2 or 1.3"),
    ("remote address", Subject::RemoteAddress, "The address and port of the server"),
];

const SSH: &[Name] = &[
    ("exit status", Subject::ExitStatus, "The command's exit status"),
    ("stdout", Subject::Stdout, "The standard output of the command as text"),
    ("stdout size", Subject::StdoutSize, "The size of the standard output in bytes"),
    ("stderr", Subject::Stderr, "The standard error of the command as text"),
    ("stderr size", Subject::StderrSize, "The size of the standard error in bytes"),
    (
        "time",
        Subject::Time,
        "Seconds to connect, to log in and to run the command; a bound can be text such as `500ms`",
    ),
    ("server version", Subject::ServerVersion, "The identification of the server: `SSH-2.0-OpenSSH_9.2p1`"),
    ("remote address", Subject::RemoteAddress, "The address and port of the server"),
];

/// Names that other tools use, in lower case and without separators, and the subjects that they mean.
const SYNONYMS: &[(&str, &str)] = &[
    ("statuscode", "status"),
    ("text", "body"),
    ("content", "body"),
    ("duration", "time"),
    ("latency", "time"),
    ("responsetime", "time"),
    ("location", "redirect"),
    ("ip", "remote address"),
    ("exitcode", "exit status"),
];

impl Protocol {
    /// Returns the subjects that have a fixed name.
    pub(crate) fn names(self) -> &'static [Name] {
        match self {
            Self::Http => HTTP,
            Self::Ssh => SSH,
        }
    }
}

impl Subject {
    /// Parses a key of `checks`.
    ///
    /// # Errors
    /// Returns a sentence that names the subject that was probably meant, or else lists all subjects.
    pub fn parse(text: &str, protocol: Protocol) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('$') {
            return JsonPath::parse(text).map(Self::Json);
        }
        let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if protocol == Protocol::Http && first == "header" {
            return header(rest.trim_start());
        }
        let names: Vec<&str> = protocol.names().iter().map(|(name, ..)| *name).collect();
        if let Some((_, subject, _)) = protocol.names().iter().find(|(name, ..)| *name == text) {
            return Ok(subject.clone());
        }
        let shown = truncate(text.to_owned());
        if protocol == Protocol::Http && closest_name(first, &["header"], &[]).is_some() {
            let name = if rest.is_empty() { "NAME" } else { rest.trim_start() };
            return Err(format!("unknown subject `{shown}`, did you mean `header {}`?", truncate(name.to_owned())));
        }
        // A synonym can stand for a subject of the other protocol.
        if let Some(meant) = closest_name(text, &names, SYNONYMS).filter(|meant| names.contains(meant)) {
            return Err(format!("unknown subject `{shown}`, did you mean `{meant}`?"));
        }
        let header = if protocol == Protocol::Http { ", `header NAME`" } else { "" };
        let names = names.join("`, `");
        Err(format!("unknown subject `{shown}`, expected one of `{names}`{header} or a JSONPath such as `$.status`"))
    }

    /// Returns the kind of the subject.
    pub(crate) fn kind(&self) -> SubjectKind {
        match self {
            Self::Json(_) => SubjectKind::Json,
            Self::Status => SubjectKind::Status,
            Self::Body | Self::Redirect | Self::Url | Self::Stdout | Self::Stderr => SubjectKind::Text,
            Self::Header(_) | Self::HttpVersion | Self::TlsVersion | Self::RemoteAddress | Self::ServerVersion => {
                SubjectKind::Wire
            }
            Self::ExitStatus => SubjectKind::Number(Unit::None),
            Self::Size | Self::StdoutSize | Self::StderrSize => SubjectKind::Number(Unit::Bytes),
            Self::CertificateDays | Self::ChainDays => SubjectKind::Number(Unit::Days),
            Self::Time | Self::TimeOf(_) => SubjectKind::Number(Unit::Seconds),
        }
    }

    /// Returns why the subject never has a value, if it cannot have it, and what to write instead.
    pub(crate) fn why_never(&self, value: &Value) -> Option<&'static str> {
        let text = value.as_str();
        let is_one_of = |names: &[&str]| match value.as_f64() {
            Some(number) => names.iter().any(|name| name.parse() == Ok(number)),
            None => text.is_some_and(|text| names.contains(&text)),
        };
        let (is_possible, why) = match self {
            Self::HttpVersion => (is_one_of(&["1.0", "1.1", "2"]), "never the version of HTTP: that is 1.0, 1.1 or 2"),
            Self::TlsVersion => (is_one_of(&["1.2", "1.3"]), "never the version of TLS: that is 1.2 or 1.3"),
            Self::RemoteAddress => (
                text.is_some_and(|text| text.parse::<SocketAddr>().is_ok()),
                "never an address with its port, such as `192.0.2.7:443`: for any port write `{starts_with: \"192.0.2.7:\"}`",
            ),
            Self::Redirect | Self::Url => (
                text.is_some_and(|text| text.contains("://")),
                "never an absolute URL, such as `https://shop.example/login`: for a part of it write `{ends_with: /login}`",
            ),
            Self::ServerVersion => (
                text.is_some_and(|text| text.starts_with("SSH-")),
                "never a whole identification, such as `SSH-2.0-OpenSSH_9.2p1`: for a part of it write \
                 `{contains: OpenSSH_9}`",
            ),
            _ => return None,
        };
        (!is_possible).then_some(why)
    }

    /// Returns the text that stands for a missing value in a mismatch.
    pub(crate) fn absent_text(&self) -> &'static str {
        match self {
            Self::Json(_) => "no match",
            Self::Header(_) => "no such header",
            Self::CertificateDays | Self::ChainDays => "no certificate",
            Self::TlsVersion => "no TLS",
            Self::Redirect => "no redirect",
            Self::ExitStatus => "no exit status",
            _ => "nothing",
        }
    }
}

/// Parses the name of a header, which is a token of RFC 9110.
fn header(name: &str) -> Result<Subject, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match name {
        "" => Err("expected a header's name, as in `header content-type`".to_owned()),
        name if name.bytes().all(token) => Ok(Subject::Header(name.to_ascii_lowercase())),
        name => Err(format!("`{}` is not a header's name", truncate(name.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn subjects_are_parsed() {
        let check = |text, protocol, subject| assert_eq!(Subject::parse(text, protocol), Ok(subject), "{text}");
        check("status", Protocol::Http, Subject::Status);
        check(" time wait ", Protocol::Http, Subject::TimeOf(Phase::Wait));
        check("header Content-Type", Protocol::Http, Subject::Header("content-type".to_owned()));
        check("header   x", Protocol::Http, Subject::Header("x".to_owned()));
        check("stdout size", Protocol::Ssh, Subject::StdoutSize);
        check("$.a", Protocol::Ssh, Subject::Json(JsonPath::parse("$.a").expect("a path")));
    }

    #[test]
    fn values_that_never_occur_are_found() {
        let check = |subject: Subject, possible: &[Value], never: &[Value]| {
            for (values, expected) in [(possible, false), (never, true)] {
                for value in values {
                    assert_eq!(subject.why_never(value).is_some(), expected, "{subject:?} {value}");
                }
            }
        };
        let (no, yes) = (json!(["HTTP/2", "2.0", 3, true, "http/1.1"]), json!([2, 2.0, "2", 1.1, "1.1", 1, "1.0"]));
        check(Subject::HttpVersion, yes.as_array().expect("a list"), no.as_array().expect("a list"));
        check(Subject::TlsVersion, &[json!(1.3), json!("1.2")], &[json!("TLSv1.3"), json!(1.1), json!("1.30")]);
        check(
            Subject::RemoteAddress,
            &[json!("127.0.0.1:80"), json!("[::1]:80")],
            &[json!("127.0.0.1"), json!("h:80")],
        );
        check(Subject::Redirect, &[json!("http://h/login")], &[json!("/login"), json!("")]);
        check(Subject::Url, &[json!("http://h/")], &[json!("h")]);
        check(Subject::ServerVersion, &[json!("SSH-2.0-x")], &[json!("OpenSSH_9.2"), json!(9.2)]);
        check(Subject::Body, &[json!("x")], &[]);
    }

    #[test]
    fn unknown_subjects_are_rejected() {
        let check =
            |text, protocol, message: &str| assert_eq!(Subject::parse(text, protocol).expect_err(text), message);
        check("stauts", Protocol::Http, "unknown subject `stauts`, did you mean `status`?");
        check("Status", Protocol::Http, "unknown subject `Status`, did you mean `status`?");
        check("time_wait", Protocol::Http, "unknown subject `time_wait`, did you mean `time wait`?");
        check("response time", Protocol::Http, "unknown subject `response time`, did you mean `time`?");
        check("Headers ETag", Protocol::Http, "unknown subject `Headers ETag`, did you mean `header ETag`?");
        check("headers", Protocol::Http, "unknown subject `headers`, did you mean `header NAME`?");
        check("exit-code", Protocol::Ssh, "unknown subject `exit-code`, did you mean `exit status`?");
        check("header", Protocol::Http, "expected a header's name, as in `header content-type`");
        check("header a b", Protocol::Http, "`a b` is not a header's name");
        check("header ü", Protocol::Http, "`ü` is not a header's name");
        check(
            "location",
            Protocol::Ssh,
            "unknown subject `location`, expected one of `exit status`, `stdout`, `stdout size`, `stderr`, \
             `stderr size`, `time`, `server version`, `remote address` or a JSONPath such as `$.status`",
        );
        assert!(
            Subject::parse("colour", Protocol::Http)
                .expect_err("the subject is unknown")
                .contains("`remote address`, `header NAME` or")
        );
        assert!(Subject::parse("", Protocol::Http).is_err());
    }
}
