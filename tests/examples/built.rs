//! The probes in `examples/probes`, built with the tools of their languages by the commands of their READMEs, and run
//! against the real servers. `tests/build-probes` fetches what these tests need, and runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

use crate::support::project::{run_shell, shell_commands};
use crate::support::{empty_folder, run_command, sentrynet};

mod dns;
mod peers;
mod postgres;
mod recorded;
mod redis;
mod servers;

/// The password of the servers, as `PASSWORD` in the environment. It has characters that need escaping.
const PASSWORD: &str = "open \"sesame\" \\ 7 é€🔑";

/// A built example.
struct Built {
    name: &'static str,
    folder: PathBuf,
}

impl Built {
    /// Copies an example and builds the copy by the commands of its README.
    #[track_caller]
    fn new(name: &'static str) -> Self {
        let copy = empty_folder(&format!("examples-built-{name}"));
        let source = Path::new(super::FOLDER).join("probes");
        // The contract is a symbolic link in the source folder.
        run_command(Command::new("cp").arg("-rL").arg(source.join("wit")).arg(&copy), "");
        run_command(Command::new("cp").arg("-r").arg(source.join(name)).arg(&copy), "");
        let folder = copy.join(name);
        // The source folder may have the output of a build.
        let _ = fs::remove_file(folder.join(name).with_extension("wasm"));
        if folder.join("Makefile").exists() {
            generate_c_bindings(&copy.join("wit"), &folder.join("bindings"));
        }
        let readme = fs::read_to_string(folder.join("README.md")).expect("an example has a README");
        let build_commands = shell_commands(&readme).filter(|command| {
            // This command is skipped, because it takes minutes. `generate_c_bindings` does the same.
            let installs_bindgen = command.starts_with("cargo install wit-bindgen-cli");
            !installs_bindgen && !command.contains("sentrynet once")
        });
        for command in build_commands {
            let ended = run_shell(&folder, command);
            assert_eq!(ended.code, 0, "`{command}` of {name}:\n{}{}", ended.stdout, ended.stderr);
        }
        Self { name, folder }
    }

    /// Runs the probe once with each of these settings, which come after those in `all`.
    #[track_caller]
    fn run_with_settings<const N: usize>(&self, all: &str, each: [&str; N]) -> [Value; N] {
        let mut probes = String::new();
        for (number, settings) in each.iter().enumerate() {
            probes += &format!("      - {{probe: {}, title: t{number}, {settings}}}\n", self.name);
        }
        let configuration = format!(
            "modules:\n  {}:\n    component: '{}'\n    allow: {{hosts: [localhost, 127.0.0.1, nowhere.invalid]}}\n    \
             settings: {{{all}}}\ngroups:\n  - probes:\n{probes}",
            self.name,
            self.component().display()
        );
        self.run_config(&configuration).try_into().expect("each probe runs once")
    }

    /// Runs the example's own configuration, with addresses replaced by local ones.
    #[track_caller]
    fn run_example(&self, replace: &[(&str, &str)]) -> Vec<Value> {
        let mut text = fs::read_to_string(self.folder.join("probes.yaml")).expect("an example has a configuration");
        let component = self.component().display().to_string();
        let own = format!("./{}.wasm", self.name);
        for (from, to) in replace.iter().chain(&[(own.as_str(), component.as_str())]) {
            assert!(text.contains(from), "{from} is not in probes.yaml of {}", self.name);
            text = text.replace(from, to);
        }
        self.run_config(&text)
    }

    fn run_config(&self, configuration: &str) -> Vec<Value> {
        let mut program = sentrynet();
        program.env("PASSWORD", PASSWORD).env("REDIS_PASSWORD", PASSWORD).env("SHOP_DB_PASSWORD", PASSWORD);
        let ended = run_command(program.args(["once", "-", "--format", "json"]), configuration);
        assert!(!ended.stdout.contains("sesame") && !ended.stderr.contains("sesame"), "the output has a password");
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}: {}", self.name, ended.stderr))
    }

    fn component(&self) -> PathBuf {
        self.folder.join(self.name).with_extension("wasm")
    }
}

/// Generates the C bindings of the contract, as `wit-bindgen c` does.
fn generate_c_bindings(contract: &Path, into: &Path) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(contract).expect("the contract can be read");
    let world = resolve.select_world(&[package], Some("probe")).expect("the contract has a world");
    let mut generated = Files::default();
    wit_bindgen_c::Opts::default()
        .build()
        .generate(&mut resolve, world, &mut generated)
        .expect("the contract has C bindings");
    fs::create_dir_all(into).expect("the folder is writable");
    for (name, bytes) in generated.iter() {
        fs::write(into.join(name), bytes).expect("the folder is writable");
    }
}

/// Asserts that a run has failed within 10 s. Returns its reason and message.
#[track_caller]
fn failure_reason(run: &Value) -> (&str, &str) {
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert!(run["duration_ms"].as_f64().is_some_and(|lasted| lasted < 10_000.0), "{run:#}");
    let text = |key: &str| run["failure"][key].as_str().expect("a failure has a reason and a message");
    (text("reason"), text("message"))
}

/// Returns the ops of the spans that the probe itself has created, in order. The spans of the host are covered by the
/// host's tests.
fn probe_ops(run: &Value) -> Vec<&str> {
    let spans = run["spans"].as_array().expect("a run has spans");
    let ops = spans.iter().skip(1).filter_map(|span| span["op"].as_str());
    ops.filter(|op| !["dns", "tcp", "tcp.connect"].contains(op)).collect()
}

/// Returns the mismatches of a run, each as `SUBJECT: EXPECTED, not ACTUAL`.
#[track_caller]
fn mismatches(run: &Value) -> Vec<String> {
    let all = run["failure"]["mismatches"].as_array().expect("a failure has mismatches");
    let text = |mismatch: &Value, key: &str| mismatch[key].as_str().expect("a mismatch consists of texts").to_owned();
    let line = |it| format!("{}: {}, not {}", text(it, "subject"), text(it, "expected"), text(it, "actual"));
    all.iter().map(line).collect()
}

/// Asserts that a run broke because this host is not allowed.
#[track_caller]
fn assert_refused(run: &Value, what: &str) {
    assert_eq!(run["outcome"], "broken", "{run:#}");
    let message = run["failure"]["message"].as_str().expect("a fault has a message");
    assert_eq!(message, format!("{what} is not allowed: the run's log says what to add"));
    let log = run["log"].to_string();
    assert!(log.contains(&format!("add `{what}` to `allow.hosts`")), "{log}");
}
