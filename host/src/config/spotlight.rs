//! Spotlight: where envelopes go besides Sentry, from the key `spotlight` and from `SENTRY_SPOTLIGHT`, with the words
//! and the precedence of Sentry's SDKs.

use serde_json::Value;
use url::Url;

use super::diagnostic::Diagnostic;
use super::table::{Field, Report};

const DEFAULT: &str = "http://localhost:8969/stream";
const ADVICE: &str = "must be true, false, or a URL such as `http://localhost:8969/stream`";

/// What the key or the variable says, if either is there.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    No,
    Yes,
    At(Url),
}

/// Where Spotlight listens, if it is to be told. The key comes first, except that a mere `true` leaves the variable to
/// say where: `spotlight run` sets it for what it starts.
pub fn spotlight(field: Option<Field>, variable: Option<String>, report: &mut Report) -> Option<Url> {
    let key = field.and_then(|field| {
        let said = match &field.value {
            Value::Bool(true) => Ok(Said::Yes),
            Value::Bool(false) => Ok(Said::No),
            Value::String(text) => said("`spotlight`", text),
            _ => Err(field.wrong(ADVICE)),
        };
        report.at(&field, said).map(|said| (said, field.pointer))
    });
    let variable = variable.filter(|text| !text.trim().is_empty());
    let variable = variable.map(|text| said("the environment's `SENTRY_SPOTLIGHT`", &text));
    match (key, variable) {
        (Some((key @ (Said::No | Said::At(_)), pointer)), variable) => {
            if variable.is_some_and(|variable| variable.as_ref() != Ok(&key)) {
                let message = "`spotlight` comes before the environment's `SENTRY_SPOTLIGHT`: leave one of them out";
                report.warnings.push(Diagnostic::value(pointer, message));
            }
            key.url()
        }
        (_, Some(Err(message))) => {
            report.problems.push(Diagnostic::elsewhere(message));
            None
        }
        (Some((Said::Yes, _)), Some(Ok(Said::No)) | None) => Said::Yes.url(),
        (_, variable) => variable?.ok()?.url(),
    }
}

impl Said {
    fn url(self) -> Option<Url> {
        match self {
            Self::No => None,
            Self::Yes => DEFAULT.parse().ok(),
            Self::At(url) => Some(url),
        }
    }
}

/// The words that Sentry's SDKs take for yes and no; any other is a URL.
fn said(what: &str, text: &str) -> Result<Said, String> {
    let text = text.trim();
    match text.to_ascii_lowercase().as_str() {
        "true" | "t" | "y" | "yes" | "on" | "1" => return Ok(Said::Yes),
        "false" | "f" | "n" | "no" | "off" | "0" => return Ok(Said::No),
        _ => {}
    }
    let url = text.parse().ok().filter(|url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let mut url = url.ok_or_else(|| format!("{what} {ADVICE}"))?;
    // The address that a browser opens.
    if url.path() == "/" {
        url.set_path("/stream");
    }
    Ok(Said::At(url))
}

#[cfg(test)]
mod tests {
    use super::super::{Level, Source, parse, render};

    /// Where Spotlight is for a key and a variable; and what is said about them.
    fn check(key: &str, variable: Option<&str>) -> (Option<String>, String) {
        let text = format!("sentry:\n  {key}\n");
        let source = Source { name: "test.yaml".into(), text, path: None, directory: ".".into(), probe: None };
        let draft = parse(&source, &|name| variable.filter(|_| name == "SENTRY_SPOTLIGHT").map(ToOwned::to_owned));
        let warnings: Vec<_> =
            draft.warnings.iter().filter(|warning| warning.message.contains("spotlight")).cloned().collect();
        let problems = render(&source, Level::Error, &draft.problems, false);
        let said = format!("{problems}{}", render(&source, Level::Warning, &warnings, false));
        (draft.config.sentry.spotlight.map(|url| url.to_string()), said)
    }

    #[track_caller]
    fn quietly(key: &str, variable: Option<&str>, expected: Option<&str>) {
        assert_eq!(check(key, variable), (expected.map(str::to_owned), String::new()), "{key} {variable:?}");
    }

    const THERE: Option<&str> = Some("http://localhost:8969/stream");
    const ELSEWHERE: Option<&str> = Some("http://127.0.0.1:3000/stream");

    #[test]
    fn the_words_of_the_sdks() {
        for yes in ["true", "t", "y", "yes", "on", "1", "TRUE", " Yes "] {
            quietly("", Some(yes), THERE);
            quietly(&format!("spotlight: '{yes}'"), None, THERE);
        }
        for no in ["false", "f", "n", "no", "off", "0", "OFF", "", "  "] {
            quietly("", Some(no), None);
        }
        quietly("", None, None);
        quietly("", ELSEWHERE, ELSEWHERE);
        quietly("", Some("http://127.0.0.1:3000"), ELSEWHERE);
        quietly("", Some("http://127.0.0.1:3000/api/1/envelope/"), Some("http://127.0.0.1:3000/api/1/envelope/"));
    }

    #[test]
    fn the_key_comes_first_but_a_mere_yes_leaves_the_variable_to_say_where() {
        quietly("spotlight: true", None, THERE);
        quietly("spotlight: true", Some("0"), THERE);
        quietly("spotlight: true", ELSEWHERE, ELSEWHERE);
        quietly("spotlight: false", None, None);
        quietly("spotlight: false", Some("off"), None);
        quietly("spotlight: http://127.0.0.1:3000/stream", None, ELSEWHERE);
        quietly("spotlight: http://127.0.0.1:3000/stream", ELSEWHERE, ELSEWHERE);
        for (key, at) in [("spotlight: false", None), ("spotlight: http://127.0.0.1:3000/stream", ELSEWHERE)] {
            let (url, said) = check(key, Some("1"));
            assert_eq!(url.as_deref(), at);
            assert!(said.starts_with("warning: `spotlight` comes before") && said.contains("test.yaml:2:"), "{said}");
        }
    }

    #[test]
    fn what_is_neither_a_word_nor_a_url() {
        for wrong in ["maybe", "localhost:8969", "ftp://localhost/", "http://", "/stream"] {
            let (url, said) = check("", Some(wrong));
            assert_eq!(url, None);
            assert!(
                said.starts_with("error: the environment's `SENTRY_SPOTLIGHT` must be true, false, or a URL"),
                "{said}"
            );
            let (url, said) = check(&format!("spotlight: '{wrong}'"), None);
            assert_eq!(url, None);
            assert!(said.starts_with("error: `spotlight` must be true, false, or a URL"), "{said}");
        }
    }
}
