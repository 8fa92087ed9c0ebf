//! The payload of a transaction: one run with its spans.

use std::borrow::Cow;
use std::time::Duration;

use super::{Data, Measure, SpanFacts, about_run, cut, rounded, seconds, tags};
use crate::assessment::{Assessment, Recovery};
use crate::propagation::Origin;
use crate::run::Run;
use crate::sink::milliseconds;
use crate::sink::sentry::json_writer::Object;
use crate::trace::{Span, Trace};

/// One run as a transaction.
pub fn transaction(
    payload: &mut Object,
    event_id: &str,
    run: &Run,
    assessment: &Assessment,
    origin: &Origin,
    measure: Measure,
) {
    let trace = &run.trace;
    let mut tags = tags(run);
    tags.extend(verdicts(run, assessment));
    payload.text("type", "transaction");
    about_run(payload, event_id, run, &tags, origin);
    payload.value("start_timestamp", &seconds(trace, Duration::ZERO));
    payload.object("transaction_info", |info| info.text("source", "custom"));
    payload.object("contexts", |contexts| contexts.object("trace", |it| root(run, assessment, measure).write(it)));
    let children = trace.spans.iter().skip(1).take(measure.spans);
    payload.objects("spans", children, |object, span| child(object, trace, span, measure));
}

/// What shows only beside other runs, as tags: that it failed for want of a network, that it ended an outage, and that
/// others were skipped before it.
fn verdicts<'a>(run: &Run, assessment: &Assessment) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'a> {
    let offline = assessment.is_offline.then(|| ("vantage".into(), "offline".into()));
    let recovery = assessment.outage.filter(|_| assessment.recovery == Some(Recovery::Reported));
    let recovery = recovery.map(|outage| ("recovered_after".into(), format!("{} s", rounded(outage.lasted)).into()));
    let skipped = (run.skipped > 0).then(|| ("skipped".into(), run.skipped.to_string().into()));
    offline.into_iter().chain(recovery).chain(skipped)
}

/// The root stands in the trace's context, with what there is to say of the run as a whole.
fn root<'a>(run: &'a Run, assessment: &Assessment, measure: Measure) -> SpanFacts<'a> {
    let root = &run.trace.spans[0];
    let mut data = Data::of(root, measure);
    data.ours.push(("sentrynet.lateness_ms", milliseconds(run.lateness).into()));
    if run.skipped > 0 {
        data.ours.push(("sentrynet.skipped", i64::from(run.skipped).into()));
    }
    if let Some(outage) = assessment.outage.filter(|_| !run.outcome.passed() || assessment.recovery.is_some()) {
        data.ours.push(("sentrynet.outage.runs", i64::from(outage.runs).into()));
        data.ours.push(("sentrynet.outage.seconds", rounded(outage.lasted).into()));
    }
    let dropped = run.trace.dropped + run.trace.spans.len().saturating_sub(1 + measure.spans);
    if dropped > 0 {
        let dropped = i64::try_from(dropped).unwrap_or(i64::MAX);
        data.ours.push(("sentrynet.spans_dropped", dropped.into()));
    }
    SpanFacts::new(&run.trace, root, data)
}

fn child(object: &mut Object, trace: &Trace, span: &Span, measure: Measure) {
    // A span that outlives its run, or ends before it starts, would cost the whole transaction.
    let end = (span.start + span.duration).min(trace.duration());
    SpanFacts::new(trace, span, Data::of(span, measure)).write(object);
    object.text("description", cut(&span.description, measure.text));
    object.value("start_timestamp", &seconds(trace, span.start.min(end)));
    object.value("timestamp", &seconds(trace, end));
}
