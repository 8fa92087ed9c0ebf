//! A component that is ready to be instantiated.

use std::ops::Deref;
use std::sync::Arc;

use crate::capability::bindings::ProbePre;
use crate::capability::{Context, SharedState};
use crate::file_version::FileVersion;
use crate::redaction::Secrets;
use crate::sandbox::executor::GuestExecutor;
use crate::sandbox::suspension::SuspensionMonitor;

/// A compiled and linked component, and the parts of the host that calls into it need. All probes of a component share
/// this value.
pub struct LoadedComponent {
    /// The component, linked with its imports.
    pub pre: ProbePre<Context>,
    /// The SHA-256 of the component's file, in hexadecimal digits.
    pub sha256: Box<str>,
    /// The version of the component's file that was read.
    pub version: FileVersion,
    /// The parts of the host that all components share.
    pub host: ComponentHost,
}

/// The parts of the host that calls into components need. All components share them.
#[derive(Clone)]
pub struct ComponentHost {
    /// The threads for guests with long computations.
    pub executor: Arc<GuestExecutor>,
    /// The periods in which this process did not run.
    pub suspensions: Arc<SuspensionMonitor>,
    /// The secrets that are redacted from runs.
    pub secrets: Secrets,
    /// The state that the runs of all probes share.
    pub shared: Arc<SharedState>,
}

impl Deref for LoadedComponent {
    type Target = ComponentHost;

    fn deref(&self) -> &ComponentHost {
        &self.host
    }
}
