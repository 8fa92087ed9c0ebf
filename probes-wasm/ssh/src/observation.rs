//! The values of an SSH server and a command that can be checked.

use std::cell::OnceCell;

use sentrynet_checks::{Checks, Observation, Subject};
use sentrynet_guest::ssh::{Output, Session};
use sentrynet_guest::{Failure, format_bytes};
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

    /// Fails if the checks look into standard output or standard error, and only its beginning is known: a check of a part
    /// could pass where the whole does not.
    pub fn check_completeness(&self, checks: &Checks) -> Result<(), Failure> {
        let Some(output) = &self.output else { return Ok(()) };
        let cut = |name: &str, stored: &[u8], size: u64| {
            let message = format!(
                "the command wrote {size} bytes to {name}, more than the {} that are checked; raise `max_output`, or check \
                 only `{name} size`",
                format_bytes(stored.len() as u64)
            );
            Err(Failure::new("too-large", message))
        };
        let looks_into_stdout = checks.mentions(&Subject::Stdout) || checks.need_json();
        if looks_into_stdout && output.stdout_size > output.stdout.len() as u64 {
            return cut("stdout", &output.stdout, output.stdout_size);
        }
        if checks.mentions(&Subject::Stderr) && output.stderr_size > output.stderr.len() as u64 {
            return cut("stderr", &output.stderr, output.stderr_size);
        }
        Ok(())
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
