//! SentryNet: a host for synthetic probes. Each probe is a WebAssembly component, each run a trace.
//!
//! Dependencies run downward, in the order of the rooms below.

pub mod config;
pub mod run;
pub mod sink;
pub mod trace;
