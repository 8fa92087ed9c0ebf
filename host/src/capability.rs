//! What a guest can call: one room for each WIT interface, under the same name, and what they share of one run.
//! Knows nothing of schedules, of sinks, or of where a component came from.

use wasmtime::component::{HasData, Linker};

pub use crate::capability::accounting::{Accounting, Growth, HostMemoryExceeded};
pub use crate::capability::context::Context;
pub use crate::capability::probe_context::{Policy, ProbeContext, Refusals};
use crate::capability::record_replay::Intercepted;
pub use crate::capability::run_handles::RunHandles;
pub use crate::capability::shared_state::SharedState;
pub use crate::capability::text::truncate;

mod accounting;
mod address_filter;
pub mod bindings;
mod context;
pub mod evidence;
pub mod grant;
mod host_lookup;
pub mod http;
mod log;
pub mod log_buffer;
pub mod memory_budget;
mod net_errors;
mod probe_context;
pub mod quota;
pub mod record_replay;
mod run_handles;
mod shared_state;
mod span;
pub mod ssh;
mod text;
mod timeout;
pub mod wasi;

/// Makes every capability known to `linker`. A component gets those that it imports.
///
/// # Errors
/// When one is known already, which would be a mistake of ours.
pub fn link(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    bindings::Probe::add_to_linker::<_, GuestCalls>(linker, |context| Intercepted(context))?;
    wasi::link(linker)?;
    record_replay::link::<GuestCalls>(linker)
}

/// A guest's calls come by way of the tape of its run.
struct GuestCalls;

impl HasData for GuestCalls {
    type Data<'a> = Intercepted<'a>;
}
