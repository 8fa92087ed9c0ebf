//! Errors of libraries in plain words: some have no text but Rust's `Debug` output.

use std::fmt::Debug;

/// Returns the name of a variant of an enumeration in words: `handshake failure` for `HandshakeFailure`. What the
/// variant contains is left out. It serves errors of libraries that have no text of their own.
pub fn variant_words(variant: &impl Debug) -> String {
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

/// Returns the text of a library's error. Parts of it, separated by colons, that look like Rust's `Debug` output are
/// replaced by the words of their first identifier.
pub fn plain_text(text: &str) -> String {
    let parts: Vec<_> = text.split(": ").collect();
    let is_structured = text.contains(['{', '}']);
    let parts = if is_structured { vec![text] } else { parts };
    parts.into_iter().map(plain_part).collect::<Vec<_>>().join(": ")
}

fn plain_part(text: &str) -> String {
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
    use std::io::ErrorKind;

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
        assert_eq!(plain_text("invalid peer certificate: UnknownIssuer"), "invalid peer certificate: unknown issuer");
    }
}
