//! Redaction of standard error, whose log starts before the configuration is read.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::{Arc, OnceLock};

use super::matcher::ShortValues;
use super::secrets::Secrets;
use crate::printable::Form;

/// A redactor that gets its secrets later. Until then it changes no text. All clones share the secrets.
#[derive(Debug, Clone, Default)]
pub struct LateRedactor(Arc<OnceLock<Secrets>>);

impl LateRedactor {
    /// Sets the secrets. Only the first call has an effect.
    pub fn install(&self, secrets: Secrets) {
        _ = self.0.set(secrets);
    }

    /// Returns the text with its secrets redacted, as [`Secrets::redact`] does.
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.0.get().map_or(Cow::Borrowed(text), |secrets| secrets.redact(text))
    }

    /// Returns a writer that redacts what is written to `out`, and escapes what is not printable. Each write is
    /// redacted separately, so a secret must not be spread over two writes.
    pub fn writer<W: Write>(&self, out: W, form: Form) -> RedactingWriter<'_, W> {
        RedactingWriter { redactor: self, short_values: ShortValues::Found, out, form }
    }

    /// Returns a writer as [`LateRedactor::writer`] does, for text whose values were redacted one by one. It leaves
    /// short secrets alone, which may be numbers of the log: in `probes=1`, 1 is none.
    pub fn second_writer<W: Write>(&self, out: W, form: Form) -> RedactingWriter<'_, W> {
        RedactingWriter { redactor: self, short_values: ShortValues::NotFound, out, form }
    }
}

/// A writer that redacts and escapes each write. Bytes that are not UTF-8 become U+FFFD.
pub struct RedactingWriter<'a, W> {
    redactor: &'a LateRedactor,
    short_values: ShortValues,
    out: W,
    form: Form,
}

impl<W: Write> Write for RedactingWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let secrets = self.redactor.0.get().map(|secrets| secrets.with_short_values(self.short_values));
        let redacted = secrets.as_ref().map_or(Cow::Borrowed(&*text), |secrets| secrets.redact(&text));
        self.out.write_all(self.form.finish(&redacted).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
