//! Writes the standard output of the commands. Besides this module, only the console, which shows runs, writes to
//! standard output.

use std::io::{self, Write};

use sentrynet::printable::{Form, StyledText};

/// Writes text, in colour on a terminal.
pub fn print(text: &StyledText) {
    _ = write(anstream::stdout(), Form::Text.finish(text.as_ansi()).as_bytes());
}

/// Writes a text of this program's own as it is, such as a script.
pub fn print_script(script: &[u8]) {
    _ = write(io::stdout(), script);
}

/// Writes a JSON document and a line break.
pub fn print_json(value: &impl serde::Serialize) {
    match serde_json::to_string_pretty(value) {
        Ok(json) => _ = write(io::stdout(), format!("{}\n", Form::Json.finish(&json)).as_bytes()),
        Err(error) => {
            crate::logging::print_error(&format!("cannot write JSON: {error}; this is a bug, please report it"));
        }
    }
}

/// Writes a report, in which everything is escaped already.
///
/// # Errors
/// Returns an error if the report could not be written, such as to a file on a full disk. It is no error that the
/// reader has closed the pipe.
pub fn print_report(report: &str) -> io::Result<()> {
    write(io::stdout(), report.as_bytes()).or_else(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Ok(()),
        _ => Err(error),
    })
}

/// Writes an output. Most callers ignore an error: as a rule, the reader has closed the pipe and needs no more.
fn write(mut out: impl Write, output: &[u8]) -> io::Result<()> {
    out.write_all(output).and_then(|()| out.flush())
}
