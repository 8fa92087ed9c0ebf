//! The host's own keys, and what is near to them. Knows nothing of what they mean.

pub const ROOT: &[&str] = &["sentry", "groups", "limits"];
pub const SENTRY: &[&str] =
    &["dsn", "tags", "environment", "release", "server_name", "sample", "trace_headers", "spool"];
pub const SAMPLE: &[&str] = &["rate", "slower_than"];
pub const TRACE_HEADERS: &[&str] = &["mode", "traceparent", "hosts"];
pub const LIMITS: &[&str] = &["deadline", "memory", "in_flight"];
pub const GROUP: &[&str] = &["tags", "trace_headers", "probes"];
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
    "trace_headers",
];

/// Those of them that are numbers.
pub const NUMBERS: &[&str] = &[
    "sample",
    "rate",
    "slower_than",
    "every",
    "burst",
    "retries",
    "retry_delay",
    "failures_before_error",
    "deadline",
    "memory",
    "in_flight",
];

/// Whether a pointer leads to somebody's `trace_headers`, or to a key of it.
pub fn is_of_trace_headers(pointer: &str) -> bool {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    match path.as_slice() {
        ["sentry", "trace_headers", below @ ..]
        | ["groups", _, "trace_headers", below @ ..]
        | ["groups", _, "probes", _, "trace_headers", below @ ..] => {
            below.first().is_none_or(|key| TRACE_HEADERS.contains(key))
        }
        _ => false,
    }
}

/// The known word that a mistyped one comes nearest to.
pub fn closest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    // The comparison takes the product of both lengths.
    if word.len() > 40 {
        return None;
    }
    let word = word.to_lowercase().replace('-', "_");
    let distance = |known: &&'k str| (strsim::damerau_levenshtein(&word, known), *known);
    let (distance, meant) = known.iter().map(distance).min()?;
    (distance * 3 <= meant.len().max(3)).then_some(meant)
}

/// Where a key would be right.
pub fn home(key: &str) -> Option<&'static str> {
    let homes: [(&[&str], &str); 5] = [
        (ROOT, "at the top of the file"),
        (SENTRY, "under `sentry`"),
        (LIMITS, "under `limits`"),
        (GROUP, "in a group, an item of `groups`"),
        (PROBE, "in a probe, an item of a group's `probes`"),
    ];
    homes.iter().find(|(keys, _)| keys.contains(&key)).map(|(_, home)| *home)
}
