//! The differences between two configurations: the probes that are the same in both, and the keys that have changed.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::fmt;
use std::hash::{Hash, Hasher};

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use super::diagnostic::unescape;
use super::interpolation::Interpolations;
use super::model::{Config, Probe};

/// A key of the host that has another value in a new configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangedHostKey {
    /// The key with its section: `sentry.dsn`.
    pub key: &'static str,
    /// True if a running program uses the new value after its next start.
    pub needs_restart: bool,
}

/// Returns the keys of the host that have changed, in the order of [`Config`]. Keys from which probes inherit, such as
/// `sentry.tags`, are not among them: they change the probes.
pub fn changed_host_keys(old: &Config, new: &Config) -> Vec<ChangedHostKey> {
    let (old_sentry, new_sentry) = (&old.sentry, &new.sentry);
    let host_check_in = |config: &Config| config.check_ins.iter().find(|it| it.owner_pointer == "/sentry").cloned();
    let restart = [
        ("sentry.dsn", old_sentry.dsn == new_sentry.dsn),
        ("sentry.ca", old_sentry.ca == new_sentry.ca),
        ("sentry.environment", old_sentry.environment == new_sentry.environment),
        ("sentry.release", old_sentry.release == new_sentry.release),
        ("sentry.server_name", old_sentry.server_name == new_sentry.server_name),
        ("sentry.spool", old_sentry.spool == new_sentry.spool),
        ("sentry.sample", old_sentry.sample == new_sentry.sample),
        ("sentry.spotlight", old_sentry.spotlight == new_sentry.spotlight),
        ("sentry.check_in", host_check_in(old) == host_check_in(new)),
        ("limits.in_flight", old.in_flight == new.in_flight),
        ("limits.total_memory", old.total_memory == new.total_memory),
    ];
    let takes_over = [("limits.per_host", old.per_host == new.per_host)];
    let key = |needs_restart| move |(key, _)| ChangedHostKey { key, needs_restart };
    let is_changed = |(_, is_same): &(&'static str, bool)| !is_same;
    let restart = restart.into_iter().filter(is_changed).map(key(true));
    restart.chain(takes_over.into_iter().filter(is_changed).map(key(false))).collect()
}

/// Returns a key of a probe with this title.
type ProbeKey = fn((&Probe, &str)) -> String;

/// What becomes of the probes of a configuration that another one replaces. Each number is an index in the old or the
/// new configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProbeChanges {
    /// The new probes that are no old ones.
    pub added: Vec<usize>,
    /// The old probes that are no new ones.
    pub removed: Vec<usize>,
    /// Old probes, each with the new one that is in its place.
    pub changed: Vec<(usize, usize)>,
    /// The number of probes that are the same.
    pub unchanged: usize,
}

impl ProbeChanges {
    /// Compares two configurations, whose probes have these titles. `same` is what [`same_probes`] returns for them.
    ///
    /// Of the probes that are not the same, a new one takes the place of the only old one with its title, or else of
    /// the old one at its place.
    pub fn new(old: &[(&Probe, &str)], new: &[(&Probe, &str)], same: &[Option<usize>]) -> Self {
        let kept: HashSet<_> = same.iter().flatten().copied().collect();
        let mut removed: Vec<_> = (0..old.len()).filter(|index| !kept.contains(index)).collect();
        let mut added: Vec<_> = (0..new.len()).filter(|index| same[*index].is_none()).collect();
        let mut changed = Vec::new();
        let by_title = |(_, title): (&Probe, &str)| title.to_owned();
        let by_place = |(probe, _): (&Probe, &str)| probe.pointer.clone();
        for key in [by_title as ProbeKey, by_place] {
            let old_keys = unique(&removed, |index| key(old[index]));
            let new_keys = unique(&added, |index| key(new[index]));
            let pairs = new_keys.iter().filter_map(|(key, new)| Some((*old_keys.get(key)?, *new)));
            changed.extend(pairs);
            let of_old: HashSet<_> = changed.iter().map(|(old, _)| *old).collect();
            let of_new: HashSet<_> = changed.iter().map(|(_, new)| *new).collect();
            removed.retain(|index| !of_old.contains(index));
            added.retain(|index| !of_new.contains(index));
        }
        changed.sort_unstable_by_key(|(_, new)| *new);
        Self { added, removed, changed, unchanged: kept.len() }
    }

    /// Returns true if all probes are the same.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty() && self.changed.is_empty()
    }
}

impl fmt::Display for ProbeChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [added, removed, changed] = [self.added.len(), self.removed.len(), self.changed.len()];
        write!(f, "{added} added, {removed} removed, {changed} changed, {} unchanged", self.unchanged)
    }
}

/// Returns the indices whose key no other of them has, by their keys.
fn unique(indices: &[usize], key: impl Fn(usize) -> String) -> HashMap<String, usize> {
    let mut by_key: HashMap<_, Vec<_>> = HashMap::new();
    for index in indices {
        by_key.entry(key(*index)).or_default().push(*index);
    }
    by_key
        .into_iter()
        .filter_map(|(key, indices)| <[usize; 1]>::try_from(indices).ok().map(|[one]| (key, one)))
        .collect()
}

/// Returns, for each of the new probes, the index of the old probe that is the same; `None` for a probe that is new or
/// has changed. Probes are the same if they differ in their place alone. No two new probes have the same old one.
pub fn same_probes(old: &[&Probe], new: &[Probe]) -> Vec<Option<usize>> {
    let by_pointer: HashMap<_, _> = old.iter().enumerate().map(|(index, probe)| (&*probe.pointer, index)).collect();
    let at_same_place = |probe: &Probe| {
        let index = *by_pointer.get(&*probe.pointer)?;
        is_same(old[index], probe).then_some(index)
    };
    let mut same: Vec<_> = new.iter().map(at_same_place).collect();
    if same.iter().all(Option::is_some) {
        return same;
    }
    let taken: HashSet<_> = same.iter().flatten().copied().collect();
    let mut elsewhere: HashMap<u64, VecDeque<usize>> = HashMap::new();
    for (index, probe) in old.iter().enumerate().filter(|(index, _)| !taken.contains(index)) {
        elsewhere.entry(content_hash(probe)).or_default().push_back(index);
    }
    for (probe, same) in new.iter().zip(&mut same).filter(|(_, same)| same.is_none()) {
        let Some(candidates) = elsewhere.get_mut(&content_hash(probe)) else { continue };
        let position = candidates.iter().position(|index| is_same(old[*index], probe));
        *same = position.and_then(|position| candidates.remove(position));
    }
    same
}

/// Returns true if two probes differ in nothing but their places.
fn is_same(old: &Probe, new: &Probe) -> bool {
    changed_keys(old, new).is_empty()
}

/// Returns a hash of what distinguishes most probes.
fn content_hash(probe: &Probe) -> u64 {
    let Probe { name, title, every, burst, retries, failures_before_error, settings, .. } = probe;
    let settings = settings.iter().map(|(key, value)| hash_of(&(key, value_hash(value))));
    let settings = settings.fold(0, u64::wrapping_add);
    hash_of(&(name, title, every, burst, retries.times, failures_before_error, settings))
}

/// Returns a hash of a value that does not depend on the order of keys.
fn value_hash(value: &Value) -> u64 {
    match value {
        Value::Object(map) => {
            map.iter().map(|(key, value)| hash_of(&(key, value_hash(value)))).fold(1, u64::wrapping_add)
        }
        Value::Array(items) => hash_of(&items.iter().map(value_hash).collect::<Vec<_>>()),
        Value::String(text) => hash_of(text),
        scalar => hash_of(&scalar.to_string()),
    }
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Returns the keys of a probe that have changed: its own, and those that it has from `defaults` of the group, from the
/// module and from the top. The place of the probe is no key.
pub fn changed_keys(old: &Probe, new: &Probe) -> Vec<String> {
    // A field that is added has to be compared too.
    let Probe {
        number: _,
        name,
        module,
        title,
        tags,
        every,
        burst,
        retries,
        failures_before_error,
        limits,
        allow,
        environment,
        trace_headers,
        settings: _,
        interpolations: _,
        pointer: _,
        group_settings: _,
        module_settings: _,
    } = old;
    let values = |environment: &BTreeMap<String, SecretString>| {
        environment.iter().map(|(name, value)| (name.clone(), value.expose_secret().to_owned())).collect::<Vec<_>>()
    };
    let is_same_environment =
        environment.is_empty() && new.environment.is_empty() || values(environment) == values(&new.environment);
    let compared = [
        ("probe", *name == new.name && *module == new.module),
        ("title", *title == new.title),
        ("tags", *tags == new.tags),
        ("every", *every == new.every),
        ("burst", *burst == new.burst),
        ("retries", retries.times == new.retries.times),
        ("retry_delay", retries.delay == new.retries.delay),
        ("failures_before_error", *failures_before_error == new.failures_before_error),
        ("limits", *limits == new.limits),
        ("allow", *allow == new.allow && is_same_environment),
        ("trace_headers", *trace_headers == new.trace_headers),
    ];
    let keys = compared.into_iter().filter(|(_, is_same)| !is_same).map(|(key, _)| key.to_owned());
    keys.chain(changed_settings(old, new)).collect()
}

/// Returns the settings that have changed, by their keys.
fn changed_settings(old: &Probe, new: &Probe) -> BTreeSet<String> {
    if old.settings == new.settings && old.interpolations == new.interpolations {
        return BTreeSet::new();
    }
    let is_changed = |key: &&String| {
        old.settings.get(*key) != new.settings.get(*key)
            || old.interpolations.below(key) != new.interpolations.below(key)
    };
    old.settings.keys().chain(new.settings.keys()).filter(is_changed).cloned().collect()
}

impl Interpolations {
    /// Returns the part of the interpolations that lies below a key of the settings.
    fn below(&self, key: &str) -> (Vec<(&String, &String)>, BTreeSet<&String>) {
        let is_below = |pointer: &str| pointer.split('/').nth(1).is_some_and(|first| unescape(first) == key);
        let texts = self.source_texts.iter().chain(&self.template_escaped);
        let whole = self.whole_values.iter().filter(|pointer| is_below(pointer));
        (texts.filter(|(pointer, _)| is_below(pointer)).collect(), whole.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Source, parse};
    use super::*;

    fn config(text: &str) -> Config {
        let parsed = parse(&Source::from_text("test", text), &|_| None);
        assert_eq!(parsed.errors, []);
        parsed.config
    }

    /// Returns the configuration of probes with these keys in one group.
    fn probes(probes: &[&str]) -> Config {
        let probes: String = probes.iter().map(|keys| format!("{{probe: http, {keys}}}, ")).collect();
        config(&format!("groups: [{{probes: [{probes}]}}]"))
    }

    #[track_caller]
    fn check_same(old: &Config, new: &Config, expected: &[Option<usize>]) {
        assert_eq!(same_probes(&old.probes.iter().collect::<Vec<_>>(), &new.probes), expected);
    }

    #[test]
    fn probes_are_the_same_wherever_they_are() {
        let old = probes(&["url: 'http://a/'", "url: 'http://b/', expected: 200", "url: 'http://a/'"]);
        check_same(&old, &old, &[Some(0), Some(1), Some(2)]);
        let moved =
            probes(&["url: 'http://new/'", "expected: 200, url: 'http://b/'", "url: 'http://a/'", "url: 'http://a/'"]);
        check_same(&old, &moved, &[None, Some(1), Some(2), Some(0)]);
        let fewer = probes(&["url: 'http://a/', every: 7"]);
        check_same(&old, &fewer, &[None]);
        check_same(&fewer, &old, &[None, None, None]);
        let nested =
            config("groups: [{probes: []}, {defaults: {expected: 200}, probes: [{probe: http, url: 'http://b/'}]}]");
        check_same(&old, &nested, &[Some(1)]);
    }

    #[test]
    fn a_changed_probe_is_found_by_its_title_or_its_place() {
        let compare = |old: &[&str], new: &[&str]| {
            let (old, new) = (probes(old), probes(new));
            let same = same_probes(&old.probes.iter().collect::<Vec<_>>(), &new.probes);
            let titled = |config: &Config| -> Vec<_> {
                config.probes.iter().map(|probe| (probe.clone(), probe.title.clone().unwrap_or_default())).collect()
            };
            let (old, new) = (titled(&old), titled(&new));
            let old: Vec<_> = old.iter().map(|(probe, title)| (probe, title.as_str())).collect();
            let new: Vec<_> = new.iter().map(|(probe, title)| (probe, title.as_str())).collect();
            ProbeChanges::new(&old, &new, &same)
        };
        let [a, b, c] = ["title: A, url: 'http://a/'", "title: B, url: 'http://b/'", "url: 'http://c/'"];
        let all = ProbeChanges { unchanged: 3, ..ProbeChanges::default() };
        assert_eq!(compare(&[a, b, c], &[c, a, b]), all);
        assert!(all.is_empty());
        let changed = compare(&[a, b, c], &["title: New, url: 'http://n/'", "title: A, url: 'http://other/'", b]);
        assert_eq!(changed, ProbeChanges { added: vec![0], removed: vec![2], changed: vec![(0, 1)], unchanged: 1 });
        assert_eq!(changed.to_string(), "1 added, 1 removed, 1 changed, 1 unchanged");
        let by_place = compare(&[c, a], &["url: 'http://d/'", "title: Z, url: 'http://a/'"]);
        assert_eq!(by_place, ProbeChanges { changed: vec![(0, 0), (1, 1)], ..ProbeChanges::default() });
    }

    #[test]
    fn a_change_of_any_key_is_named() {
        let old = "url: 'http://a/', title: Shop";
        let changes = |keys: &str| changed_keys(&probes(&[old]).probes[0], &probes(&[keys]).probes[0]);
        assert!(changes(old).is_empty());
        for (key, value) in [
            ("every", "7"),
            ("burst", "2"),
            ("retries", "1"),
            ("retry_delay", "9"),
            ("failures_before_error", "3"),
            ("tags", "{a: b}"),
            ("limits", "{requests: 3}"),
            ("allow", "{hosts: [a]}"),
            ("trace_headers", "{traceparent: true}"),
            ("expected", "200"),
            ("body", "x"),
        ] {
            assert_eq!(changes(&format!("{old}, {key}: {value}")), [key]);
        }
        assert_eq!(changes("url: 'http://b/', title: Basket"), ["title", "url"]);
        assert_eq!(changes("url: 'http://a/', title: Shop, check_in: true"), [""; 0]);
        let with_number = |number: &str| probes(&[&format!("{old}, body: {number}")]);
        let of = |old: &str, new: &str| changed_keys(&with_number(old).probes[0], &with_number(new).probes[0]);
        assert_eq!(of("1.1", "1.10"), ["body"], "a template shows a number as it is written");
    }

    #[test]
    fn keys_of_the_host_are_compared() {
        let groups = "groups: []";
        let changes = |keys: &str| -> Vec<_> {
            let changed = changed_host_keys(&config(groups), &config(&format!("{keys}\n{groups}")));
            changed.into_iter().map(|changed| (changed.key, changed.needs_restart)).collect()
        };
        assert_eq!(changes(""), []);
        for (key, keys) in [
            ("sentry.dsn", "sentry: {dsn: 'https://key@host/1'}"),
            ("sentry.environment", "sentry: {environment: test}"),
            ("sentry.release", "sentry: {release: 'a@1'}"),
            ("sentry.server_name", "sentry: {server_name: b}"),
            ("sentry.spool", "sentry: {spool: false}"),
            ("sentry.sample", "sentry: {sample: 0.5}"),
            ("sentry.spotlight", "sentry: {spotlight: 'http://localhost:8969/stream'}"),
            ("sentry.check_in", "sentry: {check_in: true}"),
            ("limits.in_flight", "limits: {in_flight: 7}"),
            ("limits.total_memory", "limits: {total_memory: 1 GiB}"),
        ] {
            assert_eq!(changes(keys), [(key, true)]);
        }
        assert_eq!(changes("limits: {per_host: 3}"), [("limits.per_host", false)]);
        assert_eq!(changes("sentry: {tags: {a: b}}\nlimits: {requests: 7}"), [], "they change the probes");
    }
}
