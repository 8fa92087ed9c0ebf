//! SentryNet: a host for synthetic probes. Each probe is a WebAssembly component, each run a trace.
//!
//! Dependencies run downward, from the first of these rooms to the last.

pub mod schedule;
pub mod workers;
pub mod sandbox;
pub mod sink;
pub mod assessment;
pub mod capability;
pub mod propagation;
pub mod config;
pub mod schema;
pub mod redaction;
pub mod recording;
pub mod run;
pub mod trace;
mod time_format;
