//! The log and all other messages on standard error, as text or as JSON: without secrets, and with everything escaped
//! that is not printable. Nothing else in the program writes to standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use anstream::{AutoStream, ColorChoice};
use anstyle::AnsiColor;
use clap::ValueEnum;
use sentrynet::config::{self, Diagnostic, Source};
use sentrynet::printable::{Form, StyledText, excerpt};
use sentrynet::redaction::LateRedactor;
use tracing::Level;
use tracing_subscriber::EnvFilter;

mod event_format;
pub mod status_line;
mod stderr;

use self::event_format::{EventFormat, FieldValue, MAX_TEXT_BYTES, json_line, text_line};
use self::status_line::StatusLine;
use self::stderr::Stderr;

/// Removes secrets from everything on standard error, once the configuration has been read.
pub static REDACTOR: LazyLock<LateRedactor> = LazyLock::new(LateRedactor::default);

/// The format of all messages. It is set by [`start`].
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// The format of the log and of all other messages on standard error: lines for a person, in colour on a terminal, or
/// one JSON object a line, with `timestamp`, `level`, `message` and further fields.
#[derive(Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}

/// A variable of the environment whose value is invalid.
#[derive(Debug, thiserror::Error)]
pub enum InvalidVariable {
    /// `SENTRYNET_LOG` cannot be parsed.
    #[error("SENTRYNET_LOG is not a log filter ({0}): give it a level such as `debug`")]
    Filter(tracing_subscriber::filter::ParseError),
    /// `SENTRYNET_LOG_FORMAT` is not a format.
    #[error("SENTRYNET_LOG_FORMAT is `{0}`: give it `text` or `json`")]
    Format(String),
}

/// Starts logging to standard error, and has panics written there in the same format. `format` is that of the command
/// line; without one, `SENTRYNET_LOG_FORMAT` decides.
///
/// # Errors
///
/// Returns an [`InvalidVariable`] if `SENTRYNET_LOG` or `SENTRYNET_LOG_FORMAT` has an invalid value.
pub fn start(format: Option<LogFormat>) -> Result<(), InvalidVariable> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let format = match (format, variable("SENTRYNET_LOG_FORMAT")) {
        (Some(format), _) => format,
        (None, Some(value)) => LogFormat::from_str(&value, false).map_err(|_| InvalidVariable::Format(value))?,
        (None, None) => LogFormat::default(),
    };
    _ = FORMAT.set(format);
    let filter = variable("SENTRYNET_LOG").unwrap_or_else(|| "sentrynet=info".to_owned());
    let filter = EnvFilter::try_new(filter).map_err(InvalidVariable::Filter)?;
    let form = if format == LogFormat::Json { Form::Json } else { Form::Text };
    let is_colored = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(is_colored && form == Form::Text)
        .log_internal_errors(false)
        .event_format(EventFormat { form, redactor: REDACTOR.clone() })
        .with_writer(move || REDACTOR.second_writer(Stderr, form))
        .init();
    std::panic::set_hook(Box::new(write_panic));
    Ok(())
}

/// Puts a queue before standard error, so that a reader that is slow or stopped does not delay the program. The queue
/// holds at most 4 MiB of messages; further messages are dropped and counted.
pub fn never_wait_for_reader() {
    if let Err(error) = stderr::start_queue(count_line) {
        tracing::warn!(%error, "a slow reader of the log delays the probes: cannot start a thread");
    }
}

/// Returns the status line if there can be one: standard error is a terminal, and its messages are text.
pub fn start_status_line() -> Option<StatusLine> {
    (format() == LogFormat::Text).then(StatusLine::start).flatten()
}

/// Waits until the messages in the queue are written, or until the reader has had half a second. To be called before
/// the program ends.
pub fn flush() {
    stderr::flush(Duration::from_millis(500));
}

/// Returns the line about messages that were dropped.
fn count_line(dropped: u64) -> String {
    let message = "messages were dropped: the reader of standard error is too slow";
    if format() == LogFormat::Json {
        let fields = vec![("dropped", FieldValue::Other(dropped.into()))];
        return format!("{}\n", json_line(Level::WARN, message, fields));
    }
    text_line(Level::WARN, &format!("{dropped} {message}")).to_plain()
}

/// Writes the error that ends the command.
pub fn print_error(message: &str) {
    print_message(Level::ERROR, "error", AnsiColor::Red, message);
}

/// Writes a warning of a command.
pub fn print_warning(message: &str) {
    print_message(Level::WARN, "warning", AnsiColor::Yellow, message);
}

/// Writes a note of a command.
pub fn print_note(message: &str) {
    print_message(Level::INFO, "note", AnsiColor::Cyan, message);
}

fn print_message(level: Level, word: &str, color: AnsiColor, message: &str) {
    if format() == LogFormat::Json {
        return print_json(level, message, Vec::new());
    }
    let mut text = StyledText::new();
    text.push_styled(color.on_default().bold(), word);
    text.push_line(&format!(": {}", excerpt(&REDACTOR.redact(message), MAX_TEXT_BYTES)));
    print(&text);
}

/// Writes the problems of a configuration, each with the lines of the file that it is about.
pub fn print_diagnostics(source: &Source, level: config::Level, diagnostics: &[Diagnostic]) {
    match format() {
        LogFormat::Text => print(&config::render(source, level, diagnostics)),
        LogFormat::Json => {
            let log_level = if level == config::Level::Error { Level::ERROR } else { Level::WARN };
            for diagnostic in diagnostics {
                let text = config::render(source, level, std::slice::from_ref(diagnostic)).to_plain();
                print_json(log_level, text.trim_end(), Vec::new());
            }
        }
    }
}

/// Writes the number of errors in a configuration.
pub fn print_error_count(source: &Source, errors: usize) {
    let noun = if errors == 1 { "error" } else { "errors" };
    let message = format!("{}: {errors} {noun}", source.name);
    if format() == LogFormat::Json {
        return print_json(Level::ERROR, &message, Vec::new());
    }
    let mut text = StyledText::new();
    text.end_line();
    text.push_line(&message);
    print(&text);
}

/// Writes an error about the arguments of the command line, or the help that they ask for. The text is clap's, with its
/// own lines and styles.
pub fn print_usage(error: &clap::Error) {
    let text = error.render().ansi().to_string();
    let text = Form::Text.finish(&text);
    // If the reader has closed the pipe, it needs no more output: this is not an error.
    _ = if error.use_stderr() {
        anstream::stderr().write_all(text.as_bytes())
    } else {
        anstream::stdout().write_all(text.as_bytes())
    };
}

fn format() -> LogFormat {
    FORMAT.get().copied().unwrap_or_default()
}

/// Writes text to standard error, in colour on a terminal. A failure cannot be reported anywhere.
fn print(text: &StyledText) {
    let has_color = AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    let text = if has_color { text.as_ansi().to_owned() } else { text.to_plain() };
    _ = REDACTOR.writer(Stderr, Form::Text).write_all(text.as_bytes());
}

/// Writes one line as the log does in JSON. The fields come after the message.
fn print_json(level: Level, message: &str, fields: Vec<(&'static str, FieldValue)>) {
    let line = json_line(level, &REDACTOR.redact(message), fields);
    _ = REDACTOR.second_writer(Stderr, Form::Json).write_all(format!("{line}\n").as_bytes());
}

/// Writes a panic. Its message may contain text from outside of the program, so line breaks in it are escaped. Only the
/// backtrace takes several lines.
fn write_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("<unnamed>");
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let payload = panic.payload_as_str().unwrap_or("the panic has no message");
    if format() == LogFormat::Json {
        let mut fields = vec![("thread", thread.to_owned()), ("location", location)];
        fields.extend(backtrace.map(|backtrace| ("backtrace", backtrace)));
        let fields = fields.into_iter().map(|(name, value)| (name, FieldValue::Text(value))).collect();
        print_json(Level::ERROR, &format!("panicked: {payload}"), fields);
        return flush();
    }
    let mut text = StyledText::new();
    text.end_line();
    text.push_line(&format!("thread '{thread}' panicked at {location}:"));
    text.push_line(&excerpt(&REDACTOR.redact(payload), MAX_TEXT_BYTES));
    if let Some(backtrace) = backtrace {
        text.push_line("stack backtrace:");
        backtrace.lines().for_each(|line| text.push_line(line));
    }
    print(&text);
    flush();
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use sentrynet::redaction::Secrets;
    use serde_json::Value;

    use super::*;

    #[test]
    #[ignore = "ends with a panic: `a_panic_is_one_json_object_without_secrets` runs it in a process of its own"]
    fn panic_in_json_mode() {
        start(Some(LogFormat::Json)).expect("the environment is valid");
        REDACTOR.install(Secrets::new(["hunter\"2"]));
        let thread = std::thread::Builder::new().name("worker".to_owned());
        let panicked = thread.spawn(|| panic!("the password is hunter\"2\nand this is a second line"));
        panicked.expect("a thread can be started").join().expect_err("the thread panics");
    }

    #[test]
    fn a_panic_is_one_json_object_without_secrets() {
        let program = std::env::current_exe().expect("the test has a path");
        let mut child = Command::new(program);
        child.args(["--exact", "logging::tests::panic_in_json_mode", "--ignored", "--nocapture"]);
        let ended = child.env("RUST_BACKTRACE", "0").output().expect("the test can be run again");
        let stderr = String::from_utf8(ended.stderr).expect("JSON is UTF-8");
        let [line] = stderr.lines().collect::<Vec<_>>()[..] else { panic!("not one line: {stderr}") };
        let line: Value = serde_json::from_str(line).expect("the line is JSON");
        assert_eq!(line["message"], "panicked: the password is [Filtered]\nand this is a second line");
        assert_eq!((&line["level"], &line["thread"]), (&"ERROR".into(), &"worker".into()));
        assert!(line["location"].as_str().is_some_and(|location| location.contains("logging.rs:")), "{line}");
        assert!(line["timestamp"].is_string() && line.get("backtrace").is_none(), "{line}");
    }
}
