//! The layout of text in columns and paragraphs.

use sentrynet::sink::console::{escape, wrap};

/// The width of the output, in characters.
pub const WIDTH: usize = 80;
pub const INDENT: &str = "  ";
/// The number of lines after which a cell or a paragraph is truncated: a component can return text of any length.
const MAX_LINES: usize = 12;

/// Returns one row of a table. Each cell is a text and its width in characters; the text is wrapped to this width.
pub fn columns(cells: &[(&str, usize)]) -> String {
    let cells: Vec<_> = cells.iter().map(|(text, width)| (wrap(text, *width, MAX_LINES), *width)).collect();
    let height = cells.iter().map(|(lines, _)| lines.len()).max().unwrap_or_default();
    let mut text = String::new();
    for row in 0..height {
        let mut output_line = String::new();
        for (lines, width) in &cells {
            let cell = lines.get(row).map(String::as_str).unwrap_or_default();
            output_line += &format!("{INDENT}{cell:width$}");
        }
        text += output_line.trim_end();
        text.push('\n');
    }
    text
}

/// Returns `text`, wrapped to the width of the output, with `indent` before each line.
pub fn paragraph(indent: &str, text: &str) -> String {
    wrap(text, WIDTH - indent.len(), MAX_LINES).iter().map(|line| format!("{indent}{line}\n")).collect()
}

/// Returns a component's text on one line, with the characters escaped that control a terminal.
pub fn single_line(text: &str) -> String {
    escape(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}
