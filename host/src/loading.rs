//! Loads the probes of a parsed configuration: all of them before anything runs, or third-party ones in the background.

use std::sync::Arc;

use crate::config::{self, Config, Diagnostic, Module, ParsedConfig, push_within};
use crate::propagation::EventDefaults;
use crate::sandbox::{CodeSource, NotEnoughResources, Probe, Sandbox};

use self::diagnostics::diagnostics;
use self::load_probe::load_probes;
use self::naming::Naming;

mod attempt;
mod background;
mod configured_probes;
mod diagnostics;
mod group_settings;
mod load_probe;
mod naming;
mod reloading;
mod retry_delay;

pub use self::attempt::FailedLoad;
pub use self::background::{PendingProbes, Progress, ReadyProbes};

/// A configuration without errors, and its probes.
pub struct Loaded {
    /// The configuration, with the monitors of its check-ins.
    pub config: Config,
    /// The probes that are ready to run, in the order of [`Config::probes`].
    pub probes: Vec<Probe>,
    /// The number of runs that may be in progress at once: the number in the configuration, or fewer if there are fewer
    /// probes, or if the kernel's limits on memory mappings and open files allow fewer.
    pub in_flight: usize,
    /// Possible mistakes, which do not prevent any probe from running. [`config::render`] shows them in the text of the
    /// configuration.
    pub warnings: Vec<Diagnostic>,
}

/// A configuration without errors, whose third-party components are still being loaded.
pub struct Loading {
    /// The configuration, with the monitors of its check-ins. Monitors whose slugs are made from titles that are not
    /// known yet are missing: [`ReadyProbes`] has them later.
    pub config: Config,
    /// The built-in probes, each with its index in [`Config::probes`].
    pub probes: Vec<(usize, Probe)>,
    /// The number of runs that may be in progress at once, as in [`Loaded::in_flight`].
    pub in_flight: usize,
    /// Warnings about the configuration and the built-in probes, as in [`Loaded::warnings`].
    pub warnings: Vec<Diagnostic>,
    /// The third-party probes.
    pub pending: PendingProbes,
}

/// A reason why a configuration could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The configuration or the settings of its probes are invalid. [`config::render`] shows the errors in the text of
    /// the configuration.
    #[error(
        "the configuration has {} error(s), the first: {}",
        errors.len(),
        errors.first().map(|error| error.message.as_str()).unwrap_or_default()
    )]
    Invalid {
        /// All errors, at least one.
        errors: Vec<Diagnostic>,
        /// The warnings, of which there may be none.
        warnings: Vec<Diagnostic>,
    },
    /// The machine does not have the memory or threads that the configured number of runs at once takes.
    #[error(transparent)]
    Resources(#[from] NotEnoughResources),
}

/// Loads the component of each probe, has each component check its settings, and completes the configuration.
///
/// `code` says where the native code of components comes from: a [`Compiler`](crate::sandbox::Compiler), a directory of
/// code that was compiled before, or both. A program that loads components of strangers should not compile them in its
/// own process, which [`Compiler::ThisProcess`](crate::sandbox::Compiler) does without limits on CPU time and memory.
///
/// Nothing is sent over the network. A program that logs should redact [`Config::secrets`] in its log from before this
/// call.
///
/// # Errors
///
/// Returns [`LoadError::Invalid`] with every error of the configuration and of the probes' settings, and
/// [`LoadError::Resources`] if the machine has not enough memory or threads for `limits.in_flight` runs at once.
pub async fn load(mut parsed: ParsedConfig, code: impl Into<CodeSource>) -> Result<Loaded, LoadError> {
    let sandbox = new_sandbox(&parsed.config, code.into())?;
    let missing = parsed.require_files();
    let has_file = |probe: &config::Probe| probe.module.path().is_none_or(|path| !missing.contains(path));
    let NamedProbes { config, naming, warnings } = load_and_name(parsed, &sandbox, has_file).await?;
    let probes = naming.probes().map(|(_, probe)| probe).collect();
    Ok(Loaded { config, probes, in_flight: sandbox.in_flight(), warnings })
}

/// Loads the built-in probes as [`load`] does, and starts to load the others, several at once. A third-party component
/// that cannot be loaded is no error: each attempt to load it is a broken run, and the next attempt follows later.
///
/// While [`Loading::pending`] exists, files that `${file:PATH}` names in settings are looked at every few seconds. If
/// one has changed, the probes that use it are loaded again, and [`PendingProbes::next`] returns them.
///
/// Must be called within a tokio runtime, in which the components are loaded until [`Loading::pending`] is dropped.
///
/// # Errors
///
/// Returns [`LoadError::Invalid`] with every error of the configuration and of the settings of built-in probes, and
/// [`LoadError::Resources`] as [`load`] does.
pub async fn start_loading(mut parsed: ParsedConfig, code: impl Into<CodeSource>) -> Result<Loading, LoadError> {
    let references = parsed.references.take();
    let sandbox = new_sandbox(&parsed.config, code.into())?;
    let is_built_in = |probe: &config::Probe| matches!(probe.module, Module::BuiltIn(_));
    let NamedProbes { config, naming, warnings } = load_and_name(parsed, &sandbox, is_built_in).await?;
    let probes = naming.probes().collect();
    let in_flight = sandbox.in_flight();
    let pending = PendingProbes::start(&sandbox, naming, references, &warnings);
    Ok(Loading { config, probes, in_flight, warnings, pending })
}

fn new_sandbox(config: &Config, code: CodeSource) -> Result<Arc<Sandbox>, NotEnoughResources> {
    let in_flight = config.in_flight.min(config.probes.len().max(1));
    let event_defaults = EventDefaults::new(&config.sentry);
    let sandbox = Sandbox::new(in_flight, config.total_memory, event_defaults, config.secrets.clone(), code)?;
    Ok(Arc::new(sandbox.with_per_host(config.per_host)))
}

/// The probes of a configuration that have been loaded.
struct NamedProbes {
    /// The configuration, with the monitors of its check-ins as far as they are known.
    config: Config,
    naming: Naming,
    warnings: Vec<Diagnostic>,
}

/// Loads those probes for which `is_loaded` returns true, and completes the configuration.
///
/// # Errors
/// Returns [`LoadError::Invalid`] with every error.
async fn load_and_name(
    mut parsed: ParsedConfig,
    sandbox: &Arc<Sandbox>,
    is_loaded: impl Fn(&config::Probe) -> bool,
) -> Result<NamedProbes, LoadError> {
    let config = &parsed.config;
    let mut naming = Naming::new(config, |probe| sandbox.identity(probe).title.clone());
    let (mut probe_errors, mut probe_warnings) = (Vec::new(), Vec::new());
    sandbox.start_compiling(config.probes.iter().filter(|probe| is_loaded(probe)).map(|probe| &probe.module));
    for (index, loaded) in load_probes(sandbox, config, &is_loaded).await {
        let probe = &config.probes[index];
        match loaded {
            Ok((loaded, warnings)) => {
                naming.add(index, loaded);
                diagnostics(probe, &warnings).for_each(|warning| push_within(&mut probe_warnings, warning));
            }
            Err(problems) => {
                diagnostics(probe, &problems).for_each(|error| push_within(&mut probe_errors, error));
            }
        }
    }
    probe_errors.extend(group_settings::unknown_keys(sandbox, config, &is_loaded).await);
    for error in probe_errors {
        parsed.push_error(error);
    }
    for warning in probe_warnings {
        parsed.push_warning(warning);
    }
    let ParsedConfig { mut config, mut errors, mut warnings, .. } = parsed;
    if errors.is_empty() {
        let named = naming.name();
        warnings.extend(named.warnings);
        match named.monitors {
            Ok(monitors) => config.sentry.monitors = monitors,
            Err(monitor_errors) => errors.extend(monitor_errors),
        }
    }
    if !errors.is_empty() {
        return Err(LoadError::Invalid { errors, warnings });
    }
    Ok(NamedProbes { config, naming, warnings })
}
