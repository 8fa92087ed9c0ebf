//! Tests of single cases: the forms of a value, and the texts in which values are redacted.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use crate::printable::Form;
use crate::redaction::{Allowance, AllowanceUsedUp, LateRedactor, REDACTED, Secrets};
use crate::run::evidence::{Certificate, Command, Connection, Excerpt, Exchange, Http, Redirect, Response, Ssh, Tls};
use crate::run::{Failure, Fault, FaultKind, Frame, Identity, Level, LogLine, Mismatch, Outcome, Run};
use crate::trace::{HostContact, Recorder, Status};

#[track_caller]
fn check(secrets: &[&str], text: &str, expected: &str) {
    let secrets = Secrets::new(secrets);
    assert_eq!(secrets.redact(text), expected);
    assert_eq!(secrets.redact(expected), expected, "redacting a redacted text changes nothing");
}

#[test]
fn overlapping_matches_are_redacted_together() {
    check(&["abcdef", "defghi"], "xabcdefghiy", "x[Filtered]y");
    check(&["hunter", "hunter2"], "hunter2 hunter hunter3", "[Filtered] [Filtered] [Filtered]3");
    check(&["hunter2", "hunter2"], "hunter2hunter2", "[Filtered]");
    check(
        &["a[Filtered]b", "Filtered", "[Filtered]"],
        "a[Filtered]b Filtered [Filtered]",
        "[Filtered] [Filtered] [Filtered]",
    );
}

#[test]
fn short_values_match_whole_values_only() {
    check(&["7", "eu"], "7 of 17 in eu, neutral=7;eu7", "7 of 17 in eu, neutral=[Filtered];eu7");
    check(&["é"], "é", "[Filtered]");
    check(&["  ab\n"], "ab cab", "ab cab");
    for found in [
        "pin=12",
        "?pin=12&x=1",
        r#"{"pin": 12}"#,
        r#"{"pin":12,"x":1}"#,
        r#"{"pin":"12"}"#,
        "x-pin: 12\na: b",
        "<b>12</b>",
    ] {
        check(&["12"], found, &found.replace("12", REDACTED));
    }
    check(&["12"], r#"{\"pin\":\"12\"}"#, r#"{\"pin\":\"[Filtered]\"}"#);
    check(&["12"], "x-pin: 12 \r\na: b", "x-pin: [Filtered] \r\na: b");
}

#[test]
fn short_values_are_not_found_in_words_and_numbers_of_the_host() {
    let secrets = ["1", "22", "404", "1.3", "TE", "a secret of more characters"];
    for text in [
        "expected status 404, got 500",
        "$.n: expected one of 1, 22, got 404",
        "EXPECTED",
        "Connect to 127.0.0.1:22",
        "HTTP/1.1 404 Not Found",
        "TLS 1.3 handshake",
        "groups[1].probes[22]",
        "run 1 of 22 (404)",
    ] {
        check(&secrets, text, text);
    }
    // Base64 of any word stands for some bytes.
    check(&["1", "a secret of more characters"], "CTED MQ== PTE9", "CTED MQ== PTE9");
}

#[test]
fn short_values_are_found_in_a_run_but_not_in_what_the_host_reports() {
    let secrets = Secrets::new(["404", "GET"]);
    let recorder = Recorder::start("probes.http".into(), String::new());
    let span = recorder.push("http.client".to_owned(), "GET http://h/?pin=404".to_owned());
    recorder.set(span, "http.request.method", "GET");
    recorder.set(span, "http.response.status_code", 404);
    recorder.set(span, "of the guest".to_owned(), "404");
    let mismatch = Mismatch { subject: "status".into(), expected: "404".into(), actual: "pin=404".into() };
    let failure = Failure { reason: "GET".into(), message: "404".into(), mismatches: vec![mismatch] };
    let mut run = Run {
        tags: BTreeMap::from([("a".to_owned(), "404".to_owned())]),
        log: vec![LogLine { at: Duration::ZERO, level: Level::Info, message: "got 404".into() }],
        ..Run::new(Arc::default(), Outcome::Failed(failure), recorder.finish(Status::Ok, Status::Ok))
    };
    secrets.redact_run(&mut run, Vec::new());
    let span = &run.trace.spans[1];
    assert_eq!(span.description, "GET http://h/?pin=[Filtered]");
    let data = |key: &str| format!("{:?}", span.data.iter().find(|(other, _)| other == key).expect("the key is set").1);
    assert!(data("http.request.method").contains("GET") && data("http.response.status_code").contains("404"));
    assert!(data("of the guest").contains(REDACTED));
    let Outcome::Failed(failure) = &run.outcome else { panic!("{:?}", run.outcome) };
    let Mismatch { expected, actual, .. } = &failure.mismatches[0];
    assert_eq!((expected.as_str(), actual.as_str()), ("404", "pin=[Filtered]"));
    assert_eq!((failure.reason.as_str(), failure.message.as_str()), ("GET", REDACTED));
    assert_eq!((run.tags["a"].as_str(), run.log[0].message.as_str()), (REDACTED, "got 404"));
}

#[test]
fn parts_and_variants_of_a_value_are_redacted() {
    let key = "-----BEGIN KEY-----\nMIIBOgIBAAJBAKj34GkxFhD9\nshort\n-----END KEY-----\n";
    check(&[key], "1: MIIBOgIBAAJBAKj34GkxFhD9!", "1: [Filtered]!");
    check(&["Bearer tok-en-1"], "got tok-en-1", "got [Filtered]");
    check(&["Basic dTpodW50ZXIy"], "got hunter2, dTpodW50ZXIy", "got [Filtered], [Filtered]");
    check(&["MixedCase.Example"], "Resolve mixedcase.example", "Resolve [Filtered]");
    check(&["bücher.example"], "Resolve xn--bcher-kva.example", "Resolve [Filtered]");
    check(&["p%40ss/word"], "login p@ss/word", "login [Filtered]");
    check(&["https://u:hunter2@Shop.example/a?key=12345678#f"], "GET https://shop.example/a", "GET [Filtered]");
    check(&["https://u:hunter2@shop.example/a?key=12345678"], "hunter2 12345678", "[Filtered] [Filtered]");
}

#[test]
fn debug_output_has_no_values() {
    assert!(!format!("{:?}", Secrets::new(["hunter2"])).contains("hunter2"));
}

#[test]
fn all_texts_of_a_run_are_redacted() {
    let text = || "is hunter2!".to_owned();
    let secrets = Secrets::new(["hunter2", "86400"]);
    let tags = || BTreeMap::from([(text(), text())]);
    let mut identity = Identity {
        probe: text(),
        title: text(),
        tags: tags().into(),
        voting_hosts: [text()].into(),
        ..Identity::default()
    };
    secrets.redact_identity(&mut identity);
    let recorder = Recorder::start("probes.http".into(), String::new());
    let span = recorder.push(text(), text());
    recorder.set(span, text(), text());
    recorder.set(span, "integer", 86_400);
    recorder.set(span, "number", 86_400.0);
    let (from, to) = (recorder.epoch(), recorder.epoch());
    recorder.record_contact(HostContact { host: text(), loopback: false, answered: true, from, to });
    let trace = recorder.finish(Status::Ok, Status::Ok);
    let mismatch = Mismatch { subject: text(), expected: text(), actual: text() };
    let failure = Failure { reason: text(), message: text(), mismatches: vec![mismatch] };
    let fault = Fault {
        kind: FaultKind::ReportedByProbe,
        message: text(),
        backtrace: vec![Frame { function: text(), module: Some(text()), file: Some(text()), line: None }],
    };
    let outcomes =
        [Outcome::PassedAfterRetry(failure.clone()), Outcome::Failed(failure.clone()), Outcome::Broken(fault)];
    for (outcome, evidence) in outcomes.into_iter().zip([None, Some(http(text)), Some(ssh(text))]) {
        let log = vec![LogLine { at: Duration::ZERO, level: Level::Info, message: text() }];
        let (probe, trace) = (Arc::new(identity.clone()), trace.clone());
        let (lateness, earlier) = (Duration::ZERO, vec![failure.clone()]);
        let (warnings, tags) = (earlier.clone(), tags());
        let mut run =
            Run { probe, outcome, warnings, trace, lateness, skipped: 0, attempts: 1, earlier, evidence, tags, log };
        secrets.redact_run(&mut run, Vec::new());
        let debug_output = format!("{run:?}");
        assert!(!debug_output.contains("hunter2") && !debug_output.contains("86400"), "{debug_output}");
        assert_eq!(run.trace.spans[1].op, "is [Filtered]!");
    }
}

/// Returns an exchange with the same text in all places.
fn http(text: fn() -> String) -> Exchange {
    let lines = || vec![(text(), text())];
    let certificate = Certificate { subject: text(), issuer: text(), names: vec![text()], ..Certificate::default() };
    Exchange::Http(Box::new(Http {
        method: text(),
        url: text(),
        query: lines(),
        headers: lines(),
        body: text(),
        redirects: vec![Redirect { status: 301, from: text() }],
        connection: connection(text),
        tls: Some(Tls { version: None, certificates: vec![certificate] }),
        response: Some(Response { status: 200, headers: lines(), body: Excerpt::new(text().as_bytes(), 11) }),
    }))
}

fn ssh(text: fn() -> String) -> Exchange {
    let excerpt = || Excerpt::new(text().as_bytes(), 11);
    Exchange::Ssh(Box::new(Ssh {
        host: text(),
        username: Some(text()),
        connection: connection(text),
        banner: Some(text()),
        host_key: Some(text()),
        methods: vec![text()],
        command: Some(Command {
            command: text(),
            exit_status: None,
            signal: Some(text()),
            stdout: excerpt(),
            stderr: excerpt(),
        }),
    }))
}

fn connection(text: fn() -> String) -> Connection {
    Connection { names: vec![text()], resolved: vec![text()], peer: text(), ..Connection::default() }
}

#[derive(Clone, Default)]
struct SharedBuffer(Arc<Mutex<Vec<u8>>>);

impl Write for SharedBuffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_log_is_redacted() {
    static REDACTOR: LazyLock<LateRedactor> = LazyLock::new(LateRedactor::default);
    let out = SharedBuffer::default();
    let log = out.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || REDACTOR.writer(log.clone(), Form::Text))
        .with_ansi(true)
        .finish();
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!("before: hunter\"2");
        REDACTOR.clone().install(Secrets::new(["hunter\"2"]));
        tracing::info!(field = "a hunter\"2", "after: hunter\"2");
    });
    let log = String::from_utf8(out.0.lock().unwrap().clone()).unwrap();
    let [before, after] = log.lines().collect::<Vec<_>>()[..] else { panic!("{log}") };
    assert!(before.contains("hunter"), "{before}");
    assert!(!after.contains("hunter") && after.matches(REDACTED).count() == 2, "{after}");
}

#[test]
fn values_before_an_ellipsis_are_redacted() {
    let secrets = Secrets::new(["status-page-token", "Bearer 0123456789abcdef"]);
    for (text, expected) in [
        ("status", "status"),
        ("statu… it is", "[Filtered]… it is"),
        ("got \"Bearer 0123456789…\" (200 bytes)", "got \"[Filtered]…\" (200 bytes)"),
        ("Bearer 012345", "[Filtered]"),
        ("sta…", "sta…"),
    ] {
        assert_eq!(secrets.redact(text), expected);
    }
}

thread_local! {
    /// The time that the clock of a test shows, which goes on by a millisecond whenever it is read.
    static NOW: Cell<u64> = const { Cell::new(0) };
}

fn ticking_clock() -> Duration {
    NOW.set(NOW.get() + 1);
    Duration::from_millis(NOW.get())
}

#[test]
fn texts_beyond_the_allowance_are_replaced_as_a_whole() {
    let secrets = Secrets::new(["a secret value"]);
    let redact = |milliseconds| {
        let line = LogLine { at: Duration::ZERO, level: Level::Info, message: "a secret value and more".to_owned() };
        let trace = Recorder::start("probes.http".into(), String::new()).finish(Status::Ok, Status::Ok);
        let mut run = Run { log: vec![line; 10], ..Run::new(Arc::default(), Outcome::Passed, trace) };
        let allowance = Allowance::start(ticking_clock, Duration::from_millis(milliseconds));
        let result = secrets.redact_run_within(&mut run, Vec::new(), &allowance);
        (result, run.log.into_iter().map(|line| line.message).collect::<Vec<_>>())
    };
    let searched = "[Filtered] and more".to_owned();
    assert_eq!(redact(1_000_000), (Ok(()), vec![searched.clone(); 10]));
    let (result, log) = redact(5);
    assert_eq!(result, Err(AllowanceUsedUp));
    assert_eq!(log[9], "[Filtered]");
    assert!(log.iter().all(|text| *text == searched || text == "[Filtered]"), "{log:?}");
}
