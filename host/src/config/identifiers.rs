//! Texts that name things in Sentry: tags, titles, slugs, the environment, the release and the name of the host. Warns
//! of those that have the value of a secret, because they are redacted too.

use super::diagnostic::{Diagnostic, Diagnostics};
use crate::redaction::Secrets;

/// The identifiers of a file.
#[derive(Default)]
pub struct Identifiers(Vec<Identifier>);

struct Identifier {
    pointer: String,
    /// The identifier as messages name it.
    label: String,
    text: String,
}

impl Identifiers {
    pub fn push(&mut self, pointer: String, label: String, text: &str) {
        self.0.push(Identifier { pointer, label, text: text.to_owned() });
    }

    /// Adds a warning for each identifier in which a secret is found.
    pub fn warn_of_secrets(&self, secrets: &Secrets, warnings: &mut Diagnostics) {
        if secrets.is_empty() {
            return;
        }
        for Identifier { pointer, label, text } in &self.0 {
            if *secrets.redact(text) != **text {
                let why = "another key or `allow.env` uses a value in it as a secret";
                warnings.push(Diagnostic::at_value(pointer, format!("{label} is redacted: {why}")));
            }
        }
    }
}
