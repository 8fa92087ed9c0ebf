//! Titles that third-party components derive from their settings: none may be that of another probe, or lead to its
//! monitor.

use std::collections::{HashMap, HashSet};

use super::check_in::{CheckIn, slugify};
use super::diagnostic::{Diagnostic, below, quote_title};
use super::model::{Config, Module, Probe};

/// A probe that cannot have the title that its component has derived.
#[derive(Debug, PartialEq, Eq)]
pub struct Renamed {
    /// The index of the probe in [`Config::probes`].
    pub index: usize,
    /// The title that it gets.
    pub title: String,
    /// The warning for the operator.
    pub warning: Diagnostic,
}

/// The probes that have a title, or a monitor's slug.
#[derive(Default)]
struct Claims<'a> {
    /// True if one of them is the operator's choice, or a built-in probe's.
    is_trusted: bool,
    modules: HashSet<&'a Module>,
    /// The index of the first of them.
    first: usize,
}

/// A title, and what follows from it.
struct Derived<'a> {
    probe: &'a Probe,
    title: &'a str,
    /// The title without what readers overlook.
    key: String,
    /// True if the probe has a monitor whose slug is made from the title.
    has_monitor: bool,
    /// The slug; `None` if the probe has no such monitor, or the title has no letters.
    slug: Option<String>,
    /// True if the operator has chosen the title, or a built-in probe.
    is_trusted: bool,
}

/// Returns the third-party probes that get another title than their component has derived. `check_ins` are the keys
/// `check_in` that count, and `titles` the titles of `config.probes`.
///
/// A derived title is not taken if it looks like that of a probe with another component, or if the slug that is made
/// from it is that of another monitor. In both cases the title or the monitor stays with the other probe; of two
/// third-party components that want the same, neither gets it. Then the title is made from the component's name in the
/// configuration, and from the place of the probe. A title that the operator has given is never changed.
pub fn distinct_titles(config: &Config, check_ins: &[CheckIn], titles: &[&str]) -> Vec<Renamed> {
    let slugless: HashSet<_> =
        check_ins.iter().filter(|it| it.slug.is_none()).map(|it| it.owner_pointer.as_str()).collect();
    let all: Vec<_> = config
        .probes
        .iter()
        .zip(titles)
        .map(|(probe, title)| Derived {
            probe,
            title,
            key: lookalike_key(title),
            has_monitor: slugless.contains(probe.pointer.as_str()),
            slug: slugless.contains(probe.pointer.as_str()).then(|| slugify(title)).flatten(),
            is_trusted: probe.title.is_some() || matches!(probe.module, Module::BuiltIn(_)),
        })
        .collect();
    let (mut keys, mut slugs) = (HashMap::<_, Claims>::new(), HashMap::<_, Claims>::new());
    for (index, derived) in all.iter().enumerate() {
        let entries = [Some(keys.entry(derived.key.clone())), derived.slug.clone().map(|slug| slugs.entry(slug))];
        for entry in entries.into_iter().flatten() {
            let claims = entry.or_insert_with(|| Claims { first: index, ..Claims::default() });
            claims.is_trusted |= derived.is_trusted;
            claims.modules.insert(&derived.probe.module);
        }
    }
    let host = slugless.contains("/sentry").then(|| slugify(&config.sentry.server_name)).flatten();
    for slug in check_ins.iter().filter_map(|check_in| check_in.slug.clone()).chain(host) {
        slugs.entry(slug).or_default().is_trusted = true;
    }

    let mut renamed = Vec::new();
    for (index, derived) in all.iter().enumerate().filter(|(_, derived)| !derived.is_trusted) {
        let is_contested = |claims: &Claims| claims.is_trusted || claims.modules.len() > 1;
        // The operator chose the component's name, and several probes may have it as their title.
        let has_title_of_another = derived.title != derived.probe.name && is_contested(&keys[&derived.key]);
        let has_slug_of_another = match &derived.slug {
            None => derived.has_monitor,
            Some(slug) => is_contested(&slugs[slug]) || slugs[slug].first != index,
        };
        if !has_title_of_another && !has_slug_of_another {
            continue;
        }
        let is_free = |title: &String| {
            let has_free_slug = || slugify(title).is_some_and(|slug| !slugs.contains_key(&slug));
            !keys.contains_key(&lookalike_key(title)) && (!derived.has_monitor || has_free_slug())
        };
        let Some(mut title) = fallback_titles(derived.probe).find(is_free) else { continue };
        if let (true, Some(slug)) = (derived.has_monitor, slugify(&title)) {
            slugs.entry(slug).or_insert_with(|| Claims { first: index, ..Claims::default() });
        }
        keys.entry(lookalike_key(&title)).or_default();
        config.secrets.redact_in_place(&mut title);
        let why = if has_title_of_another { "is like the title of another probe" } else { "makes no slug of its own" };
        let message = format!(
            "the component calls this probe {}, which {why}: it is called {} here; give it a `title`",
            quote_title(derived.title),
            quote_title(&title)
        );
        let warning = Diagnostic::at_value(below(&derived.probe.pointer, "title"), message);
        renamed.push(Renamed { index, title, warning });
    }
    renamed
}

/// Returns titles for a probe by its component's name and its place, without end.
fn fallback_titles(probe: &Probe) -> impl Iterator<Item = String> {
    /// Slugs are cut, and the place must be in them.
    const MAX_NAME_CHARS: usize = 20;
    let name: String = probe.name.chars().take(MAX_NAME_CHARS).collect();
    let place = probe.pointer.trim_start_matches('/').to_owned();
    let with_name = format!("{name} ({place})");
    let numbered = (2..).map({
        let place = place.clone();
        move |number: u32| format!("{place} {number}")
    });
    [with_name, place].into_iter().chain(numbered)
}

/// Returns a title without what readers overlook: the kinds of letters, capitals, punctuation and spaces.
fn lookalike_key(title: &str) -> String {
    match slug::slugify(title) {
        key if key.is_empty() => title.trim().to_owned(),
        key => key,
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Source, monitors, parse};
    use super::*;

    /// Returns the titles of probes, each of which is built in (`b`), or of the file `x.wasm` or `y.wasm`. Each has
    /// further keys, and a title that its component derives.
    fn resolve(sentry: &str, probes: &[(&str, &str, &str)]) -> (Vec<String>, usize) {
        let directory = std::env::temp_dir().join(format!("sentrynet-titles-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let lines: String = probes
            .iter()
            .map(|(component, keys, _)| {
                let probe = if *component == "b" { "http".to_owned() } else { format!("{component}.wasm") };
                std::fs::write(directory.join(format!("{component}.wasm")), "").unwrap();
                format!("      - {{probe: {probe}, {keys}}}\n")
            })
            .collect();
        let text = format!("sentry: {{server_name: here, {sentry}}}\ngroups:\n  - probes:\n{lines}");
        let source = Source { name: "test".into(), text, path: None, directory, probe: None, files: Vec::new() };
        let parsed = parse(&source, &|_| None);
        assert_eq!(parsed.errors, []);
        let config = parsed.config;
        let mut titles: Vec<_> = config
            .probes
            .iter()
            .zip(probes)
            .map(|(probe, (_, _, derived))| probe.title.clone().unwrap_or_else(|| (*derived).to_owned()))
            .collect();
        let renamed =
            distinct_titles(&config, &config.check_ins, &titles.iter().map(String::as_str).collect::<Vec<_>>());
        let warnings = renamed.len();
        for Renamed { index, title, .. } in renamed {
            titles[index] = title;
        }
        monitors(&config, &config.check_ins, &titles.iter().map(String::as_str).collect::<Vec<_>>())
            .expect("the slugs are distinct");
        (titles, warnings)
    }

    #[track_caller]
    fn check(probes: &[(&str, &str, &str)], expected: &[&str]) {
        let (titles, _) = resolve("", probes);
        assert_eq!(titles, expected);
    }

    #[test]
    fn a_component_does_not_take_the_title_of_another_probe() {
        const ANY: &str = "every: 60";
        check(&[("b", ANY, "Shop"), ("x", ANY, "Redis")], &["Shop", "Redis"]);
        for title in ["Shop", "shop", " SHOP ", "sh\u{43e}p", "Shop!", "Shop\u{200b}"] {
            check(&[("x", ANY, title), ("b", ANY, "Shop")], &["x (groups/0/probes/0)", "Shop"]);
            check(&[("b", "title: Shop", ""), ("x", ANY, title)], &["Shop", "x (groups/0/probes/1)"]);
            check(&[("y", "title: Shop", ""), ("x", ANY, title)], &["Shop", "x (groups/0/probes/1)"]);
        }
        // The host cannot know which of two components took the title of the other, so it changes both.
        check(&[("x", ANY, "Redis"), ("y", ANY, "Redis")], &["x (groups/0/probes/0)", "y (groups/0/probes/1)"]);
        // Equal titles that the operator has given are not changed, nor are equal titles of one component's probes.
        check(&[("x", "title: Shop", ""), ("b", "title: Shop", "")], &["Shop", "Shop"]);
        check(&[("x", ANY, "Redis"), ("x", ANY, "Redis")], &["Redis", "Redis"]);
        check(&[("x", ANY, "x"), ("x", ANY, "x"), ("b", "title: x", "")], &["x", "x", "x"]);
    }

    #[test]
    fn a_component_does_not_take_the_fallback_of_another_probe() {
        let taken = "title: x (groups/0/probes/0)";
        check(
            &[("x", "every: 60", "Shop"), ("b", "title: Shop", ""), ("b", taken, "")],
            &["groups/0/probes/0", "Shop", "x (groups/0/probes/0)"],
        );
        let place = "title: groups/0/probes/0";
        check(
            &[("x", "every: 60", "Shop"), ("b", "title: Shop", ""), ("b", taken, ""), ("y", place, "")],
            &["groups/0/probes/0 2", "Shop", "x (groups/0/probes/0)", "groups/0/probes/0"],
        );
    }

    #[test]
    fn a_component_does_not_take_a_monitor_nor_stop_the_start() {
        const MONITOR: &str = "check_in: true";
        const SLUG: &str = "check_in: {slug: basket}, title: Other";
        for (title, sentry) in [("Basket", ""), ("basket?", ""), ("404", ""), ("here", "check_in: true")] {
            let (titles, warnings) = resolve(sentry, &[("b", SLUG, ""), ("x", MONITOR, title)]);
            assert_eq!((titles[1].as_str(), warnings), ("x (groups/0/probes/1)", 1), "{title}");
        }
        // Slugs are cut, titles are not.
        let long = format!("GET https://shop.example/{}", "a/".repeat(40));
        let probes = [("b", MONITOR, &*format!("{long}1")), ("x", MONITOR, &*format!("{long}2"))];
        assert_eq!(resolve("", &probes).0[1], "x (groups/0/probes/1)");
        // The probes of one component that derives one title, or none, have a monitor each.
        for title in ["Redis", "x"] {
            let (titles, _) = resolve("", &[("x", MONITOR, title), ("x", MONITOR, title), ("x", MONITOR, title)]);
            assert_eq!(titles, [title, "x (groups/0/probes/1)", "x (groups/0/probes/2)"]);
        }
        // Without a monitor of its own, only the title counts.
        assert_eq!(resolve("", &[("b", SLUG, ""), ("x", "every: 60", "Basket")]).0[1], "Basket");
    }
}
