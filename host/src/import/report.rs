//! What an import tells: what could not be carried over, with its place, and which variables have to be set.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::rc::Rc;

use super::text::Piece;

/// The maximal number of notes. Further ones are counted.
const MAX_NOTES: usize = 1000;
/// The maximal number of bytes of the name of a variable.
const MAX_NAME_BYTES: usize = 60;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The name of the file, as it was given.
    pub file: Rc<str>,
    /// The line, from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Something that the configuration does not have, or has in another way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where it stands.
    pub place: Place,
    /// True if it was left out; false if it is carried over, and the note says how.
    pub is_left_out: bool,
    /// What it is and why, in lower case, without a full stop and without values that may be secret.
    pub message: String,
}

/// An environment variable that the configuration refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// The name.
    pub name: String,
    /// What it stands for, such as `the password of basic_auth`.
    pub purpose: String,
    /// Where its value, or the first reference to it, stands.
    pub place: Place,
}

/// The notes and variables of an import.
#[derive(Debug, Default)]
pub struct Report {
    notes: Vec<Note>,
    /// The number of notes that were left out of `notes`.
    more_notes: usize,
    left_out: usize,
    /// The notes since [`Report::take_comments`] was called last.
    comments: Vec<String>,
    variables: Vec<Variable>,
    names: HashSet<String>,
    /// The names of variables by their values, which are kept for the import alone.
    by_value: HashMap<String, String>,
}

impl Report {
    /// Notes something that is left out.
    pub fn left_out(&mut self, place: &Place, message: impl Into<String>) {
        self.left_out += 1;
        self.add(Note { place: place.clone(), is_left_out: true, message: message.into() });
    }

    /// Notes how something is carried over.
    pub fn remark(&mut self, place: &Place, message: impl Into<String>) {
        self.add(Note { place: place.clone(), is_left_out: false, message: message.into() });
    }

    fn add(&mut self, note: Note) {
        if self.notes.len() >= MAX_NOTES {
            self.more_notes += 1;
            return;
        }
        let word = if note.is_left_out { "left out" } else { "note" };
        let comment = format!("{word}: {} ({})", note.message, note.place);
        if !self.comments.contains(&comment) {
            self.comments.push(comment);
        }
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Returns the notes since the last call, as comments for what was built meanwhile.
    pub fn take_comments(&mut self) -> Vec<String> {
        std::mem::take(&mut self.comments)
    }

    /// Returns a variable for a secret. Equal secrets have the same variable. `base` and `key` make its name.
    pub fn secret(&mut self, base: &str, key: &str, purpose: &str, value: &str, place: &Place) -> Piece {
        if let Some(name) = self.by_value.get(value) {
            return Piece::Variable(name.clone());
        }
        let name = self.free_name(&format!("{base}_{key}"));
        self.by_value.insert(value.to_owned(), name.clone());
        self.add_variable(&name, purpose, place);
        Piece::Variable(name)
    }

    /// Adds a variable that the file refers to by itself.
    pub fn given(&mut self, name: &str, place: &Place) -> Piece {
        if !self.variables.iter().any(|variable| variable.name == name) {
            self.add_variable(name, "as before", place);
        }
        Piece::Variable(name.to_owned())
    }

    /// Keeps a name from being given to a secret.
    pub fn reserve(&mut self, name: &str) {
        self.names.insert(name.to_owned());
    }

    fn add_variable(&mut self, name: &str, purpose: &str, place: &Place) {
        self.names.insert(name.to_owned());
        let (name, purpose, place) = (name.to_owned(), purpose.to_owned(), place.clone());
        self.variables.push(Variable { name, purpose, place });
    }

    /// Returns a name for a variable that no other has.
    fn free_name(&self, wish: &str) -> String {
        let name = variable_name(wish);
        let numbered = (2..).map(|number| format!("{name}_{number}"));
        let mut names = std::iter::once(name.clone()).chain(numbered);
        names.find(|name| !self.names.contains(name)).unwrap_or(name)
    }

    /// Returns the notes in the order of the files, the number of further ones, the number of those that say that
    /// something was left out, and the variables.
    pub fn finish(self) -> (Vec<Note>, usize, usize, Vec<Variable>) {
        (self.notes, self.more_notes, self.left_out, self.variables)
    }

    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }
}

/// Returns a text as the name of a variable: capital letters, digits and single `_`.
fn variable_name(text: &str) -> String {
    let mut name = String::new();
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() => name.push(c.to_ascii_uppercase()),
            _ if !name.ends_with('_') && !name.is_empty() => name.push('_'),
            _ => {}
        }
    }
    let name = name.trim_matches('_');
    // The end says what the variable is for.
    let name = &name[name.len().saturating_sub(MAX_NAME_BYTES)..].trim_matches('_');
    if name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        (*name).to_owned()
    } else {
        format!("SECRET_{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(line: usize) -> Place {
        Place { file: "f".into(), line }
    }

    #[test]
    fn equal_secrets_have_one_variable() {
        let mut report = Report::default();
        report.reserve("SHOP_EXAMPLE_TOKEN_2");
        let mut secret = |value: &str| report.secret("shop.example", "token", "the token", value, &place(1));
        let names = [secret("a"), secret("b"), secret("a")];
        assert_eq!(
            names,
            ["SHOP_EXAMPLE_TOKEN", "SHOP_EXAMPLE_TOKEN_3", "SHOP_EXAMPLE_TOKEN"]
                .map(|name| Piece::Variable(name.into()))
        );
        assert_eq!(report.variables().len(), 2);
        report.given("MINE", &place(2));
        report.given("MINE", &place(3));
        assert_eq!(
            report.variables()[2],
            Variable { name: "MINE".into(), purpose: "as before".into(), place: place(2) }
        );
    }

    #[test]
    fn names_are_those_of_variables() {
        for (text, expected) in
            [("a.b-c:8080_token", "A_B_C_8080_TOKEN"), ("1.2.3.4_pw", "SECRET_1_2_3_4_PW"), ("é", "SECRET_")]
        {
            assert_eq!(variable_name(text), expected);
        }
        assert!(variable_name(&"long.".repeat(100)).len() <= MAX_NAME_BYTES + 7);
    }

    #[test]
    fn notes_are_bounded_and_become_comments() {
        let mut report = Report::default();
        report.left_out(&place(1), "a");
        report.left_out(&place(1), "a");
        report.remark(&place(2), "b");
        assert_eq!(report.take_comments(), ["left out: a (f:1)", "note: b (f:2)"]);
        assert_eq!(report.take_comments(), [""; 0]);
        (0..2000).for_each(|line| report.left_out(&place(line), "c"));
        let (notes, more, left_out, _) = report.finish();
        assert_eq!((notes.len(), more, left_out), (1000, 1002, 2002));
    }
}
