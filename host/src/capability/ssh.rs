//! The interface `ssh`: connections over russh, with a span for each phase.
//!
//! The host reads private keys, passphrases and passwords itself. None of them goes to the guest.

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::ssh::Host;

mod algorithms;
mod auth;
mod client;
mod client_handler;
mod connect;
mod connection;
mod credential;
mod error;
mod evidence;
mod exec;
#[cfg(fuzzing)]
pub mod fuzzing;
mod handshake;
mod instrumented_stream;
mod known_hosts;
mod output;
mod session;
mod span;
mod target;
mod text;
mod time_budget;
mod trust;

pub use client::Client;
pub use session::Session;
pub use trust::AcceptedHosts;

impl Host for Context {}
