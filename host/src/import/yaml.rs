//! Writes a configuration as YAML: maps and lists in blocks, short values in one line, and comments. Every text is
//! quoted such that the configuration's reader finds exactly this text.

use std::fmt::Write;

use crate::printable::{escape, is_printable};

/// The greatest length of a line with a list or a map in it, and of a comment.
const MAX_LINE: usize = 110;
/// The spaces of one level.
const INDENT: usize = 2;

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// Text, which is quoted where it could be taken for something else.
    Text(String),
    /// A number or a boolean, which is written as it is.
    Plain(String),
    List(Vec<Node>),
    Map(Map),
}

/// A map, whose keys are written in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Map {
    /// Lines before the first key.
    pub comments: Vec<String>,
    entries: Vec<(String, Node)>,
    /// True for a map that is written in one line if it fits.
    is_short: bool,
}

impl Map {
    /// Returns a map that is written in one line if it fits.
    pub fn short(entries: impl IntoIterator<Item = (&'static str, Node)>) -> Self {
        let entries = entries.into_iter().map(|(key, node)| (key.to_owned(), node)).collect();
        Self { comments: Vec::new(), entries, is_short: true }
    }

    /// Returns an empty map with lines before its first key.
    pub fn with_comments(comments: &[String]) -> Self {
        Self { comments: comments.to_owned(), ..Self::default() }
    }

    pub fn set(&mut self, key: impl Into<String>, value: impl Into<Node>) {
        self.entries.push((key.into(), value.into()));
    }

    /// Sets a key if there is a value.
    pub fn set_some(&mut self, key: &str, value: Option<impl Into<Node>>) {
        if let Some(value) = value {
            self.set(key, value);
        }
    }

    pub fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }

    pub fn remove(&mut self, key: &str) {
        self.entries.retain(|(known, _)| known != key);
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn entries(&self) -> &[(String, Node)] {
        &self.entries
    }

    /// Adds the keys of another map.
    pub fn extend(&mut self, other: Self) {
        self.entries.extend(other.entries);
    }
}

impl From<Map> for Node {
    fn from(map: Map) -> Self {
        Self::Map(map)
    }
}

impl From<&str> for Node {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Node {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Node {
    fn from(value: bool) -> Self {
        Self::Plain(value.to_string())
    }
}

impl From<u64> for Node {
    fn from(value: u64) -> Self {
        Self::Plain(value.to_string())
    }
}

impl From<Vec<Node>> for Node {
    fn from(items: Vec<Node>) -> Self {
        Self::List(items)
    }
}

/// Returns a document.
pub fn write(document: &Map) -> String {
    let mut out = String::new();
    write_block(document, 0, &mut out);
    out
}

/// Writes the comments and keys of a map. The first line is not indented if the text already stands in it.
fn write_block(map: &Map, indent: usize, out: &mut String) {
    write_comments(&map.comments, indent, out);
    for (key, value) in &map.entries {
        start_line(indent, out);
        let key = scalar(key, Place::Block);
        out.push_str(&key);
        out.push(':');
        write_value(value, indent, indent + key.len() + 2, out);
    }
}

/// Writes the value of a key, or of an item, after the colon or the dash. `used` is the length of the line so far.
fn write_value(value: &Node, indent: usize, used: usize, out: &mut String) {
    if let Some(line) = one_line(value).filter(|line| is_scalar(value) || used + line.len() <= MAX_LINE) {
        _ = writeln!(out, " {line}");
        return;
    }
    match value {
        Node::Text(text) => write_text(text, indent + INDENT, out),
        Node::Plain(text) => _ = writeln!(out, " {text}"),
        Node::List(items) => {
            out.push('\n');
            for item in items {
                write_item(item, indent + INDENT, out);
            }
        }
        Node::Map(map) => {
            out.push('\n');
            write_block(map, indent + INDENT, out);
        }
    }
}

/// Writes an item of a list. The first key of a map stands in the line of the dash.
fn write_item(item: &Node, indent: usize, out: &mut String) {
    match item {
        Node::Map(map) if one_line(item).is_none_or(|line| indent + 2 + line.len() > MAX_LINE) => {
            write_comments(&map.comments, indent, out);
            start_line(indent, out);
            out.push_str("- ");
            let rest = Map { comments: Vec::new(), ..map.clone() };
            let mut block = String::new();
            write_block(&rest, indent + INDENT, &mut block);
            out.push_str(block.trim_start_matches(' '));
        }
        item => {
            start_line(indent, out);
            out.push('-');
            write_value(item, indent, indent + 2, out);
        }
    }
}

/// Writes a text of several lines as a literal block, if it can be one, and else in quotes.
fn write_text(text: &str, indent: usize, out: &mut String) {
    let Some(header) = block_header(text) else {
        _ = writeln!(out, " {}", double_quoted(text));
        return;
    };
    _ = writeln!(out, " {header}");
    for line in text.trim_end_matches('\n').split('\n') {
        if !line.is_empty() {
            start_line(indent, out);
            out.push_str(line);
        }
        out.push('\n');
    }
}

/// Returns the header of a literal block with this text; `None` if the text cannot be one.
fn block_header(text: &str) -> Option<&'static str> {
    let lines: Vec<_> = text.trim_end_matches('\n').split('\n').collect();
    let is_plain = |line: &&str| line.chars().all(is_printable) && !line.ends_with(' ') && !line.contains('\u{85}');
    let starts_well = |line: &&str| !line.starts_with(' ') && !line.is_empty();
    (lines.len() > 1 && lines.iter().all(is_plain) && lines.first().is_some_and(starts_well)).then_some(())?;
    match text.len() - text.trim_end_matches('\n').len() {
        0 => Some("|-"),
        1 => Some("|"),
        _ => None,
    }
}

fn start_line(indent: usize, out: &mut String) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// Writes comments, folded at spaces.
fn write_comments(comments: &[String], indent: usize, out: &mut String) {
    for comment in comments {
        let mut length = usize::MAX;
        for word in escape(comment).split(' ') {
            if length.saturating_add(word.chars().count() + 1) > MAX_LINE {
                if length != usize::MAX {
                    out.push('\n');
                }
                start_line(indent, out);
                out.push('#');
                length = indent + 1;
            }
            out.push(' ');
            out.push_str(word);
            length += word.chars().count() + 1;
        }
        out.push('\n');
    }
}

/// Returns a value in one line; `None` if it is to have several.
fn one_line(value: &Node) -> Option<String> {
    match value {
        Node::Text(text) if block_header(text).is_some() => None,
        Node::Map(map) if !map.is_short && !map.entries.is_empty() || !map.comments.is_empty() => None,
        Node::Text(text) => Some(scalar(text, Place::Block)),
        value => flow(value),
    }
}

fn is_scalar(value: &Node) -> bool {
    matches!(value, Node::Text(_) | Node::Plain(_))
}

fn flow(value: &Node) -> Option<String> {
    match value {
        Node::Text(text) => Some(scalar(text, Place::Flow)),
        Node::Plain(text) => Some(text.clone()),
        Node::List(items) => {
            let items: Option<Vec<_>> = items.iter().map(flow).collect();
            Some(format!("[{}]", items?.join(", ")))
        }
        Node::Map(map) if map.is_short || map.entries.is_empty() => {
            let entry = |(key, value): &(String, Node)| Some(format!("{}: {}", scalar(key, Place::Flow), flow(value)?));
            let entries: Option<Vec<_>> = map.entries.iter().map(entry).collect();
            Some(format!("{{{}}}", entries?.join(", ")))
        }
        Node::Map(_) => None,
    }
}

/// The place of a scalar, which decides the characters that need quotes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Block,
    Flow,
}

fn scalar(text: &str, place: Place) -> String {
    if is_plain(text, place) {
        text.to_owned()
    } else if text.chars().all(is_printable) && !text.is_empty() {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        double_quoted(text)
    }
}

/// Returns true if a text can stand without quotes and is read as this text. Some texts that could are quoted too.
fn is_plain(text: &str, place: Place) -> bool {
    let starts_well = text.starts_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '/' | '$' | '(' | '^'))
        || text.starts_with("./");
    let is_allowed = |c: char| match c {
        '[' | ']' | '{' | '}' | ',' => place == Place::Block,
        ' ' | '_' | '/' | '$' | '.' | '-' | '+' | '=' | '@' | '%' | ':' | '~' | '?' | '!' | ';' | '*' | '&' | '('
        | ')' | '^' | '<' | '>' | '|' | '\\' | '\'' | '"' | '#' => true,
        c => c.is_alphanumeric() && is_printable(c),
    };
    let has_separator = text.contains(": ") || text.contains(" #") || text.ends_with([' ', ':']);
    let has_flow_separator = place == Place::Flow && text.contains([':', '?']);
    let is_ambiguous = has_separator || has_flow_separator || looks_like_value(text);
    starts_well && text.chars().all(is_allowed) && !is_ambiguous
}

/// Returns true if a text without quotes could be read as a number, a boolean, null, a date or a time by some reader.
fn looks_like_value(text: &str) -> bool {
    const WORDS: [&str; 11] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"];
    if WORDS.iter().any(|word| text.eq_ignore_ascii_case(word)) {
        return true;
    }
    let is_status_class = text.len() == 3 && text.ends_with("xx") && text.starts_with(|c: char| c.is_ascii_digit());
    let is_numeric = |c: char| c.is_ascii_hexdigit() || "+-.,:_xXoO".contains(c);
    !is_status_class && text.starts_with(|c: char| c.is_ascii_digit() || c == '.') && text.chars().all(is_numeric)
}

fn double_quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if is_printable(c) => quoted.push(c),
            c => match u32::from(c) {
                code @ 0..=0xff => _ = write!(quoted, "\\x{code:02x}"),
                code @ 0..=0xffff => _ = write!(quoted, "\\u{code:04x}"),
                code => _ = write!(quoted, "\\U{code:08x}"),
            },
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ForeignYaml;

    const NASTY: &[&str] = &[
        "",
        " ",
        "a",
        "a ",
        " a",
        "null",
        "~",
        "True",
        "no",
        "1",
        "1.0",
        "0x1f",
        "1_000",
        "12:30",
        "2026-01-02",
        ".5",
        "+1",
        "-",
        "- a",
        "-1",
        "a: b",
        "a:",
        "a #b",
        "#a",
        "a#b",
        "&a",
        "*a",
        "!a",
        "@a",
        "`a",
        "%a",
        "|",
        ">",
        "[a]",
        "{a}",
        "a, b",
        "a]",
        "'",
        "''",
        "it's",
        "\"",
        "\\",
        "\\n",
        "a\nb",
        "a\nb\n",
        "a\n\nb\n\n",
        "\na",
        " a\nb",
        "a\n b",
        "a \nb",
        "a\r\nb\r\n",
        "\t",
        "a\tb\nc",
        "\u{0}\u{7}\u{1b}[2J",
        "\u{85}",
        "\u{2028}",
        "\u{feff}x",
        "é 緑 🟢",
        "\u{10ffff}",
        "$.items[0].id",
        "${env:A}",
        "$${",
        "? a",
        "?",
        "<<",
        "=",
        "...",
        "---",
        "--- a",
        "...\nb",
        "2xx",
        "30s",
        "https://a/?b=c#d",
        "^x(a|b)$",
        "a?b:c",
        "x: |\n",
        "a\n# b",
        "key: [1,\n2]",
        "\u{200b}",
        "{\"a\": 1}",
        "%41",
        "a\u{a0}b",
        "\u{e000}",
    ];

    #[test]
    fn every_text_is_read_back() {
        for text in NASTY {
            for short in [true, false] {
                let mut inner = Map { is_short: short, ..Map::default() };
                inner.set("k", *text);
                inner.set((*text).to_owned() + "x", vec![Node::from(*text), Node::from("2")]);
                let mut document = Map::default();
                document.comments.push(format!("{text} {}", "word ".repeat(40)));
                document.set("value", *text);
                document.set("map", inner.clone());
                document
                    .set("list", vec![Node::from(*text), Node::from(inner.clone()), Node::List(vec![inner.into()])]);
                let written = write(&document);
                let read = ForeignYaml::parse(&written).unwrap_or_else(|error| panic!("{error:?}: {written}"));
                assert_eq!(read.problems, [], "{written}");
                assert_eq!(read.value["value"], *text, "{written}");
                assert_eq!(read.value["map"]["k"], *text, "{written}");
                assert_eq!(read.value["map"][format!("{text}x")][0], *text, "{written}");
                assert_eq!(read.value["map"][format!("{text}x")][1], "2", "{written}");
                assert_eq!(read.value["list"][0], *text, "{written}");
                assert_eq!(read.value["list"][1]["k"], *text, "{written}");
                assert_eq!(read.value["list"][2][0]["k"], *text, "{written}");
            }
        }
    }

    #[test]
    fn ordinary_values_are_written_as_a_person_would() {
        let mut probe = Map::default();
        probe.comments.push("left out: a line".to_owned());
        probe.set("probe", "http");
        probe.set("url", "https://shop.example/a?b=c");
        probe.set("every", "30s");
        probe.set("body", "{\n  \"a\": 1\n}\n");
        let mut checks = Map::default();
        checks.set("status", "2xx");
        checks.set("header content-type", Map::short([("starts_with", "text/".into())]));
        checks.set("$.id", Map::short([("in", vec![1u64.into(), "1".into()].into())]));
        probe.set("checks", checks);
        let mut group = Map::default();
        group.set("tags", Map::short([("job", "a b".into())]));
        group.set("probes", vec![probe.into()]);
        let mut document = Map::default();
        document.set("groups", vec![group.into()]);
        let expected = "\
groups:
  - tags: {job: a b}
    probes:
      # left out: a line
      - probe: http
        url: https://shop.example/a?b=c
        every: 30s
        body: |
          {
            \"a\": 1
          }
        checks:
          status: 2xx
          header content-type: {starts_with: text/}
          $.id: {in: [1, '1']}
";
        assert_eq!(write(&document), expected);
    }
}
