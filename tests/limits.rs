//! Limits of a run: the run of a guest that exceeds a limit is broken, even if the guest handles the refusal.

mod bombs;
mod compiling;
mod host_memory;
mod hostile;
mod lookups;
mod memory_cgroup;
mod neighbours;
mod network;
mod redaction;
mod threads;
mod turns;
mod unusual;

use serde_json::{Value, json};

use crate::guests::{Guest, LOG, PASSES, SPAN};
use crate::support::{assert_passed, run_once};

/// Runs a guest that is allowed everything, with these limits.
#[track_caller]
fn run_limited(name: &str, guest: Guest, limits: &str) -> Value {
    let path = guest.write(&format!("limits-{name}"));
    let allow = "{hosts: [127.0.0.1], ssh: {hosts: [127.0.0.1]}, log: true}";
    let probe = format!("{{probe: '{}', title: third, allow: {allow}, limits: {{{limits}}}}}", path.display());
    run_once(&format!("groups:\n  - probes:\n      - {probe}\n")).1.swap_remove(0)
}

/// Asserts that the run broke at this limit, with this message.
#[track_caller]
fn assert_broken(run: &Value, limit: &str, message: &str) {
    assert_eq!((&run["outcome"], &run["failure"]["reason"]), (&json!("broken"), &json!(limit)), "{run:#}");
    let advice = format!("{message}; raise `limits.{limit}` if it may have more");
    assert_eq!(run["failure"]["message"], advice, "{run:#}");
}

#[test]
fn computing_beyond_the_cpu_limit_breaks_a_run() {
    let guest = Guest { define: "(func $spin (loop br 0))", run: "call $spin i32.const 0", ..PASSES };
    let run = run_limited("cpu", guest, "cpu: 0.2");
    assert_broken(&run, "cpu", "the probe used more CPU time than its 0.2 s");
    assert_eq!(run["failure"]["backtrace"], json!(["spin", "run"]));
    let lasted = run["duration_ms"].as_f64().expect("a duration is a number");
    assert!((200.0..30_000.0).contains(&lasted), "{lasted} ms");
}

#[test]
fn all_memories_of_a_guest_count_together() {
    // The limit of 4 MiB is 64 pages. The memories grow to 43 pages, and to 24 and then 25 pages.
    let define = r"(memory $other 0)
        (func $grow (drop (memory.grow 0 (i32.const 39))) (drop (memory.grow $other (i32.const 24)))
            (drop (memory.grow $other (i32.const 1))))";
    let guest = Guest { define, run: "call $grow i32.const 0", ..PASSES };
    let broke = run_limited("memories", guest, "memory: 4 MiB");
    assert_broken(&broke, "memory", "the probe asked for more memory than its 4 MiB");
    assert_passed(&run_limited("memories-more", guest, "memory: 5 MiB"));
    // Growth beyond a memory's own maximum is refused by wasmtime, and not counted.
    let define = "(memory $small 0 1) (func $grow (local $n i32) (loop (drop (memory.grow $small (i32.const 16)))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100)))))";
    assert_passed(&run_limited(
        "memories-refused",
        Guest { define, run: "call $grow i32.const 0", ..PASSES },
        "memory: 4 MiB",
    ));
}

#[test]
fn table_elements_are_limited() {
    let define = "(table $one 10 funcref) (table $other 0 funcref)
        (func $grow (loop (drop (table.grow $other (ref.null func) (i32.const 10))) br 0))";
    let guest = Guest { define, run: "call $grow i32.const 0", ..PASSES };
    let run = run_limited("table", guest, "table: 1000");
    assert_broken(&run, "table", "the probe asked for more than its 1000 table elements");
    assert_eq!(run["failure"]["backtrace"], json!(["grow", "run"]));
}

#[test]
fn handles_held_at_once_are_limited() {
    let open = "(drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6)))";
    let guest = |times| {
        let text = format!("{} i32.const 0", open.repeat(times));
        Guest { imports: SPAN, run: text.leak(), ..PASSES }
    };
    assert_passed(&run_limited("handles", guest(10), "handles: 10"));
    assert_broken(
        &run_limited("handles-more", guest(11), "handles: 10"),
        "handles",
        "the probe held more than its 10 handles at once",
    );
}

#[test]
fn spans_beyond_the_limit_are_left_out_and_counted() {
    let define = "(func $one (call $drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6))))";
    let run_one = "call $one call $one call $one call $one call $one i32.const 0";
    let run = run_limited("spans", Guest { imports: SPAN, define, run: run_one, ..PASSES }, "spans: 3");
    assert_passed(&run);
    assert_eq!(run["spans"].as_array().map(Vec::len), Some(3));
    assert_eq!(run["spans"][0]["data"]["spans.left_out"], 3, "{run:#}");
}

#[test]
fn log_lines_beyond_the_limits_are_left_out_and_counted() {
    const LEFT_OUT: &str = "earlier lines are left out: `limits.log_lines` and `limits.log_size` say how many are kept";
    let define = "(func $one (call $write (i32.const 1) (i32.const 512) (i32.const 6)))
        (func $long (memory.fill (i32.const 65536) (i32.const 97) (i32.const 4000))
          (call $write (i32.const 1) (i32.const 65536) (i32.const 4000)))";
    let logged = |name, text, limits| {
        let run = run_limited(name, Guest { imports: LOG, define, run: text, ..PASSES }, limits);
        assert_passed(&run);
        let lines = run["log"].as_array().expect("a run has a log").clone();
        lines.iter().map(|line| line["message"].as_str().expect("a line is text").to_owned()).collect::<Vec<_>>()
    };
    let five = "call $one call $one call $one call $one call $one i32.const 0";
    assert_eq!(logged("lines", five, "log_lines: 3"), [&format!("3 {LEFT_OUT}"), "teapot", "teapot"]);
    let long = "call $long call $long call $long call $long call $long i32.const 0";
    let lines = logged("log", long, "log_size: 10 KiB");
    assert_eq!((lines.len(), &lines[0]), (3, &format!("3 {LEFT_OUT}")));
}

#[test]
fn results_passed_to_the_host_count_as_memory() {
    // In this list of mismatches, all texts are the same 48 KiB: the list is small in the guest's memory, but large
    // when it is copied.
    let define = "(func $fill (local $at i32) (drop (memory.grow (i32.const 1)))
        (loop (i64.store (i32.add (i32.const 8192) (local.get $at)) (i64.const 0x0000c00000010000))
            (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 40960))))
        (i32.store (i32.const 152) (i32.const 8192)) (i32.store (i32.const 156) (i32.const 1700)))";
    let guest = Guest { define, run: "call $fill i32.const 128", ..PASSES };
    let run = run_limited("hands-over", guest, "memory: 2 MiB");
    assert_broken(&run, "memory", "the probe asked for more memory than its 2 MiB");
}
