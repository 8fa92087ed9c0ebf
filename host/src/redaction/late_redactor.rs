//! Redaction of standard error: of the log, which starts before the configuration is read, and of the messages of
//! panics.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::io::{self, Stderr, Write};
use std::sync::{Arc, OnceLock};

use tracing_subscriber::fmt::MakeWriter;

use super::secrets::Secrets;

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

    /// Returns a writer that redacts what is written to `out`. Each write is redacted separately, so a secret must not
    /// be spread over two writes.
    pub fn writer<W: Write>(&self, out: W) -> RedactingWriter<'_, W> {
        RedactingWriter { redactor: self, out }
    }

    /// Sets a panic hook that writes the usual message and backtrace to standard error, redacted. The previous hook is
    /// no longer called, not even that of a test harness, which then does not capture panics.
    pub fn hook_panics(&self) {
        let redactor = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let mut text = format!("\nthread '{}' {panic}\n", thread.name().unwrap_or("<unnamed>"));
            let backtrace = Backtrace::capture();
            if backtrace.status() == BacktraceStatus::Captured {
                text += &format!("stack backtrace:\n{backtrace}\n");
            }
            // If standard error cannot be written, the error cannot be reported either.
            _ = redactor.writer(io::stderr()).write_all(text.as_bytes());
        }));
    }
}

/// The subscriber makes a writer for each event and writes the whole event at once.
impl<'a> MakeWriter<'a> for LateRedactor {
    type Writer = RedactingWriter<'a, Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        self.writer(io::stderr())
    }
}

/// A writer that redacts each write. Bytes that are not UTF-8 become U+FFFD.
pub struct RedactingWriter<'a, W> {
    redactor: &'a LateRedactor,
    out: W,
}

impl<W: Write> Write for RedactingWriter<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.out.write_all(self.redactor.redact(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
