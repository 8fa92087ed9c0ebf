//! What the YAML parser complains of, in the words of who writes a configuration.

use saphyr_parser::ScanError;

use super::problem::{Place, Problem, Spot};
use super::source::lines;

/// Commas and brackets beyond which a file is refused unparsed: the parser holds all of a `[…]` in memory at once.
const FLOW: usize = 1_000_000;

/// What the parser would pass over or choke on.
pub fn precheck(text: &str) -> Result<(), Problem> {
    let unprintable = |c: char| {
        matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}')
            || matches!(c, '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}')
    };
    if let Some((at, c)) = text.char_indices().find(|(_, c)| unprintable(*c)) {
        let before = lines(&text[..at]);
        let column = 1 + before.last().map_or(0, |line| line.chars().count());
        let code = u32::from(c);
        return Err(problem(
            before.len(),
            column,
            format!(
                "a control character (U+{code:04X}), which YAML has no place for: write `\"\\x{code:02x}\"` if it is meant"
            ),
        ));
    }
    match text.len() > FLOW && text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count() > FLOW {
        true => Err(problem(1, 1, "too large: more than a million commas and brackets")),
        false => Ok(()),
    }
}

/// `bracket` is the innermost `{` (true) or `[` that is still open.
pub fn explain(text: &str, error: &ScanError, bracket: Option<(bool, Spot)>) -> Problem {
    let lines = lines(text);
    let (mut line, mut column) = (error.marker().line(), error.marker().col() + 1);
    let info = error.info();
    let says = |part: &str| info.contains(part);
    let indent = |line: usize| {
        let line = lines.get(line - 1).copied().unwrap_or_default();
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    };
    // The parser notices a tab when the text before it ends: what indents the next line is what has to change.
    let tab = (line.max(1)..=lines.len().min(line + 100)).find(|line| indent(*line).contains('\t'));
    if let Some(tab) = tab.filter(|tab| says("tab") || *tab == line) {
        let column = 1 + indent(tab).chars().take_while(|c| *c != '\t').count();
        return problem(tab, column, "a tab in the indentation: YAML indents with spaces only");
    }
    // What an open bracket makes of the lines after it is never what is wrong with them.
    if let Some((map, spot)) = bracket.filter(|(_, spot)| spot.line < line && !says("quoted") && !says("anchor")) {
        let (open, close) = if map { ('{', '}') } else { ('[', ']') };
        let message = format!("this `{open}` is not closed: a `{close}` or a comma is missing, or a line not indented");
        return problem(spot.line, spot.column, message);
    }
    let message = if says("tab") || says("':' must be followed by a valid YAML whitespace") {
        "a tab where YAML wants a space"
    } else if says("recursion limit") {
        "nested too deeply: 64 levels at most"
    } else if says("simple key") {
        // Noticed at the next line, or at the end.
        line = (1..line).rev().find(|line| content(lines[line - 1])).unwrap_or(line);
        column = 1 + indent(line).chars().count();
        "a line without a value: write `key: value`, with a space after the colon"
    } else if says("mapping values are not allowed") || says("illegal placement of ':'") {
        "a `:` too many: quote a text that holds one, and indent the keys of a map alike"
    } else if says("did not find expected key") || says("block collection") || says("<document start>") {
        column = 1 + indent(line).chars().count();
        match lines.get(line - 1).is_some_and(|line| line.trim_start().starts_with("- ")) {
            true => "a list item where a key of the map above is expected: indent it under its own key",
            false => {
                "the indentation fits nothing above: the keys of a map, and the `-` of a list, stand in one column"
            }
        }
    } else if says("quoted scalar, found unexpected end") {
        "a quotation mark that is never closed"
    } else if says("quoted scalar, found unexpected document indicator") {
        "`---` inside of a quoted text: close its quotation mark first"
    } else if says("invalid indentation in quoted scalar") {
        "a quoted text whose next line is not indented, or whose quotation mark is never closed"
    } else if says("invalid trailing content") {
        "text after the closing quotation mark: quote all of it, and double a `'` within `'…'`"
    } else if says("escape") || says("hexadecimal") {
        "an unknown `\\` escape: double the backslash, or use '…', in which it stands for itself"
    } else if says("',' or '}'") {
        "a comma or a `}` is missing here"
    } else if says("',' or ']'") {
        "a comma or a `]` is missing here"
    } else if says("misplaced bracket") {
        "a closing bracket without an opening one: quote a text that starts with it"
    } else if says("invalid indentation") {
        "a line within `[…]` or `{…}` that is indented less than its key"
    } else if says("unknown anchor") {
        "an alias to nothing: define `&name` above it, or quote a text that starts with `*`"
    } else if says("scanning an anchor") {
        "`&` and `*` make anchors and aliases: quote a text that starts with one"
    } else if says("unexpected character") || says("unexpected end of plain") || says("plain scalar cannot start") {
        "no text may start with this character: put quotes around it"
    } else if says("block sequence entries") || says("'-' must be followed") {
        "a list item in the middle of a line: start it on a line of its own, or quote a text that starts with `-`"
    } else if says("mapping keys are not allowed") {
        "a `? ` in an unexpected place: quote a text that starts with it"
    } else if says("block scalar") {
        "after `|` or `>` the text starts on the next line, indented"
    } else if says("tag") || says("TAG") || says("handle") {
        "`!` makes a tag, of which a configuration needs none: quote a text that starts with it"
    } else if says("directive") {
        "`%` at the start of a line makes a directive, of which a configuration needs none"
    } else if says("expected node content") {
        "a value is missing here"
    } else {
        "this is no YAML"
    };
    // The end of a text is nothing to point at: its last line is.
    while line > 1 && lines.get(line - 1).is_none_or(|line| line.trim().is_empty()) {
        line -= 1;
        column = 1 + lines.get(line - 1).map_or(0, |line| line.trim_end().chars().count());
    }
    problem(line, column, message)
}

/// Neither empty nor a comment.
fn content(line: &str) -> bool {
    !matches!(line.trim_start().chars().next(), None | Some('#'))
}

fn problem(line: usize, column: usize, message: impl Into<String>) -> Problem {
    Problem { place: Place::Text(Spot { line, column, length: 1 }), message: message.into() }
}
