//! Text of components, targets, configurations and arguments does not control the terminal or the log, whatever prints
//! it.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use regex::Regex;
use serde_json::Value;

use crate::guests::{Guest, LOG, PASSES, write_wasm};
use crate::support::certificates::Certificates;
use crate::support::running::RunningProgram;
use crate::support::tcp_server::{listen, read_head};
use crate::support::{CommandOutput, empty_folder, eventually, run_command, sentrynet};

mod bounds;
mod hostile_guest;
mod output;

use hostile_guest::{Ending, FAILS, wat_text};

/// A text with everything that controls a terminal, is invisible, or forges a line of a log. It begins with a letter
/// and the escape sequence of a style, so that these are left wherever the text is truncated. Only the program may
/// print styles.
const HOSTILE: &str = "E\x1b[31m\nFORGED 2026-11-29 ERROR forged\r\x1b[2J\x1b]0;t\x07\x08\x7f\u{85}\u{9b}31m\u{202e}\u{2066}\
                       \u{2069}\u{200e}\u{200f}\u{61c}\u{2028}\u{2029}\u{200b}\u{feff}\u{ad}\u{e0041}\u{180e}\u{3164}x\u{200d}é";

/// A name that files and URLs can have.
const HOSTILE_NAME: &str = "E\x1b[31m\nFORGED\r\u{9b}31m\u{202e}\u{2028}\u{200b}\u{e0041}";

/// Asserts that an output has no character that is not printable but line breaks and, if it is coloured, styles; and
/// that no line begins with text from elsewhere.
#[track_caller]
fn assert_printable(output: &str, is_coloured: bool) {
    let styles = Regex::new(r"\x1b\[[0-9;]*m").expect("it is a pattern");
    let plain = if is_coloured { styles.replace_all(output, "") } else { output.into() };
    let hostile = |c: char| c.is_control() && c != '\n' || !c.is_ascii() && HOSTILE.contains(c) && c != 'é';
    let found: Vec<_> = plain.lines().filter(|line| line.contains(hostile)).collect();
    assert!(found.is_empty(), "{found:#?}");
    assert!(!plain.lines().any(|line| line.starts_with("FORGED")), "{plain}");
    // The styles that were removed above may have been those of the hostile text.
    assert!(!output.contains("E\x1b[31m"), "{output:?}");
}

/// Runs a command three times, with text, JSON and colours. Returns what it printed as text.
#[track_caller]
fn run_in_all_forms(configure: &dyn Fn(&mut Command), stdin: &str) -> CommandOutput {
    let run = |environment: &[(&str, &str)]| {
        let mut command = sentrynet();
        command.envs(environment.iter().copied()).env("COLUMNS", "60");
        configure(&mut command);
        let ended = run_command(&mut command, stdin);
        let is_coloured = environment.iter().any(|(name, _)| *name == "CLICOLOR_FORCE");
        assert_printable(&ended.stdout, is_coloured);
        assert_printable(&ended.stderr, is_coloured);
        ended
    };
    run(&[("CLICOLOR_FORCE", "1")]);
    let json = run(&[("SENTRYNET_LOG_FORMAT", "json"), ("SENTRYNET_LOG", "debug")]);
    for line in json.stderr.lines().filter(|line| line.starts_with('{')) {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
    run(&[])
}

#[track_caller]
fn run_all_commands(arguments: &[&str], stdin: &str) -> CommandOutput {
    run_in_all_forms(&|command| _ = command.args(arguments), stdin)
}

/// Returns a text as a scalar of YAML, with escapes.
fn yaml(text: &str) -> String {
    let escape = |c: char| match c {
        ' '..='~' if !"\"\\".contains(c) => c.to_string(),
        _ => format!("\\U{:08x}", u32::from(c)),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// Returns the part of the hostile text that the host accepts in titles and tags: without control characters.
fn without_controls() -> String {
    HOSTILE.chars().filter(|c| !c.is_control()).collect()
}

/// Returns a valid configuration of one probe with hostile texts wherever it may have texts, and these keys.
fn hostile_config(component: &str, keys: &str) -> String {
    config_with(&yaml(&without_controls()), component, keys)
}

/// Returns a configuration of one probe with this scalar wherever it may have texts.
fn config_with(text: &str, component: &str, keys: &str) -> String {
    format!(
        "sentry: {{release: {text}, tags: {{t: {text}}}}}\ngroups:\n  - tags: {{g: {text}}}\n    \
         probes:\n      - {{probe: {}, title: {text}, tags: {{p: {text}}}, {keys}}}\n",
        yaml(component)
    )
}

#[test]
fn texts_of_components_are_escaped() {
    let endings = [
        ("terminal-failed", FAILS),
        ("terminal-broken", Ending { trouble: Some(1), ..FAILS }),
        ("terminal-trapped", Ending { trouble: None, ..FAILS }),
        ("terminal-problems", Ending { check_fails: true, ..FAILS }),
    ];
    for (name, ending) in endings {
        let file = hostile_guest::write(name, ending);
        let file = file.to_str().expect("the path is text");
        for format in ["text", "json"] {
            run_all_commands(&["inspect", file, "--format", format], "");
            run_all_commands(&["test", file, "--format", format], "");
            for keys in ["allow: {log: true}", "allow: {log: false}", "key: 5, unknown: 1"] {
                let config = hostile_config(file, keys);
                let ended = run_all_commands(&["once", "-", "--trace", "--format", format], &config);
                let is_valid = !ending.check_fails && !keys.contains("unknown");
                assert_eq!(ended.code == 2, !is_valid, "{}", ended.stderr);
            }
            // The title is the one that the component chooses.
            run_all_commands(
                &["once", "-", "--format", format],
                &format!("groups: [{{probes: [{{probe: '{file}'}}]}}]"),
            );
        }
        run_all_commands(&["check", "-"], &hostile_config(file, "key: 5"));
        run_all_commands(&["schema", "-"], &hostile_config(file, "key: 5"));
    }
}

#[test]
fn json_has_the_texts_as_they_are() {
    let file = hostile_guest::write("terminal-json", FAILS);
    let ended = run_all_commands(&["test", file.to_str().expect("the path is text"), "--format", "json"], "");
    let runs: Value = serde_json::from_str(&ended.stdout).expect("it is JSON");
    assert_eq!((&runs[0]["failure"]["message"], &runs[0]["failure"]["actual"]), (&HOSTILE.into(), &HOSTILE.into()));
    let spans = runs[0]["spans"].as_array().expect("a list");
    let span = spans.iter().find(|span| span["description"] == HOSTILE).expect("the guest has a span");
    let (key, value) = span["data"].as_object().expect("a map").iter().next().expect("the span has data");
    // Keys are shorter.
    assert!(HOSTILE.starts_with(key) && key.len() > 50 && value == HOSTILE, "{span:#}");
}

#[test]
fn texts_of_components_that_cannot_be_loaded_are_escaped() {
    let text: &str = wat_text(HOSTILE).leak();
    let imports = format!("(import \"{text}\" \"{text}\" (func))").leak();
    let files = [
        Guest { imports, ..PASSES }.write_module("terminal-import"),
        Guest {
            describe: "call $traps i32.const 0",
            define: format!("(func $traps (@name \"{text}\") unreachable)").leak(),
            ..PASSES
        }
        .write("terminal-describe"),
        Guest { describe: "i32.const 65536", define: schema_of_describe().leak(), ..PASSES }.write("terminal-schema"),
        write_wasm("terminal-text", HOSTILE.as_bytes()),
    ];
    for file in files {
        let file = file.to_str().expect("the path is text");
        let config = hostile_config(file, "allow: {log: true}");
        for (arguments, config) in
            [(["inspect", file], ""), (["test", file], ""), (["check", "-"], &config), (["schema", "-"], &config)]
        {
            let ended = run_all_commands(&arguments, config);
            assert!(!ended.stderr.is_empty(), "{file} is refused");
        }
    }
}

/// Returns a description at 65536 whose schema is invalid in a keyword of a hostile name.
fn schema_of_describe() -> String {
    let schema = serde_json::json!({ "properties": { HOSTILE: { "type": HOSTILE, "$ref": HOSTILE } } }).to_string();
    let pairs: String = [(256_u32, 5_u32), (261, 5), (266, 21), (65600, schema.len() as u32)]
        .iter()
        .flat_map(|(address, length)| [address.to_le_bytes(), length.to_le_bytes()].concat())
        .map(|byte| format!("\\{byte:02x}"))
        .collect();
    format!("(data (i32.const 65536) \"{pairs}\") (data (i32.const 65600) \"{}\")", wat_text(&schema))
}

#[test]
fn texts_of_targets_are_escaped() {
    let respond = |response: String| {
        listen(move |mut connection| {
            read_head(&connection);
            _ = connection.write_all(response.as_bytes());
        })
    };
    let line = HOSTILE.replace(['\n', '\r'], " ");
    // A header can contain bytes beyond ASCII, and of the control characters only the tab.
    let header: String = line.chars().filter(|c| !c.is_ascii_control()).collect();
    let body = format!("{{\"a\": {}, \"b\": \"{HOSTILE}\"}}", serde_json::json!(HOSTILE));
    let response =
        |head: &str| format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let urls = [
        respond(response(&format!(
            "200 {header}\r\nx-evil: {header}\r\nset-cookie: {header}=1\r\ncontent-type: {header}"
        ))),
        respond(response(&format!("500 {header}\r\nlocation: {header}"))),
        respond(response(&format!("302 Found\r\nlocation: http://127.0.0.1:1/{header}?{header}"))),
        respond(format!("HTTP/1.1 {line}\r\n\r\n")),
        respond(format!("{HOSTILE}\r\n\r\n")),
    ];
    let mut probes: String = urls
        .iter()
        .map(|port| {
            format!(
                "      - {{probe: http, url: 'http://127.0.0.1:{port}/', checks: {{status: 200, header x-evil: x, \
                 $.a: x, body: {{contains: nothing}}}}}}\n"
            )
        })
        .collect();
    let banner = listen(|mut connection| _ = connection.write_all(format!("{HOSTILE}\r\n").as_bytes()));
    let version = listen(move |mut connection| _ = connection.write_all(format!("SSH-2.0-{line}\r\n").as_bytes()));
    for port in [banner, version] {
        probes += &format!("      - {{probe: ssh, host: 127.0.0.1, port: {port}}}\n");
    }
    let tls = start_tls_server(&header);
    probes += &format!("      - {{probe: http, url: 'https://127.0.0.1:{tls}/'}}\n");
    let config = format!("groups:\n  - probes:\n{probes}");
    for format in ["text", "json"] {
        let ended = run_all_commands(&["once", "-", "--trace", "--format", format], &config);
        assert_eq!(ended.code, 1, "{}", ended.stdout);
    }
}

/// Starts a server whose certificate has a hostile name. Returns the port.
fn start_tls_server(name: &str) -> u16 {
    let certificates = Certificates::new(&empty_folder("terminal-tls"));
    let (chain, key) = certificates.certify_with_name(name, &["127.0.0.1"], 2040);
    let mut config = tokio_rustls::rustls::ServerConfig::builder_with_provider(
        tokio_rustls::rustls::crypto::ring::default_provider().into(),
    )
    .with_safe_default_protocol_versions()
    .expect("the provider has versions")
    .with_no_client_auth()
    .with_single_cert(chain, key)
    .expect("the key is the certificate's");
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = std::sync::Arc::new(config);
    listen(move |mut connection| {
        let Ok(mut tls) = tokio_rustls::rustls::ServerConnection::new(std::sync::Arc::clone(&config)) else { return };
        _ = tls.complete_io(&mut connection);
    })
}

#[test]
fn texts_of_configurations_are_escaped() {
    let text = &yaml(HOSTILE);
    let configs = [
        hostile_config("http", "url: 'http://127.0.0.1:1/'"),
        config_with(text, "http", "url: 'http://127.0.0.1:1/'"),
        hostile_config(HOSTILE, ""),
        hostile_config("http", &format!("url: {text}, method: {text}, {text}: 1, headers: {{{text}: {text}}}")),
        hostile_config(
            "http",
            &format!(
                "url: 'http://x.test/', ca: {text}, checks: {{{text}: 1, $.a: {{{text}: 1}}}}, tags: {{{text}: 1}}"
            ),
        ),
        hostile_config("http", &format!("url: {}, every: {text}", yaml(&format!("${{env:{HOSTILE}}}")))),
        hostile_config("http", &format!("url: {}", yaml(&format!("${{file:{HOSTILE}}}")))),
        hostile_config("ssh", &format!("host: {text}, username: {text}, known_hosts: {text}")),
        format!("{text}: 1\nmodules: {{{text}: {{component: {text}, sha256: {text}}}}}\ngroups: [{{{text}: 1}}]"),
        format!(
            "limits: {{memory: {text}}}\nsentry: {{dsn: {text}, environment: {text}, sample: {{passed: {text}}}, spool: {text}}}\ngroups: []"
        ),
        // Invalid YAML, or tags and anchors.
        format!("groups:\n  - probes:\n    - {HOSTILE}"),
        format!("groups: \"{HOSTILE}"),
        format!("groups: \"{}", without_controls()),
        format!("&{0} a: *{0}\n!{0} b: 1", without_controls()),
    ];
    for config in configs {
        for arguments in [&["check", "-"][..], &["once", "-"], &["once", "-", "--only", HOSTILE], &["schema", "-"]] {
            run_all_commands(arguments, &config);
        }
    }
}

#[test]
fn arguments_are_escaped() {
    let folder = empty_folder("terminal-arguments");
    let file = |name: &str, content: &str| {
        let path = folder.join(format!("{HOSTILE_NAME}{name}"));
        std::fs::write(&path, content).expect("the folder is writable");
        path.to_str().expect("the path is text").to_owned()
    };
    let good = file("good.yaml", "groups: [{probes: [{probe: http, url: 'http://127.0.0.1:1/', title: t}]}]");
    let bad = file("bad.yaml", "groups: 5");
    let component = file("text.wasm", HOSTILE);
    let recording = file("recording", HOSTILE);
    let missing = folder.join(format!("{HOSTILE_NAME}missing"));
    let missing = missing.to_str().expect("the path is text");
    let new = folder.join(format!("{HOSTILE_NAME}new"));
    let new = new.to_str().expect("the path is text");
    let commands: &[&[&str]] = &[
        &["check", &good],
        &["check", &bad],
        &["check", missing],
        &["run", &bad],
        &["run", missing],
        &["once", &bad, "--only", HOSTILE],
        &["once", &good, "--only", HOSTILE],
        &["once", &good, "--record", folder.to_str().expect("the path is text")],
        &["schema", &bad],
        &["schema", missing],
        &["inspect", &component],
        &["inspect", missing],
        &["test", &component],
        &["test", missing],
        &["test", "http", "--settings", &bad],
        &["test", "http", "--settings", missing],
        &["test", "http", "--replay", &recording],
        &["test", "http", "--replay", missing],
        &["test", "http", "--record", &format!("{missing}/x")],
        &["new", "good", "--lang", "c", "--path", new],
        &["new", "good", "--lang", "c", "--path", &good],
        &["new", HOSTILE, "--lang", "c"],
        &["new", "good", "--lang", HOSTILE],
        &[HOSTILE],
        &["check", HOSTILE, HOSTILE],
        &["check", &format!("--{HOSTILE}")],
        &["check", "-", &format!("--log-format={HOSTILE}")],
        &["--help"],
    ];
    for arguments in commands {
        let ended = run_all_commands(arguments, "");
        assert!(!ended.stdout.is_empty() || !ended.stderr.is_empty(), "{arguments:?}");
    }
    let variables: [&dyn Fn(&mut Command); 2] =
        [&|command| _ = command.env("SENTRYNET_LOG_FORMAT", HOSTILE).args(["check", "-"]), &|command| {
            _ = command.env("SENTRYNET_LOG", HOSTILE).args(["check", "-"]);
        }];
    for configure in variables {
        run_in_all_forms(configure, "groups: []");
    }
}

#[test]
fn a_recording_does_not_control_the_terminal() {
    let guest = hostile_guest::write("terminal-recorded", FAILS);
    let guest = guest.to_str().expect("the path is text");
    let recording = empty_folder("terminal-recording").join("recording");
    let recording = recording.to_str().expect("the path is text");
    let config = hostile_config(guest, "allow: {log: true}");
    assert_eq!(run_all_commands(&["once", "-", "--record", recording], &config).code, 1);
    assert_eq!(run_all_commands(&["test", guest, "--replay", recording], "").code, 1);
    // Another component calls other functions, and the log says how they differ.
    let other =
        Guest { imports: LOG, run: "(call $write (i32.const 1) (i32.const 256) (i32.const 20)) i32.const 0", ..PASSES };
    let other = other.write("terminal-replayed");
    run_all_commands(&["test", other.to_str().expect("the path is text"), "--replay", recording], "");
    let text = std::fs::read_to_string(recording).expect("it was recorded");
    for (index, _) in text.lines().enumerate() {
        let lines = text.lines().enumerate();
        let damaged: String = lines
            .map(|(at, line)| if at == index { HOSTILE.replace('\n', "") + "\n" } else { format!("{line}\n") })
            .collect();
        std::fs::write(recording, damaged).expect("the folder is writable");
        run_all_commands(&["test", guest, "--replay", recording], "");
    }
}

#[test]
fn the_log_of_a_host_that_runs_has_one_line_for_each_event() {
    let year = Regex::new(r#"^(\{"timestamp":")?20\d\d-"#).expect("the pattern is valid");
    let file = hostile_guest::write("terminal-run", FAILS);
    let config = hostile_config(file.to_str().expect("the path is text"), "every: 0.1");
    for form in ["text", "json"] {
        let folder = empty_folder(&format!("terminal-run-{form}"));
        let (config_file, log, out) = (folder.join("probes.yaml"), folder.join("log"), folder.join("out"));
        std::fs::write(&config_file, &config).expect("the folder is writable");
        let create = |path: &Path| std::fs::File::create(path).expect("the folder is writable");
        let mut program = sentrynet();
        program.args(["run", "--format", form, "--log-format", form]).arg(&config_file);
        program.stdout(Stdio::from(create(&out))).stderr(Stdio::from(create(&log)));
        let running = RunningProgram::spawn(&mut program);
        let read = |path: &Path| std::fs::read_to_string(path).expect("it is UTF-8");
        eventually("runs", || (read(&out).matches("failed").count() > 2).then_some(()));
        eventually("a refusal", || read(&log).contains("log: true").then_some(()));
        running.send_signal("TERM");
        assert_eq!(running.wait_for_exit_code(), Some(0));
        assert_printable(&read(&out), false);
        assert_printable(&read(&log), false);
        assert!(read(&log).lines().all(|line| year.is_match(line)), "{}", read(&log));
    }
}
