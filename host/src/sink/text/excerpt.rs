//! The first lines of what a target has sent, below a heading.

use anstyle::Style;

use super::wrapping::wrap;
use crate::printable::{StyledText, escape};
use crate::run::evidence::Excerpt;

/// The maximum number of lines of one excerpt that are shown.
const MAX_LINES: usize = 8;
/// The maximum indentation of a line of an excerpt, in characters.
const MAX_INDENT: usize = 16;
const DIM: Style = Style::new().dimmed();

/// Writes a heading and the first lines of an excerpt, in lines of at most `width` characters. After the heading
/// follows a colon if the excerpt has lines to show, or `, no text` if its bytes are binary.
pub fn write_excerpt(heading: &str, excerpt: Option<&Excerpt>, width: usize, into: &mut StyledText) {
    let shown = excerpt.and_then(|excerpt| Some((excerpt, shown_text(excerpt)?)));
    let is_binary = excerpt.is_some_and(|excerpt| excerpt.size > 0 && excerpt.text.is_none());
    let ending = if is_binary { ", no text" } else { "" };
    let heading = format!("{heading}{ending}{}", if shown.is_some() { ":" } else { "" });
    for (index, line) in wrap(&escape(&heading), width - 6, MAX_LINES).iter().enumerate() {
        into.push(if index == 0 { "    " } else { "      " });
        into.push(line);
        into.end_line();
    }
    let Some((excerpt, text)) = shown else { return };
    let is_cut = excerpt.size > text.len() as u64;
    for line in first_lines(text, is_cut, width - 6) {
        into.push("      ");
        into.push_styled(DIM, &line);
        into.end_line();
    }
}

/// Returns the size of an excerpt in words, such as `57 bytes`.
pub fn size_in_words(excerpt: &Excerpt) -> String {
    format!("{} {}", excerpt.size, if excerpt.size == 1 { "byte" } else { "bytes" })
}

/// Returns the text of an excerpt that is not blank.
fn shown_text(excerpt: &Excerpt) -> Option<&str> {
    excerpt.text.as_deref().filter(|text| !text.trim().is_empty())
}

/// Returns the first lines of a text that are not blank, of at most `width` characters and with their indentation. The
/// last one ends with an ellipsis if there is more.
fn first_lines(text: &str, is_cut: bool, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut rest = text.lines().filter(|line| !line.trim().is_empty());
    for line in rest.by_ref() {
        let indent =
            line.chars().take_while(|c| c.is_whitespace()).map(|c| if c == '\t' { 2 } else { 1 }).sum::<usize>();
        let indent = indent.min(MAX_INDENT).min(width / 2);
        // One line more than there is space for shows that there is more.
        let max_lines = MAX_LINES + 1 - lines.len();
        let wrapped = wrap(&escape(&line.replace('\t', " ")), width - indent, max_lines);
        lines.extend(wrapped.into_iter().map(|line| format!("{:indent$}{line}", "")));
        if lines.len() > MAX_LINES {
            break;
        }
    }
    let has_more = lines.len() > MAX_LINES || rest.next().is_some() || is_cut;
    lines.truncate(MAX_LINES);
    if let Some(last) = lines.last_mut().filter(|_| has_more) {
        // Leaves space for the ellipsis.
        let beginning: String = last.chars().take(width - 2).collect();
        *last = format!("{} …", beginning.trim_end_matches([' ', '…']));
    }
    lines
}
