//! Formats a run as lines of text. Independent of the output.

use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::answer::write_answer;
use super::waterfall::waterfall;
use super::wrapping::{format_duration, truncate, wrap};
use crate::assessment::{AssessedRun, Assessment};
use crate::printable::{StyledText, escape};
use crate::run::{Failure, Frame, Level, Mismatch, Outcome, Run};
use crate::time_format::Zone;

/// The form of the lines of a run.
#[derive(Debug, Clone, Copy)]
pub struct TextOptions {
    /// True for the waterfall of every run, false for those of runs that did not pass.
    pub all_waterfalls: bool,
    /// True if each run begins with the time of day.
    pub has_time: bool,
    /// The maximum number of characters of a line. Fewer than 40 count as 40.
    pub width: usize,
}

/// Returns the lines of a run. `zone` is the time zone of its time of day.
pub fn format_run(AssessedRun { run, assessment }: &AssessedRun, options: &TextOptions, zone: &Zone) -> StyledText {
    let width = usable_width(options.width);
    let mut text = StyledText::new();
    let time = options.has_time.then(|| zone.time_of_day(run.trace.started));
    write_heading(run, assessment, time.as_deref(), width, &mut text);
    text.append(&format_findings(run, width));
    if options.all_waterfalls || !run.outcome.passed() {
        text.append(&format_trace(run, width));
    }
    text
}

/// Returns what was found about the target: the checks that did not hold, or the stack of a component that broke; the
/// warnings; and the answer of an HTTP target, unless the run passed. The lines are indented.
pub fn format_findings(run: &Run, width: usize) -> StyledText {
    let width = usable_width(width);
    let mut text = StyledText::new();
    match &run.outcome {
        Outcome::Passed => {}
        Outcome::PassedAfterRetry(failure) | Outcome::Failed(failure) => write_mismatches(failure, width, &mut text),
        Outcome::Broken(fault) => write_backtrace(&fault.backtrace, width, &mut text),
    }
    for warning in &run.warnings {
        let Failure { reason, message, .. } = warning;
        write_indented(&format!("warning, {reason}: {message}"), AnsiColor::Yellow.on_default(), width, &mut text);
        write_mismatches(warning, width, &mut text);
    }
    if !run.outcome.passed() {
        write_answer(run, width, &mut text);
    }
    text
}

/// Returns the waterfall of a run, and its log. The lines are indented.
pub fn format_trace(run: &Run, width: usize) -> StyledText {
    let width = usable_width(width);
    let mut text = waterfall(&run.trace, width);
    for line in &run.log {
        let line_text = format!("{} {}: {}", format_duration(line.at), line.level.as_str(), line.message);
        write_indented(&line_text, level_style(line.level), width, &mut text);
    }
    text
}

/// With fewer columns, nothing can be aligned.
fn usable_width(width: usize) -> usize {
    width.max(40)
}

const DIM: Style = Style::new().dimmed();
/// The maximum number of mismatches or frames that are shown.
const MAX_ITEMS: usize = 30;
/// The maximum number of lines for one message, mismatch or log line.
const MAX_LINES_PER_ITEM: usize = 8;
/// The lateness above which it is shown.
const LATE_AFTER: Duration = Duration::from_millis(100);

/// Writes the stack of a component. Consecutive equal frames, such as those of a recursion, are one line.
fn write_backtrace(backtrace: &[Frame], width: usize, into: &mut StyledText) {
    for frames in backtrace.chunk_by(|one, next| one == next).take(MAX_ITEMS) {
        let times = if frames.len() > 1 { format!(", {} times", frames.len()) } else { String::new() };
        write_indented(&format!("at {}{times}", frames[0]), DIM, width, into);
    }
}

/// Writes the failed checks that the message of a failure does not have already.
fn write_mismatches(Failure { message, mismatches, .. }: &Failure, width: usize, into: &mut StyledText) {
    let mismatches = mismatches.iter().filter(|mismatch| !says(message, mismatch));
    for Mismatch { subject, expected, actual } in mismatches.take(MAX_ITEMS) {
        write_indented(&format!("{subject}: expected {expected}, got {actual}"), Style::new(), width, into);
    }
}

/// Returns true if a message has the expected and the actual value of a mismatch, so that the mismatch would repeat it.
fn says(message: &str, Mismatch { expected, actual, .. }: &Mismatch) -> bool {
    [expected, actual].into_iter().all(|value| has_words(message, value))
}

/// Returns true if a text has these words, and not as parts of longer words.
fn has_words(text: &str, words: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric();
    !words.is_empty()
        && text.match_indices(words).any(|(start, _)| {
            let (before, after) = (&text[..start], &text[start + words.len()..]);
            let goes_on_before = before.ends_with(is_word) && words.starts_with(is_word);
            let goes_on_after = after.starts_with(is_word) && words.ends_with(is_word);
            !goes_on_before && !goes_on_after
        })
}

/// Writes the first line, such as `✗ failed     482 ms  api health  status: answered 503 instead of 2xx`. If the reason
/// and the message do not fit into it, they follow on lines of their own.
fn write_heading(run: &Run, assessment: &Assessment, time: Option<&str>, width: usize, into: &mut StyledText) {
    let (mark, color) = match run.outcome {
        Outcome::Passed if run.warnings.is_empty() => ('✓', AnsiColor::Green),
        Outcome::Passed | Outcome::PassedAfterRetry(_) => ('✓', AnsiColor::Yellow),
        Outcome::Failed(_) => ('✗', AnsiColor::Red),
        Outcome::Broken(_) => ('!', AnsiColor::Yellow),
    };
    let (color, bold) = (color.on_default(), Style::new().bold());
    if let Some(time) = time {
        into.push_styled(DIM, time);
        into.push(" ");
    }
    let outcome = run.outcome.as_str();
    let lateness = (run.lateness > LATE_AFTER).then(|| format!("{} late", format_duration(run.lateness)));
    let skipped = (run.skipped > 0).then(|| format!("{} skipped", run.skipped));
    let delays = lateness.into_iter().chain(skipped).reduce(|lateness, skipped| format!("{lateness}, {skipped}"));
    let delays = delays.map(|delays| format!("  ({delays})")).unwrap_or_default();
    let ended = assessment.outage.filter(|_| assessment.recovery.is_some());
    let recovery = ended.map(|outage| format!("  (down for {})", format_duration(outage.lasted))).unwrap_or_default();
    let duration = format_duration(run.trace.duration());
    let other_chars = time.map_or(0, |time| char_count(time) + 1)
        + 2
        + outcome.len()
        + 2
        + 9
        + 2
        + char_count(&delays)
        + char_count(&recovery);
    let title = truncate(&escape(&run.probe.title), width.saturating_sub(other_chars));
    into.push_styled(color, &format!("{mark} {outcome}"));
    into.push(&format!("  {duration:>9}  "));
    into.push_styled(bold, &title);
    into.push_styled(DIM, &delays);
    into.push_styled(color, &recovery);
    let Some((reason, message)) = run.outcome.why() else {
        return into.end_line();
    };
    let explanation = match run.outcome {
        Outcome::PassedAfterRetry(_) => {
            format!("attempt {} passed, the first failed, {reason}: {message}", run.attempts)
        }
        _ => format!("{reason}: {message}"),
    };
    let explanation = escape(&explanation);
    if other_chars + char_count(&title) + 2 + char_count(&explanation) <= width {
        into.push("  ");
        into.push_styled(color, &explanation);
        into.end_line();
    } else {
        into.end_line();
        write_indented(&explanation, color, width, into);
    }
}

/// Writes text below the heading, in at most [`MAX_LINES_PER_ITEM`] lines.
fn write_indented(text: &str, style: Style, width: usize, into: &mut StyledText) {
    for (index, line) in wrap(&escape(text), width - 6, MAX_LINES_PER_ITEM).iter().enumerate() {
        into.push(if index == 0 { "    " } else { "      " });
        into.push_styled(style, line);
        into.end_line();
    }
}

fn level_style(level: Level) -> Style {
    match level {
        Level::Debug => DIM,
        Level::Info => Style::new(),
        Level::Warn => AnsiColor::Yellow.on_default(),
        Level::Error => AnsiColor::Red.on_default(),
    }
}

fn char_count(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixtures;

    fn plain(run: &Run, options: TextOptions) -> String {
        plain_assessed(&fixtures::assessed(run.clone()), options)
    }

    fn plain_assessed(run: &AssessedRun, options: TextOptions) -> String {
        format_run(run, &options, &Zone::utc()).to_plain()
    }

    const OPTIONS: TextOptions = TextOptions { all_waterfalls: false, has_time: false, width: 100 };

    #[test]
    fn a_passed_run_is_one_line() {
        assert_eq!(plain(&fixtures::passed(), OPTIONS), "✓ passed     482 ms  example.org\n");
        let mut late = fixtures::passed();
        late.lateness = Duration::from_millis(340);
        let with_time = plain(&late, TextOptions { has_time: true, ..OPTIONS });
        assert_eq!(with_time, "22:45:01Z ✓ passed     482 ms  example.org  (340 ms late)\n");
        late.skipped = 3;
        assert_eq!(plain(&late, OPTIONS), "✓ passed     482 ms  example.org  (340 ms late, 3 skipped)\n");
        late.lateness = LATE_AFTER;
        assert_eq!(plain(&late, OPTIONS), "✓ passed     482 ms  example.org  (3 skipped)\n");
        assert_eq!(plain(&late, TextOptions { all_waterfalls: true, ..OPTIONS }).lines().count(), 1 + 8 + 1);
    }

    #[test]
    fn the_end_of_an_outage_is_shown_with_its_length() {
        let mut run = fixtures::recovered();
        assert_eq!(plain_assessed(&run, OPTIONS), "✓ passed     482 ms  example.org  (down for 2 m 05 s)\n");
        // With too few failures for an error, no outage is shown.
        run.assessment.recovery = None;
        assert_eq!(plain_assessed(&run, OPTIONS), "✓ passed     482 ms  example.org\n");
    }

    #[test]
    fn the_heading_has_the_reason_and_details_follow() {
        let failed = plain(&fixtures::failed(), OPTIONS);
        let lines: Vec<_> = failed.lines().collect();
        assert_eq!(lines[0], "✗ failed     482 ms  api health  (340 ms late)  status: answered 503 instead of 2xx");
        // The message has the other mismatch already.
        assert_eq!(lines[1], "    $.version: expected \"1.2\", got nothing");
        assert!(lines[2].starts_with("    probes.http "), "{failed}");
        assert_eq!(lines.last(), Some(&"    480 ms warn: answer was short"));
        let broken = plain(&fixtures::broken(), OPTIONS);
        assert!(broken.starts_with("! broken     482 ms  checkout  trap: the probe trapped: integer divide by zero\n"));
        assert!(broken.contains("\n    at probe::run::divide (src/lib.rs:12)\n    at probe::run\n"), "{broken}");
        let retried = plain(&fixtures::passed_after_retry(), TextOptions { width: 160, ..OPTIONS });
        let expected = "✓ passed-after-retry     482 ms  api health  (340 ms late)  \
                        attempt 2 passed, the first failed, status: answered 503 instead of 2xx\n";
        assert!(retried.starts_with(expected), "{retried}");
    }

    #[test]
    fn warnings_are_shown_below_a_run_that_passed() {
        let expected = "✓ passed     482 ms  example.org
    warning, assertion: certificate days: expected at least 14 days, got 13 days
    warning, assertion: 2 assertions do not hold
    $.version: expected \"1.2\", got 3
    $.version: expected text, got 3
";
        assert_eq!(plain(&fixtures::warned(), OPTIONS), expected);
    }

    #[test]
    fn a_mismatch_that_the_message_has_is_not_repeated() {
        let check = |message: &str, expected: &str, actual: &str, is_said: bool| {
            let [subject, expected, actual] = ["x", expected, actual].map(str::to_owned);
            assert_eq!(says(message, &Mismatch { subject, expected, actual }), is_said, "{message}");
        };
        check("expected status 200, got 503", "200", "503", true);
        check("$.a: expected \"up\", got \"down\"", "\"up\"", "\"down\"", true);
        check("the command ended with status 10", "0", "10", false);
        check("the command ended with status 3", "0", "3", false);
        check("got 5030, expected 200", "200", "503", false);
        check("it is down", "", "down", false);
    }

    #[test]
    fn the_answer_is_shown_between_the_mismatches_and_the_waterfall() {
        let mut run = fixtures::failed();
        run.evidence = serde_json::from_value(serde_json::json!({ "http": {
            "method": "GET", "url": "https://example.org/health", "query": [], "headers": [], "redirects": [],
            "connection": { "phase": "receive", "peer": "93.184.216.34:443" },
            "response": {
                "status": 503, "headers": [["content-type", "text/plain"]], "body": { "size": 9, "text": "try later" },
            },
        }}))
        .unwrap();
        let text = plain(&run, TextOptions { width: 80, ..OPTIONS });
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines[2], "    $.version: expected \"1.2\", got nothing");
        assert_eq!(lines[3], "    GET https://example.org/health answered 503 with text/plain, 9 bytes:");
        assert_eq!(lines[4], "      try later");
        assert!(lines[5].starts_with("    probes.http "), "{text}");
    }

    #[test]
    fn a_long_message_goes_below_and_wraps() {
        let mut run = fixtures::failed();
        if let Outcome::Failed(failure) = &mut run.outcome {
            failure.message = "word ".repeat(60);
        }
        let text = plain(&run, TextOptions { width: 60, ..OPTIONS });
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert!(text.starts_with("✗ failed     482 ms  api health  (340 ms late)\n    status: word word"), "{text}");
    }

    #[test]
    fn escape_codes_of_guests_and_targets_are_escaped() {
        let hostile_text = "\x1b[2Jx\r\n\u{202e}";
        let mut run = fixtures::failed();
        run.log[0].message = hostile_text.to_owned();
        for span in &mut run.trace.spans {
            span.op = hostile_text.into();
            span.description = hostile_text.to_owned();
        }
        if let Outcome::Failed(failure) = &mut run.outcome {
            failure.reason = hostile_text.to_owned();
            failure.message = hostile_text.to_owned();
            failure.mismatches[0].actual = format!("{hostile_text}!");
        }
        let text = plain(&run, OPTIONS);
        assert!(!text.chars().any(|char| char.is_control() && char != '\n' || char == '\u{202e}'), "{text:?}");
        assert!(text.contains("got \\u{1b}[2Jx\\r\\n\\u{202e}!\n"), "{text}");
    }
}
