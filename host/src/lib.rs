//! SentryNet: a host for synthetic probes. Each probe is a WebAssembly component, each run a trace.
//!
//! Dependencies run downward, from the first of these rooms to the last.

pub mod capability;
pub mod config;
pub mod propagation;
pub mod run;
pub mod sandbox;
pub mod schedule;
pub mod sink;
pub mod trace;
