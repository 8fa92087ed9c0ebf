//! The report for the log of a step of GitHub Actions: the runs as text, and commands to the runner that annotate the
//! lines of the configuration.
//!
//! The runner executes commands in everything that a step prints: `::name::` after blanks, and `##[name]` anywhere in a
//! line. So that no target commands it, the text stands between `::stop-commands::TOKEN` and `::TOKEN::`, with a token
//! that nobody can guess.

use std::fmt::Write as _;
use std::sync::Arc;

use super::plain::text;
use super::subject::{ReportSubject, WIDTH};
use crate::assessment::AssessedRun;
use crate::printable::{escape, excerpt};
use crate::run::{Failure, Outcome, Run};
use crate::sink::text::format_findings;

/// The maximum number of bytes of a title, before the runner's own escapes.
const MAX_TITLE_BYTES: usize = 200;
/// The maximum number of bytes of a message, before the runner's own escapes.
const MAX_MESSAGE_BYTES: usize = 4096;

/// Returns the text and the commands.
pub fn report(subject: &ReportSubject, runs: &[Arc<AssessedRun>]) -> String {
    let token = format!("{:032x}", rand::random::<u128>());
    let mut report = format!("::stop-commands::{token}\n{}::{token}::\n", text(runs));
    for AssessedRun { run, .. } in runs.iter().map(|run| &**run) {
        match run.outcome {
            Outcome::Failed(_) | Outcome::Broken(_) => write_error(subject, run, &mut report),
            Outcome::Passed | Outcome::PassedAfterRetry(_) => write_warnings(subject, run, &mut report),
        }
    }
    report
}

fn write_error(subject: &ReportSubject, run: &Run, into: &mut String) {
    let (reason, message) = run.outcome.why().unwrap_or_default();
    let message = format!("{reason}: {}\n{}", escape(message), format_findings(run, WIDTH).to_plain());
    write_command("error", subject, run, run.outcome.as_str(), &message, into);
}

fn write_warnings(subject: &ReportSubject, run: &Run, into: &mut String) {
    for Failure { reason, message, .. } in &run.warnings {
        write_command("warning", subject, run, "warning", &format!("{reason}: {}", escape(message)), into);
    }
}

/// Writes one command, such as `::error title=failed%3A Shop,file=probes.yaml,line=3::status: expected status 200`.
fn write_command(command: &str, subject: &ReportSubject, run: &Run, outcome: &str, message: &str, into: &mut String) {
    let title = excerpt(&format!("{outcome}: {}", run.probe.title), MAX_TITLE_BYTES);
    _ = write!(into, "::{command} title={}", escape_property(&title));
    if let Some(place) = subject.place(run) {
        _ = write!(into, ",file={},line={}", escape_property(&escape(&place.file)), place.line);
    }
    let message = message.trim_end();
    let message = &message[..message.floor_char_boundary(MAX_MESSAGE_BYTES)];
    _ = writeln!(into, "::{}", escape_data(message));
}

/// Returns the message of a command as the runner decodes it.
fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// Returns the value of a property of a command as the runner decodes it.
fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;
    use crate::run::Identity;
    use crate::sink::fixtures;

    /// Returns the lines of the report about one run.
    fn lines_of(run: Run, place: Option<Place>) -> Vec<String> {
        let places = place.map(|place| (run.probe.pointer.clone(), place)).into_iter().collect();
        let subject = ReportSubject { name: "probes.yaml".to_owned(), places };
        let report = report(&subject, &[Arc::new(fixtures::assessed(run))]);
        report.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_failure_annotates_the_line_of_its_probe() {
        let mut run = fixtures::failed();
        run.probe = Arc::new(Identity { title: "a, b: 100%".to_owned(), ..Identity::clone(&run.probe) });
        let lines = lines_of(run.clone(), Some(Place { file: "c:d,e.yaml".to_owned(), line: 7 }));
        let expected = "::error title=failed%3A a%2C b%3A 100%25,file=c%3Ad%2Ce.yaml,line=7::status: answered 503 \
                        instead of 2xx%0A    $.version: expected \"1.2\", got nothing";
        assert_eq!(lines.last().map(String::as_str), Some(expected));
        let without_file = lines_of(run, None);
        assert!(without_file.last().is_some_and(|line| line.starts_with("::error title=failed%3A a%2C b%3A 100%25::")));
    }

    #[test]
    fn the_runner_executes_no_command_in_the_text() {
        let mut run = fixtures::failed();
        run.log[0].message = "::error::x ##[error]y".to_owned();
        if let Outcome::Failed(failure) = &mut run.outcome {
            failure.message = "a\n::error::b\r%0A".to_owned();
        }
        let lines = lines_of(run, None);
        let token = lines[0].strip_prefix("::stop-commands::").expect("commands are stopped first");
        assert!(token.len() == 32 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
        let resumed = lines.iter().position(|line| *line == format!("::{token}::")).expect("commands are resumed");
        assert_eq!(resumed, lines.len() - 2, "{lines:#?}");
        assert!(lines[resumed + 1].contains("::status: a\\n::error::b\\r%250A%0A"), "{lines:#?}");
    }

    #[test]
    fn warnings_of_a_run_that_passed_are_annotations_too() {
        let lines = lines_of(fixtures::warned(), Some(Place { file: "p.yaml".to_owned(), line: 1 }));
        let commands: Vec<_> = lines.iter().filter(|line| line.starts_with("::warning ")).collect();
        assert_eq!(commands.len(), 2, "{lines:#?}");
        assert!(commands[1].ends_with("file=p.yaml,line=1::assertion: 2 assertions do not hold"), "{}", commands[1]);
        assert!(!lines_of(fixtures::passed(), None).iter().any(|line| line.contains("title=")));
    }
}
