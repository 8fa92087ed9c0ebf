//! Text with styles and lines, of which all parts are escaped.

use std::borrow::Cow;

use anstyle::Style;

use super::escaping::{escape, is_printable};

/// Text for a terminal, with lines and styles. All text that is added to it is escaped, so text from elsewhere can add
/// neither lines nor styles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StyledText {
    /// The text with the escape sequences of its styles.
    ansi: String,
}

impl StyledText {
    /// Returns an empty text.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds text, escaped. A line break in it is escaped too: see [`StyledText::end_line`].
    pub fn push(&mut self, text: &str) {
        self.ansi.push_str(&escape(text));
    }

    /// Adds text in a style, escaped.
    pub fn push_styled(&mut self, style: Style, text: &str) {
        if !text.is_empty() {
            self.ansi.push_str(&format!("{style}{}{style:#}", escape(text)));
        }
    }

    /// Ends the line.
    pub fn end_line(&mut self) {
        self.ansi.push('\n');
    }

    /// Adds text, escaped, and ends the line.
    pub fn push_line(&mut self, text: &str) {
        self.push(text);
        self.end_line();
    }

    /// Adds another text with its lines and styles.
    pub fn append(&mut self, other: &Self) {
        self.ansi.push_str(&other.ansi);
    }

    /// Returns true if nothing was added.
    pub fn is_empty(&self) -> bool {
        self.ansi.is_empty()
    }

    /// Returns the text with the escape sequences of its styles.
    pub fn as_ansi(&self) -> &str {
        &self.ansi
    }

    /// Returns the text without styles.
    pub fn to_plain(&self) -> String {
        anstream::adapter::strip_str(&self.ansi).to_string()
    }
}

/// Returns a whole output with its line breaks and styles, and everything else escaped that is not printable.
///
/// This is the last step before an output is written. It covers text that no [`StyledText`] has escaped. Of the escape
/// sequences, only those of the styles that the program uses pass: bold, dim, italic, underlined, and the 16 colours.
pub fn filter(output: &str) -> Cow<'_, str> {
    if output.chars().all(is_printable) {
        return Cow::Borrowed(output);
    }
    let mut filtered = String::with_capacity(output.len());
    let mut rest = output;
    while let Some(at) = rest.find(['\n', '\x1b']) {
        filtered.push_str(&escape(&rest[..at]));
        rest = &rest[at..];
        let length = if rest.starts_with('\n') { 1 } else { style_length(rest) };
        match length {
            0 => {
                filtered.push_str(&escape(&rest[..1]));
                rest = &rest[1..];
            }
            length => {
                filtered.push_str(&rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    filtered.push_str(&escape(rest));
    Cow::Owned(filtered)
}

/// Returns the length of the escape sequence of a style at the beginning of a text, or 0 if there is none.
fn style_length(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else { return 0 };
    let Some((parameters, _)) = parameters.split_once('m') else { return 0 };
    let is_style = |code: &str| matches!(code.parse(), Ok(0..=4 | 30..=37 | 90..=97)) && !code.starts_with('+');
    if parameters.split(';').all(is_style) { "\x1b[".len() + parameters.len() + "m".len() } else { 0 }
}

#[cfg(test)]
mod tests {
    use anstyle::AnsiColor;

    use super::*;

    #[test]
    fn text_adds_neither_lines_nor_styles() {
        let mut text = StyledText::new();
        text.push("a\n");
        text.push_styled(AnsiColor::Red.on_default().bold(), "b\x1b[0m\r");
        text.push_styled(Style::new().bold(), "");
        text.end_line();
        text.push_line("c\u{2028}");
        let mut whole = StyledText::new();
        whole.append(&text);
        assert_eq!(whole.to_plain(), "a\\nb\\u{1b}[0m\\r\nc\\u{2028}\n");
        assert_eq!(whole.as_ansi(), "a\\n\x1b[1m\x1b[31mb\\u{1b}[0m\\r\x1b[0m\nc\\u{2028}\n");
        assert_eq!(filter(whole.as_ansi()), whole.as_ansi());
        assert!(!whole.is_empty() && StyledText::new().is_empty());
    }

    #[test]
    fn only_line_breaks_and_styles_pass_the_last_step() {
        let check = |output: &str, expected: &str| assert_eq!(filter(output), expected);
        check("plain", "plain");
        check("a\nb\x1b[1;31mc\x1b[0m\n", "a\nb\x1b[1;31mc\x1b[0m\n");
        check("\x1b[2J\x1b[8mx\x1b[m\x1b[38;5;1m\x1b", "\\u{1b}[2J\\u{1b}[8mx\\u{1b}[m\\u{1b}[38;5;1m\\u{1b}");
        check("\x1b[+1m\x1b[1\nm", "\\u{1b}[+1m\\u{1b}[1\nm");
        check("a\r\n\t\u{9b}0m\u{202e}", "a\\r\n\\t\\u{9b}0m\\u{202e}");
    }
}
