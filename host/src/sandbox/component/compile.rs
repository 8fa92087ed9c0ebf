//! Compiles components: those of strangers in processes of their own, a few at once, and each only once as long as its
//! code is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use wasmtime::Engine;
use wasmtime::component::Component;

use super::code_store::CodeStore;
use super::compiler_process::{self, Failure};
use super::error::{LoadError, one_line};
use super::limits::{FIRST_CPU_SECONDS, MAX_CPU_SECONDS, real_time, share};
use super::precompile::{CompileError, precompile};
use super::precompiled::{Facts, Precompiled};
use super::read::Source;
use crate::config::Module;
use crate::sandbox::system_limits;

/// The process in which third-party components are compiled. Built-in probes are always compiled in this process.
#[derive(Debug, Clone, Default)]
pub enum Compiler {
    /// In this process. The structure of a component is bounded, but a hostile one can still take minutes of CPU time, and
    /// gigabytes of memory: only for programs that load components which they trust.
    #[default]
    ThisProcess,
    /// In a process of this program, with limits on its CPU time and memory. The program must call
    /// [`compile_main`](crate::sandbox::compile_main) if its first argument is
    /// [`COMPILE_COMMAND`](crate::sandbox::COMPILE_COMMAND).
    Program(PathBuf),
}

impl Compiler {
    /// Returns the running program as compiler, also if its file has been replaced since it was started.
    ///
    /// # Errors
    /// Returns an error if the path of the running program is unknown.
    pub fn this_program() -> std::io::Result<Self> {
        let running = Path::new("/proc/self/exe");
        if running.exists() {
            Ok(Self::Program(running.to_owned()))
        } else {
            std::env::current_exe().map(Self::Program)
        }
    }
}

/// A compiled component.
pub struct Compiled {
    /// The component.
    pub component: Component,
    /// The name of the module for messages.
    pub name: String,
    /// The SHA-256 of the file, in hexadecimal digits.
    pub sha256: String,
    /// The size of the file in bytes.
    pub size_bytes: u64,
    /// Facts about the file.
    pub facts: Facts,
}

/// Compiles components for one engine.
pub struct ComponentCompiler {
    engine: Engine,
    compiler: Compiler,
    store: Option<CodeStore>,
    processes: Semaphore,
    /// The memory of one process in bytes.
    process_memory: u64,
}

impl ComponentCompiler {
    /// Creates a compiler for an engine, and opens the store of compiled code.
    pub fn new(engine: Engine, compiler: Compiler) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let store = CodeStore::open_default(&engine);
        let (processes, process_memory) = share(processors, system_limits::usable_memory());
        Self { engine, compiler, store, processes: Semaphore::new(processes), process_memory }
    }

    /// Compiles a component, or takes its code from the store. A core module is converted to a component first.
    ///
    /// # Errors
    /// - Returns the errors of [`Source::open`].
    /// - [`LoadError::NotWasm`], [`LoadError::Untyped`], [`LoadError::Unfit`], [`LoadError::TooComplex`] or
    ///   [`LoadError::Invalid`] if the file is not a valid component, and not a core module that can be converted to one.
    /// - [`LoadError::CompileLimit`] if compiling takes too much.
    /// - [`LoadError::Compiler`] or [`LoadError::Panicked`] if the compiler does not work.
    pub async fn compile(self: Arc<Self>, module: Module) -> Result<Compiled, LoadError> {
        let started = Instant::now();
        let (this, opened) = (Arc::clone(&self), module.clone());
        let (source, kept) = blocking(move || {
            let source = Source::open(&opened)?;
            let kept = this.store.as_ref().and_then(|store| store.load(&source.digest()));
            Ok((source, kept))
        })
        .await?;
        let (digest, sha256, size_bytes) = (source.digest(), source.sha256(), source.size());
        let is_kept = kept.is_some();
        let precompiled = match kept {
            Some(kept) => kept,
            None => self.precompile(&module, source).await?,
        };
        blocking(move || {
            let name = module.to_string();
            let facts = precompiled.facts().clone();
            if facts.has_unsafe_dwarf {
                tracing::warn!(
                    module = name,
                    "ignoring debug information (DWARF), which is damaged or takes too long to read: backtraces have no \
                     source lines"
                );
            }
            let loaded = precompiled.load(&self.engine);
            let component = loaded.map_err(|error| LoadError::Invalid { name: name.clone(), why: one_line(&error) })?;
            if let (false, Some(store)) = (is_kept, &self.store)
                && let Err(error) = store.save(&digest, &precompiled)
            {
                tracing::warn!(module = name, "cannot keep the compiled component, the next start compiles it again: {error}");
            }
            tracing::debug!(module = name, is_kept, "compiled, or taken from the store, in {:.0?}", started.elapsed());
            Ok(Compiled { component, name, sha256, size_bytes, facts })
        })
        .await
    }

    async fn precompile(self: &Arc<Self>, module: &Module, mut source: Source) -> Result<Precompiled, LoadError> {
        match (&self.compiler, module) {
            (Compiler::ThisProcess, _) | (_, Module::BuiltIn(_)) => {
                let (engine, module) = (self.engine.clone(), module.clone());
                blocking(move || {
                    let file = source.read().map_err(|error| load_error(&module, Failure::Unreadable(error), 0))?;
                    precompile(&engine, &file).map_err(|error| load_error(&module, Failure::Refused(error), 0))
                })
                .await
            }
            (Compiler::Program(program), _) => {
                let compiled = self.precompile_by(program, source).await;
                compiled.map_err(|failure| load_error(module, failure, self.process_memory))
            }
        }
    }

    /// Compiles a component in a process. One that takes long waits until others have had their turn, and starts again.
    async fn precompile_by(&self, program: &Path, source: Source) -> Result<Precompiled, Failure> {
        let source = Arc::new(Mutex::new(source));
        let compile = async |cpu_seconds| {
            // The component that has waited longest is next. The semaphore is never closed.
            let _permit = self.processes.acquire().await;
            compiler_process::compile(program, &source, cpu_seconds, self.process_memory).await
        };
        match compile(FIRST_CPU_SECONDS).await {
            Err(Failure::CpuTime | Failure::RealTime) => compile(MAX_CPU_SECONDS).await,
            result => result,
        }
    }
}

/// Runs a function on a thread for blocking work.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LoadError> + Send + 'static,
) -> Result<T, LoadError> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(LoadError::Panicked(error.to_string())))
}

/// Returns the error of a module. `memory_bytes` was the limit on memory, if there was one.
fn load_error(module: &Module, failure: Failure, memory_bytes: u64) -> LoadError {
    let name = module.to_string();
    let limit = match failure {
        Failure::Refused(error) => match error {
            CompileError::NotWasm => return LoadError::NotWasm(name),
            CompileError::TooComplex(why) => return LoadError::TooComplex { name, why },
            CompileError::Untyped => return LoadError::Untyped(name),
            CompileError::Unfit(why) => return LoadError::Unfit { name, why },
            CompileError::Invalid(why) => return LoadError::Invalid { name, why },
            CompileError::OutOfMemory => "the memory that is left".to_owned(),
        },
        Failure::Crashed(why) => return LoadError::Panicked(why),
        Failure::Unreadable(error) => {
            let path = match module {
                Module::File { path, .. } => path.clone(),
                Module::BuiltIn(name) => PathBuf::from(name),
            };
            return LoadError::Unreadable { path, why: error.to_string() };
        }
        Failure::NotStarted(error) => return LoadError::Compiler { name, why: error.to_string() },
        Failure::CpuTime => format!("{MAX_CPU_SECONDS} s of CPU time"),
        Failure::Memory => format!("{} MiB of memory, or than the machine has left", memory_bytes >> 20),
        Failure::RealTime => format!("{} s, in which it had too little CPU time", real_time(MAX_CPU_SECONDS).as_secs()),
        Failure::Output(max) => format!("{} MiB of native code", max >> 20),
    };
    LoadError::CompileLimit { name, limit }
}
