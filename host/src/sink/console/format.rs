//! A run as lines of text. Knows what a person wants to read of a run, and nothing of where it is written.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::ConsoleOptions;
use super::text::{cut, escape, human, wrap};
use super::waterfall::waterfall;
use crate::assessment::{AssessedRun, Assessment};
use crate::run::{Level, Outcome, Run};
use crate::time_format::time_of_day;

/// Every line of a run, each ending in a line break. Coloured: whoever writes it takes that out where it does not belong.
pub fn render(AssessedRun { run, assessment }: &AssessedRun, look: &ConsoleOptions) -> String {
    // Narrower than this there is nothing left to align.
    let width = look.width.max(40);
    let mut text = String::new();
    head(run, assessment, look.stamp, width, &mut text);
    match &run.outcome {
        Outcome::Passed => {}
        Outcome::PassedAfterRetry(failure) | Outcome::Failed(failure) => {
            for mismatch in failure.mismatches.iter().take(MAX_ITEMS) {
                let [subject, expected, actual] =
                    [&mismatch.subject, &mismatch.expected, &mismatch.actual].map(|part| escape(part));
                note(&format!("{subject}: expected {expected}, got {actual}"), Style::new(), width, &mut text);
            }
        }
        Outcome::Broken(fault) => {
            // A recursion is the same frame again and again.
            for same in fault.backtrace.chunk_by(|one, next| one == next).take(MAX_ITEMS) {
                let times = if same.len() > 1 { format!(", {} times", same.len()) } else { String::new() };
                note(&format!("at {}{times}", escape(&same[0].to_string())), DIM, width, &mut text);
            }
        }
    }
    if look.trace || !run.outcome.passed() {
        text.push_str(&waterfall(&run.trace, width));
        for line in &run.log {
            let line_text = format!("{} {}: {}", human(line.at), line.level.as_str(), escape(&line.message));
            note(&line_text, level(line.level), width, &mut text);
        }
    }
    text
}

const DIM: Style = Style::new().dimmed();
/// Mismatches or frames that are shown.
const MAX_ITEMS: usize = 30;
/// Lines that one message, mismatch or log line may take.
const MAX_LINES: usize = 8;
/// Lateness below this is the ordinary business of a scheduler.
const LATE: Duration = Duration::from_millis(100);

/// `✗ failed     482 ms  api health  status: answered 503 instead of 2xx`; why it failed goes below if it is too long.
fn head(run: &Run, assessment: &Assessment, stamp: bool, width: usize, into: &mut String) {
    let (mark, color) = match run.outcome {
        Outcome::Passed => ('✓', AnsiColor::Green),
        Outcome::PassedAfterRetry(_) => ('✓', AnsiColor::Yellow),
        Outcome::Failed(_) => ('✗', AnsiColor::Red),
        Outcome::Broken(_) => ('!', AnsiColor::Yellow),
    };
    let (color, bold) = (color.on_default(), Style::new().bold());
    if stamp {
        _ = write!(into, "{DIM}{}{DIM:#} ", time_of_day(run.trace.started));
    }
    let outcome = run.outcome.as_str();
    let late = (run.lateness > LATE).then(|| format!("{} late", human(run.lateness)));
    let skipped = (run.skipped > 0).then(|| format!("{} skipped", run.skipped));
    let late = late.into_iter().chain(skipped).reduce(|late, skipped| format!("{late}, {skipped}"));
    let late = late.map(|late| format!("  ({late})")).unwrap_or_default();
    let ended = assessment.outage.filter(|_| assessment.recovery.is_some());
    let recovery = ended.map(|outage| format!("  (down for {})", human(outage.lasted))).unwrap_or_default();
    let duration = human(run.trace.duration());
    let before = if stamp { 9 } else { 0 } + 2 + outcome.len() + 2 + 9 + 2 + chars(&late) + chars(&recovery);
    let title = cut(&escape(&run.probe.title), width.saturating_sub(before));
    _ = write!(into, "{color}{mark} {outcome}{color:#}  {duration:>9}  {bold}{title}{bold:#}{DIM}{late}{DIM:#}");
    _ = write!(into, "{color}{recovery}{color:#}");
    let Some((reason, message)) = run.outcome.why() else {
        into.push('\n');
        return;
    };
    let why = match run.outcome {
        Outcome::PassedAfterRetry(_) => {
            format!("attempt {} passed, the first failed, {}: {}", run.attempts, escape(reason), escape(message))
        }
        _ => format!("{}: {}", escape(reason), escape(message)),
    };
    if before + chars(&title) + 2 + chars(&why) <= width {
        _ = writeln!(into, "  {color}{why}{color:#}");
    } else {
        into.push('\n');
        note(&why, color, width, into);
    }
}

/// Lines under the head, as many as it takes.
fn note(text: &str, style: Style, width: usize, into: &mut String) {
    for (index, line) in wrap(text, width - 6, MAX_LINES).iter().enumerate() {
        let indent = if index == 0 { "    " } else { "      " };
        _ = writeln!(into, "{indent}{style}{line}{style:#}");
    }
}

fn level(level: Level) -> Style {
    match level {
        Level::Debug => DIM,
        Level::Info => Style::new(),
        Level::Warn => AnsiColor::Yellow.on_default(),
        Level::Error => AnsiColor::Red.on_default(),
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixtures;

    fn plain(run: &Run, look: ConsoleOptions) -> String {
        rendered(&fixtures::assessed(run.clone()), look)
    }

    fn rendered(run: &AssessedRun, look: ConsoleOptions) -> String {
        anstream::adapter::strip_str(&render(run, &look)).to_string()
    }

    const LOOK: ConsoleOptions = ConsoleOptions { json: false, trace: false, stamp: false, width: 100 };

    #[test]
    fn a_passed_run_is_one_line() {
        assert_eq!(plain(&fixtures::passed(), LOOK), "✓ passed     482 ms  example.org\n");
        let mut late = fixtures::passed();
        late.lateness = Duration::from_millis(340);
        let stamped = plain(&late, ConsoleOptions { stamp: true, ..LOOK });
        assert_eq!(stamped, "22:45:01 ✓ passed     482 ms  example.org  (340 ms late)\n");
        late.skipped = 3;
        assert_eq!(plain(&late, LOOK), "✓ passed     482 ms  example.org  (340 ms late, 3 skipped)\n");
        late.lateness = LATE;
        assert_eq!(plain(&late, LOOK), "✓ passed     482 ms  example.org  (3 skipped)\n");
        assert_eq!(plain(&late, ConsoleOptions { json: false, trace: true, ..LOOK }).lines().count(), 1 + 8 + 1);
    }

    #[test]
    fn the_end_of_an_outage_is_told_with_its_length() {
        let mut run = fixtures::recovered();
        assert_eq!(rendered(&run, LOOK), "✓ passed     482 ms  example.org  (down for 2 m 05 s)\n");
        // Too few failures for an error are no outage.
        run.assessment.recovery = None;
        assert_eq!(rendered(&run, LOOK), "✓ passed     482 ms  example.org\n");
    }

    #[test]
    fn why_a_run_did_not_pass_is_said_first() {
        let failed = plain(&fixtures::failed(), LOOK);
        let lines: Vec<_> = failed.lines().collect();
        assert_eq!(lines[0], "✗ failed     482 ms  api health  (340 ms late)  status: answered 503 instead of 2xx");
        assert_eq!(lines[1], "    status: expected 2xx, got 503");
        assert_eq!(lines[2], "    $.version: expected \"1.2\", got nothing");
        assert_eq!(lines.last(), Some(&"    480 ms warn: answer was short"));
        let broken = plain(&fixtures::broken(), LOOK);
        assert!(broken.starts_with("! broken     482 ms  checkout  trap: the probe trapped: integer divide by zero\n"));
        assert!(broken.contains("\n    at probe::run::divide (src/lib.rs:12)\n    at probe::run\n"), "{broken}");
        let retried = plain(&fixtures::passed_after_retry(), ConsoleOptions { width: 160, ..LOOK });
        let expected = "✓ passed-after-retry     482 ms  api health  (340 ms late)  \
                        attempt 2 passed, the first failed, status: answered 503 instead of 2xx\n";
        assert!(retried.starts_with(expected), "{retried}");
    }

    #[test]
    fn a_long_message_goes_below_and_wraps() {
        let mut run = fixtures::failed();
        if let Outcome::Failed(failure) = &mut run.outcome {
            failure.message = "word ".repeat(60);
        }
        let text = plain(&run, ConsoleOptions { width: 60, ..LOOK });
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert!(text.starts_with("✗ failed     482 ms  api health  (340 ms late)\n    status: word word"), "{text}");
    }

    #[test]
    fn no_guest_or_target_drives_the_terminal() {
        let evil = "\x1b[2Jx\r\n\u{202e}";
        let mut run = fixtures::failed();
        run.log[0].message = evil.to_owned();
        for span in &mut run.trace.spans {
            span.op = evil.into();
            span.description = evil.to_owned();
        }
        if let Outcome::Failed(failure) = &mut run.outcome {
            failure.reason = evil.to_owned();
            failure.message = evil.to_owned();
            failure.mismatches[0].actual = evil.to_owned();
        }
        let text = plain(&run, LOOK);
        assert!(!text.chars().any(|char| char.is_control() && char != '\n' || char == '\u{202e}'), "{text:?}");
        assert!(text.contains("got \\u{1b}[2Jx\\r\\n\\u{202e}\n"), "{text}");
    }
}
