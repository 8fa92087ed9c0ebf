//! Loads a configuration beside the one that runs, on a thread of its own with a low priority.

use std::path::{Path, PathBuf};

use rustix::process::setpriority_process;
use sentrynet::config::{Diagnostic, Level, Source, render};
use sentrynet::{LoadError, Replacement, Replacer};
use tokio::runtime::Builder;
use tokio::sync::oneshot;

use super::super::parse_quietly;
use crate::logging::{REDACTOR, print_diagnostics, print_error, print_error_count};

/// A configuration that can take over, with its text.
pub struct Reloaded {
    pub source: Source,
    pub replacement: Replacement,
}

/// The reason why a configuration cannot take over. It was printed, and has no secrets.
pub struct Refusal {
    /// All errors, with their places.
    pub text: String,
    /// One line.
    pub summary: String,
}

impl Refusal {
    /// Prints a message, and returns it as the reason.
    pub fn failed(message: &str) -> Self {
        print_error(message);
        let text = REDACTOR.redact(message).into_owned();
        Self { summary: text.clone(), text }
    }

    /// Prints the errors and warnings as `check` does, and returns them as the reason.
    fn invalid(source: &Source, errors: &[Diagnostic], warnings: &[Diagnostic]) -> Self {
        print_diagnostics(source, Level::Warning, warnings);
        print_diagnostics(source, Level::Error, errors);
        print_error_count(source, errors.len());
        let noun = if errors.len() == 1 { "error" } else { "errors" };
        let first = errors.first().map(|error| error.message.as_str()).unwrap_or_default();
        let text = REDACTOR.redact(&render(source, Level::Error, errors).to_plain()).into_owned();
        Self { text, summary: format!("{} {noun}, the first: {}", errors.len(), REDACTOR.redact(first)) }
    }
}

/// Starts to load a configuration. The receiver gets an error only if the thread panics.
pub fn start(path: PathBuf, replacer: Replacer) -> oneshot::Receiver<Result<Reloaded, Refusal>> {
    let (sender, receiver) = oneshot::channel();
    let thread = std::thread::Builder::new().name("reload".to_owned());
    // If the system refuses the thread, the sender is dropped.
    _ = thread.spawn(move || {
        lower_priority();
        // An error means that the program ends.
        _ = sender.send(load(&path, replacer));
    });
    receiver
}

/// Gives this thread less CPU time than others, if they need it.
fn lower_priority() {
    const NICENESS: i32 = 10;
    // On Linux, this applies to the current thread. An error changes nothing but the priority.
    _ = setpriority_process(None, NICENESS);
}

fn load(path: &Path, replacer: Replacer) -> Result<Reloaded, Refusal> {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Refusal::failed(&format!("cannot start the asynchronous runtime: {error}")))?;
    let source = Source::read(path).map_err(|error| Refusal::failed(&error.to_string()))?;
    let parse = || parse_quietly(&source, &|name| std::env::var(name).ok());
    match runtime.block_on(replacer.load(parse)) {
        Ok(replacement) => Ok(Reloaded { source, replacement }),
        Err(LoadError::Invalid { errors, warnings }) => Err(Refusal::invalid(&source, &errors, &warnings)),
        Err(error @ LoadError::Resources(_)) => Err(Refusal::failed(&error.to_string())),
    }
}
