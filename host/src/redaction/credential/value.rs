//! The extent of a value in JSON, forms, headers and source code.

use std::ops::Range;

use super::super::marker::REDACTED;

/// A value in a text.
pub struct Value {
    pub range: Range<usize>,
    /// True if the value is neither in quotes nor the rest of a line.
    pub is_bare: bool,
}

/// Returns true if the value that begins at `at` is in quotes.
pub fn is_quoted(text: &str, at: usize) -> bool {
    text[skip_prefix(text, at)..].trim_start_matches('\\').starts_with(['"', '\''])
}

/// Returns the position after the letters before the quotes, if there are any.
fn skip_prefix(text: &str, at: usize) -> usize {
    // Python writes bytes as `b"..."`.
    let prefix = text[at..].bytes().take(3).take_while(u8::is_ascii_alphabetic).count();
    if prefix <= 2 && text[at + prefix..].starts_with(['"', '\'']) { at + prefix } else { at }
}

/// Returns the value that begins at `at`. With `is_line`, a value without quotes is the rest of the line.
///
/// Returns `None` for a value that is no secret: an empty one, `null`, `true`, `false` and the like, and one that has
/// been redacted already.
pub fn find_value(text: &str, at: usize, is_line: bool) -> Option<Value> {
    let at = skip_prefix(text, at);
    let rest = &text[at..];
    let escapes = rest.len() - rest.trim_start_matches('\\').len();
    let (start, length, is_bare) = match rest[escapes..].chars().next()? {
        quote @ ('"' | '\'') => {
            let opening = &rest[..=escapes];
            (opening.len(), quoted_length(&rest[opening.len()..], opening, quote), false)
        }
        '[' | '{' if !rest.starts_with(REDACTED) => (0, nested_length(rest), true),
        _ if is_line => (0, rest.find(['\r', '\n', '"', '<']).unwrap_or(rest.len()), false),
        _ => (0, word_length(rest), true),
    };
    let value = rest[start..start + length].trim_end();
    let is_no_secret = matches!(value, "" | "null" | "true" | "false" | "nil" | "None" | "undefined" | REDACTED);
    (!is_no_secret).then(|| Value { range: at + start..at + start + value.len(), is_bare })
}

/// Returns the length up to the quotation mark that closes `opening`, or up to the end of the text.
fn quoted_length(rest: &str, opening: &str, quote: char) -> usize {
    if opening.len() > 1 {
        // A string in a string: the closing quotation mark is escaped in the same way as the opening one.
        return rest.find(opening).unwrap_or(rest.len());
    }
    let mut escaped = false;
    for (index, character) in rest.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return index,
            _ => {}
        }
    }
    rest.len()
}

/// Returns the length of a JSON list or map, or that of the text if it is cut off.
fn nested_length(rest: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for (index, character) in rest.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => in_string = !in_string,
            '[' | '{' if !in_string => depth += 1,
            ']' | '}' if !in_string => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return index + 1;
                }
            }
            _ => {}
        }
    }
    rest.len()
}

/// Returns the length of a word in a form, in a query or in a list of parameters. After a scheme of authentication, the
/// length includes the next word.
fn word_length(rest: &str) -> usize {
    const SCHEMES: [&str; 6] = ["basic", "bearer", "digest", "negotiate", "ntlm", "token"];
    if rest.starts_with(REDACTED) {
        return REDACTED.len();
    }
    let word = |rest: &str| {
        let is_end = |c: char| c.is_whitespace() || ",;&\"'<>)]}\\".contains(c);
        rest.find(is_end).unwrap_or(rest.len()).min(rest.find("%26").unwrap_or(rest.len()))
    };
    let first = word(rest);
    match rest[first..].strip_prefix(' ') {
        Some(second) if SCHEMES.contains(&rest[..first].to_ascii_lowercase().as_str()) => first + 1 + word(second),
        _ => first,
    }
}
