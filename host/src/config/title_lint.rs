//! Titles, once all of them are known: what makes a run hard to find in Sentry. Knows no YAML.

use std::collections::HashMap;

use super::Probe;
use super::diagnostic::{Diagnostic, below, quote_title};

/// What Sentry's filter for health checks takes out, where a project has it on: names that hold one of these,
const HELD: &[&str] = &["healthcheck", "health-check", "heartbeat"];
/// and those that end with one of these, or with one and a slash. Sentry's `HEALTH_CHECK_GLOBS`, of which its dynamic
/// sampling keeps fewer too.
const ENDS: &[&str] = &[
    "/health",
    "/healthy",
    "/healthz",
    "/health_check",
    "/_health",
    "/[_health]",
    "/live",
    "/livez",
    "/ready",
    "/readyz",
    "/ping",
    "/up",
];

/// Warnings about the titles that probes run under, a component's default as well as a configured one.
pub fn check_titles<'a>(titles: impl IntoIterator<Item = (&'a Probe, &'a str)>) -> Vec<Diagnostic> {
    let mut seen: HashMap<_, usize> = HashMap::new();
    let mut warnings = Vec::new();
    for (probe, title) in titles {
        let place = below(&probe.pointer, "title");
        if filtered(title) {
            let message = format!(
                "Sentry's filter for health checks takes out transactions that are called {}: choose another `title`",
                quote_title(title)
            );
            warnings.push(Diagnostic::value(&place, message));
        }
        let count = seen.entry(title).or_default();
        *count += 1;
        // Said once of each title, not once of each of a thousand probes.
        if *count == 2 {
            let message =
                format!("another probe has the title {} too: Sentry will show both as one", quote_title(title));
            warnings.push(Diagnostic::value(&place, message));
        }
    }
    warnings
}

fn filtered(title: &str) -> bool {
    let title = title.to_lowercase();
    let path = title.strip_suffix('/').unwrap_or(&title);
    HELD.iter().any(|held| title.contains(held)) || ENDS.iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_checks_are_filtered() {
        let ends = ENDS.iter().flat_map(|end| [format!("GET https://shop.example{end}"), format!("{end}/")]);
        let held = HELD.iter().flat_map(|held| [(*held).to_owned(), format!("a/{held}/b")]);
        for title in ends.chain(held) {
            assert!(filtered(&title), "{title}");
            assert!(filtered(&title.to_uppercase()), "{title} in capitals");
        }
    }

    #[test]
    fn what_is_only_like_one_is_not() {
        let near = [
            "Shop",
            "health",
            "Health of the shop",
            "/health//",
            "/healthx",
            "/health/status",
            "/health?full",
            "GET https://health.example",
            "/health_checks",
            "health check",
            "/health check",
            "/[_health",
            "/h",
            "heart beat",
            "/pings",
            "up",
            "/startup",
            "/sign-up",
            "live",
            "/delivery/live-stream",
            "/already",
            "",
        ];
        for title in near {
            assert!(!filtered(title), "{title}");
        }
    }
}
