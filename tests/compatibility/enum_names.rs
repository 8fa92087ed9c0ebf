//! The name of every variant of the enums that are written to files and to Sentry.

use std::fmt::Debug;

use sentrynet::run::{Failure, Fault, FaultKind, Level, LimitKind, Outcome};
use sentrynet::trace::Status;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// Asserts that each value is serialized as this JSON, and is deserialized from it.
#[track_caller]
fn assert_serialized_as<T: Serialize + DeserializeOwned + PartialEq + Debug>(words: &[(T, Value)]) {
    for (value, word) in words {
        assert_eq!(serde_json::to_value(value).expect("the value can be serialized"), *word);
        assert_eq!(serde_json::from_value::<T>(word.clone()).expect("the value can be deserialized"), *value);
    }
}

/// Each limit, with its name in a recording, and with the reason of a run that reached the limit. If the limit has a
/// key below `limits`, this key is the same text as the reason.
const LIMITS: [(LimitKind, &str, &str); 15] = [
    (LimitKind::Deadline, "deadline", "deadline"),
    (LimitKind::Cpu, "cpu", "cpu"),
    (LimitKind::Memory, "memory", "memory"),
    (LimitKind::TotalMemory, "total-memory", "total_memory"),
    (LimitKind::Table, "table", "table"),
    (LimitKind::Handles, "handles", "handles"),
    (LimitKind::Requests, "requests", "requests"),
    (LimitKind::Connections, "connections", "connections"),
    (LimitKind::Received, "received", "received"),
    (LimitKind::Sent, "sent", "sent"),
    (LimitKind::OpenFiles, "open-files", "open_files"),
    (LimitKind::LocalPorts, "local-ports", "local_ports"),
    (LimitKind::KernelMemory, "kernel-memory", "kernel_memory"),
    (LimitKind::Threads, "threads", "threads"),
    (LimitKind::Files, "files", "files"),
];

/// Each other kind of fault, with its name in a recording, and its reason.
const FAULTS: [(FaultKind, &str, &str); 6] = [
    (FaultKind::Trap, "trap", "trap"),
    (FaultKind::ReportedByProbe, "gave", "gave-up"),
    (FaultKind::Host, "host", "host"),
    (FaultKind::Load, "load", "load"),
    (FaultKind::Suspended, "suspended", "suspended"),
    (FaultKind::ReplayDiverged, "departed", "departed"),
];

#[test]
fn faults_in_a_recording() {
    assert_serialized_as(&FAULTS.map(|(kind, name, _)| (kind, json!(name))));
    assert_serialized_as(&LIMITS.map(|(limit, name, _)| (limit, json!(name))));
    assert_serialized_as(&LIMITS.map(|(limit, name, _)| (FaultKind::Limit(limit), json!({ "ceiling": name }))));
}

#[test]
fn reasons_of_broken_runs() {
    for (limit, _, key) in LIMITS {
        assert_eq!((limit.key(), FaultKind::Limit(limit).as_str()), (key, key));
    }
    for (kind, _, reason) in FAULTS {
        assert_eq!(kind.as_str(), reason);
        let fault = Fault { kind, message: "why".to_owned(), backtrace: Vec::new() };
        assert_eq!(Outcome::Broken(fault).why(), Some((reason, "why")));
    }
}

#[test]
fn names_of_outcomes() {
    let failure = Failure { reason: "status".to_owned(), message: "why".to_owned(), mismatches: Vec::new() };
    let fault = Fault { kind: FaultKind::Trap, message: String::new(), backtrace: Vec::new() };
    for (outcome, name) in [
        (Outcome::Passed, "passed"),
        (Outcome::PassedAfterRetry(failure.clone()), "passed-after-retry"),
        (Outcome::Failed(failure), "failed"),
        (Outcome::Broken(fault), "broken"),
    ] {
        assert_eq!(outcome.as_str(), name);
    }
}

#[test]
fn levels_of_log_lines() {
    let levels = [(Level::Debug, "debug"), (Level::Info, "info"), (Level::Warn, "warn"), (Level::Error, "error")];
    for (level, name) in levels {
        assert_eq!(level.as_str(), name);
    }
    assert_serialized_as(&levels.map(|(level, name)| (level, json!(name))));
}

#[test]
fn statuses_of_spans() {
    let statuses = [
        (Status::Ok, "ok"),
        (Status::Cancelled, "cancelled"),
        (Status::Unknown, "unknown"),
        (Status::InvalidArgument, "invalid_argument"),
        (Status::DeadlineExceeded, "deadline_exceeded"),
        (Status::NotFound, "not_found"),
        (Status::AlreadyExists, "already_exists"),
        (Status::PermissionDenied, "permission_denied"),
        (Status::ResourceExhausted, "resource_exhausted"),
        (Status::FailedPrecondition, "failed_precondition"),
        (Status::Aborted, "aborted"),
        (Status::OutOfRange, "out_of_range"),
        (Status::Unimplemented, "unimplemented"),
        (Status::InternalError, "internal_error"),
        (Status::Unavailable, "unavailable"),
        (Status::DataLoss, "data_loss"),
        (Status::Unauthenticated, "unauthenticated"),
    ];
    assert_serialized_as(&statuses.map(|(status, name)| (status, json!(name))));
}
