//! The places that the native code of components comes from: a directory of code that was compiled before, and a
//! compiler.

#[cfg(feature = "compiler")]
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::compiled_directory::CompiledDirectory;

/// The compiler of third-party components. With the feature `compiler`, built-in probes are compiled in this process.
#[derive(Debug, Clone, Default)]
pub enum Compiler {
    /// Components are compiled in this process. The structure of a component and the size of the result are bounded,
    /// but not the CPU time and memory of the compiler. A hostile component can take minutes of CPU time on all
    /// processors, and gigabytes of memory, and if the system kills the process for it, all probes end. This is only
    /// for programs that load components which they trust; all others use [`Compiler::Program`].
    #[cfg(feature = "compiler")]
    #[default]
    ThisProcess,
    /// Components are compiled in processes of this program, with limits on CPU time and memory. The program must call
    /// [`compile_main`](crate::sandbox::compile_main) if its first argument is
    /// [`COMPILE_COMMAND`](crate::sandbox::COMPILE_COMMAND).
    #[cfg(feature = "compiler")]
    Program(PathBuf),
    /// There is no compiler: a component is loaded only if the directory of [`CodeSource::with_directory`] has its
    /// code.
    #[cfg_attr(not(feature = "compiler"), default)]
    Unavailable,
}

impl Compiler {
    /// Returns the running program as compiler, also if its file has been replaced since it was started. Returns
    /// [`Compiler::Unavailable`] if the library was built without the feature `compiler`.
    ///
    /// # Errors
    /// Returns an error if the path of the running program is unknown.
    #[cfg(feature = "compiler")]
    pub fn this_program() -> std::io::Result<Self> {
        let running = Path::new("/proc/self/exe");
        if running.exists() {
            Ok(Self::Program(running.to_owned()))
        } else {
            std::env::current_exe().map(Self::Program)
        }
    }

    /// Returns [`Compiler::Unavailable`], since the library was built without the feature `compiler`.
    ///
    /// # Errors
    /// Returns no error.
    #[cfg(not(feature = "compiler"))]
    pub fn this_program() -> std::io::Result<Self> {
        Ok(Self::Unavailable)
    }
}

/// The places that the native code of components comes from: a directory, if one is given, and then a compiler. A
/// [`Compiler`] converts to a source without a directory.
#[derive(Debug, Clone, Default)]
pub struct CodeSource {
    /// The compiler of components whose code is not in the directory.
    pub compiler: Compiler,
    /// Code that was compiled before.
    pub directory: Option<Arc<CompiledDirectory>>,
}

impl CodeSource {
    /// Returns this source with a directory of code, in which components are looked up before they are compiled.
    #[must_use]
    pub fn with_directory(self, directory: CompiledDirectory) -> Self {
        Self { directory: Some(Arc::new(directory)), ..self }
    }
}

impl From<Compiler> for CodeSource {
    fn from(compiler: Compiler) -> Self {
        Self { compiler, directory: None }
    }
}
