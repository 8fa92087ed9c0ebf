//! A trace drawn as a waterfall: a row for each span, its bar where and as long as its time. Knows the trace alone.

use std::fmt::Write as _;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::text::{cut, escape, human};
use crate::trace::{Span, Status, Trace};

/// Rows in `width` characters, each ending in a line break.
pub fn waterfall(trace: &Trace, width: usize) -> String {
    let rows: Vec<Row> = in_tree_order(trace).take(MAX_ROWS).map(|(span, depth)| Row::new(span, depth)).collect();
    let columns = Columns::fit(&rows, width);
    let end = trace.spans.iter().map(|span| span.start + span.duration).max().unwrap_or_default();
    let mut drawn = String::new();
    for row in &rows {
        row.draw(&columns, end, &mut drawn);
    }
    let left_out = trace.spans.len() - rows.len();
    if left_out > 0 {
        _ = writeln!(drawn, "{MARGIN}… {left_out} more spans");
    }
    if trace.dropped > 0 {
        _ = writeln!(drawn, "{MARGIN}… {} spans were not recorded: a trace has room for 1000", trace.dropped);
    }
    drawn
}

/// What fits on a screen or two; Sentry shows the rest.
const MAX_ROWS: usize = 100;
/// Deeper spans are not indented further.
const MAX_DEPTH: usize = 12;
const MARGIN: &str = "    ";
/// The longest of [`human`].
const TIME: usize = 9;
const MAX_BAR: usize = 40;
const DIM: Style = Style::new().dimmed();

/// Each span after its parent and before its parent's next child, with its depth.
fn in_tree_order(trace: &Trace) -> impl Iterator<Item = (&Span, usize)> {
    let mut children = vec![Vec::new(); trace.spans.len()];
    for (index, span) in trace.spans.iter().enumerate() {
        if let Some(parent) = span.parent {
            children[parent].push(index);
        }
    }
    let mut waiting = vec![(0, 0)];
    std::iter::from_fn(move || {
        let (index, depth) = waiting.pop()?;
        waiting.extend(children[index].iter().rev().map(|child| (*child, depth + 1)));
        Some((&trace.spans[index], depth))
    })
}

struct Row<'a> {
    span: &'a Span,
    label: String,
    description: String,
}

struct Columns {
    label: usize,
    description: usize,
    bar: usize,
}

impl Columns {
    /// The label is shown whole if half of the room will do, the description if the bar keeps two fifths of the rest.
    fn fit(rows: &[Row], width: usize) -> Self {
        let longest = |of: fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0);
        let gaps = 4 * 2;
        let room = width.saturating_sub(MARGIN.len() + gaps + 2 * TIME);
        let label = longest(|row| row.label.chars().count()).min(room / 2);
        let room = room - label;
        let description = longest(|row| row.description.chars().count()).min(room * 3 / 5);
        Self { label, description, bar: (room - description).min(MAX_BAR) }
    }
}

impl<'a> Row<'a> {
    fn new(span: &'a Span, depth: usize) -> Self {
        let indent = "  ".repeat(depth.min(MAX_DEPTH));
        Self { span, label: indent + &escape(&span.op), description: escape(&span.description) }
    }

    fn draw(&self, columns: &Columns, end: Duration, into: &mut String) {
        let (label, bar) = if self.span.status == Status::Ok {
            (Style::new(), phase(&self.span.op))
        } else {
            let red = AnsiColor::Red.on_default();
            (red, red)
        };
        _ = writeln!(
            into,
            "{MARGIN}{label}{:label_width$}{label:#}  {DIM}{:description_width$}{DIM:#}  \
             {DIM}{:>TIME$}{DIM:#}  {:>TIME$}  {bar}{}{bar:#}",
            cut(&self.label, columns.label),
            cut(&self.description, columns.description),
            human(self.span.start),
            human(self.span.duration),
            draw_bar(self.span, end, columns.bar),
            label_width = columns.label,
            description_width = columns.description,
        );
    }
}

/// Phases that follow each other differ in colour, so that a short one is seen.
fn phase(op: &str) -> Style {
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

/// Begins in the cell in which the span does, and is as long as the span to an eighth of a cell. There are no blocks
/// for the right part of a cell, so where in its first cell the span began is not seen.
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
        anstream::adapter::strip_str(&waterfall(trace, width)).to_string()
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
    fn no_row_is_wider_than_asked() {
        let mut trace = fixtures::failed().trace;
        trace.spans[3].op = "long.".repeat(50).into();
        trace.spans[4].description = "word ".repeat(100);
        trace.spans[5].duration = Duration::from_secs(4000);
        for width in [40, 60, 80, 100, 250] {
            let drawn = plain(&trace, width);
            let widest = drawn.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= width, "{widest} in {width}:\n{drawn}");
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
    fn children_stand_under_their_parent_however_they_were_recorded() {
        let mut trace = fixtures::passed().trace;
        trace.spans[6].parent = Some(3);
        let ops: Vec<_> = in_tree_order(&trace).map(|(span, depth)| format!("{depth} {}", span.op)).collect();
        assert_eq!(ops[3..6], ["2 http.client.connect", "3 http.client.wait", "2 http.client.tls"]);
    }

    #[test]
    fn what_is_left_out_is_said() {
        let mut trace = fixtures::passed().trace;
        let span = trace.spans[1].clone();
        trace.spans.extend(std::iter::repeat_n(span, 200));
        trace.dropped = 7;
        let drawn = plain(&trace, 100);
        assert!(drawn.contains("… 108 more spans\n") && drawn.contains("… 7 spans were not"), "{drawn}");
    }
}
