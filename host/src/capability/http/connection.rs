//! A connection of the HTTP client. It keeps the beginning of the response that arrives, for messages about a response
//! that cannot be read.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper_util::client::legacy::connect::{Connected, Connection as ClientConnection};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::capability::http::malformed;
use crate::capability::quota::{Exceeded, HeldBytes, Quota};

/// A stream of bytes in both directions: TCP, TLS over it, or a tunnel through a proxy.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// A stream of any kind.
pub type BoxStream = Box<dyn Stream>;

/// The protocol that is spoken over a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 with the server.
    Http1,
    /// HTTP/2, which TLS has negotiated, or which the request requires.
    Http2,
    /// HTTP/1.1 with a proxy that forwards requests: they have whole URLs.
    Proxied,
}

/// A connection over which requests are sent.
pub struct Connection {
    stream: BoxStream,
    info: ConnectionInfo,
    /// True if TLS has negotiated HTTP/2.
    is_negotiated_h2: bool,
    /// True if bytes have arrived since something was sent.
    has_received: bool,
}

/// What is known about a connection. It is among the extensions of each response, and in the errors of the client.
#[derive(Clone)]
pub struct ConnectionInfo {
    /// The address of the other end, which is the proxy's if there is one.
    pub peer: SocketAddr,
    pub protocol: Protocol,
    /// The beginning of the response that arrives.
    pub received: Received,
}

/// The beginning of the response that arrives over a connection. Clones share it.
#[derive(Clone)]
pub struct Received(Arc<Mutex<Beginning>>);

struct Beginning {
    bytes: Vec<u8>,
    /// The number of bytes that have arrived.
    total: u64,
    held: HeldBytes,
}

impl Received {
    /// The maximum number of bytes that are kept.
    pub const MAX_BYTES: usize = 16 << 10;

    /// Returns an empty beginning, whose memory is counted on `quota`.
    ///
    /// # Errors
    /// [`Exceeded`] if any limit has been reached before.
    pub fn new(quota: &Quota) -> Result<Self, Exceeded> {
        Ok(Self(Arc::new(Mutex::new(Beginning { bytes: Vec::new(), total: 0, held: quota.hold(0)? }))))
    }

    /// Returns the first bytes, and the number of all bytes that have arrived.
    pub fn get(&self) -> (Vec<u8>, u64) {
        let beginning = self.0.lock();
        (beginning.bytes.clone(), beginning.total)
    }

    /// Returns the header lines that the client has left out, when it has taken `headers` lines.
    pub fn left_out_headers(&self, headers: usize) -> Option<String> {
        malformed::left_out(&self.0.lock().bytes, headers)
    }

    /// Adds bytes that have arrived. Nothing is kept if the memory exceeds a limit, which ends the attempt.
    fn push(&self, bytes: &[u8]) {
        let mut beginning = self.0.lock();
        beginning.total += bytes.len() as u64;
        let kept = &bytes[..bytes.len().min(Self::MAX_BYTES - beginning.bytes.len())];
        // The memory of an earlier response is used again.
        let needed = (beginning.bytes.len() + kept.len()).saturating_sub(beginning.held.bytes());
        if !kept.is_empty() && beginning.held.grow(needed).is_ok() {
            beginning.bytes.reserve_exact(kept.len());
            beginning.bytes.extend_from_slice(kept);
        }
    }

    fn clear(&self) {
        let mut beginning = self.0.lock();
        beginning.bytes.clear();
        beginning.total = 0;
    }
}

impl Connection {
    /// Returns the connection over a stream to the address `peer`. `is_negotiated_h2` says that TLS has negotiated
    /// HTTP/2.
    ///
    /// # Errors
    /// [`Exceeded`] if any limit has been reached before.
    pub fn new(
        stream: BoxStream,
        peer: SocketAddr,
        protocol: Protocol,
        is_negotiated_h2: bool,
        quota: &Quota,
    ) -> Result<Self, Exceeded> {
        let info = ConnectionInfo { peer, protocol, received: Received::new(quota)? };
        Ok(Self { stream, info, is_negotiated_h2, has_received: false })
    }

    /// Records that something is sent. In HTTP/1.1 a new request begins if a response has arrived.
    fn record_sending(&mut self) {
        if std::mem::take(&mut self.has_received) && self.info.protocol != Protocol::Http2 {
            self.info.received.clear();
        }
    }
}

impl ClientConnection for Connection {
    fn connected(&self) -> Connected {
        let connected = Connected::new().extra(self.info.clone()).proxy(self.info.protocol == Protocol::Proxied);
        if self.is_negotiated_h2 { connected.negotiated_h2() } else { connected }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, task: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(task, buffer))?;
        self.has_received = true;
        self.info.received.push(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.record_sending();
        Pin::new(&mut self.stream).poll_write(task, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.record_sending();
        Pin::new(&mut self.stream).poll_write_vectored(task, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(task)
    }
}
