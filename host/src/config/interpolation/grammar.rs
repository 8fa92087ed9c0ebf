//! Parses a text with references, without looking them up.

use std::fmt;

use super::super::diagnostic::quote;

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'t> {
    Text(&'t str),
    Reference(Reference<'t>),
}

/// `${env:NAME}` or `${file:PATH}`, with a default or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference<'t> {
    pub kind: Kind,
    /// The name of a variable, or the path of a file.
    pub name: &'t str,
    /// The text after `:-`, for when there is no such variable or file.
    pub default: Option<&'t str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    Environment,
    File,
}

const ADVICE: &str = "`${env:NAME}` or `${file:PATH}`, or `$${` for a literal `${`";

/// Splits a text at its references; `$${` becomes `${`. The error is a message. If `is_secret`, it repeats nothing of
/// the text.
pub fn pieces(text: &str, is_secret: bool) -> Result<Vec<Piece<'_>>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let before = &rest[..start];
        if let Some(plain) = before.strip_suffix('$') {
            pieces.extend([Piece::Text(plain), Piece::Text("${")]);
            rest = &rest[start + 2..];
            continue;
        }
        pieces.push(Piece::Text(before));
        let inside = &rest[start + 2..];
        let Some((inside, after)) = inside.split_once('}') else {
            return Err(format!("a `${{` without its `}}`: write {ADVICE}"));
        };
        pieces.push(Piece::Reference(reference(inside, is_secret)?));
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    pieces.retain(|piece| *piece != Piece::Text(""));
    Ok(pieces)
}

fn reference(inside: &str, is_secret: bool) -> Result<Reference<'_>, String> {
    let (kind, rest) = match inside.split_once(':') {
        Some(("env", rest)) => (Kind::Environment, rest),
        Some(("file", rest)) => (Kind::File, rest),
        // A text that is no name may be a password.
        _ if is_secret && !is_only_a_variable(inside) || !is_variable_name(inside) || inside.len() > 40 => {
            return Err(format!("`${{…}}` is no reference: {ADVICE}"));
        }
        _ => return Err(format!("`${{{inside}}}` is no reference, did you mean `${{env:{inside}}}`? {ADVICE}")),
    };
    let (name, default) = match rest.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (rest, None),
    };
    match kind {
        Kind::Environment if !is_variable_name(name) => {
            Err("`${env:…}` needs the name of a variable, of letters, digits and `_`; a default comes after `:-`"
                .into())
        }
        Kind::File if name.trim().is_empty() => Err("`${file:…}` needs the path of a file".into()),
        // This includes the name of a file: a `${` in it shows that the closing brace is missing.
        _ if rest.contains("${") => Err("a reference cannot contain another: its default is literal text".into()),
        _ => Ok(Reference { kind, name, default }),
    }
}

/// Returns true if a text can be the name of an environment variable: letters, digits and `_`, no digit first.
pub fn is_variable_name(text: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    text.bytes().next().is_some_and(letter) && text.bytes().all(|byte| letter(byte) || byte.is_ascii_digit())
}

/// Returns true if a name is one that only a variable has, and no password: of several capital letters and `_`.
pub fn is_only_a_variable(name: &str) -> bool {
    name.len() > 2 && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

impl Reference<'_> {
    /// Returns the message for a reference without a default whose variable or file does not exist.
    pub fn missing(&self) -> String {
        let name = quote(self.name);
        match self.kind {
            Kind::Environment => format!(
                "the environment has no {name}: set it, or give a default with `${{env:{}:-…}}`",
                name.trim_matches('`')
            ),
            Kind::File => format!(
                "no file {name}, as seen from the configuration's directory: write it, or give a default with \
                 `${{file:…:-…}}`"
            ),
        }
    }
}

/// Writes the reference as in the file, in backquotes, without its default.
impl fmt::Display for Reference<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = quote(self.name);
        let kind = if self.kind == Kind::File { "file" } else { "env" };
        write!(f, "`${{{kind}:{}}}`", name.trim_matches('`'))
    }
}
