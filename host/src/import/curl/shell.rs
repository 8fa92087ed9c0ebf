//! Splits a script of a POSIX shell or bash into commands and their words. Nothing is run: variables become references,
//! and the output of commands a variable.

use std::iter::Peekable;
use std::str::Chars;

use super::super::report::{Place, Report};
use super::super::text::{Piece, Text};

/// A word of a command.
#[derive(Debug, Clone)]
pub struct Word {
    pub text: Text,
    pub place: Place,
}

/// A simple command: its words, without redirections.
#[derive(Debug, Default)]
pub struct Command {
    pub words: Vec<Word>,
    /// True if the command reads the output of the one before it.
    pub is_piped: bool,
}

/// Splits a script into commands. An unclosed quotation mark ends it, with a note.
pub fn commands(file: &str, script: &str, report: &mut Report) -> Vec<Command> {
    let mut shell = Shell {
        rest: script.chars().peekable(),
        place: Place { file: file.into(), line: 1 },
        report,
        commands: Vec::new(),
        current: Command::default(),
        skips_word: false,
    };
    if let Err(place) = shell.run() {
        shell.report.left_out(&place, "a quotation mark that is never closed: the rest of the file is left out");
        shell.current = Command::default();
    }
    shell.end_command(false);
    shell.commands
}

struct Shell<'a> {
    rest: Peekable<Chars<'a>>,
    place: Place,
    report: &'a mut Report,
    commands: Vec<Command>,
    current: Command,
    /// True if the next word is the target of a redirection.
    skips_word: bool,
}

impl Shell<'_> {
    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        if next == Some('\n') {
            self.place.line += 1;
        }
        next
    }

    fn next_if(&mut self, wanted: char) -> bool {
        self.rest.peek() == Some(&wanted) && self.next().is_some()
    }

    fn end_command(&mut self, next_is_piped: bool) {
        let next = Command { words: Vec::new(), is_piped: next_is_piped };
        let command = std::mem::replace(&mut self.current, next);
        self.skips_word = false;
        if !command.words.is_empty() {
            self.commands.push(command);
        }
    }

    /// Returns the place of a quotation mark that is never closed as an error.
    fn run(&mut self) -> Result<(), Place> {
        while let Some(c) = self.rest.peek().copied() {
            match c {
                '\n' | ';' | '(' | ')' => {
                    self.next();
                    self.end_command(false);
                }
                '&' | '|' => {
                    self.next();
                    let is_double = self.next_if(c);
                    if c == '&' && self.rest.peek() == Some(&'>') {
                        continue;
                    }
                    self.end_command(c == '|' && !is_double);
                }
                '<' | '>' => {
                    while self.rest.peek().is_some_and(|c| "<>&|".contains(*c)) {
                        self.next();
                    }
                    self.skips_word = true;
                }
                ' ' | '\t' | '\r' => drop(self.next()),
                '#' => {
                    while self.rest.peek().is_some_and(|c| *c != '\n') {
                        self.next();
                    }
                }
                _ => self.word()?,
            }
        }
        Ok(())
    }

    fn word(&mut self) -> Result<(), Place> {
        let place = self.place.clone();
        let mut text = Text::default();
        let (mut is_word, mut is_quoted) = (false, false);
        while let Some(c) = self.rest.peek().copied() {
            match c {
                ' ' | '\t' | '\r' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                '\\' => {
                    self.next();
                    match self.next() {
                        // A continued line.
                        Some('\n') | None => continue,
                        Some('\r') if self.next_if('\n') => continue,
                        Some(c) => text.push(Piece::Literal(c.to_string())),
                    }
                }
                '\'' => {
                    self.next();
                    is_quoted = true;
                    self.single_quoted(&mut text, &place)?;
                }
                '"' => {
                    self.next();
                    is_quoted = true;
                    self.double_quoted(&mut text, &place)?;
                }
                '$' | '`' => {
                    self.next();
                    if c == '$' && self.next_if('\'') {
                        is_quoted = true;
                        self.ansi_quoted(&mut text, &place)?;
                    } else {
                        self.expansion(c, &mut text, &place)?;
                    }
                }
                c => {
                    self.next();
                    text.push(Piece::Literal(c.to_string()));
                }
            }
            is_word = true;
        }
        // The number of a file descriptor before a redirection.
        let is_descriptor = !is_quoted
            && matches!(self.rest.peek(), Some('<' | '>'))
            && text.as_literal().is_some_and(|text| text.len() == 1 && text.starts_with(|c: char| c.is_ascii_digit()));
        if is_word && !std::mem::take(&mut self.skips_word) && !is_descriptor {
            self.current.words.push(Word { text, place });
        }
        Ok(())
    }

    fn single_quoted(&mut self, text: &mut Text, start: &Place) -> Result<(), Place> {
        loop {
            match self.next() {
                Some('\'') => return Ok(()),
                Some(c) => text.push(Piece::Literal(c.to_string())),
                None => return Err(start.clone()),
            }
        }
    }

    fn double_quoted(&mut self, text: &mut Text, start: &Place) -> Result<(), Place> {
        loop {
            match self.next() {
                Some('"') => return Ok(()),
                Some('\\') => match self.next() {
                    Some('\n') => {}
                    Some(c @ ('"' | '\\' | '$' | '`')) => text.push(Piece::Literal(c.to_string())),
                    Some(c) => text.push(Piece::Literal(format!("\\{c}"))),
                    None => return Err(start.clone()),
                },
                Some(c @ ('$' | '`')) => self.expansion(c, text, start)?,
                Some(c) => text.push(Piece::Literal(c.to_string())),
                None => return Err(start.clone()),
            }
        }
    }

    /// Reads `$'…'` with its escapes. Escapes of bytes are UTF-8 together.
    fn ansi_quoted(&mut self, text: &mut Text, start: &Place) -> Result<(), Place> {
        let mut bytes = Vec::new();
        loop {
            let c = match self.next().ok_or_else(|| start.clone())? {
                '\'' => break,
                '\\' => match self.next().ok_or_else(|| start.clone())? {
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    'e' | 'E' => '\u{1b}',
                    'f' => '\u{c}',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'v' => '\u{b}',
                    'x' => {
                        bytes.extend(self.number(16, 2).and_then(|code| u8::try_from(code).ok()));
                        continue;
                    }
                    'u' => self.code_point(4),
                    'U' => self.code_point(8),
                    first @ '0'..='7' => {
                        let first = first.to_digit(8).unwrap_or_default();
                        let rest = self.octal(first);
                        bytes.push((rest & 0xff) as u8);
                        continue;
                    }
                    'c' => self.next().map_or('\u{fffd}', |c| char::from((u32::from(c) & 0x1f) as u8)),
                    c @ ('\\' | '\'' | '"' | '?') => c,
                    c => {
                        bytes.push(b'\\');
                        c
                    }
                },
                c => c,
            };
            bytes.extend(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        text.push(Piece::Literal(String::from_utf8_lossy(&bytes).into_owned()));
        Ok(())
    }

    /// Returns a character by its code, of which two can be a surrogate pair as JavaScript writes it.
    fn code_point(&mut self, digits: usize) -> char {
        let code = self.number(16, digits).unwrap_or_default();
        if (0xd800..0xdc00).contains(&code) {
            let mut ahead = self.rest.clone();
            if ahead.next() == Some('\\') && ahead.next() == Some('u') {
                self.next();
                self.next();
                let low = self.number(16, 4).unwrap_or_default();
                let pair = char::decode_utf16([code as u16, low as u16]).next();
                return pair.and_then(Result::ok).unwrap_or('\u{fffd}');
            }
        }
        char::from_u32(code).unwrap_or('\u{fffd}')
    }

    fn octal(&mut self, first: u32) -> u32 {
        let mut code = first;
        for _ in 0..2 {
            let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(8)) else { break };
            self.next();
            code = code * 8 + digit;
        }
        code
    }

    fn number(&mut self, radix: u32, max_digits: usize) -> Option<u32> {
        let mut number = None;
        for _ in 0..max_digits {
            let Some(digit) = self.rest.peek().and_then(|c| c.to_digit(radix)) else { break };
            self.next();
            number = Some(number.unwrap_or(0_u32).wrapping_mul(radix).wrapping_add(digit));
        }
        number
    }

    /// Reads what follows `$` or a backquote outside of single quotes.
    fn expansion(&mut self, sign: char, text: &mut Text, start: &Place) -> Result<(), Place> {
        let is_in_name = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        match self.rest.peek().copied() {
            _ if sign == '`' => self.command('`', None, text, start),
            Some('(') => {
                self.next();
                self.command(')', Some('('), text, start)
            }
            Some('{') => {
                self.next();
                self.braces(text, start)
            }
            Some(c) if c.is_ascii_alphabetic() || c == '_' => {
                let mut name = String::new();
                while self.rest.peek().is_some_and(is_in_name) {
                    name.extend(self.next());
                }
                text.push(self.report.given(&name, start));
                Ok(())
            }
            Some(c) if c.is_ascii_digit() || "@*?!#-".contains(c) => {
                self.next();
                let name = if c.is_ascii_digit() { format!("ARGUMENT_{c}") } else { "ARGUMENTS".to_owned() };
                text.push(self.report.given(&name, start));
                Ok(())
            }
            _ => {
                text.push(Piece::Literal("$".to_owned()));
                Ok(())
            }
        }
    }

    /// Reads the rest of `${…}`.
    fn braces(&mut self, text: &mut Text, start: &Place) -> Result<(), Place> {
        let mut inside = String::new();
        loop {
            match self.next() {
                Some('}') => break,
                Some(c) => inside.push(c),
                None => return Err(start.clone()),
            }
        }
        let end = inside.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(inside.len());
        let is_name = end > 0 && !inside.starts_with(|c: char| c.is_ascii_digit());
        if end < inside.len() || !is_name {
            self.report.left_out(start, "of an expansion of the shell only the variable's name is carried over");
        }
        text.push(self.report.given(if is_name { &inside[..end] } else { "ARGUMENTS" }, start));
        Ok(())
    }

    /// Reads a command substitution, whose output becomes a variable.
    fn command(&mut self, end: char, open: Option<char>, text: &mut Text, start: &Place) -> Result<(), Place> {
        let (mut inside, mut depth) = (String::new(), 0_usize);
        loop {
            match self.next() {
                Some(c) if c == end && depth == 0 => break,
                Some(c) => {
                    depth += usize::from(Some(c) == open);
                    depth -= usize::from(c == end && depth > 0);
                    inside.push(c);
                }
                None => return Err(start.clone()),
            }
        }
        text.push(self.report.secret("shell", "output", "the output of the command that stands there", &inside, start));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::text::Form;
    use super::*;

    #[track_caller]
    fn check(script: &str, expected: &[&[&str]]) {
        let mut report = Report::default();
        let found = commands("f", script, &mut report);
        let words =
            |command: &Command| command.words.iter().map(|word| word.text.render(Form::Plain)).collect::<Vec<_>>();
        assert_eq!(found.iter().map(words).collect::<Vec<_>>(), expected, "{script}");
    }

    #[test]
    fn words_are_split_as_by_a_shell() {
        check("curl  a\tb\\\n c # no\nd", &[&["curl", "a", "b", "c"], &["d"]]);
        check("a 'b c'\"d 'e'\"f\\ g '' \"\"", &[&["a", "b cd 'e'f g", "", ""]]);
        check("a \\\r\n  b", &[&["a", "b"]]);
        check("a \"\\\"\\$x\\\\\\n\" x#y", &[&["a", "\"$x\\\\n", "x#y"]]);
        check("a $'x\\n\\'\\u00e9\\ud83d\\ude00\\x41\\101\\xc3\\xa9\\q'", &[&["a", "x\n'é😀AAé\\q"]]);
        check("a $'\\u0021'", &[&["a", "!"]]);
        check("a | b; c && d & e 2>&1 >/dev/null <x f", &[&["a"], &["b"], &["c"], &["d"], &["e", "f"]]);
        check("a&b", &[&["a"], &["b"]]);
    }

    #[test]
    fn variables_and_commands_become_references() {
        check("a $A\"b${C}d\"'$E' $ $1", &[&["a", "${env:A}b${env:C}d$E", "$", "${env:ARGUMENT_1}"]]);
        check("a \"$(x $(y)) `z`\" ${A:-b}", &[&["a", "${env:SHELL_OUTPUT} ${env:SHELL_OUTPUT_2}", "${env:A}"]]);
    }

    #[test]
    fn what_is_never_closed_ends_the_script() {
        for wrong in ["a\nb 'c", "a\nb \"c", "a\nb $'c", "a\nb ${c", "a\nb $(c", "a\nb `c"] {
            check(wrong, &[&["a"]]);
        }
        check("a\\", &[&["a"]]);
    }
}
