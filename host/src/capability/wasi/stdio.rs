//! A guest's standard output and error, whose lines go to the run's log.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError};

use crate::capability::log_buffer::MAX_LINE_BYTES;
use crate::capability::record_replay::{CallRecord, Halt};
use crate::capability::{ProbeContext, RunHandles};
use crate::run::Level;

/// The maximum number of bytes that one call writes to a standard stream.
const MAX_WRITE_BYTES: usize = 64 << 10;

/// A guest's standard output or error: its lines go to the run's log.
#[derive(Clone)]
pub struct LogStream {
    /// The handles of the run, for its log and its recording.
    pub run: RunHandles,
    /// The level of the lines: `Info` for standard output, `Warn` for standard error.
    pub level: Level,
    /// The probe, whose grants decide whether it may write to the log.
    pub probe: Arc<ProbeContext>,
}

impl StdoutStream for LogStream {
    /// Returns a sink. Only WASI 0.3 uses this stream, and the host does not offer WASI 0.3.
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(LineWriter { stream: self.clone(), unfinished: Vec::new() })
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

/// A stream that splits the bytes into lines. A line is written before the guest's call returns, so that lines are in
/// the log in the order of the guest's calls.
struct LineWriter {
    stream: LogStream,
    unfinished: Vec<u8>,
}

impl LineWriter {
    /// Writes the unfinished line to the log, if it has any bytes.
    ///
    /// # Errors
    /// [`Halt`] when a replay ends here.
    fn end_line(&mut self) -> Result<(), Halt> {
        if !self.unfinished.is_empty() {
            let LogStream { run, level, probe } = &self.stream;
            let line = std::mem::take(&mut self.unfinished);
            let line = String::from_utf8_lossy(&line).into_owned();
            if run.record_replay.is_off() {
                probe.write_log(&run.log, *level, line);
                return Ok(());
            }
            let stream = if *level == Level::Info { "stdout" } else { "stderr" };
            let call = CallRecord::new("wasi:cli", stream).with("line", &line);
            run.record_replay.local(&run.recorder, call, || probe.write_log(&run.log, *level, line))?;
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl OutputStream for LineWriter {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if bytes.len() > MAX_WRITE_BYTES {
            return Err(StreamError::trap("the guest wrote more than `check-write` allows"));
        }
        for byte in bytes {
            match byte {
                b'\n' => self.end_line().map_err(|halt| StreamError::Trap(halt.into()))?,
                // The rest of a line that is longer than the maximum is discarded.
                _ if self.unfinished.len() < MAX_LINE_BYTES => self.unfinished.push(byte),
                _ => {}
            }
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        Ok(())
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        Ok(MAX_WRITE_BYTES)
    }
}

#[async_trait::async_trait]
impl Pollable for LineWriter {
    async fn ready(&mut self) {}
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        // `drop` cannot return an error. If this line ends a replay, the guest is stopped at its next call.
        let _ = self.end_line();
    }
}
