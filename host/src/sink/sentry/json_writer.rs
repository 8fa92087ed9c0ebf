//! Objects of JSON, written entry by entry: what is told of a run is taken from where it lies. A serialiser looks at each
//! byte of every key and text, which was a third of what a report cost; here keys of ours are taken as they stand, and
//! texts looked through many bytes at a time. Pure; knows nothing of what it says.

use std::io;

use serde::Serialize;

/// A text that is being written, of at most so many bytes: no guest can have us write out gigabytes.
struct Text {
    bytes: Vec<u8>,
    most: usize,
    /// Something found no room, and nothing is added any more.
    full: bool,
}

/// An object that is being written.
pub struct Object<'a> {
    text: &'a mut Text,
    empty: bool,
}

/// What an ordinary object needs, so that it is not moved about as it grows.
const ROOM: usize = 8 << 10;

/// The object that `fill` fills, if it has at most so many bytes.
pub fn object(most: usize, fill: impl FnOnce(&mut Object)) -> Option<Vec<u8>> {
    let mut text = Text { bytes: Vec::with_capacity(ROOM.min(most)), most, full: false };
    text.object(fill);
    (!text.full).then_some(text.bytes)
}

impl Object<'_> {
    /// A text under a key of ours, in which there is nothing to escape.
    pub fn text(&mut self, key: &'static str, value: &str) {
        self.key(key);
        self.text.string(value);
    }

    /// Whatever else there may be under a key of ours.
    pub fn value(&mut self, key: &'static str, value: &impl Serialize) {
        self.key(key);
        self.text.value(value);
    }

    /// The same if there is one.
    pub fn option(&mut self, key: &'static str, value: Option<&impl Serialize>) {
        if let Some(value) = value {
            self.value(key, value);
        }
    }

    pub fn object(&mut self, key: &'static str, fill: impl FnOnce(&mut Object)) {
        self.key(key);
        self.text.object(fill);
    }

    /// An array of objects, one for each of `items`.
    pub fn objects<T>(&mut self, key: &'static str, items: impl Iterator<Item = T>, fill: impl Fn(&mut Object, T)) {
        self.key(key);
        self.text.push(b'[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.text.push(b',');
            }
            self.text.object(|object| fill(object, item));
        }
        self.text.push(b']');
    }

    /// A text under a key in which there may be anything.
    pub fn entry(&mut self, key: &str, value: &str) {
        self.foreign_key(key);
        self.text.string(value);
    }

    /// Whatever else under such a key.
    pub fn entry_of(&mut self, key: &str, value: &impl Serialize) {
        self.foreign_key(key);
        self.text.value(value);
    }

    fn key(&mut self, key: &'static str) {
        debug_assert!(is_plain(key), "{key}");
        self.comma();
        if let Some(bytes) = self.text.room(key.len() + 3) {
            bytes.push(b'"');
            bytes.extend_from_slice(key.as_bytes());
            bytes.extend_from_slice(b"\":");
        }
    }

    fn foreign_key(&mut self, key: &str) {
        self.comma();
        self.text.string(key);
        self.text.push(b':');
    }

    fn comma(&mut self) {
        if !std::mem::take(&mut self.empty) {
            self.text.push(b',');
        }
    }
}

impl Text {
    fn object(&mut self, fill: impl FnOnce(&mut Object)) {
        self.push(b'{');
        fill(&mut Object { text: self, empty: true });
        self.push(b'}');
    }

    fn string(&mut self, string: &str) {
        if is_plain(string) {
            if let Some(bytes) = self.room(string.len() + 2) {
                bytes.push(b'"');
                bytes.extend_from_slice(string.as_bytes());
                bytes.push(b'"');
            }
        } else {
            self.value(&string);
        }
    }

    fn value(&mut self, value: &impl Serialize) {
        // Whatever cannot be said, as what finds no room, makes it no text at all.
        if serde_json::to_writer(&mut *self, value).is_err() {
            self.full = true;
        }
    }

    fn push(&mut self, byte: u8) {
        if let Some(bytes) = self.room(1) {
            bytes.push(byte);
        }
    }

    /// Where so many bytes are to go, if there is room for all of them.
    fn room(&mut self, needed: usize) -> Option<&mut Vec<u8>> {
        self.full |= self.bytes.len() + needed > self.most;
        (!self.full).then_some(&mut self.bytes)
    }
}

impl io::Write for Text {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.room(bytes.len()).ok_or(io::ErrorKind::FileTooLarge)?.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether nothing in it is escaped. Without a way out at the first that is, so that many bytes are looked at in one step.
fn is_plain(text: &str) -> bool {
    let is_escaped = |byte: u8| u8::from(byte < b' ' || byte == b'"' || byte == b'\\');
    text.bytes().fold(0, |some, byte| some | is_escaped(byte)) == 0
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn it_is_what_a_serialiser_writes() {
        let texts =
            ["", "plain", "\"", "a\\b", "line\nline", "\u{0}\u{1f} \u{7f}", "höher 🦀", "sixteen bytes, or \u{1} more"];
        let written = object(10_000, |object| {
            object.value("none", &f64::NAN);
            object.option("left out", None::<&u8>);
            object.objects("empty", std::iter::empty::<u8>(), |_, _| {});
            object.objects("texts", texts.iter(), |object, text| object.text("text", text));
            object.object("inner", |inner| {
                for text in texts {
                    inner.entry(text, text);
                }
                inner.entry_of("\"7\"", &7);
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
    fn what_is_too_long_is_nothing_at_all() {
        let of = |most| object(most, |object| object.text("key", "value"));
        assert_eq!(of(15).as_deref(), Some(&br#"{"key":"value"}"#[..]));
        assert_eq!((of(14), of(3), of(0)), (None, None, None));
        // What would fit behind something that did not is no text either.
        let behind = |object: &mut Object| {
            object.text("key", "a long value");
            object.text("key", "b");
        };
        assert_eq!(object(20, behind), None);
        assert_eq!(object(20, |object| object.value("key", &"a long\nvalue")), None);
    }
}
