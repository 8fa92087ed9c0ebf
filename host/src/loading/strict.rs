//! Loads probes of a configuration that must all be right, and completes the configuration.

use std::sync::Arc;

use super::diagnostics::diagnostics;
use super::group_settings;
use super::load_probe::load_probes;
use super::naming::{Named, Naming};
use crate::config::{self, Config, Diagnostic, Monitor, ParsedConfig, push_within};
use crate::sandbox::{NotEnoughResources, Sandbox};

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

/// The probes of a configuration that have been loaded.
pub struct NamedProbes {
    /// The configuration and the probes.
    pub naming: Naming,
    /// The numbers of the probes whose titles differ from those that they had before, or that their components derived.
    pub renamed: Vec<usize>,
    /// The monitors, as far as they are known.
    pub monitors: Vec<Monitor>,
    pub warnings: Vec<Diagnostic>,
}

/// Loads those probes for which `is_loaded` returns true, and names them. `naming` returns the names of the
/// configuration with the probes that are loaded already.
///
/// # Errors
/// Returns [`LoadError::Invalid`] with every error.
pub async fn load_and_name(
    mut parsed: ParsedConfig,
    sandbox: &Arc<Sandbox>,
    naming: impl FnOnce(&Arc<Config>) -> Naming,
    is_loaded: impl Fn(&config::Probe) -> bool,
) -> Result<NamedProbes, LoadError> {
    let config = &parsed.config;
    let (mut loaded_probes, mut probe_errors, mut probe_warnings) = (Vec::new(), Vec::new(), Vec::new());
    sandbox.start_compiling(config.probes.iter().filter(|probe| is_loaded(probe)).map(|probe| &probe.module));
    for (index, loaded) in load_probes(sandbox, config, &is_loaded).await {
        let probe = &config.probes[index];
        match loaded {
            Ok((loaded, warnings)) => {
                loaded_probes.push(loaded);
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
    let ParsedConfig { config, mut errors, mut warnings, .. } = parsed;
    if !errors.is_empty() {
        return Err(LoadError::Invalid { errors, warnings });
    }
    let mut naming = naming(&Arc::new(config));
    for probe in &loaded_probes {
        naming.add(probe);
    }
    let Named { renamed, monitors, warnings: of_titles } = naming.name();
    warnings.extend(of_titles);
    match monitors {
        Ok(monitors) => Ok(NamedProbes { naming, renamed, monitors, warnings }),
        Err(monitor_errors) => {
            errors.extend(monitor_errors);
            Err(LoadError::Invalid { errors, warnings })
        }
    }
}
