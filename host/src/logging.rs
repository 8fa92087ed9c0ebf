//! The log and all other messages on standard error, as text or as JSON, without secrets.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{IsTerminal, Write};
use std::panic::PanicHookInfo;
use std::sync::{LazyLock, OnceLock};

use anstream::adapter::strip_str;
use clap::ValueEnum;
use sentrynet::config::{self, Diagnostic, Source};
use sentrynet::redaction::LateRedactor;
use serde_json::json;
use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};

/// Removes secrets from everything on standard error, once the configuration has been read.
pub static REDACTOR: LazyLock<LateRedactor> = LazyLock::new(LateRedactor::default);

/// The format of all messages. It is set by [`start`].
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// The format of the log and of all other messages on standard error: lines for a person, in colour on a terminal, or one
/// JSON object a line, with `timestamp`, `level`, `message` and further fields.
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
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(REDACTOR.clone())
        .with_target(false)
        .log_internal_errors(false);
    match format {
        LogFormat::Text => {
            let is_colored = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            subscriber.with_ansi(is_colored).init();
            REDACTOR.hook_panics();
        }
        LogFormat::Json => {
            subscriber.json().flatten_event(true).with_current_span(false).with_span_list(false).init();
            std::panic::set_hook(Box::new(write_panic));
        }
    }
    Ok(())
}

/// Writes an error because of which the command ends.
pub fn print_error(message: &str) {
    match format() {
        LogFormat::Text => {
            let red = anstyle::AnsiColor::Red.on_default().bold();
            print(&format!("{red}error{red:#}: {message}\n"));
        }
        LogFormat::Json => print_json(Level::ERROR, message, &[]),
    }
}

/// Writes a warning of a command.
pub fn print_warning(message: &str) {
    match format() {
        LogFormat::Text => {
            let yellow = anstyle::AnsiColor::Yellow.on_default().bold();
            print(&format!("{yellow}warning{yellow:#}: {message}\n"));
        }
        LogFormat::Json => print_json(Level::WARN, message, &[]),
    }
}

/// Writes the problems of a configuration, each with the lines of the file that it is about.
pub fn print_diagnostics(source: &Source, level: config::Level, diagnostics: &[Diagnostic]) {
    match format() {
        LogFormat::Text => print(&config::render(source, level, diagnostics, true)),
        LogFormat::Json => {
            let level_of_log = if level == config::Level::Error { Level::ERROR } else { Level::WARN };
            for diagnostic in diagnostics {
                let text = config::render(source, level, std::slice::from_ref(diagnostic), false);
                print_json(level_of_log, text.trim_end(), &[]);
            }
        }
    }
}

/// Writes how many errors a configuration has.
pub fn print_error_count(source: &Source, errors: usize) {
    let noun = if errors == 1 { "error" } else { "errors" };
    match format() {
        LogFormat::Text => print(&format!("\n{}: {errors} {noun}\n", source.name)),
        LogFormat::Json => print_json(Level::ERROR, &format!("{}: {errors} {noun}", source.name), &[]),
    }
}

fn format() -> LogFormat {
    FORMAT.get().copied().unwrap_or_default()
}

/// Writes text to standard error, in colour on a terminal. A failure cannot be reported anywhere.
fn print(text: &str) {
    let _ = anstream::stderr().write_all(REDACTOR.redact(text).as_bytes());
}

/// Writes one line as the log does in JSON. The fields come after the message.
fn print_json(level: Level, message: &str, fields: &[(&str, &str)]) {
    let mut timestamp = String::new();
    let _ = SystemTime.format_time(&mut Writer::new(&mut timestamp));
    let message = strip_str(message).to_string();
    let mut line = json!({ "timestamp": timestamp, "level": level.as_str(), "message": message });
    for (name, value) in fields {
        line[name] = (*value).into();
    }
    let _ = REDACTOR.writer(std::io::stderr()).write_all(format!("{line}\n").as_bytes());
}

/// Writes a panic as one JSON object.
fn write_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let location = panic.location().map(ToString::to_string).unwrap_or_default();
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let mut fields = vec![("thread", thread.name().unwrap_or("<unnamed>")), ("location", &location)];
    fields.extend(backtrace.as_deref().map(|backtrace| ("backtrace", backtrace)));
    let payload = panic.payload_as_str().unwrap_or("the panic has no message");
    print_json(Level::ERROR, &format!("panicked: {payload}"), &fields);
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
