//! Code that `sentrynet compile` has written, and hosts that load it.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guests::{Guest, LOG, PASSES};
use crate::support::target::Target;
use crate::support::{CommandOutput, empty_folder, find_tool, run_command, sentrynet};

/// The bytes before the JSON header of a file of code: the format's name, and the header's length.
const BYTES_BEFORE_HEADER: usize = "sentrynet compiled component 1\n".len() + 4;

/// A configuration of a built-in probe and a third-party one, and the code of their components.
struct Compiled {
    folder: PathBuf,
    config: PathBuf,
    code: PathBuf,
    _target: Target,
}

impl Compiled {
    /// Compiles the components of a new configuration.
    #[track_caller]
    fn new(name: &str) -> Self {
        let (folder, target) = (empty_folder(&format!("compiled-{name}")), Target::new());
        let third = Guest { imports: LOG, ..PASSES }.write(&format!("compiled-{name}-third"));
        let (config, code) = (folder.join("probes.yaml"), folder.join("code"));
        let text = format!(
            "groups:\n  - probes:\n      - {{probe: http, title: Good, url: 'http://127.0.0.1:{}/'}}\n      - {{probe: \
             '{}', title: third, allow: {{log: true}}}}\n",
            target.port,
            third.display()
        );
        fs::write(&config, text).expect("the folder is writable");
        let compiled = run_command(sentrynet().arg("compile").arg("--config").arg(&config).arg("-o").arg(&code), "");
        assert_eq!(compiled.code, 0, "{}", compiled.stderr);
        // The built-in probes `http`, `chain` and `ssh`, and the file.
        assert_eq!(compiled.stdout.lines().count(), 4, "{}", compiled.stdout);
        Self { folder, config, code, _target: target }
    }

    /// Returns a command that runs each probe once with the code, by a host that has compiled nothing before.
    fn once(&self, program: &Path) -> Command {
        let mut command = sentrynet();
        if program != Path::new(command.get_program()) {
            command = Command::new(program);
            command.env_clear();
        }
        let cache =
            empty_folder(&format!("{}-cache", self.folder.file_name().and_then(|it| it.to_str()).unwrap_or("")));
        command.env("XDG_CACHE_HOME", cache).env("SENTRYNET_LOG", "sentrynet=debug");
        command.arg("once").arg(&self.config).arg("--compiled").arg(&self.code);
        command
    }

    #[track_caller]
    fn run_once(&self) -> CommandOutput {
        run_command(&mut self.once(Path::new(sentrynet().get_program())), "")
    }

    /// Returns the file with the code of the third-party component, the smallest.
    fn third_file(&self) -> PathBuf {
        let files = fs::read_dir(&self.code).expect("the directory is there").flatten().map(|entry| entry.path());
        files.min_by_key(|file| fs::metadata(file).expect("the test owns it").len()).expect("there are files")
    }

    /// Replaces a text in the header of the third-party component's code by another of the same length.
    #[track_caller]
    fn edit_header(&self, from: &str, to: &str) {
        let file = self.third_file();
        let mut bytes = fs::read(&file).expect("the test owns it");
        let header = String::from_utf8_lossy(&bytes[BYTES_BEFORE_HEADER..BYTES_BEFORE_HEADER + 1000]).into_owned();
        let at = BYTES_BEFORE_HEADER + header.find(from).unwrap_or_else(|| panic!("{from} in {header}"));
        bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
        fs::write(&file, bytes).expect("the test owns it");
    }
}

#[test]
fn components_are_loaded_from_compiled_code() {
    let compiled = Compiled::new("loaded");
    let ran = compiled.run_once();
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stderr.matches("origin=Directory").count(), 2, "{}", ran.stderr);
    assert_eq!(ran.stderr.matches("origin=").count(), 2, "{}", ran.stderr);
    // The same by the environment.
    let mut program = sentrynet();
    program.env("SENTRYNET_COMPILED", &compiled.code).env("SENTRYNET_LOG", "sentrynet=debug").args(["inspect", "ssh"]);
    let inspected = run_command(&mut program, "");
    assert!(inspected.code == 0 && inspected.stderr.contains("origin=Directory"), "{}", inspected.stderr);
}

#[test]
fn code_that_cannot_be_used_is_compiled_again_with_a_warning() {
    let compiled = Compiled::new("unusable");
    for (from, to, expected) in [
        ("\"target\":\"", "\"target\":\"riscv", "it was compiled for target riscv"),
        ("\"component\":\"", "\"component\":\"00000000", "it is the code of another component"),
    ] {
        let file = compiled.third_file();
        let kept = fs::read(&file).expect("the test owns it");
        compiled.edit_header(from, to);
        let ran = compiled.run_once();
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stderr.matches("compiling again").count(), 1, "{}", ran.stderr);
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("origin=Compiler"), "{}", ran.stderr);
        fs::write(&file, kept).expect("the test owns it");
    }
    let ran = compiled.run_once();
    assert_eq!(ran.stderr.matches("origin=Directory").count(), 2, "{}", ran.stderr);

    let file = compiled.third_file();
    fs::set_permissions(&file, Permissions::from_mode(0o666)).expect("the test owns it");
    let ran = compiled.run_once();
    assert!(ran.code == 0 && ran.stderr.contains("others can write it: `chmod go-w` it"), "{}", ran.stderr);
}

#[test]
fn a_directory_that_others_could_have_written_ends_the_start() {
    let compiled = Compiled::new("shared");
    let assert_refused = |expected: &str| {
        let ran = compiled.run_once();
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("cannot use the compiled code in ") && ran.stderr.contains(expected),
            "{}",
            ran.stderr
        );
    };
    fs::set_permissions(&compiled.code, Permissions::from_mode(0o777)).expect("the test owns it");
    assert_refused("its mode is 0777, so that others can write it: `chmod go-w` it");
    let compile = || run_command(sentrynet().arg("compile").arg("-o").arg(&compiled.code), "");
    assert!(compile().code == 2 && compile().stderr.contains("its mode is 0777"), "{}", compile().stderr);
    fs::set_permissions(&compiled.code, Permissions::from_mode(0o755)).expect("the test owns it");
    let elsewhere = compiled.folder.join("elsewhere");
    fs::rename(&compiled.code, &elsewhere).expect("the test owns it");
    symlink(&elsewhere, &compiled.code).expect("the folder is writable");
    assert_refused("it is a symbolic link");
    fs::remove_file(&compiled.code).expect("the test owns it");
    assert_refused("No such file or directory");
}

#[test]
fn compile_names_what_it_cannot_compile_and_compiles_the_rest() {
    let folder = empty_folder("compiled-bad");
    let (text, none) = (folder.join("text.wasm"), folder.join("none.wasm"));
    fs::write(&text, "#!/bin/sh\n").expect("the folder is writable");
    let mut program = sentrynet();
    program
        .arg("compile")
        .args([&text, &none, &PASSES.write("compiled-beside-bad")])
        .arg("-o")
        .arg(folder.join("code"));
    let ended = run_command(&mut program, "");
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("text.wasm is not WebAssembly"), "{}", ended.stderr);
    assert!(ended.stderr.contains("cannot read ") && ended.stderr.contains("none.wasm"), "{}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 4, "{}", ended.stdout);
    assert!(ended.stdout.contains("compiled-beside-bad.wasm: "), "{}", ended.stdout);
}

/// `tests/without-compiler` builds the program.
#[test]
#[ignore = "tests/without-compiler runs it"]
fn a_program_without_a_compiler_runs_compiled_code() {
    let program = find_tool("sentrynet-without-compiler").expect("tests/without-compiler has built it");
    let compiled = Compiled::new("without");
    let ran = run_command(&mut compiled.once(&program), "");
    assert_eq!(ran.code, 0, "{}\n{}", ran.stdout, ran.stderr);
    assert_eq!(ran.stderr.matches("origin=Directory").count(), 2, "{}", ran.stderr);

    let run = |arguments: &[&str]| run_command(Command::new(&program).env_clear().args(arguments), "");
    let code = compiled.code.to_str().expect("it is UTF-8");
    let assert_refused = |arguments: &[&str], expected: &str| {
        let ended = run(arguments);
        assert!(ended.code == 2 && ended.stderr.contains(expected), "{expected} in {}", ended.stderr);
    };
    let config = compiled.config.to_str().expect("it is UTF-8");
    for name in ["http", "chain", "ssh"] {
        let inspected = run(&["inspect", name, "--compiled", code]);
        assert_eq!(inspected.code, 0, "{}", inspected.stderr);
    }
    assert_refused(&["compile", "-o", code], "this program was built without a compiler");
    assert_refused(&["check", config], "is not compiled, and this host has no compiler: name the directory that");
    let other = PASSES.write("compiled-other");
    let other = other.to_str().expect("it is UTF-8");
    assert_refused(
        &["inspect", other, "--compiled", code],
        "other.wasm is not compiled, and this host has no compiler: there is no ",
    );

    let version = format!("\"sentrynet\":\"{}", env!("CARGO_PKG_VERSION"));
    compiled.edit_header(&version, &version.replace(|c: char| c.is_ascii_digit(), "9"));
    assert_refused(
        &["check", config, "--compiled", code],
        "it was compiled for SentryNet 9.9.9, and this program has ",
    );
    assert_refused(&["check", config, "--compiled", code], "run `sentrynet compile` of this host's version again");
}
