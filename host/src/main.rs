//! The command line: parses arguments, starts the log, runs one command, and ends with its exit code.

mod command;
mod logging;
mod output;
mod service;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser, Subcommand};

use command::{BROKEN, INVALID_INPUT};
use logging::{LogFormat, print_error, print_usage};
use sentrynet::printable::excerpt;
#[cfg(feature = "compiler")]
use sentrynet::sandbox::{COMPILE_COMMAND, compile_main};

/// Runs synthetic-monitoring probes, each in a WebAssembly sandbox, and reports every run to Sentry.
#[derive(Parser)]
#[command(version, about, arg_required_else_help = true, after_help = AFTER_HELP)]
struct CommandLine {
    /// The format of the log and of errors on standard error: `text`, or `json` with one object a line [default: the
    /// value of `SENTRYNET_LOG_FORMAT`, or `text`]
    #[arg(long, value_enum, global = true, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// A directory that `sentrynet compile` has written: components are loaded from it instead of being compiled
    /// [default: the value of `SENTRYNET_COMPILED`]
    #[arg(long, global = true, value_name = "DIR")]
    compiled: Option<PathBuf>,
    /// With `--version`: show the commit and the versions of the contract and of wasmtime too
    #[arg(long, requires = "version")]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

/// The part of `--help` after the options.
const AFTER_HELP: &str = "\
Exit codes:
  0    every probe passed, or the command succeeded
  1    a target failed (`once`, unless `--fail-on` says otherwise; `test`); something changes (`diff`)
  2    the arguments, the configuration or a component are invalid
  3    a probe or this host broke: nothing is known about the target; or Sentry did not accept the results, or a report
       could not be written (`once`)
  4    something was left out of the configuration (`import`)
  130  a second signal ended `run` at once

Environment:
  SENTRY_DSN            the DSN that runs are sent to, unless the configuration has `sentry.dsn`
  SENTRY_ENVIRONMENT    the environment in Sentry, unless the configuration has `sentry.environment`
  SENTRY_SPOTLIGHT      `1`, or the URL of a Spotlight server to which all runs are sent too
  SENTRYNET_COMPILED    the directory of compiled components, unless `--compiled` is given
  SENTRYNET_HEALTH_SOCKET
                        the socket at which `run` answers `healthcheck`; an empty value turns it off
  SENTRYNET_LOG         the level or the filter of the log, such as `debug` [default: sentrynet=info]
  SENTRYNET_LOG_FORMAT  the format of the log, `text` or `json`, unless `--log-format` is given
  NO_COLOR              turns colours off, if it is set";

#[derive(Subcommand)]
enum Command {
    /// Run all probes on their schedules until SIGINT or SIGTERM, and report each run
    Run(command::run::Arguments),
    /// Run each probe once and report it; exit with 0 if all passed, 1 if a target failed, 3 if a probe broke
    Once(command::once::Arguments),
    /// Run one component once and show where its time went; send nothing to Sentry; exit as `once` does
    Test(command::test::Arguments),
    /// Check the configuration and the settings of its probes, without using the network unless `--online` is given
    Check(command::check::Arguments),
    /// Show what a running program would do if one configuration replaced another; exit with 0 if nothing changes, 1 if
    /// something does
    Diff(command::diff::Arguments),
    /// Show what a component is, what it can do and which permissions it needs; of its code only `describe` runs
    Inspect(command::inspect::Arguments),
    /// Print a JSON Schema of the configuration, with which an editor completes and checks it
    Schema(command::schema::Arguments),
    /// Write a configuration from files of other programs, and say what has no equivalent
    Import(command::import::Arguments),
    /// Create a project for a new probe: a folder with everything that is needed to build it
    New(command::new::Arguments),
    /// Compile the built-in probes and components into a directory, for hosts that load them with `--compiled`
    Compile(command::compile::Arguments),
    /// Ask the `run` of this user whether its probes go on; exit with 0 if they do, and with 1 if not
    Healthcheck(command::healthcheck::Arguments),
    /// Print a script with which a shell completes the arguments of this program
    Completions(command::completions::Arguments),
    /// Write the manual pages to a directory
    #[command(hide = true)]
    Man(command::man::Arguments),
    /// Compile the component on standard input within limits; the program starts itself with this command
    #[cfg(feature = "compiler")]
    #[command(name = COMPILE_COMMAND, hide = true)]
    CompileComponent {
        /// The CPU time in milliseconds and the memory in bytes that it may take, and the kind of processors
        arguments: Vec<String>,
    },
}

/// mimalloc returns memory to the system after a peak; the allocator of glibc does not.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Transparent huge pages of 2 MiB waste memory on many small, short-lived allocations.
    _ = nix::sys::prctl::set_thp_disable(true);
    let arguments = match parse_arguments(&std::env::args_os().collect::<Vec<_>>()) {
        Ok(arguments) => arguments,
        Err(error) if wants_details(&error) => {
            command::version::print_details();
            return ExitCode::SUCCESS;
        }
        Err(error) => {
            print_usage(&error);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(INVALID_INPUT));
        }
    };
    #[cfg(feature = "compiler")]
    if let Command::CompileComponent { arguments } = &arguments.command {
        return compile_main(arguments);
    }
    if let Err(error) = logging::start(arguments.log_format) {
        print_error(&error.to_string());
        return ExitCode::from(INVALID_INPUT);
    }
    if let Err(error) = command::open_compiled(arguments.compiled.as_deref()) {
        print_error(&format!("{error:#}"));
        return ExitCode::from(INVALID_INPUT);
    }
    let code = execute(arguments.command).unwrap_or_else(|error| {
        print_error(&format!("{error:#}"));
        BROKEN
    });
    logging::flush();
    ExitCode::from(code)
}

/// Parses the arguments. An error shows them escaped.
fn parse_arguments(arguments: &[OsString]) -> Result<CommandLine, clap::Error> {
    /// The number of bytes of an argument that an error shows.
    const MAX_SHOWN_BYTES: usize = 1000;
    CommandLine::try_parse_from(arguments).map_err(|error| {
        // clap's message has the arguments as they are: the same error is made with escaped ones.
        let escaped = arguments.iter().map(|argument| excerpt(&argument.to_string_lossy(), MAX_SHOWN_BYTES));
        CommandLine::try_parse_from(escaped).err().unwrap_or(error)
    })
}

/// Returns true if the arguments ask for the version with its details.
fn wants_details(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::DisplayVersion && std::env::args_os().any(|argument| argument == "--verbose")
}

/// Runs one command on a runtime of one thread. Returns its exit code.
fn execute(command: Command) -> Result<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the asynchronous runtime")?.block_on(async {
        if !matches!(command, Command::Run(_)) {
            command::end_at_signal();
        }
        match command {
            Command::Run(arguments) => command::run::run(&arguments).await,
            Command::Once(arguments) => command::once::once(&arguments).await,
            Command::Test(arguments) => command::test::test(&arguments).await,
            Command::Check(arguments) => command::check::check(&arguments).await,
            Command::Diff(arguments) => command::diff::diff(&arguments).await,
            Command::Inspect(arguments) => command::inspect::inspect(&arguments).await,
            Command::Schema(arguments) => command::schema::schema(&arguments).await,
            Command::Import(arguments) => Ok(command::import::run(&arguments)),
            Command::New(arguments) => Ok(command::new::new(&arguments)),
            Command::Compile(arguments) => command::compile::compile(&arguments).await,
            Command::Healthcheck(arguments) => Ok(command::healthcheck::healthcheck(&arguments).await),
            Command::Completions(arguments) => {
                Ok(command::completions::completions(&arguments, &CommandLine::command()))
            }
            Command::Man(arguments) => Ok(command::man::man(&arguments, CommandLine::command())),
            #[cfg(feature = "compiler")]
            Command::CompileComponent { .. } => unreachable!("`main` has handled it"),
        }
    })
}
