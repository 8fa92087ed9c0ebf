//! The encoded bytes of a body that still arrives.

use std::io::{self, BufRead, Read};
use std::sync::Arc;

use bytes::{Buf, Bytes};
use parking_lot::Mutex;

/// Bytes that are pushed at one end, and read at the other. Reading fails with [`io::ErrorKind::WouldBlock`] while no
/// bytes are left and the end is not known. Clones share the bytes.
#[derive(Clone, Default)]
pub struct Input {
    shared: Arc<Mutex<Arrived>>,
    /// The bytes that are being read.
    current: Bytes,
}

#[derive(Default)]
struct Arrived {
    next: Bytes,
    has_ended: bool,
}

impl Input {
    /// Adds bytes. Those that were added before must have been read.
    pub fn push(&self, chunk: Bytes) {
        self.shared.lock().next = chunk;
    }

    /// Marks the end of the bytes.
    pub fn end(&self) {
        self.shared.lock().has_ended = true;
    }
}

impl BufRead for Input {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.current.is_empty() {
            let mut arrived = self.shared.lock();
            self.current = std::mem::take(&mut arrived.next);
            if self.current.is_empty() && !arrived.has_ended {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        Ok(&self.current)
    }

    fn consume(&mut self, count: usize) {
        self.current.advance(count);
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let count = available.read(buffer)?;
        self.consume(count);
        Ok(count)
    }
}
