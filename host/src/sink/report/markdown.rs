//! The report in Markdown, as GitHub and GitLab show it: a table of all probes, and below it the details of those that
//! did not pass or have warnings.
//!
//! Text that is not the program's own stands in `<code>`, where nothing of it is a mention or a link, with all
//! punctuation as numeric entities, which neither Markdown nor HTML takes for markup; or in fenced code, with a fence
//! that the code does not contain.

use std::fmt::Write as _;
use std::sync::Arc;

use super::subject::{Counts, ReportSubject, WIDTH};
use crate::assessment::AssessedRun;
use crate::printable::{escape, excerpt};
use crate::run::{Outcome, Run};
use crate::sink::text::{format_duration, format_findings, format_trace};

/// The maximum number of bytes of a title or a message in the table, before it is escaped.
const MAX_CELL_BYTES: usize = 200;
/// The number of bytes that are kept for the lines about what was left out.
const RESERVED_BYTES: usize = 400;

/// Returns the report in at most `max_bytes`: first the probes that did not pass, so that others are left out before
/// them. Returns an empty text if not even the heading has room.
pub fn report(subject: &ReportSubject, runs: &[Arc<AssessedRun>], max_bytes: usize) -> String {
    let mut report = heading(subject, runs);
    let Some(room) = max_bytes.checked_sub(report.len() + RESERVED_BYTES) else { return String::new() };
    let mut runs: Vec<&AssessedRun> = runs.iter().map(|run| &**run).collect();
    // The sort is stable: probes of one rank keep their order.
    runs.sort_by_key(|run| rank(&run.run));
    let details: Vec<_> =
        runs.iter().filter(|run| rank(&run.run) < Rank::Passed).map(|run| details(&run.run)).collect();
    // The table gets half of the room, or what the details leave.
    let table_room = (room / 2).max(room.saturating_sub(details.iter().map(String::len).sum()));
    let rows = push_within(&mut report, table_room, runs.iter().map(|run| row(subject, &run.run)));
    if rows < runs.len() {
        _ = writeln!(report, "| … | {} more probes | | |", runs.len() - rows);
    }
    let room = max_bytes.saturating_sub(report.len() + RESERVED_BYTES / 2);
    let shown = push_within(&mut report, room, details.iter().cloned());
    if shown < details.len() {
        _ = writeln!(report, "\nThe details of {} more probes are left out.", details.len() - shown);
    }
    report
}

/// Adds texts as long as they have room in so many bytes. Returns how many.
fn push_within(into: &mut String, room: usize, texts: impl Iterator<Item = String>) -> usize {
    let end = into.len().saturating_add(room);
    let mut count = 0;
    for text in texts {
        if into.len() + text.len() > end {
            break;
        }
        into.push_str(&text);
        count += 1;
    }
    count
}

/// The order of probes in the report.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Failed,
    Broken,
    Noteworthy,
    Passed,
}

fn rank(run: &Run) -> Rank {
    match run.outcome {
        Outcome::Failed(_) => Rank::Failed,
        Outcome::Broken(_) => Rank::Broken,
        Outcome::PassedAfterRetry(_) => Rank::Noteworthy,
        Outcome::Passed if !run.warnings.is_empty() => Rank::Noteworthy,
        Outcome::Passed => Rank::Passed,
    }
}

fn heading(subject: &ReportSubject, runs: &[Arc<AssessedRun>]) -> String {
    let Counts { passed, failed, broken } = Counts::of(runs.iter().map(|run| &**run));
    let parts = [(passed, "passed"), (failed, "failed"), (broken, "broken")];
    let parts = parts.into_iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}"));
    let parts = parts.collect::<Vec<_>>().join(", ");
    let name = inline(&subject.name);
    format!("### SentryNet: {parts}\n\n{name}\n\n| Outcome | Probe | Time | Reason |\n| --- | --- | ---: | --- |\n")
}

fn row(subject: &ReportSubject, run: &Run) -> String {
    let place = subject.place(run).map(|place| format!(" line {}", place.line)).unwrap_or_default();
    let reason = run.outcome.why().map(|(reason, message)| inline(&format!("{reason}: {message}")));
    let reason = reason.or_else(|| warnings(run)).unwrap_or_default();
    let (outcome, title) = (outcome(run), inline(&run.probe.title));
    let duration = format_duration(run.trace.duration());
    format!("| {outcome} | {title}{place} | {duration} | {reason} |\n")
}

fn outcome(run: &Run) -> String {
    let mark = match run.outcome {
        Outcome::Passed | Outcome::PassedAfterRetry(_) => '✓',
        Outcome::Failed(_) => '✗',
        Outcome::Broken(_) => '!',
    };
    format!("{mark} {}", run.outcome.as_str())
}

fn warnings(run: &Run) -> Option<String> {
    let count = run.warnings.len();
    let noun = if count == 1 { "warning" } else { "warnings" };
    (count > 0).then(|| format!("{count} {noun}"))
}

/// Returns a block that can be opened, with what was found and the waterfall.
fn details(run: &Run) -> String {
    let (outcome, title) = (outcome(run), inline(&run.probe.title));
    let why = run.outcome.why().map(|(reason, message)| format!("{reason}: {}\n", escape(message))).unwrap_or_default();
    let code = format!("{why}{}{}", format_findings(run, WIDTH).to_plain(), format_trace(run, WIDTH).to_plain());
    let fence = fence(&code);
    // An empty line ends the HTML, and another one the Markdown within it.
    format!("\n<details><summary>{outcome} {title}</summary>\n\n{fence}text\n{code}{fence}\n\n</details>\n")
}

/// Returns a fence that is longer than any other in a code: of three backquotes or more.
fn fence(code: &str) -> String {
    let longest = code.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    "`".repeat(longest.max(2) + 1)
}

/// Returns the beginning of a text as one line of code, in Markdown as well as in HTML. Letters, digits, blanks, and of
/// the other characters of ASCII those that are markup in neither, stay as they are.
fn inline(text: &str) -> String {
    let mut escaped = String::from("<code>");
    for c in excerpt(text, MAX_CELL_BYTES).chars() {
        match c {
            ' ' | ',' | '-' | '/' | '=' | '?' | '%' | '0'..='9' | 'A'..='Z' | 'a'..='z' => escaped.push(c),
            c if c.is_ascii() => _ = write!(escaped, "&#{};", u32::from(c)),
            c => escaped.push(c),
        }
    }
    escaped + "</code>"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Place;
    use crate::run::Identity;
    use crate::sink::fixtures;

    fn report_of(runs: Vec<Run>, max_bytes: usize) -> String {
        let places = [("/groups/0/probes/0".to_owned(), Place { file: "p.yaml".to_owned(), line: 3 })].into();
        let subject = ReportSubject { name: "p.yaml".to_owned(), places };
        let runs: Vec<_> = runs.into_iter().map(|run| Arc::new(fixtures::assessed(run))).collect();
        report(&subject, &runs, max_bytes)
    }

    #[test]
    fn probes_that_did_not_pass_come_first_and_have_details() {
        let runs = vec![fixtures::passed(), fixtures::warned(), fixtures::broken(), fixtures::failed()];
        let report = report_of(runs, usize::MAX);
        let expected = "### SentryNet: 2 passed, 1 failed, 1 broken

<code>p&#46;yaml</code>

| Outcome | Probe | Time | Reason |
| --- | --- | ---: | --- |
| ✗ failed | <code>api health</code> line 3 | 482 ms | <code>status&#58; answered 503 instead of 2xx</code> |
| ! broken | <code>checkout</code> line 3 | 482 ms | <code>trap&#58; the probe trapped&#58; integer divide by zero</code> |
| ✓ passed | <code>example&#46;org</code> line 3 | 482 ms | 2 warnings |
| ✓ passed | <code>example&#46;org</code> line 3 | 482 ms |  |

<details><summary>✗ failed <code>api health</code></summary>

```text
status: answered 503 instead of 2xx
    $.version: expected \"1.2\", got nothing
    probes.http ";
        assert!(report.starts_with(expected), "{report}");
        assert_eq!(report.matches("</details>").count(), 3, "{report}");
    }

    #[test]
    fn texts_stay_within_their_places() {
        let hostile = "</code></details>| `x` **y** [z](http://e/) <img src=x> @all #1 ```\n# h\u{1b}[0m &lt;";
        let mut run = fixtures::failed();
        run.probe = Arc::new(Identity { title: hostile.to_owned(), ..Identity::clone(&run.probe) });
        run.log[0].message = "`````".to_owned();
        if let Outcome::Failed(failure) = &mut run.outcome {
            failure.message = hostile.to_owned();
        }
        let report = report_of(vec![run], usize::MAX);
        let (before, after) = report.split_once("``````text\n").expect("the fence is longer than any in the code");
        let (_, after) = after.split_once("\n``````\n").expect("the fence is closed");
        assert_eq!(after, "\n</details>\n");
        let cell = "<code>&#60;/code&#62;&#60;/details&#62;&#124; &#96;x&#96; ";
        assert_eq!(before.matches(cell).count(), 2, "{before}");
        let row = before.lines().find(|line| line.starts_with("| ✗")).expect("the probe has a row");
        assert_eq!(row.matches('|').count(), 5, "{row}");
        let allowed = ["<code>", "</code>", "<details>", "<summary>", "</summary>"];
        let tags = allowed.iter().fold(before.to_owned(), |rest, tag| rest.replace(tag, ""));
        assert!(!tags.contains(['<', '>', '@', '[', '`', '*']), "{tags}");
    }

    #[test]
    fn a_report_is_within_its_bound() {
        let mut runs = vec![fixtures::passed(); 2000];
        runs.extend(vec![fixtures::failed(); 50]);
        let whole = report_of(runs.clone(), usize::MAX).len();
        for max_bytes in [0, 100, 1000, 10_000, 50_000, whole / 2, whole] {
            let report = report_of(runs.clone(), max_bytes);
            assert!(report.len() <= max_bytes, "{} of {max_bytes}", report.len());
            assert!(report.is_empty() == (max_bytes < 600), "{max_bytes}: {report}");
            assert!(max_bytes < 10_000 || report.contains("✗ failed") && report.contains(" more probes"), "{report}");
        }
    }
}
