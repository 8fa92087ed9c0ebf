//! What the network's failures are called, for a person: lower case, no full stop.

use std::io::{Error, ErrorKind};

/// Why there is no TCP connection to any of these addresses; `other` says it where the system's kind does not.
pub fn connect_error(kind: Option<ErrorKind>, addresses: &str, other: &str) -> String {
    match kind {
        Some(ErrorKind::ConnectionRefused) => format!("connection refused by {addresses}: nothing listens there"),
        Some(ErrorKind::TimedOut) => format!("no answer from {addresses}"),
        Some(ErrorKind::HostUnreachable) => format!("no route to {addresses}"),
        Some(ErrorKind::NetworkUnreachable) => format!("no network that reaches {addresses}"),
        Some(ErrorKind::ConnectionReset) => format!("connection reset by {addresses}"),
        Some(ErrorKind::PermissionDenied) => format!("not allowed to connect to {addresses}"),
        _ => format!("cannot connect to {addresses}: {other}"),
    }
}

/// Whether a host that was not connected to has answered all the same: a refusal comes from somewhere.
pub fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

/// What the system's resolver says of a name.
pub fn lookup_error(name: &str, error: &Error) -> String {
    let text = error.to_string();
    let why = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    format!("`{name}` does not resolve: {}", lower_first(why))
}

pub fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// `1 byte`, `2 bytes`.
pub fn bytes(count: u64) -> String {
    format!("{count} byte{}", if count == 1 { "" } else { "s" })
}
