//! Damaged recordings, and replays whose runs differ from the recording.

use std::path::PathBuf;

use regex::Regex;

use super::{Recorded, replay, shop_response};
use crate::support::empty_folder;
use crate::support::target::Target;

/// The text of a recording, of which tests make edited copies.
struct Edited {
    name: &'static str,
    text: String,
}

/// Records a run of the http probe.
fn record_http_run(name: &'static str) -> Edited {
    let target = Target::responding(shop_response);
    let recorded =
        Recorded::record(name, "http", &format!("url: http://127.0.0.1:{}/\nheaders: {{a: b}}", target.port));
    recorded.assert_replay_is_same(0);
    Edited { name, text: recorded.read() }
}

impl Edited {
    fn write(&self, text: &str) -> PathBuf {
        let file = empty_folder(&format!("edited-{}", self.name)).join("run.jsonl");
        std::fs::write(&file, text).expect("the folder is writable");
        file
    }

    /// Asserts that a replay of this text ends with this code and this message.
    #[track_caller]
    fn assert_replay_ends(&self, text: &str, code: i32, message: &str) {
        let ended = replay("http", &self.write(text), &["--format", "json"]);
        assert_eq!(ended.code, code, "{}{}", ended.stdout, ended.stderr);
        let all = format!("{}{}", ended.stdout, ended.stderr);
        assert!(all.contains(message), "{message} in {all}");
    }

    fn without(&self, call: &str) -> String {
        let lines = self.text.lines().filter(|line| !line.contains(&format!(r#""call":"{call}""#)));
        lines.map(|line| format!("{line}\n")).collect()
    }
}

#[test]
fn a_run_that_differs_from_the_recording_is_reported() {
    let run = record_http_run("diverges");
    let text = run.text.replace(r#"{"method":"GET","url":"http://127"#, r#"{"method":"PUT","url":"http://127"#);
    run.assert_replay_ends(
        &text,
        3,
        "diverges from the recording at call 1: recorded `http.request.new PUT http://127.0.0.1:",
    );
    run.assert_replay_ends(&text, 3, ", now `http.request.new GET http://127.0.0.1:");
    let text = run.text.replace(r#"{"name":"a","value":"b"}"#, r#"{"name":"a","value":"c"}"#);
    run.assert_replay_ends(&text, 3, "recorded `http.request.header a c`, now `http.request.header a b`");
    run.assert_replay_ends(
        &run.without("http.request.send"),
        3,
        "recorded the end of the run, now `http.request.send`",
    );
}

#[test]
fn an_incomplete_or_invalid_recording_is_reported() {
    let run = record_http_run("damaged");
    let half = run.text.lines().count() / 2;
    let lines: Vec<_> = run.text.lines().collect();
    run.assert_replay_ends("", 2, "is no recording");
    run.assert_replay_ends("groups: []\n", 2, "is no recording");
    run.assert_replay_ends(&run.text[..run.text.len() - 30], 2, "is cut off after line");
    run.assert_replay_ends(&(lines[..half].join("\n") + "\n"), 2, &format!("is cut off after line {half}"));
    run.assert_replay_ends(&run.text.replacen(r#""entry":"call""#, r#""entry":"cull""#, 1), 2, "is damaged in line 3");
    run.assert_replay_ends(&run.text.replacen(r#""at_ns":"#, r#""at_ns":-"#, 1), 2, "is damaged in line 2");
    run.assert_replay_ends(&(run.text.clone() + &run.text), 2, "after the end of the run");
    run.assert_replay_ends(
        &run.text.replace(r#"{"recording":1"#, r#"{"recording":2"#),
        2,
        "is of version 2 of its format",
    );
    run.assert_replay_ends(
        &run.text.replace(r#""contract":"0.1.1""#, r#""contract":"0.9.0""#),
        2,
        "for version 0.9.0 of the contract",
    );
    run.assert_replay_ends(
        &run.text.replace(r#""result":{"ok":{"status""#, r#""result":{"ok":{"stutus""#),
        3,
        "is damaged",
    );
    let nothing = replay("http", std::path::Path::new("/dev/null/run.jsonl"), &[]);
    assert!(nothing.stderr.contains("cannot read the recording /dev/null/run.jsonl"), "{}", nothing.stderr);
}

/// Returns copies of a JSON text, in each of which `by` replaces another of its numbers.
fn with_each_number_replaced<'a>(text: &'a str, by: &'a str) -> impl Iterator<Item = String> + 'a {
    let number = Regex::new(r"([:\[,])(\d+)([,}\]])").expect("the pattern is valid");
    let places: Vec<_> =
        number.captures_iter(text).map(|found| found.get(2).expect("the group is there").range()).collect();
    places.into_iter().map(move |place| [&text[..place.start], by, &text[place.end..]].concat())
}

#[test]
fn no_number_of_a_recording_makes_the_host_panic_or_run_without_end() {
    let run = record_http_run("extreme");
    let (header, rest) = run.text.split_once('\n').expect("there is a header");
    let mut edited: Vec<_> = with_each_number_replaced(header, "18446744073709551615")
        .chain(with_each_number_replaced(header, "4294967295"))
        .chain(with_each_number_replaced(header, "0"))
        .map(|header| format!("{header}\n{rest}"))
        .collect();
    assert!(edited.len() > 30, "the header has {} numbers", edited.len() / 3);
    edited.extend(with_each_number_replaced(rest, "18446744073709551615").map(|rest| format!("{header}\n{rest}")));
    for text in edited {
        let ended = replay("http", &run.write(&text), &["--format", "json"]);
        assert!((0..=3).contains(&ended.code), "{}\n{text}", ended.stderr);
        assert!(!ended.stderr.contains("panicked"), "{}\n{text}", ended.stderr);
    }
    let endless = run.text.replacen(r#""deadline":{"secs":60"#, r#""deadline":{"secs":18446744073709551615"#, 1);
    run.assert_replay_ends(&endless, 2, "is damaged in line 1 (its limits: `deadline` is 18446744073709552000");
    let retries = run.text.replacen(r#""retries":0"#, r#""retries":4294967295"#, 1);
    run.assert_replay_ends(&retries, 2, "is damaged in line 1 (4294967295 retries: expected at most 10)");
}
