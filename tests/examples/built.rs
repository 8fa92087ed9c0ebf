//! The probes in `examples/probes`, built with their languages' own tools by the commands of their READMEs, and run
//! against the real servers. `tests/build-probes` fetches what these need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use wit_bindgen_core::Files;
use wit_bindgen_core::wit_parser::Resolve;

use crate::support::project::{commands, shell};
use crate::support::{finish, folder, sentrynet};

mod dns;
mod peers;
mod postgres;
mod recorded;
mod redis;
mod servers;

/// What the servers let one in with, as `PASSWORD` of the environment: not only what a shell would take.
const PASSWORD: &str = "open \"sesame\" \\ 7 é€🔑";

/// An example that has been built.
struct Built {
    name: &'static str,
    folder: PathBuf,
}

impl Built {
    /// Builds one by the commands of its README, in a copy of its folder.
    #[track_caller]
    fn new(name: &'static str) -> Self {
        let copy = folder(&format!("examples-built-{name}"));
        let source = Path::new(super::FOLDER).join("probes");
        // The contract is a link there.
        finish(Command::new("cp").arg("-rL").arg(source.join("wit")).arg(&copy), "");
        finish(Command::new("cp").arg("-r").arg(source.join(name)).arg(&copy), "");
        let folder = copy.join(name);
        // Somebody may have built it there.
        let _ = fs::remove_file(folder.join(name).with_extension("wasm"));
        if folder.join("Makefile").exists() {
            bind(&copy.join("wit"), &folder.join("bindings"));
        }
        let readme = fs::read_to_string(folder.join("README.md")).expect("an example has a README");
        let done = commands(&readme).filter(|command| {
            // Takes minutes, and `bind` does the same.
            let installs_bindgen = command.starts_with("cargo install wit-bindgen-cli");
            !installs_bindgen && !command.contains("sentrynet once")
        });
        for command in done {
            let ended = shell(&folder, command);
            assert_eq!(ended.code, 0, "`{command}` of {name}:\n{}{}", ended.stdout, ended.stderr);
        }
        Self { name, folder }
    }

    /// The run of its probe with each of these settings, after those that all have.
    #[track_caller]
    fn runs<const N: usize>(&self, all: &str, each: [&str; N]) -> [Value; N] {
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
        self.once(&configuration).try_into().expect("each probe runs once")
    }

    /// Its own configuration, rewritten to what there is here; its runs.
    #[track_caller]
    fn example(&self, replace: &[(&str, &str)]) -> Vec<Value> {
        let mut text = fs::read_to_string(self.folder.join("probes.yaml")).expect("an example has a configuration");
        let component = self.component().display().to_string();
        let own = format!("./{}.wasm", self.name);
        for (from, to) in replace.iter().chain(&[(own.as_str(), component.as_str())]) {
            assert!(text.contains(from), "{from} is not in probes.yaml of {}", self.name);
            text = text.replace(from, to);
        }
        self.once(&text)
    }

    fn once(&self, configuration: &str) -> Vec<Value> {
        let mut program = sentrynet();
        program.env("PASSWORD", PASSWORD).env("REDIS_PASSWORD", PASSWORD).env("SHOP_DB_PASSWORD", PASSWORD);
        let ended = finish(program.args(["once", "-", "--format", "json"]), configuration);
        assert!(!ended.stdout.contains("sesame") && !ended.stderr.contains("sesame"), "a password is to be seen");
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}: {}", self.name, ended.stderr))
    }

    fn component(&self) -> PathBuf {
        self.folder.join(self.name).with_extension("wasm")
    }
}

/// What `wit-bindgen c` makes of the contract.
fn bind(contract: &Path, into: &Path) {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(contract).expect("the contract can be read");
    let world = resolve.select_world(&[package], Some("probe")).expect("the contract has a world");
    let mut made = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut resolve, world, &mut made).expect("C can say it all");
    fs::create_dir_all(into).expect("the folder is writable");
    for (name, bytes) in made.iter() {
        fs::write(into.join(name), bytes).expect("the folder is writable");
    }
}

/// The reason and the message of a run that failed, and that it came to that in time.
#[track_caller]
fn reason(run: &Value) -> (&str, &str) {
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert!(run["duration_ms"].as_f64().is_some_and(|lasted| lasted < 10_000.0), "{run:#}");
    let text = |key: &str| run["failure"][key].as_str().expect("a failure says why");
    (text("reason"), text("message"))
}

/// The ops of a run's own spans, in order: those of the host are left out, as it is the host's tests that look at them.
fn steps(run: &Value) -> Vec<&str> {
    let spans = run["spans"].as_array().expect("a run has spans");
    let ops = spans.iter().skip(1).filter_map(|span| span["op"].as_str());
    ops.filter(|op| !["dns", "tcp", "tcp.connect"].contains(op)).collect()
}

/// What did not hold: `SUBJECT: EXPECTED, not ACTUAL`.
#[track_caller]
fn mismatches(run: &Value) -> Vec<String> {
    let all = run["failure"]["mismatches"].as_array().expect("a failure has mismatches");
    let text = |mismatch: &Value, key: &str| mismatch[key].as_str().expect("it is text").to_owned();
    let line = |it| format!("{}: {}, not {}", text(it, "subject"), text(it, "expected"), text(it, "actual"));
    all.iter().map(line).collect()
}

/// A run that is refused what it may not do.
#[track_caller]
fn refused(run: &Value, what: &str) {
    assert_eq!(run["outcome"], "broken", "{run:#}");
    let message = run["failure"]["message"].as_str().expect("a fault has a message");
    assert_eq!(message, format!("{what} is not allowed: the run's log says what to add"));
    let log = run["log"].to_string();
    assert!(log.contains(&format!("add `{what}` to `allow.hosts`")), "{log}");
}
