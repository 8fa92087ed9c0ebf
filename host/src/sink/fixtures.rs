//! Runs for the tests of the sinks, one for each outcome.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::assessment::{AssessedRun, Assessment, Assessor, Recovery};
use crate::run::{Failure, Fault, FaultKind, Frame, Identity, Level, LogLine, Mismatch, Outage, Outcome, Run};
use crate::trace::{Span, SpanId, Status, Trace, TraceId};

pub fn passed() -> Run {
    run("example.org", Outcome::Passed, Status::Ok)
}

pub fn failed() -> Run {
    let mismatch = |subject: &str, expected: &str, actual: &str| Mismatch {
        subject: subject.to_owned(),
        expected: expected.to_owned(),
        actual: actual.to_owned(),
    };
    let failure = Failure {
        reason: "status".to_owned(),
        message: "answered 503 instead of 2xx".to_owned(),
        mismatches: vec![mismatch("status", "2xx", "503"), mismatch("$.version", "\"1.2\"", "nothing")],
    };
    let mut run = run("api health", Outcome::Failed(failure), Status::Unavailable);
    run.trace.spans[1].status = Status::Unavailable;
    run.lateness = Duration::from_millis(340);
    run
}

/// Returns a run that passed with two warnings.
pub fn warned() -> Run {
    let warning = |subject: &str, values: &[(&str, &str)]| Failure {
        reason: "assertion".to_owned(),
        message: match values {
            [(expected, actual)] => format!("{subject}: expected {expected}, got {actual}"),
            several => format!("{} assertions do not hold", several.len()),
        },
        mismatches: values
            .iter()
            .map(|(expected, actual)| Mismatch {
                subject: subject.to_owned(),
                expected: (*expected).to_owned(),
                actual: (*actual).to_owned(),
            })
            .collect(),
    };
    let days = warning("certificate days", &[("at least 14 days", "13 days")]);
    let version = warning("$.version", &[("\"1.2\"", "3"), ("text", "3")]);
    Run { warnings: vec![days, version], ..passed() }
}

/// Returns a run that passed after three runs that had failed, with its assessment.
pub fn recovered() -> AssessedRun {
    let mut recovered = assessed(passed());
    let trace = &recovered.run.trace;
    let lasted = Duration::from_millis(125_400);
    let outage = Outage { began: trace.started + trace.duration() - lasted, runs: 3, lasted };
    recovered.assessment.outage = Some(outage);
    recovered.assessment.recovery = Some(Recovery::Reported);
    recovered
}

/// Returns a run whose second attempt passed.
pub fn passed_after_retry() -> Run {
    let mut run = failed();
    if let Outcome::Failed(failure) = run.outcome {
        run.outcome = Outcome::PassedAfterRetry(failure);
    }
    run.attempts = 2;
    run
}

pub fn broken() -> Run {
    let fault = Fault {
        kind: FaultKind::Trap,
        message: "the probe trapped: integer divide by zero".to_owned(),
        backtrace: vec![
            Frame {
                function: "probe::run::divide".to_owned(),
                module: Some("probe".to_owned()),
                file: Some("src/lib.rs".to_owned()),
                line: Some(12),
            },
            Frame { function: "probe::run".to_owned(), ..Frame::default() },
        ],
    };
    run("checkout", Outcome::Broken(fault), Status::InternalError)
}

/// Returns a run with the assessment that it gets as the first run of its probe.
pub fn assessed(run: Run) -> AssessedRun {
    let (assessed, _) = Assessor::new(1).assess(run, Instant::now());
    AssessedRun::clone(&assessed)
}

/// Returns the assessment that a run gets as the first run of its probe.
pub fn assessment(run: &Run) -> Assessment {
    assessed(run.clone()).assessment
}

fn run(title: &str, outcome: Outcome, status: Status) -> Run {
    let span = |id: u8, parent, op: &'static str, description: &str, start: f64, duration: f64| Span {
        id: SpanId([id; 8]),
        parent,
        op: op.into(),
        description: description.to_owned(),
        start: Duration::from_secs_f64(start / 1e3),
        duration: Duration::from_secs_f64(duration / 1e3),
        status: Status::Ok,
        data: Vec::new(),
        is_of_component: false,
    };
    let mut spans = vec![
        span(1, None, "probes.http", title, 0.0, 482.25),
        span(2, Some(0), "http.client", "GET https://example.org/health", 0.5, 479.1),
        span(3, Some(1), "http.client.dns", "example.org", 0.6, 12.3),
        span(4, Some(1), "http.client.connect", "93.184.216.34:443", 12.9, 90.0),
        span(5, Some(1), "http.client.tls", "TLS 1.3", 102.9, 97.0),
        span(6, Some(1), "http.client.send", "", 199.9, 0.085),
        span(7, Some(1), "http.client.wait", "", 200.0, 262.0),
        span(8, Some(1), "http.client.receive", "17 bytes", 462.0, 17.6),
    ];
    spans[0].status = status;
    spans[1].data = vec![
        ("http.request.method".into(), "GET".into()),
        ("http.response.status_code".into(), 503_i64.into()),
        ("server.address".into(), "example.org".into()),
    ];
    let tags = |tags: &[(&str, &str)]| tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect();
    let identity = Arc::new(Identity {
        number: 0,
        probe: "probes.http".to_owned(),
        title: title.to_owned(),
        tags: Arc::new(tags(&[("team", "web"), ("region", "eu")])),
        failures_before_error: 1,
        pointer: "/groups/0/probes/0".to_owned(),
        built_in: true,
        voting_hosts: ["example.org".to_owned()].into(),
    });
    let trace = Trace {
        id: TraceId([0xab; 16]),
        started: SystemTime::UNIX_EPOCH + Duration::from_micros(1_795_473_901_250_000),
        spans,
        dropped: 0,
        contacts: Vec::new(),
    };
    Run {
        tags: tags(&[("team", "guest"), ("tls", "1.3")]),
        log: vec![LogLine {
            at: Duration::from_micros(480_100),
            level: Level::Warn,
            message: "answer was short".to_owned(),
        }],
        ..Run::new(identity, outcome, trace)
    }
}
