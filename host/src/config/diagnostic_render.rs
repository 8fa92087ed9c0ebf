//! Renders diagnostics for a terminal: the message, the location, and the line of the file.
//!
//! Only the keys and the host's own values of a line are shown. Everything else may be a secret, such as a
//! password, a DSN or a body, and is printed as `…`.

use anstyle::{AnsiColor, Style};

use super::diagnostic::{Diagnostic, Diagnostics, Location, TextRange, first_word, shorten, unescape};
use super::folder;
use super::section::{Section, is_shared, path_in_probe};
use super::source::{Source, lines};
use super::source_map::{Member, SourceMap};
use super::yaml_tree::{Kind, Node};
use crate::printable::{StyledText, excerpt};

/// The maximal number of characters of a key, a value or a path that are shown.
const MAX_WIDTH: usize = 100;
/// The maximal number of bytes of a message or of a path that are shown, after their characters are escaped.
const MAX_MESSAGE_BYTES: usize = 2048;
/// The maximal number of columns of indentation that are shown as they are; a wider indentation is shown as `…`.
const MAX_INDENT: usize = 60;

/// The severity of diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The configuration cannot be used.
    Error,
    /// Something may be a mistake.
    Warning,
}

/// Renders diagnostics of one level, in the order of the file; those that are not about the file come first.
pub fn render(source: &Source, level: Level, diagnostics: &[Diagnostic]) -> StyledText {
    let mut text = StyledText::new();
    if diagnostics.is_empty() {
        return text;
    }
    let document = folder::parse(source, &mut Diagnostics::default());
    let source_map = document.as_ref().map(SourceMap::new);
    let locate = |diagnostic| Snippet::new(diagnostic, source_map.as_ref());
    let mut snippets: Vec<Snippet> = diagnostics.iter().map(locate).collect();
    // The sort is stable: diagnostics at one place keep their order.
    snippets.sort_by_key(|snippet| snippet.range.map(|range| (range.line, range.column)));
    // An error in an anchor is found again at each of its aliases.
    snippets.dedup_by(|next, first| next.range.is_some() && next.range == first.range && next.message == first.message);
    let lines = lines(&source.text);
    for snippet in &snippets {
        if !text.is_empty() {
            text.end_line();
        }
        snippet.write(&mut text, source, &lines, level);
    }
    text
}

/// A diagnostic with its place in the text.
struct Snippet<'a> {
    message: &'a str,
    pointer: &'a str,
    range: Option<TextRange>,
    visible: Visible,
}

/// The part of a line that may be shown.
enum Visible {
    /// The key at the range.
    Key,
    /// The value at the range, and its key if it is on the same line.
    Value(Option<TextRange>),
    /// The key of the value at the range, but not the value.
    Masked(Option<TextRange>),
    /// A key at the start of the line, if there is one. The content of the line is unknown.
    Unknown,
}

/// Returns the range to mark for a key or a value, and what of its line may be shown.
fn mark(member: &Member, on_key: bool, pointer: &str) -> (Option<TextRange>, Visible) {
    let Node { kind, range, .. } = member.value;
    let key = member.key.map(|key| key.range);
    match (kind, key) {
        // For a list or a map, the key is marked: the place where the value begins may be only a bracket or a dash.
        (Kind::List(_) | Kind::Map(_), Some(key)) => (Some(key), Visible::Key),
        (_, Some(key)) if on_key || !member.is_exact || range.length == 0 => (Some(key), Visible::Key),
        // A block map has no bracket to mark: its first key is marked.
        (Kind::Map(_), None) if range.length == 0 && member.first_key.is_some() => {
            (member.first_key.map(|key| key.range), Visible::Key)
        }
        (Kind::List(_) | Kind::Map(_), None) => (Some(TextRange { length: 1, ..*range }), Visible::Masked(None)),
        (Kind::Scalar { text, .. }, key) if is_visible(pointer) || is_harmless(pointer, text) => {
            (Some(*range), Visible::Value(key))
        }
        (Kind::Scalar { .. }, key) => (Some(*range), Visible::Masked(key)),
    }
}

/// Returns true if a value may be shown: a value of the host's own keys, except URLs. Every other value belongs to a
/// component's settings and may be a secret.
fn is_visible(pointer: &str) -> bool {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    match (path.as_slice(), path_in_probe(&path)) {
        (["sentry", key], _) => !matches!(*key, "dsn" | "spotlight") && Section::SENTRY.has(key),
        (["sentry", "sample", key], _) => Section::SAMPLE.has(key),
        (["limits", key], _) | (_, Some(["limits", key])) => Section::HOST_LIMITS.has(key),
        (_, Some([key])) if Section::PROBE.has(key) => true,
        _ => is_shared(pointer) || is_tag(pointer),
    }
}

/// Returns true if a setting has a value of a form that no secret has: a boolean, or a number of few digits, with a
/// unit or without. Settings whose names or whose parents' names sound like secrets, and those that are sent, are none
/// of these.
fn is_harmless(pointer: &str, text: &str) -> bool {
    const MAX_DIGITS: usize = 5;
    const MAX_UNIT_LETTERS: usize = 3;
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    let of_module = || match path.as_slice() {
        ["modules", _, "settings", settings @ ..] => Some(settings),
        _ => None,
    };
    let Some(settings) = path_in_probe(&path).or_else(of_module) else { return false };
    let sounds_secret = |name: &&str| {
        let name = name.to_lowercase();
        let parts = ["auth", "code", "cred", "key", "otp", "pass", "pin", "pwd", "secret", "sign", "token"];
        let is_sent = matches!(name.as_str(), "body" | "headers" | "query" | "init_keys" | "cookies" | "assertions");
        is_sent || parts.iter().any(|part| name.contains(part))
    };
    let (digits, unit) =
        text.split_at(text.len() - text.trim_start_matches(|c| matches!(c, '0'..='9' | '.' | '-')).len());
    let is_number = (1..=MAX_DIGITS).contains(&digits.len())
        && unit.trim_start().len() <= MAX_UNIT_LETTERS
        && unit.trim_start().bytes().all(|byte| byte.is_ascii_alphabetic());
    (is_number || matches!(text, "true" | "false" | "null")) && !settings.iter().any(sounds_secret)
}

fn is_tag(pointer: &str) -> bool {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    matches!(path_in_probe(&path), Some(["tags", _]))
        || matches!(*path, ["sentry", "tags", _] | ["groups", _, "tags", _])
}

impl<'a> Snippet<'a> {
    fn new(diagnostic: &'a Diagnostic, source_map: Option<&SourceMap>) -> Self {
        let pointer = diagnostic.pointer().unwrap_or_default();
        let member = source_map.map(|source_map| source_map.find(pointer));
        let (range, visible) = match (&diagnostic.location, member) {
            (Location::Text(range), _) => (Some(*range), Visible::Unknown),
            (Location::UnaddressableKey(_, range), _) => (Some(*range), Visible::Key),
            (Location::OutsideFile, _) | (_, None) => (None, Visible::Unknown),
            (Location::Key(_), Some(member)) => mark(&member, true, pointer),
            (Location::Value(_), Some(member)) => mark(&member, false, pointer),
        };
        let range = range.filter(|range| *range != TextRange::NONE);
        Self { message: &diagnostic.message, pointer, range, visible }
    }

    fn write(&self, text: &mut StyledText, source: &Source, lines: &[&str], level: Level) {
        let (word, color) = match level {
            Level::Error => ("error", AnsiColor::Red.on_default().bold()),
            Level::Warning => ("warning", AnsiColor::Yellow.on_default().bold()),
        };
        text.push_styled(color, word);
        text.push_styled(Style::new().bold(), &format!(": {}", excerpt(self.message, MAX_MESSAGE_BYTES)));
        text.end_line();
        let Some(range) = self.range else { return };
        let (name, line_number) = source.locate(range.line);
        let gutter = line_number.to_string().len() + 1;
        text.push(&" ".repeat(gutter));
        text.push_styled(FRAME, "-->");
        let name = excerpt(name, MAX_MESSAGE_BYTES);
        text.push_line(&format!(" {name}:{line_number}:{}", range.column));
        let line = lines.get(range.line - 1).copied().unwrap_or_default();
        let (shown, before, length) = show_line(line, range, &self.visible, is_tag(self.pointer));
        text.push(&" ".repeat(gutter + 1));
        text.push_styled(FRAME, "|");
        text.end_line();
        text.push(" ");
        text.push_styled(FRAME, &line_number.to_string());
        text.push(" ");
        text.push_styled(FRAME, "|");
        text.push_line(&format!(" {shown}"));
        text.push(&" ".repeat(gutter + 1));
        text.push_styled(FRAME, "|");
        text.push(&" ".repeat(1 + before));
        text.push_styled(color, &"^".repeat(length));
        text.end_line();
        // A file with the settings of one probe was parsed as a configuration with this probe alone. Its part of the
        // pointer is not in the file.
        let wrapper = if source.probe.is_some() { "/groups/0/probes/0" } else { "" };
        if let Some(path) = path(self.pointer.strip_prefix(wrapper).unwrap_or(self.pointer)) {
            text.push(&" ".repeat(gutter + 1));
            text.push_styled(FRAME, "=");
            text.push_line(&format!(" at {path}"));
        }
    }
}

/// The style of what is around the lines of the file.
const FRAME: Style = AnsiColor::Blue.on_default().bold();

/// Returns the visible part of a line, the number of columns before the carets, and the number of carets. `whole_key`
/// is true if a key may be shown with all its words.
fn show_line(line: &str, range: TextRange, visible: &Visible, whole_key: bool) -> (String, usize, usize) {
    let line: Vec<char> = line.chars().collect();
    let start = (range.column - 1).min(line.len());
    let end = start.saturating_add(range.length.max(1)).min(line.len());
    let key = match visible {
        Visible::Value(key) | Visible::Masked(key) => {
            key.filter(|key| key.line == range.line && key.column < range.column)
        }
        Visible::Key | Visible::Unknown => None,
    };
    if let Visible::Unknown = visible {
        return show_unknown_line(&line, start);
    }
    let from = key.map_or(start, |key| key.column - 1);
    let mut shown = prefix(&line[..from]);
    if let Some(key) = key {
        // Between the key and the value there is `: `, and possibly an anchor or a tag, which is not shown.
        shown += &shown_text(&line[from..(from + key.length).min(start)].iter().collect::<String>());
        shown += ": ";
    }
    if matches!(visible, Visible::Masked(_)) && key.is_none() && shown.ends_with("… ") {
        shown.truncate(shown.len() - "… ".len());
    }
    let before = shown.chars().count();
    let marked = match visible {
        Visible::Masked(_) => "…".to_string(),
        // A key of several words is a mistake whose rest may be a secret, except in `tags`.
        Visible::Key if !whole_key => shown_text(&first_word(&line[start..end].iter().collect::<String>())),
        _ => shown_text(&line[start..end].iter().collect::<String>()),
    };
    let length = marked.chars().count().max(1);
    shown += &marked;
    let rest: String = line[end..].iter().collect();
    let rest = rest.trim();
    shown += match visible {
        Visible::Key if rest == ":" => ":",
        Visible::Key if rest.starts_with(':') => ": …",
        Visible::Value(_) if !rest.is_empty() && !rest.starts_with('#') => " …",
        _ => "",
    };
    (shown, before, length)
}

/// Returns the same as [`show_line`] for a line whose content is unknown: its key, if it starts with one.
fn show_unknown_line(line: &[char], start: usize) -> (String, usize, usize) {
    let indent = line.iter().take_while(|c| matches!(c, ' ' | '\t' | '-')).count();
    let key = line[indent..].iter().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).count();
    let value = indent + key;
    let is_key = (1..=40).contains(&key) && line.get(value) == Some(&':');
    let mut shown = prefix(&line[..indent]);
    let shift = indent.saturating_sub(shown.chars().count());
    // Up to this column the line is shown as it is, except for the indentation.
    let mut to = indent;
    if is_key {
        to = value + 1 + usize::from(line.get(value + 1) == Some(&' '));
        shown.extend(&line[indent..to]);
    }
    let before = start.min(to).saturating_sub(shift);
    if line[to..].iter().any(|c| *c != ' ') {
        shown += "…";
    }
    (shown.trim_end().to_string(), before, 1)
}

/// Returns the part of a line before a key: the indentation as it is, anything else as `…`.
fn prefix(line: &[char]) -> String {
    let indent = line.iter().take_while(|c| matches!(c, ' ' | '\t' | '-' | '?')).count();
    let bracket = line.get(indent).filter(|c| matches!(c, '{' | '['));
    let mut shown: String = line[..indent].iter().map(|c| if *c == '\t' { ' ' } else { *c }).collect();
    if indent > MAX_INDENT {
        shown = "… ".into();
    }
    if let Some(bracket) = bracket {
        shown.extend([*bracket, ' ']);
    }
    let rest = &line[(indent + usize::from(bracket.is_some()))..];
    if rest.iter().any(|c| *c != ' ') {
        shown += "… ";
    }
    shown
}

fn shown_text(text: &str) -> String {
    shorten(text, MAX_WIDTH)
}

/// Returns a JSON pointer in the notation of most programming languages: `groups[0].probes[1].every`.
fn path(pointer: &str) -> Option<String> {
    let whole_key = is_tag(pointer);
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        let key = unescape(segment);
        let key = if whole_key { key } else { first_word(&key) };
        if path.len() > MAX_WIDTH {
            path += "…";
            break;
        }
        if !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_digit()) {
            path += &format!("[{key}]");
        } else if !key.is_empty()
            && key.len() <= 60
            && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
        {
            path += if path.is_empty() { "" } else { "." };
            path += &key;
        } else {
            path += &format!("[\"{}\"]", shorten(&key, 60));
        }
    }
    (!path.is_empty()).then_some(path)
}
