//! Makes the monitors for the check-ins of a configuration, within the limits of Sentry's monitors. Sends nothing.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::check_in::{CheckIn, Monitor, MonitorSubject, slugify};
use super::diagnostic::{Diagnostic, quote};
use super::model::{Config, Probe};
use super::section::Section;

/// The JSON pointer to the section whose check-in is the host's.
const HOST: &str = "/sentry";
const MINUTE: Duration = Duration::from_secs(60);
/// The margin for a run that takes no time, in minutes. Sentry drops the seconds from the time of a check-in, and so
/// expects the next one up to a minute early. Another minute is for gathering the runs of a minute, and for the
/// network.
const MIN_MARGIN_MINUTES: u32 = 2;

/// Returns the monitors that these keys `check_in` of a configuration ask for, in its order. `titles` are the titles of
/// `config.probes`.
///
/// # Errors
/// Returns a diagnostic for each slug that cannot be made, and for each monitor whose slug another monitor has too.
pub fn monitors(config: &Config, check_ins: &[CheckIn], titles: &[&str]) -> Result<Vec<Monitor>, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let mut monitors = Vec::new();
    let mut by_slug: BTreeMap<String, Vec<&CheckIn>> = BTreeMap::new();
    let mut members: HashMap<&str, Vec<(&Probe, &str)>> = HashMap::new();
    for (probe, title) in config.probes.iter().zip(titles) {
        for pointer in pointer_ancestors(&probe.pointer) {
            members.entry(pointer).or_default().push((probe, title));
        }
    }
    for check_in in check_ins {
        let members = members.get(check_in.owner_pointer.as_str()).map_or(&[][..], Vec::as_slice);
        let name = match members {
            [] if check_in.owner_pointer != HOST => continue,
            [] => config.sentry.server_name.as_str(),
            [(_, title), ..] => title,
        };
        let Some(slug) = check_in.slug.clone().or_else(|| slugify(name)) else {
            let message = format!("{} has no letters to make a slug of: give `check_in` a `slug`", quote(name));
            errors.push(check_in.slug_diagnostic(message));
            continue;
        };
        by_slug.entry(slug.clone()).or_default().push(check_in);
        monitors.push(check_in.monitor(slug, members));
    }
    for (slug, check_ins) in by_slug.into_iter().filter(|(_, check_ins)| check_ins.len() > 1) {
        let message =
            format!("{} monitors would have the slug `{slug}`: give each a `slug` of its own", check_ins.len());
        errors.extend(check_ins.iter().map(|check_in| check_in.slug_diagnostic(message.clone())));
    }
    if errors.is_empty() { Ok(monitors) } else { Err(errors) }
}

impl CheckIn {
    fn monitor(&self, slug: String, members: &[(&Probe, &str)]) -> Monitor {
        // The probe that runs most often determines the schedule: each of its check-ins carries the state of all probes
        // of the group.
        let first = members.iter().map(|(probe, _)| probe).min_by_key(|probe| probe.every);
        let every = first.map_or(MINUTE, |probe| probe.every);
        let probes = |several_per_minute| {
            let pointer = self.owner_pointer.clone();
            MonitorSubject::Probes { pointer, several_per_minute }
        };
        let subject = match members {
            [] => MonitorSubject::Host,
            [(probe, _)] => probes(every < MINUTE || probe.burst > 1),
            _ => probes(true),
        };
        let bound = |key| *Section::CHECK_IN.bounds(key).end() as u32;
        let run_minutes = first.map_or(0, |probe| minutes(probe.max_run_time()));
        let failures = first.map(|probe| probe.failures_before_error).filter(|failures| *failures > 1);
        let threshold = failures.map(|failures| failures.min(bound("failure_issue_threshold")));
        Monitor {
            slug,
            subject,
            probes: members.iter().map(|(probe, _)| probe.number).collect(),
            every: minutes(every).max(1),
            margin: self.margin.unwrap_or((run_minutes + MIN_MARGIN_MINUTES).min(bound("margin"))),
            failure_issue_threshold: self.failure_issue_threshold.or(threshold),
            recovery_threshold: self.recovery_threshold,
            owner: self.owner.clone(),
        }
    }
}

impl Probe {
    /// Returns the longest time that a run can take, with all its attempts.
    fn max_run_time(&self) -> Duration {
        self.limits.deadline * (self.retries.times + 1) + self.retries.delay * self.retries.times
    }
}

/// Returns a JSON pointer, and the pointers to all that it lies in: `/groups/0/probes/1`, `/groups/0/probes`, and so on
/// to the empty pointer. A run of a probe checks in to the monitors of all of these.
fn pointer_ancestors(pointer: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(pointer), |pointer| Some(pointer.rsplit_once('/')?.0))
}

/// Returns whole minutes, rounded up. Monitors have no finer unit.
fn minutes(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis().div_ceil(MINUTE.as_millis())).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::{Source, parse};
    use super::*;

    fn config(text: &str) -> Config {
        let source = Source::from_text("test", text);
        let parsed = parse(&source, &|name| (name == "PLANET").then(|| "mars".to_owned()));
        assert_eq!(parsed.errors, []);
        parsed.config
    }

    /// Returns the monitors of a configuration whose probes all have a title.
    fn monitors_of(text: &str) -> Result<Vec<Monitor>, Vec<Diagnostic>> {
        let config = config(text);
        let titles: Vec<_> = config.probes.iter().map(|probe| probe.title.as_deref().unwrap_or_default()).collect();
        monitors(&config, &config.check_ins, &titles)
    }

    /// Returns the monitor of a probe with these keys.
    fn monitor_of_probe(keys: &str) -> Monitor {
        let monitors =
            monitors_of(&format!("groups: [{{probes: [{{probe: http, title: Shop, check_in: true, {keys}}}]}}]"));
        let [monitor] = <[_; 1]>::try_from(monitors.unwrap()).unwrap();
        monitor
    }

    #[test]
    fn intervals_are_rounded_up_to_minutes() {
        let every = |seconds: &str| monitor_of_probe(&format!("every: {seconds}")).every;
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
        assert_eq!(monitor_of_probe("retries: 0").every, 5);
    }

    #[test]
    fn the_margin_covers_the_longest_run() {
        assert_eq!(monitor_of_probe("limits: {deadline: 10}").margin, 3);
        assert_eq!(monitor_of_probe("limits: {deadline: 60}").margin, 3);
        assert_eq!(monitor_of_probe("limits: {deadline: 40}, retries: 2, retry_delay: 30").margin, 5);
        assert_eq!(monitor_of_probe("limits: {deadline: 86400}, retries: 10").margin, 15_840 + 2 + 1);
    }

    #[test]
    fn failures_before_error_is_the_default_threshold() {
        let threshold = |keys| monitor_of_probe(keys).failure_issue_threshold;
        assert_eq!(threshold("every: 60"), None);
        assert_eq!(threshold("failures_before_error: 3"), Some(3));
        assert_eq!(threshold("failures_before_error: 1000"), Some(720));
        let keys = "{probe: http, title: t, failures_before_error: 3, check_in: {failure_issue_threshold: 1}}";
        let monitors = monitors_of(&format!("groups: [{{probes: [{keys}]}}]")).unwrap();
        assert_eq!(monitors[0].failure_issue_threshold, Some(1));
    }

    #[test]
    fn runs_of_one_minute_are_gathered() {
        let of = |pointer: &str, several_per_minute| MonitorSubject::Probes {
            pointer: pointer.to_owned(),
            several_per_minute,
        };
        for (keys, several_per_minute) in [("every: 60", false), ("every: 59", true), ("burst: 2", true)] {
            assert_eq!(monitor_of_probe(keys).subject, of("/groups/0/probes/0", several_per_minute), "{keys}");
        }
        let group =
            |probes| monitors_of(&format!("groups: [{{check_in: {{slug: a}}, probes: {probes}}}]")).unwrap().remove(0);
        let one = group("[{probe: http, title: t}]");
        assert_eq!(one.subject, of("/groups/0", false));
        let two = group("[{probe: http, title: t}, {probe: http, title: u, every: 120, limits: {deadline: 150}}]");
        assert_eq!(two.subject, of("/groups/0", true));
        assert_eq!((two.every, two.margin), (2, 5), "the schedule of the probe that runs most often");
    }

    #[test]
    fn the_host_has_a_monitor_too() {
        let [monitor] =
            monitors_of("sentry: {server_name: Web-1.example, check_in: true}").unwrap().try_into().unwrap();
        assert_eq!((monitor.slug.as_str(), &monitor.subject), ("web-1-example", &MonitorSubject::Host));
        assert_eq!((monitor.every, monitor.margin), (1, 2));
        assert_eq!(monitors_of("sentry: {check_in: false}").unwrap(), []);
    }

    #[test]
    fn slugs_are_made_from_titles() {
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
        let wrong = monitors_of(
            "sentry: {check_in: {slug: shop}}
groups: [{probes: [{probe: http, title: Shop, check_in: true}, {probe: http, title: 404, check_in: true}]}]",
        );
        let wrong = wrong.unwrap_err();
        let pointers: Vec<_> = wrong.iter().filter_map(Diagnostic::pointer).collect();
        assert_eq!(pointers, ["/groups/0/probes/1/check_in", "/sentry/check_in/slug", "/groups/0/probes/0/check_in"]);
    }

    #[test]
    fn secrets_are_redacted_from_slugs() {
        let slug = |body: &str| {
            let keys = "probe: http, title: 'On ${env:PLANET}', check_in: {slug: 'shop-${env:PLANET}'}";
            let probe = format!("{{{keys}, body: '{body}'}}");
            monitors_of(&format!("groups: [{{probes: [{probe}]}}]")).unwrap().remove(0).slug
        };
        assert_eq!(slug("Hello"), "shop-mars");
        assert_eq!(slug("Hello ${env:PLANET}"), "shop-filtered");
    }
}
