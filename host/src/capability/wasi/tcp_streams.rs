//! The two streams of a connection, as WASI has a guest read and write them.

use std::net::Shutdown;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use wasmtime_wasi::p2::{InputStream, OutputStream, Pollable, StreamError};

use crate::capability::wasi::connection::Connection;

pub struct Reader(pub Arc<Connection>);

pub struct Writer {
    connection: Arc<Connection>,
    threads: Handle,
    /// What the system did not take at once. It goes on when the guest drops this: to the guest it is written.
    writing: Option<JoinHandle<()>>,
}

impl Writer {
    pub fn new(connection: Arc<Connection>, threads: Handle) -> Self {
        Self { connection, threads, writing: None }
    }
}

#[async_trait::async_trait]
impl Pollable for Reader {
    async fn ready(&mut self) {
        self.0.readable().await;
    }
}

impl InputStream for Reader {
    fn read(&mut self, size: usize) -> Result<Bytes, StreamError> {
        self.0.read(size)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.shut(Shutdown::Read);
    }
}

#[async_trait::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        if let Some(writing) = &mut self.writing {
            let _ = writing.await;
            self.writing = None;
        }
    }
}

#[async_trait::async_trait]
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        if let Some(rest) = self.connection.write(bytes)? {
            self.writing = Some(self.threads.spawn(Arc::clone(&self.connection).write_rest(rest)));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), StreamError> {
        self.connection.room().map(drop)
    }

    fn check_write(&mut self) -> Result<usize, StreamError> {
        self.connection.room()
    }

    async fn cancel(&mut self) {
        self.ready().await;
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.connection.shut(Shutdown::Write);
    }
}
