//! References in a configuration's texts: `${env:NAME}` and `${file:PATH}` in a tree of values, put in, and what they
//! stood for handed on as secrets. Knows of the host's keys only which are no place for a secret.

mod secret_file;
mod grammar;
mod plaintext_secrets;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

use serde_json::Value;

use super::diagnostic::{Diagnostic, Diagnostics, escape};
use crate::redaction::is_short;
use grammar::{Kind, Piece, Reference};
use plaintext_secrets::Key;
pub use secret_file::exposed;

/// Bytes that references may come to, all together: a few lines of them can ask for more than any memory holds.
const MOST_TEXT: usize = 64 << 20;

/// Where references lead.
pub struct InterpolationEnv<'a> {
    /// Where relative paths start from.
    pub directory: &'a Path,
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// The configuration's own file; none if it is not from one.
    pub file: Option<&'a Path>,
}

/// What references, and keys that say so, have brought to light.
#[derive(Default)]
pub struct Found {
    /// Everything that is to be struck out.
    pub secrets: Vec<String>,
    /// Pointers of values that were one reference and nothing else: their text may be a number where one is wanted.
    pub whole: BTreeSet<String>,
    /// The same texts with braces doubled in what was put in, for those that are templates: only where there are any.
    pub braced: BTreeMap<String, String>,
    /// Pointers of values that stayed as they are for want of something: it has been said, and what else is wrong with
    /// them need not be.
    pub failed: HashSet<String>,
}

/// Puts in what references stand for. A text stays a text, and what was put in is not read again.
pub fn resolve(
    value: &mut Value,
    around: &InterpolationEnv,
    problems: &mut Diagnostics,
    warnings: &mut Diagnostics,
) -> Found {
    let mut resolver = Resolver {
        around,
        problems,
        warnings,
        found: Found::default(),
        pointer: String::new(),
        room: Some(MOST_TEXT),
        known: HashMap::new(),
        literals: Vec::new(),
    };
    resolver.walk(value, Key::default());
    resolver.warn_of_literals();
    resolver.found
}

struct Resolver<'a> {
    around: &'a InterpolationEnv<'a>,
    problems: &'a mut Diagnostics,
    warnings: &'a mut Diagnostics,
    found: Found,
    /// Where we are.
    pointer: String,
    /// Bytes that may still be put in; none once that was too few.
    room: Option<usize>,
    known: HashMap<(Kind, String), Known>,
    /// Pointers of secrets that stand in the file itself.
    literals: Vec<String>,
}

/// What a reference leads to, looked up once.
struct Known {
    /// None where there is nothing; otherwise what is wrong with it.
    text: Result<Option<Rc<str>>, String>,
    noted: bool,
}

impl Resolver<'_> {
    fn walk(&mut self, value: &mut Value, key: Key) {
        match value {
            Value::String(text) => {
                self.text(text, key);
                // The host's own numbers can be given so; a component's schema says which of its settings can.
                if plaintext_secrets::is_number(&self.pointer)
                    && self.found.whole.contains(&self.pointer)
                    && let Ok(number) = serde_json::from_str(text.trim())
                {
                    *value = Value::Number(number);
                }
            }
            // A `token` of 1 is none, and there are many ones.
            Value::Number(number) if key.is_secret() && !is_short(&number.to_string()) => {
                self.literal(&number.to_string());
            }
            Value::Array(items) => {
                let items = items.iter_mut().enumerate();
                items.for_each(|(index, item)| self.within(&index.to_string(), |inside| inside.walk(item, key)));
            }
            Value::Object(map) => {
                for (name, value) in map {
                    self.within(name, |inside| inside.walk(value, key.below(name)));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn within(&mut self, segment: &str, walk: impl FnOnce(&mut Self)) {
        let outside = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(&escape(segment));
        walk(self);
        self.pointer.truncate(outside);
    }

    fn text(&mut self, text: &mut String, key: Key) {
        if !key.is_secret()
            && self.pointer != "/sentry/dsn"
            && let Some(password) = plaintext_secrets::password(text)
        {
            self.literal(password);
        }
        if !text.contains("${") {
            // `Bearer {token}` is filled in as the probe runs.
            if key.is_secret() && !plaintext_secrets::is_template(text) && !plaintext_secrets::is_word(text) {
                self.literal(text);
            }
            return;
        }
        if self.room.is_none() {
            self.found.failed.insert(self.pointer.clone());
            return;
        }
        match self.put_in(text, key) {
            Ok(resolved) => *text = resolved,
            Err(message) => {
                self.found.failed.insert(self.pointer.clone());
                self.problems.push(Diagnostic::value(self.pointer.clone(), message));
            }
        }
    }

    fn put_in(&mut self, text: &str, key: Key) -> Result<String, String> {
        let pieces = grammar::pieces(text, key.is_secret())?;
        let (mut resolved, mut braced) = (String::new(), String::new());
        let mut short = false;
        for piece in &pieces {
            match piece {
                Piece::Text(text) => {
                    resolved.push_str(text);
                    braced.push_str(text);
                }
                Piece::Reference(reference) => match self.look_up(reference)? {
                    Some(text) => {
                        self.room = self.room.and_then(|room| room.checked_sub(text.len()));
                        self.room.ok_or("too much text: references may come to 64 MiB, all together")?;
                        resolved.push_str(&text);
                        braced.push_str(&text.replace('{', "{{").replace('}', "}}"));
                        short |= self.secret(reference, &text);
                    }
                    None => {
                        resolved.push_str(reference.default.unwrap_or_default());
                        braced.push_str(reference.default.unwrap_or_default());
                    }
                },
            }
        }
        if braced != resolved {
            self.found.braced.insert(self.pointer.clone(), braced);
        }
        let referred = pieces.iter().any(|piece| matches!(piece, Piece::Reference(_)));
        if !referred && key.is_secret() {
            self.literal(&resolved);
        }
        if let [Piece::Reference(_)] = &pieces[..] {
            self.found.whole.insert(self.pointer.clone());
        } else if short {
            // What is too short to be found within a text is found with what stands around it.
            self.note(&resolved);
        }
        Ok(resolved)
    }

    /// What a reference stands for; none where that is its default.
    fn look_up(&mut self, reference: &Reference) -> Result<Option<Rc<str>>, String> {
        let Reference { kind, name, default } = *reference;
        let known = self.known.entry((kind, name.to_owned())).or_insert_with(|| {
            let text = match kind {
                Kind::Environment => Ok((self.around.environment)(name).map(Rc::from)),
                Kind::File => secret_file::read(self.around.directory, name).map(|text| text.map(Rc::from)),
            };
            if let (None, Ok(Some(""))) = (default, text.as_ref().map(Option::as_deref)) {
                let message = format!("{reference} stands for nothing: what it leads to is empty");
                self.warnings.push(Diagnostic::value(self.pointer.clone(), message));
            }
            Known { text, noted: false }
        });
        match (&known.text, default) {
            (Err(message), _) => Err(message.clone()),
            // As a shell has it.
            (Ok(Some(text)), Some(_)) if kind == Kind::Environment && text.is_empty() => Ok(None),
            (Ok(Some(text)), _) => Ok(Some(Rc::clone(text))),
            (Ok(None), Some(_)) => Ok(None),
            (Ok(None), None) => Err(reference.missing()),
        }
    }

    /// Notes what a reference stood for, once; and tells whether it is too short to be one.
    fn secret(&mut self, reference: &Reference, text: &str) -> bool {
        if plaintext_secrets::is_plain(&self.pointer) {
            return false;
        }
        let known = self.known.get_mut(&(reference.kind, reference.name.to_owned()));
        if known.is_some_and(|known| !std::mem::replace(&mut known.noted, true)) {
            self.note(text);
            if let (Kind::File, Some(message)) = (reference.kind, exposed(&self.around.directory.join(reference.name)))
            {
                self.warnings.push(Diagnostic::value(self.pointer.clone(), message));
            }
            if is_short(text) {
                let message = format!(
                    "{reference} stands for less than 4 characters: too short a text to be struck out of others, \
                     unless it stands alone"
                );
                self.warnings.push(Diagnostic::value(self.pointer.clone(), message));
            }
        }
        is_short(text)
    }

    fn note(&mut self, value: &str) {
        self.found.secrets.push(value.to_owned());
    }

    /// A secret that stands in the file itself.
    fn literal(&mut self, value: &str) {
        if !value.trim().is_empty() {
            self.note(value);
            self.literals.push(self.pointer.clone());
        }
    }

    /// Once for all of them: it is the file that is to be changed.
    fn warn_of_literals(&mut self) {
        let Some(first) = self.literals.first() else { return };
        let Some(mode) = self.around.file.and_then(secret_file::mode_for_everyone) else { return };
        let others = match self.literals.len() - 1 {
            0 => String::new(),
            1 => ", and one more below".to_owned(),
            others => format!(", and {others} more below"),
        };
        let message = format!(
            "a secret in a file that is readable by everyone (mode {mode:o}){others}: `chmod o-r` it, or write \
             `${{env:NAME}}` or `${{file:PATH}}`"
        );
        self.warnings.push(Diagnostic::value(first.clone(), message));
    }
}

#[cfg(test)]
mod tests;
