//! Loads the probes of a parsed configuration: all of them before anything runs, or third-party ones in the background.

use std::sync::Arc;

use crate::config::{self, Config, Diagnostic, Module, Monitor, ParsedConfig};
use crate::propagation::EventDefaults;
use crate::sandbox::{CodeSource, NotEnoughResources, Probe, Sandbox};

use self::background::ready_probes;
use self::naming::Naming;
use self::strict::{NamedProbes, load_and_name};

mod attempt;
mod background;
mod configured_probes;
mod diagnostics;
mod group_settings;
mod load_probe;
mod naming;
mod reloading;
mod replacement;
mod retry_delay;
mod strict;

pub use self::attempt::FailedLoad;
pub use self::background::{PendingProbes, Progress, ReadyProbe, ReadyProbes, Replaced};
pub use self::replacement::{Replacement, Replacer};
pub use self::strict::LoadError;

/// The least number of runs at once that a program is prepared for whose probes can be replaced, unless
/// `limits.in_flight` is less.
const MIN_IN_FLIGHT: usize = 32;

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
    /// The built-in probes.
    pub probes: Vec<ReadyProbe>,
    /// The number of runs that may be in progress at once, as in [`Loaded::in_flight`], with some more for probes that
    /// another configuration may add.
    pub in_flight: usize,
    /// Warnings about the configuration and the built-in probes, as in [`Loaded::warnings`].
    pub warnings: Vec<Diagnostic>,
    /// The third-party probes.
    pub pending: PendingProbes,
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
    let in_flight = parsed.config.in_flight.min(parsed.config.probes.len().max(1));
    let sandbox = new_sandbox(&parsed.config, in_flight, code.into())?;
    let missing = parsed.require_files(|_| true);
    let has_file = |probe: &config::Probe| probe.module.path().is_none_or(|path| !missing.contains(path));
    let naming = |config: &_| new_naming(config, &sandbox);
    let NamedProbes { naming, monitors, warnings, .. } = load_and_name(parsed, &sandbox, naming, has_file).await?;
    let probes = naming.probes().cloned().collect();
    let config = complete(&naming, monitors);
    Ok(Loaded { config, probes, in_flight: sandbox.in_flight(), warnings })
}

/// Loads the built-in probes as [`load`] does, and starts to load the others, several at once. A third-party component
/// that cannot be loaded is no error: each attempt to load it is a broken run, and the next attempt follows later.
///
/// While [`Loading::pending`] exists, files that `${file:PATH}` names in settings are looked at every few seconds. If
/// one has changed, the probes that use it are loaded again, and [`PendingProbes::next`] returns them.
///
/// [`PendingProbes::replacer`] loads another configuration beside this one, which can then take over.
///
/// Must be called within a tokio runtime, in which the components are loaded until [`Loading::pending`] is dropped.
///
/// # Errors
///
/// Returns [`LoadError::Invalid`] with every error of the configuration and of the settings of built-in probes, and
/// [`LoadError::Resources`] as [`load`] does.
pub async fn start_loading(mut parsed: ParsedConfig, code: impl Into<CodeSource>) -> Result<Loading, LoadError> {
    let references = parsed.references.take();
    let probes = parsed.config.probes.len();
    let in_flight = parsed.config.in_flight.min((probes + probes / 4).max(MIN_IN_FLIGHT));
    let sandbox = new_sandbox(&parsed.config, in_flight, code.into())?;
    let is_built_in = |probe: &config::Probe| matches!(probe.module, Module::BuiltIn(_));
    let naming = |config: &_| new_naming(config, &sandbox);
    let NamedProbes { naming, monitors, warnings, .. } = load_and_name(parsed, &sandbox, naming, is_built_in).await?;
    let numbers: Vec<_> = naming.probes().map(|probe| probe.identity().number).collect();
    let probes = ready_probes(&naming, &numbers);
    let config = complete(&naming, monitors);
    let in_flight = sandbox.in_flight();
    let pending = PendingProbes::start(&sandbox, naming, references, &warnings);
    Ok(Loading { config, probes, in_flight, warnings, pending })
}

/// Returns the configuration with its monitors.
fn complete(naming: &Naming, monitors: Vec<Monitor>) -> Config {
    let mut config = Config::clone(naming.config());
    config.sentry.monitors = monitors;
    config
}

/// Returns the names of a configuration without loaded probes.
fn new_naming(config: &Arc<Config>, sandbox: &Sandbox) -> Naming {
    Naming::new(Arc::clone(config), |probe| sandbox.identity(probe).title.clone())
}

fn new_sandbox(config: &Config, in_flight: usize, code: CodeSource) -> Result<Arc<Sandbox>, NotEnoughResources> {
    let event_defaults = EventDefaults::new(&config.sentry);
    let sandbox = Sandbox::new(in_flight, config.total_memory, event_defaults, config.secrets.clone(), code)?;
    sandbox.set_per_host(config.per_host);
    Ok(Arc::new(sandbox))
}
