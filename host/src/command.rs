//! Commands with a file of their own.

pub mod inspect;
pub mod new;
pub mod schema;
pub mod test;
