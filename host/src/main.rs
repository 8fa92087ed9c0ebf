//! The command line: arguments, signals, exit codes.

mod command;

use std::fmt::Arguments;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use command::test::Keep;
use sentrynet::assessment::AssessedRun;
use sentrynet::config::{self, Config, Level, MonitorSubject, ParsedConfig, Source};
use sentrynet::propagation::EventDefaults;
use sentrynet::redaction::LateRedactor;
use sentrynet::run::Outcome;
use sentrynet::sandbox::{self, Probe, Sandbox};
use sentrynet::schedule::{self, Job};
use sentrynet::sink::console::ConsoleOptions;
use sentrynet::sink::json::run_to_json;
use sentrynet::sink::{SinkOptions, Sinks};
use sentrynet::workers::Workers;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tracing_subscriber::EnvFilter;

/// Runs probes against services on a schedule, each in a WebAssembly sandbox, and reports every run to Sentry.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all probes on their schedules, until SIGINT or SIGTERM
    Run {
        /// The configuration, a YAML file; `-` reads standard input
        config: PathBuf,
        /// How to write the results: a line of text for each run, or one of JSON
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Show the waterfall of every run, not only of those that fail
        #[arg(long)]
        trace: bool,
    },
    /// Run each probe once; exit with 0 if all passed, 1 if a target failed, 3 if a probe broke
    Once {
        /// The configuration, a YAML file; `-` reads standard input
        config: PathBuf,
        /// How to write the results
        #[arg(long, value_enum, default_value_t)]
        format: Format,
        /// Run only the probe with this title; may be given more than once
        #[arg(long, value_name = "TITLE")]
        only: Vec<String>,
        /// Show the waterfall of every run, not only of those that fail
        #[arg(long)]
        trace: bool,
        /// Keep every call of the run in this file, without secrets, to replay it with `test --replay`
        #[arg(long, value_name = "FILE")]
        record: Option<PathBuf>,
    },
    /// Run one component once, with its waterfall; sends nothing to Sentry; exits as `once` does
    Test(command::test::Arguments),
    /// Check the configuration and its probes without touching the network; exit with 0 or 2
    Check {
        /// The configuration, a YAML file; `-` reads standard input
        config: PathBuf,
    },
    /// Say what a component is, what it could do and what it would need allowed; nothing of it runs but what says that
    Inspect(command::inspect::Arguments),
    /// Print a JSON Schema of the configuration, with which editors complete and check it
    Schema {
        /// The configuration whose components are to be known too; `-` reads standard input
        config: Option<PathBuf>,
    },
    /// Begin a probe: write a project that builds, with all that it takes, into a folder of its name
    New(command::new::Arguments),
}

#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Format {
    #[default]
    Text,
    Json,
}

/// The C library's keeps what a peak has taken.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A configuration, a usage or a probe that cannot be.
const INVALID_INPUT: u8 = 2;
/// A target failed.
const FAILED: u8 = 1;
/// Our side broke.
const BROKEN: u8 = 3;

/// Keeps secrets out of what goes to standard error, from the moment that they are known.
static REDACTOR: LazyLock<LateRedactor> = LazyLock::new(LateRedactor::default);

/// How long all sinks together may take to deliver the last runs after a signal. With [`schedule::GRACE`] it is well within
/// the ten seconds that a container is given to stop.
const FLUSH_AT_STOP: Duration = Duration::from_secs(3);
/// The same for commands that end by themselves.
const FLUSH_AT_END: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    // Pages of 2 MiB for what is small and lives briefly: memory that nobody uses.
    _ = nix::sys::prctl::set_thp_disable(true);
    let arguments = CommandLine::parse();
    REDACTOR.hook_panics();
    let filter = match std::env::var("SENTRYNET_LOG").unwrap_or_default().as_str() {
        "" => Ok(EnvFilter::new("sentrynet=info")),
        given => EnvFilter::try_new(given),
    };
    let filter = match filter {
        Ok(filter) => filter,
        Err(error) => {
            let advice = "give it a level such as `debug`";
            print_error(format_args!("{}: SENTRYNET_LOG is no filter ({error}): {advice}\n", red("error")));
            return ExitCode::from(INVALID_INPUT);
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(REDACTOR.clone())
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .log_internal_errors(false)
        .init();
    match execute(arguments.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            print_error(format_args!("{}: {error:#}\n", red("error")));
            ExitCode::from(BROKEN)
        }
    }
}

fn execute(command: Command) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        match command {
            Command::Run { config, format, trace } => run(&config, format, trace).await,
            Command::Once { config, format, only, trace, record } => {
                once(&config, format, &only, trace, record.as_deref()).await
            }
            Command::Test(arguments) => command::test::test(&arguments).await,
            Command::Check { config } => check(&config).await,
            Command::Inspect(arguments) => command::inspect::inspect(&arguments).await,
            Command::Schema { config } => command::schema::schema(config.as_deref()).await,
            Command::New(arguments) => Ok(command::new::new(&arguments)),
        }
    })
}

async fn run(path: &Path, format: Format, trace: bool) -> Result<u8> {
    // Before anything that takes time: a signal that comes early must not end us rudely.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let stop = async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping: runs that have begun may end; a second signal ends them");
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            std::process::exit(130);
        });
    };

    let Some(Loaded { config, probes, in_flight }) = read(path).await? else { return Ok(INVALID_INPUT) };
    let console = if format == Format::Json { ConsoleOptions::json() } else { ConsoleOptions::text(trace, true) };
    let options = SinkOptions { console: Some(console), order: None, report_panics: true };
    let sinks = Arc::new(Sinks::start(&config, probes.len(), options)?);
    log_missing_dsn(&config);
    let jobs = probes.into_iter().zip(config.probes);
    let jobs: Vec<_> =
        jobs.map(|(probe, configured)| Job { probe, every: configured.every, burst: configured.burst }).collect();
    tracing::info!("{} probes on schedule", jobs.len());
    let lanes = Workers::start(schedule::runs_per_second(&jobs)).context("cannot start")?;
    schedule::run(jobs, &lanes, in_flight, Arc::clone(&sinks), stop).await;
    sinks.flush(FLUSH_AT_STOP).await;
    Ok(0)
}

async fn once(path: &Path, format: Format, only: &[String], trace: bool, record: Option<&Path>) -> Result<u8> {
    /// Few enough that runs do not stand in each other's way.
    const AT_ONCE: usize = 16;
    let Some(mut loaded) = read(path).await? else { return Ok(INVALID_INPUT) };
    // Titles are without secrets already.
    let only: Vec<_> = only.iter().map(|title| REDACTOR.redact(title).into_owned()).collect();
    for title in &only {
        if !loaded.probes.iter().any(|probe| probe.identity().title == *title) {
            let titles: Vec<_> = loaded.probes.iter().map(|probe| format!("`{}`", probe.identity().title)).collect();
            print_error(format_args!(
                "{}: no probe is titled `{title}`; there are {}\n",
                red("error"),
                titles.join(", ")
            ));
            return Ok(INVALID_INPUT);
        }
    }
    loaded.probes.retain(|probe| only.is_empty() || only.contains(&probe.identity().title));
    let mut keep = match record.map(|record| (record, loaded.probes.len())) {
        None => None,
        Some((record, 1)) => match Keep::new(record) {
            Some(keep) => Some(keep),
            None => return Ok(INVALID_INPUT),
        },
        Some((_, count)) => {
            let advice = "a recording holds one: name it with `--only`, by a title that no other has";
            print_error(format_args!("{}: {count} probes would run: {advice}\n", red("error")));
            return Ok(INVALID_INPUT);
        }
    };
    // We are not here to stay: nobody is to wait for our next minute.
    loaded.config.sentry.monitors.retain(|monitor| monitor.subject != MonitorSubject::Host);

    let options = SinkOptions {
        console: (format == Format::Text).then(|| ConsoleOptions::text(trace, false)),
        order: Some(loaded.probes.iter().map(|probe| Arc::clone(probe.identity())).collect()),
        report_panics: true,
    };
    let sinks = Sinks::start(&loaded.config, loaded.probes.len(), options)?;
    log_missing_dsn(&loaded.config);
    let mut waiting = loaded.probes.into_iter().enumerate();
    // As fast as they go.
    let lanes = Workers::start(f64::INFINITY).context("cannot start")?;
    let mut running = JoinSet::new();
    let mut ended: Vec<Option<Arc<AssessedRun>>> = Vec::new();
    loop {
        while running.len() < AT_ONCE.min(loaded.in_flight)
            && let Some((index, probe)) = waiting.next()
        {
            ended.push(None);
            let keep = keep.take();
            let run = async move {
                let run = match keep {
                    Some(keep) => keep.run(&probe).await,
                    None => Ok(probe.run(Instant::now()).await),
                };
                (index, run)
            };
            running.spawn_on(run, lanes.handle(index));
        }
        let Some(one) = running.join_next().await else { break };
        let (index, run) = one.context("a run panicked: this is a bug, please report it")?;
        ended[index] = Some(sinks.report(run?));
    }
    let runs: Vec<_> = ended.into_iter().flatten().collect();
    if format == Format::Json {
        print(&runs);
    }
    sinks.flush(FLUSH_AT_END).await;
    Ok(runs.iter().map(|assessed| exit_code(&assessed.run.outcome)).max().unwrap_or(0))
}

/// Writes runs as one text of JSON.
fn print(runs: &[Arc<AssessedRun>]) {
    let runs: Vec<_> = runs.iter().map(|run| run_to_json(run)).collect();
    let mut out = std::io::stdout().lock();
    // Who closed the pipe has read enough.
    let _ = serde_json::to_writer_pretty(&mut out, &runs).map_err(std::io::Error::from).and_then(|()| writeln!(out));
}

async fn check(path: &Path) -> Result<u8> {
    let Some(loaded) = read(path).await? else { return Ok(INVALID_INPUT) };
    let (probes, name) = (loaded.probes.len(), path.display());
    let noun = if probes == 1 { "probe" } else { "probes" };
    // Who closed the pipe looks at the exit code.
    let _ = writeln!(std::io::stdout(), "{name}: {probes} {noun}, no errors");
    Ok(0)
}

fn exit_code(outcome: &Outcome) -> u8 {
    match outcome {
        Outcome::Passed | Outcome::PassedAfterRetry(_) => 0,
        Outcome::Failed(_) => FAILED,
        Outcome::Broken(_) => BROKEN,
    }
}

/// A configuration with its probes ready to run.
struct Loaded {
    config: Config,
    probes: Vec<Probe>,
    in_flight: usize,
}

/// Reads, checks and loads everything. None if something is wrong, and has been said.
async fn read(path: &Path) -> Result<Option<Loaded>> {
    match Source::read(path) {
        Ok(source) => load(source, &|name| std::env::var(name).ok()).await,
        Err(error) => {
            print_error(format_args!("{}: {error}\n", red("error")));
            Ok(None)
        }
    }
}

/// Checks and loads what has been read.
async fn load(source: Source, environment: &dyn Fn(&str) -> Option<String>) -> Result<Option<Loaded>> {
    let mut parsed = config::parse(&source, environment);
    let config = &parsed.config;
    REDACTOR.install(config.secrets.clone());
    let wanted = config.in_flight.min(config.probes.len().max(1));
    let event_defaults = EventDefaults::new(&config.sentry);
    let mut sandbox = Sandbox::new(wanted, config.total_memory, event_defaults, config.secrets.clone())?;
    let mut probes = Vec::with_capacity(config.probes.len());
    let (mut wrong, mut noted) = (Vec::new(), Vec::new());
    for probe in &config.probes {
        let told = |problem: &sandbox::Problem| probe.diagnostic(&problem.pointer, &problem.message);
        match sandbox.load(probe, &config.directory).await {
            Ok((loaded, warnings)) => {
                probes.push(loaded);
                noted.extend(warnings.iter().map(told));
            }
            Err(problems) => wrong.extend(problems.iter().map(told)),
        }
    }
    parsed.warnings.extend(noted);
    for problem in wrong {
        parsed.push_error(problem);
    }
    let ParsedConfig { mut config, mut errors, mut warnings, .. } = parsed;
    if errors.is_empty() {
        let titles: Vec<_> = probes.iter().map(|probe| probe.identity().title.as_str()).collect();
        warnings.extend(config::check_titles(config.probes.iter().zip(titles.iter().copied())));
        match config::monitors(&config, &titles) {
            Ok(monitors) => config.sentry.monitors = monitors,
            Err(wrong) => errors.extend(wrong),
        }
    }
    for (level, found) in [(Level::Warning, &warnings), (Level::Error, &errors)] {
        print_error(format_args!("{}", config::render(&source, level, found, true)));
    }
    if !errors.is_empty() {
        let noun = if errors.len() == 1 { "error" } else { "errors" };
        print_error(format_args!("\n{}: {} {noun}\n", source.name, errors.len()));
        return Ok(None);
    }
    Ok(Some(Loaded { in_flight: sandbox.in_flight(), config, probes }))
}

fn log_missing_dsn(config: &Config) {
    if config.sentry.dsn.is_none() {
        tracing::info!("nothing is sent to Sentry: neither `sentry.dsn` nor SENTRY_DSN is set");
    }
}

/// Writes to standard error, in colour where that belongs. There is nobody to tell if that fails.
fn print_error(text: Arguments<'_>) {
    let _ = anstream::stderr().write_all(REDACTOR.redact(&text.to_string()).as_bytes());
}

fn red(text: &str) -> String {
    let style = anstyle::AnsiColor::Red.on_default().bold();
    format!("{style}{text}{style:#}")
}
