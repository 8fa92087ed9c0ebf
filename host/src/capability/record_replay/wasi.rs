//! The tables of WASI's functions: how each call is recorded and replayed. Those of clocks, random numbers and standard
//! streams are here; `wasi:io`, `wasi:sockets` and `wasi:http` have modules of their own.
//!
//! The output of the guest's standard streams goes only to the run's log. Calls about these streams alone are not
//! recorded; the lines that they write are.

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::cli::{WasiCliCtxView, WasiCliView};
use wasmtime_wasi::clocks::{WasiClocksCtxView, WasiClocksView};
use wasmtime_wasi::p2::bindings::cli::{stderr, stdin, stdout};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random as secure};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi::random::WasiRandomCtx;

use crate::capability::Context;
use crate::capability::record_replay::CallRecord;
use crate::capability::record_replay::held_arguments::{FunctionResult, HeldArgument, Kept, hold_arguments};
use crate::capability::record_replay::intercept::{Intercepted, intercept};

mod http;
mod io;
mod sockets;

/// Adds these functions to `linker`.
///
/// # Errors
/// When the linker has one of them already, which is a bug.
pub fn link<D>(linker: &mut Linker<Context>) -> wasmtime::Result<()>
where
    D: for<'a> HasData<Data<'a> = Intercepted<'a>> + Send,
{
    stdin::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    stdout::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    stderr::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    wall_clock::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    monotonic_clock::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    secure::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    insecure::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    insecure_seed::add_to_linker::<_, D>(linker, |context| Intercepted(context))?;
    io::link::<D>(linker)?;
    sockets::link::<D>(linker)?;
    http::link::<D>(linker)
}

fn cli(context: &mut Context) -> WasiCliCtxView<'_> {
    context.cli()
}

fn clocks(context: &mut Context) -> WasiClocksCtxView<'_> {
    context.clocks()
}

fn random(context: &mut Context) -> &mut WasiRandomCtx {
    context.ctx().ctx.random()
}

intercept! { stdin::Host as "wasi:cli/stdin" of cli {
    own_handle get_stdin() -> wasmtime::Result<Resource<DynInputStream>>;
} }

intercept! { stdout::Host as "wasi:cli/stdout" of cli {
    own_handle get_stdout() -> wasmtime::Result<Resource<DynOutputStream>>;
} }

intercept! { stderr::Host as "wasi:cli/stderr" of cli {
    own_handle get_stderr() -> wasmtime::Result<Resource<DynOutputStream>>;
} }

intercept! { wall_clock::Host as "wasi:clocks/wall-clock" of clocks {
    external now() -> wasmtime::Result<wall_clock::Datetime>;
    external resolution() -> wasmtime::Result<wall_clock::Datetime>;
} }

intercept! { monotonic_clock::Host as "wasi:clocks/monotonic-clock" of clocks {
    external now() -> wasmtime::Result<u64>;
    external resolution() -> wasmtime::Result<u64>;
    external subscribe_instant(when: u64) -> wasmtime::Result<Resource<DynPollable>>;
    external subscribe_duration(when: u64) -> wasmtime::Result<Resource<DynPollable>>;
} }

intercept! { secure::Host as "wasi:random/random" of random {
    external get_random_bytes(len: u64) -> wasmtime::Result<Vec<u8>>;
    external get_random_u64() -> wasmtime::Result<u64>;
} }

intercept! { insecure::Host as "wasi:random/insecure" of random {
    external get_insecure_random_bytes(len: u64) -> wasmtime::Result<Vec<u8>>;
    external get_insecure_random_u64() -> wasmtime::Result<u64>;
} }

intercept! { insecure_seed::Host as "wasi:random/insecure-seed" of random {
    external insecure_seed() -> wasmtime::Result<(u64, u64)>;
} }

impl Context {
    /// Returns true if there are handles, and all are those of the guest's own standard streams or of their pollables.
    pub(super) fn owns(&self, handles: &[Option<u32>]) -> bool {
        let Some(wasi) = &self.wasi else { return false };
        !handles.is_empty()
            && handles.iter().all(|handle| handle.is_some_and(|handle| wasi.own_handles.contains(&handle)))
    }

    /// Adds a handle to those of the guest's own standard streams, if the run is recorded or replayed.
    pub(super) fn add_own<T: 'static>(&mut self, result: &wasmtime::Result<Resource<T>>) {
        if let (false, Ok(handle)) = (self.run.record_replay.is_off(), result) {
            self.wasi().0.own_handles.insert(handle.rep());
        }
    }

    /// Removes a handle that is dropped from those of the guest's own standard streams.
    pub(super) fn remove_own<T: 'static>(&mut self, handle: &Resource<T>) {
        if let Some(wasi) = &mut self.wasi {
            wasi.own_handles.remove(&handle.rep());
        }
    }
}
