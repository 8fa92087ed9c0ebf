//! Constant runs. Together they have every field and variant of a run at least once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sentrynet::assessment::{AssessedRun, Assessment, ErrorAction, Grouping, Recovery, WarningAssessment};
use sentrynet::run::evidence::Exchange;
use sentrynet::run::{Failure, Fault, FaultKind, Frame, Identity, Level, LogLine, Mismatch, Outage, Outcome, Run};
use sentrynet::trace::{HostContact, Span, SpanId, Status, Trace, TraceId, Value};
use serde_json::json;

/// A run that passed at the first attempt, with span data of every type, log lines of every level, and tags of the
/// guest.
pub fn passed() -> AssessedRun {
    let mut run = run(1, "Front page", Outcome::Passed, Status::Ok);
    run.lateness = Duration::from_micros(1_250);
    run.skipped = 2;
    run.trace.dropped = 3;
    run.tags = tags(&[("tls", "1.3"), ("team", "the configuration's goes before this"), ("environment", "reserved")]);
    run.trace.spans[1].data = vec![
        ("text".into(), Value::Text("GET".to_owned())),
        ("integer".into(), Value::Integer(-503)),
        ("number".into(), Value::Number(0.25)),
        ("boolean".into(), Value::Boolean(true)),
    ];
    let levels = [Level::Debug, Level::Info, Level::Warn, Level::Error];
    run.log = (1..)
        .zip(levels)
        .map(|(at, level)| LogLine { at: Duration::from_millis(at), level, message: level.as_str().to_owned() })
        .collect();
    assessed(run, None)
}

/// A run that passed with a warning, which is due.
pub fn passed_with_warning() -> AssessedRun {
    let mut run = run(8, "Certificate", Outcome::Passed, Status::Ok);
    run.warnings = vec![failure()];
    let mut assessed = assessed(run, None);
    assessed.assessment.warnings = vec![WarningAssessment { grouping: Grouping::Checks, is_due: true }];
    assessed
}

/// A run that passed at the second attempt, after an outage of three runs.
pub fn passed_after_retry() -> AssessedRun {
    let mut run = run(2, "Basket", Outcome::PassedAfterRetry(failure()), Status::Ok);
    run.attempts = 2;
    run.earlier = vec![failure()];
    rename_span_to_attempt(&mut run);
    assessed(run, Some(3))
}

/// A run that failed at both attempts, with evidence of an HTTP exchange that has every field.
pub fn failed_over_http() -> AssessedRun {
    let mut assessed = failed(
        3,
        "http",
        json!({ "http": {
            "method": "POST",
            "url": "https://shop.example/login",
            "query": [["page", "2"]],
            "headers": [["accept", "*/*"], ["cookie", "sid=[Filtered]"], ["user-agent", "sentrynet/1"]],
            "redirects": [{ "status": 302, "from": "https://shop.example/" }],
            "connection": {
                "phase": "receive",
                "error": "timeout",
                "names": ["shop.example"],
                "resolved": ["192.0.2.7", "2001:db8::7"],
                "peer": "192.0.2.7:443",
                "proxy": true,
                "reused": true,
                "protocol": "HTTP/2",
            },
            "tls": {
                "version": "TLSv1.3",
                "certificates": [{
                    "subject": "CN=shop.example",
                    "issuer": "CN=An authority",
                    "names": ["shop.example"],
                    "not_before": "2026-01-01T00:00:00Z",
                    "not_after": "2027-01-01T00:00:00Z",
                    "days_left": 32,
                }],
            },
            "response": {
                "status": 503,
                "headers": [["content-type", "application/json"], ["set-cookie", "sid=[Filtered]; Path=/"]],
                "body": { "size": 18, "text": "{\"status\": \"down\"}" },
            },
        }}),
    );
    let run = &mut assessed.run;
    run.attempts = 2;
    run.earlier = vec![failure()];
    rename_span_to_attempt(run);
    let line = |at, level, message: &str| LogLine { at: Duration::from_millis(at), level, message: message.to_owned() };
    run.log = vec![line(1, Level::Info, "asked"), line(2, Level::Warn, "the answer was short")];
    assessed
}

/// A run that failed, with evidence of a command over SSH.
pub fn failed_over_ssh() -> AssessedRun {
    failed(
        4,
        "ssh",
        json!({ "ssh": {
            "host": "shop.example",
            "username": "probe",
            "connection": { "phase": "exec", "error": "closed", "names": ["shop.example"], "peer": "192.0.2.7:22" },
            "banner": "SSH-2.0-OpenSSH_9.2",
            "host_key": "ssh-ed25519 SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
            "methods": ["publickey", "password"],
            "command": {
                "command": "uptime",
                "exit_status": 3,
                "signal": "KILL",
                "stdout": { "size": 2, "text": "up" },
                "stderr": { "size": 5000 },
            },
        }}),
    )
}

/// A run that failed, with evidence of a TCP connection of the guest.
pub fn failed_over_tcp() -> AssessedRun {
    failed(
        5,
        "tcp",
        json!({ "tcp": {
            "connection": { "phase": "receive", "error": "reset", "peer": "192.0.2.7:6379" },
            "sent": 14,
            "received": { "size": 7, "text": "-ERR no" },
            "closed": true,
        }}),
    )
}

/// A run that failed, with evidence of a name lookup.
pub fn failed_over_dns() -> AssessedRun {
    failed(6, "dns", json!({ "dns": { "phase": "dns", "error": "dns", "names": ["shop.example"], "peer": "" } }))
}

/// A run that failed because its host did not answer. One failure is enough for an error.
pub fn silent(id: u8) -> Run {
    let mut run = run(id, "Silent", Outcome::Failed(failure()), Status::Unavailable);
    Arc::make_mut(&mut run.probe).failures_before_error = 1;
    let now = Instant::now();
    let host = format!("shop-{id}.example");
    run.trace.contacts = vec![HostContact { host, loopback: false, answered: false, from: now, to: now }];
    run
}

/// A broken run with a backtrace.
pub fn broken() -> AssessedRun {
    let inner = Frame {
        function: "probe::divide".to_owned(),
        module: Some("probe".to_owned()),
        file: Some("src/lib.rs".to_owned()),
        line: Some(12),
    };
    let outer = Frame { function: "probe::run".to_owned(), ..Frame::default() };
    let fault = Fault {
        kind: FaultKind::Trap,
        message: "the probe trapped: integer divide by zero".to_owned(),
        backtrace: vec![inner, outer],
    };
    assessed(run(7, "Divide", Outcome::Broken(fault), Status::InternalError), None)
}

fn failed(id: u8, title: &str, evidence: serde_json::Value) -> AssessedRun {
    let mut run = run(id, title, Outcome::Failed(failure()), Status::Unavailable);
    run.trace.spans[2].status = Status::Unavailable;
    run.trace.spans[2].data = vec![("http.response.status_code".into(), Value::Integer(503))];
    run.evidence = Some(serde_json::from_value::<Exchange>(evidence).expect("evidence is read as it is written"));
    assessed(run, Some(4))
}

fn failure() -> Failure {
    let mismatch = |subject: &str, expected: &str, actual: &str| Mismatch {
        subject: subject.to_owned(),
        expected: expected.to_owned(),
        actual: actual.to_owned(),
    };
    Failure {
        reason: "status".to_owned(),
        message: "answered 503 instead of 2xx".to_owned(),
        mismatches: vec![mismatch("status", "2xx", "503"), mismatch("$.version", "\"1.2\"", "nothing")],
    }
}

/// Returns the run with an assessment: an outage of `runs` runs, if given, and an error or a recovery.
fn assessed(run: Run, runs: Option<u32>) -> AssessedRun {
    let lasted = Duration::from_millis(125_400);
    let began = run.trace.started + run.trace.duration() - lasted;
    let outage = runs.map(|runs| Outage { began, runs, lasted });
    let recovery = outage.filter(|_| run.outcome.passed()).map(|_| Recovery::Reported);
    let error = (!run.outcome.passed()).then_some(ErrorAction::Report);
    let (is_offline, grouping) = (false, Grouping::Checks);
    AssessedRun { run, assessment: Assessment { outage, recovery, error, is_offline, grouping, warnings: Vec::new() } }
}

/// Turns the second span into the span of an attempt.
fn rename_span_to_attempt(run: &mut Run) {
    run.trace.spans[1].op = "probe.attempt".into();
    "Attempt 1".clone_into(&mut run.trace.spans[1].description);
}

fn tags(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    tags.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// Returns a run with three nested spans, whose ids are made from `id`.
fn run(id: u8, title: &str, outcome: Outcome, status: Status) -> Run {
    let span = |number: u8, op: &'static str, description: &str, start, duration| Span {
        id: SpanId([0xa0 | number, 0, 0, 0, 0, 0, 0, id]),
        parent: usize::from(number).checked_sub(1),
        op: op.into(),
        description: description.to_owned(),
        start: Duration::from_micros(start),
        duration: Duration::from_micros(duration),
        status: Status::Ok,
        data: Vec::new(),
        is_of_component: false,
    };
    let mut spans = vec![
        span(0, "probes.http", title, 0, 482_250),
        span(1, "http.client", "GET https://shop.example/", 500, 479_125),
        span(2, "http.client.wait", "", 600, 250_000),
    ];
    spans[0].status = status;
    let identity = Arc::new(Identity {
        number: 0,
        probe: "probes.http".to_owned(),
        title: title.to_owned(),
        tags: Arc::new(tags(&[("team", "web"), ("region", "eu")])),
        failures_before_error: 2,
        pointer: "/groups/0/probes/0".to_owned(),
        built_in: true,
        voting_hosts: [format!("shop-{id}.example")].into(),
    });
    let trace = Trace {
        id: TraceId([id; 16]),
        started: SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_473_901_250_000),
        spans,
        dropped: 0,
        contacts: Vec::new(),
    };
    Run::new(identity, outcome, trace)
}
