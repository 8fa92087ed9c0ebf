//! Creates probes that replay recordings.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use secrecy::SecretString;

use crate::capability::grant::Grants;
use crate::capability::{Policy, ProbeContext};
use crate::config::{Allow, Limits, Module, Retries};
use crate::recording::{Header, Recording};
use crate::run::Identity;
use crate::sandbox::component::ComponentError;
use crate::sandbox::component_cache::{ComponentCache, DescribedComponent};
use crate::sandbox::context_factory::{ContextFactory, deny_all};
use crate::sandbox::contract::CONTRACT_VERSION;
use crate::sandbox::cpu_estimate::CpuEstimate;
use crate::sandbox::imports::compat_version;
use crate::sandbox::probe::{Probe, ProbeShared};

/// A reason why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The recording was made for an incompatible version of the contract.
    #[error(
        "the recording was made for version {recorded} of the contract, this host implements {CONTRACT_VERSION}: \
         replay it with the host that wrote it, or record it anew"
    )]
    OtherContract {
        /// The version in the recording.
        recorded: String,
    },
    /// A value in the recording's header cannot be read, or is one that no run can have.
    #[error("the recording is damaged in line 1 ({0}): record it anew")]
    Header(String),
    /// The component cannot be used as a probe.
    #[error(transparent)]
    Component(#[from] ComponentError),
}

/// Creates a probe that replays a recording with the component of `module`. Its settings and environment are those of
/// `configured`, if given, or else those of the recording, in which secrets are redacted.
///
/// # Errors
/// Each variant of [`ReplayError`].
pub async fn load(
    components: &ComponentCache,
    contexts: &Mutex<ContextFactory>,
    module: &Module,
    recording: &Recording,
    configured: Option<&Probe>,
) -> Result<Probe, ReplayError> {
    let header = &recording.header;
    // A compatible version has the same functions, or more or fewer of them: a replay reports calls that differ.
    if compat_version(&header.contract) != compat_version(CONTRACT_VERSION) {
        return Err(ReplayError::OtherContract { recorded: header.contract.clone() });
    }
    let limits = check_header(header).map_err(ReplayError::Header)?;
    let (settings_map, settings, environment) = match configured {
        Some(probe) => {
            let (context, settings) = probe.context_and_settings();
            (context.settings.clone(), settings.to_owned(), context.policy.environment.clone())
        }
        None => {
            let map = header.settings.as_object().cloned().unwrap_or_default();
            (map.into_iter().collect(), header.settings.to_string(), environment(header))
        }
    };
    let context = Arc::new(ProbeContext {
        identity: Arc::new(identity(header)),
        settings: settings_map,
        policy: Arc::new(Policy { grants: grants(header), environment, ..deny_all() }),
        built_in: matches!(module, Module::BuiltIn(_)),
        ..contexts.lock().empty()
    });
    let DescribedComponent { component, .. } = components.load(module, &context).await?;
    if *component.sha256 != *header.component.sha256 {
        tracing::warn!(%module, "{module} is not the component that was recorded: differences in its calls are reported");
    }
    Ok(Probe::new(ProbeShared {
        component,
        settings: settings.into(),
        limits: Arc::new(limits),
        retries: Retries { times: header.retries, delay: Duration::ZERO },
        cpu_estimate: CpuEstimate::new(context.built_in),
        context,
    }))
}

/// Returns the limits of a recorded run, after a check of the values that the host calculates with.
///
/// # Errors
/// Returns what is wrong with the header.
fn check_header(header: &Header) -> Result<Limits, String> {
    /// The greatest start of a run, as time since 1970. A greater one could overflow when times are added to it.
    const MAX_SINCE_1970: Duration = Duration::from_secs(1 << 40);
    let limits: Limits =
        serde_json::from_value(header.limits.clone()).map_err(|error| format!("its limits: {error}"))?;
    limits.check_bounds().map_err(|error| format!("its limits: {error}"))?;
    let max_retries = Retries::max_times();
    if header.retries > max_retries {
        return Err(format!("{} retries: expected at most {max_retries}", header.retries));
    }
    if header.started > MAX_SINCE_1970 {
        return Err("its start is too far in the future".to_owned());
    }
    Ok(limits)
}

fn identity(header: &Header) -> Identity {
    Identity {
        probe: header.component.name.clone(),
        title: header.title.clone(),
        tags: Arc::new(header.tags.clone()),
        failures_before_error: header.failures_before_error,
        pointer: header.pointer.clone(),
        // A replay has no network, and thus no hosts whose answers count.
        ..Identity::default()
    }
}

fn environment(header: &Header) -> BTreeMap<String, SecretString> {
    header.environment.iter().map(|(name, value)| (name.clone(), SecretString::from(value.as_str()))).collect()
}

/// Returns the grants of a replay. They refuse the log if it was refused in the recorded run. They need not refuse
/// hosts, since the recording contains the results of refused calls.
fn grants(header: &Header) -> Grants {
    let refused = header.log_refused.clone();
    let block = refused.map(|declared_by| Allow { declared_by, log: Some(false), ..Allow::default() });
    Grants::new(block.into_iter().collect())
}
