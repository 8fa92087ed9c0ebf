//! The state of WASI during one attempt.

use std::collections::HashSet;

use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::WasiHttpCtx;

use crate::capability::wasi::http::OutgoingHandler;
use crate::capability::wasi::resolved_names::ResolvedNames;

/// The state of WASI during one attempt, made at the first call that needs it.
pub struct Wasi {
    /// The standard streams, the environment, the clocks and the random numbers.
    pub ctx: WasiCtx,
    /// wasmtime's state of `wasi:http`.
    pub http: WasiHttpCtx,
    /// Sends the requests of `wasi:http`.
    pub outgoing_handler: OutgoingHandler,
    /// The names that the attempt has resolved.
    pub resolved_names: ResolvedNames,
    /// Handles to the guest's own standard streams and to their pollables. Calls about these handles alone are not
    /// recorded.
    pub own_handles: HashSet<u32>,
}
