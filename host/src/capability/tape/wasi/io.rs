//! The package `wasi:io`: what was read and written, and what was ready when the guest looked or waited.

use serde_json::{Value, json};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::io::{error, poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError, StreamError, StreamResult};

use crate::capability::Context;
use crate::capability::tape::calls::{Taped, taped};
use crate::capability::tape::told::{Empty, Trouble, forget};
use crate::capability::tape::{Off, Said};

pub fn link<D>(linker: &mut Linker<Context>) -> wasmtime::Result<()>
where
    D: for<'a> HasData<Data<'a> = Taped<'a>> + Send,
{
    error::add_to_linker::<_, D>(linker, |context| Taped(context))?;
    poll::add_to_linker::<_, D>(linker, |context| Taped(context))?;
    streams::add_to_linker::<_, D>(linker, |context| Taped(context))
}

fn table(context: &mut Context) -> &mut ResourceTable {
    &mut context.table
}

impl Empty for DynPollable {}
impl Empty for DynInputStream {}
impl Empty for DynOutputStream {}

taped! { poll::Host as "wasi:io/poll" of table {
    waits poll(pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>>;
} }

taped! { poll::HostPollable as "wasi:io/poll.pollable" of table {
    waits ready(pollable: Resource<DynPollable>) -> wasmtime::Result<bool>;
    waits block(pollable: Resource<DynPollable>) -> wasmtime::Result<()>;
    drops drop(pollable: Resource<DynPollable>) -> wasmtime::Result<()>;
} }

taped! { streams::HostInputStream as "wasi:io/streams.input-stream" of table {
    asks read(stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>>;
    waits blocking_read(stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>>;
    asks skip(stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64>;
    waits blocking_skip(stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64>;
    lends subscribe(stream: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>>;
    leaves drop(stream: Resource<DynInputStream>) -> wasmtime::Result<()>;
} }

taped! { streams::HostOutputStream as "wasi:io/streams.output-stream" of table {
    asks check_write(stream: Resource<DynOutputStream>) -> StreamResult<u64>;
    asks write(stream: Resource<DynOutputStream>, contents: Vec<u8>) -> StreamResult<()>;
    waits blocking_write_and_flush(stream: Resource<DynOutputStream>, contents: Vec<u8>) -> StreamResult<()>;
    asks flush(stream: Resource<DynOutputStream>) -> StreamResult<()>;
    waits blocking_flush(stream: Resource<DynOutputStream>) -> StreamResult<()>;
    lends subscribe(stream: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>>;
    asks write_zeroes(stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()>;
    waits blocking_write_zeroes_and_flush(stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()>;
    asks splice(stream: Resource<DynOutputStream>, src: Resource<DynInputStream>, len: u64) -> StreamResult<u64>;
    waits blocking_splice(
        stream: Resource<DynOutputStream>, src: Resource<DynInputStream>, len: u64
    ) -> StreamResult<u64>;
    leaves drop(stream: Resource<DynOutputStream>) -> wasmtime::Result<()>;
} }

taped! { streams::Host as "wasi:io/streams" of table {
    makes convert_stream_error(error: StreamError) -> wasmtime::Result<streams::StreamError>;
} }

taped! { error::HostError as "wasi:io/error.error" of table {
    asks to_debug_string(error: Resource<IoError>) -> wasmtime::Result<String>;
    makes drop(error: Resource<IoError>) -> wasmtime::Result<()>;
} }

impl error::Host for Taped<'_> {}

/// What is known of an error is asked for, and on the tape then.
impl Trouble for StreamError {
    fn tell(&self) -> Option<Value> {
        match self {
            Self::Closed => Some(json!("closed")),
            Self::LastOperationFailed(error) => Some(json!({ "failed": error.to_string() })),
            Self::Trap(_) => None,
        }
    }

    fn read(told: &Value) -> Option<Self> {
        match told["failed"].as_str() {
            Some(error) => Some(Self::LastOperationFailed(wasmtime::Error::msg(error.to_owned()))),
            None => (told == "closed").then_some(Self::Closed),
        }
    }

    fn stop(off: Off) -> Self {
        Self::Trap(off.into())
    }
}
