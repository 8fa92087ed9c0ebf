//! Python's `str`, `repr` and `ascii` for JSON values.

use serde_json::Value;

use super::integer::{self, Integer};
use super::{float, unicode};

/// Returns a value as Python's `str`: text as it is, `True`, `None`, `{'a': [1, 2.0]}`.
pub fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => repr(other),
    }
}

/// Returns a value as Python's `repr`.
pub fn repr(value: &Value) -> String {
    let mut out = String::new();
    write(&mut out, value);
    out
}

/// Returns a value as Python's `ascii`: as `repr`, with all characters escaped that are not ASCII.
pub fn ascii(value: &Value) -> String {
    let mut out = String::new();
    for character in repr(value).chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            out.push_str(&escape(character));
        }
    }
    out
}

fn write(out: &mut String, value: &Value) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) if integer::is_float(number) => out.push_str(&float::repr(float::from_number(number))),
        Value::Number(number) => out.push_str(&Integer::from_number(number).to_string()),
        Value::String(text) => quote(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write(out, item);
            }
            out.push(']');
        }
        Value::Object(map) => {
            out.push('{');
            for (index, (key, value)) in map.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                quote(out, key);
                out.push_str(": ");
                write(out, value);
            }
            out.push('}');
        }
    }
}

/// Writes a text in quotes: double ones if the text has single quotes and no double ones, and single ones otherwise.
fn quote(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            _ if character == quote => out.extend(['\\', quote]),
            _ if unicode::is_printable(character) => out.push(character),
            _ => out.push_str(&escape(character)),
        }
    }
    out.push(quote);
}

fn escape(character: char) -> String {
    let code = u32::from(character);
    match code {
        0..0x100 => format!("\\x{code:02x}"),
        0x100..0x10000 => format!("\\u{code:04x}"),
        _ => format!("\\U{code:08x}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected_text: &str, expected_repr: &str, expected_ascii: &str) {
        let value = serde_json::from_str(json).expect("JSON");
        assert_eq!((text(&value).as_str(), repr(&value).as_str()), (expected_text, expected_repr));
        assert_eq!(ascii(&value), expected_ascii);
    }

    /// Asserts that all three functions return the same.
    #[track_caller]
    fn check_same(json: &str, expected: &str) {
        check(json, expected, expected, expected);
    }

    #[test]
    fn scalars() {
        check_same("null", "None");
        check_same("true", "True");
        check_same("false", "False");
        check_same("12345678901234567890123", "12345678901234567890123");
        check_same("-0", "0");
        check_same("-0.0", "-0.0");
        check_same("1.50", "1.5");
        check_same("1E5", "100000.0");
        check_same("-1e400", "-inf");
    }

    #[test]
    fn quotes_and_escapes() {
        check(r#""ab""#, "ab", "'ab'", "'ab'");
        check(r#""it's""#, "it's", "\"it's\"", "\"it's\"");
        check(r#""'\"""#, "'\"", "'\\'\"'", "'\\'\"'");
        check(r#""\"""#, "\"", "'\"'", "'\"'");
        check(r#""\\\n\r\t\u0001\u007f""#, "\\\n\r\t\u{1}\u{7f}", r"'\\\n\r\t\x01\x7f'", r"'\\\n\r\t\x01\x7f'");
        check("\"ü€😀\"", "ü€😀", "'ü€😀'", r"'\xfc\u20ac\U0001f600'");
        check("\"\u{a0}\u{2028}\u{e000}\"", "\u{a0}\u{2028}\u{e000}", r"'\xa0\u2028\ue000'", r"'\xa0\u2028\ue000'");
        check("\"\u{10ffff}\"", "\u{10ffff}", r"'\U0010ffff'", r"'\U0010ffff'");
    }

    #[test]
    fn containers() {
        check_same("[]", "[]");
        check_same("{}", "{}");
        check_same(r#"{"b": [1, 2.0, "x"], "a": {"c": null}}"#, "{'b': [1, 2.0, 'x'], 'a': {'c': None}}");
    }
}
