//! Removes secrets from everything that leaves the host: reports, logs and recordings. [`REDACTED`] replaces them.
//!
//! Two kinds of secrets are redacted:
//!
//! - **Configured secrets**: the values that the configuration takes from the environment or from files. They are
//!   redacted in every text. [`Secrets::redact`] documents exactly in which forms they are found.
//! - **Credentials of targets**, which are not in the configuration: texts that are credentials by their name
//!   (`token=…`) or by their format (a JSON Web Token). The module `credential` finds them. They are redacted in the
//!   reports of runs that did not pass, in SSH commands, and in recordings.

mod cpu_allowance;
mod credential;
mod decoded_view;
mod base64_and_hex;
mod late_redactor;
mod marker;
mod matcher;
mod redact_evidence;
mod redact_recording;
mod redact_run;
mod run_size;
mod search;
mod secrets;
mod variants;

pub use cpu_allowance::{Allowance, AllowanceUsedUp};
pub(crate) use credential::{is_name as is_credential_name, ranges as credential_ranges, redact as redact_credentials};
pub use late_redactor::{LateRedactor, RedactingWriter};
pub use marker::REDACTED;
pub use run_size::RunSize;
pub use secrets::Secrets;
pub use variants::is_short;

#[cfg(test)]
mod tests;
