//! The interface of the program to scripts and services: commands, exit codes, environment, files and output.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use regex::Regex;
use serde_json::{Value, json};

use super::expected::{compare, compare_json};
use super::normalize::Normalizer;
use crate::guests::{Guest, PASSES};
use crate::support::receiver::Receiver;
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{absent_path, empty_folder, eventually, run_command, sentrynet};

#[test]
fn commands_and_their_options() {
    let help = |arguments: &[&str]| {
        let ended = run_command(sentrynet().args(arguments).arg("--help"), "");
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        ended.stdout
    };
    let options = Regex::new(r"(?m)^ +(?:-\w, )?(--[a-z-]+(?: <[A-Z]+>)?)").expect("the pattern is valid");
    let mut text = String::new();
    for command in ["run", "once", "test", "check", "inspect", "schema", "new"] {
        let shown = help(&[command]);
        let usage = shown.lines().find(|line| line.starts_with("Usage: ")).expect("the help has a line `Usage`");
        text += &format!("{usage}\n");
        let mut found: Vec<_> = options.captures_iter(&shown).map(|found| found[1].to_owned()).collect();
        found.sort();
        for option in found {
            text += &format!("  {option}\n");
        }
        let values = shown.split('[').filter_map(|part| part.split_once(']')?.0.strip_prefix("possible values: "));
        values.for_each(|values| text += &format!("  values: {values}\n"));
    }
    compare("command-line.txt", &text);
}

/// Returns the exit code of `once` with a component whose function `run` has this WebAssembly code.
fn exit_code_with(name: &str, run: &'static str) -> i32 {
    let guest = Guest { run, ..PASSES }.write(&format!("compatibility-code-{name}"));
    let configuration = format!("groups: [{{probes: [{{probe: '{}'}}]}}]", guest.display());
    run_command(sentrynet().args(["once", "-"]), &configuration).code
}

#[test]
fn exit_codes_are_unchanged() {
    assert_eq!(exit_code_with("passed", "i32.const 0"), 0);
    assert_eq!(exit_code_with("failed", "i32.const 128"), 1);
    assert_eq!(exit_code_with("trapped", "unreachable"), 3);
    assert_eq!(exit_code_with("gave-up", "i32.const 192"), 3);
    assert_eq!(run_command(sentrynet().args(["once", "-"]), "groups: 5").code, 2);
    assert_eq!(run_command(sentrynet().arg("check").arg(absent_path("file")), "").code, 2);
    assert_eq!(run_command(sentrynet().args(["once"]), "").code, 2);
    assert_eq!(run_command(sentrynet().env("SENTRYNET_LOG", "a=b=c").args(["check", "-"]), "groups: []").code, 2);
}

/// Starts a target that responds with status 503 and a JSON body.
fn start_failing_target() -> Target {
    Target::responding(|_| {
        let body = r#"{"status": "down"}"#;
        let headers = "content-type: application/json\r\nset-cookie: sid=cookie-4711-abc; Path=/\r\n";
        format!("503 Down\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    })
}

fn configuration(target: &Target, sentry: &str) -> String {
    format!(
        "sentry: {{server_name: here, {sentry}}}
groups:
  - tags: {{team: web}}
    probes:
      - probe: http
        title: Shop
        every: 3600
        url: http://127.0.0.1:{}/health?page=2
        headers: {{accept: application/json}}
        checks: {{$.status: up}}
",
        target.port
    )
}

fn normalizer(target: &Target) -> Normalizer {
    Normalizer::default().with(&target.port, "PORT").with(&env!("CARGO_PKG_VERSION"), "VERSION")
}

#[test]
fn json_of_a_run() {
    let target = start_failing_target();
    let configuration = configuration(&target, "tags: {}");
    let ended = run_command(sentrynet().args(["once", "-", "--format", "json"]), &configuration);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let mut once: Value = serde_json::from_str(&ended.stdout).expect("the output is JSON");
    normalizer(&target).normalize(&mut once);
    compare_json("once.json", &once);

    // `run` prints the same JSON, in one line for each run.
    let file = empty_folder("compatibility-run").join("probes.yaml");
    std::fs::write(&file, &configuration).expect("the folder is writable");
    let mut program = sentrynet();
    program.arg("run").arg(&file).args(["--format", "json"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let running = RunningProgram::spawn(&mut program);
    eventually("a run", || (target.requests().len() >= 2).then_some(()));
    running.send_signal("TERM");
    let (code, stdout) = running.wait_for_output();
    assert_eq!(code, Some(0));
    let lines: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect();
    let mut run = json!(lines);
    normalizer(&target).normalize(&mut run);
    compare_json("once.json", &run);
}

#[test]
fn envelopes_of_a_run() {
    let (target, receiver) = (start_failing_target(), Receiver::start());
    let dsn = format!("dsn: '{}', release: probes@1.2.3", receiver.dsn());
    let ended = run_command(sentrynet().args(["once", "-"]), &configuration(&target, &dsn));
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let mut envelopes = receiver.wait_for_envelopes(2);
    envelopes.sort_by_key(crate::support::receiver::ReceivedEnvelope::item_type);
    for envelope in envelopes {
        let (header, mut items) = envelope.parse_envelope();
        let (item, payload) = items.remove(0);
        let mut contents = json!({ "header": header, "item": { "type": item["type"] }, "payload": payload });
        normalizer(&target).normalize(&mut contents);
        compare_json(&format!("once-{}.json", envelope.item_type()), &contents);
    }
}

#[test]
fn the_output_of_inspect() {
    let imports = r#"(import "sentrynet:probe/log@0.1.0" "write" (func $write (param i32 i32 i32)))
        (import "sentrynet:probe/http@0.1.0" "[static]request.new" (func $request (param i32 i32 i32 i32 i32)))"#;
    let guest = Guest { imports, run: "unreachable", ..PASSES }.write("compatibility-inspected");
    let ended = run_command(sentrynet().args(["inspect", "--format", "json"]).arg(&guest), "");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let mut inspected: Value = serde_json::from_str(&ended.stdout).expect("the output is JSON");
    // These values depend on the version of the component encoder.
    for key in ["size", "sha256", "producers", "component"] {
        assert!(!inspected[key].is_null(), "{key} in {inspected:#}");
        inspected[key] = Value::Null;
    }
    compare_json("inspect.json", &inspected);
}

/// Returns the paths of all files and folders below a folder, relative to it.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inner) = folders.pop() {
        for entry in std::fs::read_dir(folder.join(&inner)).expect("the folder can be read").flatten() {
            let path = inner.join(entry.file_name());
            if entry.file_type().expect("a file has a type").is_dir() {
                folders.push(path.clone());
            }
            found.push(path.display().to_string());
        }
    }
    found.sort();
    found
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[test]
fn the_environment_and_the_folders_that_it_names() {
    let guest = PASSES.write("compatibility-environment");
    let configuration = format!("groups: [{{probes: [{{probe: '{}'}}]}}]", guest.display());
    let home = empty_folder("compatibility-environment-home");
    let (state, cache, service) = (home.join("state"), home.join("cache"), home.join("service"));
    let (receiver, spotlight) = (Receiver::start(), Receiver::start());
    let mut program = sentrynet();
    program
        .env("SENTRY_DSN", receiver.dsn())
        .env("SENTRY_ENVIRONMENT", "staging")
        .env("SENTRY_SPOTLIGHT", format!("http://127.0.0.1:{}/stream", spotlight.port))
        .env("SENTRYNET_LOG", "sentrynet=debug")
        .env("XDG_STATE_HOME", &state)
        .env("XDG_CACHE_HOME", &cache);
    let ended = run_command(program.args(["once", "-"]), &configuration);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let (_, items) = receiver.wait_for_envelopes(1).remove(0).parse_envelope();
    assert_eq!(items[0].1["environment"], "staging");
    assert_eq!(spotlight.wait_for_envelopes(1)[0].path, "/stream");
    assert!(ended.stderr.contains("INFO"), "{}", ended.stderr);
    let part = super::spool::spool_folder_name(receiver.port);
    let spool = |folder: &str| [folder.to_owned(), format!("{folder}/1"), format!("{folder}/1/lock")].to_vec();
    let keys = |folder: &str| [folder.to_owned(), format!("{folder}/compiled-code")].to_vec();
    let in_state = [vec!["sentrynet".to_owned()], spool(&format!("sentrynet/{part}")), keys("sentrynet/keys")].concat();
    assert_eq!(files(&state), sorted(in_state));
    assert_eq!(files(&cache)[..2], ["sentrynet", "sentrynet/code"]);

    // `STATE_DIRECTORY`, which systemd sets, takes precedence over the user's folder.
    program.env("STATE_DIRECTORY", &service).env("SENTRYNET_LOG", "error");
    let ended = run_command(&mut program, &configuration);
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(files(&service), sorted([spool(&part), keys("keys")].concat()));
}
