//! The interface `network`: error codes, and refusals of the socket interfaces.

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
    /// Fails with `access-denied` while settings are checked, when no traffic may leave the host.
    pub(super) fn check_may_send(&self) -> SocketResult<()> {
        if self.probe.may_send { Ok(()) } else { Err(ErrorCode::AccessDenied.into()) }
    }

    /// Reports a refusal by the operator's grants, and fails with `access-denied`.
    pub(super) fn deny<T>(&self, refusal: &Refusal) -> SocketResult<T> {
        self.probe.report_refusal(&self.run.log, refusal);
        Err(ErrorCode::AccessDenied.into())
    }

    /// Warns in the run's log about a call that no probe may make, and fails with `access-denied`.
    pub(super) fn deny_to_all<T>(&self, message: &str) -> SocketResult<T> {
        self.run.log.write_once(Level::Warn, message.to_owned());
        Err(ErrorCode::AccessDenied.into())
    }
}
