//! Writes the standard output of the commands. Besides this module, only the console, which shows runs, writes to
//! standard output.

use std::io::Write;

use sentrynet::printable::{Form, StyledText};

/// Writes text, in colour on a terminal.
pub fn print(text: &StyledText) {
    write(anstream::stdout(), Form::Text.finish(text.as_ansi()).as_bytes());
}

/// Writes a text of this program's own as it is, such as a script.
pub fn print_script(script: &[u8]) {
    write(std::io::stdout(), script);
}

/// Writes a JSON document and a line break.
pub fn print_json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(json) => write(std::io::stdout(), format!("{}\n", Form::Json.finish(&json)).as_bytes()),
        Err(error) => {
            crate::logging::print_error(&format!("cannot write JSON: {error}; this is a bug, please report it"));
        }
    }
}

/// Writes an output. An error is ignored: as a rule, the reader has closed the pipe and needs no more.
fn write(mut out: impl Write, output: &[u8]) {
    _ = out.write_all(output).and_then(|()| out.flush());
}
