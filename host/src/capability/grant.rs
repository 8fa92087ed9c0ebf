//! Permissions of a probe outside of its sandbox: pure functions of its configuration, called before the host acts on a
//! guest's behalf.

mod allowed_hosts;
mod named_in_settings;
mod secret_hosts;
mod special_addresses;

pub use allowed_hosts::{Grants, List, Refusal};
pub use named_in_settings::{file_pointers, gets_trace_headers, named_hosts, trace_hosts};
pub use secret_hosts::{Secret, SecretTarget, allow_unverified_tls, any_of};
