//! Converts a YAML tree to JSON: follows aliases, applies merge keys, and reports whatever JSON cannot express.
//! Independent of the meaning of keys.

use serde_json::{Map, Value};

use super::diagnostic::{Diagnostic, Diagnostics, Location, below, escape, quote, quote_key};
use super::yaml_errors::MAX_DEPTH;
use super::yaml_tree::{Document, Kind, MAX_TEXT_BYTES, MAX_VALUES, Node, NodeId, Tag, too_large};

/// The maximal length of a key. YAML has the same maximum for keys without `?`.
const MAX_KEY_BYTES: usize = 1024;

/// Converts a document. Values that JSON cannot express become null or text, with an error.
pub fn value(document: &Document, errors: &mut Diagnostics) -> Value {
    Converter { document, errors, pointer: String::new(), depth: 0, values_left: MAX_VALUES, text_left: MAX_TEXT_BYTES }
        .value(document.root())
}

struct Converter<'a> {
    document: &'a Document,
    errors: &'a mut Diagnostics,
    /// The JSON pointer to the value that is being converted.
    pointer: String,
    depth: usize,
    /// Values that are still allowed. Without a limit, a few lines of aliases could fill the memory.
    values_left: usize,
    /// Bytes of text that are still allowed.
    text_left: usize,
}

impl Converter<'_> {
    fn value(&mut self, id: NodeId) -> Value {
        let document = self.document;
        let node = document.node(id);
        if !self.reserve(node) {
            return Value::Null;
        }
        if self.depth >= MAX_DEPTH {
            self.error(format!("nested too deeply: {MAX_DEPTH} levels at most"));
            return Value::Null;
        }
        self.depth += 1;
        let value = match &node.kind {
            Kind::Scalar { text, plain } => self.scalar(node, text, *plain),
            Kind::List(items) => {
                self.collection_tag(node, "seq");
                let items = items.iter().enumerate();
                Value::Array(
                    items.map(|(index, item)| self.within(&index.to_string(), |inside| inside.value(*item))).collect(),
                )
            }
            Kind::Map(entries) => {
                self.collection_tag(node, "map");
                Value::Object(self.map(entries))
            }
        };
        self.depth -= 1;
        value
    }

    fn map(&mut self, entries: &[(NodeId, NodeId)]) -> Map<String, Value> {
        let document = self.document;
        let mut map = Map::new();
        let mut merged = Vec::new();
        for (key, value) in entries {
            let node = document.node(*key);
            // A key `x-…` at the top only holds anchors. An error in an anchor is reported where the anchor is used.
            if self.depth == 1 && node.text().is_some_and(|text| text.starts_with("x-")) {
                continue;
            }
            if node.is_merge() {
                merged.push((node, *value));
            } else if let Some(text) = self.key(node) {
                if !map.contains_key(text) {
                    let value = self.within(text, |converter| converter.value(*value));
                    map.insert(text.to_string(), value);
                } else if !self.errors.is_full() {
                    let first = entries.iter().map(|(key, _)| document.node(*key)).find(|key| key.text() == Some(text));
                    let first = first.map(|key| document.place(key)).unwrap_or_default();
                    let message =
                        format!("the key {} is given twice, first on {first}: leave one out", quote_key(text));
                    let pointer = below(&self.pointer, text);
                    self.key_error(node, pointer, message);
                }
            }
        }
        // A map's own keys override merged ones, and the first merged map overrides the next.
        for (key, value) in merged {
            let sources = match &document.node(value).kind {
                Kind::List(maps) => maps.as_slice(),
                _ => &[value],
            };
            for source in sources {
                let node = document.node(*source);
                let Kind::Map(entries) = &node.kind else {
                    self.key_error(
                        key,
                        self.pointer.clone(),
                        "`<<` takes in the keys of a map, or of a list of maps".into(),
                    );
                    continue;
                };
                if self.depth >= MAX_DEPTH || !self.reserve(node) {
                    continue;
                }
                self.depth += 1;
                for (key, value) in self.map(entries) {
                    map.entry(key).or_insert(value);
                }
                self.depth -= 1;
            }
        }
        map
    }

    /// Returns a key as it is written: the keys `200` and `true` are text.
    fn key<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        let message = match &node.kind {
            _ if node.tag.is_some() => "a key has no tag: leave it out",
            Kind::Scalar { text, plain: true } if is_null(text) => "a key is missing: a map's keys are text, not null",
            Kind::Scalar { text, .. } if text.len() > MAX_KEY_BYTES => "a key of more than 1,024 bytes",
            Kind::Scalar { text, .. } => return self.reserve(node).then_some(text),
            Kind::List(_) => "a key must be text, not a list: put quotes around a text that starts with `[`",
            Kind::Map(_) => "a key must be text, not a map: put quotes around a text that starts with `{`",
        };
        self.key_error(node, self.pointer.clone(), message.into());
        None
    }

    fn scalar(&mut self, node: &Node, text: &str, plain: bool) -> Value {
        let quoted = || Value::String(text.to_string());
        let Some(tag) = node.tag.as_deref() else {
            return if plain { self.plain(text) } else { quoted() };
        };
        let value = match tag {
            Tag::Core(name) if name == "str" => return quoted(),
            Tag::Core(name) if matches!(name.as_str(), "null" | "bool" | "int" | "float") => self.plain(text),
            // `! text` is plain text.
            Tag::Other(name) if name == "!" => return quoted(),
            _ => {
                self.tag_error(tag);
                return quoted();
            }
        };
        let fits = match tag {
            Tag::Core(name) if name == "null" => value.is_null(),
            Tag::Core(name) if name == "bool" => value.is_boolean(),
            Tag::Core(name) if name == "int" => value.is_i64() || value.is_u64(),
            _ => value.is_number(),
        };
        if !fits {
            self.tag_error(tag);
        }
        value
    }

    /// Converts a text without quotes as `serde_yaml` does: to null, a boolean, a number or a string.
    fn plain(&mut self, text: &str) -> Value {
        /// A longer text is not parsed: it is a string.
        const MAX_SCALAR_BYTES: usize = 1024;
        if text.len() > MAX_SCALAR_BYTES {
            return Value::String(text.to_string());
        }
        let number = match serde_yaml::from_str(text) {
            Ok(serde_yaml::Value::Null) => return Value::Null,
            Ok(serde_yaml::Value::Bool(yes)) => return Value::Bool(yes),
            Ok(serde_yaml::Value::Number(number)) => Some(number),
            // `serde_yaml` fails for whole numbers of more than 64 bits.
            Err(_) if text.trim_start_matches(['-', '+']).starts_with(|first: char| first.is_ascii_digit()) => None,
            Ok(_) | Err(_) => return Value::String(text.to_string()),
        };
        let whole = !text.contains(['.', 'e', 'E']);
        let Some(number) = number.filter(|number| !whole || !number.is_f64()) else {
            self.error("a whole number of more than 64 bits: put quotes around it if it is text".into());
            return Value::Null;
        };
        if number.is_infinite() || number.is_nan() {
            self.error(format!("{} is no number to work with: put quotes around it if it is text", quote(text)));
            return Value::Null;
        }
        // Every number of `serde_yaml` is a number of `serde_json`.
        serde_json::to_value(number).unwrap_or_default()
    }

    fn collection_tag(&mut self, node: &Node, own: &str) {
        match node.tag.as_deref() {
            None => {}
            Some(Tag::Core(name)) if name == own => {}
            Some(tag) => self.tag_error(tag),
        }
    }

    fn tag_error(&mut self, tag: &Tag) {
        let tag = match tag {
            Tag::Core(name) => quote(&format!("!!{name}")),
            Tag::Other(name) => quote(name),
        };
        self.error(format!("the tag {tag} has no meaning here: leave it out, or quote a text that starts with `!`"));
    }

    /// Counts a node against the limits of the file. Returns false, after adding one error, if they are exceeded.
    fn reserve(&mut self, node: &Node) -> bool {
        let text = node.text().map_or(0, str::len);
        if self.values_left == 0 {
            return false;
        }
        if self.values_left == 1 || self.text_left < text {
            self.values_left = 0;
            self.errors.push(too_large(node.range, MAX_VALUES, MAX_TEXT_BYTES));
            return false;
        }
        self.values_left -= 1;
        self.text_left -= text;
        true
    }

    fn within<T>(&mut self, segment: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&escape(segment));
        let read = read(self);
        self.pointer.truncate(outside);
        read
    }

    fn error(&mut self, message: String) {
        self.errors.push(Diagnostic::at_value(self.pointer.clone(), message));
    }

    fn key_error(&mut self, node: &Node, pointer: String, message: String) {
        self.errors.push(Diagnostic { location: Location::UnaddressableKey(pointer, node.range), message });
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
