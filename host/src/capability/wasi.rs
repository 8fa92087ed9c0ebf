//! WASI: the interfaces that the standard library of an ordinary toolchain imports.
//!
//! Clocks and random numbers are those of this machine. Standard output and error go to the run's log. The environment
//! contains the variables that the operator allows, and there are no files. The interfaces that give access to the
//! network are implemented here, one module each, and all their traffic is in the run's trace.

use std::collections::HashSet;
use std::sync::Arc;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView};
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, terminal_input, terminal_output, terminal_stderr, terminal_stdin, terminal_stdout,
};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};
use wasmtime_wasi::p2::bindings::sockets::udp;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::capability::Context;
use crate::capability::http::StreamingClient;
use crate::capability::wasi::http::OutgoingHandler;
use crate::capability::wasi::resolved_names::ResolvedNames;
use crate::capability::wasi::stdio::LogStream;
use crate::run::Level;

mod connection;
mod evidence;
mod http;
mod ip_name_lookup;
mod network;
mod resolved_names;
mod socket_options;
mod socket_state;
mod span;
mod state;
mod stdio;
mod tcp_socket;
mod tcp_streams;

pub use state::Wasi;

/// Adds to `linker` the interfaces of WASI in which the host holds nothing for a guest: their functions return copies
/// of what the operator has set, or need a handle that no function returns. Their calls are neither counted nor
/// recorded. `record_replay::link` adds all other interfaces.
///
/// # Errors
/// When the linker has an item of WASI already, which is a bug.
pub fn link(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    environment::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    exit::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    // There is no terminal.
    terminal_input::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    terminal_output::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    terminal_stdin::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    terminal_stdout::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    terminal_stderr::add_to_linker::<_, WasiCli>(linker, Context::cli)?;
    // There are no directories.
    preopens::add_to_linker::<_, WasiFilesystem>(linker, Context::filesystem)?;
    types::add_to_linker::<_, WasiFilesystem>(linker, Context::filesystem)?;
    // No UDP socket is created.
    udp::add_to_linker::<_, WasiSockets>(linker, Context::sockets)
}

/// Returns the status with which a guest has exited, if the error is an exit.
pub fn exit_status(error: &wasmtime::Error) -> Option<i32> {
    error.downcast_ref::<I32Exit>().map(|exit| exit.0)
}

impl Context {
    /// Returns the state of WASI, which the first call creates, and the table of the guest's resources.
    pub(in crate::capability) fn wasi(&mut self) -> (&mut Wasi, &mut ResourceTable) {
        /// The maximum random bytes of one call, which the host allocates before the guest gets them.
        const MAX_RANDOM_BYTES: u64 = 1 << 20;
        if self.wasi.is_none() {
            let stream = |level| LogStream { run: self.run.clone(), level, probe: Arc::clone(&self.probe) };
            let environment: Vec<_> = self.probe.policy.variables().collect();
            let mut builder = WasiCtxBuilder::new();
            builder.max_random_size(MAX_RANDOM_BYTES);
            builder.stdout(stream(Level::Info)).stderr(stream(Level::Warn)).envs(&environment);
            self.wasi = Some(Wasi {
                ctx: builder.build(),
                http: WasiHttpCtx::new(),
                outgoing_handler: OutgoingHandler::new(self.streaming_client()),
                resolved_names: ResolvedNames::default(),
                own_handles: HashSet::new(),
            });
        }
        (self.wasi.as_mut().expect("the state was created above"), &mut self.table)
    }

    fn streaming_client(&self) -> StreamingClient {
        StreamingClient {
            context: self.exchange_context(),
            deadline: self.deadline,
            exchanges: self.exchanges.clone(),
            openings: self.openings.clone(),
        }
    }
}

impl WasiView for Context {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (Wasi { ctx, .. }, table) = self.wasi();
        WasiCtxView { ctx, table }
    }
}

impl WasiHttpView for Context {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        let (Wasi { http, outgoing_handler, .. }, table) = self.wasi();
        WasiHttpCtxView { hooks: outgoing_handler, table, ctx: http }
    }
}
