//! Explains the YAML parser's errors to the author of a configuration.

use granit_parser::{ErrorKind, ScanError};

use super::diagnostic::{Diagnostic, Location, TextRange};
use super::source::lines;

/// The maximal depth of nesting: far more than a configuration needs, and so few levels that recursive
/// functions do not overflow the stack.
pub const MAX_DEPTH: usize = 64;

/// Checks for control characters, which the parser accepts and YAML does not.
pub fn check_characters(text: &str) -> Result<(), Diagnostic> {
    let unprintable = |c: char| {
        matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}'..='\u{84}')
            || matches!(c, '\u{86}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}')
    };
    let Some((at, c)) = text.char_indices().find(|(_, c)| unprintable(*c)) else { return Ok(()) };
    let before = lines(&text[..at]);
    let column = 1 + before.last().map_or(0, |line| line.chars().count());
    let code = u32::from(c);
    let advice = format!("write `\"\\x{code:02x}\"` if it is meant");
    Err(diagnostic(
        before.len(),
        column,
        format!("a control character (U+{code:04X}), which YAML does not allow: {advice}"),
    ))
}

/// Returns a diagnostic for an error of the parser. `bracket` is the innermost bracket that is open: true for `{` or
/// false for `[`, and its line.
pub fn explain(text: &str, error: &ScanError, bracket: Option<(bool, usize)>) -> Diagnostic {
    use ErrorKind as Kind;

    let lines = lines(text);
    let (mut line, mut column) = (error.marker().line(), error.marker().col() + 1);
    let indent = |line: usize| {
        let line = lines.get(line.wrapping_sub(1)).copied().unwrap_or_default();
        &line[..line.len() - line.trim_start_matches([' ', '\t']).len()]
    };
    let kind = error.kind();
    let is_tab_error = matches!(
        kind,
        Kind::TabNotAllowed | Kind::TabInBlockIndentation | Kind::TabInIndentation | Kind::TabInPlainScalar
    );
    // The parser reports a tab at the end of the text before it. The tab to remove is in the indentation of that line
    // or of a later one.
    let tab = (line.max(1)..=lines.len().min(line + 100)).find(|line| indent(*line).contains('\t'));
    if let Some(tab) = tab.filter(|tab| is_tab_error || *tab == line) {
        let column = 1 + indent(tab).chars().take_while(|c| *c != '\t').count();
        return diagnostic(tab, column, "a tab in the indentation: YAML indents with spaces only");
    }
    let open = bracket.filter(|(_, opened)| *opened < line).map(|(map, opened)| {
        let bracket = if map { '{' } else { '[' };
        format!("a comma or the end of the `{bracket}` of line {opened} is missing here")
    });
    let message = match kind {
        Kind::MappingValueNotAllowed
        | Kind::InvalidColonPlacement
        | Kind::ExpectedFlowMappingSeparator
        | Kind::ExpectedFlowSequenceSeparator
            if let Some(open) = open =>
        {
            open
        }
        Kind::TabNotAllowed | Kind::TabInBlockIndentation | Kind::TabInIndentation | Kind::TabInPlainScalar => {
            "a tab where YAML needs a space".into()
        }
        Kind::RecursionLimitExceeded => format!("nested too deeply: {MAX_DEPTH} levels at most"),
        Kind::SimpleKeyExpected | Kind::InvalidSimpleKey => {
            column = 1 + indent(line).chars().count();
            "a line without a value: write `key: value`, with a space after the colon".into()
        }
        Kind::MappingValueNotAllowed | Kind::InvalidColonPlacement => {
            "a `:` too many: quote a text that holds one, and indent the keys of a map alike".into()
        }
        Kind::ExpectedBlockMappingKey | Kind::ExpectedBlockSequenceEntry | Kind::ExpectedDocumentStart => {
            column = 1 + indent(line).chars().count();
            let previous = lines.get(line.wrapping_sub(1));
            if previous.is_some_and(|line| line.trim_start().starts_with("- ")) {
                "a list item where a key of the map above is expected: indent it under its own key".into()
            } else {
                "the indentation fits nothing above: the keys of a map, and the `-` of a list, stand in one column"
                    .into()
            }
        }
        Kind::UnclosedQuotedScalar => "a quotation mark that is never closed".into(),
        Kind::DocumentIndicatorInQuotedScalar => "`---` inside of a quoted text: close its quotation mark first".into(),
        Kind::InvalidTrailingSingleQuotedScalar => {
            "text after the closing quotation mark: quote all of it, and write `''` for a `'` within `'…'`".into()
        }
        Kind::InvalidTrailingDoubleQuotedScalar => {
            "text after the closing quotation mark: quote all of it, and write `\\\"` for a `\"` within `\"…\"`".into()
        }
        Kind::UnknownQuotedScalarEscape | Kind::InvalidQuotedScalarHexEscape | Kind::InvalidLowSurrogateHexEscape => {
            "an unknown `\\` escape: double the backslash, or use '…', in which it stands for itself".into()
        }
        Kind::UnclosedFlowCollection { open } => format!("this `{open}` is never closed"),
        Kind::MismatchedFlowCollectionEnd { open, close } => format!("this `{open}` is closed by a `{close}`"),
        Kind::MisplacedFlowCollectionEnd => {
            "a closing bracket without an opening one: quote a text that starts with it".into()
        }
        Kind::ExpectedFlowMappingSeparator => "a comma or a `}` is missing here".into(),
        Kind::ExpectedFlowSequenceSeparator => "a comma or a `]` is missing here".into(),
        Kind::UnknownAnchor => {
            "an alias to nothing: define `&name` above it, or quote a text that starts with `*`".into()
        }
        Kind::MissingAnchorOrAliasName => {
            "`&` and `*` make anchors and aliases: quote a text that starts with one".into()
        }
        Kind::UnexpectedCharacter { character } => {
            format!("no text may start with `{character}`: put quotes around it")
        }
        Kind::BlockSequenceEntryNotAllowed | Kind::InvalidBlockEntryWhitespace | Kind::BlockEntryInFlowCollection => {
            "a list item in the middle of a line: start it on a line of its own, or quote a text that starts with `-`"
                .into()
        }
        Kind::InvalidBlockScalarHeader | Kind::InvalidBlockScalarIndent | Kind::TabAtBlockScalarStart => {
            "after `|` or `>` the text starts on the next line, indented with spaces".into()
        }
        Kind::UndeclaredTagHandle | Kind::UnclosedVerbatimTag | Kind::MissingTagUri | Kind::InvalidTagTerminator => {
            "`!` makes a tag, of which a configuration needs none: quote a text that starts with it".into()
        }
        Kind::ExpectedNodeContent | Kind::UnexpectedEofImplicitFlowMapping => "a value is missing here".into(),
        Kind::InvalidIndentation | Kind::InvalidQuotedScalarIndent => "indented less than what it belongs to".into(),
        // The remaining errors are rare, so that the parser's own message will do. It repeats nothing of the text.
        other => format!("no YAML: {other}"),
    };
    // An error at the end of the file is shown at its last line with text.
    while line > 1 && lines.get(line - 1).is_none_or(|line| line.trim().is_empty()) {
        line -= 1;
        column = 1 + lines.get(line - 1).map_or(0, |line| line.trim_end().chars().count());
    }
    diagnostic(line, column, message)
}

fn diagnostic(line: usize, column: usize, message: impl Into<String>) -> Diagnostic {
    Diagnostic { location: Location::Text(TextRange { line, column, length: 1 }), message: message.into() }
}
