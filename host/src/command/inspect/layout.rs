//! Laying out text in columns and paragraphs.

use sentrynet::sink::console::{escape, wrap};

/// Columns of the terminal that are used.
pub const WIDTH: usize = 80;
pub const INDENT: &str = "  ";
/// Lines of one text of the component's.
const MOST_LINES: usize = 12;

/// One row: each cell in as many lines as its width takes.
pub fn columns(cells: &[(&str, usize)]) -> String {
    let cells: Vec<_> = cells.iter().map(|(text, width)| (wrap(text, *width, MOST_LINES), *width)).collect();
    let height = cells.iter().map(|(lines, _)| lines.len()).max().unwrap_or_default();
    let mut text = String::new();
    for row in 0..height {
        let mut drawn = String::new();
        for (lines, width) in &cells {
            let cell = lines.get(row).map(String::as_str).unwrap_or_default();
            drawn += &format!("{INDENT}{cell:width$}");
        }
        text += drawn.trim_end();
        text.push('\n');
    }
    text
}

pub fn paragraph(indent: &str, text: &str) -> String {
    wrap(text, WIDTH - indent.len(), MOST_LINES).iter().map(|line| format!("{indent}{line}\n")).collect()
}

/// A guest's text in one line, in which nothing drives the terminal.
pub fn line(text: &str) -> String {
    escape(&text.split_whitespace().collect::<Vec<_>>().join(" "))
}
