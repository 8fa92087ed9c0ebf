//! The tags of events and transactions about a run.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::limits::{MAX_TAG_CHARS, truncate};
use crate::run::Run;
use crate::run::reserved_names::{HostTag, SENTRY_FIELDS};

/// Tags by their keys. The values are valid, and not empty.
pub struct Tags<'a>(BTreeMap<Cow<'a, str>, Cow<'a, str>>);

/// The maximum number of tags from the guest and the configuration.
const MAX_TAGS: usize = 100;

impl<'a> Tags<'a> {
    /// Returns the tags of a run. Those of the configuration replace the guest's with the same keys, and the host's own
    /// replace both. If there are too many, the guest's are left out first.
    pub fn new(run: &'a Run) -> Self {
        let mut tags = Self(BTreeMap::new());
        for (key, value) in run.probe.tags.iter().chain(&run.tags).take(MAX_TAGS) {
            let key = valid_key(key);
            if !key.is_empty() && !SENTRY_FIELDS.contains(&&*key) {
                tags.0.entry(key).or_insert_with(|| valid_value(value));
            }
        }
        tags.0.retain(|_, value| !value.is_empty());
        tags.add(HostTag::Probe, &run.probe.probe);
        tags.add(HostTag::Outcome, run.outcome.as_str());
        if let Some((reason, _)) = run.outcome.why() {
            tags.add(HostTag::Reason, reason);
        }
        if run.attempts > 1 {
            tags.add(HostTag::Attempts, run.attempts.to_string());
        }
        tags
    }

    /// Adds a tag of the host. It replaces any other with the same key; an empty value removes the other.
    pub fn add(&mut self, tag: HostTag, value: impl Into<Cow<'a, str>>) {
        let value = match value.into() {
            Cow::Borrowed(value) => valid_value(value),
            Cow::Owned(value) => valid_value(&value).into_owned().into(),
        };
        if value.is_empty() {
            self.0.remove(tag.as_str());
        } else {
            self.0.insert(tag.as_str().into(), value);
        }
    }

    /// Returns the keys and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (&**key, &**value))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::fixtures;

    #[test]
    fn a_guest_overrides_no_tag_of_the_configuration_or_the_host() {
        let mut run = fixtures::passed_after_retry();
        // Sentry allows no `/` and no `!` in a key: the keys `te/am` and `te!am` become `te-am`.
        let keys = ["team", "te/am", "te!am", "te-am", "probe", "outcome", "reason", "attempts", "release"];
        run.tags = keys.map(|key| (key.to_owned(), "guest".to_owned())).into();
        let mut identity = (*run.probe).clone();
        identity.tags = std::sync::Arc::new(
            [("team", "web"), ("te-am", "core")].map(|(key, value)| (key.to_owned(), value.to_owned())).into(),
        );
        run.probe = identity.into();
        let tags = Tags::new(&run);
        let expected = [
            ("attempts", "2"),
            ("outcome", "passed-after-retry"),
            ("probe", "probes.http"),
            ("reason", "status"),
            ("te-am", "core"),
            ("team", "web"),
        ];
        assert_eq!(tags.iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_guest_displaces_no_tag_of_the_configuration() {
        let mut run = fixtures::passed();
        run.tags = (0..50).map(|number| (format!("a{number}"), "guest".to_owned())).collect();
        let mut identity = (*run.probe).clone();
        identity.tags =
            std::sync::Arc::new((0..90).map(|number| (format!("z{number}"), "operator".to_owned())).collect());
        run.probe = identity.into();
        let tags = Tags::new(&run);
        assert_eq!(tags.iter().filter(|(_, value)| *value == "operator").count(), 90);
        assert_eq!(tags.iter().filter(|(_, value)| *value == "guest").count(), 10);
    }
}
