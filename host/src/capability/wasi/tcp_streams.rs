//! The input and output streams of a TCP connection.

use std::net::Shutdown;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError};

use crate::capability::wasi::connection::Connection;

/// The input stream. Dropping it ends the direction from the peer.
pub struct TcpReader(pub Arc<Connection>);

/// The output stream. Dropping it ends the direction to the peer, once all bytes are written.
pub struct TcpWriter {
    connection: Arc<Connection>,
    runtime: Handle,
    /// The task that writes the bytes that the system did not take at once. Dropping the stream does not abort it,
    /// since the guest's call to write has succeeded.
    finishing: Option<JoinHandle<()>>,
}

impl TcpWriter {
    /// Returns the output stream of a connection. Tasks that finish writes run on `runtime`.
    pub fn new(connection: Arc<Connection>, runtime: Handle) -> Self {
        Self { connection, runtime, finishing: None }
    }
}

#[async_trait::async_trait]
impl Pollable for TcpReader {
    async fn ready(&mut self) {
        self.0.wait_readable().await;
    }
}

impl InputStream for TcpReader {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        self.0.read(size)
    }
}

impl Drop for TcpReader {
    fn drop(&mut self) {
        self.0.shut_down(Shutdown::Read);
    }
}

#[async_trait::async_trait]
impl Pollable for TcpWriter {
    async fn ready(&mut self) {
        if let Some(finishing) = &mut self.finishing {
            let _ = finishing.await;
            self.finishing = None;
        }
    }
}

#[async_trait::async_trait]
impl OutputStream for TcpWriter {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if let Some(rest) = self.connection.write(bytes)? {
            self.finishing = Some(self.runtime.spawn(Arc::clone(&self.connection).finish_write(rest)));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.connection.writable_bytes().map(drop)
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        self.connection.writable_bytes()
    }

    async fn cancel(&mut self) {
        self.ready().await;
    }
}

impl Drop for TcpWriter {
    fn drop(&mut self) {
        self.connection.shut_down(Shutdown::Write);
    }
}
