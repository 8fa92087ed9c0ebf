//! What a probe may do beyond its sandbox: pure functions of its configuration, asked before anything is touched.

mod special_addresses;
mod allowed_hosts;
mod declared;

pub use allowed_hosts::{Grants, List, Refusal};
pub use declared::{may_tell, named_at, told};
