//! The built-in probe `ssh`: connects to an SSH server, and optionally logs in and runs a command.

mod algorithms;
mod observation;
mod settings;

use sentrynet_checks::{Checks, Protocol, Subject};
use sentrynet_guest::ssh::{Output, Session};
use sentrynet_guest::{Failure, Mismatch, Probe, Problems, Trouble, span, warning};

use crate::observation::SshObservation;
use crate::settings::Settings;

struct Ssh;

impl Probe for Ssh {
    const NAME: &str = "ssh";
    const VERSION: &str = env!("CARGO_PKG_VERSION");
    const SUMMARY: &str = "Connects to an SSH server, and optionally logs in and runs a command";
    type Settings = Settings;

    fn check(settings: &Settings, problems: &mut Problems) -> Option<String> {
        settings.build_client(problems);
        settings.check_combinations(problems);
        Some(settings.title())
    }

    fn run(settings: Settings) -> Result<(), Trouble> {
        let mut problems = Problems::default();
        let client = settings.build_client(&mut problems);
        problems.into_result()?;
        let client = client.ok_or_else(|| Trouble::Broken("the settings do not describe a connection".to_owned()))?;
        let checks = Checks::parse(&settings.checks, Protocol::Ssh, "", &mut Vec::new());
        let session = client.connect()?;
        if settings.logs_in() {
            session.authenticate()?;
        }
        let max_output = settings.max_output_bytes();
        let output = settings.command().map(|command| session.exec(command, max_output)).transpose()?;
        let end = output.as_ref().map_or(Ok(()), check_exit);
        if !checks.mentions(&Subject::ExitStatus) {
            end?;
            return evaluate(&checks, session, output);
        }
        // A check decides on the exit status, so that the command may end in any way.
        let has_status = output.as_ref().is_some_and(|output| output.exit_status.is_some());
        let evaluated = evaluate(&checks, session, output);
        if has_status { evaluated } else { evaluated.map_err(|trouble| explain_missing_status(trouble, end)) }
    }
}

/// Fails if the command was ended by a signal, if its exit status is not known, or if that is not 0.
fn check_exit(output: &Output) -> Result<(), Failure> {
    let detail = last_line(&output.stderr).map(|line| format!(": {line}")).unwrap_or_default();
    match (output.exit_status, &output.signal) {
        (Some(0), _) => Ok(()),
        (Some(status), _) => {
            let mismatch = Mismatch::new("exit status", 0, status);
            let message = format!("the command ended with status {status}{detail}");
            Err(Failure::new("exit-status", message).with_mismatches(vec![mismatch]))
        }
        (None, Some(signal)) => {
            Err(Failure::new("signal", format!("the command was ended by the signal {signal}{detail}")))
        }
        (None, None) => {
            Err(Failure::new("exit-status", format!("the server did not say how the command ended{detail}")))
        }
    }
}

/// Returns the failure of the command's end instead of that of the checks, with the mismatches of these, if a check
/// requires the exit status that is missing: a signal explains more than a missing value does.
fn explain_missing_status(trouble: Trouble, end: Result<(), Failure>) -> Trouble {
    match (trouble, end) {
        (Trouble::Failed(failure), Err(end))
            if failure.mismatches().iter().any(|mismatch| mismatch.subject == "exit status") =>
        {
            end.with_mismatches(failure.mismatches().to_vec()).into()
        }
        (trouble, _) => trouble,
    }
}

/// Evaluates the checks in a span of their own.
fn evaluate(checks: &Checks, session: Session, output: Option<Output>) -> Result<(), Trouble> {
    if checks.is_empty() {
        return Ok(());
    }
    let observation = SshObservation::new(session, output);
    span::scope("ssh.assert", "Checking assertions", |_| {
        observation.check_completeness(checks)?;
        let found = checks.evaluate(&observation);
        warning::report_mismatches(&found.warnings, "");
        match found.not_json {
            Some(why) => Err(Failure::new("json", why).into()),
            None => Ok(Failure::if_any(found.errors)?),
        }
    })
}

/// Returns the last line of a command's standard error that is not blank, up to 200 characters.
fn last_line(stderr: &[u8]) -> Option<String> {
    const MAX_CHARS: usize = 200;
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().take(MAX_CHARS).collect())
}

sentrynet_guest::export!(Ssh);
