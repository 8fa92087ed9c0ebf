//! The sandbox: components loaded once, and each run in a fresh store with limits of its own.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::Linker;
use wasmtime::{Engine, Store, UpdateDeadline};

use crate::capability::bindings::exports::sentrynet::probe::prober::Trouble;
use crate::capability::bindings::sentrynet::probe::types::Failure as GuestFailure;
use crate::capability::bindings::{Probe as Bindings, ProbePre};
use crate::capability::{self, Context, Scope, cut, http};
use crate::config::{self, Limits, Module};
use crate::propagation::Origin;
use crate::run::{Failure, Fault, FaultKind, Identity, Mismatch, Outcome, Run};
use crate::trace::{Recorder, Status};

mod component;
mod engine;
mod fault;

pub use component::LoadError;

/// Loads components, and makes probes of them.
pub struct Sandbox {
    engine: Engine,
    linker: Linker<Context>,
    loaded: HashMap<Module, Result<Loaded, LoadError>>,
    http: Arc<http::Stack>,
    origin: Arc<Origin>,
    in_flight: usize,
}

/// A component that is compiled and linked, and has said who it is.
#[derive(Clone)]
struct Loaded(ProbePre<Context>);

/// A probe that is ready to run: its component loaded, its settings checked by it.
pub struct Probe {
    engine: Engine,
    component: ProbePre<Context>,
    scope: Arc<Scope>,
    settings: String,
    limits: Limits,
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

/// What a component may use while it says who it is and checks settings.
const LIMITS_OF_CHECK: Limits = Limits { deadline: Duration::from_secs(5), memory: config::MOST_MEMORY };
/// How long past its deadline a guest in a call of the host's is waited for: the host ends its calls earlier.
const GRACE: Duration = Duration::from_millis(50);

impl Sandbox {
    /// `in_flight` is how many runs are wanted at once; [`Sandbox::in_flight`] says how many there can be.
    ///
    /// # Errors
    /// When the machine cannot give what that takes.
    pub fn new(in_flight: usize, origin: Origin) -> Result<Self, NoRoom> {
        let in_flight = engine::most_in_flight(in_flight);
        let no_room = |error: wasmtime::Error| NoRoom { in_flight, why: format!("{error:#}") };
        let engine = engine::new(in_flight).map_err(no_room)?;
        let mut linker = Linker::new(&engine);
        capability::link(&mut linker).map_err(no_room)?;
        let (http, origin) = (Arc::new(http::Stack::new()), Arc::new(origin));
        Ok(Self { engine, linker, loaded: HashMap::new(), http, origin, in_flight })
    }

    /// How many runs there can be at once.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Loads a probe's component, unless another probe has, and has it check the settings.
    ///
    /// # Errors
    /// All that is wrong with the component or the settings.
    pub async fn load(&mut self, probe: &config::Probe, directory: &std::path::Path) -> Result<Probe, Vec<Problem>> {
        const MOST_PROBLEMS: usize = 100;
        const LONGEST_TITLE: usize = 200;
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
            Ok(Loaded(component)) => component,
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
                    .map(|said| Problem { pointer: said.pointer, message: cut(said.message, LONGEST_TEXT) })
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
        Ok(Probe { engine: self.engine.clone(), component, scope, settings, limits: probe.limits })
    }

    async fn compile(&self, module: &Module, scope: &Arc<Scope>) -> Result<Loaded, LoadError> {
        let component = self.load_patiently(module).await?;
        let component = component::link(&self.linker, &component)?;
        // A component that cannot even say who it is would fail each run.
        let description = ask(&self.engine, &component, scope, async |guest, store| {
            guest.sentrynet_probe_prober().call_describe(store).await
        });
        let description = description.await.map_err(|fault| LoadError::Describe(fault.message))?;
        tracing::debug!(name = description.name, version = description.version, "component loaded");
        Ok(Loaded(component))
    }
}

impl Sandbox {
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

impl Probe {
    pub fn identity(&self) -> &Arc<Identity> {
        &self.scope.identity
    }

    /// Runs once. `due` is when it was to start.
    pub async fn run(&self, due: Instant) -> Run {
        let identity = &self.scope.identity;
        let lateness = due.elapsed();
        let recorder = Recorder::start(identity.probe.clone(), identity.title.clone());
        let (mut store, deadline) = store(&self.engine, &self.scope, recorder.clone(), self.limits);
        let log = store.data().log.clone();
        let ended = guard(deadline, self.limits, async {
            let guest = self.component.instantiate_async(&mut store).await?;
            guest.sentrynet_probe_prober().call_run(&mut store, &self.settings).await
        })
        .await;
        let outcome = match ended {
            Ok(Ok(())) => Outcome::Passed,
            Ok(Err(Trouble::Failed(said))) => Outcome::Failed(failure(said)),
            Ok(Err(Trouble::Broken(message))) => Outcome::Broken(Fault {
                kind: FaultKind::Gave,
                message: cut(message, LONGEST_TEXT),
                backtrace: Vec::new(),
            }),
            Err(fault) => Outcome::Broken(fault),
        };
        let trace = recorder.finish(status(&outcome), Status::Cancelled);
        let tags = std::mem::take(&mut store.data_mut().tags);
        Run { probe: Arc::clone(identity), outcome, trace, lateness, tags, log: log.take() }
    }
}

/// A store for one stay in a guest, which ends when `limits` are reached.
fn store(engine: &Engine, scope: &Arc<Scope>, recorder: Recorder, limits: Limits) -> (Store<Context>, Instant) {
    let deadline = recorder.epoch() + limits.deadline;
    let mut store = Store::new(engine, Context::new(Arc::clone(scope), recorder, limits, deadline));
    store.limiter(|context| context);
    store.set_epoch_deadline(1);
    store.epoch_deadline_callback(move |_| fault::look(deadline).map(|()| UpdateDeadline::Yield(1)));
    (store, deadline)
}

/// Sees to it that a guest that waits for the host is not waited for past its deadline.
async fn guard<T>(
    deadline: Instant,
    limits: Limits,
    work: impl Future<Output = wasmtime::Result<T>>,
) -> Result<T, Fault> {
    match tokio::time::timeout_at((deadline + GRACE).into(), work).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => Err(fault::explain(&error, limits)),
        Err(_) => Err(fault::overdue(limits)),
    }
}

/// One call that is no run: nothing is sent, and its trace is thrown away.
async fn ask<T>(
    engine: &Engine,
    component: &ProbePre<Context>,
    scope: &Arc<Scope>,
    question: impl AsyncFnOnce(Bindings, &mut Store<Context>) -> wasmtime::Result<T>,
) -> Result<T, Fault> {
    let recorder = Recorder::start(String::new(), String::new());
    let (mut store, deadline) = store(engine, scope, recorder, LIMITS_OF_CHECK);
    guard(deadline, LIMITS_OF_CHECK, async {
        let guest = component.instantiate_async(&mut store).await?;
        question(guest, &mut store).await
    })
    .await
}

/// The root's status. A target that cannot be reached is told from one that answers wrongly.
fn status(outcome: &Outcome) -> Status {
    match outcome {
        Outcome::Passed => Status::Ok,
        Outcome::Failed(failure) => match failure.reason.as_str() {
            "timeout" => Status::DeadlineExceeded,
            "dns" | "connect" | "tls" => Status::Unavailable,
            _ => Status::InternalError,
        },
        Outcome::Broken(fault) => match fault.kind {
            FaultKind::Deadline => Status::DeadlineExceeded,
            FaultKind::Memory => Status::ResourceExhausted,
            FaultKind::Trap | FaultKind::Gave | FaultKind::Host => Status::Aborted,
        },
    }
}

/// What a guest says of a run, no longer than anybody reads.
fn failure(failure: GuestFailure) -> Failure {
    const MOST_MISMATCHES: usize = 100;
    const LONGEST_REASON: usize = 64;
    let mismatches = failure.mismatches.into_iter().take(MOST_MISMATCHES).map(|mismatch| Mismatch {
        subject: cut(mismatch.subject, LONGEST_TEXT),
        expected: cut(mismatch.expected, LONGEST_TEXT),
        actual: cut(mismatch.actual, LONGEST_TEXT),
    });
    Failure {
        reason: cut(failure.reason, LONGEST_REASON),
        message: cut(failure.message, LONGEST_TEXT),
        mismatches: mismatches.collect(),
    }
}

/// Bytes of one text of a guest's.
const LONGEST_TEXT: usize = 4096;
