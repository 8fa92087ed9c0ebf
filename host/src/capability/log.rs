//! The interface `log`: lines that belong to the run.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Task, Poll};
use std::time::Instant;

use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};

use crate::capability::bindings::sentrynet::probe::log::{Host, Level as Guest};
use crate::capability::{Context, Scope, cut};
use crate::run::{Level, LogLine};

/// A run keeps its last lines.
const MOST_LINES: usize = 100;
/// Bytes of one line.
const LONGEST_LINE: usize = 4096;

/// The lines of one run, shared by all that write them.
#[derive(Clone)]
pub struct Journal {
    started: Instant,
    lines: Arc<Mutex<VecDeque<LogLine>>>,
}

impl Journal {
    pub fn new(started: Instant) -> Self {
        Self { started, lines: Arc::default() }
    }

    pub fn write(&self, level: Level, message: String) {
        let line = LogLine { at: self.started.elapsed(), level, message: cut(message, LONGEST_LINE) };
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MOST_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// Writes a line, unless it stands there.
    pub fn write_once(&self, level: Level, message: String) {
        let message = cut(message, LONGEST_LINE);
        let known =
            self.lines.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|line| line.message == message);
        if !known {
            self.write(level, message);
        }
    }

    pub fn take(&self) -> Vec<LogLine> {
        std::mem::take(&mut *self.lines.lock().unwrap_or_else(PoisonError::into_inner)).into()
    }
}

impl Host for Context {
    fn write(&mut self, level: Guest, message: String) -> wasmtime::Result<()> {
        let level = match level {
            Guest::Debug => Level::Debug,
            Guest::Info => Level::Info,
            Guest::Warn => Level::Warn,
            Guest::Error => Level::Error,
        };
        self.probe.say(&self.log, level, message);
        Ok(())
    }
}

/// A guest's standard output or error: its lines go to the run's log.
pub struct Stream {
    pub journal: Journal,
    pub level: Level,
    pub probe: Arc<Scope>,
}

impl StdoutStream for Stream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        let (journal, probe) = (self.journal.clone(), Arc::clone(&self.probe));
        Box::new(Lines { journal, level: self.level, probe, unfinished: Vec::new() })
    }
}

impl IsTerminal for Stream {
    fn is_terminal(&self) -> bool {
        false
    }
}

struct Lines {
    journal: Journal,
    level: Level,
    probe: Arc<Scope>,
    unfinished: Vec<u8>,
}

impl Lines {
    fn end_line(&mut self) {
        if !self.unfinished.is_empty() {
            let line = std::mem::take(&mut self.unfinished);
            self.probe.say(&self.journal, self.level, String::from_utf8_lossy(&line).into_owned());
        }
    }
}

impl AsyncWrite for Lines {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Task<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                // The rest of a line that is too long is left out.
                _ if self.unfinished.len() < LONGEST_LINE => self.unfinished.push(*byte),
                _ => {}
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Task<'_>) -> Poll<io::Result<()>> {
        self.end_line();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.end_line();
    }
}
