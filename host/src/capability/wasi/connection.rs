//! A connection that stands, shared by its socket, its two streams, and the task that writes what the system does not
//! take at once.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::{Mutex, MutexGuard};
use socket2::SockRef;
use tokio::net::TcpStream;
use wasmtime_wasi::p2::StreamError;

use crate::capability::quota::Exceeded;
use crate::capability::wasi::span::Record;

/// Bytes that are read, or held to be written, at once.
pub const MOST_AT_ONCE: usize = 64 << 10;

pub struct Connection {
    stream: TcpStream,
    record: Arc<Record>,
    /// The guest wants no more of what comes.
    deaf: AtomicBool,
    outgoing: Mutex<Outgoing>,
    /// Until when what is left to be written may take.
    deadline: Instant,
}

/// How it stands with what the guest sends.
#[derive(Default)]
pub struct Outgoing {
    /// Something is still being written.
    busy: bool,
    /// Nothing more will be.
    closed: bool,
    /// Why, unless the guest has been told.
    failed: Option<StreamError>,
}

impl Connection {
    pub fn new(stream: TcpStream, record: Arc<Record>, deadline: Instant) -> Self {
        let (deaf, outgoing) = (AtomicBool::new(false), Mutex::default());
        Self { stream, record, deaf, outgoing, deadline }
    }

    /// What has come, up to so many bytes: none where nothing has.
    pub fn read(&self, most: usize) -> Result<Bytes, StreamError> {
        if self.deaf.load(Relaxed) {
            return Err(StreamError::Closed);
        }
        if most == 0 {
            return Ok(Bytes::new());
        }
        let mut bytes = BytesMut::zeroed(most.min(MOST_AT_ONCE));
        match self.stream.try_read(&mut bytes) {
            Ok(0) => {
                self.deaf.store(true, Relaxed);
                self.record.closed();
                Err(StreamError::Closed)
            }
            Ok(count) => {
                bytes.truncate(count);
                self.record.received(&bytes).map_err(trap)?;
                Ok(bytes.freeze())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Bytes::new()),
            Err(error) => {
                self.deaf.store(true, Relaxed);
                self.record.broken();
                Err(failed(error))
            }
        }
    }

    /// Waits until something has come, or nothing will.
    pub async fn readable(&self) {
        if !self.deaf.load(Relaxed) {
            let _ = self.stream.readable().await;
        }
    }

    /// How many bytes may be written now.
    pub fn room(&self) -> Result<usize, StreamError> {
        let mut outgoing = self.outgoing();
        outgoing.check()?;
        Ok(if outgoing.busy { 0 } else { MOST_AT_ONCE })
    }

    /// Writes; what the system does not take at once comes back, to be written by [`Connection::write_rest`].
    pub fn write(&self, mut bytes: Bytes) -> Result<Option<Bytes>, StreamError> {
        let mut outgoing = self.outgoing();
        outgoing.check()?;
        if outgoing.busy || bytes.len() > MOST_AT_ONCE {
            return Err(StreamError::trap("the guest wrote more than `check-write` allows"));
        }
        if let Err(error) = self.write_some(&mut bytes) {
            outgoing.closed = true;
            return Err(error);
        }
        outgoing.busy = !bytes.is_empty();
        Ok(outgoing.busy.then_some(bytes))
    }

    /// Writes the rest of something, in a task of its own.
    pub async fn write_rest(self: Arc<Self>, mut bytes: Bytes) {
        let writing = async {
            while !bytes.is_empty() {
                self.stream.writable().await.map_err(failed)?;
                self.write_some(&mut bytes)?;
            }
            Ok(())
        };
        let written = tokio::time::timeout_at(self.deadline.into(), writing).await;
        let mut outgoing = self.outgoing();
        outgoing.busy = false;
        if let Err(error) = written.unwrap_or_else(|_| Err(failed(ErrorKind::TimedOut.into()))) {
            (outgoing.closed, outgoing.failed) = (true, Some(error));
        }
        if outgoing.closed {
            self.end(Shutdown::Write);
        }
    }

    fn write_some(&self, bytes: &mut Bytes) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(count) => {
                    bytes.advance(count);
                    self.record.sent(count).map_err(trap)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.record.broken();
                    return Err(failed(error));
                }
            }
        }
        Ok(())
    }

    /// Ends one direction or both; what is being written is written first.
    pub fn shut(&self, how: Shutdown) {
        if how != Shutdown::Write && !self.deaf.swap(true, Relaxed) {
            self.end(Shutdown::Read);
        }
        if how != Shutdown::Read {
            let mut outgoing = self.outgoing();
            if !std::mem::replace(&mut outgoing.closed, true) && !outgoing.busy {
                self.end(Shutdown::Write);
            }
        }
    }

    /// The peer may have ended it already.
    fn end(&self, how: Shutdown) {
        let _ = self.socket().shutdown(how);
    }

    pub fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.stream)
    }

    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        Ok((self.stream.local_addr()?, self.stream.peer_addr()?))
    }

    fn outgoing(&self) -> MutexGuard<'_, Outgoing> {
        self.outgoing.lock()
    }
}

impl Outgoing {
    fn check(&mut self) -> Result<(), StreamError> {
        match self.failed.take() {
            Some(error) => Err(error),
            None if self.closed => Err(StreamError::Closed),
            None => Ok(()),
        }
    }
}

/// What a guest is told: of the system's errors, WASI's `network-error-code` gives it the code.
fn failed(error: io::Error) -> StreamError {
    match error.kind() {
        ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

/// Nothing goes on once a ceiling is reached.
fn trap(exceeded: Exceeded) -> StreamError {
    StreamError::Trap(exceeded.into())
}
