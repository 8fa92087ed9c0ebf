//! The values to redact.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};

use super::cpu_allowance::Allowance;
use super::marker::{REDACTED, replace_ranges};
use super::matcher::{Matcher, ShortValues};
use super::search::{self, SearchBudget};

/// Values to redact in texts. Clones are cheap and share the values, which may be replaced at any time. Without any
/// value, texts are not searched.
#[derive(Clone, Default)]
pub struct Secrets {
    values: Arc<RwLock<Values>>,
    budget: SearchBudget,
    /// The CPU time of the search in all texts together, if it is bounded.
    allowance: Option<Allowance>,
    short_values: ShortValues,
}

/// The values that all clones of [`Secrets`] share.
#[derive(Default)]
struct Values {
    matcher: Option<Arc<Matcher>>,
    texts: Vec<SecretString>,
}

impl Secrets {
    /// Returns secrets with the given values. Blank values are ignored.
    pub fn new<V: AsRef<str>>(values: impl IntoIterator<Item = V>) -> Self {
        let secrets = Self::default();
        secrets.replace(values.into_iter().map(|value| SecretString::from(value.as_ref())).collect());
        secrets
    }

    /// Replaces the values, for all clones.
    pub(crate) fn replace(&self, texts: Vec<SecretString>) {
        let matcher = Matcher::new(texts.iter().map(ExposeSecret::expose_secret)).map(Arc::new);
        *self.values.write() = Values { matcher, texts };
    }

    /// Returns the values.
    pub(crate) fn values(&self) -> Vec<SecretString> {
        self.values.read().texts.clone()
    }

    /// Returns secrets with these values and those of `other`.
    #[must_use]
    pub fn joined(&self, other: &Self) -> Self {
        let joined = Self::default();
        joined.replace(self.values().into_iter().chain(other.values()).collect());
        joined
    }

    /// Returns true if there is no value to redact.
    pub fn is_empty(&self) -> bool {
        self.matcher().is_none()
    }

    /// Returns the text with [`REDACTED`] in the place of each value, or the text itself if it has none.
    ///
    /// A value of fewer than four characters is found only where it is a whole value: where it is the whole text, and
    /// after `=`, a quote, `>` or a colon and before a quote, `,`, `;`, `&`, `<`, a closing bracket or the end of the
    /// line, as in `pin=12` and `{"pin": 12}`. It is not found in base64 and hexadecimal digits, nor as a number in the
    /// data of a span. Otherwise it would be found in ordinary words and in the numbers of the host's own messages. As
    /// few values can be guessed, redaction does not keep them.
    ///
    /// A longer value is found anywhere, in these forms:
    ///
    /// - As it is; without white space around it; with tabs and line breaks removed, or each run of white space as one
    ///   space; with `\` as `/`; and, up to 256 bytes, all in lower case or all in upper case.
    /// - Its parts: each line of at least 17 bytes, of a key for example; what follows `Bearer`, `Basic`, `Token`,
    ///   `ApiKey` or `Negotiate`, and the password that `Basic` encodes; of a URL the password, query values of at
    ///   least 8 bytes, and the URL without userinfo, with and without query and fragment; of an internationalised
    ///   host name its ASCII form.
    /// - With its own percent escapes decoded, if it has any.
    /// - With characters beyond ASCII converted to Latin-1, or misread as Latin-1.
    /// - Encoded: in percent escapes, as in URLs and forms; in backslash escapes, as in JSON, source code and shells;
    ///   in HTML entities, which are the numeric ones and `amp`, `lt`, `gt`, `quot`, `apos` and `nbsp`; in base64 of
    ///   either alphabet, padded or not, in one line or several, and as any part of what is encoded; and in
    ///   hexadecimal digits. Up to three encodings may be nested.
    /// - Cut off: the first four bytes or more, if an ellipsis (`…` or `...`), U+FFFD or the end of the text follows.
    ///   At the end of a text of less than 60 bytes, which is most likely complete, at least half of the form and at
    ///   least eight bytes are required.
    ///
    /// Other forms are *not* found: compressed or encrypted values, other encodings (base32, for example), values in
    /// pieces, the end of a value without its beginning, and more than three nested encodings. For one text, at most 64
    /// KiB plus 64 times its length of decoded bytes are searched, outer encodings first; for the texts of one run
    /// together, at most 8 MiB beyond the outermost encoding. So a guest can disclose a secret on purpose, but it
    /// cannot keep the host busy with a search. A text that repeats a few characters as a value does may be redacted to
    /// its end.
    ///
    /// A [`REDACTED`] that is already in the text stays as it is.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        replace_ranges(text, &self.find(text), |_| Cow::Borrowed(REDACTED))
    }

    /// Redacts a text in place, as [`Secrets::redact`] does. Once the allowance is used up, [`REDACTED`] replaces the
    /// whole text.
    pub fn redact_in_place(&self, text: &mut String) {
        if self.allowance.as_ref().is_some_and(Allowance::is_used_up) {
            REDACTED.clone_into(text);
            return;
        }
        if let Cow::Owned(redacted) = self.redact(text) {
            *text = redacted;
        }
    }

    /// Returns the same secrets with this budget for each text that is searched.
    pub(super) fn with_budget(&self, budget: SearchBudget) -> Self {
        Self { budget, ..self.clone() }
    }

    /// Returns the same secrets with this allowance for all texts that are searched from now on.
    pub(super) fn with_allowance(&self, allowance: Option<Allowance>) -> Self {
        Self { allowance, ..self.clone() }
    }

    /// Returns the allowance, if there is one.
    pub(super) fn allowance(&self) -> Option<&Allowance> {
        self.allowance.as_ref()
    }

    /// Returns the same secrets, of which short ones are searched for in these places.
    pub(super) fn with_short_values(&self, short_values: ShortValues) -> Self {
        Self { short_values, ..self.clone() }
    }

    /// Returns the ranges of a text to redact, in order and without overlap.
    pub(super) fn find(&self, text: &str) -> Vec<Range<usize>> {
        self.matcher().map(|matcher| search::find(&matcher, text, self.short_values, self.budget)).unwrap_or_default()
    }

    /// Returns true if one of the values is this number.
    pub(super) fn has_number(&self, number: f64) -> bool {
        self.matcher().is_some_and(|matcher| matcher.has_number(number))
    }

    fn matcher(&self) -> Option<Arc<Matcher>> {
        self.values.read().matcher.clone()
    }
}

/// Shows the number of patterns only.
impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secrets({})", self.matcher().map_or(0, |matcher| matcher.len()))
    }
}
