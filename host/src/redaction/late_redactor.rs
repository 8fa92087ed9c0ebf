//! Standard error without secrets: for the log, which starts before the configuration is read, and for panics. Knows
//! nothing of what is logged.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::borrow::Cow;
use std::io::{self, Stderr, Write};
use std::sync::{Arc, OnceLock};

use tracing_subscriber::fmt::MakeWriter;

use super::Secrets;

/// Secrets that become known later: until then there are none. All clones share them.
#[derive(Debug, Clone, Default)]
pub struct LateRedactor(Arc<OnceLock<Secrets>>);

impl LateRedactor {
    /// Once: what is called later changes nothing.
    pub fn install(&self, secrets: Secrets) {
        _ = self.0.set(secrets);
    }

    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.0.get().map_or(Cow::Borrowed(text), |secrets| secrets.redact(text))
    }

    /// A writer for whole texts: each write is looked at by itself.
    pub fn writer<W: Write>(&self, out: W) -> RedactingWriter<'_, W> {
        RedactingWriter { redactor: self, out }
    }

    /// Takes over what a panic says. It says it as before, and a test's harness hears no more of it.
    pub fn hook_panics(&self) {
        let redactor = self.clone();
        std::panic::set_hook(Box::new(move |panic| {
            let thread = std::thread::current();
            let mut text = format!("\nthread '{}' {panic}\n", thread.name().unwrap_or("<unnamed>"));
            let backtrace = Backtrace::capture();
            if backtrace.status() == BacktraceStatus::Captured {
                text += &format!("stack backtrace:\n{backtrace}\n");
            }
            // There is nobody to tell if that fails.
            _ = redactor.writer(io::stderr()).write_all(text.as_bytes());
        }));
    }
}

/// The log's layer makes a writer for each event, and writes the event to it at once.
impl<'a> MakeWriter<'a> for LateRedactor {
    type Writer = RedactingWriter<'a, Stderr>;

    fn make_writer(&'a self) -> Self::Writer {
        self.writer(io::stderr())
    }
}

/// Writes on what it is given, without secrets.
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
