//! Check-ins: from the keys `check_in` to the monitors that Sentry is to keep for us. Knows what Sentry takes of a
//! monitor, and nothing of sending.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::{Map, Value};

use super::diagnostic::{Diagnostic, below, quote};
use super::known_keys::CHECK_IN;
use super::table::{Field, Report, Table, bounded};
use super::{Config, Probe};
use crate::redaction::Secrets;

/// A key `check_in`, as it is written.
#[derive(Debug, Clone)]
pub struct CheckIn {
    /// JSON pointer to who checks in: a probe, a group, or the host's own section.
    of: String,
    /// None takes the title's, or the server's name.
    slug: Option<String>,
    margin: Option<u32>,
    failure_issue_threshold: Option<u32>,
    recovery_threshold: Option<u32>,
    owner: Option<String>,
}

/// One of Sentry's monitors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// No other's in this configuration.
    pub slug: String,
    pub of: MonitorSubject,
    /// Minutes from one check-in to the next.
    pub every: u32,
    /// Minutes that one may be late before it is missed.
    pub margin: u32,
    /// So many check-ins in a row must fail or be missed before Sentry opens an issue; Sentry's own number if none.
    pub failure_issue_threshold: Option<u32>,
    /// So many in a row must be well before Sentry closes it.
    pub recovery_threshold: Option<u32>,
    /// `user:…` or `team:…`
    pub owner: Option<String>,
}

/// Who checks in to a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonitorSubject {
    /// The host itself, for as long as it runs.
    Host,
    /// A probe, or those of a group, by JSON pointer. `often`: there may be several runs within a minute.
    Probes { pointer: String, often: bool },
}

/// Where the host's own is.
const HOST: &str = "/sentry";
/// Sentry's bound for the characters of a slug.
const LONGEST_SLUG: usize = 50;
/// Sentry's bound for a margin: 28 days.
const MOST_MARGIN: u32 = 40_320;
/// Sentry's bound for thresholds.
const MOST_THRESHOLD: u32 = 720;
const MINUTE: Duration = Duration::from_secs(60);
/// Sentry expects the next check-in up to a minute early, since it leaves out the seconds; another minute is for
/// runs that were gathered, and for the way there.
const LEAST_MARGIN: u32 = 2;

/// Reads the key: `true`, `false`, or a map. `named` is who has a name to make a slug of.
pub fn check_in(of: &str, named: bool, field: Field, report: &mut Report) -> Option<CheckIn> {
    let mut table = match field.value {
        Value::Bool(false) => return None,
        Value::Bool(true) => Table { pointer: field.pointer, rest: Map::new() },
        Value::Object(rest) => Table { pointer: field.pointer, rest },
        _ => {
            let message = field.wrong("must be true, false, or a map of keys such as `slug` and `margin`");
            return report.at(&field, Err(message));
        }
    };
    if !named && table.rest.get("slug").is_none_or(Value::is_null) {
        let message = "a group has no title to make a slug of: write `check_in: {slug: …}`";
        report.problems.push(Diagnostic::value(&table.pointer, message));
    }
    let mut whole = |key, most| {
        let field = table.take(key)?;
        report.at(&field, field.whole(1..=most))
    };
    let margin = whole("margin", MOST_MARGIN);
    let failure_issue_threshold = whole("failure_issue_threshold", MOST_THRESHOLD);
    let recovery_threshold = whole("recovery_threshold", MOST_THRESHOLD);
    let mut text = |key, right: fn(&str) -> Result<(), String>| {
        let field = table.take(key)?;
        let text = field.text(report).and_then(|text| right(&text).map(|()| text));
        report.at(&field, text)
    };
    let (slug, owner) = (text("slug", slug), text("owner", owner));
    table.finish(CHECK_IN, report);
    Some(CheckIn { of: of.to_owned(), slug, margin, failure_issue_threshold, recovery_threshold, owner })
}

/// The monitors that a configuration asks for, once the titles are known that its probes run under, in its order.
///
/// # Errors
/// Slugs that cannot be made, or that two monitors would share.
pub fn monitors(config: &Config, titles: &[&str]) -> Result<Vec<Monitor>, Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut monitors = Vec::new();
    let mut taken: BTreeMap<String, Vec<&CheckIn>> = BTreeMap::new();
    let mut members: HashMap<&str, Vec<(&Probe, &str)>> = HashMap::new();
    for (probe, title) in config.probes.iter().zip(titles) {
        for place in places(&probe.pointer) {
            members.entry(place).or_default().push((probe, title));
        }
    }
    for check_in in &config.check_ins {
        let members = members.get(check_in.of.as_str()).map_or(&[][..], Vec::as_slice);
        let named = match members {
            [] if check_in.of != HOST => continue,
            [] => config.sentry.server_name.as_str(),
            [(_, title), ..] => title,
        };
        let Some(slug) = check_in.slug.clone().or_else(|| slugify(named)) else {
            let message = format!("{} has no letters to make a slug of: give `check_in` a `slug`", quote(named));
            problems.push(check_in.problem(message));
            continue;
        };
        taken.entry(slug.clone()).or_default().push(check_in);
        monitors.push(check_in.monitor(slug, members));
    }
    for (slug, check_ins) in taken.into_iter().filter(|(_, check_ins)| check_ins.len() > 1) {
        let message =
            format!("{} monitors would have the slug `{slug}`: give each a `slug` of its own", check_ins.len());
        problems.extend(check_ins.iter().map(|check_in| check_in.problem(message.clone())));
    }
    if problems.is_empty() { Ok(monitors) } else { Err(problems) }
}

impl CheckIn {
    /// It is there to be told, but not what is a secret elsewhere.
    pub fn redact(&mut self, secrets: &Secrets) {
        self.slug = self.slug.take().and_then(|slug| match secrets.redact(&slug).into_owned() {
            struck if struck == slug => Some(slug),
            struck => slugify(&struck),
        });
        self.owner.iter_mut().for_each(|owner| secrets.redact_in_place(owner));
    }

    fn monitor(&self, slug: String, members: &[(&Probe, &str)]) -> Monitor {
        // The one that runs most often is the one to expect: with it comes what is known of all of them.
        let first = members.iter().map(|(probe, _)| probe).min_by_key(|probe| probe.every);
        let every = first.map_or(MINUTE, |probe| probe.every);
        let of = match members {
            [] => MonitorSubject::Host,
            [(probe, _)] => {
                MonitorSubject::Probes { pointer: self.of.clone(), often: every < MINUTE || probe.burst > 1 }
            }
            _ => MonitorSubject::Probes { pointer: self.of.clone(), often: true },
        };
        let late = first.map_or(0, |probe| minutes(probe.longest()));
        let patient = first.map(|probe| probe.failures_before_error).filter(|failures| *failures > 1);
        Monitor {
            slug,
            of,
            every: minutes(every).max(1),
            margin: self.margin.unwrap_or((late + LEAST_MARGIN).min(MOST_MARGIN)),
            failure_issue_threshold: self.failure_issue_threshold.or(patient.map(|most| most.min(MOST_THRESHOLD))),
            recovery_threshold: self.recovery_threshold,
            owner: self.owner.clone(),
        }
    }

    /// A problem with its slug, given or made.
    fn problem(&self, message: String) -> Diagnostic {
        let key = below(&self.of, "check_in");
        match self.slug {
            Some(_) => Diagnostic::value(below(&key, "slug"), message),
            None => Diagnostic::key(key, message),
        }
    }
}

impl Probe {
    /// How long a run can take, with all attempts.
    fn longest(&self) -> Duration {
        self.limits.deadline * (self.retries.times + 1) + self.retries.delay * self.retries.times
    }
}

/// A JSON pointer to a probe, and those to what it is in: where a monitor of it can be.
pub fn places(probe: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(probe), |place| Some(place.rsplit_once('/')?.0))
}

/// Whole minutes, rounded up: the least that a monitor counts in.
fn minutes(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(MINUTE.as_millis())).unwrap_or(u32::MAX)
}

/// A text as a slug, if it has letters.
fn slugify(text: &str) -> Option<String> {
    let mut slug = slug::slugify(text);
    slug.truncate(LONGEST_SLUG);
    let slug = slug.trim_end_matches('-');
    slug.contains(|c: char| c.is_ascii_lowercase()).then(|| slug.to_owned())
}

/// What Sentry takes for a slug, and keeps as it is.
fn slug(text: &str) -> Result<(), String> {
    bounded("`slug`", text, LONGEST_SLUG)?;
    let right = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_');
    let ends = ['-', '_'];
    let kept = text.chars().all(right) && !text.contains("--") && text.trim_matches(ends) == text;
    match slugify(text) {
        Some(_) if kept => Ok(()),
        Some(better) => Err(format!("`slug` holds what Sentry would change: write {}", quote(&better))),
        None => Err("`slug` must have letters: Sentry takes `a` to `z`, digits, `-` and `_`".into()),
    }
}

fn owner(text: &str) -> Result<(), String> {
    bounded("`owner`", text, 200)?;
    match text.split_once(':') {
        Some(("user" | "team", name)) if !name.trim().is_empty() => Ok(()),
        _ => Err("`owner` must be `team:NAME` or `user:ADDRESS`, as Sentry has them".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Source, parse};
    use super::*;

    fn config(text: &str) -> Config {
        let source = Source { name: "test".into(), text: text.into(), path: None, directory: ".".into(), probe: None };
        let draft = parse(&source, &|name| (name == "PLACE").then(|| "mars".to_owned()));
        assert_eq!(draft.problems, []);
        draft.config
    }

    /// The monitors of a configuration whose probes are titled, if at all, by their configuration.
    fn made(text: &str) -> Result<Vec<Monitor>, Vec<Diagnostic>> {
        let config = config(text);
        let titles: Vec<_> = config.probes.iter().map(|probe| probe.title.as_deref().unwrap_or_default()).collect();
        monitors(&config, &titles)
    }

    /// The one monitor of a probe with these keys.
    fn of_probe(keys: &str) -> Monitor {
        let monitors = made(&format!("groups: [{{probes: [{{probe: http, title: Shop, check_in: true, {keys}}}]}}]"));
        let [monitor] = <[_; 1]>::try_from(monitors.unwrap()).unwrap();
        monitor
    }

    #[test]
    fn every_in_minutes() {
        let every = |seconds: &str| of_probe(&format!("every: {seconds}")).every;
        for (seconds, minutes) in [
            ("0.05", 1),
            ("59", 1),
            ("60", 1),
            ("60.001", 2),
            ("90", 2),
            ("300", 5),
            ("3601", 61),
            ("31536000", 525_600),
        ] {
            assert_eq!(every(seconds), minutes, "{seconds}");
        }
        assert_eq!(of_probe("retries: 0").every, 5);
    }

    #[test]
    fn as_late_as_an_honest_run_can_be() {
        assert_eq!(of_probe("limits: {deadline: 10}").margin, 3);
        assert_eq!(of_probe("limits: {deadline: 60}").margin, 3);
        assert_eq!(of_probe("limits: {deadline: 40}, retries: 2, retry_delay: 30").margin, 5);
        assert_eq!(of_probe("limits: {deadline: 86400}, retries: 10").margin, 15_840 + 2 + 1);
    }

    #[test]
    fn patience_is_handed_on_unless_said_otherwise() {
        let threshold = |keys| of_probe(keys).failure_issue_threshold;
        assert_eq!(threshold("every: 60"), None);
        assert_eq!(threshold("failures_before_error: 3"), Some(3));
        assert_eq!(threshold("failures_before_error: 1000"), Some(720));
        let keys = "{probe: http, title: t, failures_before_error: 3, check_in: {failure_issue_threshold: 1}}";
        let monitors = made(&format!("groups: [{{probes: [{keys}]}}]")).unwrap();
        assert_eq!(monitors[0].failure_issue_threshold, Some(1));
    }

    #[test]
    fn what_is_gathered() {
        let of = |pointer: &str, often| MonitorSubject::Probes { pointer: pointer.to_owned(), often };
        for (keys, often) in [("every: 60", false), ("every: 59", true), ("burst: 2", true)] {
            assert_eq!(of_probe(keys).of, of("/groups/0/probes/0", often), "{keys}");
        }
        let group = |probes| made(&format!("groups: [{{check_in: {{slug: a}}, probes: {probes}}}]")).unwrap().remove(0);
        let one = group("[{probe: http, title: t}]");
        assert_eq!(one.of, of("/groups/0", false));
        let two = group("[{probe: http, title: t}, {probe: http, title: u, every: 120, limits: {deadline: 150}}]");
        assert_eq!(two.of, of("/groups/0", true));
        assert_eq!((two.every, two.margin), (2, 5), "those of the probe that runs most often");
    }

    #[test]
    fn the_host_has_a_monitor_too() {
        let [monitor] = made("sentry: {server_name: Web-1.example, check_in: true}").unwrap().try_into().unwrap();
        assert_eq!((monitor.slug.as_str(), &monitor.of), ("web-1-example", &MonitorSubject::Host));
        assert_eq!((monitor.every, monitor.margin), (1, 2));
        assert_eq!(made("sentry: {check_in: false}").unwrap(), []);
    }

    #[test]
    fn slugs_of_titles() {
        for (title, slug) in [
            ("Log in & look at the basket", Some("log-in-look-at-the-basket")),
            ("  shop.example/status ", Some("shop-example-status")),
            ("Über München", Some("uber-munchen")),
            ("[Filtered] login", Some("filtered-login")),
            ("404", None),
            ("…", None),
        ] {
            assert_eq!(slugify(title).as_deref(), slug, "{title}");
        }
        let long = slugify(&"word ".repeat(20)).unwrap();
        assert!(long.len() <= 50 && long.ends_with("word"), "{long}");
    }

    #[test]
    fn two_monitors_have_two_slugs() {
        let wrong = made(
            "sentry: {check_in: {slug: shop}}
groups: [{probes: [{probe: http, title: Shop, check_in: true}, {probe: http, title: 404, check_in: true}]}]",
        );
        let wrong = wrong.unwrap_err();
        let places: Vec<_> = wrong.iter().filter_map(Diagnostic::pointer).collect();
        assert_eq!(places, ["/groups/0/probes/1/check_in", "/sentry/check_in/slug", "/groups/0/probes/0/check_in"]);
    }

    #[test]
    fn a_slug_is_there_to_be_told_but_no_secret_is() {
        let slug = |title: &str| {
            let probe = format!("{{probe: http, title: '{title}', check_in: {{slug: 'shop-${{env:PLACE}}'}}}}");
            made(&format!("groups: [{{probes: [{probe}]}}]")).unwrap().remove(0).slug
        };
        assert_eq!(slug("Shop"), "shop-mars");
        assert_eq!(slug("Shop on ${env:PLACE}"), "shop-filtered");
    }
}
