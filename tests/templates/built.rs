//! Projects built and run with the tools of their language, by the commands of their README. `tests/build-probes`
//! fetches what these tests need, and runs them.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::create_project;
use crate::support::nginx::Nginx;
use crate::support::project::{run_shell, shell_commands};
use crate::support::{CommandOutput, assert_passed, expect_failure, spans};

#[test]
#[ignore = "tests/build-probes runs it"]
fn rust_template_works() {
    assert_template_works("rust");
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn c_template_works() {
    assert_template_works("c");
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn js_template_works() {
    assert_template_works("js");
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn js_exceptions_are_reported_with_file_and_line() {
    let project = create_project("mistaken", "js");
    let source = fs::read_to_string(project.join("probe.js")).expect("a project has its source");
    let build = |line: &str| {
        assert!(source.contains(line), "{line}");
        let mistaken = source.replace(line, &format!("{line}\n      undefined.queue;"));
        fs::write(project.join("probe.js"), mistaken).expect("the project is writable");
        let settings = "url: http://127.0.0.1:1/\nallow: {hosts: [127.0.0.1]}\n";
        let name = project.file_name().expect("a project has a name").display().to_string();
        let built = run_shell(&project, "npm install --silent && npm run --silent build");
        assert_eq!(built.code, 0, "{}{}", built.stdout, built.stderr);
        test_with_settings(&project, &format!("sentrynet test {name}.wasm --settings settings.yaml"), settings)
    };
    let why = "TypeError: cannot read property 'queue' of undefined at ";
    let checked = build("const { url } = JSON.parse(settings);");
    assert_eq!(checked.code, 2);
    let has_error_and_line = |text: &str| text.contains(why) && text.contains("(/probe.js:");
    assert!(has_error_and_line(&checked.stderr), "{}", checked.stderr);
    // The error is reported without permission to write to the log.
    let ran = build("const { url, max_queue = 100 } = JSON.parse(settings);");
    let runs: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {}", ran.stderr));
    assert_eq!((&runs[0]["outcome"], &runs[0]["failure"]["reason"]), (&"broken".into(), &"gave-up".into()));
    assert!(runs[0]["failure"]["message"].as_str().is_some_and(has_error_and_line), "{:#}", runs[0]);
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn python_template_works() {
    assert_template_works("python");
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn python_sockets_codecs_and_times_work() {
    let (_nginx, port) = Nginx::start_plain("template-python-library", SERVICE);
    let project = create_project("library", "python");
    let source = fs::read_to_string(project.join("app.py")).expect("a project has its source");
    let (from, to) = ("import json\n", "import datetime\nimport json\nimport socket\nimport urllib.request\n");
    let body = "        settings = json.loads(settings)\n        response = get(";
    assert!(source.contains(from) && source.contains(body), "{source}");
    let calls = "        socket.create_connection((\"localhost\", PORT), 2)
        urllib.request.urlopen(json.loads(settings)[\"url\"]).read()
        datetime.datetime.strptime(\"2026-11-30\", \"%Y-%m-%d\")
        b\"\\x80\".decode(\"cp1252\") + \"b\\u00fccher.example\".encode(\"idna\").decode()
";
    let calls = calls.replace("PORT", &port.to_string());
    let source = source.replacen(from, to, 1).replacen(body, &format!("{calls}{body}"), 1);
    fs::write(project.join("app.py"), source).expect("the project is writable");
    let readme = fs::read_to_string(project.join("README.md")).expect("a project has a README");
    let mut commands: Vec<_> = shell_commands(&readme).collect();
    let test = commands.pop().expect("the last command tests the project");
    for command in commands {
        let ended = run_shell(&project, &command.replace(" --stub-wasi", ""));
        assert_eq!(ended.code, 0, "`{command}`:\n{}{}", ended.stdout, ended.stderr);
    }
    let hosts = format!("[\"localhost:{port}\", \"127.0.0.1:{port}\"]");
    let settings = format!("url: http://127.0.0.1:{port}/health.json\nallow: {{hosts: {hosts}, log: true}}\n");
    let ended = test_with_settings(&project, test, &settings);
    let runs: Vec<Value> =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stderr));
    assert_passed(&runs[0]);
}

/// Asserts what `sentrynet inspect` says about the language of each project's component.
#[test]
#[ignore = "tests/build-probes runs it"]
fn js_and_python_are_inspected_by_their_language() {
    for (language, build, name) in [
        ("js", "npm install --silent && npm run --silent build", "JavaScript"),
        ("python", "componentize-py -d wit -w probe componentize --stub-wasi app -o shop-queue.wasm", "Python"),
    ] {
        let project = create_project("inspected", language);
        let built = run_shell(&project, build);
        assert_eq!(built.code, 0, "{}{}", built.stdout, built.stderr);
        let inspected = run_shell(&project, "sentrynet inspect shop-queue.wasm");
        assert!(inspected.stdout.contains(&format!("\n  language   {name}")), "{}", inspected.stdout);
    }
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn zig_template_works() {
    assert_template_works("zig");
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn c_traps_have_function_and_line() {
    // The project is built with debug information.
    let (traps, line) = create_trapping_project(
        "c",
        "probe.c",
        "prober_run(string *settings, trouble *err) {",
        "if (settings->len > 2) __builtin_trap();",
    );
    let makefile = traps.join("Makefile");
    let text = fs::read_to_string(&makefile).expect("a project in C has a Makefile");
    assert!(text.contains("-Os") && text.contains(" -Wl,--strip-debug"));
    fs::write(&makefile, text.replace("-Os", "-g -Os").replace(" -Wl,--strip-debug", ""))
        .expect("the project is writable");
    let failure = run_until_trap(&traps);
    let innermost = failure["backtrace"][0].as_str().expect("a fault has a backtrace");
    assert!(innermost.starts_with("exports_sentrynet_probe_prober_run ("), "{failure:#}");
    assert!(innermost.ends_with(&format!("probe.c:{line})")), "{failure:#}, line {line}");
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn rust_panics_have_message_and_line() {
    let panic = r#"panic!("the kettle is missing");"#;
    let (panics, line) =
        create_trapping_project("rust", "src/lib.rs", "fn run(settings: Settings) -> Result<(), Trouble> {", panic);
    let failure = run_until_trap(&panics);
    let message = failure["message"].as_str().expect("a fault has a message");
    assert!(message.contains("the kettle is missing") && message.contains(&format!("src/lib.rs:{line}")), "{message}");
    // Release builds have the names of functions, but no line numbers.
    let frames = failure["backtrace"].as_array().expect("a fault has a backtrace");
    assert!(frames.iter().any(|frame| frame.as_str().is_some_and(|frame| frame.contains("panic"))), "{failure:#}");
}

#[test]
#[ignore = "tests/build-probes runs it"]
fn rust_panics_for_lack_of_a_clock_name_a_target_with_one() {
    let below = "fn run(settings: Settings) -> Result<(), Trouble> {";
    let (panics, _) =
        create_trapping_project_in("clock", "rust", "src/lib.rs", below, "let _ = std::time::Instant::now();");
    let failure = run_until_trap(&panics);
    let message = failure["message"].as_str().expect("a fault has a message");
    assert!(message.contains("time not implemented") && message.contains("wasm32-wasip2"), "{message}");
}

/// Creates a project with a mistake inserted below a line of its source. Returns it with the number of the inserted
/// line.
#[track_caller]
fn create_trapping_project(language: &str, source: &str, below: &str, mistake: &str) -> (PathBuf, usize) {
    create_trapping_project_in("traps", language, source, below, mistake)
}

/// Does the same for a test of this name.
#[track_caller]
fn create_trapping_project_in(
    name: &str,
    language: &str,
    source: &str,
    below: &str,
    mistake: &str,
) -> (PathBuf, usize) {
    let project = create_project(name, language);
    let text = fs::read_to_string(project.join(source)).expect("a project has its source");
    let line = text.lines().position(|line| line.contains(below)).expect("the source has this line") + 2;
    let mistaken = text.replacen(below, &format!("{below}\n{mistake}"), 1);
    fs::write(project.join(source), mistaken).expect("the project is writable");
    (project, line)
}

/// Builds a project, and asserts that its probe traps. Returns the failure.
#[track_caller]
fn run_until_trap(project: &Path) -> Value {
    let readme = fs::read_to_string(project.join("README.md")).expect("a project has a README");
    let mut all: Vec<_> = shell_commands(&readme).collect();
    let test = all.pop().expect("the last command tests the project");
    // The project's own tests fail because of the mistake.
    for command in all.into_iter().filter(|command| *command != "cargo test") {
        let ended = run_shell(project, command);
        assert_eq!(ended.code, 0, "`{command}`:\n{}{}", ended.stdout, ended.stderr);
    }
    let ended = test_with_settings(project, test, "url: http://127.0.0.1:1/\nallow: {hosts: [127.0.0.1], log: true}\n");
    let runs: Vec<Value> =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stderr));
    assert_eq!(runs[0]["failure"]["reason"], "trap", "{:#}", runs[0]);
    runs[0]["failure"].clone()
}

const SERVICE: &str = r#"
    location = /health.json { return 200 '{"status": "ok", "queue": 3}'; }
    location = /sick.json { return 200 '{"status": "degraded", "queue": 30}'; }
    location = /silent.json { return 200 '{}'; }
    location = /list.json { return 200 '["ok"]'; }
    location = /text.json { return 200 'ok'; }
    location / { return 404; }
"#;

/// Asserts that a project in this language builds, and passes or fails as it should with several services.
#[track_caller]
fn assert_template_works(language: &str) {
    let (_nginx, port) = Nginx::start_plain(&format!("template-{language}"), SERVICE);
    let project = create_project("built", language);
    let settings = project.join("settings.yaml");
    let text = fs::read_to_string(&settings).expect("a project has settings");
    assert!(text.contains("127.0.0.1:8000"), "{text}");
    let text = text.replace("127.0.0.1:8000", &format!("127.0.0.1:{port}"));
    fs::write(&settings, &text).expect("the project is writable");

    let (command, shown) = run_readme_commands(&project);
    assert!(shown.contains("✓ passed") && shown.contains("json.parse"), "{shown}");
    let [record, replay] = record_and_replay_commands(&command).map(|command| run_shell(&project, &command));
    assert_eq!((record.code, replay.code), (0, 0), "{}{}", record.stderr, replay.stderr);
    assert!(record.stdout == replay.stdout, "{}{}", record.stdout, replay.stdout);

    let run = |from: &str, to: &str| {
        assert!(text.contains(from), "{from} in {text}");
        let ended = test_with_settings(&project, &command, &text.replace(from, to));
        let runs: Vec<Value> =
            serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stderr));
        assert_eq!(runs.len(), 1);
        runs.into_iter().next().expect("there is one run")
    };
    let healthy = run("Shop", "Well");
    assert_passed(&healthy);
    for op in ["http.client", "http.client.wait", "json.parse", "health.check"] {
        assert_eq!(spans(&healthy, op).len(), 1, "{op} in {healthy:#}");
    }
    assert_eq!(healthy["spans"][0]["data"]["queue"].as_f64(), Some(3.0), "{healthy:#}");

    let unhealthy = run("health.json", "sick.json");
    assert_eq!(expect_failure(&unhealthy, "health"), "the service is not well");
    assert_eq!(
        mismatches(&unhealthy),
        [["$.status", r#""ok""#, r#""degraded""#], ["$.queue", "at most 20", "30"]],
        "{unhealthy:#}"
    );
    assert_eq!(spans(&unhealthy, "health.check")[0]["status"], "internal_error");
    assert_eq!(spans(&unhealthy, "json.parse")[0]["status"], "ok");
    let log = unhealthy["log"].as_array().expect("a run that fails has its log");
    assert!(
        log.iter().any(|line| line["message"].as_str().is_some_and(|message| message.contains("queue 30"))),
        "{log:?}"
    );
    let crowded = run("max_queue: 20", "max_queue: 2");
    assert_eq!(
        (expect_failure(&crowded, "health").as_str(), mismatches(&crowded).len()),
        ("the service is not well", 1),
        "{crowded:#}"
    );

    let silent = run("health.json", "silent.json");
    expect_failure(&silent, "health");
    assert_eq!(mismatches(&silent).len(), 2, "{silent:#}");
    assert_eq!(run("health.json", "list.json")["outcome"], "failed", "a response that is no map fails the run");
    expect_failure(&run("health.json", "text.json"), "json");
    let absent = run("health.json", "absent.json");
    assert_eq!(expect_failure(&absent, "status"), "expected status 200, got 404");
    assert_eq!(mismatches(&absent), [["status", "200", "404"]]);
    expect_failure(&run(&format!("127.0.0.1:{port}"), "127.0.0.1:1"), "connect");
    expect_failure(&run(&format!("127.0.0.1:{port}"), "nowhere.invalid"), "dns");

    let refused = run(&format!("hosts: [\"127.0.0.1:{port}\"], "), "");
    assert_eq!(refused["outcome"], "broken", "{refused:#}");
    let why = refused["failure"]["message"].as_str().expect("a fault has a message");
    assert!(why.contains(&format!("add `127.0.0.1:{port}` to `allow.hosts`")), "{why}");

    let mistaken = test_with_settings(&project, &command, &text.replace("http://", "ftp://"));
    assert_eq!(mistaken.code, 2);
    assert!(mistaken.stderr.contains("the URL's scheme is `ftp`: expected http or https"), "{}", mistaken.stderr);
}

/// Returns the commands that record and replay a run, for a project's command that tests its probe.
pub fn record_and_replay_commands(test: &str) -> [String; 2] {
    let recording = "run.jsonl";
    [format!("{test} --record {recording}"), test.replace("--settings settings.yaml", &format!("--replay {recording}"))]
}

/// Runs the commands of a project's README in order. Returns the last command and its output.
#[track_caller]
fn run_readme_commands(project: &Path) -> (String, String) {
    let readme = fs::read_to_string(project.join("README.md")).expect("a project has a README");
    let mut last = Default::default();
    for command in shell_commands(&readme) {
        let ended = run_shell(project, command);
        assert_eq!(ended.code, 0, "`{command}` in {}:\n{}{}", project.display(), ended.stdout, ended.stderr);
        last = (command.to_owned(), ended.stdout);
    }
    last
}

/// Runs a project's test command with these settings, and JSON output.
fn test_with_settings(project: &Path, test: &str, settings: &str) -> CommandOutput {
    fs::write(project.join("other.yaml"), settings).expect("the project is writable");
    run_shell(project, &(test.replace("settings.yaml", "other.yaml") + " --format json"))
}

/// Returns subject, expected and actual value of each mismatch.
fn mismatches(run: &Value) -> Vec<[&str; 3]> {
    let mismatches = run["failure"]["mismatches"].as_array().expect("a failure has mismatches");
    let mismatches = mismatches.iter().map(|mismatch| {
        ["subject", "expected", "actual"].map(|key| mismatch[key].as_str().expect("a mismatch has this text"))
    });
    mismatches.collect()
}
