//! The options `--only` and `--tag`, by which some probes of a configuration are selected.

use std::collections::BTreeSet;

use sentrynet::run::Identity;
use sentrynet::sandbox::Probe;
use wildmatch::WildMatch;

use crate::logging::REDACTOR;

#[derive(clap::Args)]
pub struct Selection {
    /// Run only probes whose title or component's name is this, or matches it: `*` stands for any characters, `?` for
    /// one; may be given more than once
    #[arg(long, value_name = "PATTERN")]
    only: Vec<String>,
    /// Run only probes that have this tag; the key and the value may be patterns as of `--only`; may be given more than
    /// once, and then all must match
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse_tag)]
    tag: Vec<TagPattern>,
}

/// A text that another one must match.
struct Pattern(String);

/// The key and the value that a tag must match.
#[derive(Clone)]
struct TagPattern {
    key: String,
    value: String,
}

/// The maximum number of titles or tags that an error lists.
const MAX_LISTED: usize = 20;

impl Selection {
    /// Removes the probes that are not selected; removes none if nothing was selected.
    ///
    /// # Errors
    /// Returns a message that says what there is if an option selects nothing, or all of them together do.
    pub fn retain(&self, probes: &mut Vec<Probe>) -> Result<(), String> {
        let selected = self.select(&probes.iter().map(|probe| &**probe.identity()).collect::<Vec<_>>())?;
        let mut selected = selected.into_iter();
        probes.retain(|_| selected.next().unwrap_or(false));
        Ok(())
    }

    /// Returns whether each probe is selected.
    fn select(&self, probes: &[&Identity]) -> Result<Vec<bool>, String> {
        // The titles and tags of loaded probes are redacted, so the patterns must be redacted for the comparison.
        let only: Vec<_> = self.only.iter().map(|text| Pattern::new(text)).collect();
        let tags: Vec<_> = self.tag.iter().map(|tag| (Pattern::new(&tag.key), Pattern::new(&tag.value))).collect();
        if let Some(Pattern(unknown)) = only.iter().find(|title| !probes.iter().any(|probe| title.is_of(probe))) {
            let there_is = list(probes.iter().map(|probe| probe.title.clone()));
            return Err(format!("no probe has a title or a component that matches `{unknown}`; there are {there_is}"));
        }
        if let Some((key, value)) = tags.iter().find(|tag| !probes.iter().any(|probe| has_tag(probe, tag))) {
            let (key, value, there_is) = (&key.0, &value.0, list(probes.iter().flat_map(|probe| tags_of(probe))));
            return Err(format!("no probe has a tag that matches `{key}={value}`; there are {there_is}"));
        }
        let is_selected = |probe: &&Identity| {
            (only.is_empty() || only.iter().any(|title| title.is_of(probe)))
                && tags.iter().all(|tag| has_tag(probe, tag))
        };
        let selected: Vec<_> = probes.iter().map(is_selected).collect();
        let has_options = !only.is_empty() || !tags.is_empty();
        if has_options && !selected.contains(&true) {
            let there_is = list(probes.iter().map(|probe| format!("{}: {}", probe.title, tags_of(probe).join(", "))));
            return Err(format!("no probe matches all of `--only` and `--tag`; there are {there_is}"));
        }
        Ok(selected)
    }
}

impl Pattern {
    fn new(text: &str) -> Self {
        Self(REDACTOR.redact(text).into_owned())
    }

    /// Returns true if a text is the pattern, as a title with a `*` may be, or matches it.
    fn matches(&self, text: &str) -> bool {
        self.0 == text || WildMatch::new(&self.0).matches(text)
    }

    /// Returns true if the title or the component of a probe matches. A built-in probe is known as `http` and as
    /// `probes.http`.
    fn is_of(&self, probe: &Identity) -> bool {
        let short = probe.probe.strip_prefix("probes.").filter(|_| probe.built_in);
        [probe.title.as_str(), &probe.probe].into_iter().chain(short).any(|name| self.matches(name))
    }
}

fn has_tag(probe: &Identity, (key, value): &(Pattern, Pattern)) -> bool {
    probe.tags.iter().any(|tag| key.matches(tag.0) && value.matches(tag.1))
}

/// Returns the tags of a probe as they are given to `--tag`.
fn tags_of(probe: &Identity) -> Vec<String> {
    probe.tags.iter().map(|(key, value)| format!("{key}={value}")).collect()
}

/// Returns the first of these names in alphabetical order, each in backquotes, and the number of the others.
fn list(names: impl Iterator<Item = String>) -> String {
    let names: BTreeSet<_> = names.collect();
    let listed: Vec<_> = names.iter().take(MAX_LISTED).map(|name| format!("`{name}`")).collect();
    match names.len().checked_sub(MAX_LISTED) {
        _ if names.is_empty() => "none".to_owned(),
        None | Some(0) => listed.join(", "),
        Some(more) => format!("{} and {more} more", listed.join(", ")),
    }
}

fn parse_tag(text: &str) -> Result<TagPattern, &'static str> {
    let (key, value) = text.split_once('=').ok_or("a tag is KEY=VALUE, such as `team=shop` or `team=*`")?;
    Ok(TagPattern { key: key.to_owned(), value: value.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn probe(title: &str, component: &str, tags: &str) -> Identity {
        let tags = tags.split_whitespace().filter_map(|tag| tag.split_once('='));
        Identity {
            title: title.to_owned(),
            probe: component.to_owned(),
            tags: Arc::new(tags.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()),
            built_in: component.starts_with("probes."),
            ..Identity::default()
        }
    }

    /// Selects among four probes. Returns the numbers of those that are selected, or the message.
    fn select(only: &[&str], tags: &[&str]) -> Result<String, String> {
        let probes = [
            probe("Shop front", "probes.http", "team=shop region=eu"),
            probe("Shop [old]*", "probes.http", "team=shop region=us"),
            probe("Database", "redis", "team=data"),
            probe("Shell", "probes.ssh", ""),
        ];
        let tag = tags.iter().map(|tag| parse_tag(tag).expect("it is a tag")).collect();
        let selection = Selection { only: only.iter().map(|&text| text.to_owned()).collect(), tag };
        let selected = selection.select(&probes.iter().collect::<Vec<_>>())?;
        Ok(selected.iter().enumerate().filter(|(_, is)| **is).map(|(index, _)| index.to_string()).collect())
    }

    #[test]
    fn probes_are_selected_by_titles_components_and_tags() {
        let check = |only: &[&str], tags: &[&str], expected: &str| {
            assert_eq!(select(only, tags).as_deref(), Ok(expected), "{only:?} {tags:?}");
        };
        check(&[], &[], "0123");
        check(&["Shop front"], &[], "0");
        check(&["Shop*"], &[], "01");
        check(&["Shop [old]*"], &[], "1");
        check(&["S???l"], &[], "3");
        check(&["http", "Database"], &[], "012");
        check(&["probes.*"], &[], "013");
        check(&["redis"], &[], "2");
        check(&[], &["team=shop"], "01");
        check(&[], &["team=shop", "region=e*"], "0");
        check(&[], &["*=*"], "012");
        check(&["*"], &["region=*"], "01");
    }

    #[test]
    fn what_selects_nothing_is_an_error_that_says_what_there_is() {
        let check = |only: &[&str], tags: &[&str], parts: &[&str]| {
            let message = select(only, tags).expect_err("nothing is selected");
            assert!(parts.iter().all(|part| message.contains(part)), "{message}");
        };
        check(&["Shop*", "shop"], &[], &["matches `shop`", "`Database`, `Shell`, `Shop [old]*`, `Shop front`"]);
        check(&[], &["team=web"], &["a tag that matches `team=web`", "`region=eu`, `region=us`, `team=data`"]);
        check(&["Shell"], &["team=shop"], &["all of `--only` and `--tag`", "`Shop front: region=eu, team=shop`"]);
        assert!(parse_tag("team").is_err());
        assert!(list((0..25).map(|number| format!("{number:02}"))).ends_with("`19` and 5 more"));
        assert_eq!(list(std::iter::empty()), "none");
    }
}
