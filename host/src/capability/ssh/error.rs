//! Errors of SSH connections, with messages for operators.
//!
//! The messages contain public data only: no key, passphrase or password.

use std::io::ErrorKind;
use std::net::SocketAddr;

use crate::capability::net_errors::{connect_error, lower_first};
use crate::capability::quota::{Exceeded, Quota};
use crate::capability::ssh::algorithms::Kind;
use crate::capability::ssh::handshake::HandshakeFacts;
use crate::capability::ssh::text::{io_message, printable_line};
use crate::run::LimitKind;
use crate::trace::Status;

/// The reason why a connection cannot be opened or used, with a sentence for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The operator does not allow the connection or the command.
    #[error("{0}")]
    Denied(String),
    /// The name did not resolve.
    #[error("{0}")]
    Dns(String),
    /// There is no TCP connection.
    #[error("{0}")]
    Connect(String),
    /// The host key is not trusted.
    #[error("{0}")]
    HostKey(String),
    /// The server accepted none of the credentials.
    #[error("{0}")]
    Auth(String),
    /// The connection's time is used up. The sentence names the phase.
    #[error("{0}")]
    Timeout(String),
    /// The server closed the connection, refused a request, or violated the protocol.
    #[error("{0}")]
    Protocol(String),
    /// Any other reason, mostly on the client's side, such as a key file that cannot be read.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// Returns the name of the variant as traces and evidence have it.
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

    /// Ends the attempt if this is a timeout, and the connection had less time than the guest has asked for because the
    /// run waited for other runs first (`is_shortened`). The target is not to blame for such a timeout.
    ///
    /// # Errors
    /// [`Exceeded`] with the limit `deadline` in that case.
    pub fn check_shortened(&self, is_shortened: bool, quota: &Quota) -> Result<(), Exceeded> {
        match self {
            Self::Timeout(_) if is_shortened => Err(quota.set_exceeded(LimitKind::Deadline)),
            _ => Ok(()),
        }
    }

    /// Returns the status of a span that ended with this error.
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

/// Returns the error of a TCP connection that was not established. `addresses` is the list of the addresses tried.
pub fn from_connect(error: &std::io::Error, addresses: &str) -> Error {
    Error::Connect(connect_error(Some(error.kind()), addresses, &io_message(error)))
}

/// Returns the error for an error of russh. The message depends on how far the handshake got.
pub fn from_russh(error: &russh::Error, facts: &HandshakeFacts, peer: &SocketAddr) -> Error {
    Error::Protocol(if facts.banner.is_none() {
        missing_banner(error, facts, peer)
    } else {
        protocol_message(error, facts)
    })
}

/// Returns the message for an error of russh after the banners were exchanged.
pub fn protocol_message(error: &russh::Error, facts: &HandshakeFacts) -> String {
    use russh::Error as E;
    match error {
        E::NoCommonAlgo { kind, theirs, .. } => no_common_algorithm(kind, theirs),
        E::WrongServerSig => {
            "the server's signature with its host key is invalid: it may not have the private key".to_owned()
        }
        E::UnknownAlgo | E::SshKey(_) | E::SshEncoding(_) | E::Signature(_) if facts.algorithms.is_none() => {
            "the server sent a key or signature of an unknown type or form".to_owned()
        }
        E::KexInit | E::Kex => "the server broke off the key exchange, or sent what does not belong to it".to_owned(),
        E::PacketAuth | E::DecryptionError => "a packet of the server was damaged on the way".to_owned(),
        E::Inconsistent => "the server sent a message that does not belong there".to_owned(),
        E::NoAuthMethod => "the server offers no way to log in".to_owned(),
        E::RequestDenied => "the server denied the request".to_owned(),
        E::IO(error) => broken_connection(error, facts),
        E::Disconnect | E::HUP | E::SendError | E::RecvError | E::Join(_) => closed_connection(facts),
        other => format!("the server violated the SSH protocol: {}", lower_first(&other.to_string())),
    }
}

/// Returns the message for a connection that has ended: by the server, or by russh after a protocol error.
pub fn closed_connection(facts: &HandshakeFacts) -> String {
    match (&facts.disconnect_message, &facts.protocol_error) {
        (Some(message), _) => format!("the server closed the connection with the message `{message}`"),
        (None, Some(message)) => message.clone(),
        (None, None) => "the server closed the connection".to_owned(),
    }
}

/// Returns the description of the wait for a banner, with the text that the server has sent in place of a banner.
pub fn waiting_for_banner(facts: &HandshakeFacts) -> String {
    let preface = printable_line(&facts.preface);
    if preface.is_empty() {
        "waiting for the server's banner".to_owned()
    } else {
        format!("waiting for the server's banner, after it sent `{preface}`")
    }
}

fn broken_connection(error: &std::io::Error, facts: &HandshakeFacts) -> String {
    match error.kind() {
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => "the server reset the connection".to_owned(),
        ErrorKind::UnexpectedEof => closed_connection(facts),
        _ => format!("the connection broke: {}", io_message(error)),
    }
}

fn missing_banner(error: &russh::Error, facts: &HandshakeFacts, peer: &SocketAddr) -> String {
    let preface = printable_line(&facts.preface);
    let is_reset = matches!(error, russh::Error::IO(error) if error.kind() == ErrorKind::ConnectionReset);
    if preface.starts_with("SSH-1.") {
        return format!("the server's version of SSH is too old: `{preface}`");
    }
    match (preface.is_empty(), is_reset) {
        (true, true) => format!("{peer} reset the connection before it sent a banner"),
        (true, false) => format!("{peer} closed the connection before it sent a banner"),
        (false, _) => format!("{peer} sent no SSH banner, but `{preface}`"),
    }
}

/// Returns the message for a server with which no algorithm of a kind is in common: those that it offers, and what to
/// write to allow one of them, if there is one.
fn no_common_algorithm(kind: &russh::AlgorithmKind, theirs: &[String]) -> String {
    let name = match kind {
        russh::AlgorithmKind::Kex => "key exchange",
        russh::AlgorithmKind::Key => "host key",
        russh::AlgorithmKind::Cipher => "cipher",
        russh::AlgorithmKind::Compression => "compression",
        russh::AlgorithmKind::Mac => "MAC",
    };
    // The list also contains names that announce extensions of the protocol and are no algorithms.
    let theirs: Vec<_> =
        theirs.iter().filter(|name| !name.starts_with("ext-info-") && !name.starts_with("kex-strict-")).collect();
    let offered = theirs.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
    let offered = printable_line(offered.as_bytes());
    let advice = Kind::from_russh(kind).map_or_else(String::new, |kind| {
        match kind.supported().find(|supported| theirs.iter().any(|offered| offered == supported)) {
            Some(algorithm) => {
                format!(
                    "; if it cannot be updated, allow one of them: `algorithms: {{{}: [+{algorithm}]}}`",
                    kind.key()
                )
            }
            None => "; none of them is supported".to_owned(),
        }
    });
    format!("no {name} in common: the server offers {offered}{advice}")
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[track_caller]
    fn check(error: &russh::Error, preface: &str, has_banner: bool, expected: &str) {
        let banner = has_banner.then(|| ("SSH-2.0-x".to_owned(), Instant::now()));
        let facts = HandshakeFacts { preface: preface.into(), banner, ..HandshakeFacts::default() };
        let peer = "192.0.2.1:22".parse().expect("the address is valid");
        assert_eq!(from_russh(error, &facts, &peer), Error::Protocol(expected.to_owned()));
    }

    #[test]
    fn messages_of_errors_before_the_banner() {
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
            "the server's version of SSH is too old: `SSH-1.5-Cisco-1.25`",
        );
    }

    #[test]
    fn messages_of_errors_after_the_banner() {
        use russh::Error as E;
        check(&E::Disconnect, "", true, "the server closed the connection");
        check(&E::IO(ErrorKind::UnexpectedEof.into()), "", true, "the server closed the connection");
        check(&E::IO(ErrorKind::BrokenPipe.into()), "", true, "the server reset the connection");
        check(&E::PacketSize(9), "", true, "the server violated the SSH protocol: bad packet size: 9");
        let strange = E::NoCommonAlgo {
            kind: russh::AlgorithmKind::Cipher,
            ours: vec!["aes256-ctr".into()],
            theirs: vec!["arcfour".into(), "blowfish-cbc".into()],
        };
        check(
            &strange,
            "",
            true,
            "no cipher in common: the server offers arcfour, blowfish-cbc; none of them is supported",
        );
        let no_common = E::NoCommonAlgo {
            kind: russh::AlgorithmKind::Kex,
            ours: vec!["curve25519-sha256".into(), "ext-info-c".into()],
            theirs: vec!["diffie-hellman-group1-sha1".into(), "kex-strict-s-v00@openssh.com".into()],
        };
        check(
            &no_common,
            "",
            true,
            "no key exchange in common: the server offers diffie-hellman-group1-sha1; if it cannot be updated, allow one of \
             them: `algorithms: {kex: [+diffie-hellman-group1-sha1]}`",
        );
    }
}
