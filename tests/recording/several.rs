//! `sentrynet test --replay` with a folder, and with several recordings.

use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use super::{replay, run_test};
use crate::support::target::{Target, ok_response, status_response};
use crate::support::{CommandOutput, empty_folder, run_command, sentrynet};

/// Creates a folder with recordings of two runs, of which `b-passed.jsonl` passed and `a-failed.jsonl` failed.
fn create_recordings(name: &str) -> PathBuf {
    let folder = empty_folder(name);
    let target = Target::responding(|requests| match requests.last() {
        Some(request) if request.line.contains("/well ") => ok_response(),
        _ => status_response("503 Service Unavailable"),
    });
    for (file, path, code) in [("b-passed.jsonl", "well", 0), ("a-failed.jsonl", "sick", 1)] {
        let settings = format!("title: {path}\nurl: http://127.0.0.1:{}/{path}", target.port);
        let recorded = run_test("http", &settings, &["--record", &folder.join(file).display().to_string()]);
        assert_eq!(recorded.code, code, "{}", recorded.stderr);
    }
    // A file of another kind is left out.
    fs::write(folder.join("README.md"), "# Recordings").expect("the folder is writable");
    folder
}

/// Returns the first words of each line of the output.
fn first_words(output: &CommandOutput) -> Vec<String> {
    output.stdout.lines().map(|line| line.split("  ").next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_folder_is_replayed_in_order_with_a_summary() {
    let folder = create_recordings("recording-folder");
    let replayed = replay("http", &folder, &[]);
    assert_eq!(
        first_words(&replayed),
        ["✓ failed", "✓ passed", "2 recordings: 2 as recorded, 0 otherwise, 0 not replayed"],
        "{}",
        replayed.stderr
    );
    assert_eq!((replayed.code, replayed.stderr.as_str()), (0, ""));
    assert!(replayed.stdout.lines().next().is_some_and(|line| line.contains("a-failed.jsonl  sick")));
}

#[test]
fn a_recording_that_cannot_be_replayed_does_not_stop_the_others() {
    let folder = create_recordings("recording-folder-broken");
    let failed = fs::read_to_string(folder.join("a-failed.jsonl")).expect("there is a recording");
    fs::write(folder.join("a-damaged.jsonl"), &failed[..failed.len() / 2]).expect("the folder is writable");
    fs::write(folder.join("a-other.jsonl"), failed.replace("/sick", "/sock")).expect("the folder is writable");
    let expected = failed.replace(r#""outcome":"failed""#, r#""outcome":"passed""#);
    fs::write(folder.join("c-changed.jsonl"), expected).expect("the folder is writable");
    fs::create_dir(folder.join("d.jsonl")).expect("the folder is writable");
    let replayed = replay("http", &folder, &[]);
    let words = first_words(&replayed);
    assert_eq!(words.last().map(String::as_str), Some("5 recordings: 3 as recorded, 1 otherwise, 1 not replayed"));
    assert!(words.contains(&"✗ failed, recorded: passed".to_owned()), "{words:?}");
    assert!(replayed.stderr.contains("a-damaged.jsonl"), "{}", replayed.stderr);
    assert_eq!(replayed.code, 2);
    fs::remove_file(folder.join("a-damaged.jsonl")).expect("the folder is writable");

    let replayed = replay("http", &folder, &["--format", "json"]);
    assert_eq!(replayed.code, 1, "{}", replayed.stderr);
    let runs: Vec<Value> = serde_json::from_str(&replayed.stdout).expect("the output is JSON");
    let of = |name: &str| {
        let has_name = |run: &&Value| run["recording"].as_str().is_some_and(|path| path.ends_with(name));
        runs.iter().find(has_name).unwrap_or_else(|| panic!("{name} in {runs:#?}"))
    };
    assert_eq!(runs.len(), 4);
    assert_eq!(
        (&of("c-changed.jsonl")["outcome"], &of("c-changed.jsonl")["as_recorded"]),
        (&"failed".into(), &false.into())
    );
    assert_eq!(of("b-passed.jsonl")["recorded_outcome"], "passed");
}

#[test]
fn several_recordings_can_be_named() {
    let folder = create_recordings("recording-several");
    let (failed, passed) = (folder.join("a-failed.jsonl"), folder.join("b-passed.jsonl"));
    let replayed = replay("http", &passed, &["--replay", &failed.display().to_string()]);
    assert_eq!((first_words(&replayed)[..2].to_vec(), replayed.code), (vec!["✓ passed".into(), "✓ failed".into()], 0));
    // One recording is shown with its waterfall, and has the exit code of its run.
    let replayed = replay("http", &failed, &[]);
    assert!(replayed.code == 1 && replayed.stdout.contains("http.client"), "{}", replayed.stdout);
}

#[test]
fn a_folder_without_recordings_is_an_error() {
    let folder = empty_folder("recording-empty");
    let replayed = run_command(sentrynet().args(["test", "http", "--replay"]).arg(&folder), "");
    assert_eq!((replayed.code, replayed.stdout.as_str()), (2, ""));
    assert!(replayed.stderr.contains("no recordings in") && replayed.stderr.contains(".jsonl"), "{}", replayed.stderr);
    let pipe = folder.join("pipe.jsonl");
    run_command(std::process::Command::new("mkfifo").arg(&pipe), "");
    assert!(replay("http", &folder, &[]).stderr.contains("no recordings in"), "a pipe is not read");
}
