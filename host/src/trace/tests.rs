use std::time::{Duration, Instant};

use super::recorder::MAX_CONTACTS;
use super::*;

#[test]
fn an_answer_is_not_replaced_by_a_missing_answer() {
    let recorder = Recorder::start("run".into(), String::new());
    let at = Instant::now();
    for (host, answered) in [("a", false), ("a", true), ("a", false), ("b", true), ("c", false)] {
        recorder.record_contact(HostContact { host: host.to_owned(), loopback: false, answered, from: at, to: at });
    }
    for number in 0..200 {
        let host = number.to_string();
        recorder.record_contact(HostContact { host, loopback: false, answered: true, from: at, to: at });
    }
    let contacts = recorder.finish(Status::Ok, Status::Cancelled).contacts;
    let answers: Vec<_> = contacts.iter().take(3).map(|contact| (contact.host.as_str(), contact.answered)).collect();
    assert_eq!(answers, [("a", true), ("b", true), ("c", false)]);
    assert_eq!(contacts.len(), MAX_CONTACTS);
}

fn ops(trace: &Trace) -> Vec<(&str, Option<usize>)> {
    trace.spans.iter().map(|span| (&*span.op, span.parent)).collect()
}

#[test]
fn spans_become_children_of_the_innermost_open_span() {
    let recorder = Recorder::start("run".into(), String::new());
    let outer = recorder.push("outer".into(), String::new());
    let inner = recorder.push("inner".into(), String::new());
    recorder.close(recorder.open(recorder.current(), "host", ""));
    recorder.pop(inner);
    recorder.close(recorder.open(recorder.current(), "host", ""));
    recorder.pop(outer);
    recorder.push("next".into(), String::new());
    let trace = recorder.finish(Status::Ok, Status::Cancelled);
    let expected = [
        ("run", None),
        ("outer", Some(0)),
        ("inner", Some(1)),
        ("host", Some(2)),
        ("host", Some(1)),
        ("next", Some(0)),
    ];
    assert_eq!(ops(&trace), expected);
}

#[test]
fn a_span_may_end_before_its_children() {
    let recorder = Recorder::start("run".into(), String::new());
    let outer = recorder.push("outer".into(), String::new());
    let inner = recorder.push("inner".into(), String::new());
    recorder.pop(outer);
    assert_eq!(recorder.current(), inner);
    recorder.pop(inner);
    assert_eq!(recorder.current(), recorder.root());
}

#[test]
fn pop_through_ends_open_descendants() {
    let recorder = Recorder::start("run".into(), String::new());
    let attempt = recorder.push("attempt".into(), String::new());
    recorder.push("step".into(), String::new());
    let host = recorder.open(recorder.current(), "host", "");
    recorder.pop_through(attempt, Status::Aborted);
    assert_eq!(recorder.current(), recorder.root());
    recorder.set_status(host, Status::Ok);
    recorder.push("attempt".into(), String::new());
    let trace = recorder.finish(Status::Ok, Status::Cancelled);
    let statuses: Vec<_> = trace.spans.iter().map(|span| span.status).collect();
    assert_eq!(statuses, [Status::Ok, Status::Ok, Status::Aborted, Status::Ok, Status::Cancelled]);
    assert_eq!(trace.spans[4].parent, Some(0));
}

#[test]
fn open_spans_end_with_the_trace() {
    let recorder = Recorder::start("run".into(), String::new());
    let ended = recorder.open(recorder.root(), "ended", "");
    recorder.close(ended);
    recorder.close_at(ended, Instant::now() + Duration::from_secs(60));
    recorder.open(recorder.root(), "open", "");
    let trace = recorder.finish(Status::DeadlineExceeded, Status::Cancelled);
    let statuses: Vec<_> = trace.spans.iter().map(|span| span.status).collect();
    assert_eq!(statuses, [Status::DeadlineExceeded, Status::Ok, Status::Cancelled]);
    assert!(trace.spans.iter().all(|span| span.start + span.duration <= trace.duration()));
}

#[test]
fn writes_after_finish_are_ignored() {
    let recorder = Recorder::start("run".into(), String::new());
    let span = recorder.push("step".into(), String::new());
    assert_eq!(recorder.finish(Status::Ok, Status::Ok).spans.len(), 2);
    recorder.set(span, "late", 1);
    recorder.set_status(span, Status::Ok);
    recorder.close(span);
    recorder.cancel(span);
    recorder.pop_through(span, Status::Ok);
    recorder.push("late".into(), String::new());
    assert_eq!(recorder.failed_ancestor(span, recorder.root()), None);
    assert_eq!(recorder.span_id(span), SpanId([0; 8]));
}

#[test]
fn spans_beyond_the_maximum_are_dropped() {
    let recorder = Recorder::start("run".into(), String::new());
    for _ in 0..MAX_SPANS + 4 {
        let span = recorder.push("step".into(), String::new());
        recorder.set(span, "key", true);
        recorder.pop(span);
    }
    let trace = recorder.finish(Status::Ok, Status::Ok);
    assert_eq!((trace.spans.len(), trace.dropped), (MAX_SPANS, 5));
    assert_eq!(trace.spans[0].data, [("spans.left_out".into(), Value::Integer(5))]);

    let recorder = Recorder::start_bounded(2, "run".into(), String::new());
    let [first, second] = ["first", "second"].map(|op| recorder.open(recorder.root(), op, ""));
    recorder.set(recorder.root(), "spans.left_out", "set by the guest");
    recorder.close(second);
    recorder.close(first);
    let trace = recorder.finish(Status::Ok, Status::Ok);
    assert_eq!((trace.spans.len(), trace.spans[1].op.as_ref(), trace.dropped), (2, "first", 1));
    assert_eq!(trace.spans[0].data, [("spans.left_out".into(), Value::Integer(1))]);
}

#[test]
fn setting_a_key_again_replaces_its_value() {
    let recorder = Recorder::start("run".into(), String::new());
    recorder.set(recorder.root(), "a", 1);
    recorder.set(recorder.root(), "b", 2.5);
    recorder.set(recorder.root(), "a", "text");
    let trace = recorder.finish(Status::Ok, Status::Ok);
    let data: Vec<_> = trace.spans[0].data.iter().map(|(key, value)| format!("{key}={value}")).collect();
    assert_eq!(data, ["a=text", "b=2.5"]);
}

#[test]
fn http_status_codes_have_the_statuses_of_sentry() {
    for (http, expected) in [
        (200, Status::Ok),
        (302, Status::Ok),
        (400, Status::InvalidArgument),
        (401, Status::Unauthenticated),
        (404, Status::NotFound),
        (429, Status::ResourceExhausted),
        (500, Status::InternalError),
        (503, Status::Unavailable),
        (504, Status::DeadlineExceeded),
    ] {
        assert_eq!(Status::from_http(http), expected, "{http}");
    }
}
