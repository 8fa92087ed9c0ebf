//! The payload of a transaction: one run with its spans.

use std::borrow::Cow;
use std::time::Duration;

use serde::Serialize;

use super::{About, Datum, Measure, SpanFacts, cut, data, rounded, seconds};
use crate::propagation::Origin;
use crate::run::Run;
use crate::sink::milliseconds;
use crate::trace::{Span, Trace};
use crate::vantage::Judgement;

/// One run as a transaction.
#[derive(Serialize)]
pub struct Transaction<'a> {
    r#type: &'static str,
    #[serde(flatten)]
    about: About<'a>,
    start_timestamp: f64,
    #[serde(rename = "transaction_info")]
    info: Info,
    contexts: Contexts<'a>,
    spans: Vec<ChildSpan<'a>>,
}

#[derive(Serialize)]
struct Info {
    source: &'static str,
}

#[derive(Serialize)]
struct Contexts<'a> {
    trace: SpanFacts<'a>,
}

#[derive(Serialize)]
struct ChildSpan<'a> {
    #[serde(flatten)]
    facts: SpanFacts<'a>,
    description: Cow<'a, str>,
    start_timestamp: f64,
    timestamp: f64,
}

impl<'a> Transaction<'a> {
    pub fn new(event_id: &'a str, run: &'a Run, judgement: Judgement, origin: &'a Origin, measure: Measure) -> Self {
        let trace = &run.trace;
        let mut about = About::new(event_id, run, origin);
        about.tags.extend(verdicts(run, judgement));
        Self {
            r#type: "transaction",
            about,
            start_timestamp: seconds(trace, Duration::ZERO),
            info: Info { source: "custom" },
            contexts: Contexts { trace: root(run, measure) },
            spans: trace.spans.iter().skip(1).take(measure.spans).map(|span| child(trace, span, measure)).collect(),
        }
    }
}

/// What shows only beside other runs, as tags: that it failed for want of a network, that it ended an outage, and that
/// others were skipped before it.
fn verdicts(run: &Run, judgement: Judgement) -> impl Iterator<Item = (String, String)> {
    let offline = judgement.offline.then(|| ("vantage".to_owned(), "offline".to_owned()));
    let recovery = run.recovery().filter(|_| judgement.told);
    let recovery = recovery.map(|outage| ("recovered_after".to_owned(), format!("{} s", rounded(outage.lasted))));
    let skipped = (run.skipped > 0).then(|| ("skipped".to_owned(), run.skipped.to_string()));
    offline.into_iter().chain(recovery).chain(skipped)
}

/// The root stands in the trace's context, with what there is to say of the run as a whole.
fn root(run: &Run, measure: Measure) -> SpanFacts<'_> {
    let root = &run.trace.spans[0];
    let mut data = data(root, measure);
    data.insert("sentrynet.lateness_ms".into(), Datum::Ours(milliseconds(run.lateness).into()));
    if run.skipped > 0 {
        data.insert("sentrynet.skipped".into(), Datum::Ours(i64::from(run.skipped).into()));
    }
    if let Some(outage) = run.outage.filter(|_| !run.outcome.passed() || run.recovery().is_some()) {
        data.insert("sentrynet.outage.runs".into(), Datum::Ours(i64::from(outage.runs).into()));
        data.insert("sentrynet.outage.seconds".into(), Datum::Ours(rounded(outage.lasted).into()));
    }
    let dropped = run.trace.dropped + run.trace.spans.len().saturating_sub(1 + measure.spans);
    if dropped > 0 {
        let dropped = i64::try_from(dropped).unwrap_or(i64::MAX);
        data.insert("sentrynet.spans_dropped".into(), Datum::Ours(dropped.into()));
    }
    SpanFacts::new(&run.trace, root, data)
}

fn child<'a>(trace: &Trace, span: &'a Span, measure: Measure) -> ChildSpan<'a> {
    // A span that outlives its run, or ends before it starts, would cost the whole transaction.
    let end = (span.start + span.duration).min(trace.duration());
    ChildSpan {
        facts: SpanFacts::new(trace, span, data(span, measure)),
        description: cut(&span.description, measure.text),
        start_timestamp: seconds(trace, span.start.min(end)),
        timestamp: seconds(trace, end),
    }
}
