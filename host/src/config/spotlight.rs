//! Decodes the key `spotlight` and the variable `SENTRY_SPOTLIGHT`, with the words and the precedence of Sentry's SDKs.
//! [Spotlight](https://spotlightjs.com) gets the same envelopes as Sentry.

use serde_json::Value;
use url::Url;

use super::diagnostic::Diagnostic;
use super::table::{DecodeContext, Field};

const DEFAULT_URL: &str = "http://localhost:8969/stream";
const ADVICE: &str = "must be true, false, or a URL such as `http://localhost:8969/stream`";

/// A value of the key or of the variable.
#[derive(Debug, PartialEq, Eq)]
enum Setting {
    Off,
    On,
    Url(Url),
}

/// Returns the URL of Spotlight, or `None` if it is off. The key overrides the variable, except that the key `true`
/// takes the URL of the variable: `spotlight run` sets the variable for the program that it starts.
pub fn decode_spotlight(field: Option<Field>, variable: Option<String>, context: &mut DecodeContext) -> Option<Url> {
    let key = field.and_then(|field| {
        let setting = match &field.value {
            Value::Bool(true) => Ok(Setting::On),
            Value::Bool(false) => Ok(Setting::Off),
            Value::String(text) => parse_setting("`spotlight`", text),
            _ => Err(field.mismatch(ADVICE)),
        };
        context.accept(&field, setting).map(|setting| (setting, field.pointer))
    });
    let variable = variable.filter(|text| !text.trim().is_empty());
    let variable = variable.map(|text| parse_setting("the environment's `SENTRY_SPOTLIGHT`", &text));
    match (key, variable) {
        (Some((key @ (Setting::Off | Setting::Url(_)), pointer)), variable) => {
            if variable.is_some_and(|variable| variable.as_ref() != Ok(&key)) {
                let message = "`spotlight` comes before the environment's `SENTRY_SPOTLIGHT`: leave one of them out";
                context.warnings.push(Diagnostic::at_value(pointer, message));
            }
            key.url()
        }
        (_, Some(Err(message))) => {
            context.errors.push(Diagnostic::outside_file(message));
            None
        }
        (Some((Setting::On, _)), Some(Ok(Setting::Off)) | None) => Setting::On.url(),
        (_, variable) => variable?.ok()?.url(),
    }
}

impl Setting {
    fn url(self) -> Option<Url> {
        match self {
            Self::Off => None,
            Self::On => DEFAULT_URL.parse().ok(),
            Self::Url(url) => Some(url),
        }
    }
}

/// Parses a URL, or a word that means on or off in Sentry's SDKs. The error is a message.
fn parse_setting(label: &str, text: &str) -> Result<Setting, String> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "y" | "yes" | "on" | "1" => return Ok(Setting::On),
        "false" | "f" | "n" | "no" | "off" | "0" => return Ok(Setting::Off),
        _ => {}
    }
    let url = text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let mut url = url.ok_or_else(|| format!("{label} {ADVICE}"))?;
    // This may be the address that a user opens in a browser. Spotlight takes envelopes at the path `/stream`.
    if url.path() == "/" {
        url.set_path("/stream");
    }
    Ok(Setting::Url(url))
}

#[cfg(test)]
mod tests {
    use super::super::{Level, Source, parse, render};

    /// Returns the URL for a key and a variable, and the rendered errors and warnings about them.
    fn check(key: &str, variable: Option<&str>) -> (Option<String>, String) {
        let text = format!("sentry:\n  {key}\n");
        let source = Source::from_text("test.yaml", text);
        let parsed = parse(&source, &|name| variable.filter(|_| name == "SENTRY_SPOTLIGHT").map(ToOwned::to_owned));
        let warnings: Vec<_> =
            parsed.warnings.iter().filter(|warning| warning.message.contains("spotlight")).cloned().collect();
        let errors = render(&source, Level::Error, &parsed.errors).to_plain();
        let messages = format!("{errors}{}", render(&source, Level::Warning, &warnings).to_plain());
        (parsed.config.sentry.spotlight.map(|url| url.to_string()), messages)
    }

    #[track_caller]
    fn check_silent(key: &str, variable: Option<&str>, expected: Option<&str>) {
        assert_eq!(check(key, variable), (expected.map(str::to_owned), String::new()), "{key} {variable:?}");
    }

    const DEFAULT: Option<&str> = Some("http://localhost:8969/stream");
    const OTHER: Option<&str> = Some("http://127.0.0.1:3000/stream");

    #[test]
    fn words_of_the_sdks() {
        for on in ["true", "t", "y", "yes", "on", "1", "TRUE", " Yes "] {
            check_silent("", Some(on), DEFAULT);
            check_silent(&format!("spotlight: '{on}'"), None, DEFAULT);
        }
        for off in ["false", "f", "n", "no", "off", "0", "OFF", "", "  "] {
            check_silent("", Some(off), None);
        }
        check_silent("", None, None);
        check_silent("", OTHER, OTHER);
        check_silent("", Some("http://127.0.0.1:3000"), OTHER);
        check_silent("", Some("http://127.0.0.1:3000/api/1/envelope/"), Some("http://127.0.0.1:3000/api/1/envelope/"));
    }

    #[test]
    fn the_key_overrides_the_variable_except_that_true_takes_its_url() {
        check_silent("spotlight: true", None, DEFAULT);
        check_silent("spotlight: true", Some("0"), DEFAULT);
        check_silent("spotlight: true", OTHER, OTHER);
        check_silent("spotlight: false", None, None);
        check_silent("spotlight: false", Some("off"), None);
        check_silent("spotlight: http://127.0.0.1:3000/stream", None, OTHER);
        check_silent("spotlight: http://127.0.0.1:3000/stream", OTHER, OTHER);
        for (key, at) in [("spotlight: false", None), ("spotlight: http://127.0.0.1:3000/stream", OTHER)] {
            let (url, messages) = check(key, Some("1"));
            assert_eq!(url.as_deref(), at);
            assert!(
                messages.starts_with("warning: `spotlight` comes before") && messages.contains("test.yaml:2:"),
                "{messages}"
            );
        }
    }

    #[test]
    fn other_text_is_an_error() {
        for wrong in ["maybe", "localhost:8969", "ftp://localhost/", "http://", "/stream"] {
            let (url, messages) = check("", Some(wrong));
            assert_eq!(url, None);
            assert!(
                messages.starts_with("error: the environment's `SENTRY_SPOTLIGHT` must be true, false, or a URL"),
                "{messages}"
            );
            let (url, messages) = check(&format!("spotlight: '{wrong}'"), None);
            assert_eq!(url, None);
            assert!(messages.starts_with("error: `spotlight` must be true, false, or a URL"), "{messages}");
        }
    }
}
