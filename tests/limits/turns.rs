//! The order in which components are compiled: those that take long do not delay others, and are not tried anew at each
//! start.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::PathBuf;

use serde_json::Value;

use super::compiling::{component, function_with_locals};
use crate::guests::{Guest, PASSES, write_wasm};
use crate::support::running::RunningProgram;
use crate::support::{empty_folder, eventually, run_command, sentrynet};

const BOMBS: usize = 6;

/// Returns a component that is within all bounds, and takes several times the CPU time of the first attempt.
fn bomb(number: usize) -> Vec<u8> {
    component(&format!("(core module {})", function_with_locals(990 + number, 100).repeat(12)))
}

/// A host with a directory of compiled code of its own.
struct Host {
    folder: PathBuf,
}

impl Host {
    /// Starts the host. Returns it with the number of this start, whose output and log are kept.
    fn start(&self, number: usize) -> RunningProgram {
        let [stdout, stderr] = ["runs", "log"]
            .map(|name| File::create(self.folder.join(format!("{name}-{number}"))).expect("it is writable"));
        let mut program = sentrynet();
        program.env("XDG_CACHE_HOME", self.folder.join("cache")).env("SENTRYNET_LOG", "sentrynet=debug");
        program.arg("run").arg(self.folder.join("probes.yaml")).args(["--format", "json"]);
        RunningProgram::spawn(program.stdout(stdout).stderr(stderr))
    }

    fn runs(&self, number: usize) -> Vec<Value> {
        let text = fs::read_to_string(self.folder.join(format!("runs-{number}"))).expect("the file exists");
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Returns the attempts to compile a bomb that have waited for their turn, in their order.
    fn attempts(&self, number: usize, bomb: usize) -> Vec<String> {
        let log = fs::read_to_string(self.folder.join(format!("log-{number}"))).expect("the file exists");
        let lines = log.lines().filter(|line| line.contains(&format!("turns-bomb-{bomb}.wasm")));
        let attempts = lines.filter_map(|line| line.split("attempt=").nth(1)?.split_whitespace().next());
        attempts.map(str::to_owned).collect()
    }
}

#[test]
fn components_that_take_long_to_compile_delay_no_others() {
    let host = Host { folder: empty_folder("turns") };
    let mut probes = String::new();
    for number in 0..BOMBS {
        let path = write_wasm(&format!("turns-bomb-{number}"), &bomb(number));
        let _ = writeln!(probes, "      - {{probe: '{}', title: bomb-{number}, every: 600}}", path.display());
    }
    // The file is larger than the others, so that its first attempt follows theirs.
    let data = format!("(data (i32.const 4096) \"{}\")", "x".repeat(200_000));
    let good = Guest { define: data.leak(), ..PASSES }.write("turns-good");
    let size = |path: &str| fs::metadata(path).expect("it was written").len();
    let bomb_path = probes.split('\'').nth(1).expect("a path is quoted");
    assert!(size(&good.display().to_string()) > size(bomb_path), "{}", size(bomb_path));
    let _ = writeln!(probes, "      - {{probe: '{}', title: good, every: 600}}", good.display());
    fs::write(host.folder.join("probes.yaml"), format!("groups:\n  - probes:\n{probes}")).expect("it is writable");

    let program = host.start(1);
    let runs = eventually("a run of the good component", || {
        let runs = host.runs(1);
        runs.iter().any(|run| run["title"] == "good").then_some(runs)
    });
    // A broken run would mean that compiling a bomb has ended with an error.
    assert_eq!(runs.len(), 1, "no bomb is done: {runs:#?}");
    assert_eq!(runs[0]["outcome"], "passed", "{runs:#?}");
    eventually("the first attempt for each bomb", || {
        (0..BOMBS).all(|bomb| host.attempts(1, bomb).starts_with(&["0".to_owned(), "1".to_owned()])).then_some(())
    });
    drop(program);

    let _program = host.start(2);
    eventually("an attempt for each bomb", || (0..BOMBS).all(|bomb| !host.attempts(2, bomb).is_empty()).then_some(()));
    for bomb in 0..BOMBS {
        assert_ne!(host.attempts(2, bomb)[0], "0", "the attempt that did not suffice is not made again");
    }
}

#[test]
fn a_component_that_was_refused_is_not_compiled_again() {
    let folder = empty_folder("turns-refused");
    let whole = fs::read(PASSES.write("turns-whole")).expect("it was written");
    let torn = write_wasm("turns-torn", &whole[..whole.len() - 10]);
    let inspect = || {
        let mut program = sentrynet();
        program.env("XDG_CACHE_HOME", folder.join("cache")).env("SENTRYNET_LOG", "sentrynet=debug");
        let ended = run_command(program.arg("inspect").arg(&torn), "");
        assert!(ended.code == 2 && ended.stderr.contains("is not a valid component"), "{}", ended.stderr);
        (ended.stderr.matches("waits for its turn").count(), ended.stderr)
    };
    assert_eq!(inspect().0, 1);
    let (attempts, log) = inspect();
    assert!(attempts == 0 && log.contains("not compiled again for a day, because it failed"), "{log}");
    // The log names the file that remembers it.
    let file = log.split("file=").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("there is a file");
    fs::remove_file(file.trim_matches('"')).expect("it is there");
    assert_eq!(inspect().0, 1);
}
