//! Components: reads them, converts core modules to components, compiles them, and links them with their imports.

mod compile;
mod componentize;
mod dwarf;
mod error;
mod link;
mod read;

pub use compile::{Compiled, compile};
pub use componentize::is_core_module;
pub use error::LoadError;
pub use link::{contract, imports, link};
pub use read::{read, sha256};
