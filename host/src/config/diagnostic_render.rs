//! Problems as a person reads them: the message, the place, the line. What a line is drawn with are keys and the
//! host's own values: a password, a DSN or a body never leave the file, not even to a terminal.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

use super::diagnostic::{Diagnostic, Location, Spot, first_word, harmless, shorten, unescape};
use super::known_keys;
use super::source::{Source, lines};
use super::source_map::{Found, SourceMap};
use super::yaml_tree::{Document, Kind, Node};

/// Characters of a line that are drawn.
const WIDTH: usize = 100;
/// Indentation beyond which a line is no longer shown where it stands.
const INDENT: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Error,
    Warning,
}

/// Everything that is wrong, in the file's order.
pub fn render(source: &Source, level: Level, problems: &[Diagnostic], color: bool) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let document = Document::of(source).ok();
    let locator = document.as_ref().map(SourceMap::new);
    let mut notes: Vec<Note> = problems.iter().map(|problem| note(problem, locator.as_ref())).collect();
    // By place, and by order of finding within one.
    notes.sort_by_key(|note| note.spot.map(|spot| (spot.line, spot.column)));
    // What is wrong with an anchor is found again at each of its aliases.
    notes.dedup_by(|next, first| next.spot.is_some() && next.spot == first.spot && next.message == first.message);
    let lines = lines(&source.text);
    let paint = Paint { color, level };
    let mut text = String::new();
    for note in &notes {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a String cannot fail.
        let _ = note.write(&mut text, source, &lines, &paint);
    }
    text
}

/// A problem with its place in the text.
struct Note<'a> {
    message: &'a str,
    pointer: &'a str,
    spot: Option<Spot>,
    shown: Shown,
}

/// What of its line may be drawn.
enum Shown {
    /// The key at the spot.
    Key,
    /// The value at the spot, and its key where it stands on the same line.
    Value(Option<Spot>),
    /// The key before the value at the spot, but not the value.
    Masked(Option<Spot>),
    /// Nobody knows what the line holds, except perhaps a key at its start.
    Unknown,
}

fn note<'a>(problem: &'a Diagnostic, locator: Option<&SourceMap>) -> Note<'a> {
    let pointer = problem.pointer().unwrap_or_default();
    let found = locator.map(|locator| locator.find(pointer));
    let (spot, shown) = match (&problem.place, found) {
        (Location::Text(spot), _) => (Some(*spot), Shown::Unknown),
        (Location::Odd(_, spot), _) => (Some(*spot), Shown::Key),
        (Location::Elsewhere, _) | (_, None) => (None, Shown::Unknown),
        (Location::Key(_), Some(found)) => mark(&found, true, pointer),
        (Location::Value(_), Some(found)) => mark(&found, false, pointer),
    };
    Note { message: &problem.message, pointer, spot: spot.filter(|spot| *spot != Spot::NOWHERE), shown }
}

fn mark(found: &Found, on_key: bool, pointer: &str) -> (Option<Spot>, Shown) {
    let Node { kind, spot, .. } = found.value;
    let key = found.key.map(|key| key.spot);
    match (kind, key) {
        // Of a list or a map, the key says more than where it begins.
        (Kind::List(_) | Kind::Map(_), Some(key)) => (Some(key), Shown::Key),
        (_, Some(key)) if on_key || !found.exact || spot.length == 0 => (Some(key), Shown::Key),
        // A block has no bracket to point at.
        (Kind::Map(_), None) if spot.length == 0 && found.first.is_some() => {
            (found.first.map(|key| key.spot), Shown::Key)
        }
        (Kind::List(_) | Kind::Map(_), None) => (Some(Spot { length: 1, ..*spot }), Shown::Masked(None)),
        (Kind::Scalar { .. }, key) if open(pointer) => (Some(*spot), Shown::Value(key)),
        (Kind::Scalar { .. }, key) => (Some(*spot), Shown::Masked(key)),
    }
}

/// Whether a value may be seen: the host's own, but for URLs. Everything else is the target's and may be a secret.
fn open(pointer: &str) -> bool {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    match path.as_slice() {
        ["sentry", key] => !matches!(*key, "dsn" | "spotlight") && known_keys::SENTRY.contains(key),
        ["sentry", "sample", key] => known_keys::SAMPLE.contains(key),
        ["limits", key] | ["groups", _, "probes", _, "limits", key] => known_keys::LIMITS.contains(key),
        ["groups", _, "probes", _, key] => known_keys::PROBE.contains(key),
        _ => known_keys::is_shared(pointer) || is_tag(pointer),
    }
}

fn is_tag(pointer: &str) -> bool {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    matches!(*path, ["sentry", "tags", _] | ["groups", _, "tags", _] | ["groups", _, "probes", _, "tags", _])
}

impl Note<'_> {
    fn write(&self, text: &mut String, source: &Source, lines: &[&str], paint: &Paint) -> std::fmt::Result {
        writeln!(text, "{}{}", paint.level(), paint.bold(&format!(": {}", self.message)))?;
        let name: String = source.name.chars().map(|c| if harmless(c) { c } else { '\u{fffd}' }).collect();
        let Some(spot) = self.spot else {
            return Ok(());
        };
        let gutter = spot.line.to_string().len() + 1;
        writeln!(text, "{:gutter$}{} {name}:{}:{}", "", paint.frame("-->"), spot.line, spot.column)?;
        let line = lines.get(spot.line - 1).copied().unwrap_or_default();
        let (drawn, before, length) = draw(line, spot, &self.shown, is_tag(self.pointer));
        let bar = paint.frame("|");
        writeln!(text, "{:gutter$} {bar}", "")?;
        writeln!(text, " {} {bar} {drawn}", paint.frame(&spot.line.to_string()))?;
        writeln!(text, "{:gutter$} {bar} {:before$}{}", "", "", paint.caret(&"^".repeat(length)))?;
        let around = if source.probe.is_some() { "/groups/0/probes/0" } else { "" };
        if let Some(path) = path(self.pointer.strip_prefix(around).unwrap_or(self.pointer)) {
            writeln!(text, "{:gutter$} {} at {path}", "", paint.frame("="))?;
        }
        Ok(())
    }
}

/// A line as far as it may be seen, the columns before the carets, and their number.
fn draw(line: &str, spot: Spot, shown: &Shown, whole: bool) -> (String, usize, usize) {
    let line: Vec<char> = line.chars().collect();
    let start = (spot.column - 1).min(line.len());
    let end = start.saturating_add(spot.length.max(1)).min(line.len());
    let key = match shown {
        Shown::Value(key) | Shown::Masked(key) => key.filter(|key| key.line == spot.line && key.column < spot.column),
        Shown::Key | Shown::Unknown => None,
    };
    if let Shown::Unknown = shown {
        return unknown(&line, start);
    }
    let from = key.map_or(start, |key| key.column - 1);
    let mut drawn = prefix(&line[..from]);
    if let Some(key) = key {
        // What stands between key and value is `: `, and perhaps an anchor or a tag.
        drawn += &visible(&line[from..(from + key.length).min(start)].iter().collect::<String>());
        drawn += ": ";
    }
    if matches!(shown, Shown::Masked(_)) && key.is_none() && drawn.ends_with("… ") {
        drawn.truncate(drawn.len() - "… ".len());
    }
    let before = drawn.chars().count();
    let marked = match shown {
        Shown::Masked(_) => "…".to_string(),
        // The name of a tag may be mistaken for one of several words; any other key is mistyped then.
        Shown::Key if !whole => visible(&first_word(&line[start..end].iter().collect::<String>())),
        _ => visible(&line[start..end].iter().collect::<String>()),
    };
    let length = marked.chars().count().max(1);
    drawn += &marked;
    let rest: String = line[end..].iter().collect();
    let rest = rest.trim();
    drawn += match shown {
        Shown::Key if rest == ":" => ":",
        Shown::Key if rest.starts_with(':') => ": …",
        Shown::Value(_) if !rest.is_empty() && !rest.starts_with('#') => " …",
        _ => "",
    };
    (drawn, before, length)
}

/// A line of which nothing is known: its key, if it starts with one.
fn unknown(line: &[char], start: usize) -> (String, usize, usize) {
    let indent = line.iter().take_while(|c| matches!(c, ' ' | '\t' | '-')).count();
    let key = line[indent..].iter().take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')).count();
    let value = indent + key;
    let is_key = (1..=40).contains(&key) && line.get(value) == Some(&':');
    let mut drawn = prefix(&line[..indent]);
    let shift = indent.saturating_sub(drawn.chars().count());
    // Up to here the line is drawn as it is, and a column in it stays what it was but for the indentation.
    let mut to = indent;
    if is_key {
        to = value + 1 + usize::from(line.get(value + 1) == Some(&' '));
        drawn.extend(&line[indent..to]);
    }
    let before = start.min(to).saturating_sub(shift);
    if line[to..].iter().any(|c| *c != ' ') {
        drawn += "…";
    }
    (drawn.trim_end().to_string(), before, 1)
}

/// What stands before a key: indentation as it is, anything else as `…`.
fn prefix(line: &[char]) -> String {
    let indent = line.iter().take_while(|c| matches!(c, ' ' | '\t' | '-' | '?')).count();
    let bracket = line.get(indent).filter(|c| matches!(c, '{' | '['));
    let mut drawn: String = line[..indent].iter().map(|c| if *c == '\t' { ' ' } else { *c }).collect();
    if indent > INDENT {
        drawn = "… ".into();
    }
    if let Some(bracket) = bracket {
        drawn.extend([*bracket, ' ']);
    }
    let rest = &line[(indent + usize::from(bracket.is_some()))..];
    if rest.iter().any(|c| *c != ' ') {
        drawn += "… ";
    }
    drawn
}

fn visible(text: &str) -> String {
    shorten(text, WIDTH)
}

/// A pointer as one would say it: `groups[0].probes[1].every`.
fn path(pointer: &str) -> Option<String> {
    let whole = is_tag(pointer);
    let mut path = String::new();
    for segment in pointer.split('/').skip(1) {
        let key = unescape(segment);
        let key = if whole { key } else { first_word(&key) };
        if path.len() > WIDTH {
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

struct Paint {
    color: bool,
    level: Level,
}

impl Paint {
    fn level(&self) -> String {
        match self.level {
            Level::Error => self.paint(AnsiColor::Red.on_default().bold(), "error"),
            Level::Warning => self.paint(AnsiColor::Yellow.on_default().bold(), "warning"),
        }
    }

    fn caret(&self, text: &str) -> String {
        let color = if self.level == Level::Error { AnsiColor::Red } else { AnsiColor::Yellow };
        self.paint(color.on_default().bold(), text)
    }

    fn bold(&self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    fn frame(&self, text: &str) -> String {
        self.paint(AnsiColor::Blue.on_default().bold(), text)
    }

    fn paint(&self, style: Style, text: &str) -> String {
        match self.color {
            true => format!("{style}{text}{style:#}"),
            false => text.to_string(),
        }
    }
}
