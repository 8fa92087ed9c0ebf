//! Compiles components on this machine: third-party ones in processes of their own, and each only once as long as its
//! code is kept. What cannot be compiled is remembered too.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use ring::digest::SHA256_OUTPUT_LEN;
use wasmtime::Engine;

use super::blocking::blocking;
use super::code_source::Compiler;
use super::code_store::CodeStore;
use super::compiler_limits::{ATTEMPTS, MAX_CPU_TIME, real_time};
use super::compiler_process::Failure;
use super::compiler_processes::CompilerProcesses;
use super::error::{ComponentError, one_line};
use super::known_failure::KnownFailure;
use super::native::{Native, Origin};
use super::precompile::{CompileError, precompile};
use super::precompiled::Precompiled;
use super::read::Source;
use crate::config::Module;
use crate::sandbox::engine::Cpu;
use crate::threads::ensure_available;

/// The maximal number of failures that are kept in memory. Further ones are kept in the store alone.
const MAX_FAILURES_IN_MEMORY: usize = 10_000;

/// Compiles components for one engine, and keeps the results.
pub struct LocalCompiler {
    engine: Engine,
    /// `None` if third-party components are compiled in this process.
    processes: Option<CompilerProcesses>,
    store: Option<CodeStore>,
    /// Failures of this process, by the digests of the files: for a host without a store.
    failures: Mutex<HashMap<[u8; SHA256_OUTPUT_LEN], KnownFailure>>,
}

impl LocalCompiler {
    /// Creates a compiler for an engine, and opens the store of compiled code.
    pub fn new(engine: Engine, compiler: Compiler) -> Self {
        let processes = match compiler {
            Compiler::Program(program) => Some(CompilerProcesses::new(program, Cpu::Native)),
            Compiler::ThisProcess | Compiler::Unavailable => None,
        };
        let store = CodeStore::open_default(&engine);
        Self { engine, processes, store, failures: Mutex::default() }
    }

    /// Loads a component with code from the store, or compiles it, and keeps its code.
    ///
    /// # Errors
    /// - [`ComponentError::NotWasm`], [`ComponentError::Untyped`], [`ComponentError::Unfit`],
    ///   [`ComponentError::TooComplex`] or [`ComponentError::Invalid`] if the file is not a valid component, and not a
    ///   core module that can be converted to one.
    /// - [`ComponentError::CompileLimit`] if compiling takes too much.
    /// - [`ComponentError::Compiler`] or [`ComponentError::Panicked`] if the compiler does not work.
    pub async fn load(self: &Arc<Self>, module: &Module, source: Source) -> Result<Native, ComponentError> {
        let digest = source.digest();
        let this = Arc::clone(self);
        let kept = blocking(move || Ok(this.store.as_ref().and_then(|store| store.load(&digest)))).await?;
        let (code, origin) = match kept {
            Some(kept) => (kept, Origin::Store),
            None => (self.compile(module, source).await?, Origin::Compiler),
        };
        let (this, name) = (Arc::clone(self), module.to_string());
        blocking(move || {
            let native = Native::load(&this.engine, &code, origin);
            let native =
                native.map_err(|error| ComponentError::Invalid { name: name.clone(), why: one_line(&error) })?;
            if let (Origin::Compiler, Some(store)) = (origin, &this.store)
                && let Err(error) = store.save(&digest, &code)
            {
                tracing::warn!(
                    module = name,
                    "cannot keep the compiled component, the next start compiles it again: {error}"
                );
            }
            Ok(native)
        })
        .await
    }

    async fn compile(self: &Arc<Self>, module: &Module, mut source: Source) -> Result<Precompiled, ComponentError> {
        match (&self.processes, module) {
            (Some(processes), Module::File { .. }) => {
                let compiled = self.compile_by(processes, module, source).await;
                compiled.map_err(|failure| load_error(module, failure, processes.memory_bytes()))
            }
            (None, _) | (_, Module::BuiltIn(_)) => {
                let (engine, module) = (self.engine.clone(), module.clone());
                blocking(move || {
                    let file = source.read().map_err(|error| load_error(&module, Failure::Unreadable(error), 0))?;
                    // rayon panics if one of its threads is refused.
                    let threads = std::thread::available_parallelism().map_or(1, usize::from);
                    ensure_available(threads).map_err(|error| ComponentError::Thread(error.to_string()))?;
                    precompile(&engine, &file).map_err(|error| load_error(&module, Failure::Refused(error), 0))
                })
                .await
            }
        }
    }

    /// Compiles a component in processes: in one with little CPU time, and if that does not suffice, in others with
    /// more, after the first attempts for all others. Returns the known failure instead if another attempt would end
    /// with it.
    async fn compile_by(
        self: &Arc<Self>,
        processes: &CompilerProcesses,
        module: &Module,
        source: Source,
    ) -> Result<Precompiled, Failure> {
        let (digest, file_bytes) = (source.digest(), source.size());
        let known = self.known_failure(digest).await;
        if let Some(failure) = known.as_ref().and_then(KnownFailure::repeated) {
            let file = self.store.as_ref().map(|store| store.failure_file(&digest));
            let file = file.map(|file| file.display().to_string()).unwrap_or_default();
            tracing::info!(%module, file, "not compiled again for a day, because it failed; removing `file` ends that");
            return Err(failure);
        }
        let mut attempt = known.as_ref().map_or(0, KnownFailure::next_attempt);
        let source = Arc::new(Mutex::new(source));
        loop {
            let cpu_seconds = CompilerProcesses::cpu_time(attempt, file_bytes).as_secs_f64();
            tracing::debug!(%module, attempt, cpu_seconds, "waits for its turn to be compiled");
            let result = processes.attempt(attempt, &source).await;
            let Err(failure) = result else { return result };
            if let Some(known) = KnownFailure::new(&failure, attempt) {
                self.remember(digest, known).await;
            }
            attempt += 1;
            if attempt == ATTEMPTS || !matches!(failure, Failure::CpuTime | Failure::RealTime) {
                return Err(failure);
            }
        }
    }

    async fn known_failure(self: &Arc<Self>, digest: [u8; SHA256_OUTPUT_LEN]) -> Option<KnownFailure> {
        let known = self.failures.lock().get(&digest).cloned();
        if known.is_some() {
            return known;
        }
        let this = Arc::clone(self);
        blocking(move || Ok(this.store.as_ref().and_then(|store| store.load_failure(&digest)))).await.ok()?
    }

    async fn remember(self: &Arc<Self>, digest: [u8; SHA256_OUTPUT_LEN], failure: KnownFailure) {
        {
            let mut failures = self.failures.lock();
            if failures.len() < MAX_FAILURES_IN_MEMORY || failures.contains_key(&digest) {
                failures.insert(digest, failure.clone());
            }
        }
        let this = Arc::clone(self);
        let saved = blocking(move || {
            if let Some(store) = &this.store
                && let Err(error) = store.save_failure(&digest, &failure)
            {
                tracing::warn!("cannot keep the failure to compile a component: {error}");
            }
            Ok(())
        });
        // A panic is in the log.
        _ = saved.await;
    }
}

/// Returns the error of a module. `memory_bytes` was the limit on memory, if there was one.
pub fn load_error(module: &Module, failure: Failure, memory_bytes: u64) -> ComponentError {
    let name = module.to_string();
    let limit = match failure {
        Failure::Refused(error) => match error {
            CompileError::NotWasm => return ComponentError::NotWasm(name),
            CompileError::TooComplex(why) => return ComponentError::TooComplex { name, why },
            CompileError::Untyped => return ComponentError::Untyped(name),
            CompileError::Unfit(why) => return ComponentError::Unfit { name, why },
            CompileError::Invalid(why) if why.contains("component model async") => {
                let advice = "it uses asynchronous functions, as components for WASI 0.3 do: build it for WASI 0.2 \
                              (Rust: `wasm32-wasip2`)";
                return ComponentError::Invalid { name, why: format!("{advice}; {why}") };
            }
            CompileError::Invalid(why) => return ComponentError::Invalid { name, why },
            CompileError::OutOfMemory => "the memory that is left".to_owned(),
        },
        Failure::Crashed(why) => return ComponentError::Panicked(why),
        Failure::Unreadable(error) => {
            let path = match module {
                Module::File { path, .. } => path.clone(),
                Module::BuiltIn(name) => PathBuf::from(name),
            };
            return ComponentError::Unreadable { path, why: error.to_string() };
        }
        Failure::NotStarted(error) => return ComponentError::Compiler { name, why: error.to_string() },
        Failure::CpuTime => format!("{} s of CPU time", MAX_CPU_TIME.as_secs()),
        Failure::Memory => format!("{} MiB of memory, or than the machine has left", memory_bytes >> 20),
        Failure::RealTime => format!("{} s, in which it had too little CPU time", real_time(MAX_CPU_TIME).as_secs()),
        Failure::Output(max) => format!("{} MiB of native code", max >> 20),
    };
    ComponentError::CompileLimit { name, limit }
}
