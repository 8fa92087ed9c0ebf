//! What happens on the wire and in the protocol, noted as it happens; and the wire's end when nobody waits for it.

use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use crate::capability::quota::ConnectionPermit;

/// What has been seen of one server, shared by the wire, the protocol's handler and whoever waits for them.
#[derive(Clone, Default)]
pub struct Handshake(Arc<Mutex<HandshakeFacts>>);

#[derive(Clone, Default)]
pub struct HandshakeFacts {
    /// What came before a banner: a greeting, or what is no SSH at all. Cut.
    pub preface: Vec<u8>,
    /// The server's banner, and when all of it was there.
    pub banner: Option<(String, Instant)>,
    pub host_key: Option<HostKey>,
    pub algorithms: Option<Algorithms>,
    /// Somebody has logged in.
    pub authenticated: bool,
    /// What the server said as it took its leave.
    pub farewell: Option<String>,
    /// Why the protocol's task gave up by itself.
    pub broke: Option<String>,
}

#[derive(Clone)]
pub struct HostKey {
    /// `ssh-ed25519`.
    pub kind: String,
    /// `SHA256:…`.
    pub fingerprint: String,
}

#[derive(Clone)]
pub struct Algorithms {
    pub kex: String,
    pub cipher: String,
    /// None where the cipher does this too.
    pub mac: Option<String>,
}

impl Handshake {
    pub fn read(&self) -> HandshakeFacts {
        self.0.lock().clone()
    }

    pub fn record(&self, write: impl FnOnce(&mut HandshakeFacts)) {
        write(&mut self.0.lock());
    }
}

/// A TCP connection that watches for the server's banner. The protocol runs on it in a task of its own, which would
/// outlive whoever gave up on it: so the wire is cut when its guard is dropped.
pub struct InstrumentedStream {
    stream: TcpStream,
    open: ConnectionPermit,
    marks: Handshake,
    banner: Watch,
    received: usize,
    /// The server may send what it likes.
    welcome: bool,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl InstrumentedStream {
    pub fn new(stream: TcpStream, open: ConnectionPermit, marks: Handshake) -> (Self, DropGuard) {
        let token = CancellationToken::new();
        let cut = Box::pin(token.clone().cancelled_owned());
        (Self { stream, open, marks, banner: Watch::default(), received: 0, welcome: false, cut }, token.drop_guard())
    }

    /// Before anybody has logged in there is little to say, and what is said is kept in memory.
    fn bounded(&mut self, more: usize) -> Result<()> {
        const MOST: usize = 1 << 20;
        if self.welcome {
            return Ok(());
        }
        self.received += more;
        if self.received > MOST {
            self.welcome = self.marks.read().authenticated;
            if !self.welcome {
                return Err(Error::new(ErrorKind::InvalidData, "the server says too much before a login"));
            }
        }
        Ok(())
    }

    fn check(&mut self, cx: &mut Context<'_>) -> Result<()> {
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => Err(Error::from(ErrorKind::ConnectionAborted)),
            Poll::Pending => Ok(()),
        }
    }
}

/// Finds the banner in what comes.
#[derive(Default)]
struct Watch {
    line: Vec<u8>,
    found: bool,
}

impl Watch {
    /// More than the protocol lets a banner have.
    const LONGEST_LINE: usize = 256;
    const LONGEST_PREFACE: usize = 1024;

    fn see(&mut self, bytes: &[u8], marks: &Handshake) {
        for byte in bytes {
            if self.found {
                return;
            }
            if *byte != b'\n' {
                if self.line.len() < Self::LONGEST_LINE {
                    self.line.push(*byte);
                }
                continue;
            }
            if self.line.starts_with(b"SSH-2.0-") || self.line.starts_with(b"SSH-1.99-") {
                self.found = true;
                let banner = String::from_utf8_lossy(&self.line).trim_end().to_owned();
                marks.record(|seen| {
                    seen.preface.clear();
                    seen.banner = Some((banner, Instant::now()));
                });
            }
            self.line.clear();
        }
        if !self.found {
            marks.record(|seen| {
                let room = Self::LONGEST_PREFACE - seen.preface.len();
                seen.preface.extend_from_slice(&bytes[..bytes.len().min(room)]);
            });
        }
    }
}

impl AsyncRead for InstrumentedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.check(cx)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let this = &mut *self;
        this.banner.see(&buffer.filled()[before..], &this.marks);
        let more = buffer.filled().len() - before;
        this.open.quota().received(more).map_err(Error::other)?;
        this.bounded(more)?;
        read
    }
}

impl AsyncWrite for InstrumentedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.check(cx)?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.open.quota().sent(count).map_err(Error::other)?;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.check(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is noted of these pieces: the banner, or else what came instead.
    #[track_caller]
    fn check(pieces: &[&str], banner: Option<&str>, preface: &str) {
        let (marks, mut watch) = (Handshake::default(), Watch::default());
        for piece in pieces {
            watch.see(piece.as_bytes(), &marks);
        }
        let seen = marks.read();
        assert_eq!(seen.banner.map(|(banner, _)| banner).as_deref(), banner);
        assert_eq!(String::from_utf8_lossy(&seen.preface), preface);
    }

    #[test]
    fn banners() {
        check(&["SSH-2.0-OpenSSH_9.2p1\r\n"], Some("SSH-2.0-OpenSSH_9.2p1"), "");
        check(&["SSH-2.0-", "dropbear_2022.83", "\n"], Some("SSH-2.0-dropbear_2022.83"), "");
        check(&["hello\r\nSSH-1.99-old\nSSH-2.0-not"], Some("SSH-1.99-old"), "");
        check(&["SSH-2.0-half"], None, "SSH-2.0-half");
        check(&["HTTP/1.1 400\r\n", "\r\n"], None, "HTTP/1.1 400\r\n\r\n");
        check(&["SSH-1.5-ancient\n"], None, "SSH-1.5-ancient\n");
        check(&[&"x".repeat(5000)], None, &"x".repeat(1024));
        check(&[&"x".repeat(1000), &"x".repeat(1000)], None, &"x".repeat(1024));
    }
}
