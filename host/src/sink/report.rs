//! Reports about the runs of a command that runs each probe once: for CI systems, for people, and for programs.
//!
//! Titles, messages and evidence come from components and targets. Each format escapes them so that they can neither
//! break out of their place nor begin anything of their own.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::Sink;
use crate::assessment::AssessedRun;
use crate::printable::Form;
use crate::threads::run_blocking;

mod file;
mod github;
mod junit;
mod markdown;
mod plain;
mod subject;
mod xml;

pub use self::file::check_path;
pub use self::subject::ReportSubject;

/// The format of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// What the console shows, without colours.
    Text,
    /// One JSON array with all runs.
    Json,
    /// JUnit's XML, as Jenkins and GitLab read it.
    Junit,
    /// The text, and commands for the runner of GitHub Actions that annotate the lines of the configuration.
    Github,
    /// A table of all probes, and details of those that did not pass, of at most [`MAX_MARKDOWN_BYTES`].
    Markdown,
}

/// A file to which a report is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportFile {
    /// The file is created, or replaced once all of the report is written.
    Replace(PathBuf),
    /// The report is added to the end of the file, which then has at most [`MAX_MARKDOWN_BYTES`].
    Append(PathBuf),
}

/// The reports that [`Reports`] writes.
#[derive(Debug, Clone, Default)]
pub struct ReportOptions {
    /// What the reports are about.
    pub subject: Arc<ReportSubject>,
    /// The formats and the files.
    pub reports: Vec<(ReportFormat, ReportFile)>,
}

/// The maximum size of a report in Markdown: GitHub shows no summary of a step that is larger.
pub const MAX_MARKDOWN_BYTES: usize = 1 << 20;

/// A sink that collects runs, and writes reports about them when it is flushed for the first time.
pub struct Reports {
    /// `None` once the reports are written.
    collected: Mutex<Option<Collected>>,
    problems: Mutex<Vec<String>>,
}

struct Collected {
    options: ReportOptions,
    runs: Vec<Arc<AssessedRun>>,
}

impl Reports {
    /// Creates a sink that has no runs yet.
    pub fn new(options: ReportOptions) -> Self {
        let collected = Mutex::new(Some(Collected { options, runs: Vec::new() }));
        Self { collected, problems: Mutex::default() }
    }

    /// Returns what went wrong when the reports were written: a sentence for each report that was not.
    pub fn problems(&self) -> Vec<String> {
        self.problems.lock().clone()
    }
}

#[async_trait]
impl Sink for Reports {
    fn report(&self, run: &Arc<AssessedRun>) {
        if let Some(collected) = &mut *self.collected.lock() {
            collected.runs.push(Arc::clone(run));
        }
    }

    async fn flush(&self, timeout: Duration) {
        let Some(collected) = self.collected.lock().take() else { return };
        let writing = run_blocking("reports", move || collected.write());
        let problems = match tokio::time::timeout(timeout, writing).await {
            Ok(Ok(problems)) => problems,
            Ok(Err(error)) => vec![format!("cannot write the reports: {error}")],
            Err(_) => vec![format!("the reports were not written within {} s", timeout.as_secs())],
        };
        *self.problems.lock() = problems;
    }
}

impl Collected {
    /// Writes all reports. Returns a sentence for each one that cannot be written.
    fn write(&self) -> Vec<String> {
        self.options.reports.iter().filter_map(|(format, file)| self.write_one(*format, file).err()).collect()
    }

    fn write_one(&self, format: ReportFormat, file: &ReportFile) -> Result<(), String> {
        let render = |max_bytes| render_within(format, &self.options.subject, &self.runs, max_bytes);
        let (path, written) = match file {
            ReportFile::Replace(path) => (path, file::replace(path, render(MAX_MARKDOWN_BYTES).as_bytes())),
            ReportFile::Append(path) => (path, file::append(path, MAX_MARKDOWN_BYTES, render)),
        };
        written.map_err(|error| format!("cannot write the report {}: {error}", path.display()))
    }
}

/// Returns a report as text in which everything is escaped that is not printable.
pub fn render(format: ReportFormat, subject: &ReportSubject, runs: &[Arc<AssessedRun>]) -> String {
    render_within(format, subject, runs, MAX_MARKDOWN_BYTES)
}

/// Returns a report. One in Markdown has at most `max_bytes`.
fn render_within(format: ReportFormat, subject: &ReportSubject, runs: &[Arc<AssessedRun>], max_bytes: usize) -> String {
    let report = match format {
        ReportFormat::Text => plain::text(runs),
        ReportFormat::Json => plain::json(runs),
        ReportFormat::Junit => junit::report(subject, runs),
        ReportFormat::Github => github::report(subject, runs),
        ReportFormat::Markdown => markdown::report(subject, runs, max_bytes),
    };
    let form = if format == ReportFormat::Json { Form::Json } else { Form::Text };
    form.finish(&report).into_owned()
}
