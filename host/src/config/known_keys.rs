//! The host's own keys, and what is near to them. Knows nothing of what they mean.

pub use crate::schema::closest;

pub const ROOT: &[&str] = &["sentry", "modules", "groups", "limits"];
pub const SENTRY: &[&str] = &[
    "dsn",
    "tags",
    "environment",
    "release",
    "server_name",
    "sample",
    "trace_headers",
    "spool",
    "check_in",
    "spotlight",
];
pub const SAMPLE: &[&str] = &["rate", "slower_than"];
pub const TRACE_HEADERS: &[&str] = &["mode", "traceparent", "hosts"];
pub const CHECK_IN: &[&str] = &["slug", "margin", "failure_issue_threshold", "recovery_threshold", "owner"];
pub const MODULE: &[&str] = &["component", "sha256", "allow", "limits", "settings"];
pub const ALLOW: &[&str] = &["hosts", "ssh", "env", "log"];
pub const ALLOW_SSH: &[&str] = &["hosts", "commands", "agent"];
pub const LIMITS: &[&str] = &[
    "deadline",
    "cpu",
    "memory",
    "table",
    "handles",
    "requests",
    "connections",
    "received",
    "sent",
    "spans",
    "log_lines",
    "log_size",
    "in_flight",
    "total_memory",
];
/// All but the last two, which are the host's.
pub const LIMITS_OF_A_RUN: &[&str] = LIMITS.split_at(LIMITS.len() - 2).0;
pub const GROUP: &[&str] = &["tags", "trace_headers", "check_in", "probes"];
pub const PROBE: &[&str] = &[
    "probe",
    "title",
    "every",
    "burst",
    "retries",
    "retry_delay",
    "failures_before_error",
    "tags",
    "limits",
    "allow",
    "trace_headers",
    "check_in",
];

/// Those of them that are numbers, beside the limits.
const NUMBERS: &[&str] = &[
    "sample",
    "rate",
    "slower_than",
    "every",
    "burst",
    "retries",
    "retry_delay",
    "failures_before_error",
    "margin",
    "failure_issue_threshold",
    "recovery_threshold",
];

/// Whether a key of the host's is a number.
pub fn is_number(key: &str) -> bool {
    NUMBERS.contains(&key) || LIMITS.contains(&key)
}

/// Whether a pointer leads to a key that several of the host, modules, groups and probes have alike, or to a key of it.
pub fn is_shared(pointer: &str) -> bool {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    let (name, below) = match path.as_slice() {
        ["modules", _, name @ ("component" | "sha256"), ..] => return MODULE.contains(name),
        ["modules", _, "settings", ..] => return false,
        ["groups", _, "probes", _, name, below @ ..]
        | ["groups" | "modules", _, name, below @ ..]
        | ["sentry", name, below @ ..] => (*name, below),
        _ => return false,
    };
    let known = match name {
        "trace_headers" => TRACE_HEADERS,
        "check_in" => CHECK_IN,
        "allow" => ALLOW,
        "limits" => LIMITS,
        _ => return false,
    };
    below.first().is_none_or(|key| known.contains(key))
}

/// Where a key would be right.
pub fn home(key: &str) -> Option<&'static str> {
    let homes: [(&[&str], &str); 8] = [
        (ROOT, "at the top of the file"),
        (SENTRY, "under `sentry`"),
        (LIMITS, "under `limits`"),
        (CHECK_IN, "under `check_in`"),
        (GROUP, "in a group, an item of `groups`"),
        (PROBE, "in a probe, an item of a group's `probes`"),
        (ALLOW, "under `allow`"),
        (MODULE, "in a module, under a name in `modules`"),
    ];
    homes.iter().find(|(keys, _)| keys.contains(&key)).map(|(_, home)| *home)
}
