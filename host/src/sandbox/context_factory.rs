//! Creates the contexts of probes. Consecutive probes share the parts of their contexts that are equal, to save memory:
//! thousands of probes may differ in little.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::capability::blocking_pool::ProbeCalls;
use crate::capability::grant::{self, Grants};
use crate::capability::{Policy, ProbeContext, Refusals};
use crate::config::{Allow, AllowSsh, Limits, Module, Probe, TraceHeaders, TraceHost};
use crate::propagation::EventDefaults;
use crate::redaction::Secrets;
use crate::run::Identity;

/// Creates [`ProbeContext`]s.
pub struct ContextFactory {
    event_defaults: Arc<EventDefaults>,
    secrets: Secrets,
    /// The number of refusals that were logged for each component.
    logged_refusals: HashMap<Module, Arc<AtomicUsize>>,
    // Parts of the previous probe's context, for the next one to share.
    tags: Arc<BTreeMap<String, String>>,
    trace_hosts: Arc<[TraceHost]>,
    policy: Arc<Policy>,
    limits: Arc<Limits>,
}

impl ContextFactory {
    /// Creates a factory for contexts with these `event_defaults`. `secrets` are redacted from identities.
    pub fn new(event_defaults: EventDefaults, secrets: Secrets) -> Self {
        Self {
            event_defaults: Arc::new(event_defaults),
            secrets,
            logged_refusals: HashMap::new(),
            tags: Arc::default(),
            trace_hosts: Arc::default(),
            policy: Arc::new(deny_all()),
            limits: Arc::default(),
        }
    }

    /// Creates the context of a configured probe's runs. Relative paths of the settings are resolved against
    /// `directory`.
    pub fn for_runs(&mut self, probe: &Probe, title: &str, directory: &Path) -> ProbeContext {
        ProbeContext { may_send: true, ..self.for_checks(probe, title, directory) }
    }

    /// Creates the context in which a configured probe describes itself and checks its settings: as for runs, but
    /// nothing can be sent.
    pub fn for_checks(&mut self, probe: &Probe, title: &str, directory: &Path) -> ProbeContext {
        let built_in = matches!(probe.module, Module::BuiltIn(_));
        let mut identity = Identity {
            number: probe.number,
            probe: probe.name.clone(),
            title: title.to_owned(),
            tags: Arc::clone(&probe.tags),
            failures_before_error: probe.failures_before_error,
            pointer: probe.pointer.clone(),
            built_in,
            voting_hosts: if built_in { grant::named_hosts(&probe.settings) } else { Box::default() },
        };
        self.secrets.redact_identity(&mut identity);
        identity.tags = reuse_if_equal(identity.tags, &mut self.tags);
        let trace_hosts = grant::trace_hosts(&probe.settings, &probe.trace_headers);
        let policy = Policy {
            directory: directory.into(),
            grants: Grants::new(probe.allow.clone()),
            environment: probe.environment.clone(),
            trace_headers: probe.trace_headers.clone(),
        };
        let of_component = Arc::clone(self.logged_refusals.entry(probe.module.clone()).or_default());
        ProbeContext {
            identity: Arc::new(identity),
            settings: probe.settings.clone().into_iter().collect(),
            policy: reuse_if_equal(Arc::new(policy), &mut self.policy),
            trace_hosts: reuse_if_equal(trace_hosts, &mut self.trace_hosts),
            built_in,
            refusals: Arc::new(Refusals::new(of_component)),
            lookups: (!built_in).then(ProbeCalls::default),
            files: (!built_in).then(ProbeCalls::default),
            ..self.empty()
        }
    }

    /// Creates the context of a component for which no probe is configured: nothing is allowed but logging.
    pub fn empty(&self) -> ProbeContext {
        ProbeContext {
            identity: Arc::default(),
            settings: Box::default(),
            visible_settings: Arc::default(),
            policy: Arc::new(deny_all()),
            refusals: Arc::default(),
            warnings: Arc::default(),
            span_ops: Arc::default(),
            trace_hosts: Arc::default(),
            event_defaults: Arc::clone(&self.event_defaults),
            lookups: Some(ProbeCalls::default()),
            files: Some(ProbeCalls::default()),
            built_in: false,
            may_send: false,
        }
    }

    /// Returns a probe's limits.
    pub fn limits(&mut self, probe: &Probe) -> Arc<Limits> {
        reuse_if_equal(Arc::new(probe.limits), &mut self.limits)
    }
}

/// Returns a policy that allows nothing but logging.
pub fn deny_all() -> Policy {
    let ssh = AllowSsh { hosts: Some(Vec::new()), commands: Some(false), agent: Some(false), accept_new: Some(false) };
    let block = Allow {
        declared_by: "this component".to_owned(),
        hosts: Some(Vec::new()),
        ssh,
        log: Some(true),
        secret_hosts: Vec::new(),
    };
    Policy {
        directory: Path::new("").into(),
        grants: Grants::new(vec![block]),
        environment: BTreeMap::new(),
        trace_headers: TraceHeaders::default(),
    }
}

/// Returns the previous value if it is equal to the new one, else the new one, which becomes the previous.
fn reuse_if_equal<T: PartialEq + ?Sized>(new: Arc<T>, previous: &mut Arc<T>) -> Arc<T> {
    if new != *previous {
        *previous = new;
    }
    Arc::clone(previous)
}
