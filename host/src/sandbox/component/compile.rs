//! Makes components of modules: with code from the directory of compiled code, or else from the compiler.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::Engine;
use wasmtime::component::Component;

use super::blocking::blocking;
use super::code_source::CodeSource;
#[cfg(feature = "compiler")]
use super::code_source::Compiler;
use super::compiled_directory::CompiledDirectory;
use super::error::{ComponentError, one_line};
#[cfg(feature = "compiler")]
use super::local_compiler::LocalCompiler;
use super::native::{Native, Origin};
use super::precompiled::Facts;
use super::read::Source;
use crate::config::Module;

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

/// Makes components for one engine.
pub struct ComponentCompiler {
    engine: Engine,
    directory: Option<Arc<CompiledDirectory>>,
    #[cfg(feature = "compiler")]
    compiler: Option<Arc<LocalCompiler>>,
}

impl ComponentCompiler {
    /// Creates a compiler for an engine, and opens the store of compiled code.
    pub fn new(engine: Engine, code: CodeSource) -> Self {
        Self {
            #[cfg(feature = "compiler")]
            compiler: match code.compiler {
                Compiler::Unavailable => None,
                compiler => Some(Arc::new(LocalCompiler::new(engine.clone(), compiler))),
            },
            directory: code.directory,
            engine,
        }
    }

    /// Makes a component: takes its code from the directory of compiled code or the store, or compiles it. A core
    /// module is converted to a component first.
    ///
    /// # Errors
    /// - Returns the errors of [`Source::open`].
    /// - [`ComponentError::NotCompiled`] or [`ComponentError::UnusableCode`] if there is no compiler, and the directory
    ///   does not have the code, or only for another host.
    /// - [`ComponentError::NotWasm`], [`ComponentError::Untyped`], [`ComponentError::Unfit`],
    ///   [`ComponentError::TooComplex`] or [`ComponentError::Invalid`] if the file is not a valid component, and not a
    ///   core module that can be converted to one.
    /// - [`ComponentError::CompileLimit`] if compiling takes too much.
    /// - [`ComponentError::Compiler`] or [`ComponentError::Panicked`] if the compiler does not work.
    pub async fn compile(self: Arc<Self>, module: Module) -> Result<Compiled, ComponentError> {
        let started = Instant::now();
        let (this, opened) = (Arc::clone(&self), module.clone());
        let (source, found) = blocking(move || {
            let source = Source::open(&opened)?;
            let found = this.load_from_directory(&opened, &source)?;
            Ok((source, found))
        })
        .await?;
        let (name, sha256, size_bytes) = (module.to_string(), source.sha256(), source.size());
        let Native { component, facts, origin } = match found {
            Some(found) => found,
            None => self.load_locally(&module, source).await?,
        };
        if facts.has_unsafe_dwarf {
            tracing::warn!(
                module = name,
                "ignoring debug information (DWARF), which is damaged or takes too long to read: backtraces have no \
                 source lines"
            );
        }
        tracing::debug!(module = name, ?origin, "has the native code of a component after {:.0?}", started.elapsed());
        Ok(Compiled { component, name, sha256, size_bytes, facts })
    }

    /// Loads a component's code from the directory, if there is a directory and it has the code. Logs why if code
    /// cannot be used and there is a compiler.
    fn load_from_directory(&self, module: &Module, source: &Source) -> Result<Option<Native>, ComponentError> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let loaded = match directory.load(&source.digest()) {
            Ok(None) => return Ok(None),
            Ok(Some(code)) => Native::load(&self.engine, &code, Origin::Directory).map_err(|error| one_line(&error)),
            Err(why) => Err(why),
        };
        match loaded {
            Ok(native) => Ok(Some(native)),
            Err(why) => {
                let (name, file) = (module.to_string(), directory.file(&source.digest()));
                if !self.has_compiler() {
                    return Err(ComponentError::UnusableCode { name, file, why });
                }
                let file = file.display();
                tracing::warn!(module = name, %file, "compiling again, because the code in {file} cannot be used: {why}");
                Ok(None)
            }
        }
    }

    #[cfg(feature = "compiler")]
    fn has_compiler(&self) -> bool {
        self.compiler.is_some()
    }

    #[cfg(not(feature = "compiler"))]
    #[expect(clippy::unused_self, reason = "with the feature `compiler`, it is used")]
    fn has_compiler(&self) -> bool {
        false
    }

    /// Loads a component with code that this host has compiled, now or earlier.
    #[cfg(feature = "compiler")]
    async fn load_locally(&self, module: &Module, source: Source) -> Result<Native, ComponentError> {
        match &self.compiler {
            Some(compiler) => compiler.load(module, source).await,
            None => Err(self.not_compiled(module, &source)),
        }
    }

    #[cfg(not(feature = "compiler"))]
    #[expect(clippy::unused_async, reason = "with the feature `compiler`, it awaits")]
    async fn load_locally(&self, module: &Module, source: Source) -> Result<Native, ComponentError> {
        Err(self.not_compiled(module, &source))
    }

    fn not_compiled(&self, module: &Module, source: &Source) -> ComponentError {
        let advice = match &self.directory {
            None => "name the directory that `sentrynet compile` has written with `--compiled` or SENTRYNET_COMPILED"
                .to_owned(),
            Some(directory) => {
                let file = directory.file(&source.digest());
                format!("there is no {}; run `sentrynet compile` of this host's version for it", file.display())
            }
        };
        ComponentError::NotCompiled { name: module.to_string(), advice }
    }
}
