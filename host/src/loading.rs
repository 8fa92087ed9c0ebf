//! Loads the probes of a parsed configuration.

use crate::config::{self, Config, Diagnostic, ParsedConfig, push_within};
use crate::propagation::EventDefaults;
use crate::sandbox::{Compiler, NotEnoughResources, Probe, Problem, Sandbox};

/// A configuration without errors, and its probes.
pub struct Loaded {
    /// The configuration, with the monitors of its check-ins.
    pub config: Config,
    /// The probes that are ready to run, in the order of [`Config::probes`].
    pub probes: Vec<Probe>,
    /// The number of runs that may be in flight at once: the number in the configuration, or fewer if the machine has
    /// not enough memory or threads for that.
    pub in_flight: usize,
    /// Possible mistakes, which do not prevent any probe from running. [`config::render`] shows them in the text of the
    /// configuration.
    pub warnings: Vec<Diagnostic>,
}

/// A configuration could not be loaded.
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
    /// The machine cannot give the memory or threads that the configured number of runs at once takes.
    #[error(transparent)]
    Resources(#[from] NotEnoughResources),
}

/// Loads the component of each probe, has each component check its settings, and completes the configuration.
///
/// `compiler` compiles the components of strangers: a program that loads any should compile them in another process.
/// Nothing is sent over the network. A program that logs should redact [`Config::secrets`] in its log from before this
/// call.
///
/// # Errors
///
/// Returns [`LoadError::Invalid`] with every error of the configuration and of the probes' settings, and
/// [`LoadError::Resources`] if the machine has not enough memory or threads for `limits.in_flight` runs at once.
pub async fn load(mut parsed: ParsedConfig, compiler: Compiler) -> Result<Loaded, LoadError> {
    let config = &parsed.config;
    let in_flight = config.in_flight.min(config.probes.len().max(1));
    let event_defaults = EventDefaults::new(&config.sentry);
    let mut sandbox = Sandbox::new(in_flight, config.total_memory, event_defaults, config.secrets.clone(), compiler)?;
    sandbox.start_compiling(config.probes.iter().map(|probe| &probe.module));
    let mut probes = Vec::with_capacity(config.probes.len());
    let (mut probe_errors, mut probe_warnings) = (Vec::new(), Vec::new());
    for probe in &config.probes {
        let diagnostic = |problem: &Problem| probe.diagnostic(&problem.pointer, &problem.message);
        match sandbox.load(probe, &config.directory).await {
            Ok((loaded, warnings)) => {
                probes.push(loaded);
                warnings.iter().map(diagnostic).for_each(|warning| push_within(&mut probe_warnings, warning));
            }
            Err(problems) => problems.iter().map(diagnostic).for_each(|error| push_within(&mut probe_errors, error)),
        }
    }
    probe_errors.into_iter().for_each(|error| parsed.push_error(error));
    probe_warnings.into_iter().for_each(|warning| parsed.push_warning(warning));
    let ParsedConfig { mut config, mut errors, mut warnings, .. } = parsed;
    if errors.is_empty() {
        for renamed in config::distinct_titles(&config, &titles(&probes)) {
            probes[renamed.index].set_title(renamed.title);
            warnings.push(renamed.warning);
        }
        let titles = titles(&probes);
        warnings.extend(config::check_titles(config.probes.iter().zip(titles.iter().copied())));
        match config::monitors(&config, &titles) {
            Ok(monitors) => config.sentry.monitors = monitors,
            Err(monitor_errors) => errors.extend(monitor_errors),
        }
    }
    if !errors.is_empty() {
        return Err(LoadError::Invalid { errors, warnings });
    }
    Ok(Loaded { config, probes, in_flight: sandbox.in_flight(), warnings })
}

fn titles(probes: &[Probe]) -> Vec<&str> {
    probes.iter().map(|probe| probe.identity().title.as_str()).collect()
}
