//! What a server and a command answered, as it is looked at.

use std::cell::OnceCell;

use sentrynet_checks::{Answer, Subject};
use sentrynet_guest::ssh::{Output, Session};
use serde_json::Value;

/// Bytes of each stream that are looked at.
pub const MOST_OUTPUT: u64 = 1 << 20;

pub struct Answered {
    session: Session,
    output: Option<Output>,
    json: OnceCell<Result<Value, String>>,
}

impl Answered {
    pub fn new(session: Session, output: Option<Output>) -> Self {
        Self { session, output, json: OnceCell::new() }
    }

    fn parse(&self) -> Result<Value, String> {
        let output = self.output.as_ref().ok_or("no command was run, so that there is no output to read as JSON")?;
        if output.stdout_size > MOST_OUTPUT {
            return Err(format!("the output has {} bytes, too many to look into", output.stdout_size));
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("the output is not JSON: {error}"))
    }
}

impl Answer for Answered {
    fn observe(&self, subject: &Subject) -> Option<Value> {
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
            // Found elsewhere, or of another kind of probe.
            _ => None,
        }
    }

    fn json(&self) -> Result<&Value, String> {
        self.json.get_or_init(|| self.parse()).as_ref().map_err(Clone::clone)
    }
}
