//! Compiles, links and describes each component once.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::Store;
use wasmtime::component::Linker;

use crate::capability::bindings::Probe as Bindings;
use crate::capability::bindings::exports::sentrynet::probe::prober;
use crate::capability::{Context, ProbeContext, truncate};
use crate::config::Module;
use crate::file_version::FileVersion;
use crate::sandbox::backtrace::format_fault;
use crate::sandbox::component::{self, Compiled, ComponentCompiler, ComponentError, Facts};
use crate::sandbox::description::{Description, parse_schema};
use crate::sandbox::executor::GuestExecutor;
use crate::sandbox::instance::{LoadCall, call_once};
use crate::sandbox::loaded_component::{ComponentHost, LoadedComponent};
use crate::schema::Schema;

/// The greatest length of a component's name or version, in bytes.
const MAX_NAME_BYTES: usize = 100;
/// The greatest length of a component's summary, in bytes.
const MAX_SUMMARY_BYTES: usize = 1000;

/// The components that have been loaded, and the errors of those that could not be loaded.
pub struct ComponentCache {
    compiler: Arc<ComponentCompiler>,
    linker: Linker<Context>,
    host: ComponentHost,
    /// The components that were started to compile, and that no probe waits for yet.
    compiling: Mutex<HashMap<Module, (FileVersion, Compiling)>>,
    entries: Mutex<HashMap<Module, Arc<Entry>>>,
}

/// A component that is being compiled.
type Compiling = AbortOnDropHandle<Result<Compiled, ComponentError>>;

/// The result of loading a component. `None` until it has been loaded; locked while it is being loaded.
type Entry = tokio::sync::Mutex<Option<Result<DescribedComponent, ComponentError>>>;

/// A component that has been loaded and has described itself.
#[derive(Clone)]
pub struct DescribedComponent {
    /// The component.
    pub component: Arc<LoadedComponent>,
    /// The component's metadata.
    pub description: Arc<Description>,
    /// The compiled schema of [`Description::schema`].
    pub schema: Arc<Schema>,
    /// The component's file.
    pub file: Arc<ComponentFile>,
}

/// A component's file: its size, and facts that its compiled code does not contain.
pub struct ComponentFile {
    /// The size in bytes.
    pub size_bytes: u64,
    /// The facts that the compiler has read from the file.
    pub facts: Facts,
}

/// Calls a component's `describe`.
struct Describe;

impl LoadCall for Describe {
    type Output = prober::Description;

    async fn call(&self, guest: &Bindings, store: &mut Store<Context>) -> wasmtime::Result<prober::Description> {
        guest.sentrynet_probe_prober().call_describe(store).await
    }
}

impl ComponentCache {
    /// Creates an empty cache. Components are compiled by `compiler` and linked by `linker`, for the same engine.
    pub fn new(compiler: ComponentCompiler, linker: Linker<Context>, host: ComponentHost) -> Self {
        Self { compiler: Arc::new(compiler), linker, host, compiling: Mutex::default(), entries: Mutex::default() }
    }

    /// Returns the threads for guests with long computations.
    pub fn executor(&self) -> &Arc<GuestExecutor> {
        &self.host.executor
    }

    /// Starts to compile the components of modules at the same time, so that loading one does not wait for those before
    /// to be compiled.
    pub fn start_compiling<'a>(&self, modules: impl Iterator<Item = &'a Module>) {
        let mut compiling = self.compiling.lock();
        // A component that is loaded is not compiled again, and nobody would wait for it.
        let new = modules.filter(|module| !self.entries.lock().contains_key(*module));
        for module in new {
            compiling.entry(module.clone()).or_insert_with(|| compile(&self.compiler, module));
        }
    }

    /// Returns the component of a module. The first call for a module compiles and links the component, and calls its
    /// `describe` with `context`. Other calls for the module wait until the first one is done.
    ///
    /// # Errors
    /// Returns a [`ComponentError`] if the component cannot be used as a probe. Later calls for the module return the
    /// same error, until it is [forgotten](Self::forget_error).
    pub async fn load(
        &self,
        module: &Module,
        context: &Arc<ProbeContext>,
    ) -> Result<DescribedComponent, ComponentError> {
        let entry = Arc::clone(self.entries.lock().entry(module.clone()).or_default());
        let mut loaded = entry.lock().await;
        match &*loaded {
            Some(known) => known.clone(),
            None => loaded.insert(self.load_new(module, context).await).clone(),
        }
    }

    /// Forgets the component of a module if its file has changed since it was read, so that the next call loads it
    /// again. Returns the version of the file now. Probes that use the component keep it.
    pub fn forget_if_changed(&self, module: &Module) -> FileVersion {
        let version = version_of(module);
        let is_changed = |entry: &Entry| match entry.try_lock().as_deref() {
            Ok(Some(Ok(loaded))) => loaded.component.version != version,
            Ok(Some(Err(_))) => true,
            Ok(None) | Err(_) => false,
        };
        let mut entries = self.entries.lock();
        if entries.get(module).is_some_and(|entry| is_changed(entry)) {
            entries.remove(module);
        }
        version
    }

    /// Forgets all components but those of these modules. Probes that use them keep them.
    pub fn retain(&self, modules: &HashSet<Module>) {
        self.entries.lock().retain(|module, _| modules.contains(module));
    }

    /// Forgets that a component could not be loaded, so that the next call loads it again.
    pub fn forget_error(&self, module: &Module) {
        let is_error = |entry: &Entry| entry.try_lock().is_ok_and(|loaded| matches!(&*loaded, Some(Err(_))));
        let mut entries = self.entries.lock();
        if entries.get(module).is_some_and(|entry| is_error(entry)) {
            entries.remove(module);
        }
    }

    async fn load_new(
        &self,
        module: &Module,
        context: &Arc<ProbeContext>,
    ) -> Result<DescribedComponent, ComponentError> {
        let started = self.compiling.lock().remove(module);
        let (version, compiling) = started.unwrap_or_else(|| compile(&self.compiler, module));
        let compiled = finish_compiling(module, compiling).await?;
        let component = Arc::new(LoadedComponent {
            pre: component::link(&self.linker, &compiled)?,
            sha256: compiled.sha256.as_str().into(),
            version,
            host: self.host.clone(),
        });
        // A failure of `describe` is an error, since such a component would fail in each run too.
        let described = call_once(&component, context, Describe)
            .await
            .map_err(|fault| ComponentError::Describe(format_fault(fault)))?;
        let (value, schema) = parse_schema(&described.settings_schema)?;
        let (name, version) = (truncate(described.name, MAX_NAME_BYTES), truncate(described.version, MAX_NAME_BYTES));
        let summary = truncate(described.summary, MAX_SUMMARY_BYTES);
        tracing::debug!(%module, name, version, "loaded a component");
        let description = Arc::new(Description { name, version, summary, schema: value });
        let file = Arc::new(ComponentFile { size_bytes: compiled.size_bytes, facts: compiled.facts });
        Ok(DescribedComponent { component, description, schema: Arc::new(schema), file })
    }
}

/// Starts to compile a component. Returns the version that its file had before.
fn compile(compiler: &Arc<ComponentCompiler>, module: &Module) -> (FileVersion, Compiling) {
    let version = version_of(module);
    (version, AbortOnDropHandle::new(tokio::spawn(Arc::clone(compiler).compile(module.clone()))))
}

/// Returns the version of a component's file. All built-in components have the same.
fn version_of(module: &Module) -> FileVersion {
    FileVersion::of(module.path().unwrap_or(Path::new("")))
}

/// Waits for a compiler, and logs if it takes long.
async fn finish_compiling(module: &Module, mut compiling: Compiling) -> Result<Compiled, ComponentError> {
    const LOG_AFTER: Duration = Duration::from_secs(2);
    let compiled = match tokio::time::timeout(LOG_AFTER, &mut compiling).await {
        Ok(compiled) => compiled,
        Err(_) => {
            tracing::info!(%module, "still compiling: a large component can take a minute the first time");
            compiling.await
        }
    };
    compiled.unwrap_or_else(|error| Err(ComponentError::Panicked(error.to_string())))
}
