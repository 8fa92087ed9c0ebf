//! What is wrong with a configuration, and where. Plain data; knows no YAML.

use super::{Probe, known_keys};

/// Something wrong. The message says what, and what would be right: lower case, no full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub place: Location,
    pub message: String,
}

/// Where a problem is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// The key that a JSON pointer (RFC 6901) into the file ends in.
    Key(String),
    /// The value that a JSON pointer leads to, or what would hold it where it is missing.
    Value(String),
    /// A key that no pointer leads to, as it is the second of its name or no text. The pointer is the nearest one.
    Odd(String, Spot),
    /// A place in a text that is no YAML, or is not read as such.
    Text(Spot),
    /// Not in the file.
    Elsewhere,
}

/// Characters of one line; line and column count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Spot {
    pub line: usize,
    pub column: usize,
    pub length: usize,
}

impl Spot {
    /// Of what is not in the file.
    pub const NOWHERE: Self = Self { line: 0, column: 0, length: 0 };
}

impl Diagnostic {
    pub fn key(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: Location::Key(pointer.into()), message: message.into() }
    }

    pub fn value(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { place: Location::Value(pointer.into()), message: message.into() }
    }

    pub fn elsewhere(message: impl Into<String>) -> Self {
        Self { place: Location::Elsewhere, message: message.into() }
    }

    pub fn pointer(&self) -> Option<&str> {
        match &self.place {
            Location::Key(pointer) | Location::Value(pointer) | Location::Odd(pointer, _) => Some(pointer),
            Location::Text(_) | Location::Elsewhere => None,
        }
    }
}

impl Probe {
    /// A problem that its component has with its settings, at a JSON pointer into them.
    ///
    /// A component knows its own keys alone: what it does not know may be one of the host's, mistyped.
    pub fn problem(&self, pointer: &str, message: &str) -> Diagnostic {
        let first = pointer.split('/').nth(1).map(unescape);
        let shared = first.is_some_and(|key| self.shared.keys.contains(&key));
        let place = format!("{}{pointer}", if shared { &self.shared.pointer } else { &self.pointer });
        if !message.starts_with("unknown key") {
            return Diagnostic::value(place, message);
        }
        let key = pointer.strip_prefix('/').filter(|key| !key.contains('/')).map(unescape);
        let meant = key.as_deref().and_then(|key| Some((key, known_keys::closest(key, known_keys::PROBE)?)));
        match meant {
            Some((key, meant)) if !message.contains("did you mean") => {
                Diagnostic::key(place, format!("unknown key {}, did you mean `{meant}`?", quote_key(key)))
            }
            _ => Diagnostic::key(place, message),
        }
    }
}

/// Nobody reads on after so many, and a file has room for a million.
const MOST: usize = 1000;

/// Problems as they are found, up to a bound.
#[derive(Debug, Default)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    pub fn push(&mut self, problem: Diagnostic) {
        if !self.full() {
            self.0.push(problem);
        } else if self.0.len() == MOST {
            self.0.push(Diagnostic::elsewhere(format!("more than {MOST} problems: mend these first")));
        }
    }

    pub fn full(&self) -> bool {
        self.0.len() >= MOST
    }

    pub fn into_vec(self) -> Vec<Diagnostic> {
        self.0
    }
}

/// A pointer to a member of what `pointer` leads to.
pub fn below(pointer: &str, key: &str) -> String {
    format!("{pointer}/{}", escape(key))
}

pub fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

pub fn unescape(segment: &str) -> String {
    segment.replace("~1", "/").replace("~0", "~")
}

/// A text of the configuration in backquotes, fit for one line of a terminal.
pub fn quote(text: &str) -> String {
    format!("`{}`", shorten(text, 60))
}

/// A key, in backquotes. Of several words the first: in `{authorization hunter2}` it is a colon that is missing, in
/// `{authorization:hunter2}` a space, and the rest was to be a value.
pub fn quote_key(key: &str) -> String {
    quote(&first_word(key))
}

pub fn first_word(key: &str) -> String {
    match key.split_once(|c: char| c.is_whitespace() || c == ':') {
        Some((word, _)) => format!("{word}…"),
        None => key.to_string(),
    }
}

/// The beginning of a text, without what would upset a terminal or tell a secret: a URL may hold a password, and a
/// DSN is one.
pub fn shorten(text: &str, most: usize) -> String {
    if text.contains("//") || text.contains(':') && text.contains('@') {
        return "…".into();
    }
    beginning(text, most)
}

/// A title, in backquotes: it is shown wherever its runs are, and has no secret left.
pub fn quote_title(title: &str) -> String {
    format!("`{}`", beginning(title, 60))
}

fn beginning(text: &str, most: usize) -> String {
    let mut short: String = text.chars().take(most).map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect();
    if text.chars().nth(most).is_some() {
        short.push('…');
    }
    short
}

/// Neither moves a terminal's cursor nor turns its direction of writing.
pub fn harmless(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}
