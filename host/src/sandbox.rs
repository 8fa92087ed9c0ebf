//! The sandbox: loads components, and runs probes in fresh stores with limits of their own.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::task::JoinError;
use wasmtime::component::Linker;

use crate::capability::connection_budget::ConnectionBudget;
use crate::capability::memory_budget::MemoryPool;
use crate::capability::opening_limit::OpeningLimit;
use crate::capability::{self, SharedState, file_calls, host_lookup, http, regular_file};
use crate::config::{self, Module};
use crate::propagation::EventDefaults;
use crate::recording::Recording;
use crate::redaction::Secrets;
use crate::run::{Fault, FaultKind, Identity, Run};
use crate::threads::REFUSED;

mod backtrace;
mod broken_run;
mod component;
mod component_cache;
mod context_factory;
mod contract;
mod cpu_estimate;
mod cpu_permits;
mod cpu_timer;
mod description;
mod engine;
mod epoch;
mod executor;
mod fault;
mod group_settings;
mod imports;
mod ineffective_settings;
mod inspect;
mod instance;
mod load;
mod loaded_component;
mod merge_problems;
mod outcome;
mod probe;
mod problem;
mod replay;
mod secret_hosts;
mod settings;
mod suspension;
mod system_limits;
mod ungranted_hosts;

use component::ComponentCompiler;
#[cfg(all(fuzzing, feature = "compiler"))]
pub use component::fuzzing;
#[cfg(feature = "compiler")]
pub use component::{COMPILE_COMMAND, CodeExporter, ExportedCode, compile_main};
pub use component::{CodeSource, CompiledDirectory, Compiler, ComponentError};
use component_cache::ComponentCache;
use context_factory::ContextFactory;
pub use contract::CONTRACT_VERSION;
pub use description::Description;
#[cfg(feature = "compiler")]
pub use engine::{Cpu, UnknownCpu};
use executor::{GuestExecutor, load_calls_at_once};
pub(crate) use group_settings::named_keys;
pub use imports::{Grant, ImportInfo};
pub use inspect::{Import, Inspection};
use loaded_component::ComponentHost;
pub use probe::Probe;
pub use problem::Problem;
pub use replay::ReplayError;
use suspension::SuspensionMonitor;

/// Loads components, and creates probes from them.
pub struct Sandbox {
    components: ComponentCache,
    contexts: Mutex<ContextFactory>,
    secrets: Secrets,
    in_flight: usize,
    /// The connections that all runs open to one host at once.
    openings: Arc<OpeningLimit>,
}

/// The error that the kernel refused the resources for `in_flight` runs at once.
#[derive(Debug, thiserror::Error)]
#[error("cannot reserve the resources for {in_flight} runs at once: {reason}")]
pub struct NotEnoughResources {
    in_flight: usize,
    reason: String,
}

impl Sandbox {
    /// Creates a sandbox for `in_flight` runs at once, or for fewer if the kernel's limits allow fewer:
    /// [`Sandbox::in_flight`] returns their number. All runs together use at most `total_memory` bytes for their
    /// guests; the default is half of the machine's memory. `secrets` are redacted from everything that comes out of a
    /// probe. `code` says where the native code of components comes from, such as a [`Compiler`].
    ///
    /// # Errors
    /// Returns [`NotEnoughResources`] if the kernel refuses the address space or the threads that so many runs need.
    pub fn new(
        in_flight: usize,
        total_memory: Option<usize>,
        event_defaults: EventDefaults,
        secrets: Secrets,
        code: impl Into<CodeSource>,
    ) -> Result<Self, NotEnoughResources> {
        let in_flight = system_limits::max_in_flight(in_flight);
        let refused = |error: wasmtime::Error| {
            let is_thread = error.to_string().starts_with(REFUSED);
            let advice = if is_thread { "" } else { "; lower `limits.in_flight`" };
            NotEnoughResources { in_flight, reason: format!("{error:#}{advice}") }
        };
        let total_memory = total_memory.unwrap_or_else(system_limits::default_total_memory);
        tracing::debug!(in_flight, total_memory_mib = total_memory >> 20, "memory for all runs together");
        // Components that are being loaded need shares too: they describe themselves and check settings.
        let memory = MemoryPool::new(total_memory, in_flight + load_calls_at_once());
        let engine = engine::new(in_flight, memory.share()).map_err(refused)?;
        let executor = GuestExecutor::start().map_err(|error| refused(error.into()))?;
        let suspensions = SuspensionMonitor::start().map_err(|error| refused(error.into()))?;
        let mut linker = Linker::new(&engine);
        capability::link(&mut linker).map_err(refused)?;
        let openings = Arc::new(OpeningLimit::new(config::default_per_host()));
        let shared = SharedState {
            http: Arc::new(http::SharedState::load()),
            ssh: Arc::default(),
            memory: Arc::new(memory),
            openings: Arc::clone(&openings),
            connections: Arc::new(ConnectionBudget::new(system_limits::connections_beyond_first(in_flight))),
            lookups: host_lookup::pool(),
            files: file_calls::pool(),
            known_hosts: regular_file::default_known_hosts(),
        };
        let compiler = ComponentCompiler::new(engine, code.into());
        let host = ComponentHost {
            executor: Arc::new(executor),
            suspensions,
            secrets: secrets.clone(),
            shared: Arc::new(shared),
        };
        Ok(Self {
            components: ComponentCache::new(compiler, linker, host),
            contexts: Mutex::new(ContextFactory::new(event_defaults, secrets.clone())),
            secrets,
            in_flight,
            openings,
        })
    }

    /// Sets the number of connections that all runs together open to one host at once, instead of the default of
    /// `limits.per_host`.
    pub fn set_per_host(&self, connections: usize) {
        self.openings.set(connections);
    }

    /// Returns the number of runs that can be in progress at once.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Starts to compile the components of modules, several at once, so that loading one does not wait for those before
    /// to be compiled.
    pub fn start_compiling<'a>(&self, modules: impl IntoIterator<Item = &'a Module>) {
        self.components.start_compiling(modules.into_iter());
    }

    /// Loads a configured probe: loads its component, unless it has been loaded for another probe, and has the
    /// component check the settings. Returns the probe, and warnings about it. Relative paths of the settings are
    /// resolved against `directory`.
    ///
    /// # Errors
    /// Returns all problems with the component or the settings.
    pub async fn load(&self, probe: &config::Probe, directory: &Path) -> Result<(Probe, Vec<Problem>), Vec<Problem>> {
        match load::load(&self.components, &self.contexts, probe, directory).await {
            Ok((probe, warnings)) => Ok((probe, self.redact(warnings))),
            Err(problems) => Err(self.redact(problems)),
        }
    }

    /// Forgets that a component could not be loaded, so that it is loaded again for the next probe.
    pub fn forget_error(&self, module: &Module) {
        self.components.forget_error(module);
    }

    /// Forgets the component of a module if its file has changed since it was read, so that it is loaded again for the
    /// next probe. Returns true if this probe has another version of the component than the file has now.
    pub(crate) fn forget_if_changed(&self, module: &Module, probe: &Probe) -> bool {
        self.components.forget_if_changed(module) != probe.component_version()
    }

    /// Forgets all components but those of these modules. Probes that use them keep them.
    pub(crate) fn retain_components(&self, modules: &HashSet<Module>) {
        self.components.retain(modules);
    }

    /// Runs work, such as the loading of a probe, on the threads for guests with long computations, so that it delays
    /// no runs. Dropping the returned future aborts the work.
    ///
    /// # Errors
    /// Returns an error if the work panics.
    pub async fn run_on_guest_threads<F>(&self, work: F) -> Result<F::Output, JoinError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.components.executor().run(true, |_| work).await
    }

    /// Returns the identity of a configured probe that has not been loaded. Without a configured title, its title is
    /// the component's name.
    pub fn identity(&self, probe: &config::Probe) -> Arc<Identity> {
        let title = probe.title.as_deref().unwrap_or(&probe.name);
        self.contexts.lock().for_checks(probe, title, Path::new("")).identity
    }

    /// Returns the broken run of a probe that could not be loaded. `problems` has at least one problem.
    pub fn run_of_unloaded(&self, identity: &Arc<Identity>, problems: &[Problem]) -> Run {
        let mut message = format!("the probe could not be loaded: {}", problem::summarize(problems));
        self.secrets.redact_in_place(&mut message);
        let fault = Fault { kind: FaultKind::Load, message, backtrace: Vec::new() };
        broken_run::broken_run(identity, fault, Instant::now(), &self.secrets)
    }

    /// Creates a probe that replays a recording with the component of `module`. Its settings and environment are those
    /// of `configured`, if given, or else those of the recording, in which secrets are redacted.
    ///
    /// # Errors
    /// - [`ReplayError::OtherContract`] if the recording was made for another version of the contract.
    /// - [`ReplayError::Header`] if its limits, retries or start cannot be read or are out of bounds.
    /// - [`ReplayError::Component`] if the component cannot be used as a probe.
    pub async fn load_recorded(
        &self,
        module: &Module,
        recording: &Recording,
        configured: Option<&Probe>,
    ) -> Result<Probe, ReplayError> {
        replay::load(&self.components, &self.contexts, module, recording, configured).await
    }

    /// Returns the metadata of a configured probe's component.
    ///
    /// # Errors
    /// Returns a [`ComponentError`] if the component cannot be used as a probe.
    pub async fn describe(&self, probe: &config::Probe) -> Result<Arc<Description>, ComponentError> {
        let context = self.contexts.lock().for_checks(probe, &probe.name, Path::new("."));
        Ok(self.components.load(&probe.module, &Arc::new(context)).await?.description)
    }

    /// Inspects a component before it is trusted. Of its code, only `describe` runs, without any permission.
    ///
    /// # Errors
    /// Returns a [`ComponentError`] if the component cannot be used as a probe.
    pub async fn inspect(&self, module: &Module) -> Result<Inspection, ComponentError> {
        let context = Arc::new(self.contexts.lock().empty());
        let described = self.components.load(module, &context).await?;
        Ok(Inspection::new(described))
    }

    fn redact(&self, mut problems: Vec<Problem>) -> Vec<Problem> {
        for problem in &mut problems {
            self.secrets.redact_in_place(&mut problem.message);
        }
        problems
    }
}
