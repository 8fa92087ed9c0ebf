//! The breadcrumbs of an error event: the spans and log lines of the run.

use serde::Serialize;

use super::common::timestamp;
use super::limits::{DetailLevel, MAX_OP_CHARS, truncate};
use crate::run::{Level, Run};
use crate::sink::milliseconds;
use crate::trace::{Span, Status, Value};

#[derive(Serialize)]
pub struct Breadcrumb<'a> {
    timestamp: f64,
    category: &'a str,
    level: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<SpanSummary>,
}

/// The data of a breadcrumb for a span.
#[derive(Serialize)]
struct SpanSummary {
    duration_ms: f64,
    status: Status,
    /// The status code of the HTTP response, if the span has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<i64>,
}

/// The number of breadcrumbs that Sentry's SDKs keep.
const MAX_BREADCRUMBS: usize = 100;

/// Returns a breadcrumb for each span but the root, and for each log line, in the order of their ends. If there are
/// more than [`MAX_BREADCRUMBS`], returns the last of them.
pub fn breadcrumbs(run: &Run, detail: DetailLevel) -> Vec<Breadcrumb<'_>> {
    let max_chars = detail.text_chars;
    let spans = run.trace.spans.iter().skip(1).map(|span| {
        let crumb = Breadcrumb {
            timestamp: 0.0,
            category: truncate(&span.op, MAX_OP_CHARS),
            level: if span.status == Status::Ok { "info" } else { "error" },
            message: truncate(&span.description, max_chars),
            data: Some(SpanSummary {
                duration_ms: milliseconds(span.duration),
                status: span.status,
                status_code: status_code(span),
            }),
        };
        (span.start + span.duration, crumb)
    });
    let log_lines = run.log.iter().map(|line| {
        let crumb = Breadcrumb {
            timestamp: 0.0,
            category: "log",
            level: if line.level == Level::Warn { "warning" } else { line.level.as_str() },
            message: truncate(&line.message, max_chars),
            data: None,
        };
        (line.at, crumb)
    });
    let mut crumbs: Vec<_> = spans.chain(log_lines).collect();
    crumbs.sort_by_key(|(end, _)| *end);
    let crumbs = crumbs.into_iter().rev().take(MAX_BREADCRUMBS).rev();
    crumbs.map(|(end, crumb)| Breadcrumb { timestamp: timestamp(&run.trace, end), ..crumb }).collect()
}

fn status_code(span: &Span) -> Option<i64> {
    let (_, value) = span.data.iter().find(|(key, _)| key == "http.response.status_code")?;
    if let Value::Integer(status) = value { Some(*status) } else { None }
}
