//! Errors and warnings about a configuration, with their locations. Plain data, independent of YAML.

use std::path::PathBuf;

use crate::printable::is_printable;

/// An error or a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The place in the file.
    pub location: Location,
    /// The message: the mistake and its correction, in lower case, without a full stop.
    pub message: String,
}

/// The location of a diagnostic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// The key that a JSON pointer (RFC 6901) into the file ends in.
    Key(String),
    /// The value that a JSON pointer leads to. If the value is missing, the map that would have it.
    Value(String),
    /// A key that no pointer leads to, because it is the second of its name or because it is no text. The pointer is
    /// the nearest one.
    UnaddressableKey(String, TextRange),
    /// A range of a text that is no YAML, or that could not be read as YAML.
    Text(TextRange),
    /// The diagnostic is about nothing in the file, such as an environment variable.
    OutsideFile,
}

/// A range of characters in one line. Line and column count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextRange {
    /// The line, from 1.
    pub line: usize,
    /// The first column, from 1.
    pub column: usize,
    /// The number of characters. `usize::MAX` if the text goes on in further lines.
    pub length: usize,
}

impl TextRange {
    /// The range of a node that is not in the file.
    pub const NONE: Self = Self { line: 0, column: 0, length: 0 };

    /// Returns the range in a text that has these many lines before the text of this range.
    pub(super) fn after(self, lines: usize) -> Self {
        Self { line: self.line + lines, ..self }
    }
}

impl Diagnostic {
    /// Returns a diagnostic about the key at a JSON pointer.
    pub fn at_key(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { location: Location::Key(pointer.into()), message: message.into() }
    }

    /// Returns a diagnostic about the value at a JSON pointer.
    pub fn at_value(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { location: Location::Value(pointer.into()), message: message.into() }
    }

    /// Returns a diagnostic about nothing in the file.
    pub fn outside_file(message: impl Into<String>) -> Self {
        Self { location: Location::OutsideFile, message: message.into() }
    }

    /// Returns the JSON pointer to the key or value, or the nearest one. `None` if there is none.
    pub fn pointer(&self) -> Option<&str> {
        match &self.location {
            Location::Key(pointer) | Location::Value(pointer) | Location::UnaddressableKey(pointer, _) => Some(pointer),
            Location::Text(_) | Location::OutsideFile => None,
        }
    }
}

/// A component's file that cannot be found.
#[derive(Debug, PartialEq, Eq)]
pub struct MissingFile {
    /// The absolute path.
    pub path: PathBuf,
    /// The error, for a program that needs all components.
    pub error: Diagnostic,
}

/// The maximal number of diagnostics. A file can have a million errors, too many to print or to read.
const MAX_DIAGNOSTICS: usize = 1000;

/// A list of diagnostics with a maximal length. If it is full, its last item reports that there are more.
#[derive(Debug, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub fn push(&mut self, diagnostic: Diagnostic) {
        push_within(&mut self.0, diagnostic);
    }

    pub fn is_full(&self) -> bool {
        self.0.len() >= MAX_DIAGNOSTICS
    }

    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.0
    }
}

/// Adds a diagnostic to a list with the maximal length of [`Diagnostics`].
pub fn push_within(list: &mut Vec<Diagnostic>, diagnostic: Diagnostic) {
    if list.len() < MAX_DIAGNOSTICS {
        list.push(diagnostic);
    } else if list.len() == MAX_DIAGNOSTICS {
        list.push(Diagnostic::outside_file(format!("more than {MAX_DIAGNOSTICS} problems: mend these first")));
    }
}

/// Returns the JSON pointer to a member of the map that `pointer` leads to.
pub fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", escape(key))
}

/// Escapes a key as a segment of a JSON pointer.
pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// Returns the key of a segment of a JSON pointer.
pub fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// The maximal number of characters of a text that a message repeats.
const MAX_QUOTED_CHARS: usize = 60;

/// Returns a text of the configuration in backquotes, fit for one line of a terminal. See [`shorten`].
pub fn quote(text: &str) -> String {
    format!("`{}`", shorten(text, MAX_QUOTED_CHARS))
}

/// Returns the first word of a key in backquotes.
///
/// A key of several words is a mistake whose rest may be a secret: `{authorization hunter2}` lacks a colon, and
/// `{authorization:hunter2}` a space after it.
pub fn quote_key(key: &str) -> String {
    quote(&first_word(key))
}

/// Returns the text up to the first whitespace or colon, with an ellipsis for the rest.
pub fn first_word(key: &str) -> String {
    match key.split_once(|c: char| c.is_whitespace() || c == ':') {
        Some((word, _)) => format!("{word}…"),
        None => key.to_string(),
    }
}

/// Returns the beginning of a text, without characters that would upset a terminal. Returns only an ellipsis for a text
/// that looks like a URL, since URLs can have a password, and a DSN is a secret.
pub fn shorten(text: &str, max_length: usize) -> String {
    if text.contains("//") || text.contains(':') && text.contains('@') {
        return "…".into();
    }
    beginning(text, max_length)
}

/// Returns a title in backquotes. Unlike [`quote`], it shows a URL in the title: secrets have been redacted from
/// titles, and every run is sent with its title.
pub fn quote_title(title: &str) -> String {
    format!("`{}`", beginning(title, MAX_QUOTED_CHARS))
}

fn beginning(text: &str, max_length: usize) -> String {
    let printable = |c| if is_printable(c) { c } else { '\u{fffd}' };
    let mut short: String = text.chars().take(max_length).map(printable).collect();
    if text.chars().nth(max_length).is_some() {
        short.push('…');
    }
    short
}
