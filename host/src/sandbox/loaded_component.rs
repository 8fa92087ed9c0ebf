//! A component that is ready to be instantiated.

use std::sync::Arc;

use crate::capability::bindings::ProbePre;
use crate::capability::{Context, SharedState};
use crate::redaction::Secrets;
use crate::sandbox::executor::GuestExecutor;

/// A compiled and linked component, and the parts of the host that calls into it need. All probes of a component share
/// this value.
pub struct LoadedComponent {
    /// The component, linked with its imports.
    pub pre: ProbePre<Context>,
    /// The SHA-256 of the component's file, in hexadecimal digits.
    pub sha256: Box<str>,
    /// The threads for guests with long computations.
    pub executor: Arc<GuestExecutor>,
    /// The secrets that are redacted from runs.
    pub secrets: Secrets,
    /// The state that the runs of all probes share.
    pub shared: Arc<SharedState>,
}
