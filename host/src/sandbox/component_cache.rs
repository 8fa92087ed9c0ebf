//! Compiles, links and describes each component once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::capability::{Context, ProbeContext, SharedState};
use crate::config::Module;
use crate::redaction::Secrets;
use crate::sandbox::backtrace::format_fault;
use crate::sandbox::component::{self, Compiled, LoadError};
use crate::sandbox::description::{Description, parse_schema};
use crate::sandbox::executor::GuestExecutor;
use crate::sandbox::instance::call_once;
use crate::sandbox::loaded_component::LoadedComponent;
use crate::schema::Schema;

/// The components that have been loaded, and the errors of those that could not be loaded.
pub struct ComponentCache {
    engine: Engine,
    linker: Linker<Context>,
    executor: Arc<GuestExecutor>,
    secrets: Secrets,
    shared: Arc<SharedState>,
    loaded: HashMap<Module, Result<DescribedComponent, LoadError>>,
}

/// A component that has been loaded and has described itself.
#[derive(Clone)]
pub struct DescribedComponent {
    /// The component.
    pub component: Arc<LoadedComponent>,
    /// The component's metadata.
    pub description: Arc<Description>,
    /// The compiled schema of [`Description::schema`].
    pub schema: Arc<Schema>,
}

impl ComponentCache {
    /// Creates an empty cache. Components are compiled by `engine` and linked by `linker`, of the same engine.
    pub fn new(
        engine: Engine,
        linker: Linker<Context>,
        executor: GuestExecutor,
        secrets: Secrets,
        shared: Arc<SharedState>,
    ) -> Self {
        Self { engine, linker, executor: Arc::new(executor), secrets, shared, loaded: HashMap::new() }
    }

    /// Returns the component of a module. The first call for a module compiles and links the component, and calls its
    /// `describe` with `context`.
    ///
    /// # Errors
    /// Returns a [`LoadError`] if the component cannot be used as a probe. Later calls for the module return the same
    /// error.
    pub async fn load(
        &mut self,
        module: &Module,
        context: &Arc<ProbeContext>,
    ) -> Result<DescribedComponent, LoadError> {
        if let Some(known) = self.loaded.get(module) {
            return known.clone();
        }
        let loaded = self.load_new(module, context).await;
        self.loaded.entry(module.clone()).or_insert(loaded).clone()
    }

    async fn load_new(&self, module: &Module, context: &Arc<ProbeContext>) -> Result<DescribedComponent, LoadError> {
        let compiled = self.compile(module).await?;
        let component = Arc::new(LoadedComponent {
            pre: component::link(&self.linker, &compiled)?,
            sha256: compiled.sha256.into(),
            executor: Arc::clone(&self.executor),
            secrets: self.secrets.clone(),
            shared: Arc::clone(&self.shared),
        });
        // A component whose `describe` fails would fail in each run too.
        let described = call_once(&component, context, async |guest, store| {
            guest.sentrynet_probe_prober().call_describe(store).await
        });
        let described = described.await.map_err(|fault| LoadError::Describe(format_fault(fault)))?;
        let (name, version, summary) = (described.name, described.version, described.summary);
        tracing::debug!(%module, name, version, "loaded a component");
        let (value, schema) = parse_schema(&described.settings_schema)?;
        let description = Arc::new(Description { name, version, summary, schema: value });
        Ok(DescribedComponent { component, description, schema: Arc::new(schema) })
    }

    /// Compiles a component on a blocking thread. Logs if this takes longer than 2 s.
    async fn compile(&self, module: &Module) -> Result<Compiled, LoadError> {
        const LOG_AFTER: Duration = Duration::from_secs(2);
        let (engine, owned_module) = (self.engine.clone(), module.clone());
        let mut compiling = tokio::task::spawn_blocking(move || component::compile(&engine, &owned_module));
        let compiled = match tokio::time::timeout(LOG_AFTER, &mut compiling).await {
            Ok(compiled) => compiled,
            Err(_) => {
                tracing::info!(%module, "still compiling: a large component can take a minute the first time");
                compiling.await
            }
        };
        compiled.unwrap_or_else(|error| Err(LoadError::Panicked(error.to_string())))
    }
}
