//! The TCP stream of a connection: finds the server's banner, counts bytes, and can be ended from outside.

use std::future::Future;
use std::io::{Error, ErrorKind, Result};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, DropGuard, WaitForCancellationFutureOwned};

use crate::capability::quota::ConnectionPermit;
use crate::capability::ssh::handshake::Handshake;

/// A TCP stream. russh reads and writes it in a task of its own, which would continue after a call is cancelled.
/// Dropping the guard makes reads and writes fail, which ends the task.
pub struct InstrumentedStream {
    stream: TcpStream,
    permit: ConnectionPermit,
    handshake: Handshake,
    banner: BannerScanner,
    /// True if bytes were received since russh last waited for more.
    has_new_bytes: bool,
    /// Bytes that were received before the user logged in.
    received: usize,
    /// True once it is known that the user has logged in, which is checked when `received` reaches its bound. From then
    /// on `received` is not counted.
    is_authenticated: bool,
    cancelled: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl InstrumentedStream {
    /// Returns the stream, and the guard that ends it when it is dropped.
    pub fn new(stream: TcpStream, permit: ConnectionPermit, handshake: Handshake) -> (Self, DropGuard) {
        let token = CancellationToken::new();
        let cancelled = Box::pin(token.clone().cancelled_owned());
        let banner = BannerScanner::default();
        let stream = Self {
            stream,
            permit,
            handshake,
            banner,
            has_new_bytes: false,
            received: 0,
            is_authenticated: false,
            cancelled,
        };
        (stream, token.drop_guard())
    }

    /// Counts received bytes, and fails if a server sends more than 1 MiB before the user has logged in. russh buffers
    /// these bytes, and an honest server sends far fewer.
    fn check_received(&mut self, more: usize) -> Result<()> {
        const MAX_BYTES_BEFORE_LOGIN: usize = 1 << 20;
        if self.is_authenticated {
            return Ok(());
        }
        self.received += more;
        if self.received > MAX_BYTES_BEFORE_LOGIN {
            self.is_authenticated = self.handshake.read().is_authenticated;
            if !self.is_authenticated {
                return Err(Error::new(
                    ErrorKind::InvalidData,
                    "the server sent more than 1 MiB before the user logged in",
                ));
            }
        }
        Ok(())
    }

    /// Fails once the guard has been dropped.
    fn check_cancelled(&mut self, cx: &mut Context<'_>) -> Result<()> {
        match self.cancelled.as_mut().poll(cx) {
            Poll::Ready(()) => Err(Error::from(ErrorKind::ConnectionAborted)),
            Poll::Pending => Ok(()),
        }
    }
}

/// Finds the banner in the bytes that a server sends.
#[derive(Default)]
struct BannerScanner {
    line: Vec<u8>,
    is_found: bool,
}

impl BannerScanner {
    /// The number of bytes to which a line is cut. RFC 4253, section 4.2, limits a banner to 255 bytes.
    const MAX_LINE_BYTES: usize = 256;
    const MAX_PREFACE_BYTES: usize = 1024;

    /// Records the banner, or the bytes that come before it.
    fn scan(&mut self, bytes: &[u8], handshake: &Handshake) {
        for byte in bytes {
            if self.is_found {
                return;
            }
            if *byte != b'\n' {
                if self.line.len() < Self::MAX_LINE_BYTES {
                    self.line.push(*byte);
                }
                continue;
            }
            if self.line.starts_with(b"SSH-2.0-") || self.line.starts_with(b"SSH-1.99-") {
                self.is_found = true;
                let banner = String::from_utf8_lossy(&self.line).trim_end().to_owned();
                handshake.record(|facts| {
                    facts.preface.clear();
                    facts.banner = Some((banner, Instant::now()));
                });
            }
            self.line.clear();
        }
        if !self.is_found {
            handshake.record(|facts| {
                let max_bytes = Self::MAX_PREFACE_BYTES - facts.preface.len();
                facts.preface.extend_from_slice(&bytes[..bytes.len().min(max_bytes)]);
            });
        }
    }
}

impl AsyncRead for InstrumentedStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<Result<()>> {
        self.check_cancelled(cx)?;
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        let this = &mut *self;
        this.banner.scan(&buffer.filled()[before..], &this.handshake);
        let more = buffer.filled().len() - before;
        this.permit.quota().count_received(more).map_err(Error::other)?;
        this.check_received(more)?;
        this.has_new_bytes |= more > 0;
        if read.is_pending() && std::mem::take(&mut this.has_new_bytes) {
            this.handshake.record_idle();
        }
        read
    }
}

impl AsyncWrite for InstrumentedStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<Result<usize>> {
        self.check_cancelled(cx)?;
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.permit.quota().count_sent(count).map_err(Error::other)?;
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        self.check_cancelled(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the banner and the preface that are found in these pieces.
    #[track_caller]
    fn check(pieces: &[&str], banner: Option<&str>, preface: &str) {
        let (handshake, mut scanner) = (Handshake::default(), BannerScanner::default());
        for piece in pieces {
            scanner.scan(piece.as_bytes(), &handshake);
        }
        let facts = handshake.read();
        assert_eq!(facts.banner.map(|(banner, _)| banner).as_deref(), banner);
        assert_eq!(String::from_utf8_lossy(&facts.preface), preface);
    }

    #[test]
    fn finds_banners() {
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
