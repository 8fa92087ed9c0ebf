//! The tags of events and transactions about a run.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::limits::{MAX_TAG_CHARS, truncate};
use crate::run::Run;

/// Tags by their keys.
pub type Tags<'a> = BTreeMap<Cow<'a, str>, Cow<'a, str>>;

/// The maximum number of tags from the guest and the configuration.
const MAX_TAGS: usize = 100;
/// Keys that Sentry drops or overwrites, since it has fields with these names.
const RESERVED_KEYS: [&str; 7] = ["dist", "environment", "filename", "function", "release", "server_name", "user"];

/// Returns the tags of a run, and those that the host adds, which replace tags of the run with the same keys.
pub fn tags(run: &Run) -> Tags<'_> {
    let own = [("probe", run.probe.probe.as_str()), ("outcome", run.outcome.as_str())];
    let reason = run.outcome.why().map(|(reason, _)| ("reason", reason));
    let tags = crate::sink::tags(run).into_iter().take(MAX_TAGS).chain(own).chain(reason);
    let tags = tags.map(|(key, value)| (valid_key(key), valid_value(value)));
    let attempts = (run.attempts > 1).then(|| ("attempts".into(), run.attempts.to_string().into()));
    let tags = tags.chain(attempts);
    tags.filter(|(key, value)| !key.is_empty() && !value.is_empty() && !RESERVED_KEYS.contains(&&**key)).collect()
}

/// Truncates a key, and replaces the characters that Sentry does not allow in one by hyphens.
fn valid_key(key: &str) -> Cow<'_, str> {
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.' | ':' | '-');
    let key = truncate(key, MAX_TAG_CHARS);
    if key.chars().all(is_allowed) { key.into() } else { key.replace(|char| !is_allowed(char), "-").into() }
}

/// Trims and truncates a value, and replaces control characters by spaces.
fn valid_value(value: &str) -> Cow<'_, str> {
    let is_blank = |char: char| char.is_whitespace() || char.is_control();
    let value = truncate(value.trim(), MAX_TAG_CHARS).trim_end_matches(is_blank);
    if value.contains(char::is_control) { value.replace(char::is_control, " ").into() } else { value.into() }
}
