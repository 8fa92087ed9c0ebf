//! SentryNet: a host for synthetic probes. Each probe is a WebAssembly component, each run a trace.
//!
//! Dependencies run downward, from the first of these rooms to the last.

pub mod schedule;
pub mod lanes;
pub mod sandbox;
pub mod sink;
mod vantage;
pub mod capability;
pub mod propagation;
pub mod config;
pub mod schema;
pub mod secret;
pub mod recording;
pub mod run;
pub mod trace;
mod date;
