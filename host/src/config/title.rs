//! Titles, once all of them are known: what makes a run hard to find in Sentry. Knows no YAML.

use std::collections::HashSet;

use super::Probe;
use super::problem::{Problem, below, quote};

/// Ends of the names that Sentry's filter for health checks takes out, where a project has it on.
const FILTERED: &[&str] = &[
    "/health",
    "/healthy",
    "/healthz",
    "/health_check",
    "/_health",
    "/live",
    "/livez",
    "/ready",
    "/readyz",
    "/ping",
    "/up",
];

/// Warnings about the titles that probes run under, a component's default as well as a configured one.
pub fn check_titles<'a>(titles: impl IntoIterator<Item = (&'a Probe, &'a str)>) -> Vec<Problem> {
    let mut seen = HashSet::new();
    let mut warnings = Vec::new();
    for (probe, title) in titles {
        let place = below(&probe.pointer, "title");
        if filtered(title) {
            let message = format!(
                "Sentry's filter for health checks takes out transactions that are called {}: choose another `title`",
                quote(title)
            );
            warnings.push(Problem::value(&place, message));
        }
        if !seen.insert(title) {
            let message = format!("another probe has the title {} too: Sentry will show both as one", quote(title));
            warnings.push(Problem::value(&place, message));
        }
    }
    warnings
}

fn filtered(title: &str) -> bool {
    let title = title.to_lowercase();
    let path = title.strip_suffix('/').unwrap_or(&title);
    title.contains("healthcheck") || title.contains("heartbeat") || FILTERED.iter().any(|end| path.ends_with(end))
}
