//! The values of an SSH server and a command that can be checked.

use std::cell::OnceCell;

use sentrynet_checks::{Checks, Level, Observation, Subject};
use sentrynet_guest::ssh::{Output, Session};
use sentrynet_guest::{Failure, format_bytes, warning};
use serde_json::Value;

/// A session, and the output of its command if there was one, which is parsed as JSON at most once.
pub struct SshObservation {
    session: Session,
    output: Option<Output>,
    json: OnceCell<Result<Value, String>>,
}

impl SshObservation {
    pub fn new(session: Session, output: Option<Output>) -> Self {
        Self { session, output, json: OnceCell::new() }
    }

    /// Fails if the checks look into standard output or standard error, and only its beginning is known: a check of a
    /// part could pass where the whole does not. Reports a warning instead if all of these checks have the level
    /// [`Level::Warning`].
    pub fn check_completeness(&self, checks: &Checks) -> Result<(), Failure> {
        let Some(output) = &self.output else { return Ok(()) };
        let cut = |name: &str, level: Option<Level>, stored: &[u8], size: u64| {
            let Some(level) = level.filter(|_| size > stored.len() as u64) else { return Ok(()) };
            let message = format!(
                "the command wrote {size} bytes to {name}, more than the {} that are checked; raise `max_output`, or check \
                 only `{name} size`",
                format_bytes(stored.len() as u64)
            );
            let failure = Failure::new("too-large", message);
            match level {
                Level::Error => Err(failure),
                Level::Warning => {
                    warning::report(failure);
                    Ok(())
                }
            }
        };
        let level_of_stdout = checks.level_of(&Subject::Stdout).max(checks.level_of_json());
        cut("stdout", level_of_stdout, &output.stdout, output.stdout_size)?;
        cut("stderr", checks.level_of(&Subject::Stderr), &output.stderr, output.stderr_size)
    }

    /// Parses the standard output as JSON.
    fn parse(&self) -> Result<Value, String> {
        let output = self.output.as_ref().ok_or("no command was run, so that there is no output to read as JSON")?;
        serde_json::from_slice(&output.stdout).map_err(|error| format!("the output is not JSON: {error}"))
    }
}

impl Observation for SshObservation {
    fn value(&self, subject: &Subject) -> Option<Value> {
        let text = |bytes: &[u8]| Value::from(String::from_utf8_lossy(bytes).into_owned());
        let output = || self.output.as_ref();
        match subject {
            Subject::ExitStatus => output()?.exit_status.map(Value::from),
            Subject::Stdout => Some(text(&output()?.stdout)),
            Subject::StdoutSize => Some(output()?.stdout_size.into()),
            Subject::Stderr => Some(text(&output()?.stderr)),
            Subject::StderrSize => Some(output()?.stderr_size.into()),
            Subject::Time => Some((self.session.time() / 1000.0).into()),
            Subject::ServerVersion => Some(self.session.server().version.into()),
            Subject::RemoteAddress => Some(self.session.server().remote_address.into()),
            // JSONPaths are searched in `json`. The other subjects are those of HTTP.
            _ => None,
        }
    }

    fn json(&self) -> Result<&Value, String> {
        self.json.get_or_init(|| self.parse()).as_ref().map_err(Clone::clone)
    }
}
