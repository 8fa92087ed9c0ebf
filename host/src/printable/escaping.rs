//! Escapes of characters that are not printable, and bounds on the length after escaping.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Returns true if a character is shown as itself wherever it stands: it does not control a terminal, does not change
/// the direction of text, and is not invisible.
pub fn is_printable(c: char) -> bool {
    !c.is_control()
        && !matches!(c,
            // Soft hyphen, and marks, embeddings, overrides and isolates of the direction of text.
            '\u{ad}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}'
            // Line and paragraph separators.
            | '\u{2028}' | '\u{2029}'
            // Characters without width, isolates, and obsolete format characters.
            | '\u{180e}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            // Fillers, which are blank.
            | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}' | '\u{ffa0}'
            // Marks of annotations, shorthand and music.
            | '\u{fff9}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            // Tags, and selectors of variants that hold any data invisibly.
            | '\u{e0000}'..='\u{e0fff}')
}

/// Returns the text with each character that is not printable as an escape, such as `\n` or `\u{1b}`. Other characters,
/// backslashes included, stay as they are, so that escaping a text twice changes nothing.
///
/// U+200C and U+200D, which emoji and some scripts need, stay as they are between two characters beyond ASCII.
pub fn escape(text: &str) -> Cow<'_, str> {
    escape_with(text, |c, escaped| match c {
        '\n' => escaped.push_str("\\n"),
        '\r' => escaped.push_str("\\r"),
        '\t' => escaped.push_str("\\t"),
        _ => _ = write!(escaped, "\\u{{{:x}}}", u32::from(c)),
    })
}

/// Returns a JSON document with each character that is not printable as `\uXXXX`, except for line breaks. Its value
/// stays the same.
///
/// `serde_json` itself escapes only the first 32 characters. All others that are not printable occur only within
/// strings, where an escape means the same character.
pub fn escape_json(json: &str) -> Cow<'_, str> {
    escape_with(json, |c, escaped| match c {
        '\n' => escaped.push('\n'),
        _ => c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| _ = write!(escaped, "\\u{unit:04x}")),
    })
}

/// Returns the beginning of a text, escaped, of at most `max_bytes`. If the text is cut, the last character is an
/// ellipsis, which is returned even if it is longer than `max_bytes`.
pub fn excerpt(text: &str, max_bytes: usize) -> String {
    if end_within(text, max_bytes).is_none() {
        return escape(text).into_owned();
    }
    let end = end_within(text, max_bytes.saturating_sub('…'.len_utf8())).unwrap_or(text.len());
    format!("{}…", escape(&text[..end]))
}

/// Cuts a text to at most `max_bytes`, counted as [`escape`] shows the text, which is not escaped here. The returned
/// text keeps no more memory than it needs.
pub fn cut(text: String, max_bytes: usize) -> String {
    let end = end_within(&text, max_bytes).unwrap_or(text.len());
    // Shrinking in place could keep the allocation.
    if end < text.capacity() { text[..end].to_owned() } else { text }
}

/// Returns the number of bytes at the beginning of a text that take at most `max_bytes` when they are escaped. `None`
/// if the whole text takes no more.
fn end_within(text: &str, max_bytes: usize) -> Option<usize> {
    /// The maximal number of bytes of an escape for each byte of its character: `\u{1b}` has six bytes for one.
    const MAX_GROWTH: usize = 6;
    if text.len() <= max_bytes / MAX_GROWTH {
        return None;
    }
    let mut length = 0;
    text.char_indices().find_map(|(index, c)| {
        length += escaped_length(c);
        (length > max_bytes).then_some(index)
    })
}

/// Returns the number of bytes of a character's escape, or of the character.
fn escaped_length(c: char) -> usize {
    match c {
        '\n' | '\r' | '\t' => 2,
        _ if is_printable(c) => c.len_utf8(),
        _ => "\\u{}".len() + (u32::from(c).checked_ilog(16).unwrap_or(0) + 1) as usize,
    }
}

/// Returns the text with `write` called for each character that is not printable.
fn escape_with(text: &str, write: impl Fn(char, &mut String)) -> Cow<'_, str> {
    // Nearly all texts are ASCII, which needs no decoding.
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len());
    let mut previous = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let is_joiner = matches!(c, '\u{200c}' | '\u{200d}');
        if is_printable(c) || is_joiner && previous.is_some_and(may_join) && rest.clone().next().is_some_and(may_join) {
            escaped.push(c);
        } else {
            write(c, &mut escaped);
        }
        previous = Some(c);
    }
    Cow::Owned(escaped)
}

/// Returns true if a joiner may stay beside this character. Emoji, and the scripts that need joiners, are beyond ASCII.
fn may_join(c: char) -> bool {
    !c.is_ascii() && is_printable(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\x1b[2J\x1b]0;title\x07b\r\n\tc\u{9b}31m\u{202e}gpj.exe\u{2066}\u{7f}\u{2028}\u{e0041}\u{200b}\u{61c}x\u{200d}y";

    #[test]
    fn characters_that_are_not_printable_are_escaped() {
        let escaped = "a\\u{1b}[2J\\u{1b}]0;title\\u{7}b\\r\\n\\tc\\u{9b}31m\\u{202e}gpj.exe\\u{2066}\\u{7f}\\u{2028}\
                       \\u{e0041}\\u{200b}\\u{61c}x\\u{200d}y";
        assert_eq!(escape(HOSTILE), escaped);
        assert_eq!(escape(escaped), escaped);
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in [
            "grün, 緑, 🟢 and \\",
            "e\u{301}",
            "👩\u{200d}👩\u{200d}👧, ❤\u{fe0f}",
            "نمی\u{200c}خواهم",
            "שלום",
            "हिन्दी",
        ] {
            assert!(matches!(escape(text), Cow::Borrowed(_)) || text.contains(['\u{200c}', '\u{200d}']), "{text}");
            assert_eq!(escape(text), text);
        }
    }

    #[test]
    fn json_keeps_its_value() {
        let value = serde_json::json!({ HOSTILE: [HOSTILE, "👩\u{200d}👩", 1.5, null] });
        for json in [value.to_string(), format!("{value:#}")] {
            let escaped = escape_json(&json);
            assert!(escaped.chars().all(|c| is_printable(c) || "\n\u{200d}".contains(c)), "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
            assert_eq!(escaped.lines().count(), json.lines().count());
        }
        assert!(escape_json("\"\u{e0041}\"").contains(r"\udb40\udc41"));
    }

    #[test]
    fn lengths_count_after_escaping() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            assert_eq!(escaped_length(c), escape(&c.to_string()).len(), "{c:?}");
            assert!(escaped_length(c) <= 6 * c.len_utf8(), "{c:?}");
        }
        for max in 3..100 {
            let excerpt = excerpt(HOSTILE, max);
            assert!(excerpt.len() <= max && excerpt.len() + 9 > max && excerpt.ends_with('…'), "{max}: {excerpt}");
            let cut = cut(HOSTILE.to_owned(), max);
            assert!(HOSTILE.starts_with(&cut) && escape(&cut).len() <= max, "{max}: {cut:?}");
        }
        assert_eq!(excerpt("short", 5), "short");
        assert_eq!(excerpt("longer", 5), "lo…");
        assert_eq!(excerpt("x", 0), "…");
    }

    #[test]
    fn a_cut_text_keeps_no_more_memory_than_it_needs() {
        assert_eq!(cut("x".repeat(1 << 20), 100).capacity(), 100);
        let mut short = String::with_capacity(1 << 20);
        short.push_str("short");
        assert_eq!(cut(short, 100).capacity(), 5);
    }
}
