//! An XML document, written element by element.

use std::fmt::Write as _;

use crate::printable::escape;

/// An XML 1.0 document that is being written. All texts and values are escaped.
pub struct Xml {
    text: String,
    /// The names of the elements that are not closed yet.
    open: Vec<&'static str>,
}

/// The attributes of an element: names and values.
pub type Attributes<'a> = &'a [(&'static str, &'a str)];

impl Xml {
    /// Returns a document that has only its first line.
    pub fn new() -> Self {
        Self { text: "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned(), open: Vec::new() }
    }

    /// Begins an element with elements in it.
    pub fn open(&mut self, name: &'static str, attributes: Attributes) {
        self.begin(name, attributes);
        self.text.push_str(">\n");
        self.open.push(name);
    }

    /// Ends the element that was begun last.
    pub fn close(&mut self) {
        let Some(name) = self.open.pop() else { return };
        self.indent();
        _ = writeln!(self.text, "</{name}>");
    }

    /// Adds an element without content.
    pub fn empty(&mut self, name: &'static str, attributes: Attributes) {
        self.begin(name, attributes);
        self.text.push_str("/>\n");
    }

    /// Adds an element with lines of text.
    pub fn lines(&mut self, name: &'static str, attributes: Attributes, lines: &str) {
        self.begin(name, attributes);
        self.text.push('>');
        let lines: Vec<_> = lines.lines().map(escape_xml).collect();
        _ = writeln!(self.text, "{}</{name}>", lines.join("\n"));
    }

    /// Returns the document.
    pub fn finish(mut self) -> String {
        while !self.open.is_empty() {
            self.close();
        }
        self.text
    }

    fn begin(&mut self, name: &str, attributes: Attributes) {
        self.indent();
        _ = write!(self.text, "<{name}");
        for (name, value) in attributes {
            _ = write!(self.text, " {name}=\"{}\"", escape_xml(value));
        }
    }

    fn indent(&mut self) {
        self.text.push_str(&"  ".repeat(self.open.len()));
    }
}

/// Returns a text that may stand in an element or between quotes. What is not printable is escaped first: line breaks,
/// which a value cannot have, and control characters, which XML 1.0 cannot have in any form. Of the characters that are
/// left, XML 1.0 lacks U+FFFE and U+FFFF, which become U+FFFD.
fn escape_xml(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in escape(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_nested_and_their_texts_escaped() {
        let mut xml = Xml::new();
        xml.open("a", &[("b", "\"1\"\n<&>"), ("c", "")]);
        xml.empty("d", &[]);
        xml.lines("e", &[], "]]>\u{1b}[0m\r\n\u{ffff}\0 grün\t👩\u{200d}👩");
        let expected = r#"<?xml version="1.0" encoding="UTF-8"?>
<a b="&quot;1&quot;\n&lt;&amp;&gt;" c="">
  <d/>
  <e>]]&gt;\u{1b}[0m
"#;
        let text = xml.finish();
        assert!(text.starts_with(expected), "{text}");
        assert!(text.ends_with("\n\u{fffd}\\u{0} grün\\t👩\u{200d}👩</e>\n</a>\n"), "{text}");
    }
}
