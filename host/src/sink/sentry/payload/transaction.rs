//! The payload of a transaction: a run with its spans.

use std::time::Duration;

use super::common::{rounded_seconds, timestamp, write_common_of_run};
use super::limits::{DetailLevel, truncate};
use super::span::{SpanData, SpanFields};
use super::tags::Tags;
use crate::assessment::{Assessment, Recovery};
use crate::propagation::EventDefaults;
use crate::run::Run;
use crate::run::reserved_names::{HostData, HostTag};
use crate::sink::milliseconds;
use crate::sink::sentry::json_writer::ObjectWriter;
use crate::trace::{Span, Trace};

/// Writes the transaction of a run.
pub fn write_transaction(
    payload: &mut ObjectWriter,
    event_id: &str,
    run: &Run,
    assessment: &Assessment,
    event_defaults: &EventDefaults,
    detail: DetailLevel,
) {
    let trace = &run.trace;
    let mut tags = Tags::new(run);
    add_assessment_tags(&mut tags, run, assessment);
    payload.text("type", "transaction");
    write_common_of_run(payload, event_id, run, &tags, event_defaults);
    payload.value("start_timestamp", &timestamp(trace, Duration::ZERO));
    payload.object("transaction_info", |info| info.text("source", "custom"));
    payload.object("contexts", |contexts| {
        contexts.object("trace", |context| root_span(run, assessment, detail).write(context));
    });
    let children = trace.spans.iter().skip(1).take(detail.spans);
    payload.objects("spans", children, |object, span| write_child_span(object, trace, span, detail));
}

/// Adds the tags that depend on other runs: `vantage` if this host had no network, `recovered_after` if the run ended
/// an outage, and `skipped` if runs were skipped before it.
fn add_assessment_tags(tags: &mut Tags, run: &Run, assessment: &Assessment) {
    if assessment.is_offline {
        tags.add(HostTag::Vantage, "offline");
    }
    if let Some(outage) = assessment.outage.filter(|_| assessment.recovery == Some(Recovery::Reported)) {
        tags.add(HostTag::RecoveredAfter, format!("{} s", rounded_seconds(outage.lasted)));
    }
    if run.skipped > 0 {
        tags.add(HostTag::Skipped, run.skipped.to_string());
    }
}

/// Returns the root span, with data about the run as a whole.
fn root_span<'a>(run: &'a Run, assessment: &Assessment, detail: DetailLevel) -> SpanFields<'a> {
    let root = &run.trace.spans[0];
    let mut data = SpanData::new(root, detail);
    data.add(HostData::LatenessMs, milliseconds(run.lateness));
    if run.skipped > 0 {
        data.add(HostData::Skipped, i64::from(run.skipped));
    }
    if let Some(outage) = assessment.outage.filter(|_| !run.outcome.passed() || assessment.recovery.is_some()) {
        data.add(HostData::OutageRuns, i64::from(outage.runs));
        data.add(HostData::OutageSeconds, rounded_seconds(outage.lasted));
    }
    let dropped = run.trace.dropped + run.trace.spans.len().saturating_sub(1 + detail.spans);
    if dropped > 0 {
        data.add(HostData::SpansDropped, i64::try_from(dropped).unwrap_or(i64::MAX));
    }
    SpanFields::new(&run.trace, root, data)
}

fn write_child_span(object: &mut ObjectWriter, trace: &Trace, span: &Span, detail: DetailLevel) {
    // Sentry rejects the transaction if one of its spans ends after it, or before the span starts.
    let end = (span.start + span.duration).min(trace.duration());
    SpanFields::new(trace, span, SpanData::new(span, detail)).write(object);
    object.text("description", truncate(&span.description, detail.text_chars));
    object.value("start_timestamp", &timestamp(trace, span.start.min(end)));
    object.value("timestamp", &timestamp(trace, end));
}
