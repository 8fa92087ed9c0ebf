//! Parsing the JSON of a response or of an output.

use serde_json::Value;

/// Parses a text as JSON. `what` names it in the message: `the body`.
///
/// # Errors
/// Returns a sentence that says where the text is not JSON, and what it looks like.
pub fn parse_json(what: &str, text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| match (error.to_string(), looks_like(text)) {
        (error, _) if error.starts_with("recursion limit") => {
            format!("{what} is nested deeper than the 127 levels that are read as JSON")
        }
        (_, Some("")) => format!("{what} is not JSON: it is empty"),
        (error, Some(other)) => format!("{what} is not JSON: it looks like {other} ({error})"),
        (error, None) => format!("{what} is not JSON: {error}"),
    })
}

/// Returns what a text that is not JSON looks like, which is nothing if it is empty; `None` if it looks like nothing
/// that is known.
fn looks_like(text: &str) -> Option<&'static str> {
    let start: String = text.trim_start().chars().take(16).flat_map(char::to_lowercase).collect();
    match start.as_str() {
        "" => Some(""),
        html if html.starts_with("<!doctype html") || html.starts_with("<html") => Some("HTML"),
        xml if xml.starts_with('<') => Some("HTML or XML"),
        // The first byte of gzip is this character in all charsets in use, and the second one is in none.
        gzip if gzip.starts_with('\u{1f}') => Some("gzip, without the header `content-encoding`"),
        zstd if zstd.starts_with("(\u{fffd}/\u{fffd}") => Some("zstd, without the header `content-encoding`"),
        utf16 if utf16.contains('\0') => {
            Some("UTF-16, which neither the header `content-type` nor a byte order mark says")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let message = parse_json("the body", text).expect_err("the text is not JSON");
        assert_eq!(message, expected);
    }

    #[test]
    fn messages_say_what_a_text_looks_like() {
        assert_eq!(parse_json("the body", " {\"a\": 1}\n"), Ok(json!({ "a": 1 })));
        let error = "(expected value at line 1 column 1)";
        check("", "the body is not JSON: it is empty");
        check(" \n", "the body is not JSON: it is empty");
        check("<!DOCTYPE html><p>", &format!("the body is not JSON: it looks like HTML {error}"));
        check("<feed/>", &format!("the body is not JSON: it looks like HTML or XML {error}"));
        let gzip = format!("the body is not JSON: it looks like gzip, without the header `content-encoding` {error}");
        check("\u{1f}\u{fffd}\u{8}\0", &gzip);
        assert!(parse_json("the body", "{\0\"\0").expect_err("NUL").contains("looks like UTF-16"));
        check("plain", "the body is not JSON: expected value at line 1 column 1");
        let deep = "[".repeat(200);
        check(&deep, "the body is nested deeper than the 127 levels that are read as JSON");
    }
}
