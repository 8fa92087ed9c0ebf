//! Messages of network errors.

use std::io::{Error, ErrorKind};

use crate::plain_error::plain_text;

/// Returns the message for a TCP connection that could not be made to any of `addresses`. `other` is the system's text,
/// for errors of a `kind` that has no message of its own.
pub fn connect_error(kind: Option<ErrorKind>, addresses: &str, other: &str) -> String {
    match kind {
        Some(ErrorKind::ConnectionRefused) => format!("connection refused by {addresses}: nothing listens there"),
        Some(ErrorKind::TimedOut) => format!("no answer from {addresses}"),
        Some(ErrorKind::HostUnreachable) => format!("no route to {addresses}"),
        Some(ErrorKind::NetworkUnreachable) => format!("no network that reaches {addresses}"),
        Some(ErrorKind::ConnectionReset) => format!("connection reset by {addresses}"),
        Some(ErrorKind::PermissionDenied) => format!("not allowed to connect to {addresses}"),
        _ => format!("cannot connect to {addresses}: {}", plain_text(other)),
    }
}

/// Returns true if an error of this kind is an answer of the host, which refused or reset the connection.
pub fn is_refusal(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset)
}

/// Returns the message for a name that the system's resolver does not resolve.
pub fn lookup_error(name: &str, error: &Error) -> String {
    let text = error.to_string();
    let reason = text.strip_prefix("failed to lookup address information: ").unwrap_or(&text);
    format!("`{name}` does not resolve: {}", lower_first(reason))
}

/// Returns a text with its first letter in lower case.
pub fn lower_first(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_lowercase().chain(characters).collect())
}

/// Returns a number of bytes with its unit: `1 byte`, `2 bytes`.
pub fn bytes(count: u64) -> String {
    format!("{count} byte{}", if count == 1 { "" } else { "s" })
}
