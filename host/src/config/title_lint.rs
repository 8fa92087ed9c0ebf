//! Titles that make a run hard to find in Sentry: changes those that built-in probes derive, and warns of others.

use std::collections::HashMap;

use super::Probe;
use super::diagnostic::{Diagnostic, below, quote_title};
use crate::redaction::REDACTED;

/// Sentry's filter for health checks, where a project has it on, drops transactions whose names contain one of these
/// words, in upper or lower case.
const FILTERED_WORDS: &[&str] = &["healthcheck", "health-check", "heartbeat"];
/// The filter also drops names that end with one of these, or with one of these and a slash. Both lists are Sentry's
/// `HEALTH_CHECK_GLOBS`. Sentry's dynamic sampling uses them too, and keeps fewer of these transactions than of others.
const FILTERED_ENDS: &[&str] = &[
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

/// Returns warnings about the titles of probes, configured ones and defaults of components: titles that Sentry's filter
/// for health checks drops, derived titles with secrets, and titles that several probes have.
pub fn check_titles<'a>(titles: impl IntoIterator<Item = (&'a Probe, &'a str)>) -> Vec<Diagnostic> {
    let mut counts: HashMap<_, usize> = HashMap::new();
    let mut warnings = Vec::new();
    for (probe, title) in titles {
        let pointer = below(&probe.pointer, "title");
        if is_filtered(title) {
            let message = format!(
                "Sentry's filter for health checks takes out transactions that are called {}: choose another `title`",
                quote_title(title)
            );
            warnings.push(Diagnostic::at_value(&pointer, message));
        }
        let count = counts.entry(title).or_default();
        *count += 1;
        // A title of the configuration has its warning from the decoder.
        if *count == 1 && probe.title.is_none() && title.contains(REDACTED) {
            let message = format!(
                "the title made of the settings is redacted, to {}: give this probe a `title`",
                quote_title(title)
            );
            warnings.push(Diagnostic::at_value(&pointer, message));
        }
        // One warning for each title, not one for each of a thousand probes.
        if *count == 2 {
            let message =
                format!("another probe has the title {} too: Sentry will show both as one", quote_title(title));
            warnings.push(Diagnostic::at_value(&pointer, message));
        }
    }
    warnings
}

/// Returns a title that ends with a URL, changed so that Sentry's filter for health checks lets it pass: with the path
/// in parentheses, or without it. Any other title stays as it is.
pub fn unfiltered_title(title: String) -> String {
    let Some(origin_bytes) = path_start(&title).filter(|_| is_filtered(&title)) else { return title };
    let (origin, path) = title.split_at(origin_bytes);
    let in_parentheses = format!("{origin} ({path})");
    if is_filtered(&in_parentheses) { origin.to_owned() } else { in_parentheses }
}

/// Returns the start of the path of a URL in a text, if there is one.
fn path_start(text: &str) -> Option<usize> {
    let authority = text.find("://")? + 3;
    text[authority..].find('/').map(|path| authority + path)
}

fn is_filtered(title: &str) -> bool {
    let title = title.to_lowercase();
    let path = title.strip_suffix('/').unwrap_or(&title);
    FILTERED_WORDS.iter().any(|word| title.contains(word)) || FILTERED_ENDS.iter().any(|end| path.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_checks_are_filtered() {
        let ends = FILTERED_ENDS.iter().flat_map(|end| [format!("GET https://shop.example{end}"), format!("{end}/")]);
        let words = FILTERED_WORDS.iter().flat_map(|word| [(*word).to_owned(), format!("a/{word}/b")]);
        for title in ends.chain(words) {
            assert!(is_filtered(&title), "{title}");
            assert!(is_filtered(&title.to_uppercase()), "{title} in capitals");
        }
    }

    #[test]
    fn derived_titles_pass_the_filter() {
        let check = |title: &str, expected: &str| {
            let changed = unfiltered_title(title.to_owned());
            assert_eq!(changed, expected);
            assert!(!is_filtered(&changed), "{changed}");
        };
        check("GET https://shop.example/orders", "GET https://shop.example/orders");
        check("GET https://shop.example/health", "GET https://shop.example (/health)");
        check("GET https://shop.example/api/ready/", "GET https://shop.example (/api/ready/)");
        check("GET https://shop.example/a/healthcheck", "GET https://shop.example");
        check("Up", "Up");
        // The operator has to give such a host a title.
        assert_eq!(unfiltered_title("GET https://heartbeat.example".into()), "GET https://heartbeat.example");
    }

    #[test]
    fn similar_titles_are_not_filtered() {
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
            assert!(!is_filtered(title), "{title}");
        }
    }
}
