//! Texts of a configuration: literal text, and references to environment variables in it.

use std::fmt::Write;

/// A text, in which environment variables and keys of a chain can stand for parts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Text(Vec<Piece>);

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Literal(String),
    /// The name of an environment variable.
    Variable(String),
    /// The path of a file.
    File(String),
    /// A key of a chain, as a field of a template: `token`, `user[id]`.
    Key(String),
}

/// The way in which the probe reads a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it is.
    Plain,
    /// As a template, in which braces have a meaning: in the steps of a chain.
    Template,
}

impl Text {
    /// Returns a literal text.
    pub fn literal(text: impl Into<String>) -> Self {
        let mut result = Self::default();
        result.push(Piece::Literal(text.into()));
        result
    }

    /// Adds a part. Literals that follow each other become one.
    pub fn push(&mut self, piece: Piece) {
        match (self.0.last_mut(), piece) {
            (_, Piece::Literal(text)) if text.is_empty() => {}
            (Some(Piece::Literal(before)), Piece::Literal(text)) => before.push_str(&text),
            (_, piece) => self.0.push(piece),
        }
    }

    /// Adds another text.
    pub fn append(&mut self, other: Self) {
        other.0.into_iter().for_each(|piece| self.push(piece));
    }

    /// Returns the text if all of it is literal.
    pub fn as_literal(&self) -> Option<&str> {
        match &self.0[..] {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if a key of a chain stands in the text.
    pub fn has_key(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Key(_)))
    }

    /// Returns the text with `x` for each variable and key, to look at its structure.
    pub fn skeleton(&self) -> String {
        let shown = |piece: &Piece| match piece {
            Piece::Literal(text) => text.clone(),
            Piece::Variable(_) | Piece::File(_) | Piece::Key(_) => "x".to_owned(),
        };
        self.0.iter().map(shown).collect()
    }

    /// Returns the text with each literal part replaced.
    pub fn map_literals(self, mut replace: impl FnMut(&str) -> Self) -> Self {
        let mut replaced = Self::default();
        for piece in self.0 {
            match piece {
                Piece::Literal(text) => replaced.append(replace(&text)),
                piece => replaced.push(piece),
            }
        }
        replaced
    }

    /// Returns the text with one character for each variable and key, so that it can be taken apart. Characters of
    /// the text that could be confused with these are replaced.
    pub fn encode(&self) -> Encoded {
        let mut encoded = Encoded::default();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => {
                    encoded.text.extend(text.chars().map(|c| if is_mark(c) { '\u{fffd}' } else { c }));
                }
                piece => {
                    encoded.text.extend(mark(encoded.pieces.len()));
                    encoded.pieces.push(piece.clone());
                }
            }
        }
        encoded
    }

    /// Returns the text as a configuration has it: variables as `${env:NAME}`, and what would be a reference escaped.
    pub fn render(&self, form: Form) -> String {
        let mut rendered = String::new();
        for (index, piece) in self.0.iter().enumerate() {
            match piece {
                Piece::Literal(text) => {
                    let next = self.0.get(index + 1);
                    let is_before_variable = matches!(next, Some(Piece::Variable(_) | Piece::File(_)));
                    rendered.push_str(&render_literal(text, form, is_before_variable));
                }
                Piece::Variable(name) => _ = write!(rendered, "${{env:{name}}}"),
                Piece::File(path) => _ = write!(rendered, "${{file:{path}}}"),
                Piece::Key(field) => _ = write!(rendered, "{{{field}}}"),
            }
        }
        rendered
    }
}

/// A text whose variables and keys are single characters.
#[derive(Debug, Default)]
pub struct Encoded {
    pub text: String,
    pieces: Vec<Piece>,
}

/// The first character that stands for a variable or a key; the plane is for private use.
const FIRST_MARK: u32 = 0x10_0000;

/// Returns the character for a variable or a key. There are 65,534 of them; further ones are dropped.
fn mark(index: usize) -> Option<char> {
    u32::try_from(index).ok().and_then(|index| char::from_u32(FIRST_MARK.checked_add(index)?))
}

/// Returns true for a character that stands for a variable or a key.
pub fn is_mark(c: char) -> bool {
    u32::from(c) >= FIRST_MARK
}

impl Encoded {
    /// Returns a part of the text with its variables and keys.
    pub fn decode(&self, part: &str) -> Text {
        let mut text = Text::default();
        for c in part.chars() {
            let index = u32::from(c).checked_sub(FIRST_MARK).and_then(|index| usize::try_from(index).ok());
            text.push(match index.and_then(|index| self.pieces.get(index)) {
                Some(piece) => piece.clone(),
                None => Piece::Literal(c.to_string()),
            });
        }
        text
    }
}

fn render_literal(text: &str, form: Form, is_before_variable: bool) -> String {
    let text = match form {
        Form::Plain => text.to_owned(),
        Form::Template => text.replace('{', "{{").replace('}', "}}"),
    };
    let escaped = text.replace("${", "$${");
    match escaped.strip_suffix('$') {
        // `$${` would be an escape: the dollar sign is the default of a variable that does not exist.
        Some(before) if is_before_variable => format!("{before}${{env:SENTRYNET_DOLLAR:-$}}"),
        _ => escaped,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_written_and_literals_escaped() {
        let check = |pieces: &[Piece], form: Form, expected: &str| {
            let mut text = Text::default();
            for piece in pieces {
                text.push(piece.clone());
            }
            assert_eq!(text.render(form), expected);
        };
        let literal = |text: &str| Piece::Literal(text.to_owned());
        let variable = Piece::Variable("A".to_owned());
        check(&[literal("a "), variable.clone(), literal("}")], Form::Plain, "a ${env:A}}");
        check(&[literal("${a} $${ $x {b}")], Form::Plain, "$${a} $$${ $x {b}");
        check(&[literal("${a} {b}")], Form::Template, "$${{a}} {{b}}");
        check(&[literal("$"), variable.clone()], Form::Plain, "${env:SENTRYNET_DOLLAR:-$}${env:A}");
        check(&[literal("x/"), Piece::Key("user[id]".to_owned()), variable], Form::Template, "x/{user[id]}${env:A}");
        check(&[], Form::Plain, "");
    }

    #[test]
    fn texts_are_taken_apart() {
        let mut text = Text::literal("Bearer \u{100000}");
        text.push(Piece::Variable("A".to_owned()));
        let encoded = text.encode();
        let (scheme, token) = encoded.text.split_once(' ').expect("there is a space");
        assert_eq!(encoded.decode(scheme), Text::literal("Bearer"));
        assert_eq!(encoded.decode(token).render(Form::Plain), "\u{fffd}${env:A}");
        assert_eq!((text.as_literal(), text.0.len(), text.skeleton().len()), (None, 2, 12));
        assert_eq!(Text::literal("").as_literal(), Some(""));
    }
}
