//! The payload of an error event: why a run did not pass, and the way there.

use std::borrow::Cow;

use serde::Serialize;

use super::evidence::{self, Request};
use super::{Data, MAX_OP, MAX_TAG, Measure, SpanFacts, about_run, cut, rounded, seconds, tags};
use crate::assessment::Assessment;
use crate::propagation::Origin;
use crate::run::{self, Level, Outcome, Run};
use crate::sink::milliseconds;
use crate::sink::sentry::json_writer::Object;
use crate::time_format::rfc3339;
use crate::trace::{Span, Status, Trace, Value};

/// Why a run did not pass, as an error event.
pub fn event(
    payload: &mut Object,
    event_id: &str,
    run: &Run,
    assessment: &Assessment,
    origin: &Origin,
    measure: Measure,
) {
    let (reason, message) = run.outcome.why().unwrap_or_default();
    let (class, r#type) = match &run.outcome {
        Outcome::Broken(_) => ("probe-broken", format!("Broken: {reason}").into()),
        // An exception must be called something.
        _ if reason.is_empty() => ("probe-failed", "failed".into()),
        _ => ("probe-failed", cut(reason, MAX_TAG).into()),
    };
    let backtrace = match &run.outcome {
        Outcome::Broken(fault) => &fault.backtrace[..],
        _ => &[],
    };
    about_run(payload, event_id, run, &tags(run), origin);
    payload.text("level", "error");
    // Nothing that differs from run to run: one outage is one issue.
    let fingerprint = [class, &run.probe.probe, &run.probe.title, reason];
    payload.value("fingerprint", &fingerprint.map(|part| cut(part, MAX_TAG)));
    payload.value("exception", &exception(r#type, &sentence(&run.outcome, message), true, backtrace, measure));
    payload.option("request", Request::new(run).as_ref());
    payload.object("contexts", |contexts| {
        contexts.object("trace", |it| culprit(&run.trace).write(it));
        contexts.option("check", check(&run.outcome, measure).as_ref());
        contexts.option("outage", outage(assessment).as_ref());
        for (name, context) in evidence::contexts(run, measure) {
            contexts.value(name, &context);
        }
    });
    let breadcrumbs = Values { values: breadcrumbs(run, measure) };
    payload.option("breadcrumbs", Some(&breadcrumbs).filter(|crumbs| !crumbs.values.is_empty()));
}

/// What the run is the latest of.
#[derive(Serialize)]
struct Outage {
    began: String,
    runs: u32,
    /// Since then, in seconds.
    lasted: f64,
}

/// What was compared and differed.
#[derive(Serialize)]
struct Check<'a> {
    mismatches: Vec<Mismatched<'a>>,
}

#[derive(Serialize)]
struct Mismatched<'a> {
    subject: &'a str,
    expected: &'a str,
    actual: &'a str,
}

#[derive(Serialize)]
pub struct Values<T> {
    values: Vec<T>,
}

#[derive(Serialize)]
pub struct Exception<'a> {
    r#type: Cow<'a, str>,
    value: String,
    mechanism: Mechanism,
    #[serde(skip_serializing_if = "Option::is_none")]
    stacktrace: Option<Stacktrace<'a>>,
}

#[derive(Serialize)]
struct Mechanism {
    r#type: &'static str,
    handled: bool,
}

#[derive(Serialize)]
struct Stacktrace<'a> {
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    function: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lineno: Option<u32>,
    in_app: bool,
}

#[derive(Serialize)]
struct Breadcrumb<'a> {
    timestamp: f64,
    category: &'a str,
    level: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Step>,
}

#[derive(Serialize)]
struct Step {
    duration_ms: f64,
    status: Status,
    /// That of an answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_code: Option<i64>,
}

/// The span in which it went wrong: the deepest that is not ok, of those the last; else the root.
fn culprit(trace: &Trace) -> SpanFacts<'_> {
    let mut depths: Vec<usize> = Vec::with_capacity(trace.spans.len());
    for span in &trace.spans {
        depths.push(span.parent.map_or(0, |parent| depths[parent] + 1));
    }
    let wrong = trace.spans.iter().zip(depths).filter(|(span, _)| span.status != Status::Ok);
    let culprit = wrong.max_by_key(|(_, depth)| *depth).map_or(&trace.spans[0], |(span, _)| span);
    SpanFacts::new(trace, culprit, Data::default())
}

fn outage(assessment: &Assessment) -> Option<Outage> {
    let run::Outage { began, runs, lasted } = assessment.outage?;
    Some(Outage { began: rfc3339(began), runs, lasted: rounded(lasted) })
}

/// What an issue is headed by: where several checks did not hold, which they are.
fn sentence<'a>(outcome: &'a Outcome, message: &'a str) -> Cow<'a, str> {
    /// Further ones are in the context `check`.
    const MOST: usize = 5;
    const LONGEST: usize = 100;
    let mismatches = match outcome {
        Outcome::Failed(failure) if failure.mismatches.len() > 1 => &failure.mismatches,
        // Of one the message says it all.
        _ => return message.into(),
    };
    let told: Vec<_> = mismatches
        .iter()
        .take(MOST)
        .map(|run::Mismatch { subject, expected, actual }| {
            let [subject, expected, actual] = [subject, expected, actual].map(|text| cut(text, LONGEST));
            format!("{subject}: expected {expected}, got {actual}")
        })
        .collect();
    let more = mismatches.len().saturating_sub(MOST);
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    format!("{message}: {}{more}", told.join("; ")).into()
}

/// As many mismatches as Sentry keeps of a context.
fn check(outcome: &Outcome, measure: Measure) -> Option<Check<'_>> {
    let Outcome::Failed(failure) = outcome else { return None };
    let text = measure.text.min(MAX_COMPARED);
    let all = failure.mismatches.iter().map(|mismatch| Mismatched {
        subject: cut(&mismatch.subject, MAX_TAG),
        expected: cut(&mismatch.expected, text),
        actual: cut(&mismatch.actual, text),
    });
    let mut room = MAX_CHECK;
    let mismatches: Vec<_> = all
        .take_while(|Mismatched { subject, expected, actual }| {
            let size = PER_MISMATCH + subject.len() + expected.len() + actual.len();
            room.checked_sub(size).map(|left| room = left).is_some()
        })
        .collect();
    (!mismatches.is_empty()).then_some(Check { mismatches })
}

/// Characters of an expected or actual value.
const MAX_COMPARED: usize = 500;
/// Sentry trims a context at 8192 bytes.
const MAX_CHECK: usize = 7_800;
/// The keys, quotes and commas of one.
const PER_MISMATCH: usize = 50;

/// What went wrong, with the stack that it went wrong in, innermost first, where there is one.
pub fn exception<'a>(
    r#type: Cow<'a, str>,
    message: &str,
    handled: bool,
    backtrace: &'a [run::Frame],
    measure: Measure,
) -> Values<Exception<'a>> {
    let exception = Exception {
        r#type,
        value: cut(message, measure.text).to_owned(),
        mechanism: Mechanism { r#type: "sentrynet", handled },
        stacktrace: stacktrace(backtrace, measure),
    };
    Values { values: vec![exception] }
}

fn stacktrace(backtrace: &[run::Frame], measure: Measure) -> Option<Stacktrace<'_>> {
    // Sentry wants the innermost last.
    let frames: Vec<_> = backtrace
        .iter()
        .take(MAX_FRAMES)
        .rev()
        .map(|run::Frame { function, module, file, line }| Frame {
            function: cut(function, measure.text.min(MAX_FUNCTION)),
            module: module.as_deref().map(|module| cut(module, measure.text.min(MAX_PLACE))),
            filename: file.as_deref().map(|file| cut(file, measure.text.min(MAX_PLACE))),
            lineno: *line,
            in_app: true,
        })
        .collect();
    (!frames.is_empty()).then_some(Stacktrace { frames })
}

const MAX_FRAMES: usize = 100;
/// Sentry's limit for the characters of a function's name.
const MAX_FUNCTION: usize = 512;
/// And for those of a file or a module.
const MAX_PLACE: usize = 256;

/// The run's steps and log lines in the order of their ends, the last of them if there are too many.
fn breadcrumbs(run: &Run, measure: Measure) -> Vec<Breadcrumb<'_>> {
    let steps = run.trace.spans.iter().skip(1).map(|span| {
        let crumb = Breadcrumb {
            timestamp: 0.0,
            category: cut(&span.op, MAX_OP),
            level: if span.status == Status::Ok { "info" } else { "error" },
            message: cut(&span.description, measure.text),
            data: Some(Step {
                duration_ms: milliseconds(span.duration),
                status: span.status,
                status_code: status_code(span),
            }),
        };
        (span.start + span.duration, crumb)
    });
    let lines = run.log.iter().map(|line| {
        let crumb = Breadcrumb {
            timestamp: 0.0,
            category: "log",
            level: if line.level == Level::Warn { "warning" } else { line.level.as_str() },
            message: cut(&line.message, measure.text),
            data: None,
        };
        (line.at, crumb)
    });
    let mut crumbs: Vec<_> = steps.chain(lines).collect();
    crumbs.sort_by_key(|(at, _)| *at);
    let crumbs = crumbs.into_iter().rev().take(MAX_BREADCRUMBS).rev();
    crumbs.map(|(at, crumb)| Breadcrumb { timestamp: seconds(&run.trace, at), ..crumb }).collect()
}

fn status_code(span: &Span) -> Option<i64> {
    let (_, value) = span.data.iter().find(|(key, _)| key == "http.response.status_code")?;
    if let Value::Integer(status) = value { Some(*status) } else { None }
}

/// What the SDKs keep; more is not shown.
const MAX_BREADCRUMBS: usize = 100;
