//! The sandbox: components loaded once, and each run in a fresh store with limits of its own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::capability::bindings::ProbePre;
use crate::capability::{self, Context, Scope, cut, http};
use crate::config::{self, Module};
use crate::propagation::Origin;
use crate::run::Identity;

mod component;
mod engine;
mod fault;
mod probe;
mod stay;
mod threads;

pub use component::LoadError;
pub use probe::Probe;
use probe::Ready;
use stay::ask;
use threads::Threads;

/// Loads components, and makes probes of them.
pub struct Sandbox {
    engine: Engine,
    threads: Arc<Threads>,
    linker: Linker<Context>,
    /// Compiled, linked, and having said who they are.
    loaded: HashMap<Module, Result<ProbePre<Context>, LoadError>>,
    http: Arc<http::Stack>,
    origin: Arc<Origin>,
    in_flight: usize,
}

/// What is wrong with a probe.
#[derive(Debug)]
pub struct Problem {
    /// JSON pointer below the probe's own place: `/url`, or empty for the whole.
    pub pointer: String,
    /// Lower case, no full stop.
    pub message: String,
}

/// The machine cannot give what so many runs at once take.
#[derive(Debug, thiserror::Error)]
#[error("cannot make room for {in_flight} runs at once: {why}; a lower `limits.in_flight` takes less")]
pub struct NoRoom {
    in_flight: usize,
    why: String,
}

impl Sandbox {
    /// `in_flight` is how many runs are wanted at once; [`Sandbox::in_flight`] says how many there can be.
    ///
    /// Wants to be called within a tokio runtime, in which targets are waited for.
    ///
    /// # Errors
    /// When the machine cannot give what that takes.
    pub fn new(in_flight: usize, origin: Origin) -> Result<Self, NoRoom> {
        let in_flight = engine::most_in_flight(in_flight);
        let no_room = |error: wasmtime::Error| NoRoom { in_flight, why: format!("{error:#}") };
        let engine = engine::new(in_flight).map_err(no_room)?;
        let threads = Threads::start().map_err(|error| no_room(error.into()))?;
        let mut linker = Linker::new(&engine);
        capability::link(&mut linker).map_err(no_room)?;
        let (http, origin) = (Arc::new(http::Stack::start()), Arc::new(origin));
        Ok(Self { engine, threads: Arc::new(threads), linker, loaded: HashMap::new(), http, origin, in_flight })
    }

    /// How many runs there can be at once.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Loads a probe's component, unless another probe has, and has it check the settings.
    ///
    /// # Errors
    /// All that is wrong with the component or the settings.
    pub async fn load(&mut self, probe: &config::Probe, directory: &Path) -> Result<Probe, Vec<Problem>> {
        const MOST_PROBLEMS: usize = 100;
        const LONGEST_TITLE: usize = 200;
        const LONGEST_MESSAGE: usize = 1024;
        let scope = |title: &str, may_send| Scope {
            identity: Arc::new(Identity {
                probe: probe.name.clone(),
                title: title.to_owned(),
                tags: probe.tags.clone(),
            }),
            settings: probe.settings.clone(),
            directory: directory.to_owned(),
            trace_headers: probe.trace_headers,
            origin: Arc::clone(&self.origin),
            http: Arc::clone(&self.http),
            may_send,
        };
        let checking = Arc::new(scope(&probe.name, false));
        let loaded = match self.loaded.get(&probe.module) {
            Some(known) => known.clone(),
            None => {
                let loaded = self.compile(&probe.module, &checking).await;
                self.loaded.entry(probe.module.clone()).or_insert(loaded).clone()
            }
        };
        let component = match loaded {
            Ok(component) => component,
            Err(error) => {
                return Err(vec![Problem { pointer: "/probe".to_owned(), message: error.to_string() }]);
            }
        };

        let settings = serde_json::Value::Object(probe.settings.clone()).to_string();
        let checked = ask(&self.engine, &component, &checking, async |guest, store| {
            guest.sentrynet_probe_prober().call_check(store, &settings).await
        })
        .await;
        let title = match checked {
            Ok(Ok(title)) => title,
            Ok(Err(problems)) if problems.is_empty() => {
                let message = "the probe refuses these settings, and does not say why".to_owned();
                return Err(vec![Problem { pointer: String::new(), message }]);
            }
            Ok(Err(problems)) => {
                return Err(problems
                    .into_iter()
                    .take(MOST_PROBLEMS)
                    .map(|said| Problem { pointer: said.pointer, message: cut(said.message, LONGEST_MESSAGE) })
                    .collect());
            }
            Err(fault) => {
                let message = format!("the probe cannot check its settings: {}", fault.message);
                return Err(vec![Problem { pointer: "/probe".to_owned(), message }]);
            }
        };
        let title = title.map(|title| cut(title, LONGEST_TITLE)).filter(|title| !title.trim().is_empty());
        let title = probe.title.clone().or(title).unwrap_or_else(|| probe.name.clone());
        let scope = Arc::new(scope(&title, true));
        let engine = self.engine.clone();
        Ok(Probe::new(Arc::clone(&self.threads), Ready { engine, component, scope, settings, limits: probe.limits }))
    }

    async fn compile(&self, module: &Module, scope: &Arc<Scope>) -> Result<ProbePre<Context>, LoadError> {
        let component = self.load_patiently(module).await?;
        let component = component::link(&self.linker, &component)?;
        // A component that cannot even say who it is would fail each run.
        let description = ask(&self.engine, &component, scope, async |guest, store| {
            guest.sentrynet_probe_prober().call_describe(store).await
        });
        let description = description.await.map_err(|fault| LoadError::Describe(fault.message))?;
        tracing::debug!(name = description.name, version = description.version, "component loaded");
        Ok(component)
    }

    /// Loads a component; where that takes long, says why.
    async fn load_patiently(&self, module: &Module) -> Result<component::Compiled, LoadError> {
        const LONG: Duration = Duration::from_secs(2);
        let (engine, wanted) = (self.engine.clone(), module.clone());
        let mut loading = tokio::task::spawn_blocking(move || component::load(&engine, &wanted));
        let loaded = match tokio::time::timeout(LONG, &mut loading).await {
            Ok(loaded) => loaded,
            Err(_) => {
                tracing::info!("compiling {module}: a large one can take a minute, the first time");
                loading.await
            }
        };
        loaded.unwrap_or_else(|error| Err(LoadError::Panicked(error.to_string())))
    }
}
