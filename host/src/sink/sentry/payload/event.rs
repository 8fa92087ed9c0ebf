//! The payload of an event about a run: why the run did not pass or has a warning, and what happened before.

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
use crate::run::reserved_names::HostTag;
use crate::run::{self, Failure, Outcome, Run};
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
    let (reason, message) = run.outcome.why().unwrap_or_default();
    let failure = if let Outcome::Failed(failure) = &run.outcome { Some(failure) } else { None };
    let problem = match &run.outcome {
        Outcome::Broken(fault) => {
            let r#type = format!("Broken: {reason}").into();
            Problem {
                class: "probe-broken",
                r#type,
                backtrace: &fault.backtrace,
                ..Problem::new(reason, message, None)
            }
        }
        _ => Problem::new(reason, message, failure).grouped_by(assessment.grouping),
    };
    write_problem(payload, event_id, run, &Tags::new(run), &problem, event_defaults, detail, |contexts| {
        contexts.option("outage", outage(assessment).as_ref());
    });
}

/// Writes the event of one of a run's warnings.
pub fn write_warning_event(
    payload: &mut ObjectWriter,
    event_id: &str,
    run: &Run,
    (warning, grouping): (&Failure, Grouping),
    event_defaults: &EventDefaults,
    detail: DetailLevel,
) {
    let mut tags = Tags::new(run);
    tags.add(HostTag::Reason, &*warning.reason);
    let problem = Problem { class: "probe-warning", level: "warning", ..Problem::of_failure(warning) };
    let problem = problem.grouped_by(grouping);
    write_problem(payload, event_id, run, &tags, &problem, event_defaults, detail, |_| {});
}

/// The subject of an event: a failure, a fault or a warning.
struct Problem<'a> {
    /// The first part of the fingerprint.
    class: &'static str,
    /// Sentry's level of the event.
    level: &'static str,
    /// The reason by which the event is grouped.
    reason: &'a str,
    /// The type of the exception.
    r#type: Cow<'a, str>,
    message: &'a str,
    /// The failed checks.
    mismatches: &'a [run::Mismatch],
    /// The subjects by which the event is grouped.
    subjects: Vec<&'a str>,
    backtrace: &'a [run::Frame],
}

impl<'a> Problem<'a> {
    fn new(reason: &'a str, message: &'a str, failure: Option<&'a Failure>) -> Self {
        Self {
            class: "probe-failed",
            level: "error",
            reason,
            r#type: exception_type(reason),
            message,
            mismatches: failure.map_or(&[], |failure| &failure.mismatches),
            subjects: failure.map(Failure::subjects).unwrap_or_default(),
            backtrace: &[],
        }
    }

    fn of_failure(failure: &'a Failure) -> Self {
        Self::new(&failure.reason, &failure.message, Some(failure))
    }

    /// Leaves out of the fingerprint what does not group the event.
    fn grouped_by(mut self, grouping: Grouping) -> Self {
        /// The text that replaces the reason in the fingerprint and in the exception's type. The tag `reason` has the
        /// reason itself.
        const OTHER: &str = "other";
        if grouping != Grouping::Checks {
            self.subjects.clear();
        }
        if grouping == Grouping::Other {
            (self.reason, self.r#type) = (OTHER, OTHER.into());
        }
        self
    }
}

/// Returns the type of the exception for a reason. It must not be empty.
fn exception_type(reason: &str) -> Cow<'_, str> {
    if reason.is_empty() { "failed".into() } else { truncate(reason, MAX_TAG_CHARS).into() }
}

/// Writes the event of a problem. `write_contexts` adds contexts.
#[expect(clippy::too_many_arguments, reason = "all of them differ from event to event")]
fn write_problem(
    payload: &mut ObjectWriter,
    event_id: &str,
    run: &Run,
    tags: &Tags,
    problem: &Problem,
    event_defaults: &EventDefaults,
    detail: DetailLevel,
    write_contexts: impl FnOnce(&mut ObjectWriter),
) {
    write_common_of_run(payload, event_id, run, tags, event_defaults);
    payload.text("level", problem.level);
    // Contains nothing that differs from run to run, so that Sentry groups all errors of an outage into one issue.
    let fingerprint = [problem.class, &run.probe.probe, &run.probe.title, problem.reason];
    let fingerprint = fingerprint.into_iter().chain(problem.subjects.iter().copied());
    let fingerprint: Vec<_> = fingerprint.map(|part| truncate(part, MAX_TAG_CHARS)).collect();
    payload.value("fingerprint", &fingerprint);
    let title = truncate(&run.probe.title, MAX_TAG_CHARS);
    let value = format!("{title}: {}", exception_value(problem));
    payload.value("exception", &exception(problem.r#type.clone(), &value, true, problem.backtrace, detail));
    payload.option("request", Request::new(run).as_ref());
    payload.object("contexts", |contexts| {
        contexts.object("trace", |trace| failing_span(&run.trace).write(trace));
        contexts.option("check", check(problem.mismatches, detail).as_ref());
        write_contexts(contexts);
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

/// Returns the value of the exception without the probe's title. Sentry titles the issue with the type and the value.
/// It is the message and, if there are several mismatches, the first five of these. A single mismatch is not added,
/// since the message already contains it.
fn exception_value<'a>(Problem { message, mismatches, .. }: &Problem<'a>) -> Cow<'a, str> {
    /// The maximum number of mismatches in the value. Further mismatches are in the context `check`.
    const MAX_LISTED: usize = 5;
    const MAX_PART_CHARS: usize = 100;
    if mismatches.len() < 2 {
        return (*message).into();
    }
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
fn check(mismatches: &[run::Mismatch], detail: DetailLevel) -> Option<Check<'_>> {
    let max_chars = detail.text_chars.min(MAX_COMPARED_CHARS);
    let all = mismatches.iter().map(|mismatch| Mismatch {
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
