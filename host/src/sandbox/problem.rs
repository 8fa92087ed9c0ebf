//! A problem with a probe's configuration or component.

use crate::capability::truncate;

/// A problem with a probe, or a warning about one.
#[derive(Debug)]
pub struct Problem {
    /// The JSON pointer from the probe's position in the configuration, such as `/url`. Empty for the probe as a whole.
    pub pointer: String,
    /// One sentence: lower case, no full stop.
    pub message: String,
}

/// Returns the first problem, and the number of others, in one line of at most 1 KiB.
pub fn summarize(problems: &[Problem]) -> String {
    const MAX_BYTES: usize = 1024;
    let Some(Problem { pointer, message }) = problems.first() else { return String::new() };
    let is_of_probe = pointer.is_empty() || pointer == "/probe";
    let first = if is_of_probe { message.clone() } else { format!("{pointer}: {message}") };
    let first = truncate(first, MAX_BYTES).replace(char::is_control, " ");
    match problems.len() - 1 {
        0 => first,
        1 => format!("{first}, and 1 more problem"),
        more => format!("{first}, and {more} more problems"),
    }
}
