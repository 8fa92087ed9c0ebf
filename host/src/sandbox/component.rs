//! Components: opens them, loads their code, and links them with their imports. The code comes from a directory that
//! `sentrynet compile` has written, from the store of what this host has compiled, or from the compiler, which runs in
//! a process with limits.

mod blocking;
mod code_source;
mod compile;
mod compiled_directory;
mod compiled_file;
mod error;
mod link;
mod native;
mod precompiled;
mod read;

// The compiler.
#[cfg(feature = "compiler")]
mod structure_bounds;
#[cfg(feature = "compiler")]
mod code_store;
#[cfg(feature = "compiler")]
mod compiler_main;
#[cfg(feature = "compiler")]
mod compiler_process;
#[cfg(feature = "compiler")]
mod compiler_processes;
#[cfg(feature = "compiler")]
mod componentize;
#[cfg(feature = "compiler")]
mod dwarf;
#[cfg(feature = "compiler")]
mod export;
#[cfg(feature = "compiler")]
mod known_failure;
#[cfg(all(fuzzing, feature = "compiler"))]
pub mod fuzzing;
#[cfg(feature = "compiler")]
mod compiler_limits;
#[cfg(feature = "compiler")]
mod local_compiler;
#[cfg(feature = "compiler")]
mod compiler_output;
#[cfg(feature = "compiler")]
mod precompile;
#[cfg(feature = "compiler")]
mod producers;
#[cfg(feature = "compiler")]
mod compile_queue;

pub use code_source::{CodeSource, Compiler};
pub use compile::{Compiled, ComponentCompiler};
pub use compiled_directory::CompiledDirectory;
#[cfg(feature = "compiler")]
pub use compiler_main::compile_main;
#[cfg(feature = "compiler")]
pub use compiler_process::COMPILE_COMMAND;
pub use error::ComponentError;
#[cfg(feature = "compiler")]
pub use export::{CodeExporter, ExportedCode};
pub use link::{contract, imports, link};
pub use precompiled::Facts;
