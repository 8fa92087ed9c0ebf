//! State of WASI during one attempt.

use std::collections::HashSet;

use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::WasiHttpCtx;

use crate::capability::wasi::http::Outgoing;
use crate::capability::wasi::resolved_names::ResolvedNames;

/// State of WASI during one attempt, made at the first call that needs it.
pub struct Wasi {
    pub ctx: WasiCtx,
    pub http: WasiHttpCtx,
    pub outgoing: Outgoing,
    pub names: ResolvedNames,
    /// Handles to the guest's own standard streams, whose calls are not recorded.
    pub own_handles: HashSet<u32>,
}
