//! `sentrynet inspect`: the description of a component before it is trusted.

use std::path::Path;

use serde_json::{Value, json};

use crate::guests::{Guest, PASSES, write_wasm};
use crate::support::{run_command, sentrynet};

/// Returns the text output, which is not wrapped without a terminal.
#[track_caller]
fn inspect_as_text(component: &str) -> String {
    let ended = run_command(sentrynet().env("SENTRYNET_LOG", "warn").args(["inspect", component]), "");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""), "{}", ended.stdout);
    ended.stdout
}

#[track_caller]
fn inspect_as_json(component: &Path) -> Value {
    let ended = run_command(sentrynet().args(["inspect", "--format", "json"]).arg(component), "");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    serde_json::from_str(&ended.stdout).expect("the output is JSON")
}

const IMPORTS: &str = r#"(import "sentrynet:probe/log@0.1.0" "write" (func $write (param i32 i32 i32)))
    (import "sentrynet:probe/ssh@0.1.0" "[method]client.agent" (func $agent (param i32 i32)))
    (import "sentrynet:probe/http@0.1.0" "[static]request.new" (func $request (param i32 i32 i32 i32 i32)))"#;

#[test]
fn a_component_is_described_with_what_it_can_do() {
    let file = Guest { imports: IMPORTS, run: "unreachable", ..PASSES }.write("inspected");
    let description = inspect_as_json(&file);
    assert_eq!(
        (&description["name"], &description["version"], &description["contract"]),
        (&json!("third"), &json!("1.0.0"), &json!("0.1.1"))
    );
    assert_eq!((&description["schema"], &description["core_module"]), (&json!({}), &json!(false)));
    assert_eq!(description["size"], std::fs::metadata(&file).unwrap().len());
    assert_eq!(
        description["allow"],
        json!({
            "hosts": ["host.example"],
            "ssh": { "hosts": ["host.example"], "agent": true },
            "log": true,
        })
    );
    let http = description["imports"].as_array().unwrap().iter().find(|import| import["can"] == "make HTTP requests");
    assert_eq!(http.expect("the component imports `http`")["functions"], json!(["[static]request.new"]));
    let sum = std::process::Command::new("sha256sum").arg(&file).output().expect("`sha256sum` is installed");
    assert!(
        String::from_utf8(sum.stdout).unwrap().starts_with(description["sha256"].as_str().unwrap()),
        "{description:#}"
    );

    let text = inspect_as_text(file.to_str().unwrap());
    for line in [
        "third 1.0.0",
        "a third party's probe",
        "  make HTTP requests                      sentrynet:probe/http",
        "  log in over SSH, with the agent's keys  sentrynet:probe/ssh",
        "  none are described",
        "  third:",
        "      ssh: {hosts: [host.example], agent: true}",
    ] {
        assert!(text.lines().any(|description| description == line), "{line} in\n{text}");
    }
}

#[test]
fn a_component_without_imports_needs_no_permission() {
    let file = PASSES.write_module("inspected-module");
    assert_eq!((&inspect_as_json(&file)["core_module"], &inspect_as_json(&file)["allow"]), (&json!(true), &json!({})));
    let text = inspect_as_text(file.to_str().unwrap());
    assert!(text.contains("\n  compute\n") && text.contains("needs no permissions"), "{text}");
}

#[test]
fn built_in_probes_are_described_too() {
    for (name, key) in [("http", "verify_tls"), ("chain", "init_keys"), ("ssh", "known_hosts")] {
        let text = inspect_as_text(name);
        assert!(text.starts_with(&format!("{name} ")) && text.contains(&format!("\n  {key} ")), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains("modules:"), "{text}");
        assert!(text.contains("\n  language   Rust\n"), "{text}");
        let in_one_line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        // The table wraps the description; `auth` and `password` are credentials.
        assert!(in_one_line.contains("Kept by"), "{text}");
    }
}

#[test]
fn text_of_a_component_cannot_control_the_terminal() {
    // The name, in place of `third`, and the first half of the summary.
    let evil = r#"(data (i32.const 256) "\1b[2J\0a") (data (i32.const 266) "\e2\80\ae: {}\0a")"#;
    let text = inspect_as_text(Guest { define: evil, ..PASSES }.write("inspected-evil").to_str().unwrap());
    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains("\n  \"2j\":\n"), "{text}");
    // A module is not suggested under the name of a built-in probe.
    let built_in = r#"(data (i32.const 64) "\06\01\00\00\04\00\00\00") (data (i32.const 262) "http")"#;
    let text = inspect_as_text(Guest { define: built_in, ..PASSES }.write("inspected-http").to_str().unwrap());
    assert!(text.starts_with("http ") && text.contains("\n  other-http:\n"), "{text}");
}

#[test]
fn a_file_that_is_no_probe_is_refused_with_exit_code_2() {
    let assert_refused = |component: &str, expected: &str| {
        let ended = run_command(sentrynet().env("SENTRYNET_LOG", "warn").args(["inspect", component]), "");
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
        assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(expected), "{}", ended.stderr);
    };
    assert_refused("htp", "cannot read htp: No such file or directory (os error 2); name a `.wasm` file, or `http`");
    assert_refused("/", "it is not a file");
    let file = write_wasm("inspected-text", b"hello");
    assert_refused(file.to_str().unwrap(), "is not WebAssembly");
    let loops = Guest { describe: "(loop br 0) i32.const 64", ..PASSES }.write("inspected-loop");
    assert_refused(
        loops.to_str().unwrap(),
        "the probe's `describe` failed: the probe was not done within its deadline",
    );
}
