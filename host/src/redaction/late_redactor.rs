//! Redaction of standard error, whose log starts before the configuration is read.

use std::borrow::Cow;
use std::io::{self, Stderr, Write};
use std::sync::{Arc, OnceLock};

use tracing_subscriber::fmt::MakeWriter;

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

    /// Returns a writer that redacts what is written to `out`, and escapes what is not printable. Each write is redacted
    /// separately, so a secret must not be spread over two writes.
    pub fn writer<W: Write>(&self, out: W, form: Form) -> RedactingWriter<'_, W> {
        RedactingWriter { redactor: self, out, form }
    }

    /// Returns a maker of writers to standard error, for a log in this form.
    pub fn make_writer(&self, form: Form) -> MakeLogWriter {
        MakeLogWriter { redactor: self.clone(), form }
    }
}

/// Makes writers to standard error for a subscriber, which writes each event at once.
#[derive(Debug, Clone)]
pub struct MakeLogWriter {
    redactor: LateRedactor,
    form: Form,
}

impl<'a> MakeWriter<'a> for MakeLogWriter {
    type Writer = RedactingWriter<'a, Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        self.redactor.writer(io::stderr(), self.form)
    }
}

/// A writer that redacts and escapes each write. Bytes that are not UTF-8 become U+FFFD.
pub struct RedactingWriter<'a, W> {
    redactor: &'a LateRedactor,
    out: W,
    form: Form,
}

impl<W: Write> Write for RedactingWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.out.write_all(self.form.finish(&self.redactor.redact(&text)).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
