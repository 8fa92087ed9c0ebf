//! `sentrynet once`: runs each probe once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::ValueEnum;
use sentrynet::Loaded;
use sentrynet::assessment::AssessedRun;
use sentrynet::config::MonitorSubject;
use sentrynet::run::{Outcome, Run};
use sentrynet::sandbox::Probe;
use sentrynet::sink::console::ConsoleOptions;
use sentrynet::sink::report::{ReportOptions, render};
use sentrynet::sink::{SinkOptions, Sinks};
use sentrynet::workers::Workers;
use tokio::task::{JoinError, JoinSet};

use super::test::RecordingFile;
use super::{BROKEN, FLUSH_TIMEOUT, INVALID_INPUT, exit_code, load, log_missing_dsn, read};
use crate::logging::{print_error, status_line};
use crate::output::print_report;

mod progress;
mod reports;
mod selection;

use progress::Progress;
use reports::{Format, ReportArgument};
use selection::Selection;

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration: a YAML file, a folder of them, or `-` for standard input
    config: PathBuf,
    /// The format of the results on standard output: `text` has a line for each run, and the waterfall of a run that
    /// did not pass; `json` has one array with all runs; `junit` is XML for CI systems; `github` is the text, with
    /// annotations of the configuration's lines and a summary of the step for GitHub Actions; `markdown` has a table
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Write a report to a file as well, in one of the formats of `--format`, such as `junit=report.xml`; may be given
    /// more than once
    #[arg(long, value_name = "FORMAT=FILE", value_parser = reports::parse)]
    report: Vec<ReportArgument>,
    /// The outcomes of runs for which the exit code is not 0: `failed` counts runs that failed (1) or broke (3),
    /// `broken` only those that broke, `none` neither; errors of the program itself always count
    #[arg(long, value_enum, default_value_t, value_name = "OUTCOME")]
    fail_on: FailOn,
    #[command(flatten)]
    selection: Selection,
    /// Show the waterfall of every run, not only of runs that did not pass
    #[arg(long)]
    trace: bool,
    /// Record every call of the run in this file, without secrets, to replay it with `test --replay`; only one probe
    /// may run
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

/// The outcomes for which the exit code is not 0.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum FailOn {
    Broken,
    #[default]
    Failed,
    None,
}

impl FailOn {
    fn exit_code(self, outcome: &Outcome) -> u8 {
        match (self, outcome) {
            (Self::None, _) | (Self::Broken, Outcome::Failed(_)) => 0,
            (Self::Broken | Self::Failed, outcome) => exit_code(outcome),
        }
    }
}

/// The maximum number of runs in progress: few enough that they do not delay each other.
const MAX_IN_FLIGHT: usize = 16;

/// What is known before the first run.
struct Prepared {
    loaded: Loaded,
    recording: Option<RecordingFile>,
    reports: ReportOptions,
}

pub async fn once(arguments: &Arguments) -> Result<u8> {
    let Some(Prepared { loaded, recording, reports }) = prepare(arguments).await? else { return Ok(INVALID_INPUT) };
    let Arguments { format, fail_on, trace, .. } = arguments;
    let mut progress = Progress::start(loaded.probes.len());
    let subject = Arc::clone(&reports.subject);
    let options = SinkOptions {
        console: (*format == Format::Text).then(|| ConsoleOptions::text(*trace, false)),
        console_output: status_line::shared_stdout(),
        reports: (!reports.reports.is_empty()).then_some(reports),
        order: Some(loaded.probes.iter().map(|probe| Arc::clone(probe.identity())).collect()),
        report_panics: true,
    };
    let sinks = Sinks::start(&loaded.config, loaded.probes.len(), options)?;
    log_missing_dsn(&loaded.config);
    let runs = run_all(loaded, recording, &sinks, &mut progress).await?;
    drop(progress);
    let mut problems = Vec::new();
    if *format != Format::Text {
        let printed = print_report(&render(format.report(), &subject, &runs));
        problems.extend(printed.err().map(|error| format!("cannot write the report to standard output: {error}")));
    }
    sinks.flush(FLUSH_TIMEOUT).await;
    problems.extend(sinks.unwritten_reports());
    problems.extend(sinks.undelivered().map(|cause| format!("Sentry has not accepted everything: {cause}")));
    for problem in &problems {
        print_error(problem);
    }
    let of_runs = runs.iter().map(|assessed| fail_on.exit_code(&assessed.run.outcome)).max().unwrap_or(0);
    Ok(if problems.is_empty() { of_runs } else { of_runs.max(BROKEN) })
}

/// Reads and loads the configuration, selects the probes, and creates the file of the recording. Returns `None` if the
/// configuration or an argument is invalid, and prints the errors.
async fn prepare(arguments: &Arguments) -> Result<Option<Prepared>> {
    let Arguments { config, format, report, selection, record, .. } = arguments;
    let Some(files) = print_problem(reports::files(*format, report)) else { return Ok(None) };
    let Some(source) = read(config) else { return Ok(None) };
    let Some(mut loaded) = load(&source, &|name| std::env::var(name).ok()).await? else { return Ok(None) };
    if print_problem(selection.retain(&mut loaded.probes)).is_none() {
        return Ok(None);
    }
    let recording = match record {
        None => None,
        Some(path) => match create_recording_file(path.clone(), loaded.probes.len()) {
            Some(recording) => Some(recording),
            None => return Ok(None),
        },
    };
    // This process ends soon. It must not check in to the monitor of the host, which would then miss the next check-in.
    loaded.config.sentry.monitors.retain(|monitor| monitor.subject != MonitorSubject::Host);
    let reports = reports::options(&source, &loaded.probes, files);
    Ok(Some(Prepared { loaded, recording, reports }))
}

/// Returns the value. Returns `None` if there is an error, and prints it.
fn print_problem<T>(result: Result<T, String>) -> Option<T> {
    result.map_err(|problem| print_error(&problem)).ok()
}

/// Creates the file for the recording of the one probe that runs. Returns `None` if several probes would run or the
/// file cannot be created, and prints the error.
fn create_recording_file(path: PathBuf, probes: usize) -> Option<RecordingFile> {
    if probes != 1 {
        let advice = "select one with `--only` and a title that no other probe has";
        print_error(&format!("{probes} probes would run, and a recording holds only one: {advice}"));
        return None;
    }
    RecordingFile::create(path)
}

/// The runs in progress, each with the index of its probe.
type Running = JoinSet<(usize, Result<Run>)>;

/// Runs every probe once, at most [`MAX_IN_FLIGHT`] and at most [`Loaded::in_flight`] at the same time, and reports
/// each run as it ends. Returns the runs in the probes' order.
async fn run_all(
    loaded: Loaded,
    mut recording: Option<RecordingFile>,
    sinks: &Sinks,
    progress: &mut Progress,
) -> Result<Vec<Arc<AssessedRun>>> {
    let in_flight = MAX_IN_FLIGHT.min(loaded.in_flight);
    let mut waiting = loaded.probes.into_iter().enumerate();
    // An infinite rate of runs starts the maximum number of workers.
    let workers = Workers::start(f64::INFINITY).context("cannot start the threads of probes")?;
    let mut running = Running::new();
    let mut ended: Vec<Option<Arc<AssessedRun>>> = Vec::new();
    loop {
        while running.len() < in_flight
            && let Some((index, probe)) = waiting.next()
        {
            ended.push(None);
            progress.add_started(index, &probe.identity().title);
            let recording = recording.take();
            running.spawn_on(async move { (index, run(&probe, recording).await) }, workers.handle(index));
        }
        let Some(run) = next(&mut running, progress).await else { break };
        let (index, run) = run.context("a run panicked: this is a bug, please report it")?;
        let run = run?;
        progress.add_ended(index, &run.outcome);
        ended[index] = Some(sinks.report(run));
    }
    Ok(ended.into_iter().flatten().collect())
}

/// Runs a probe once, and records the run if there is a file for it.
async fn run(probe: &Probe, recording: Option<RecordingFile>) -> Result<Run> {
    match recording {
        Some(recording) => recording.run(probe).await,
        None => Ok(probe.run(Instant::now()).await),
    }
}

/// Shows the progress until a run ends. Returns the run, or `None` if none is in progress.
async fn next(running: &mut Running, progress: &mut Progress) -> Option<Result<(usize, Result<Run>), JoinError>> {
    tokio::select! {
        run = running.join_next() => run,
        () = progress.show() => None,
    }
}
