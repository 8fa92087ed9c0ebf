//! Messages of network errors.

use std::io::{Error, ErrorKind};

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

/// Returns the name of a variant of an enumeration in words: `handshake failure` for `HandshakeFailure`. What the variant
/// contains is left out. It serves errors of libraries that have no text of their own.
pub fn variant_words(variant: &impl std::fmt::Debug) -> String {
    let debug = format!("{variant:?}");
    let end = debug.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(debug.len());
    let letters: Vec<char> = debug[..end].chars().collect();
    let mut words = String::new();
    for (index, letter) in letters.iter().enumerate() {
        let follows_small = index > 0 && !letters[index - 1].is_ascii_uppercase();
        let precedes_small = letters.get(index + 1).is_some_and(char::is_ascii_lowercase);
        if index > 0 && letter.is_ascii_uppercase() && (follows_small || precedes_small) {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// Returns the text of a library's error, in words alone if it looks like Rust's `Debug` output.
pub fn plain_text(text: &str) -> String {
    // An identifier such as `UnexpectedEof`, or a capital word directly before a parenthesis, such as `Other(`.
    let is_identifier = |word: &str| {
        let letters: Vec<char> = word.chars().collect();
        word.starts_with(char::is_uppercase)
            && letters.windows(2).any(|pair| pair[0].is_lowercase() && pair[1].is_uppercase())
    };
    let mut before_parentheses = text.match_indices('(').filter_map(|(at, _)| text[..at].split(' ').next_back());
    let is_debug = text.contains(['{', '}'])
        || text.split(|c: char| !c.is_alphanumeric()).any(is_identifier)
        || before_parentheses.any(|word| word.starts_with(char::is_uppercase));
    if !is_debug {
        return text.to_owned();
    }
    let first = text.split(|c: char| !c.is_alphanumeric()).find(|word| is_identifier(word));
    first.map_or_else(|| "unknown error".to_owned(), |name| variant_words(&format_args!("{name}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_libraries_are_shown_in_words() {
        assert_eq!(variant_words(&ErrorKind::ConnectionRefused), "connection refused");
        assert_eq!(variant_words(&rustls::AlertDescription::UnknownCA), "unknown ca");
        assert_eq!(variant_words(&rustls::InvalidMessage::MissingData("x")), "missing data");
        assert_eq!(plain_text("invalid IPv4 address"), "invalid IPv4 address");
        assert_eq!(plain_text("Connection refused (os error 111)"), "Connection refused (os error 111)");
        assert_eq!(plain_text("Msg(NoName { x: 1 })"), "no name");
        assert_eq!(plain_text("Err({1})"), "unknown error");
    }
}
