//! The text of bodies: which charset a body has, and its decoding.

use std::sync::LazyLock;

use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252, X_USER_DEFINED};
use regex::bytes::Regex;

/// The bytes at the beginning of a document in which its charset may be declared. HTML has the same number.
const PRESCANNED_BYTES: usize = 1024;

/// Decodes a body to text, as browsers do: by its byte order mark, else by the `charset` of `content-type`, else by the
/// declaration in an HTML or XML document, else as UTF-8. Bytes that the charset does not have are replaced by U+FFFD.
/// The text has no byte order mark.
pub fn decode(body: &[u8], content_type: Option<&str>) -> String {
    charset(body, content_type).decode(body).0.into_owned()
}

/// Decodes the beginning of a body, of which `body` may be a part, as [`decode`] does. A character that is cut off at
/// the end is left out. Returns `None` for UTF-8.
pub fn decode_beginning(body: &[u8], content_type: Option<&str>, is_cut: bool) -> Option<String> {
    let charset = Encoding::for_bom(body).map_or_else(|| charset(body, content_type), |(charset, _)| charset);
    if charset == UTF_8 {
        return None;
    }
    let mut text = charset.decode(body).0.into_owned();
    if is_cut && text.ends_with(char::REPLACEMENT_CHARACTER) {
        text.pop();
    }
    Some(text)
}

/// Returns the charset of a body. A byte order mark, which has precedence, is left to the decoder.
fn charset(body: &[u8], content_type: Option<&str>) -> &'static Encoding {
    let content_type = content_type.unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let beginning = &body[..body.len().min(PRESCANNED_BYTES)];
    let is_xml = media_type.is_empty() || media_type.ends_with("/xml") || media_type.ends_with("+xml");
    let is_html = matches!(media_type.as_str(), "" | "text/html" | "application/xhtml+xml");
    let is_json = media_type.is_empty() || media_type.ends_with("/json") || media_type.ends_with("+json");
    charset_parameter(content_type)
        .and_then(|label| Encoding::for_label(label.as_bytes()))
        .or_else(|| declared(beginning, &XML_DECLARATION).filter(|_| is_xml))
        .or_else(|| declared(&META_COMMENT.replace_all(beginning, &b""[..]), &META).filter(|_| is_html))
        .or_else(|| utf16_of_json(body).filter(|_| is_json))
        .unwrap_or(UTF_8)
}

/// Returns the parameter `charset` of a `content-type`.
fn charset_parameter(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches(['"', '\'']).trim())
    })
}

static XML_DECLARATION: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?-u)^\s*<\?xml[^>]*\sencoding\s*=\s*["']\s*([A-Za-z0-9._:-]+)"#));
/// `<meta charset=…>`, and `<meta http-equiv=… content="text/html; charset=…">`.
static META: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i-u)<meta[\s/][^>]*?charset\s*=\s*["']?\s*([a-z0-9._:-]+)"#));
static META_COMMENT: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s-u)<!--.*?(?:-->|$)"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("the pattern is constant, and a test uses it")
}

/// Returns the charset that a document itself declares. Returns UTF-8 for a document that declares UTF-16, as browsers
/// do: if it were UTF-16, `pattern` would not have found the declaration.
fn declared(beginning: &[u8], pattern: &Regex) -> Option<&'static Encoding> {
    let found = pattern.captures(beginning)?;
    match Encoding::for_label(&found[1])? {
        wrong if wrong == UTF_16LE || wrong == UTF_16BE => Some(UTF_8),
        user_defined if user_defined == X_USER_DEFINED => Some(WINDOWS_1252),
        charset => Some(charset),
    }
}

/// Returns the variant of UTF-16 in which JSON is written without a byte order mark: JSON begins with an ASCII
/// character.
fn utf16_of_json(body: &[u8]) -> Option<&'static Encoding> {
    let is_nul = |at: usize| body.get(at).is_none_or(|byte| *byte == 0);
    match body {
        [0, first, ..] if *first != 0 && is_nul(2) => Some(UTF_16BE),
        [first, 0, ..] if *first != 0 && is_nul(3) => Some(UTF_16LE),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(content_type: &str, body: &[u8], expected: &str) {
        assert_eq!(decode(body, Some(content_type).filter(|text| !text.is_empty())), expected, "{content_type}");
    }

    #[test]
    fn the_beginning_of_a_body_has_whole_characters() {
        let check = |content_type, body: &[u8], is_cut, expected: Option<&str>| {
            assert_eq!(decode_beginning(body, Some(content_type), is_cut).as_deref(), expected, "{content_type}");
        };
        check("text/plain; charset=iso-8859-1", b"21 \xb0C", false, Some("21 °C"));
        check("text/plain; charset=shift_jis", b"\x93\xfa\x93", true, Some("日"));
        check("text/plain; charset=shift_jis", b"\x93\xfa\x93", false, Some("日\u{fffd}"));
        check("text/plain", b"\xff\xfea\0", false, Some("a"));
        check("text/plain", "21 °C".as_bytes(), false, None);
        check("text/plain; charset=iso-8859-1", "\u{feff}°".as_bytes(), false, None);
    }

    #[test]
    fn the_charset_of_the_content_type_is_used() {
        check("text/html; charset=iso-8859-1", b"21 \xb0C", "21 °C");
        check("text/plain;charset=\"Windows-1252\"", b"\x80", "€");
        check("text/plain; format=flowed; CHARSET = shift_jis", b"\x93\xfa", "日");
        check("text/plain; charset=utf-16le", b"a\0b\0", "ab");
        check("text/plain; charset=unknown", "21 °C".as_bytes(), "21 °C");
        check("application/json; charset=iso-8859-15", b"\"\xa4\"", "\"€\"");
    }

    #[test]
    fn text_is_utf_8_unless_it_says_something_else() {
        check("", "21 °C".as_bytes(), "21 °C");
        check("text/html", "21 °C".as_bytes(), "21 °C");
        check("text/plain", b"21 \xb0C", "21 \u{fffd}C");
        check("text/plain", b"<meta charset=iso-8859-1>\xb0", "<meta charset=iso-8859-1>\u{fffd}");
    }

    #[test]
    fn a_byte_order_mark_has_precedence_and_is_left_out() {
        check("application/json", b"\xef\xbb\xbf{}", "{}");
        check("text/plain; charset=iso-8859-1", b"\xef\xbb\xbf\xc2\xb0", "°");
        check("text/plain", b"\xff\xfea\0", "a");
        check("", b"\xfe\xff\0a", "a");
    }

    #[test]
    fn json_in_utf_16_needs_no_byte_order_mark() {
        check("application/json", b"{\0}\0", "{}");
        check("", b"\0{\0}", "{}");
        check("application/problem+json", b"1\0", "1");
        check("text/plain", b"a\0b\0", "a\0b\0");
        check("application/json", b"", "");
    }

    #[test]
    fn a_document_declares_its_charset() {
        check("text/html", b"<html><META charset='latin1'>\xb0", "<html><META charset='latin1'>°");
        let equivalent = b"<meta http-equiv=Content-Type content=\"text/html; charset=iso-8859-2\">\xb1";
        assert!(decode(equivalent, Some("text/html")).ends_with('ą'));
        assert!(decode(b"<!-- <meta charset=latin1> -->\xc2\xb0", Some("text/html")).ends_with("-->°"));
        assert!(decode(b"<?xml version='1.0' encoding='ISO-8859-1'?>\xb0", Some("application/xml")).ends_with('°'));
        assert!(decode(b"<meta charset=utf-16>\xc2\xb0", Some("text/html")).ends_with('°'));
        let late = [&b" ".repeat(PRESCANNED_BYTES)[..], b"<meta charset=latin1>\xc2\xb0"].concat();
        assert!(decode(&late, Some("text/html")).ends_with('°'));
    }
}
