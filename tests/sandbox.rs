//! Third-party probes that pass, fail and misbehave, none of which affects other probes.

use std::path::Path;

use serde_json::{Value, json};

use crate::guests::{Guest, LOG, PASSES, SPAN};
use crate::support::run_once;

/// Returns a configuration of a probe from a file, with further keys, and of a second probe that passes.
fn config_with_neighbour(probe: &Path, more: &str) -> String {
    let good =
        PASSES.write(&format!("beside-{}", probe.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()));
    format!(
        "groups:\n  - probes:\n      - {{probe: '{}', title: third, allow: {{log: true}}{more}}}\n      - {{probe: '{}', title: good}}\n",
        probe.display(),
        good.display()
    )
}

/// Runs a guest beside a probe that must pass. Returns the exit code and the guest's run.
#[track_caller]
fn run_guest_with_keys(name: &str, guest: Guest, more: &str) -> (i32, Value) {
    let (code, mut runs) = run_once(&config_with_neighbour(&guest.write(name), more));
    assert_eq!(runs[1]["outcome"], "passed", "{:#}", runs[1]);
    (code, runs.swap_remove(0))
}

#[track_caller]
fn run_guest(name: &str, guest: Guest) -> (i32, Value) {
    run_guest_with_keys(name, guest, "")
}

/// Asserts that the guest's run broke for this reason. Returns the message and the run.
#[track_caller]
fn expect_broken(name: &str, guest: Guest, more: &str, reason: &str) -> (String, Value) {
    let (code, run) = run_guest_with_keys(name, guest, more);
    assert_eq!(run["outcome"], "broken", "{run:#}");
    assert_eq!(run["failure"]["reason"], reason, "{run:#}");
    assert_eq!(code, 3);
    (run["failure"]["message"].as_str().expect("a fault has a message").to_owned(), run)
}

#[test]
fn probes_pass_fail_and_give_up() {
    let (code, passed) = run_guest("passes", PASSES);
    assert_eq!((code, &passed["outcome"], &passed["failure"]), (0, &json!("passed"), &Value::Null));
    assert_eq!(passed["probe"], "passes");

    let (code, failed) = run_guest("fails", Guest { run: "i32.const 128", ..PASSES });
    assert_eq!((code, &failed["outcome"]), (1, &json!("failed")));
    assert_eq!(failed["failure"]["reason"], "teapot");
    assert_eq!(failed["failure"]["message"], "it is a teapot");
    assert_eq!(
        failed["failure"]["mismatches"],
        json!([{ "subject": "colour", "expected": "green", "actual": "brown" }])
    );

    let (message, _) = expect_broken("gives-up", Guest { run: "i32.const 192", ..PASSES }, "", "gave-up");
    assert_eq!(message, "the kettle is missing");
}

#[test]
fn a_trap_has_a_backtrace() {
    let guest = Guest { define: "(func $brew unreachable)", run: "call $brew i32.const 0", ..PASSES };
    let (message, run) = expect_broken("traps", guest, "", "trap");
    assert_eq!(message, "the probe trapped: wasm `unreachable` instruction executed");
    assert_eq!(run["failure"]["backtrace"], json!(["brew", "run"]));

    let nameless = Guest { define: "(func unreachable)", run: "call 0 i32.const 0", ..PASSES };
    let (_, run) = expect_broken("traps-without-a-name", nameless, "", "trap");
    assert_eq!(run["failure"]["backtrace"], json!(["wasm function 0 of module third", "run"]));

    let named = "(func $_ZN5probe3runERKSt6vectorIiSaIiEE unreachable)";
    let cpp = Guest { define: named, run: "call $_ZN5probe3runERKSt6vectorIiSaIiEE i32.const 0", ..PASSES };
    let (_, run) = expect_broken("traps-in-cpp", cpp, "", "trap");
    let frame = "probe::run(std::vector<int, std::allocator<int> > const&)";
    assert_eq!(run["failure"]["backtrace"], json!([frame, "run"]));
}

#[test]
fn deeply_nested_debug_information_does_not_overflow_the_stack() {
    /// A few hundred KiB of debug information can be nested this deep. Recursion of this depth would overflow the
    /// host's stack.
    const DEPTH: usize = 20_000;
    // The entries are a unit, a function, and inlined functions nested in it, each with its address and length.
    let entry = |kind: u8| [&[kind][..], &0u32.to_le_bytes(), &0xf_ffffu32.to_le_bytes()].concat();
    let entries = [entry(1), entry(2), entry(3).repeat(DEPTH), vec![0; DEPTH + 2]].concat();
    let length = u32::try_from(7 + entries.len()).expect("the length fits");
    let info = [&length.to_le_bytes()[..], &[4, 0, 0, 0, 0, 0, 4], &entries].concat();
    let kinds = [0x11, 0x2e, 0x1d].into_iter().zip(1..);
    let kinds = kinds.flat_map(|(tag, code)| [code, tag, 1, 0x11, 1, 0x12, 6, 0, 0]).chain([0]).collect::<Vec<u8>>();
    let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
    let sections =
        format!("(@custom \".debug_info\" \"{}\") (@custom \".debug_abbrev\" \"{}\")", escaped(&info), escaped(&kinds));
    let define = format!("(func $brew unreachable) {sections}");
    let guest = Guest { define: define.leak(), run: "call $brew i32.const 0", ..PASSES };
    let (_, run) = expect_broken("traps-in-its-debug-information", guest, "", "trap");
    assert_eq!(run["failure"]["backtrace"], json!(["brew", "run"]));
}

#[test]
fn an_endless_loop_ends_at_the_deadline() {
    let guest = Guest { define: "(func $spin (loop br 0))", run: "call $spin i32.const 0", ..PASSES };
    let (message, run) = expect_broken("loops", guest, ", limits: {deadline: 0.3}", "deadline");
    let advice = "; raise `limits.deadline` if it may have more";
    assert_eq!(message, format!("the probe was not done within its deadline of 0.3 s{advice}"));
    assert_eq!(run["failure"]["backtrace"], json!(["spin", "run"]));
    assert!(run["duration_ms"].as_f64().is_some_and(|lasted| lasted >= 300.0), "{run:#}");
}

#[test]
fn growing_memory_ends_at_the_limit() {
    let hog = "(func $hog (loop i32.const 1 memory.grow drop br 0))";
    let guest = Guest { define: hog, run: "call $hog i32.const 0", ..PASSES };
    let (message, run) = expect_broken("hogs", guest, "", "memory");
    assert_eq!(run["failure"]["backtrace"], json!(["hog", "run"]));
    assert_eq!(message, "the probe asked for more memory than its 64 MiB");
    let (message, _) = expect_broken("hogs-less", guest, ", limits: {memory: 1 MiB}", "memory");
    let advice = "; raise `limits.memory` if it may have more";
    assert_eq!(message, format!("the probe asked for more memory than its 1 MiB{advice}"));
}

#[test]
fn endless_recursion_ends_at_the_stack_limit() {
    let guest = Guest { define: "(func $down call $down)", run: "call $down i32.const 0", ..PASSES };
    let (message, run) = expect_broken("recurses", guest, "", "trap");
    assert_eq!(message, "the probe trapped: call stack exhausted");
    let frames = run["failure"]["backtrace"].as_array().expect("a fault has a backtrace");
    assert!(frames.len() <= 31 && frames[0] == "down", "{frames:#?}");
}

#[test]
fn log_lines_spans_and_handles_are_bounded() {
    let run_lines = "(local $n i32) (loop (call $write (i32.const 1) (i32.const 0) (i32.const 60000))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5000)))) i32.const 0";
    let (_, logged) = run_guest("logs", Guest { imports: LOG, run: run_lines, ..PASSES });
    let lines = logged["log"].as_array().expect("a run has a log");
    assert_eq!(lines.len(), 100);
    assert!(lines.iter().all(|line| line["message"].as_str().is_some_and(|message| message.len() <= 4096)));

    let many = "(local $n i32) (loop
        (call $drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6)))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5000)))) i32.const 0";
    let (code, spans) = run_guest("spans", Guest { imports: SPAN, run: many, ..PASSES });
    assert_eq!((code, spans["spans"].as_array().map(Vec::len)), (0, Some(1000)));

    let leak = "(local $n i32) (loop
        (drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6)))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5000)))) i32.const 0";
    expect_broken("leaks", Guest { imports: SPAN, run: leak, ..PASSES }, "", "handles");
}

#[test]
fn invalid_handles_trap() {
    expect_broken(
        "forges",
        Guest { imports: SPAN, run: "(call $drop (i32.const 77)) i32.const 0", ..PASSES },
        "",
        "trap",
    );
}
