use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use super::*;
use crate::config::Limits;
use crate::run::{Level, LogLine};
use crate::trace::{Span, Status};

/// The number of spans of a guest, which has as many lines in its log.
const GUEST_SPANS: usize = 200;

fn log_of(recorder: &Recorder) -> LogBuffer {
    let limits = Limits { log_lines: usize::MAX, log_size: usize::MAX, ..Limits::default() };
    LogBuffer::new(recorder.clone(), limits)
}

/// Opens spans and writes lines as a guest does, and calls `between` with the number of each. Returns all spans and
/// lines.
fn run_guest(
    recorder: &Recorder,
    log: &LogBuffer,
    record_replay: &RecordReplay,
    between: impl Fn(usize),
) -> (Vec<Span>, Vec<LogLine>) {
    record_replay.begin_attempt(recorder, || ());
    for number in 0..GUEST_SPANS {
        let new = CallRecord::new("span.span", "new");
        let opened = record_replay.local(recorder, new, || recorder.push("guest".to_owned(), number.to_string()));
        let span = opened.expect("no limit is reached");
        let write = CallRecord::new("log", "write");
        let written = record_replay.local(recorder, write, || log.write(Level::Info, format!("guest {number}")));
        written.expect("no limit is reached");
        let drop = CallRecord::new("span.span", "drop");
        record_replay.local(recorder, drop, || recorder.pop(span)).expect("no limit is reached");
        between(number);
    }
    record_replay.end_attempt("passed", None, &Evidence::default());
    let mut trace = recorder.finish(Status::Ok, Status::Cancelled);
    record_replay.finish(&mut trace);
    (trace.spans, log.take())
}

/// Records a guest beside two exchanges that open spans and write lines all the time, and replays the recording.
#[track_caller]
fn check_beside_exchanges(max_spans: usize) {
    let recorder = Recorder::start_bounded(max_spans, String::new(), String::new());
    let (log, id) = (log_of(&recorder), recorder.trace_id());
    let root = recorder.span_id(recorder.root());
    let record = RecordReplay::record(&recorder, &log);
    let (has_begun, has_ended) = (AtomicBool::new(false), AtomicBool::new(false));
    let (lines, running) = (AtomicUsize::new(0), AtomicUsize::new(2));
    let exchange = || {
        // An exchange is begun by the guest, in the attempt.
        while !has_begun.load(SeqCst) {
            std::thread::yield_now();
        }
        while !has_ended.load(SeqCst) {
            let span = recorder.open(recorder.root(), "exchange", "");
            log.write(Level::Warn, "exchange".to_owned());
            recorder.close(span);
            lines.fetch_add(1, SeqCst);
            std::thread::yield_now();
        }
        running.fetch_sub(1, SeqCst);
    };
    let first = std::thread::scope(|scope| {
        scope.spawn(exchange);
        scope.spawn(exchange);
        run_guest(&recorder, &log, &record, |number| {
            let is_last = number + 1 == GUEST_SPANS;
            has_begun.store(true, SeqCst);
            has_ended.store(is_last, SeqCst);
            let seen = lines.load(SeqCst);
            while if is_last { running.load(SeqCst) > 0 } else { lines.load(SeqCst) == seen } {
                std::thread::yield_now();
            }
        })
    });
    let started = std::time::SystemTime::now();
    let recorder = Recorder::start_as(max_spans, id, root, started, String::new(), String::new());
    let log = log_of(&recorder);
    let replay = RecordReplay::replay(&recorder, &log, record.take_entries(), true);
    let second = run_guest(&recorder, &log, &replay, |_| ());
    let ids = |spans: &[Span]| spans.iter().map(|span| (span.id, span.op.to_string())).collect::<Vec<_>>();
    assert_eq!(ids(&second.0), ids(&first.0));
    assert_eq!(second.0[0].data, first.0[0].data, "as many spans are left out");
    let messages = |lines: &[LogLine]| lines.iter().map(|line| line.message.clone()).collect::<Vec<_>>();
    assert_eq!(messages(&second.1), messages(&first.1));
}

#[test]
fn what_exchanges_add_while_a_guest_makes_local_calls_is_recorded() {
    check_beside_exchanges(1000);
}

#[test]
fn spans_that_exchanges_and_the_guest_leave_out_are_recorded() {
    check_beside_exchanges(150);
}
