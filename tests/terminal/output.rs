//! The text that `once` and `run` print.

use std::process::Stdio;

use regex::Regex;

use crate::ssh::{login_keys, ssh_config};
use crate::support::running::RunningProgram;
use crate::support::sshd::Sshd;
use crate::support::target::Target;
use crate::support::{empty_folder, eventually, http_config, run_command, sentrynet};

/// Runs an HTTP probe once against a target that responds so. Returns the lines before the waterfall, with `URL` in
/// place of the target's URL.
fn lines_of(head: &str, body: &str, keys: &str) -> Vec<String> {
    let response = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let target = Target::responding(move |_| response.clone());
    let url = format!("http://127.0.0.1:{}/", target.port);
    let config = http_config(&format!("title: Shop\nurl: '{url}?page=2'\n{keys}"));
    let ended = run_command(sentrynet().args(["once", "-"]).env("COLUMNS", "80"), &config);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stdout.lines().all(|line| line.chars().count() <= 80), "{}", ended.stdout);
    let before = ended.stdout.lines().take_while(|line| !line.starts_with("    probes.http"));
    before.skip(1).map(|line| line.replace(&url, "URL")).collect()
}

#[test]
fn a_failed_run_shows_the_answer_and_repeats_nothing() {
    assert_eq!(
        lines_of("503 Down\r\ncontent-type: text/html", "<html>\r\n  <h1>Down</h1>\r\n</html>", ""),
        [
            "    GET URL answered 503 with text/html, 32 bytes:",
            "      <html>",
            "        <h1>Down</h1>",
            "      </html>"
        ]
    );
    let json = "200 OK\r\ncontent-type: application/json; charset=utf-8";
    assert_eq!(
        lines_of(json, r#"{"state": "down"}"#, "checks: {$.state: up, size: 5}"),
        [
            "    $.state: expected \"up\", got \"down\"",
            "    size: expected 5 bytes, got 17 bytes",
            "    GET URL answered 200 with application/json, 17 bytes:",
            "      {\"state\": \"down\"}",
        ]
    );
    assert_eq!(lines_of("404 Not Found", "", ""), ["    GET URL answered 404 without a body"]);
    let binary = lines_of("500 Down\r\ncontent-type: image/x", "\0\u{1}\u{2}\u{3}", "");
    assert_eq!(binary, ["    GET URL answered 500 with image/x, 4 bytes, no text"]);
}

/// Returns the lines of a failed run from the output of its command to the waterfall.
#[track_caller]
fn lines_of_run(stdout: &str, span: &str) -> Vec<String> {
    assert!(stdout.lines().all(|line| line.chars().count() <= 80), "{stdout}");
    let answer = stdout.lines().skip_while(|line| !line.starts_with("    `"));
    let before = answer.take_while(|line| !line.trim_start().starts_with(span));
    before.map(str::to_owned).collect()
}

#[test]
fn a_failed_ssh_run_shows_the_output_that_it_is_about() {
    let sshd = Sshd::openssh("terminal", "");
    let keys = format!("{}title: Shop\n", login_keys(&sshd));
    let lines_of = |keys_of_run: &str| {
        let config = ssh_config(&format!("{keys}{keys_of_run}"));
        let ended = run_command(sentrynet().args(["once", "-"]).env("COLUMNS", "80"), &config);
        assert_eq!(ended.code, 1, "{}", ended.stderr);
        lines_of_run(&ended.stdout, "probes.ssh")
    };
    assert_eq!(
        lines_of("command: printf 'full\\033[2J\\n'; echo bad >&2; exit 3"),
        [
            "    `printf 'full\\033[2J\\n'; echo bad >&2; exit 3` ended with status 3 and",
            "      wrote 4 bytes to stderr:",
            "      bad",
            "    and 9 bytes to stdout:",
            "      full\\u{1b}[2J",
        ]
    );
    assert_eq!(
        lines_of("command: seq 20; echo bad >&2\nchecks: {stdout: up}"),
        [
            "    `seq 20; echo bad >&2` ended with status 0 and wrote 51 bytes to stdout:",
            "      1",
            "      2",
            "      3",
            "      4",
            "      5",
            "      6",
            "      7",
            "      8 …",
        ]
    );
    let lines = lines_of("command: 'echo password: hunter2$((1+1))'\nchecks: {stdout: up}").join("\n");
    assert!(lines.contains("password: [Filtered]") && !lines.contains("hunter22"), "{lines}");
}

#[test]
fn the_answer_has_no_credentials() {
    let lines = lines_of("500 Down", r#"{"access_token": "s3cr3tx"}"#, "").join("\n");
    assert!(lines.contains("access_token") && !lines.contains("s3cr3tx"), "{lines}");
}

#[test]
fn runs_have_the_local_time_and_the_date() {
    let target = Target::new();
    let config = http_config(&format!("title: Shop\nurl: http://127.0.0.1:{}/\nevery: 0.1", target.port));
    let line = |offset: &str| format!(r"^\d\d:\d\d:\d\d{offset} ✓ passed +[\d.]+ [µm]?s  Shop");
    for (zone, name, offset) in [
        ("Asia/Kolkata", "Asia/Kolkata", r"\+05:30"),
        ("<-03>3", "-03", "-03:00"),
        ("UTC", "UTC", "Z"),
        ("no/such/zone", "UTC", "Z"),
    ] {
        let folder = empty_folder("terminal-time");
        let (file, out) = (folder.join("probes.yaml"), folder.join("out"));
        std::fs::write(&file, &config).expect("the folder is writable");
        let mut program = sentrynet();
        program.arg("run").arg(&file).env("TZ", zone).stderr(Stdio::piped());
        program.stdout(Stdio::from(std::fs::File::create(&out).expect("the folder is writable")));
        let running = RunningProgram::spawn(&mut program);
        let shown = eventually("two runs", || {
            let shown = std::fs::read_to_string(&out).expect("it is UTF-8");
            (shown.lines().count() > 2).then_some(shown)
        });
        drop(running);
        let lines: Vec<_> = shown.lines().collect();
        let date = Regex::new(&format!(r"^20\d\d-\d\d-\d\d [A-Z][a-z]+day, {name}$")).expect("it is a pattern");
        assert!(date.is_match(lines[0]), "{zone}: {shown}");
        let line = Regex::new(&line(offset)).expect("it is a pattern");
        assert!(line.is_match(lines[1]), "{zone}: {shown}");
    }
}
