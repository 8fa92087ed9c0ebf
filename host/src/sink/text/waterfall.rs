//! Draws a trace as a waterfall: a row for each span, with a bar that shows when the span began and how long it took.

use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::wrapping::{format_duration, truncate};
use crate::printable::{StyledText, escape};
use crate::trace::{Span, Status, Trace};

/// Returns the rows of a trace, at most `width` characters wide, each on a line.
pub fn waterfall(trace: &Trace, width: usize) -> StyledText {
    let rows: Vec<Row> = in_tree_order(trace).take(MAX_ROWS).map(|(span, depth)| Row::new(span, depth)).collect();
    let columns = Columns::fit(&rows, width);
    let end = trace.spans.iter().map(|span| span.start + span.duration).max().unwrap_or_default();
    let mut text = StyledText::new();
    for row in &rows {
        row.draw(&columns, end, &mut text);
    }
    let not_shown = trace.spans.len() - rows.len();
    if not_shown > 0 {
        text.push_line(&format!("{MARGIN}… {not_shown} more spans"));
    }
    if trace.dropped > 0 {
        text.push_line(&format!("{MARGIN}… {} spans were not recorded: a trace holds at most 1000", trace.dropped));
    }
    text
}

/// The maximum number of spans that are shown: about two screens.
const MAX_ROWS: usize = 100;
/// The depth from which spans are not indented further.
const MAX_DEPTH: usize = 12;
const MARGIN: &str = "    ";
/// The width of a column with times in characters: the longest result of [`format_duration`] up to 99 hours.
const TIME_WIDTH: usize = 9;
const MAX_BAR_WIDTH: usize = 40;
const DIM: Style = Style::new().dimmed();

/// Returns the spans with their depths, each after its parent and before the next child of its parent.
fn in_tree_order(trace: &Trace) -> impl Iterator<Item = (&Span, usize)> {
    let mut children = vec![Vec::new(); trace.spans.len()];
    for (index, span) in trace.spans.iter().enumerate() {
        if let Some(parent) = span.parent {
            children[parent].push(index);
        }
    }
    let mut stack = vec![(0, 0)];
    std::iter::from_fn(move || {
        let (index, depth) = stack.pop()?;
        stack.extend(children[index].iter().rev().map(|child| (*child, depth + 1)));
        Some((&trace.spans[index], depth))
    })
}

struct Row<'a> {
    span: &'a Span,
    label: String,
    description: String,
}

/// The widths of the columns in characters.
struct Columns {
    label: usize,
    description: usize,
    bar: usize,
}

impl Columns {
    /// Distributes the width. The label gets at most half of it, the description at most three fifths of the rest, and
    /// the bar what remains.
    fn fit(rows: &[Row], width: usize) -> Self {
        let longest = |length: fn(&Row) -> usize| rows.iter().map(length).max().unwrap_or(0);
        let gaps = 4 * 2;
        let free = width.saturating_sub(MARGIN.len() + gaps + 2 * TIME_WIDTH);
        let label = longest(|row| row.label.chars().count()).min(free / 2);
        let free = free - label;
        let description = longest(|row| row.description.chars().count()).min(free * 3 / 5);
        Self { label, description, bar: (free - description).min(MAX_BAR_WIDTH) }
    }
}

impl<'a> Row<'a> {
    fn new(span: &'a Span, depth: usize) -> Self {
        let indent = "  ".repeat(depth.min(MAX_DEPTH));
        Self { span, label: indent + &escape(&span.op), description: escape(&span.description).into_owned() }
    }

    fn draw(&self, columns: &Columns, end: Duration, into: &mut StyledText) {
        let (label, bar) = if self.span.status == Status::Ok {
            (Style::new(), phase_style(&self.span.op))
        } else {
            let red = AnsiColor::Red.on_default();
            (red, red)
        };
        let (label_width, description_width) = (columns.label, columns.description);
        into.push(MARGIN);
        into.push_styled(label, &format!("{:label_width$}", truncate(&self.label, label_width)));
        into.push("  ");
        into.push_styled(DIM, &format!("{:description_width$}", truncate(&self.description, description_width)));
        into.push("  ");
        into.push_styled(DIM, &format!("{:>TIME_WIDTH$}", format_duration(self.span.start)));
        into.push(&format!("  {:>TIME_WIDTH$}  ", format_duration(self.span.duration)));
        into.push_styled(bar, &draw_bar(self.span, end, columns.bar));
        into.end_line();
    }
}

/// Returns the colour of a span's bar. Phases that follow each other have different colours, so that short phases are
/// visible.
fn phase_style(op: &str) -> Style {
    let color = match op.rsplit('.').next().unwrap_or(op) {
        "dns" => AnsiColor::Cyan,
        "connect" => AnsiColor::Yellow,
        "tls" | "kex" => AnsiColor::Magenta,
        "send" | "auth" => AnsiColor::White,
        "wait" | "exec" => AnsiColor::Green,
        "receive" | "banner" => AnsiColor::Blue,
        _ => AnsiColor::BrightBlack,
    };
    color.on_default()
}

/// Returns a bar whose beginning is exact to a character, and whose length is exact to an eighth of one. The beginning
/// cannot be as exact, since Unicode has no block characters for the right part of a cell.
fn draw_bar(span: &Span, end: Duration, width: usize) -> String {
    let Some(last) = width.checked_sub(1) else { return String::new() };
    let cells = |time: Duration| time.as_secs_f64() / end.as_secs_f64().max(1e-9) * width as f64;
    let first = (cells(span.start) as usize).min(last);
    let eighths = ((cells(span.duration) * 8.0).round() as usize).clamp(1, (width - first) * 8);
    let rest = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8];
    format!("{}{}{rest}", " ".repeat(first), "█".repeat(eighths / 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixtures;

    fn plain(trace: &Trace, width: usize) -> String {
        waterfall(trace, width).to_plain()
    }

    #[test]
    fn a_row_for_each_span_in_aligned_columns() {
        let expected = "
    probes.http              api health                         0 µs     482 ms  ███████████████████
      http.client            GET https://example.org/hea…     500 µs     479 ms  ██████████████████▉
        http.client.dns      example.org                      600 µs    12.3 ms  ▌
        http.client.connect  93.184.216.34:443               12.9 ms    90.0 ms  ███▌
        http.client.tls      TLS 1.3                          103 ms    97.0 ms      ███▉
        http.client.send                                      200 ms      85 µs         ▏
        http.client.wait                                      200 ms     262 ms         ██████████▍
        http.client.receive  17 bytes                         462 ms    17.6 ms                    ▊
";
        assert_eq!(plain(&fixtures::failed().trace, 100), expected.trim_start_matches('\n'));
    }

    #[test]
    fn no_row_is_wider_than_the_limit() {
        let mut trace = fixtures::failed().trace;
        trace.spans[3].op = "long.".repeat(50).into();
        trace.spans[4].description = "word ".repeat(100);
        trace.spans[5].duration = Duration::from_secs(4000);
        for width in [40, 60, 80, 100, 250] {
            let text = plain(&trace, width);
            let widest = text.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width, "{widest} in {width}:\n{text}");
        }
        _ = plain(&trace, 0);
    }

    #[test]
    fn bars_are_proportional() {
        let span = |start, duration| Span {
            start: Duration::from_millis(start),
            duration: Duration::from_millis(duration),
            ..fixtures::passed().trace.spans[0].clone()
        };
        let check = |start, duration, expected: &str| {
            assert_eq!(draw_bar(&span(start, duration), Duration::from_millis(1000), 10), expected);
        };
        check(0, 1000, "██████████");
        check(0, 50, "▌");
        check(0, 0, "▏");
        check(500, 250, "     ██▌");
        check(990, 10, "         ▏");
        check(1000, 0, "         ▏");
        assert_eq!(draw_bar(&span(0, 0), Duration::ZERO, 10), "▏");
        assert_eq!(draw_bar(&span(0, 0), Duration::ZERO, 0), "");
    }

    #[test]
    fn children_follow_their_parent_in_any_recorded_order() {
        let mut trace = fixtures::passed().trace;
        trace.spans[6].parent = Some(3);
        let ops: Vec<_> = in_tree_order(&trace).map(|(span, depth)| format!("{depth} {}", span.op)).collect();
        assert_eq!(ops[3..6], ["2 http.client.connect", "3 http.client.wait", "2 http.client.tls"]);
    }

    #[test]
    fn spans_that_are_not_shown_are_counted() {
        let mut trace = fixtures::passed().trace;
        let span = trace.spans[1].clone();
        trace.spans.extend(std::iter::repeat_n(span, 200));
        trace.dropped = 7;
        let text = plain(&trace, 100);
        assert!(text.contains("… 108 more spans\n") && text.contains("… 7 spans were not"), "{text}");
    }
}
