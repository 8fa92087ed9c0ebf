//! The sandbox: components loaded once, and each run in a fresh store with limits of its own.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use wasmtime::Engine;
use wasmtime::component::Linker;

use crate::capability::grant::Grants;
use crate::capability::memory_budget::MemoryPool;
use crate::capability::{self, Context, Policy, ProbeContext, Refusals, SharedState, grant, http, truncate};
use crate::config::{self, Allow, AllowSsh, Limits, MAX_MEMORY_BYTES, Module, Retries, TraceHeaders, TraceHost};
use crate::propagation::Origin;
use crate::recording::{Header, Recording};
use crate::redaction::Secrets;
use crate::run::Identity;
use crate::schema::Schema;

mod backtrace;
mod epoch;
mod component;
mod cpu_timer;
mod engine;
mod fault;
mod cpu_estimate;
mod inspect;
mod system_limits;
mod imports;
mod probe;
mod settings;
mod instance;
mod executor;
mod cpu_permits;
mod merge_problems;

use backtrace::in_one_line;
use component::CONTRACT_VERSION;
pub use component::LoadError;
use cpu_estimate::CpuEstimate;
use executor::GuestExecutor;
use imports::unusable_imports;
pub use imports::{Grant, ImportInfo};
pub use inspect::{Import, Inspection};
use instance::call_once;
use merge_problems::merge;
pub use probe::Probe;
use probe::{LoadedComponent, ProbeShared};

/// Loads components, and makes probes of them.
pub struct Sandbox {
    engine: Engine,
    threads: Arc<GuestExecutor>,
    linker: Linker<Context>,
    loaded: HashMap<Module, Result<DescribedComponent, LoadError>>,
    shared: Arc<SharedState>,
    origin: Arc<Origin>,
    secrets: Secrets,
    /// What the last probe had: the next has the same, as often as not.
    last: LastShared,
    in_flight: usize,
}

struct LastShared {
    tags: Arc<BTreeMap<String, String>>,
    trace_hosts: Arc<[TraceHost]>,
    terms: Arc<Policy>,
    limits: Arc<Limits>,
}

/// A component that is compiled, linked, and has said who it is.
#[derive(Clone)]
struct DescribedComponent {
    program: Arc<LoadedComponent>,
    description: Arc<Description>,
    /// As `description` has it, read.
    schema: Arc<Schema>,
}

/// Who a component says that it is.
#[derive(Debug)]
pub struct Description {
    pub name: String,
    pub version: String,
    /// One sentence for a person.
    pub summary: String,
    /// JSON Schema (2020-12) of its settings.
    pub schema: serde_json::Value,
}

/// What is wrong with a probe.
#[derive(Debug)]
pub struct Problem {
    /// JSON pointer below the probe's own place: `/url`, or empty for the whole.
    pub pointer: String,
    /// Lower case, no full stop.
    pub message: String,
}

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(
        "the recording was made for version {recorded} of the contract, this host speaks {CONTRACT_VERSION}: \
         replay it with the host that wrote it, or record it anew"
    )]
    OtherContract { recorded: String },
    #[error("the recording is damaged in line 1 (its limits: {0}): record it anew")]
    Limits(serde_json::Error),
    #[error(transparent)]
    Component(#[from] LoadError),
}

/// The machine cannot give what so many runs at once take.
#[derive(Debug, thiserror::Error)]
#[error("cannot make room for {in_flight} runs at once: {why}; a lower `limits.in_flight` takes less")]
pub struct NotEnoughResources {
    in_flight: usize,
    why: String,
}

impl Sandbox {
    /// `in_flight` is how many runs are wanted at once; [`Sandbox::in_flight`] says how many there can be. All of them
    /// together have no more than `total_memory`, or half of the machine's. `secrets` are struck out of all that comes
    /// out of a probe.
    ///
    /// # Errors
    /// When the machine cannot give what that takes.
    pub fn new(
        in_flight: usize,
        total_memory: Option<usize>,
        origin: Origin,
        secrets: Secrets,
    ) -> Result<Self, NotEnoughResources> {
        let in_flight = system_limits::max_in_flight(in_flight);
        let no_room = |error: wasmtime::Error| NotEnoughResources { in_flight, why: format!("{error:#}") };
        let total_memory = total_memory.unwrap_or_else(default_total_memory);
        tracing::debug!("{} MiB of memory for all runs together", total_memory >> 20);
        // Beside the runs, one component at a time is asked who it is.
        let memory = MemoryPool::new(total_memory, in_flight + 1);
        let engine = engine::new(in_flight, memory.share()).map_err(no_room)?;
        let threads = GuestExecutor::start().map_err(|error| no_room(error.into()))?;
        let mut linker = Linker::new(&engine);
        capability::link(&mut linker).map_err(no_room)?;
        Ok(Self {
            engine,
            threads: Arc::new(threads),
            linker,
            loaded: HashMap::new(),
            shared: Arc::new(SharedState {
                http: Arc::new(http::Stack::start()),
                ssh: Arc::default(),
                memory: Arc::new(memory),
            }),
            origin: Arc::new(origin),
            secrets,
            last: LastShared {
                tags: Arc::default(),
                trace_hosts: Arc::default(),
                terms: Arc::new(deny_all()),
                limits: Arc::default(),
            },
            in_flight,
        })
    }

    /// How many runs there can be at once.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Loads a probe's component, unless another probe has, and has it check the settings. With the probe comes what
    /// to warn of.
    ///
    /// # Errors
    /// All that is wrong with the component or the settings.
    pub async fn load(
        &mut self,
        probe: &config::Probe,
        directory: &Path,
    ) -> Result<(Probe, Vec<Problem>), Vec<Problem>> {
        const MOST_PROBLEMS: usize = 100;
        const LONGEST_TITLE: usize = 200;
        const LONGEST_MESSAGE: usize = 1024;
        let checking = Arc::new(self.context(probe, &probe.name, directory, false));
        let loaded = self.describe_once(&probe.module, &checking).await;
        let DescribedComponent { program, description, schema } = match loaded {
            Ok(loaded) => loaded,
            Err(error) => {
                return Err(vec![self.problem("/probe".to_owned(), error.to_string())]);
            }
        };

        let untitled = probe.title.is_none() && settings::wants_title(&description.schema);
        let untitled = untitled.then(|| Problem {
            pointer: String::new(),
            message: "the key `title` is missing: this probe has none of its own".to_owned(),
        });
        let typed = settings::typed(&schema, &probe.settings, &probe.interpolations).map_err(problem_of_probe)?;
        let mut violations = schema.check(&typed).map_err(problem_of_probe)?;
        // That one is the host's.
        violations.retain(|found| !found.pointer.is_empty() || found.missing_key.as_deref() != Some("title"));
        let settings =
            settings::for_guest(&schema, typed, &probe.interpolations).map_err(problem_of_probe)?.to_string();
        let checked = call_once(
            &self.engine,
            self.threads.cpu_permits(),
            &program.component,
            &checking,
            &self.shared,
            async |guest, store| {
                let checked = guest.sentrynet_probe_prober().call_check(&mut *store, &settings).await?;
                Ok((checked, std::mem::take(&mut store.data_mut().warnings)))
            },
        )
        .await;
        let (title, said, warnings) = match checked {
            Ok((Ok(title), warnings)) => (title, Vec::new(), warnings),
            Ok((Err(said), _)) if said.is_empty() && violations.is_empty() => {
                let message = "the probe refuses these settings, and does not say why".to_owned();
                return Err(vec![Problem { pointer: String::new(), message }]);
            }
            Ok((Err(said), warnings)) => (None, said, warnings),
            // It need not bear what its schema does not allow.
            Err(_) if !violations.is_empty() => (None, Vec::new(), Vec::new()),
            Err(fault) => {
                let message = format!("the probe cannot check its settings: {}", in_one_line(fault));
                return Err(vec![self.problem("/probe".to_owned(), message)]);
            }
        };
        let said = said.into_iter().take(MOST_PROBLEMS);
        let said = said.map(|said| Problem { pointer: said.pointer, message: truncate(said.message, LONGEST_MESSAGE) });
        let found: Vec<_> = untitled.into_iter().chain(merge(violations, said.collect())).collect();
        if !found.is_empty() {
            return Err(found.into_iter().map(|found| self.problem(found.pointer, found.message)).collect());
        }
        let title = title.map(|title| truncate(title, LONGEST_TITLE)).filter(|title| !title.trim().is_empty());
        let title = probe.title.clone().or(title).unwrap_or_else(|| probe.name.clone());
        let scope = Arc::new(self.context(probe, &title, directory, true));
        let imports = component::imports(program.component.instance_pre().component());
        let idle = unusable_imports(&imports, &probe.allow).into_iter().map(|message| ("/probe".to_owned(), message));
        let ready = ProbeShared {
            program,
            settings: settings.into(),
            limits: reuse_if_equal(Arc::new(probe.limits), &mut self.last.limits),
            retries: probe.retries,
            habit: CpuEstimate::new(scope.built_in),
            scope,
        };
        let warnings = warnings.into_iter().chain(idle);
        let warnings = warnings.map(|(pointer, message)| self.problem(pointer, message)).collect();
        Ok((Probe::new(ready), warnings))
    }

    /// Makes a probe of a recording, to replay it with a component. Where the probe is `given`, it is given what that one
    /// is: of what was recorded, secrets are struck out.
    ///
    /// # Errors
    /// Why it cannot be replayed.
    pub async fn load_recorded(
        &mut self,
        module: &Module,
        recording: &Recording,
        given: Option<&Probe>,
    ) -> Result<Probe, ReplayError> {
        let Header { component, contract, title, tags, failures_before_error, pointer, .. } = &recording.header;
        let Header { settings: recorded, environment, .. } = &recording.header;
        let (settings, text, environment) = match given.map(Probe::given) {
            Some((scope, text)) => (scope.settings.clone(), text.to_owned(), scope.policy.environment.clone()),
            None => {
                let settings = recorded.as_object().cloned().unwrap_or_default();
                let environment = environment.iter();
                let environment = environment.map(|(name, value)| (name.clone(), SecretString::from(value.as_str())));
                (settings.into_iter().collect(), recorded.to_string(), environment.collect())
            }
        };
        let refused = recording.header.log_refused.clone();
        let refused = refused.map(|of| Allow { declared_by: of, log: Some(false), ..Allow::default() });
        if contract != CONTRACT_VERSION {
            return Err(ReplayError::OtherContract { recorded: contract.clone() });
        }
        let limits: Limits = serde_json::from_value(recording.header.limits.clone()).map_err(ReplayError::Limits)?;
        let identity = Identity {
            probe: component.name.clone(),
            title: title.clone(),
            tags: Arc::new(tags.clone()),
            failures_before_error: *failures_before_error,
            pointer: pointer.clone(),
        };
        // Who may be reached stands on the tape.
        let grants = Grants::new(refused.into_iter().collect());
        let scope = Arc::new(ProbeContext {
            identity: Arc::new(identity),
            settings,
            policy: Arc::new(Policy { grants, environment, ..deny_all() }),
            built_in: matches!(module, Module::BuiltIn(_)),
            ..self.empty_context()
        });
        let DescribedComponent { program, .. } = self.describe_once(module, &scope).await?;
        if *program.sha256 != *recording.header.component.sha256 {
            tracing::warn!("{module} is not the component that was recorded: what it does otherwise is told");
        }
        Ok(Probe::new(ProbeShared {
            program,
            settings: text.into(),
            limits: Arc::new(limits),
            retries: Retries { times: recording.header.retries, delay: Duration::ZERO },
            habit: CpuEstimate::new(scope.built_in),
            scope,
        }))
    }

    /// What a probe's component says of itself.
    ///
    /// # Errors
    /// When the component cannot be a probe.
    pub async fn describe(&mut self, probe: &config::Probe) -> Result<Arc<Description>, LoadError> {
        let scope = Arc::new(self.context(probe, &probe.name, Path::new("."), false));
        Ok(self.describe_once(&probe.module, &scope).await?.description)
    }

    /// What there is to know of a component before it is trusted. Nothing of it runs but what says who it is.
    ///
    /// # Errors
    /// When the component cannot be a probe.
    pub async fn inspect(&mut self, module: &Module) -> Result<Inspection, LoadError> {
        let bytes = component::bytes(module)?;
        // What is told of are the same bytes that say who they are.
        let sha256 = component::sha256(&bytes);
        let module = match module {
            Module::File { path, .. } => Module::File { path: path.clone(), sha256: Some(sha256.clone()) },
            Module::BuiltIn(name) => Module::BuiltIn(name),
        };
        let loaded = self.describe_once(&module, &Arc::new(self.empty_context())).await?;
        let component = loaded.program.component.instance_pre().component();
        Ok(Inspection::new(loaded.description, component, &bytes, sha256))
    }

    async fn describe_once(
        &mut self,
        module: &Module,
        scope: &Arc<ProbeContext>,
    ) -> Result<DescribedComponent, LoadError> {
        if let Some(known) = self.loaded.get(module) {
            return known.clone();
        }
        let loaded = self.compile(module, scope).await;
        self.loaded.entry(module.clone()).or_insert(loaded).clone()
    }

    /// What the calls of a probe's guest need to know of it.
    fn context(&mut self, probe: &config::Probe, title: &str, directory: &Path, may_send: bool) -> ProbeContext {
        let mut identity = Identity {
            probe: probe.name.clone(),
            title: title.to_owned(),
            tags: Arc::clone(&probe.tags),
            failures_before_error: probe.failures_before_error,
            pointer: probe.pointer.clone(),
        };
        self.secrets.redact_identity(&mut identity);
        identity.tags = reuse_if_equal(identity.tags, &mut self.last.tags);
        let told =
            reuse_if_equal(grant::trace_hosts(&probe.settings, &probe.trace_headers), &mut self.last.trace_hosts);
        let terms = Policy {
            directory: directory.into(),
            grants: Grants::new(probe.allow.clone()),
            environment: probe.environment.clone(),
            trace_headers: probe.trace_headers.clone(),
        };
        let terms = reuse_if_equal(Arc::new(terms), &mut self.last.terms);
        ProbeContext {
            identity: Arc::new(identity),
            settings: probe.settings.clone().into_iter().collect(),
            policy: terms,
            trace_hosts: told,
            built_in: matches!(probe.module, Module::BuiltIn(_)),
            may_send,
            ..self.empty_context()
        }
    }

    /// That of a component of which no probe is configured: it may do nothing but say why it cannot say who it is.
    fn empty_context(&self) -> ProbeContext {
        ProbeContext {
            identity: Arc::default(),
            settings: Box::default(),
            policy: Arc::new(deny_all()),
            refusals: Refusals::default(),
            trace_hosts: Arc::default(),
            origin: Arc::clone(&self.origin),
            built_in: false,
            may_send: false,
        }
    }

    fn problem(&self, pointer: String, mut message: String) -> Problem {
        self.secrets.redact_in_place(&mut message);
        Problem { pointer, message }
    }

    async fn compile(&self, module: &Module, scope: &Arc<ProbeContext>) -> Result<DescribedComponent, LoadError> {
        let compiled = self.load_and_log_slow(module).await?;
        let component = component::link(&self.linker, &compiled)?;
        // A component that cannot even say who it is would fail each run.
        let description = call_once(
            &self.engine,
            self.threads.cpu_permits(),
            &component,
            scope,
            &self.shared,
            async |guest, store| guest.sentrynet_probe_prober().call_describe(store).await,
        );
        let description = description.await.map_err(|fault| LoadError::Describe(in_one_line(fault)))?;
        tracing::debug!(name = description.name, version = description.version, "component loaded");
        let (value, schema) = read_schema(&description.settings_schema)?;
        let (name, version, summary) = (description.name, description.version, description.summary);
        let description = Arc::new(Description { name, version, summary, schema: value });
        let (threads, secrets) = (Arc::clone(&self.threads), self.secrets.clone());
        let shared = Arc::clone(&self.shared);
        let program = Arc::new(LoadedComponent { component, sha256: compiled.sha256.into(), threads, secrets, shared });
        Ok(DescribedComponent { program, description, schema: Arc::new(schema) })
    }

    /// Loads a component; where that takes long, says why.
    async fn load_and_log_slow(&self, module: &Module) -> Result<component::Compiled, LoadError> {
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

/// The terms of a component of which no probe is configured.
fn deny_all() -> Policy {
    let no = Some(false);
    let ssh = AllowSsh { hosts: Some(Vec::new()), commands: no, agent: no };
    let word = Allow { declared_by: "this component".to_owned(), hosts: Some(Vec::new()), ssh, log: Some(true) };
    Policy {
        directory: Path::new("").into(),
        grants: Grants::new(vec![word]),
        environment: BTreeMap::new(),
        trace_headers: TraceHeaders::default(),
    }
}

/// The last one, if this is the same.
fn reuse_if_equal<T: PartialEq + ?Sized>(this: Arc<T>, last: &mut Arc<T>) -> Arc<T> {
    if this != *last {
        *last = this;
    }
    Arc::clone(last)
}

/// What all runs together may have unless the configuration says it.
fn default_total_memory() -> usize {
    /// Where the kernel does not say what there is.
    const UNKNOWN: u64 = 4 << 30;
    let half = system_limits::memory().unwrap_or(UNKNOWN) / 2;
    // One run may ask for all of the half that is beyond the shares.
    usize::try_from(half).unwrap_or(usize::MAX).max(2 * MAX_MEMORY_BYTES)
}

/// The schema of a component's settings, as it is and as it is read.
fn read_schema(text: &str) -> Result<(serde_json::Value, Schema), LoadError> {
    /// More than any that somebody has written.
    const LARGEST: usize = 1 << 20;
    if text.len() > LARGEST {
        return Err(LoadError::Describe(format!("the schema of its settings is larger than {} MiB", LARGEST >> 20)));
    }
    match serde_json::from_str(text) {
        Ok(value @ serde_json::Value::Object(_)) => {
            let schema = Schema::read(&value)?;
            Ok((value, schema))
        }
        Ok(_) => Err(LoadError::Describe("the schema of its settings is no JSON object".to_owned())),
        Err(error) => Err(LoadError::Describe(format!("the schema of its settings is no JSON: {error}"))),
    }
}

/// What is wrong with the component itself.
fn problem_of_probe(error: impl std::fmt::Display) -> Vec<Problem> {
    vec![Problem { pointer: "/probe".to_owned(), message: error.to_string() }]
}
