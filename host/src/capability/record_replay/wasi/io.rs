//! The tables of `wasi:io`: bytes that were read and written, and the pollables that were ready when the guest polled.

use serde_json::{Value, json};
use wasmtime::component::{HasData, Linker, Resource, ResourceTable};
use wasmtime_wasi::p2::bindings::io::{error, poll, streams};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError, StreamError, StreamResult};

use crate::capability::Context;
use crate::capability::record_replay::call::CallRecord;
use crate::capability::record_replay::codec::{OpaqueHandle, ReplayError, forget};
use crate::capability::record_replay::halt::Halt;
use crate::capability::record_replay::held_arguments::{FunctionResult, HeldArgument, Kept, hold_arguments};
use crate::capability::record_replay::intercept::{Intercepted, intercept};

pub fn link<D>(linker: &mut Linker<Context>) -> wasmtime::Result<()>
where
    D: for<'a> HasData<Data<'a> = Intercepted<'a>> + Send,
{
    error::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    poll::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    streams::add_to_linker::<_, D>(linker, |context| Intercepted(context))
}

fn table(context: &mut Context) -> &mut ResourceTable {
    &mut context.table
}

impl OpaqueHandle for DynPollable {}
impl OpaqueHandle for DynInputStream {}
impl OpaqueHandle for DynOutputStream {}

intercept! { poll::Host as "wasi:io/poll" of table {
    external_async [transient] poll(pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>>;
} }

intercept! { poll::HostPollable as "wasi:io/poll.pollable" of table {
    external_async ready(pollable: Resource<DynPollable>) -> wasmtime::Result<bool>;
    external_async block(pollable: Resource<DynPollable>) -> wasmtime::Result<()>;
    external_drop drop(pollable: Resource<DynPollable>) -> wasmtime::Result<()>;
} }

intercept! { streams::HostInputStream as "wasi:io/streams.input-stream" of table {
    external read(stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>>;
    external_async blocking_read(stream: Resource<DynInputStream>, len: u64) -> StreamResult<Vec<u8>>;
    external skip(stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64>;
    external_async blocking_skip(stream: Resource<DynInputStream>, len: u64) -> StreamResult<u64>;
    child_handle subscribe(stream: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>>;
    external_drop_async drop(stream: Resource<DynInputStream>) -> wasmtime::Result<()>;
} }

intercept! { streams::HostOutputStream as "wasi:io/streams.output-stream" of table {
    external check_write(stream: Resource<DynOutputStream>) -> StreamResult<u64>;
    external [transient] write(stream: Resource<DynOutputStream>, contents: Vec<u8>) -> StreamResult<()>;
    external_async [transient] blocking_write_and_flush(stream: Resource<DynOutputStream>, contents: Vec<u8>) -> StreamResult<()>;
    external flush(stream: Resource<DynOutputStream>) -> StreamResult<()>;
    external_async blocking_flush(stream: Resource<DynOutputStream>) -> StreamResult<()>;
    child_handle subscribe(stream: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>>;
    external write_zeroes(stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()>;
    external_async blocking_write_zeroes_and_flush(stream: Resource<DynOutputStream>, len: u64) -> StreamResult<()>;
    external splice(stream: Resource<DynOutputStream>, src: Resource<DynInputStream>, len: u64) -> StreamResult<u64>;
    external_async blocking_splice(
        stream: Resource<DynOutputStream>, src: Resource<DynInputStream>, len: u64
    ) -> StreamResult<u64>;
    external_drop_async drop(stream: Resource<DynOutputStream>) -> wasmtime::Result<()>;
} }

intercept! { streams::Host as "wasi:io/streams" of table {
    passthrough convert_stream_error(error: StreamError) -> wasmtime::Result<streams::StreamError>;
} }

intercept! { error::HostError as "wasi:io/error.error" of table {
    external to_debug_string(error: Resource<IoError>) -> wasmtime::Result<String>;
    passthrough drop(error: Resource<IoError>) -> wasmtime::Result<()>;
} }

impl error::Host for Intercepted<'_> {}

/// A replayed error has the recorded text. The guest gets the error's code by another call, which is recorded too.
impl ReplayError for StreamError {
    fn to_recorded(&self) -> Option<Value> {
        match self {
            Self::Closed => Some(json!("closed")),
            Self::LastOperationFailed(error) => Some(json!({ "failed": error.to_string() })),
            Self::Trap(_) => None,
        }
    }

    fn from_recorded(recorded: &Value) -> Option<Self> {
        match recorded["failed"].as_str() {
            Some(error) => Some(Self::LastOperationFailed(wasmtime::Error::msg(error.to_owned()))),
            None => (recorded == "closed").then_some(Self::Closed),
        }
    }

    fn halted(halt: Halt) -> Self {
        Self::Trap(halt.into())
    }
}
