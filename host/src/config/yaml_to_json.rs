//! A YAML tree to JSON: aliases followed, merge keys taken in, and whatever JSON has no word for noted as a problem.
//! Knows no key's meaning.

use serde_json::{Map, Value};

use super::diagnostic::{Diagnostic, Diagnostics, Location, below, escape, quote, quote_key};
use super::yaml_errors::DEPTH;
use super::yaml_tree::{Document, Kind, Node, NodeId, Tag, VALUES, too_large};

/// Characters of text, aliases followed, in a whole file.
const CHARACTERS: usize = 64 << 20;
/// YAML's own bound for a key without `?`.
const KEY: usize = 1024;

pub fn value(document: &Document, problems: &mut Diagnostics) -> Value {
    Reader { document, problems, pointer: String::new(), depth: 0, values: VALUES, text: CHARACTERS }
        .value(document.root())
}

struct Reader<'a> {
    document: &'a Document,
    problems: &'a mut Diagnostics,
    /// Where we are.
    pointer: String,
    depth: usize,
    /// What may still come: a few lines of aliases can ask for more than any memory holds.
    values: usize,
    text: usize,
}

impl Reader<'_> {
    fn value(&mut self, id: NodeId) -> Value {
        let document = self.document;
        let node = document.node(id);
        if !self.afford(node) {
            return Value::Null;
        }
        if self.depth >= DEPTH {
            self.problem(format!("nested too deeply: {DEPTH} levels at most"));
            return Value::Null;
        }
        self.depth += 1;
        let value = match &node.kind {
            Kind::Scalar { text, plain } => self.scalar(node, text, *plain),
            Kind::List(items) => {
                self.collection_tag(node, "seq");
                let items = items.iter().enumerate();
                Value::Array(items.map(|(index, item)| self.within(&index.to_string(), |r| r.value(*item))).collect())
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
            // `x-…` at the top is there for its anchors: what is wrong with them shows where they are used.
            if self.depth == 1 && node.text().is_some_and(|text| text.starts_with("x-")) {
                continue;
            }
            if node.is_merge() {
                merged.push((node, *value));
            } else if let Some(text) = self.key(node) {
                if !map.contains_key(text) {
                    let value = self.within(text, |reader| reader.value(*value));
                    map.insert(text.to_string(), value);
                } else if !self.problems.full() {
                    let first = entries.iter().map(|(key, _)| document.node(*key)).find(|key| key.text() == Some(text));
                    let first = first.map_or(0, |key| key.spot.line);
                    let message =
                        format!("the key {} is given twice, first on line {first}: leave one out", quote_key(text));
                    let pointer = below(&self.pointer, text);
                    self.odd(node, pointer, message);
                }
            }
        }
        // What a map says itself wins over what it takes in, and the first that it takes in over the next.
        for (key, value) in merged {
            let taken = match &document.node(value).kind {
                Kind::List(maps) => maps.as_slice(),
                _ => &[value],
            };
            for taken in taken {
                let node = document.node(*taken);
                let Kind::Map(entries) = &node.kind else {
                    self.odd(key, self.pointer.clone(), "`<<` takes in the keys of a map, or of a list of maps".into());
                    continue;
                };
                if self.depth >= DEPTH || !self.afford(node) {
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

    /// A key as it is written: `200` and `true` are text here.
    fn key<'n>(&mut self, node: &'n Node) -> Option<&'n str> {
        let problem = match &node.kind {
            _ if node.tag.is_some() => "a key has no tag: leave it out",
            Kind::Scalar { text, plain: true } if is_null(text) => "a key is missing: a map's keys are text, not null",
            Kind::Scalar { text, .. } if text.len() > KEY => "a key of more than 1,024 bytes",
            Kind::Scalar { text, .. } => return self.afford(node).then_some(text),
            Kind::List(_) => "a key must be text, not a list: put quotes around a text that starts with `[`",
            Kind::Map(_) => "a key must be text, not a map: put quotes around a text that starts with `{`",
        };
        self.odd(node, self.pointer.clone(), problem.into());
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
                self.tag_problem(tag);
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
            self.tag_problem(tag);
        }
        value
    }

    /// What a text without quotes stands for is `serde_yaml`'s to say: null, true, false, a number or itself.
    fn plain(&mut self, text: &str) -> Value {
        /// Longer ones are neither numbers nor words of YAML's.
        const LONGEST: usize = 1024;
        if text.len() > LONGEST {
            return Value::String(text.to_string());
        }
        let number = match serde_yaml::from_str(text) {
            Ok(serde_yaml::Value::Null) => return Value::Null,
            Ok(serde_yaml::Value::Bool(yes)) => return Value::Bool(yes),
            Ok(serde_yaml::Value::Number(number)) => Some(number),
            // One between 64 and 128 bits is none that it has room for.
            Err(_) if text.trim_start_matches(['-', '+']).starts_with(|first: char| first.is_ascii_digit()) => None,
            Ok(_) | Err(_) => return Value::String(text.to_string()),
        };
        let whole = !text.contains(['.', 'e', 'E']);
        let Some(number) = number.filter(|number| !whole || !number.is_f64()) else {
            self.problem("a whole number of more than 64 bits: put quotes around it if it is text".into());
            return Value::Null;
        };
        if number.is_infinite() || number.is_nan() {
            self.problem(format!("{} is no number to work with: put quotes around it if it is text", quote(text)));
            return Value::Null;
        }
        // Both are of serde's making, and hold the same numbers.
        serde_json::to_value(number).unwrap_or_default()
    }

    fn collection_tag(&mut self, node: &Node, own: &str) {
        match node.tag.as_deref() {
            None => {}
            Some(Tag::Core(name)) if name == own => {}
            Some(tag) => self.tag_problem(tag),
        }
    }

    fn tag_problem(&mut self, tag: &Tag) {
        let tag = match tag {
            Tag::Core(name) => quote(&format!("!!{name}")),
            Tag::Other(name) => quote(name),
        };
        self.problem(format!("the tag {tag} has no meaning here: leave it out, or quote a text that starts with `!`"));
    }

    /// Whether there is room for one more.
    fn afford(&mut self, node: &Node) -> bool {
        let text = node.text().map_or(0, str::len);
        if self.values == 0 {
            return false;
        }
        if self.values == 1 || self.text < text {
            self.values = 0;
            self.problems.push(too_large(node.spot));
            return false;
        }
        self.values -= 1;
        self.text -= text;
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

    fn problem(&mut self, message: String) {
        self.problems.push(Diagnostic::value(self.pointer.clone(), message));
    }

    fn odd(&mut self, node: &Node, pointer: String, message: String) {
        self.problems.push(Diagnostic { place: Location::Odd(pointer, node.spot), message });
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
