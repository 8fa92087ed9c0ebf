//! Text of error messages.

use crate::capability::net_errors::lower_first;

/// Returns the first line of a peer's bytes that is not empty, without control characters, cut to 200 characters.
pub fn printable_line(bytes: &[u8]) -> String {
    const MAX_CHARS: usize = 200;
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    let printable: String = line.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_CHARS).collect();
    if line.chars().nth(MAX_CHARS).is_some() { printable + "…" } else { printable }
}

/// Returns the message of an I/O error without the system's error number.
pub fn io_message(error: &std::io::Error) -> String {
    let text = error.to_string();
    lower_first(text.split(" (os error").next().unwrap_or(&text))
}

/// Joins items to a list in a sentence: `a`, `a and b`, `a, b and c`.
pub fn join_list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [item] => item.clone(),
        [items @ .., last] => format!("{} and {last}", items.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_text_of_peers_to_a_line() {
        assert_eq!(printable_line(b"\r\n  220 mail ready\r\nmore"), "220 mail ready");
        assert_eq!(printable_line(b"\xff\x00x"), "\u{fffd} x");
        assert_eq!(printable_line("é".repeat(300).as_bytes()), "é".repeat(200) + "…");
        assert_eq!(printable_line(b""), "");
    }

    #[test]
    fn joins_lists() {
        let join = |items: &[&str]| join_list(&items.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>());
        assert_eq!(join(&[]), "");
        assert_eq!(join(&["a"]), "a");
        assert_eq!(join(&["a", "b"]), "a and b");
        assert_eq!(join(&["a", "b", "c"]), "a, b and c");
    }
}
