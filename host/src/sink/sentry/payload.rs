//! The payloads of envelope items, in Sentry's protocol. They do not use the structs of the `sentry` crate, which lack
//! `transaction_info` and a span's `origin`. This module does no I/O.

pub use self::check_in::CheckInPayload;
pub use self::event::{write_event, write_warning_event};
pub use self::host_event::{HostEvent, write_host_event};
pub use self::limits::{DETAIL_LEVELS, DetailLevel};
pub use self::transaction::write_transaction;

mod breadcrumbs;
mod check_in;
mod common;
mod event;
mod evidence;
mod exception;
mod host_event;
mod limits;
mod span;
mod tags;
mod transaction;
