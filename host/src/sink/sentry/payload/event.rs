//! The payload of an error event: why a run did not pass, and what happened before.

use std::borrow::Cow;

use serde::Serialize;

use super::breadcrumbs::breadcrumbs;
use super::common::{rounded_seconds, write_common_of_run};
use super::evidence::{self, Request};
use super::exception::{Values, exception};
use super::limits::{DetailLevel, MAX_CONTEXT_BYTES, MAX_TAG_CHARS, truncate};
use super::span::{SpanData, SpanFields};
use super::tags::Tags;
use crate::assessment::{Assessment, Grouping};
use crate::propagation::EventDefaults;
use crate::run::{self, Outcome, Run};
use crate::sink::sentry::json_writer::ObjectWriter;
use crate::time_format::rfc3339;
use crate::trace::{Status, Trace};

/// Writes the error event of a run that did not pass.
pub fn write_event(
    payload: &mut ObjectWriter,
    event_id: &str,
    run: &Run,
    assessment: &Assessment,
    event_defaults: &EventDefaults,
    detail: DetailLevel,
) {
    /// The text that replaces the reason in the fingerprint and in the exception's type, if the error is not grouped by
    /// its reason. The tag `reason` has the reason itself.
    const OTHER: &str = "other";
    let (reason, message) = run.outcome.why().unwrap_or_default();
    let reason = if assessment.grouping == Grouping::Other { OTHER } else { reason };
    let (class, r#type) = match &run.outcome {
        Outcome::Broken(_) => ("probe-broken", format!("Broken: {reason}").into()),
        // The type of an exception must not be empty.
        _ if reason.is_empty() => ("probe-failed", "failed".into()),
        _ => ("probe-failed", truncate(reason, MAX_TAG_CHARS).into()),
    };
    let backtrace = match &run.outcome {
        Outcome::Broken(fault) => &fault.backtrace[..],
        _ => &[],
    };
    write_common_of_run(payload, event_id, run, &Tags::new(run), event_defaults);
    payload.text("level", "error");
    // Contains nothing that differs from run to run, so that Sentry groups all errors of an outage into one issue.
    let subjects = match &run.outcome {
        Outcome::Failed(failure) if assessment.grouping == Grouping::Checks => failure.subjects(),
        _ => Vec::new(),
    };
    let fingerprint = [class, &run.probe.probe, &run.probe.title, reason].into_iter().chain(subjects);
    let fingerprint: Vec<_> = fingerprint.map(|part| truncate(part, MAX_TAG_CHARS)).collect();
    payload.value("fingerprint", &fingerprint);
    let title = truncate(&run.probe.title, MAX_TAG_CHARS);
    let value = format!("{title}: {}", exception_value(&run.outcome, message));
    payload.value("exception", &exception(r#type, &value, true, backtrace, detail));
    payload.option("request", Request::new(run).as_ref());
    payload.object("contexts", |contexts| {
        contexts.object("trace", |trace| failing_span(&run.trace).write(trace));
        contexts.option("check", check(&run.outcome, detail).as_ref());
        contexts.option("outage", outage(assessment).as_ref());
        for (name, context) in evidence::contexts(run, detail) {
            contexts.value(name, &context);
        }
    });
    let breadcrumbs = Values { values: breadcrumbs(run, detail) };
    payload.option("breadcrumbs", Some(&breadcrumbs).filter(|crumbs| !crumbs.values.is_empty()));
}

/// The context `outage`: the outage whose latest run this is.
#[derive(Serialize)]
struct Outage {
    began: String,
    runs: u32,
    /// The time since the outage began, in seconds.
    lasted: f64,
}

/// The context `check`: the values that differed from what was expected.
#[derive(Serialize)]
struct Check<'a> {
    mismatches: Vec<Mismatch<'a>>,
}

#[derive(Serialize)]
struct Mismatch<'a> {
    subject: &'a str,
    expected: &'a str,
    actual: &'a str,
}

/// The maximum number of characters of an expected or actual value in the context `check`.
const MAX_COMPARED_CHARS: usize = 500;
/// The size in bytes of a mismatch in JSON without its values: keys, quotes and commas.
const MISMATCH_OVERHEAD_BYTES: usize = 50;

/// Returns the span to which the event belongs: the deepest span whose status is not ok, the last of several, or the
/// root if there is none.
fn failing_span(trace: &Trace) -> SpanFields<'_> {
    let mut depths: Vec<usize> = Vec::with_capacity(trace.spans.len());
    for span in &trace.spans {
        depths.push(span.parent.map_or(0, |parent| depths[parent] + 1));
    }
    let failing = trace.spans.iter().zip(depths).filter(|(span, _)| span.status != Status::Ok);
    let deepest = failing.max_by_key(|(_, depth)| *depth).map_or(&trace.spans[0], |(span, _)| span);
    SpanFields::new(trace, deepest, SpanData::default())
}

fn outage(assessment: &Assessment) -> Option<Outage> {
    let run::Outage { began, runs, lasted } = assessment.outage?;
    Some(Outage { began: rfc3339(began), runs, lasted: rounded_seconds(lasted) })
}

/// Returns the value of the exception without the probe's title. Sentry titles the issue with the type and the value. It
/// is the message and, if there are several mismatches, the first five of these. A single mismatch is not added, since the message already contains it.
fn exception_value<'a>(outcome: &'a Outcome, message: &'a str) -> Cow<'a, str> {
    /// The maximum number of mismatches in the value. Further mismatches are in the context `check`.
    const MAX_LISTED: usize = 5;
    const MAX_PART_CHARS: usize = 100;
    let mismatches = match outcome {
        Outcome::Failed(failure) if failure.mismatches.len() > 1 => &failure.mismatches,
        _ => return message.into(),
    };
    let listed: Vec<_> = mismatches
        .iter()
        .take(MAX_LISTED)
        .map(|run::Mismatch { subject, expected, actual }| {
            let [subject, expected, actual] = [subject, expected, actual].map(|text| truncate(text, MAX_PART_CHARS));
            format!("{subject}: expected {expected}, got {actual}")
        })
        .collect();
    let more = mismatches.len().saturating_sub(MAX_LISTED);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{message}: {}{more}", listed.join("; ")).into()
}

/// Returns as many of the mismatches as fit into a context, or `None` if there are none.
fn check(outcome: &Outcome, detail: DetailLevel) -> Option<Check<'_>> {
    let Outcome::Failed(failure) = outcome else { return None };
    let max_chars = detail.text_chars.min(MAX_COMPARED_CHARS);
    let all = failure.mismatches.iter().map(|mismatch| Mismatch {
        subject: truncate(&mismatch.subject, MAX_TAG_CHARS),
        expected: truncate(&mismatch.expected, max_chars),
        actual: truncate(&mismatch.actual, max_chars),
    });
    let mut free_bytes = MAX_CONTEXT_BYTES;
    let mismatches: Vec<_> = all
        .take_while(|Mismatch { subject, expected, actual }| {
            let size = MISMATCH_OVERHEAD_BYTES + subject.len() + expected.len() + actual.len();
            free_bytes.checked_sub(size).map(|rest| free_bytes = rest).is_some()
        })
        .collect();
    (!mismatches.is_empty()).then_some(Check { mismatches })
}
