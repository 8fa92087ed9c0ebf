//! An established TCP connection, shared by its socket, its two streams and the task that finishes a write.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use socket2::SockRef;
use tokio::net::TcpStream;
use wasmtime_wasi::p2::StreamError;

use crate::capability::quota::Exceeded;
use crate::capability::wasi::span::TcpSpan;

/// The maximum number of bytes that one call reads or writes.
const MAX_CHUNK_BYTES: usize = 64 << 10;

/// An established TCP connection. It is closed when all that share it have dropped it.
pub struct Connection {
    stream: TcpStream,
    span: Arc<TcpSpan>,
    /// True once nothing more can be read: the guest or the peer has ended the direction to the guest, or the
    /// connection has failed.
    is_read_closed: AtomicBool,
    write: Mutex<WriteState>,
    /// The time by which the rest of a write must be finished.
    deadline: Instant,
}

/// The state of the direction from the guest to the peer.
#[derive(Default)]
struct WriteState {
    /// True while a task writes the rest of the guest's last bytes.
    is_busy: bool,
    /// True once the guest may write nothing more.
    is_closed: bool,
    /// The error of the task that writes the rest, until a call of the guest returns the error.
    error: Option<StreamError>,
}

impl Connection {
    /// Returns a connection that has just been established. Writes that are unfinished at `deadline` fail.
    pub fn new(stream: TcpStream, span: Arc<TcpSpan>, deadline: Instant) -> Self {
        Self { stream, span, is_read_closed: AtomicBool::new(false), write: Mutex::default(), deadline }
    }

    /// Returns up to `max_bytes` received bytes, and at most 64 KiB. Does not wait: returns no bytes if none have
    /// arrived.
    ///
    /// # Errors
    /// - [`StreamError::Closed`] once nothing more can be read.
    /// - [`StreamError::LastOperationFailed`] with the system's error.
    /// - [`StreamError::Trap`] when the run has received more than its limit.
    pub fn read(&self, max_bytes: usize) -> Result<Bytes, StreamError> {
        if self.is_read_closed.load(Relaxed) {
            return Err(StreamError::Closed);
        }
        if max_bytes == 0 {
            return Ok(Bytes::new());
        }
        let mut bytes = BytesMut::zeroed(max_bytes.min(MAX_CHUNK_BYTES));
        match self.stream.try_read(&mut bytes) {
            Ok(0) => {
                self.is_read_closed.store(true, Relaxed);
                self.span.record_closed_by_peer();
                Err(StreamError::Closed)
            }
            Ok(count) => {
                bytes.truncate(count);
                self.span.record_received(&bytes).map_err(trap)?;
                Ok(bytes.freeze())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Bytes::new()),
            Err(error) => {
                self.is_read_closed.store(true, Relaxed);
                self.span.record_broken();
                Err(stream_error(error))
            }
        }
    }

    /// Waits until a read returns bytes or an error.
    pub async fn wait_readable(&self) {
        if !self.is_read_closed.load(Relaxed) {
            let _ = self.stream.readable().await;
        }
    }

    /// Returns the number of bytes that may be written now, which is zero while a write is unfinished.
    ///
    /// # Errors
    /// The error of an unfinished write, which is returned a single time, and [`StreamError::Closed`] after the
    /// direction to the peer has ended.
    pub fn writable_bytes(&self) -> Result<usize, StreamError> {
        let mut write = self.write.lock();
        write.check()?;
        Ok(if write.is_busy { 0 } else { MAX_CHUNK_BYTES })
    }

    /// Writes bytes. Returns those that the system did not take at once, which the caller must give to
    /// [`Connection::finish_write`].
    ///
    /// # Errors
    /// - [`StreamError::Closed`] after the direction to the peer has ended.
    /// - [`StreamError::LastOperationFailed`] with the system's error.
    /// - [`StreamError::Trap`] when the guest writes more than [`Connection::writable_bytes`], or the run has sent more
    ///   than its limit.
    pub fn write(&self, mut bytes: Bytes) -> Result<Option<Bytes>, StreamError> {
        let mut write = self.write.lock();
        write.check()?;
        if write.is_busy || bytes.len() > MAX_CHUNK_BYTES {
            return Err(StreamError::trap("the guest wrote more than `check-write` allows"));
        }
        if let Err(error) = self.try_write(&mut bytes) {
            write.is_closed = true;
            return Err(error);
        }
        write.is_busy = !bytes.is_empty();
        Ok(write.is_busy.then_some(bytes))
    }

    /// Writes the rest of the bytes of a write, until the deadline. The guest's next call returns the error, if any.
    pub async fn finish_write(self: Arc<Self>, mut bytes: Bytes) {
        let writing = async {
            while !bytes.is_empty() {
                self.stream.writable().await.map_err(stream_error)?;
                self.try_write(&mut bytes)?;
            }
            Ok(())
        };
        let written = tokio::time::timeout_at(self.deadline.into(), writing).await;
        let mut write = self.write.lock();
        write.is_busy = false;
        if let Err(error) = written.unwrap_or_else(|_| Err(stream_error(ErrorKind::TimedOut.into()))) {
            (write.is_closed, write.error) = (true, Some(error));
        }
        if write.is_closed {
            self.shut_down_socket(Shutdown::Write);
        }
    }

    /// Writes as many bytes as the system takes at once, and removes them from `bytes`.
    fn try_write(&self, bytes: &mut Bytes) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            match self.stream.try_write(bytes) {
                Ok(count) => {
                    bytes.advance(count);
                    self.span.record_sent(count).map_err(trap)?;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.span.record_broken();
                    return Err(stream_error(error));
                }
            }
        }
        Ok(())
    }

    /// Ends one direction or both. An unfinished write is finished before its direction ends.
    pub fn shut_down(&self, direction: Shutdown) {
        if direction != Shutdown::Write && !self.is_read_closed.swap(true, Relaxed) {
            self.shut_down_socket(Shutdown::Read);
        }
        if direction != Shutdown::Read {
            let mut write = self.write.lock();
            if !std::mem::replace(&mut write.is_closed, true) && !write.is_busy {
                self.shut_down_socket(Shutdown::Write);
            }
        }
    }

    /// Ends a direction of the socket. Ignores errors, since they mean that the peer has ended the connection already.
    fn shut_down_socket(&self, direction: Shutdown) {
        let _ = self.socket().shutdown(direction);
    }

    /// Returns the socket, to set options on it.
    pub fn socket(&self) -> SockRef<'_> {
        SockRef::from(&self.stream)
    }

    /// Returns the local address and the peer's. The local address is the unspecified one with the port of the
    /// connection: a component is not to find out the addresses of this machine.
    ///
    /// # Errors
    /// The errors of the system.
    pub fn addresses(&self) -> io::Result<(SocketAddr, SocketAddr)> {
        let (mut local, peer) = (self.stream.local_addr()?, self.stream.peer_addr()?);
        local.set_ip(if local.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() });
        Ok((local, peer))
    }
}

impl WriteState {
    fn check(&mut self) -> Result<(), StreamError> {
        match self.error.take() {
            Some(error) => Err(error),
            None if self.is_closed => Err(StreamError::Closed),
            None => Ok(()),
        }
    }
}

/// Converts an error of the system to an error of a stream. For all errors but a broken pipe, the guest can get the
/// code by `network-error-code`.
fn stream_error(error: io::Error) -> StreamError {
    match error.kind() {
        ErrorKind::BrokenPipe => StreamError::Closed,
        _ => StreamError::LastOperationFailed(error.into()),
    }
}

/// Converts an exceeded limit to the error that stops the guest.
fn trap(exceeded: Exceeded) -> StreamError {
    StreamError::Trap(exceeded.into())
}
