//! What an ordinary standard library asks for that is never twice the same: clocks and random numbers.

use wasmtime::component::{HasData, Linker, Resource};
use wasmtime_wasi::WasiView;
use wasmtime_wasi::clocks::{WasiClocksCtxView, WasiClocksView};
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random as secure};
use wasmtime_wasi::random::WasiRandomCtx;

use crate::capability::Context;
use crate::capability::tape::Said;
use crate::capability::tape::calls::{Taped, taped};

/// Has the linker take them by way of the tape.
///
/// # Errors
/// When the linker cannot, which would be a mistake of ours.
pub fn link<D>(linker: &mut Linker<Context>) -> wasmtime::Result<()>
where
    D: for<'a> HasData<Data<'a> = Taped<'a>>,
{
    linker.allow_shadowing(true);
    wall_clock::add_to_linker::<_, D>(linker, |context| Taped(context))?;
    monotonic_clock::add_to_linker::<_, D>(linker, |context| Taped(context))?;
    secure::add_to_linker::<_, D>(linker, |context| Taped(context))?;
    insecure::add_to_linker::<_, D>(linker, |context| Taped(context))?;
    insecure_seed::add_to_linker::<_, D>(linker, |context| Taped(context))?;
    linker.allow_shadowing(false);
    Ok(())
}

fn clocks(context: &mut Context) -> WasiClocksCtxView<'_> {
    context.clocks()
}

fn random(context: &mut Context) -> &mut WasiRandomCtx {
    context.ctx().ctx.random()
}

/// An interface of WASI's: its functions, each of which WASI has a view for.
macro_rules! wasi {
    ($host:path as $name:literal in $view:ident => {
        $($kind:ident $function:ident($($given:ident: $type:ty),*) -> $done:ty;)*
    }) => {
        impl $host for Context {
            $(fn $function(&mut self, $($given: $type),*) -> wasmtime::Result<$done> {
                <_ as $host>::$function(&mut $view(self), $($given),*)
            })*
        }
        taped! { $host as $name { $($kind $function($($given: $type),*) -> $done;)* } }
    };
}

wasi! { wall_clock::Host as "wasi:clocks/wall-clock" in clocks => {
    asks now() -> wall_clock::Datetime;
    asks resolution() -> wall_clock::Datetime;
} }

wasi! { monotonic_clock::Host as "wasi:clocks/monotonic-clock" in clocks => {
    asks now() -> u64;
    asks resolution() -> u64;
    says subscribe_instant(when: u64) -> Resource<DynPollable>;
    says subscribe_duration(when: u64) -> Resource<DynPollable>;
} }

wasi! { secure::Host as "wasi:random/random" in random => {
    asks get_random_bytes(len: u64) -> Vec<u8>;
    asks get_random_u64() -> u64;
} }

wasi! { insecure::Host as "wasi:random/insecure" in random => {
    asks get_insecure_random_bytes(len: u64) -> Vec<u8>;
    asks get_insecure_random_u64() -> u64;
} }

wasi! { insecure_seed::Host as "wasi:random/insecure-seed" in random => {
    asks insecure_seed() -> (u64, u64);
} }
