//! Writes JSON objects entry by entry, without copying a run into structs first. Faster than `serde_json`, whose check
//! of each byte of every key and string was a third of the cost of a report: here literal keys are written unchecked,
//! and strings are checked many bytes at a time.

use std::io;

use serde::Serialize;

/// The JSON that was written so far. Its maximum size keeps a guest from making the host write gigabytes.
struct Buffer {
    bytes: Vec<u8>,
    max_bytes: usize,
    /// True once something did not fit. Nothing is added after that.
    has_overflowed: bool,
}

/// Writes the entries of one object.
pub struct ObjectWriter<'a> {
    buffer: &'a mut Buffer,
    is_empty: bool,
}

/// The initial capacity of the buffer: enough for an ordinary object, so that it is not moved while it grows.
const INITIAL_CAPACITY: usize = 8 << 10;

/// Returns the object whose entries `write` writes, or `None` if it has more than `max_bytes` or a value cannot be
/// serialised.
pub fn object(max_bytes: usize, write: impl FnOnce(&mut ObjectWriter)) -> Option<Vec<u8>> {
    let bytes = Vec::with_capacity(INITIAL_CAPACITY.min(max_bytes));
    let mut buffer = Buffer { bytes, max_bytes, has_overflowed: false };
    buffer.write_object(write);
    (!buffer.has_overflowed).then_some(buffer.bytes)
}

impl ObjectWriter<'_> {
    /// Writes a string under a literal key, which must not contain characters that JSON escapes.
    pub fn text(&mut self, key: &'static str, value: &str) {
        self.write_key(key);
        self.buffer.write_string(value);
    }

    /// Writes a value under a literal key.
    pub fn value(&mut self, key: &'static str, value: &impl Serialize) {
        self.write_key(key);
        self.buffer.write_value(value);
    }

    /// Writes a value under a literal key if it is `Some`.
    pub fn option(&mut self, key: &'static str, value: Option<&impl Serialize>) {
        if let Some(value) = value {
            self.value(key, value);
        }
    }

    /// Writes an object under a literal key.
    pub fn object(&mut self, key: &'static str, write: impl FnOnce(&mut ObjectWriter)) {
        self.write_key(key);
        self.buffer.write_object(write);
    }

    /// Writes an array of objects, one for each of `items`, under a literal key.
    pub fn objects<T>(
        &mut self,
        key: &'static str,
        items: impl Iterator<Item = T>,
        write: impl Fn(&mut ObjectWriter, T),
    ) {
        self.write_key(key);
        self.buffer.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.buffer.push(b',');
            }
            self.buffer.write_object(|object| write(object, item));
        }
        self.buffer.push(b']');
    }

    /// Writes a string under any key.
    pub fn text_entry(&mut self, key: &str, value: &str) {
        self.write_escaped_key(key);
        self.buffer.write_string(value);
    }

    /// Writes a value under any key.
    pub fn value_entry(&mut self, key: &str, value: &impl Serialize) {
        self.write_escaped_key(key);
        self.buffer.write_value(value);
    }

    fn write_key(&mut self, key: &'static str) {
        debug_assert!(needs_no_escape(key), "{key}");
        self.write_comma();
        if let Some(bytes) = self.buffer.reserve(key.len() + 3) {
            bytes.push(b'"');
            bytes.extend_from_slice(key.as_bytes());
            bytes.extend_from_slice(b"\":");
        }
    }

    fn write_escaped_key(&mut self, key: &str) {
        self.write_comma();
        self.buffer.write_string(key);
        self.buffer.push(b':');
    }

    fn write_comma(&mut self) {
        if !std::mem::take(&mut self.is_empty) {
            self.buffer.push(b',');
        }
    }
}

impl Buffer {
    fn write_object(&mut self, write: impl FnOnce(&mut ObjectWriter)) {
        self.push(b'{');
        write(&mut ObjectWriter { buffer: self, is_empty: true });
        self.push(b'}');
    }

    fn write_string(&mut self, string: &str) {
        if needs_no_escape(string) {
            if let Some(bytes) = self.reserve(string.len() + 2) {
                bytes.push(b'"');
                bytes.extend_from_slice(string.as_bytes());
                bytes.push(b'"');
            }
        } else {
            self.write_value(&string);
        }
    }

    fn write_value(&mut self, value: &impl Serialize) {
        // A value that cannot be serialised is treated like one that does not fit.
        if serde_json::to_writer(&mut *self, value).is_err() {
            self.has_overflowed = true;
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(bytes) = self.reserve(1) {
            bytes.push(byte);
        }
    }

    /// Returns the bytes to append to, or `None` if `needed` more would be too many.
    fn reserve(&mut self, needed: usize) -> Option<&mut Vec<u8>> {
        self.has_overflowed |= self.bytes.len() + needed > self.max_bytes;
        (!self.has_overflowed).then_some(&mut self.bytes)
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reserve(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns true if JSON escapes no byte of the text. Checks all bytes, without an early return, so that the compiler
/// can check many in one instruction.
fn needs_no_escape(text: &str) -> bool {
    let is_escaped = |byte: u8| u8::from(byte < b' ' || byte == b'"' || byte == b'\\');
    text.bytes().fold(0, |any, byte| any | is_escaped(byte)) == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn output_equals_that_of_serde_json() {
        let texts =
            ["", "plain", "\"", "a\\b", "line\nline", "\u{0}\u{1f} \u{7f}", "höher 🦀", "sixteen bytes, or \u{1} more"];
        let written = object(10_000, |object| {
            object.value("none", &f64::NAN);
            object.option("left out", None::<&u8>);
            object.objects("empty", std::iter::empty::<u8>(), |_, _| {});
            object.objects("texts", texts.iter(), |object, text| object.text("text", text));
            object.object("inner", |inner| {
                for text in texts {
                    inner.text_entry(text, text);
                }
                inner.value_entry("\"7\"", &7);
            });
        });
        let mut expected = json!({
            "none": null,
            "empty": [],
            "texts": texts.map(|text| json!({ "text": text })),
            "inner": texts.iter().map(|text| (text.to_string(), json!(text))).collect::<serde_json::Map<_, _>>(),
        });
        expected["inner"]["\"7\""] = json!(7);
        assert_eq!(String::from_utf8(written.unwrap()).unwrap(), expected.to_string());
    }

    #[test]
    fn an_object_that_is_too_long_is_none() {
        let write = |max_bytes| object(max_bytes, |object| object.text("key", "value"));
        assert_eq!(write(15).as_deref(), Some(&br#"{"key":"value"}"#[..]));
        assert_eq!((write(14), write(3), write(0)), (None, None, None));
        // Nothing is written after something that did not fit.
        let short_after_long = |object: &mut ObjectWriter| {
            object.text("key", "a long value");
            object.text("key", "b");
        };
        assert_eq!(object(20, short_after_long), None);
        assert_eq!(object(20, |object| object.value("key", &"a long\nvalue")), None);
    }
}
