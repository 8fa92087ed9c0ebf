//! Components that would take minutes or gigabytes to compile, and the store of compiled code.

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::guests::{PASSES, write_wasm};
use crate::support::{CommandOutput, KilledOnDrop, empty_folder, eventually, run_command, sentrynet};

pub fn component(modules: &str) -> Vec<u8> {
    wat::parse_str(format!("(component {modules})")).expect("it is valid text")
}

fn nested(before: &str, inner: &str, after: &str, depth: usize) -> String {
    before.repeat(depth) + inner + &after.repeat(depth)
}

/// Returns a function with this many locals, each of which changes in loops nested to this depth.
pub fn function_with_locals(locals: usize, depth: usize) -> String {
    let mut body = String::new();
    for local in 0..locals {
        let _ = write!(body, "(local.set {local} (i32.add (local.get {local}) (i32.const 1)))");
    }
    let loops = nested("(loop ", &body, "(br_if 0 (local.get 0)))", depth);
    format!("(func (local {}) {loops})", "i32 ".repeat(locals))
}

/// Returns core modules, each with debug information that takes long to read.
fn modules_with_dwarf(count: usize) -> String {
    let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let kinds: Vec<u8> = (1..=100_u8).flat_map(|code| [code, 0x11, 0, 0, 0]).chain([0]).collect();
    // Units of DWARF 4 without contents.
    let info = [7, 0, 0, 0, 4, 0, 0, 0, 0, 0, 4].repeat(30);
    let sections =
        format!("(@custom \".debug_info\" \"{}\") (@custom \".debug_abbrev\" \"{}\")", escaped(&info), escaped(&kinds));
    format!("(core module {sections})").repeat(count)
}

/// Runs the program, and returns its end and its peak resident memory in KiB.
fn run_and_measure(program: &mut Command) -> (CommandOutput, u64) {
    let child = program.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut running = KilledOnDrop(child.expect("the program starts"));
    let status = format!("/proc/{}/status", running.0.id());
    let mut peak = 0;
    let exit = eventually("an end of the program", || {
        // The peak never falls, so that the last value before the end counts.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(peak);
        running.0.try_wait().expect("the program can be waited for")
    });
    let mut ended = CommandOutput { code: exit.code().unwrap_or(-1), ..CommandOutput::default() };
    let Child { stdout, stderr, .. } = &mut running.0;
    stdout.take().expect("it is piped").read_to_string(&mut ended.stdout).expect("output is UTF-8");
    stderr.take().expect("it is piped").read_to_string(&mut ended.stderr).expect("messages are UTF-8");
    (ended, peak)
}

fn write_config(name: &str, probe: &Path) -> PathBuf {
    let file = empty_folder(&format!("config-{name}")).join("probes.yaml");
    let text = format!("groups: [{{probes: [{{probe: '{}', title: third}}]}}]", probe.display());
    fs::write(&file, text).expect("the folder is writable");
    file
}

/// Asserts that `check` and `inspect` refuse a component, and take hardly more memory than for a good one.
#[track_caller]
fn assert_refused(name: &str, bytes: &[u8], expected: &str) {
    /// The memory beyond that of a good component. Compiling the component would take gigabytes.
    const MAX_MORE_KIB: u64 = 64 << 10;
    let good = PASSES.write(&format!("beside-{name}"));
    let (ended, usual) = run_and_measure(sentrynet().arg("check").arg(write_config(&format!("good-{name}"), &good)));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let bad = write_wasm(name, bytes);
    let config = write_config(name, &bad);
    for (command, file) in [("check", &config), ("inspect", &bad)] {
        let (ended, peak) = run_and_measure(sentrynet().arg(command).arg(file));
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{expected} in {}", ended.stderr);
        assert!(peak < usual + MAX_MORE_KIB, "{command} took {peak} KiB, and {usual} KiB for a good component");
    }
}

#[test]
fn nested_loops_are_refused() {
    let loops = nested("(loop ", "", ")", 27_000);
    let expected = "nested-loops.wasm is too complex to compile: its loops are nested to the depth 101";
    assert_refused("nested-loops", &component(&format!("(core module (func {loops}))")), expected);
}

#[test]
fn many_locals_are_refused() {
    let module = format!("(core module {})", function_with_locals(46_000, 1));
    assert_refused("many-locals", &component(&module), "the number of locals of a function is 46000");
    let module = format!("(core module {})", function_with_locals(5000, 90));
    assert_refused("changed-locals", &component(&module), "the locals of a function, times the depth of its loops");
}

#[test]
fn nested_components_are_refused() {
    // Written as bytes, because the parser of the text would recurse: each component is the only section of the next.
    const HEADER: &[u8] = b"\0asm\x0d\0\x01\0";
    let mut bytes = HEADER.to_vec();
    for _ in 0..10_000 {
        let (mut length, mut rest) = (Vec::new(), bytes.len());
        while rest >= 0x80 {
            length.push(0x80 | (rest & 0x7f) as u8);
            rest >>= 7;
        }
        length.push(rest as u8);
        bytes = [HEADER, &[4], &length, &bytes].concat();
    }
    assert_refused("nested-components", &bytes, "its components are nested to the depth 33");
}

#[test]
fn a_million_functions_are_refused() {
    let module = format!("(core module {})", "(func)".repeat(1_000_000));
    assert_refused("a-million-functions", &component(&module), "the number of its functions is 1000000");
}

#[test]
fn much_native_code_of_a_small_file_is_refused() {
    let module = format!("(core module {})", "(func)".repeat(40_000));
    let expected = "much-code.wasm took more than 6 MiB of native code";
    assert_refused("much-code", &component(&module), expected);
}

#[test]
fn many_modules_with_debug_information_are_refused() {
    assert_refused("many-modules", &component(&modules_with_dwarf(900)), "the number of its core modules is 129");
}

/// The limit on memory of the command that compiles.
const MEMORY_BYTES: &str = "1073741824";

/// Starts the command that compiles, with a component that takes minutes although it is within all bounds.
fn start_compiling(cpu_millis: &str) -> KilledOnDrop {
    let bytes = component(&format!("(core module {})", function_with_locals(1000, 100).repeat(300)));
    let mut program = sentrynet();
    program.args(["compile-component", cpu_millis, MEMORY_BYTES, "native"]);
    program.env("MIMALLOC_DISALLOW_ARENA_ALLOC", "1");
    program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = KilledOnDrop(program.spawn().expect("the program starts"));
    let stdin = child.0.stdin.as_mut().expect("it is piped");
    stdin.write_all(&(bytes.len() as u64).to_le_bytes()).and_then(|()| stdin.write_all(&bytes)).expect("it reads");
    child
}

#[test]
fn a_process_that_compiles_ends_at_its_cpu_limit() {
    const SIGXCPU: i32 = 24;
    let mut child = start_compiling("2000");
    let status = eventually("an end at the limit", || child.0.try_wait().expect("it can be waited for"));
    assert_eq!(status.signal(), Some(SIGXCPU), "{status}");
}

#[test]
fn a_process_that_compiles_limits_itself_and_ends_with_the_host() {
    let mut child = start_compiling("99500");
    let limits = format!("/proc/{}/limits", child.0.id());
    let text = eventually("its limits", || {
        let text = fs::read_to_string(&limits).expect("it is running");
        text.lines().any(|line| line.starts_with("Max core file size        0 ")).then_some(text)
    });
    // If memory runs out, the kernel ends this process before the host.
    let oom_score = fs::read_to_string(format!("/proc/{}/oom_score_adj", child.0.id())).expect("it is running");
    assert_eq!(oom_score.trim(), "1000");
    for (name, limit) in
        [("Max cpu time", "100"), ("Max file size", "0"), ("Max open files", "16"), ("Max data size", MEMORY_BYTES)]
    {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).expect(name);
        assert_eq!(line.split_whitespace().next(), Some(limit), "{name}: {line}");
    }
    assert!(child.0.try_wait().expect("it can be waited for").is_none(), "it is compiling");
    drop(child.0.stdin.take());
    let status = eventually("an end with its input", || child.0.try_wait().expect("it can be waited for"));
    assert_eq!(status.code(), Some(1), "{status}");
}

/// A host with directories of its own.
struct Host {
    folder: PathBuf,
    config: PathBuf,
}

impl Host {
    fn new(name: &str) -> Self {
        let folder = empty_folder(&format!("code-{name}"));
        Self { folder, config: write_config(name, &PASSES.write(name)) }
    }

    /// Runs `check`, which must succeed. Returns true if the code was kept, and the log.
    #[track_caller]
    fn check(&self) -> (bool, String) {
        let mut program = sentrynet();
        program.env("XDG_CACHE_HOME", self.folder.join("cache")).env("XDG_STATE_HOME", self.folder.join("state"));
        program.env("SENTRYNET_LOG", "sentrynet=debug").arg("check").arg(&self.config);
        let ended = run_command(&mut program, "");
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        (ended.stderr.contains("origin=Store"), ended.stderr)
    }

    fn code_folder(&self) -> PathBuf {
        self.folder.join("cache/sentrynet/code")
    }

    #[track_caller]
    fn entry(&self) -> PathBuf {
        let mut files = fs::read_dir(self.code_folder()).expect("the store is there").flatten();
        let file = files.next().expect("there is an entry").path();
        assert!(files.next().is_none(), "there is one entry");
        file
    }
}

#[test]
fn code_is_kept_and_authenticated() {
    let host = Host::new("kept");
    assert!(!host.check().0);
    assert!(host.check().0, "it is kept");

    // One byte of the code, far from the beginning.
    let entry = host.entry();
    let mut bytes = fs::read(&entry).expect("the test owns it");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&entry, bytes).expect("the test owns it");
    let (is_kept, log) = host.check();
    assert!(!is_kept && log.contains("removed a file of compiled code instead of using it"), "{log}");
    assert!(host.check().0, "it is compiled again, and kept");

    // Code by another key, as another user would write it.
    let by_other = fs::read(host.entry()).expect("the test owns it");
    fs::remove_dir_all(host.folder.join("state")).expect("the test owns it");
    fs::remove_file(host.entry()).expect("the test owns it");
    assert!(!host.check().0);
    fs::write(host.entry(), by_other).expect("the test owns it");
    let (is_kept, log) = host.check();
    assert!(!is_kept && log.contains("it is damaged, or another user has written it"), "{log}");
    assert!(host.check().0, "it is compiled again, and kept");
}

#[test]
fn a_directory_that_others_can_use_is_not_used() {
    let host = Host::new("shared");
    assert!(!host.check().0);
    fs::set_permissions(host.code_folder(), Permissions::from_mode(0o777)).expect("the test owns it");
    let (is_kept, log) = host.check();
    assert!(!is_kept && log.contains("each start compiles them again"), "{log}");
    assert!(log.contains("its mode is 0777: `chmod 0700` it, or remove it"), "{log}");
    fs::set_permissions(host.code_folder(), Permissions::from_mode(0o700)).expect("the test owns it");
    assert!(host.check().0);

    let key = host.folder.join("state/sentrynet/keys/compiled-code");
    File::open(&key).and_then(|file| file.set_permissions(Permissions::from_mode(0o644))).expect("the test owns it");
    let (is_kept, log) = host.check();
    assert!(!is_kept && log.contains("compiled-code: its mode is 0644 instead of 0600"), "{log}");
}
