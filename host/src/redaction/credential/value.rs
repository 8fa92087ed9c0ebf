//! Where a value ends. Knows how JSON, forms, headers and source code write theirs.

use std::ops::Range;

use super::REDACTED;

/// The value that begins at `at`, and whether it is bare: neither within quotes nor the rest of a `line`. None where it
/// tells nothing, or has been taken out already.
pub fn find_value(text: &str, at: usize, line: bool) -> Option<(Range<usize>, bool)> {
    // `b"..."`, as Python writes bytes.
    let letters = text[at..].bytes().take_while(u8::is_ascii_alphabetic).count();
    let at = if letters <= 2 && text[at + letters..].starts_with(['"', '\'']) { at + letters } else { at };
    let rest = &text[at..];
    let escapes = rest.len() - rest.trim_start_matches('\\').len();
    let (start, length, bare) = match rest[escapes..].chars().next()? {
        quote @ ('"' | '\'') => {
            let opening = &rest[..=escapes];
            (opening.len(), quoted_length(&rest[opening.len()..], opening, quote), false)
        }
        '[' | '{' if !rest.starts_with(REDACTED) => (0, nested_length(rest), true),
        _ if line => (0, rest.find(['\r', '\n', '"', '<']).unwrap_or(rest.len()), false),
        _ => (0, word_length(rest), true),
    };
    let found = rest[start..start + length].trim_end();
    let told = matches!(found, "" | "null" | "true" | "false" | "nil" | "None" | "undefined") || found == REDACTED;
    (!told).then(|| (at + start..at + start + found.len(), bare))
}

/// Up to the quote that ends what `opening` began, or the end of the text.
fn quoted_length(rest: &str, opening: &str, quote: char) -> usize {
    if opening.len() > 1 {
        // A string within a string: its quotes are escaped as often as the first.
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

/// Up to the end of a list or map.
fn nested_length(rest: &str) -> usize {
    let (mut depth, mut within, mut escaped) = (0_usize, false, false);
    for (index, character) in rest.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => within = !within,
            '[' | '{' if !within => depth += 1,
            ']' | '}' if !within => {
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

/// Up to what ends a word: of a form, a query, a list of parameters. With it goes the word behind it, where it is a
/// scheme of authentication.
fn word_length(rest: &str) -> usize {
    const SCHEMES: [&str; 6] = ["basic", "bearer", "digest", "negotiate", "ntlm", "token"];
    if rest.starts_with(REDACTED) {
        return REDACTED.len();
    }
    let end = |rest: &str| {
        let ends = |c: char| c.is_whitespace() || ",;&\"'<>)]}\\".contains(c);
        rest.find(ends).unwrap_or(rest.len()).min(rest.find("%26").unwrap_or(rest.len()))
    };
    let first = end(rest);
    match rest[first..].strip_prefix(' ') {
        Some(second) if SCHEMES.contains(&rest[..first].to_ascii_lowercase().as_str()) => first + 1 + end(second),
        _ => first,
    }
}
