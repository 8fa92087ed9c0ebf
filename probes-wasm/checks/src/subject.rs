//! What is looked at.

use crate::JsonPath;
use crate::words::{closest, cut};

/// What is looked at, and what an [`Answer`](crate::Answer) is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    Status,
    /// Its name, in lower case. Several of that name are one value, joined by `, `.
    Header(String),
    Body,
    /// Never asked for: it is found in [`Answer::json`](crate::Answer::json).
    Json(JsonPath),
    /// Bytes of the body, those not kept included.
    Size,
    /// Seconds for the whole exchange.
    Time,
    /// Seconds for a part of it; 0 for one that did not happen, so that a bound holds.
    TimeOf(Phase),
    /// Whole days until the server's own certificate ends.
    CertificateDays,
    /// Whole days until the first of the certificates that the server sent ends.
    ChainDays,
    /// The absolute URL that the answer leads to.
    Redirect,
    /// The URL that the answer came from, redirects followed.
    Url,
    HttpVersion,
    TlsVersion,
    RemoteAddress,
    ExitStatus,
    Stdout,
    StdoutSize,
    Stderr,
    StderrSize,
    ServerVersion,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Dns,
    Connect,
    Tls,
    Send,
    Wait,
    Receive,
}

/// What the checks are of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Http,
    Ssh,
}

/// Which operators and values make sense of a subject, and how it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nature {
    Json,
    Text,
    /// Text that is read as a number where it is held against one.
    Wire,
    Status,
    Number(Unit),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    None,
    Bytes,
    Days,
    Seconds,
}

/// A subject's name, and what it is in words for an editor.
pub(crate) type Name = (&'static str, Subject, &'static str);

const HTTP: &[Name] = &[
    ("status", Subject::Status, "The answer's status"),
    ("body", Subject::Body, "The answer's body as text"),
    ("size", Subject::Size, "Bytes of the body"),
    ("time", Subject::Time, "Seconds for the whole exchange"),
    ("time dns", Subject::TimeOf(Phase::Dns), "Seconds to resolve the name"),
    ("time connect", Subject::TimeOf(Phase::Connect), "Seconds to connect"),
    ("time tls", Subject::TimeOf(Phase::Tls), "Seconds for the TLS handshake"),
    ("time send", Subject::TimeOf(Phase::Send), "Seconds to send the request"),
    ("time wait", Subject::TimeOf(Phase::Wait), "Seconds until the answer began"),
    ("time receive", Subject::TimeOf(Phase::Receive), "Seconds to receive the answer"),
    ("certificate days", Subject::CertificateDays, "Whole days until the server's own certificate ends"),
    ("certificate chain days", Subject::ChainDays, "Whole days until the first certificate of the chain ends"),
    ("redirect", Subject::Redirect, "The absolute URL that the answer leads to"),
    ("url", Subject::Url, "Where the answer came from, redirects followed"),
    ("http version", Subject::HttpVersion, "1.0, 1.1 or 2"),
    ("tls version", Subject::TlsVersion, "1.2 or 1.3"),
    ("remote address", Subject::RemoteAddress, "The server's address and port"),
];

const SSH: &[Name] = &[
    ("exit status", Subject::ExitStatus, "The command's exit status"),
    ("stdout", Subject::Stdout, "What the command wrote"),
    ("stdout size", Subject::StdoutSize, "Bytes that the command wrote"),
    ("stderr", Subject::Stderr, "What the command wrote of errors"),
    ("stderr size", Subject::StderrSize, "Bytes that the command wrote of errors"),
    ("time", Subject::Time, "Seconds for the whole exchange"),
    ("server version", Subject::ServerVersion, "As the server introduces itself: `SSH-2.0-OpenSSH_9.2p1`"),
    ("remote address", Subject::RemoteAddress, "The server's address and port"),
];

/// As other tools call them.
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

impl Kind {
    pub(crate) fn names(self) -> &'static [Name] {
        match self {
            Self::Http => HTTP,
            Self::Ssh => SSH,
        }
    }
}

impl Subject {
    /// Reads a key of `checks`.
    ///
    /// # Errors
    /// No such subject; a sentence says which there are.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('$') {
            return JsonPath::parse(text).map(Self::Json);
        }
        let (first, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        if kind == Kind::Http && first == "header" {
            return header(rest.trim_start());
        }
        let names: Vec<&str> = kind.names().iter().map(|(name, ..)| *name).collect();
        if let Some((_, subject, _)) = kind.names().iter().find(|(name, ..)| *name == text) {
            return Ok(subject.clone());
        }
        let shown = cut(text.to_owned());
        if kind == Kind::Http && closest(first, &["header"], &[]).is_some() {
            let name = if rest.is_empty() { "NAME" } else { rest.trim_start() };
            return Err(format!("unknown subject `{shown}`, did you mean `header {}`?", cut(name.to_owned())));
        }
        // A synonym can stand for another kind's subject.
        if let Some(meant) = closest(text, &names, SYNONYMS).filter(|meant| names.contains(meant)) {
            return Err(format!("unknown subject `{shown}`, did you mean `{meant}`?"));
        }
        let header = if kind == Kind::Http { ", `header NAME`" } else { "" };
        let names = names.join("`, `");
        Err(format!("unknown subject `{shown}`, expected one of `{names}`{header} or a JSONPath such as `$.status`"))
    }

    pub(crate) fn nature(&self) -> Nature {
        match self {
            Self::Json(_) => Nature::Json,
            Self::Status => Nature::Status,
            Self::Body | Self::Redirect | Self::Url | Self::Stdout | Self::Stderr => Nature::Text,
            Self::Header(_) | Self::HttpVersion | Self::TlsVersion | Self::RemoteAddress | Self::ServerVersion => {
                Nature::Wire
            }
            Self::ExitStatus => Nature::Number(Unit::None),
            Self::Size | Self::StdoutSize | Self::StderrSize => Nature::Number(Unit::Bytes),
            Self::CertificateDays | Self::ChainDays => Nature::Number(Unit::Days),
            Self::Time | Self::TimeOf(_) => Nature::Number(Unit::Seconds),
        }
    }

    /// What an answer has in its place when it has none.
    pub(crate) fn missing(&self) -> &'static str {
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

/// RFC 9110's token.
fn header(name: &str) -> Result<Subject, String> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match name {
        "" => Err("expected a header's name, as in `header content-type`".to_owned()),
        name if name.bytes().all(token) => Ok(Subject::Header(name.to_ascii_lowercase())),
        name => Err(format!("`{}` is not a header's name", cut(name.to_owned()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects() {
        let check = |text, kind, subject| assert_eq!(Subject::parse(text, kind), Ok(subject), "{text}");
        check("status", Kind::Http, Subject::Status);
        check(" time wait ", Kind::Http, Subject::TimeOf(Phase::Wait));
        check("header Content-Type", Kind::Http, Subject::Header("content-type".to_owned()));
        check("header   x", Kind::Http, Subject::Header("x".to_owned()));
        check("stdout size", Kind::Ssh, Subject::StdoutSize);
        check("$.a", Kind::Ssh, Subject::Json(JsonPath::parse("$.a").expect("a path")));
    }

    #[test]
    fn what_is_no_subject() {
        let check = |text, kind, message: &str| assert_eq!(Subject::parse(text, kind).expect_err(text), message);
        check("stauts", Kind::Http, "unknown subject `stauts`, did you mean `status`?");
        check("Status", Kind::Http, "unknown subject `Status`, did you mean `status`?");
        check("time_wait", Kind::Http, "unknown subject `time_wait`, did you mean `time wait`?");
        check("response time", Kind::Http, "unknown subject `response time`, did you mean `time`?");
        check("Headers ETag", Kind::Http, "unknown subject `Headers ETag`, did you mean `header ETag`?");
        check("headers", Kind::Http, "unknown subject `headers`, did you mean `header NAME`?");
        check("exit-code", Kind::Ssh, "unknown subject `exit-code`, did you mean `exit status`?");
        check("header", Kind::Http, "expected a header's name, as in `header content-type`");
        check("header a b", Kind::Http, "`a b` is not a header's name");
        check("header ü", Kind::Http, "`ü` is not a header's name");
        check(
            "location",
            Kind::Ssh,
            "unknown subject `location`, expected one of `exit status`, `stdout`, `stdout size`, `stderr`, \
             `stderr size`, `time`, `server version`, `remote address` or a JSONPath such as `$.status`",
        );
        assert!(Subject::parse("colour", Kind::Http).expect_err("none").contains("`remote address`, `header NAME` or"));
        assert!(Subject::parse("", Kind::Http).is_err());
    }
}
