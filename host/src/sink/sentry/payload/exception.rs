//! The `exception` interface of an event, with its stack trace.

use std::borrow::Cow;

use serde::Serialize;

use super::limits::{DetailLevel, truncate};
use crate::run;

/// A list as Sentry expects it: in a field `values`.
#[derive(Serialize)]
pub struct Values<T> {
    pub values: Vec<T>,
}

#[derive(Serialize)]
pub struct Exception<'a> {
    r#type: Cow<'a, str>,
    value: String,
    mechanism: Mechanism,
    #[serde(skip_serializing_if = "Option::is_none")]
    stacktrace: Option<Stacktrace<'a>>,
}

#[derive(Serialize)]
struct Mechanism {
    r#type: &'static str,
    handled: bool,
}

#[derive(Serialize)]
struct Stacktrace<'a> {
    frames: Vec<Frame<'a>>,
}

#[derive(Serialize)]
struct Frame<'a> {
    function: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lineno: Option<u32>,
    in_app: bool,
}

const MAX_FRAMES: usize = 100;
/// Sentry's limit for the characters of a function's name.
const MAX_FUNCTION_CHARS: usize = 512;
/// Sentry's limit for the characters of the name of a file or module.
const MAX_FILE_CHARS: usize = 256;

/// Returns the one exception of an event. `backtrace` begins with the innermost frame, and may be empty.
pub fn exception<'a>(
    r#type: Cow<'a, str>,
    value: &str,
    handled: bool,
    backtrace: &'a [run::Frame],
    detail: DetailLevel,
) -> Values<Exception<'a>> {
    let exception = Exception {
        r#type,
        value: truncate(value, detail.text_chars).to_owned(),
        mechanism: Mechanism { r#type: "sentrynet", handled },
        stacktrace: stacktrace(backtrace, detail),
    };
    Values { values: vec![exception] }
}

/// Returns the innermost frames, at most [`MAX_FRAMES`], in Sentry's order: the innermost last.
fn stacktrace(backtrace: &[run::Frame], detail: DetailLevel) -> Option<Stacktrace<'_>> {
    let max_file_chars = detail.text_chars.min(MAX_FILE_CHARS);
    let frames: Vec<_> = backtrace
        .iter()
        .take(MAX_FRAMES)
        .rev()
        .map(|run::Frame { function, module, file, line }| Frame {
            function: truncate(function, detail.text_chars.min(MAX_FUNCTION_CHARS)),
            module: module.as_deref().map(|module| truncate(module, max_file_chars)),
            filename: file.as_deref().map(|file| truncate(file, max_file_chars)),
            lineno: *line,
            in_app: true,
        })
        .collect();
    (!frames.is_empty()).then_some(Stacktrace { frames })
}
