//! Writes the standard output of the commands. Besides this module, only the console, which shows runs, writes to
//! standard output.

use std::io::Write;

use sentrynet::printable::{Form, StyledText};

/// Writes text, in colour on a terminal.
pub fn print(text: &StyledText) {
    write(anstream::stdout(), &Form::Text.finish(text.as_ansi()));
}

/// Writes a JSON document and a line break.
pub fn print_json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(json) => write(std::io::stdout(), &format!("{}\n", Form::Json.finish(&json))),
        Err(error) => {
            crate::logging::print_error(&format!("cannot write JSON: {error}; this is a bug, please report it"));
        }
    }
}

/// Writes an output. An error is ignored: as a rule, the reader has closed the pipe and needs no more.
fn write(mut out: impl Write, output: &str) {
    _ = out.write_all(output.as_bytes()).and_then(|()| out.flush());
}
