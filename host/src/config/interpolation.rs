//! Replaces references, `${env:NAME}` and `${file:PATH}`, in the texts of a configuration, and collects the secrets:
//! the replacements of references, and texts whose key has the name of a secret. Of the host's own keys it knows only
//! those whose values are no secrets.

mod grammar;
mod plaintext_secrets;
mod resolved;
mod secret_file;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::Value;

use super::diagnostic::{Diagnostic, Diagnostics, escape};
use crate::file_version::FileVersion;
use crate::redaction::is_short;
use grammar::{Kind, Piece, Reference};
use plaintext_secrets::KeyPath;
pub use resolved::{Interpolations, Resolved};
pub use secret_file::world_readable_warning;

/// The maximal size of all replacements together, in bytes. Without it, a few lines of references could fill the
/// memory.
const MAX_REPLACED_BYTES: usize = 64 << 20;

/// The environment in which references are looked up.
pub struct InterpolationEnv<'a> {
    /// The directory that relative paths start from.
    pub directory: &'a Path,
    /// Looks up environment variables.
    pub environment: &'a dyn Fn(&str) -> Option<String>,
    /// Returns the configuration's file that has the value at a JSON pointer; `None` for standard input.
    pub file: &'a dyn Fn(&str) -> Option<PathBuf>,
}

/// Replaces the references in all texts of a value. Replacements are not searched for references again.
pub fn resolve(
    value: &mut Value,
    env: &InterpolationEnv,
    errors: &mut Diagnostics,
    warnings: &mut Diagnostics,
) -> Resolved {
    let mut resolver = Resolver {
        env,
        errors,
        warnings,
        resolved: Resolved::default(),
        pointer: String::new(),
        bytes_left: Some(MAX_REPLACED_BYTES),
        looked_up: HashMap::new(),
        literals: Vec::new(),
    };
    resolver.walk(value, KeyPath::default());
    resolver.warn_of_literals();
    resolver.resolved
}

struct Resolver<'a> {
    env: &'a InterpolationEnv<'a>,
    errors: &'a mut Diagnostics,
    warnings: &'a mut Diagnostics,
    resolved: Resolved,
    /// The JSON pointer to the value that is being resolved.
    pointer: String,
    /// Bytes of replacements that are still allowed; `None` after a replacement was larger.
    bytes_left: Option<usize>,
    looked_up: HashMap<(Kind, String), LookedUp>,
    /// Pointers to secrets that are written in the file itself.
    literals: Vec<String>,
}

/// The result of looking up a variable or a file, which is done once for each.
struct LookedUp {
    /// `Ok(None)` if there is no such variable or file.
    text: Result<Option<Rc<str>>, String>,
    /// The text is among the secrets already.
    is_collected: bool,
}

impl Resolver<'_> {
    fn walk(&mut self, value: &mut Value, key: KeyPath) {
        match value {
            Value::String(text) => {
                self.text(text, key);
                // The host's own numbers can be references. The component's schema says which settings can.
                if plaintext_secrets::is_number(&self.pointer)
                    && self.resolved.whole_values.contains(&self.pointer)
                    && let Ok(number) = serde_json::from_str(text.trim())
                {
                    *value = Value::Number(number);
                }
            }
            // A short number, such as a `token` of 1, is no secret: redacting every 1 would destroy all output.
            Value::Number(number) if key.is_secret() && !is_short(&number.to_string()) => {
                self.collect_literal(&number.to_string());
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

    fn text(&mut self, text: &mut String, key: KeyPath) {
        if !key.is_secret()
            && self.pointer != "/sentry/dsn"
            && let Some(password) = plaintext_secrets::password(text)
        {
            self.collect_literal(password);
        }
        if !text.contains("${") {
            // The secret of `Bearer {token}` is filled in during the run.
            if key.is_secret() && !plaintext_secrets::is_template(text) && !plaintext_secrets::is_secret_name(text) {
                self.collect_literal(text);
                self.warn_of_shell_variable(text);
            } else if text.strip_prefix('$').is_some_and(grammar::is_only_a_variable) {
                self.warn_of_shell_variable(text);
            }
            return;
        }
        if self.bytes_left.is_none() {
            self.resolved.unresolved.insert(self.pointer.clone());
            return;
        }
        match self.replace(text, key) {
            Ok(replaced) => *text = replaced,
            Err(message) => {
                self.resolved.unresolved.insert(self.pointer.clone());
                self.errors.push(Diagnostic::at_value(self.pointer.clone(), message));
            }
        }
    }

    /// Returns a text with its references replaced.
    fn replace(&mut self, text: &str, key: KeyPath) -> Result<String, String> {
        let pieces = grammar::pieces(text, key.is_secret())?;
        let (mut replaced, mut escaped) = (String::new(), String::new());
        let mut has_short_secret = false;
        for piece in &pieces {
            match piece {
                Piece::Text(text) => {
                    replaced.push_str(text);
                    escaped.push_str(text);
                }
                Piece::Reference(reference) => match self.look_up(reference)? {
                    Some(text) => {
                        self.bytes_left = self.bytes_left.and_then(|left| left.checked_sub(text.len()));
                        self.bytes_left
                            .ok_or("too much text: the values of all references together may have 64 MiB at most")?;
                        replaced.push_str(&text);
                        escaped.push_str(&text.replace('{', "{{").replace('}', "}}"));
                        has_short_secret |= self.collect_secret(reference, &text);
                    }
                    None => {
                        replaced.push_str(reference.default.unwrap_or_default());
                        escaped.push_str(reference.default.unwrap_or_default());
                    }
                },
            }
        }
        if escaped != replaced {
            self.resolved.template_escaped.insert(self.pointer.clone(), escaped);
        }
        let has_reference = pieces.iter().any(|piece| matches!(piece, Piece::Reference(_)));
        if !has_reference && key.is_secret() {
            self.collect_literal(&replaced);
        }
        if let [Piece::Reference(_)] = &pieces[..] {
            self.resolved.whole_values.insert(self.pointer.clone());
        } else if has_short_secret {
            // A short secret is redacted only as a whole value. Within this text, it is redacted together with the rest
            // of it.
            self.collect(&replaced);
        }
        Ok(replaced)
    }

    /// Returns the value of a variable or a file; `None` if the default of the reference is to be used. The error is a
    /// message.
    fn look_up(&mut self, reference: &Reference) -> Result<Option<Rc<str>>, String> {
        let Reference { kind, name, default } = *reference;
        let found = self.looked_up.entry((kind, name.to_owned())).or_insert_with(|| {
            let text = match kind {
                Kind::Environment => Ok((self.env.environment)(name).map(Rc::from)),
                Kind::File => {
                    let path = self.env.directory.join(name);
                    let version = FileVersion::of(&path);
                    self.resolved.files.insert(path, version);
                    secret_file::read(self.env.directory, name).map(|text| text.map(Rc::from))
                }
            };
            if let (None, Ok(Some(""))) = (default, text.as_ref().map(Option::as_deref)) {
                let message = format!("{reference} is replaced with nothing: the variable or file is empty");
                self.warnings.push(Diagnostic::at_value(self.pointer.clone(), message));
            }
            LookedUp { text, is_collected: false }
        });
        match (&found.text, default) {
            (Err(message), _) => Err(message.clone()),
            // `:-` replaces an empty variable too, as in a shell.
            (Ok(Some(text)), Some(_)) if kind == Kind::Environment && text.is_empty() => Ok(None),
            (Ok(Some(text)), _) => Ok(Some(Rc::clone(text))),
            (Ok(None), Some(_)) => Ok(None),
            (Ok(None), None) => Err(reference.missing()),
        }
    }

    /// Adds the value of a reference to the secrets, once. Returns true if it is so short that it is redacted only as a
    /// whole value.
    fn collect_secret(&mut self, reference: &Reference, text: &str) -> bool {
        let is_variable = reference.kind == Kind::Environment;
        if plaintext_secrets::is_public(&self.pointer) || is_variable && plaintext_secrets::is_identifier(&self.pointer)
        {
            return false;
        }
        let found = self.looked_up.get_mut(&(reference.kind, reference.name.to_owned()));
        if found.is_some_and(|found| !std::mem::replace(&mut found.is_collected, true)) {
            self.collect(text);
            if let (Kind::File, Some(message)) =
                (reference.kind, world_readable_warning(&self.env.directory.join(reference.name)))
            {
                self.warnings.push(Diagnostic::at_value(self.pointer.clone(), message));
            }
            if is_short(text) {
                let message = format!(
                    "{reference} stands for less than 4 characters: a secret as short as that is redacted only where \
                     it is a whole value, as in `key=value`"
                );
                self.warnings.push(Diagnostic::at_value(self.pointer.clone(), message));
            }
        }
        is_short(text)
    }

    fn collect(&mut self, value: &str) {
        self.resolved.secrets.push(value.into());
    }

    /// Adds a secret that is written in the file itself.
    fn collect_literal(&mut self, value: &str) {
        if !value.trim().is_empty() {
            self.collect(value);
            self.literals.push(self.pointer.clone());
        }
    }

    /// Adds a warning for a text that looks like a variable of a shell. The name is shown if it is surely one, since
    /// the text may be a secret that begins with `$`.
    fn warn_of_shell_variable(&mut self, text: &str) {
        let Some(name) = plaintext_secrets::shell_variable(text) else { return };
        let is_variable = grammar::is_only_a_variable(name) || (self.env.environment)(name).is_some();
        let shown = if is_variable { name } else { "NAME" };
        let message =
            format!("a `$` and a name are taken as they are written: `${{env:{shown}}}` stands for a variable");
        self.warnings.push(Diagnostic::at_value(self.pointer.clone(), message));
    }

    /// Adds one warning for all secrets that are written in a file that everyone can read.
    fn warn_of_literals(&mut self) {
        // For each file, the first secret and the number of others.
        let mut files: BTreeMap<PathBuf, (&String, usize)> = BTreeMap::new();
        for pointer in &self.literals {
            let Some(file) = (self.env.file)(pointer) else { continue };
            files.entry(file).and_modify(|(_, others)| *others += 1).or_insert((pointer, 0));
        }
        for (file, (first, others)) in files {
            let Some(mode) = secret_file::mode_for_everyone(&file) else { continue };
            let others = match others {
                0 => String::new(),
                1 => ", and one more below".to_owned(),
                others => format!(", and {others} more below"),
            };
            let message = format!(
                "a secret in a file that is readable by everyone (mode {mode:o}){others}: `chmod o-r` it, or write \
                 `${{env:NAME}}` or `${{file:PATH}}`"
            );
            self.warnings.push(Diagnostic::at_value(first.clone(), message));
        }
    }
}

#[cfg(test)]
mod tests;
