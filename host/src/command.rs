//! The commands, each in a module of its own, and the functions that several of them use.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use sentrynet::assessment::AssessedRun;
use sentrynet::config::{self, Config, Diagnostic, Level, ParsedConfig, Source};
use sentrynet::run::Outcome;
use sentrynet::sandbox::{CodeSource, CompiledDirectory, Compiler};
use sentrynet::sink::json::run_to_json;
use sentrynet::trust_store::read_authorities;
use sentrynet::{LoadError, Loaded, Loading};
use tokio::signal::unix::{SignalKind, signal};

use crate::logging::{REDACTOR, print_diagnostics, print_error, print_error_count};
use crate::output::print_json;

pub mod run;
pub mod once;
pub mod test;
pub mod check;
pub mod diff;
pub mod inspect;
pub mod schema;
pub mod import;
pub mod new;
pub mod compile;
pub mod healthcheck;
pub mod completions;
pub mod man;
pub mod version;
mod health_socket;

/// The exit code for invalid arguments, configurations and components.
pub const INVALID_INPUT: u8 = 2;
/// The exit code if a target failed.
const FAILED: u8 = 1;
/// The exit code if a probe or this host broke.
pub const BROKEN: u8 = 3;

/// The time limit for all sinks together to deliver the last runs of a command that ends by itself.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(15);

/// The format of results on standard output: text for a person, or JSON for a program.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Text,
    Json,
}

/// Reads and loads a configuration. Returns `None` if it cannot be read or is invalid, and prints the errors.
async fn read_and_load(path: &Path) -> Result<Option<Loaded>> {
    let Some(source) = read(path) else { return Ok(None) };
    load(&source, &|name| std::env::var(name).ok()).await
}

/// Reads a configuration file. Returns `None` if that fails, and prints the error.
fn read(path: &Path) -> Option<Source> {
    Source::read(path).map_err(|error| print_error(&error.to_string())).ok()
}

/// Loads a configuration, and prints its warnings. Returns `None` if it is invalid, and prints the errors.
async fn load(source: &Source, environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<Loaded>> {
    let loaded = print_errors(source, sentrynet::load(parse(source, environment), code_source()?).await)?;
    Ok(loaded.inspect(|loaded| print_diagnostics(source, Level::Warning, &loaded.warnings)))
}

/// Loads the built-in probes of a configuration, starts to load the others, and prints the warnings. Returns `None` if
/// the configuration or a built-in probe is invalid, and prints the errors.
async fn start_loading(source: &Source) -> Result<Option<Loading>> {
    let parsed = parse(source, &|name| std::env::var(name).ok());
    let loading = print_errors(source, sentrynet::start_loading(parsed, code_source()?).await)?;
    Ok(loading.inspect(|loading| print_diagnostics(source, Level::Warning, &loading.warnings)))
}

/// Parses a configuration, and redacts its secrets in the log from now on.
fn parse(source: &Source, environment: &dyn Fn(&str) -> Option<String>) -> ParsedConfig {
    let parsed = parse_quietly(source, environment);
    REDACTOR.install(parsed.config.secrets.clone());
    parsed
}

/// Parses a configuration, and checks the files that the sinks need.
fn parse_quietly(source: &Source, environment: &dyn Fn(&str) -> Option<String>) -> ParsedConfig {
    let mut parsed = config::parse(source, environment);
    if let Some(Err(why)) = parsed.config.sentry.ca.as_deref().map(read_authorities) {
        parsed.errors.push(Diagnostic::at_value("/sentry/ca", why));
    }
    parsed
}

/// Returns what was loaded. Returns `None` if the configuration is invalid, and prints the errors.
fn print_errors<T>(source: &Source, loaded: Result<T, LoadError>) -> Result<Option<T>> {
    match loaded {
        Ok(loaded) => Ok(Some(loaded)),
        Err(LoadError::Invalid { errors, warnings }) => {
            print_diagnostics(source, Level::Warning, &warnings);
            print_diagnostics(source, Level::Error, &errors);
            print_error_count(source, errors.len());
            Ok(None)
        }
        Err(error @ LoadError::Resources(_)) => Err(error.into()),
    }
}

/// The directory of compiled code that the command line or the environment names.
static COMPILED: OnceLock<Arc<CompiledDirectory>> = OnceLock::new();

/// Opens the directory of compiled code, from which all commands load components: `path`, or that of
/// `SENTRYNET_COMPILED`.
///
/// # Errors
/// Returns an error, with the path and what to do, if the directory cannot be used.
pub fn open_compiled(path: Option<&Path>) -> Result<()> {
    const VARIABLE: &str = "SENTRYNET_COMPILED";
    let of_environment = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()).map(PathBuf::from);
    let Some(path) = path.map(Path::to_owned).or(of_environment) else { return Ok(()) };
    let opened = CompiledDirectory::open(&path);
    let opened = opened.with_context(|| format!("cannot use the compiled code in {}", path.display()))?;
    COMPILED.get_or_init(|| Arc::new(opened));
    Ok(())
}

/// Returns where the native code of components comes from: the directory of compiled code, if one is named, and then
/// the compiler.
fn code_source() -> Result<CodeSource> {
    Ok(CodeSource { compiler: compiler()?, directory: COMPILED.get().cloned() })
}

/// Returns the compiler of components: this program, in a process with limits.
fn compiler() -> Result<Compiler> {
    Compiler::this_program().context("cannot find this program, which compiles components in another process")
}

/// Logs that nothing is sent to Sentry if no DSN is configured.
fn log_missing_dsn(config: &Config) {
    if config.sentry.dsn.is_none() {
        tracing::info!(setting = "sentry.dsn", "nothing is sent to Sentry: neither `sentry.dsn` nor SENTRY_DSN is set");
    }
}

/// Logs where the results of a host go that runs until it is stopped, if they are not sent to Sentry.
fn log_missing_destination(config: &Config) {
    if config.sentry.dsn.is_some() || config.sentry.spotlight.is_some() {
        return log_missing_dsn(config);
    }
    tracing::info!(
        setting = "sentry.dsn",
        "results go to standard output only, and nobody is alerted: set `sentry.dsn` or SENTRY_DSN to send them to \
         Sentry, or SENTRY_SPOTLIGHT=1 to see them in a local Spotlight"
    );
}

/// Writes runs to standard output, as one JSON array.
fn print_runs(runs: &[Arc<AssessedRun>]) {
    print_json(&runs.iter().map(|run| run_to_json(run)).collect::<Vec<_>>());
}

/// Has SIGINT and SIGTERM end this process if it is the first one of its container. The kernel does not deliver signals
/// to such a process unless it handles them. `run` handles them itself.
pub fn end_at_signal() {
    const FIRST_PROCESS: u32 = 1;
    if std::process::id() != FIRST_PROCESS {
        return;
    }
    for (kind, code) in [(SignalKind::interrupt(), 130), (SignalKind::terminate(), 143)] {
        let Ok(mut signal) = signal(kind) else { continue };
        tokio::spawn(async move {
            signal.recv().await;
            std::process::exit(code);
        });
    }
}

fn exit_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Passed | Outcome::PassedAfterRetry(_) => 0,
        Outcome::Failed(_) => FAILED,
        Outcome::Broken(_) => BROKEN,
    }
}
