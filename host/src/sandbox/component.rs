//! Components: opens them, compiles them in a process with limits or loads their code from the store of compiled code, and
//! links them with their imports.

mod bounds;
mod code_store;
mod compile;
mod compiler_main;
mod compiler_process;
mod componentize;
mod dwarf;
mod error;
mod limits;
mod link;
mod output;
mod precompile;
mod precompiled;
mod read;

pub use compile::{Compiled, Compiler, ComponentCompiler};
pub use compiler_main::compile_main;
pub use compiler_process::COMPILE_COMMAND;
pub use error::LoadError;
pub use link::{contract, imports, link};
pub use precompiled::Facts;
