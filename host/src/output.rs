//! Standard output of the commands. Only the console, which shows runs, writes there too.

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

/// Writes all of an output. If the reader has closed the pipe, it needs no more: this is not an error.
fn write(mut out: impl Write, output: &str) {
    _ = out.write_all(output.as_bytes()).and_then(|()| out.flush());
}
