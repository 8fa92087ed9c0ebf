//! The layout of text in columns and paragraphs.

use sentrynet::printable::{StyledText, escape};
use sentrynet::sink::text::wrap;

/// The width of the output, in characters.
pub const WIDTH: usize = 80;
pub const INDENT: &str = "  ";
/// The number of lines after which a cell or a paragraph is truncated: a component can return text of any length.
const MAX_LINES: usize = 12;

/// Adds one row of a table. Each cell is a text and its width in characters; the text is wrapped to this width.
pub fn push_row(text: &mut StyledText, cells: &[(&str, usize)]) {
    let cells: Vec<_> =
        cells.iter().map(|(cell, width)| (wrap(&single_line(cell), *width, MAX_LINES), *width)).collect();
    let height = cells.iter().map(|(lines, _)| lines.len()).max().unwrap_or_default();
    for row in 0..height {
        let mut output_line = String::new();
        for (lines, width) in &cells {
            let cell = lines.get(row).map(String::as_str).unwrap_or_default();
            output_line += &format!("{INDENT}{cell:width$}");
        }
        text.push_line(output_line.trim_end());
    }
}

/// Adds a paragraph, wrapped to the width of the output, with `indent` before each line.
pub fn push_paragraph(text: &mut StyledText, indent: &str, paragraph: &str) {
    for line in wrap(&single_line(paragraph), WIDTH - indent.len(), MAX_LINES) {
        text.push_line(&format!("{indent}{line}"));
    }
}

/// Returns a component's text on one line, escaped, for the layout of what is printed.
pub fn single_line(text: &str) -> String {
    escape(&text.split_whitespace().collect::<Vec<_>>().join(" ")).into_owned()
}
