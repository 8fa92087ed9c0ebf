//! The values of an SSH server and a command that can be checked.

use std::cell::OnceCell;

use sentrynet_checks::{Observation, Subject};
use sentrynet_guest::ssh::{Output, Session};
use serde_json::Value;

/// The bytes of standard output, and of standard error, that are checked at most.
pub const MAX_OUTPUT_BYTES: u64 = 1 << 20;

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

    /// Parses the standard output as JSON.
    fn parse(&self) -> Result<Value, String> {
        let output = self.output.as_ref().ok_or("no command was run, so that there is no output to read as JSON")?;
        if output.stdout_size > MAX_OUTPUT_BYTES {
            let size = output.stdout_size;
            return Err(format!("the output has {size} bytes, more than the {MAX_OUTPUT_BYTES} that are checked"));
        }
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
