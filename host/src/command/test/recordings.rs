//! Replays several recordings: those that are named, and those of folders. Each ends as it was recorded, or not.

use std::path::{Path, PathBuf};

use anstyle::AnsiColor;
use anyhow::Result;
use sentrynet::printable::StyledText;
use sentrynet::run::{FaultKind, Outcome, Run};
use sentrynet::sink::json::run_to_json;
use sentrynet::sink::{SinkOptions, Sinks};
use serde_json::{Value, json};

use super::super::{FAILED, FLUSH_TIMEOUT, Format, INVALID_INPUT};
use super::replayer::Replayer;
use crate::logging::print_error;
use crate::output::{print, print_json};

/// The most recordings that are replayed.
const MAX_RECORDINGS: usize = 1000;
/// The most entries of a folder that are read.
const MAX_FOLDER_ENTRIES: usize = 100_000;
/// The extension of the files in a folder that are replayed.
const EXTENSION: &str = "jsonl";

/// Returns the recordings at these paths: files as they are named, and the files `*.jsonl` of folders by their names.
///
/// # Errors
/// Returns a message if a folder cannot be read or has no recordings, or if there are more than 1000.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>, String> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files.extend(find_in_folder(path)?);
        } else {
            files.push(path.clone());
        }
        if files.len() > MAX_RECORDINGS {
            return Err(format!("there are more than {MAX_RECORDINGS} recordings: name fewer, or split the folder"));
        }
    }
    Ok(files)
}

/// Returns the recordings of a folder, in the order of their names. Subfolders, pipes and devices are left out.
fn find_in_folder(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
    let mut files = Vec::new();
    for (number, entry) in entries.enumerate() {
        let entry = entry.map_err(|error| format!("cannot read {}: {error}", folder.display()))?;
        if number == MAX_FOLDER_ENTRIES {
            let problem = format!("{} has more than {MAX_FOLDER_ENTRIES} entries", folder.display());
            return Err(format!("{problem}: use a folder for recordings alone"));
        }
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION) && path.is_file() {
            files.push(path);
        }
    }
    if files.is_empty() {
        return Err(format!("no recordings in {}: their names must end with `.{EXTENSION}`", folder.display()));
    }
    files.sort();
    Ok(files)
}

/// Replays recordings, one after the other, and prints a line for each and how many ended as recorded. Returns the exit
/// code: 0 if all ended as recorded, 1 if one did not, 2 if one cannot be replayed.
///
/// # Errors
/// Returns an error if the host fails.
pub async fn replay_all(replayer: &Replayer, files: &[PathBuf], format: Format) -> Result<u8> {
    let sinks = Sinks::start_local(1, SinkOptions::default());
    let (mut as_recorded, mut otherwise, mut invalid) = (0, 0, 0);
    let mut documents = Vec::new();
    for file in files {
        let name = file.display().to_string();
        let (recorded, run) = match replayer.replay(file).await? {
            Ok(ended) => ended,
            Err(problem) => {
                invalid += 1;
                // Problems of the component do not name the recording.
                let problem = if problem.contains(&name) { problem } else { format!("{name}: {problem}") };
                match format {
                    Format::Text => print_error(&problem),
                    Format::Json => documents.push(json!({ "recording": name, "error": problem })),
                }
                continue;
            }
        };
        let is_as_recorded = ends_as(&run, &recorded);
        if is_as_recorded {
            as_recorded += 1;
        } else {
            otherwise += 1;
        }
        match format {
            Format::Text => print(&line(&name, &run, &recorded, is_as_recorded)),
            Format::Json => {
                let mut document = run_to_json(&sinks.report(run));
                document["recording"] = Value::from(name);
                document["recorded_outcome"] = Value::from(recorded);
                document["as_recorded"] = Value::from(is_as_recorded);
                documents.push(document);
            }
        }
    }
    sinks.flush(FLUSH_TIMEOUT).await;
    match format {
        Format::Text => {
            let mut text = StyledText::new();
            let recordings = if files.len() == 1 { "recording" } else { "recordings" };
            text.push_line(&format!(
                "{} {recordings}: {as_recorded} as recorded, {otherwise} otherwise, {invalid} not replayed",
                files.len()
            ));
            print(&text);
        }
        Format::Json => print_json(&documents),
    }
    Ok(match (invalid, otherwise) {
        (0, 0) => 0,
        (0, _) => FAILED,
        _ => INVALID_INPUT,
    })
}

/// Returns true if a run ends as recorded. A run that departs from its recording does not.
fn ends_as(run: &Run, recorded: &str) -> bool {
    match &run.outcome {
        Outcome::Broken(fault) if fault.kind == FaultKind::ReplayDiverged => false,
        Outcome::PassedAfterRetry(_) => recorded == Outcome::Passed.as_str(),
        outcome => recorded == outcome.as_str(),
    }
}

/// Returns the line of a run: `✓ failed  runs/full.jsonl  Shop`, or `✗ passed, recorded: failed  runs/full.jsonl
/// Shop`.
fn line(name: &str, run: &Run, recorded: &str, is_as_recorded: bool) -> StyledText {
    let (mark, color) = if is_as_recorded { ('✓', AnsiColor::Green) } else { ('✗', AnsiColor::Red) };
    let mut text = StyledText::new();
    let outcome = run.outcome.as_str();
    let departure = if is_as_recorded { String::new() } else { format!(", recorded: {recorded}") };
    text.push_styled(color.on_default(), &format!("{mark} {outcome}{departure}"));
    text.push(&format!("  {name}  {}", run.probe.title));
    if let Some((reason, message)) = run.outcome.why().filter(|_| !is_as_recorded) {
        text.push(&format!("  {reason}: {message}"));
    }
    text.end_line();
    text
}
