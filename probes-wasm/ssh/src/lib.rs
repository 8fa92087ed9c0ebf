//! The built-in probe `ssh`: whether a server is up, lets one in, and does as it is told.

mod answer;
mod settings;

use sentrynet_checks::{Checks, Kind, Subject};
use sentrynet_guest::ssh::{Output, Session};
use sentrynet_guest::{Check, Failure, Mismatch, Probe, Trouble, span};

use crate::answer::{Answered, MOST_OUTPUT};
use crate::settings::Settings;

struct Ssh;

impl Probe for Ssh {
    const NAME: &str = "ssh";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &str = "Whether an SSH server is up, lets one in, and does as it is told";
    type Settings = Settings;

    fn check(settings: &Settings, check: &mut Check) -> Option<String> {
        settings.client(check);
        settings.check(check);
        Some(settings.title())
    }

    fn run(settings: Settings) -> Result<(), Trouble> {
        let mut check = Check::default();
        let client = settings.client(&mut check);
        check.done()?;
        let client = client.ok_or_else(|| Trouble::Broken("there is nothing to connect to".to_owned()))?;
        let checks = Checks::read(&settings.checks, Kind::Ssh, "", &mut Vec::new());
        let session = client.connect()?;
        if settings.authenticates() {
            session.authenticate()?;
        }
        let output = settings.command().map(|command| session.exec(command, MOST_OUTPUT)).transpose()?;
        if let Some(output) = &output {
            ended(output, checks.asks(&Subject::ExitStatus))?;
        }
        hold(&checks, session, output)
    }
}

/// The command ended, and well unless the checks have their own idea of its status.
fn ended(output: &Output, asked: bool) -> Result<(), Failure> {
    let said = last_line(&output.stderr).map(|line| format!(": {line}")).unwrap_or_default();
    match (output.exit_status, &output.signal) {
        (Some(0), _) => Ok(()),
        (Some(_), _) if asked => Ok(()),
        (Some(status), _) => {
            let mismatch = Mismatch::new("exit status", 0, status);
            let message = format!("the command ended with status {status}{said}");
            Err(Failure::new("exit-status", message).mismatches(vec![mismatch]))
        }
        (None, Some(signal)) => {
            Err(Failure::new("signal", format!("the command was ended by the signal {signal}{said}")))
        }
        (None, None) => Err(Failure::new("exit-status", format!("the server did not say how the command ended{said}"))),
    }
}

fn hold(checks: &Checks, session: Session, output: Option<Output>) -> Result<(), Trouble> {
    if checks.is_empty() {
        return Ok(());
    }
    let answer = Answered::new(session, output);
    span::scope("ssh.assert", "Checking assertions", |_| {
        let wrong = checks.hold(&answer).map_err(|why| Failure::new("json", why))?;
        Ok(Failure::of(wrong)?)
    })
}

/// What a command said last, if that is a line for a person.
fn last_line(stderr: &[u8]) -> Option<String> {
    const LONGEST: usize = 200;
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(LONGEST).collect())
}

sentrynet_guest::export!(Ssh);
