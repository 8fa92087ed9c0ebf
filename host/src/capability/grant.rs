//! What a probe may do beyond its sandbox: pure functions of its configuration, asked before anything is touched.

mod address;
mod reach;
mod settings;

pub use reach::{Grants, List, Refusal};
pub use settings::{may_tell, named_at, told};
