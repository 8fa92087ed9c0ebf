//! The functions that a guest can call: one module for each WIT interface, under the interface's name, and what they
//! share.
//!
//! A call runs on a [`Context`], which is made for each attempt of a run. Calls pass through [`record_replay`] on their
//! way, which records them or replays them. [`grant`] decides what a probe may do; [`quota`], [`memory_budget`] and
//! [`connection_budget`] how much. This module depends neither on schedules or sinks, nor on the origin of a component.

use wasmtime::component::{HasData, Linker};

pub use crate::capability::accounting::{Accounting, Growth};
pub use crate::capability::context::Context;
pub use crate::capability::probe_context::{Policy, ProbeContext, Refusals};
use crate::capability::record_replay::Intercepted;
pub use crate::capability::run_handles::RunHandles;
pub use crate::capability::shared_state::SharedState;
pub use crate::capability::text::truncate;

mod accounting;
mod address_filter;
pub mod bindings;
pub mod blocking_pool;
pub mod connection_budget;
mod context;
pub mod cpu_clock;
pub mod evidence;
pub mod file_calls;
pub mod grant;
pub mod guest_failure;
mod happy_eyeballs;
pub mod host_lookup;
pub mod http;
mod log;
pub mod log_buffer;
pub mod memory_budget;
mod net_errors;
pub mod opening_limit;
pub mod operator_warnings;
mod probe_context;
pub mod quota;
pub mod record_replay;
pub mod regular_file;
mod run_handles;
mod shared_state;
mod shortage;
mod span;
mod span_ops;
pub mod ssh;
mod text;
mod timeout;
mod warning;
pub mod wasi;

/// Adds all capabilities to `linker`. A component gets those that it imports.
///
/// # Errors
/// When the linker has one of them already, which is a bug.
pub fn link(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    bindings::Probe::add_to_linker::<_, InterceptedCalls>(linker, |context| Intercepted(context))?;
    wasi::link(linker)?;
    record_replay::link::<InterceptedCalls>(linker)
}

/// The data of the linker by which a guest's calls pass through [`record_replay`].
struct InterceptedCalls;

impl HasData for InterceptedCalls {
    type Data<'a> = Intercepted<'a>;
}
