//! What the interfaces of `wasi:sockets` share: how they refuse, and how they fail.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Host, HostNetwork};
use wasmtime_wasi::p2::{Network, SocketError, SocketResult};
use wasmtime_wasi::sockets::WasiSocketsView;

use crate::capability::Context;
use crate::capability::grant::Refusal;
use crate::run::Level;

impl Host for Context {
    fn convert_error_code(&mut self, error: SocketError) -> wasmtime::Result<ErrorCode> {
        error.downcast()
    }

    fn network_error_code(&mut self, error: Resource<wasmtime::Error>) -> wasmtime::Result<Option<ErrorCode>> {
        self.sockets().network_error_code(error)
    }
}

impl HostNetwork for Context {
    fn drop(&mut self, network: Resource<Network>) -> wasmtime::Result<()> {
        self.sockets().drop(network)
    }
}

impl Context {
    /// While settings are checked, nothing is sent.
    pub(super) fn may_send(&self) -> SocketResult<()> {
        if self.probe.may_send { Ok(()) } else { Err(ErrorCode::AccessDenied.into()) }
    }

    /// Refuses what the operator has not allowed.
    pub(super) fn denied<T>(&self, refusal: &Refusal) -> SocketResult<T> {
        self.probe.report_refusal(&self.run.log, refusal);
        Err(ErrorCode::AccessDenied.into())
    }

    /// Refuses what no word of the operator's allows.
    pub(super) fn shut<T>(&self, why: &str) -> SocketResult<T> {
        self.run.log.write_once(Level::Warn, why.to_owned());
        Err(ErrorCode::AccessDenied.into())
    }
}
