//! WASI: what an ordinary toolchain's standard library imports. Clocks and random numbers are this machine's, standard
//! output and error go to the run's log, the environment is what the operator allows, and there are no files. Each
//! interface that leads to the network has a room here; all that goes on in them is in the run's trace.

use std::collections::HashSet;
use std::sync::Arc;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime_wasi::{I32Exit, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::capability::Context;
use crate::capability::http::StreamingClient;
use crate::capability::wasi::http::Outgoing;
use crate::capability::wasi::resolved_names::ResolvedNames;
use crate::capability::wasi::stdio::LogStream;
use crate::run::Level;

mod connection;
mod http;
mod evidence;
mod ip_name_lookup;
mod network;
mod resolved_names;
mod socket_options;
mod span;
mod state;
mod stdio;
mod tcp_socket;
mod tcp_streams;

pub use state::Wasi;

/// Makes WASI known to `linker`: its own sockets, which lead nowhere, give way to ours on the tape.
///
/// # Errors
/// When some of it is known already, which would be a mistake of ours.
pub fn link(linker: &mut Linker<Context>) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)
}

/// The status that a guest has ended itself with.
pub fn exit_status(error: &wasmtime::Error) -> Option<i32> {
    error.downcast_ref::<I32Exit>().map(|exit| exit.0)
}

impl Context {
    pub(in crate::capability) fn wasi(&mut self) -> (&mut Wasi, &mut ResourceTable) {
        if self.wasi.is_none() {
            let stream = |level| LogStream { run: self.run.clone(), level, probe: Arc::clone(&self.probe) };
            let environment: Vec<_> = self.probe.policy.variables().collect();
            let mut builder = WasiCtxBuilder::new();
            builder.stdout(stream(Level::Info)).stderr(stream(Level::Warn)).envs(&environment);
            self.wasi = Some(Wasi {
                ctx: builder.build(),
                http: WasiHttpCtx::new(),
                outgoing: Outgoing::new(self.streaming_client()),
                names: ResolvedNames::default(),
                own_handles: HashSet::new(),
            });
        }
        (self.wasi.as_mut().expect("it has just been made"), &mut self.table)
    }
}

impl Context {
    fn streaming_client(&self) -> StreamingClient {
        StreamingClient { context: self.exchange_context(), deadline: self.deadline, exchanges: self.exchanges.clone() }
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
        let (Wasi { http, outgoing, .. }, table) = self.wasi();
        WasiHttpCtxView { hooks: outgoing, table, ctx: http }
    }
}
