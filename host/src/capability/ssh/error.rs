//! Why there is no session, or not the expected one, in words for a person. Public things alone stand in them: no key,
//! passphrase or password.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::capability::net_errors::{connect_error, lower_first};
use crate::capability::ssh::instrumented_stream::HandshakeFacts;
use crate::capability::timeout::Timeout;
use crate::trace::Status;

/// Why something did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The configuration does not allow it.
    #[error("{0}")]
    Denied(String),
    /// The name did not resolve.
    #[error("{0}")]
    Dns(String),
    /// No TCP connection.
    #[error("{0}")]
    Connect(String),
    /// The host's key is not one that is trusted.
    #[error("{0}")]
    HostKey(String),
    /// The server took none of the credentials.
    #[error("{0}")]
    Auth(String),
    /// Not done in time; the words say in which phase.
    #[error("{0}")]
    Timeout(String),
    /// The peer broke off, or did not speak SSH.
    #[error("{0}")]
    Protocol(String),
    /// What none of the above names: our own side, mostly.
    #[error("{0}")]
    Other(String),
}

impl Error {
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Dns(_) => "dns",
            Self::Connect(_) => "connect",
            Self::HostKey(_) => "host-key",
            Self::Auth(_) => "auth",
            Self::Timeout(_) => "timeout",
            Self::Protocol(_) => "protocol",
            Self::Other(_) => "other",
        }
    }

    pub fn status(&self) -> Status {
        match self {
            Self::Denied(_) => Status::PermissionDenied,
            Self::Dns(_) | Self::Connect(_) => Status::Unavailable,
            Self::HostKey(_) => Status::FailedPrecondition,
            Self::Auth(_) => Status::Unauthenticated,
            Self::Timeout(_) => Status::DeadlineExceeded,
            Self::Protocol(_) | Self::Other(_) => Status::InternalError,
        }
    }
}

/// A limit that has begun to run.
#[derive(Debug, Clone, Copy)]
pub struct TimeBudget {
    started: Instant,
    limit: Timeout,
}

impl TimeBudget {
    pub fn start(limit: Timeout) -> Self {
        Self { started: Instant::now(), limit }
    }

    pub fn left(&self) -> Duration {
        self.limit.time().saturating_sub(self.started.elapsed())
    }

    /// Waits for `work` as long as the limit lets it; `doing` says at what, should it not be done.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it is not done in time.
    pub async fn within<T>(&self, work: impl Future<Output = T>, doing: impl FnOnce() -> String) -> Result<T, Error> {
        tokio::time::timeout(self.left(), work).await.map_err(|_| self.timed_out(&doing()))
    }

    pub fn timed_out(&self, doing: &str) -> Error {
        Error::Timeout(self.limit.timed_out(doing))
    }
}

/// Why there is no TCP connection to any of these addresses.
pub fn connect(error: &std::io::Error, addresses: &str) -> Error {
    Error::Connect(connect_error(Some(error.kind()), addresses, &io(error)))
}

/// What the protocol's side says, told by how far it got.
pub fn explain(error: &russh::Error, seen: &HandshakeFacts, peer: &SocketAddr) -> Error {
    Error::Protocol(match seen.banner {
        None => no_banner(error, seen, peer),
        Some(_) => protocol(error, seen),
    })
}

/// What it says once the banners are exchanged.
pub fn protocol(error: &russh::Error, seen: &HandshakeFacts) -> String {
    use russh::Error as E;
    match error {
        E::NoCommonAlgo { kind, ours, theirs } => no_common(kind, ours, theirs),
        E::WrongServerSig | E::Signature(_) => {
            "the server did not prove that it holds its host key: its signature does not hold".to_owned()
        }
        E::NoAuthMethod => "the server offers no way to log in".to_owned(),
        E::RequestDenied => "the server denied the request".to_owned(),
        E::IO(error) => broken_off(error, seen),
        E::Disconnect | E::HUP | E::SendError | E::RecvError | E::Join(_) => gone(seen),
        other => format!("the server does not speak SSH as it should: {}", lower_first(&other.to_string())),
    }
}

/// The server ended the connection.
pub fn gone(seen: &HandshakeFacts) -> String {
    match (&seen.farewell, &seen.broke) {
        (Some(farewell), _) => format!("the server closed the connection, saying `{farewell}`"),
        (None, Some(why)) => why.clone(),
        (None, None) => "the server closed the connection".to_owned(),
    }
}

fn broken_off(error: &std::io::Error, seen: &HandshakeFacts) -> String {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "the server reset the connection".to_owned(),
        ErrorKind::UnexpectedEof => gone(seen),
        _ => format!("the connection broke: {}", io(error)),
    }
}

fn no_banner(error: &russh::Error, seen: &HandshakeFacts, peer: &SocketAddr) -> String {
    let said = words(&seen.preface);
    let reset = matches!(error, russh::Error::IO(error) if error.kind() == ErrorKind::ConnectionReset);
    if said.starts_with("SSH-1.") {
        return format!("the server speaks an SSH that is too old for us: `{said}`");
    }
    match (said.is_empty(), reset) {
        (true, true) => format!("{peer} reset the connection before it sent a banner"),
        (true, false) => format!("{peer} closed the connection before it sent a banner"),
        (false, _) => format!("{peer} sent no SSH banner, but `{said}`"),
    }
}

/// While waiting for a banner: for what, and what has come.
pub fn awaiting_banner(seen: &HandshakeFacts) -> String {
    let said = words(&seen.preface);
    match said.is_empty() {
        true => "waiting for the server's banner".to_owned(),
        false => format!("waiting for the server's banner, after it said `{said}`"),
    }
}

fn no_common(kind: &russh::AlgorithmKind, ours: &[String], theirs: &[String]) -> String {
    let kind = match kind {
        russh::AlgorithmKind::Kex => "key exchange",
        russh::AlgorithmKind::Key => "host key",
        russh::AlgorithmKind::Cipher => "cipher",
        russh::AlgorithmKind::Compression => "compression",
        russh::AlgorithmKind::Mac => "MAC",
    };
    // Not algorithms, but what either side says of itself in the same list.
    let real = |names: &[String]| {
        let names = names.iter().filter(|name| !name.starts_with("ext-info-") && !name.starts_with("kex-strict-"));
        words(names.cloned().collect::<Vec<_>>().join(", ").as_bytes())
    };
    format!("no {kind} in common: the server offers {}; we take {}", real(theirs), real(ours))
}

/// What a peer said, fit to be shown: one line of it, cut.
pub fn words(bytes: &[u8]) -> String {
    const LONGEST: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let shown: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect();
    if line.chars().nth(LONGEST).is_some() { shown + "…" } else { shown }
}

/// What the system says, without its number.
pub fn io(error: &std::io::Error) -> String {
    let text = error.to_string();
    lower_first(text.split(" (os error").next().unwrap_or(&text))
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: &russh::Error, preface: &str, banner: bool, expected: &str) {
        let banner = banner.then(|| ("SSH-2.0-x".to_owned(), Instant::now()));
        let seen = HandshakeFacts { preface: preface.into(), banner, ..HandshakeFacts::default() };
        let peer = "192.0.2.1:22".parse().expect("an address");
        assert_eq!(explain(error, &seen, &peer), Error::Protocol(expected.to_owned()));
    }

    #[test]
    fn instead_of_a_banner() {
        use russh::Error as E;
        check(&E::Disconnect, "", false, "192.0.2.1:22 closed the connection before it sent a banner");
        check(
            &E::IO(ErrorKind::ConnectionReset.into()),
            "",
            false,
            "192.0.2.1:22 reset the connection before it sent a banner",
        );
        check(
            &E::Disconnect,
            "HTTP/1.1 400 Bad Request\r\nx: y\r\n",
            false,
            "192.0.2.1:22 sent no SSH banner, but `HTTP/1.1 400 Bad Request`",
        );
        check(&E::Version, "\u{1}\u{7f}a\n", false, "192.0.2.1:22 sent no SSH banner, but `  a`");
        check(
            &E::Disconnect,
            "SSH-1.5-Cisco-1.25\n",
            false,
            "the server speaks an SSH that is too old for us: `SSH-1.5-Cisco-1.25`",
        );
    }

    #[test]
    fn after_the_banner() {
        use russh::Error as E;
        check(&E::Disconnect, "", true, "the server closed the connection");
        check(&E::IO(ErrorKind::UnexpectedEof.into()), "", true, "the server closed the connection");
        check(&E::IO(ErrorKind::BrokenPipe.into()), "", true, "the server reset the connection");
        check(&E::KexInit, "", true, "the server does not speak SSH as it should: key exchange init failed");
        let no_common = E::NoCommonAlgo {
            kind: russh::AlgorithmKind::Kex,
            ours: vec!["curve25519-sha256".into(), "ext-info-c".into()],
            theirs: vec!["diffie-hellman-group1-sha1".into(), "kex-strict-s-v00@openssh.com".into()],
        };
        check(
            &no_common,
            "",
            true,
            "no key exchange in common: the server offers diffie-hellman-group1-sha1; we take curve25519-sha256",
        );
    }

    #[test]
    fn what_peers_say_is_cut_to_a_line() {
        assert_eq!(words(b"\r\n  220 mail ready\r\nmore"), "220 mail ready");
        assert_eq!(words(b"\xff\x00x"), "\u{fffd} x");
        assert_eq!(words("é".repeat(300).as_bytes()), "é".repeat(200) + "…");
        assert_eq!(words(b""), "");
    }

    #[test]
    fn lists() {
        let list_of = |items: &[&str]| list(&items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>());
        assert_eq!(list_of(&[]), "");
        assert_eq!(list_of(&["a"]), "a");
        assert_eq!(list_of(&["a", "b", "c"]), "a, b and c");
    }
}
