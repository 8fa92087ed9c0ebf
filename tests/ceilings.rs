//! What one run may use, and what becomes of a guest that wants more: its run is broken, whatever it makes of that.

mod hostile;
mod network;

use serde_json::{Value, json};

use crate::guests::{Guest, LOG, PASSES, SPAN};
use crate::support::{once, passed};

/// The run of a guest that may do everything, within these limits.
#[track_caller]
fn run(name: &str, guest: Guest, limits: &str) -> Value {
    let path = guest.write(&format!("ceiling-{name}"));
    let allow = "{hosts: [127.0.0.1], ssh: {hosts: [127.0.0.1]}, log: true}";
    let probe = format!("{{probe: '{}', title: third, allow: {allow}, limits: {{{limits}}}}}", path.display());
    once(&format!("groups:\n  - probes:\n      - {probe}\n")).1.swap_remove(0)
}

/// The run broke at this ceiling, and says so.
#[track_caller]
fn broken(run: &Value, ceiling: &str, message: &str) {
    assert_eq!((&run["outcome"], &run["failure"]["reason"]), (&json!("broken"), &json!(ceiling)), "{run:#}");
    let advice = format!("{message}; raise `limits.{ceiling}` if it may have more");
    assert_eq!(run["failure"]["message"], advice, "{run:#}");
}

#[test]
fn time_that_it_computes() {
    let guest = Guest { define: "(func $spin (loop br 0))", run: "call $spin i32.const 0", ..PASSES };
    let run = run("cpu", guest, "cpu: 0.2");
    broken(&run, "cpu", "the probe computed for more than its 0.2 s");
    assert_eq!(run["failure"]["backtrace"], json!(["spin", "run"]));
    let lasted = run["duration_ms"].as_f64().expect("a duration is a number");
    assert!((200.0..30_000.0).contains(&lasted), "{lasted} ms");
}

#[test]
fn memories_count_together() {
    // One memory of 40 pages, and another of which one page more is asked for than is left.
    let define = r"(memory $other 0)
        (func $grow (drop (memory.grow 0 (i32.const 39))) (drop (memory.grow $other (i32.const 24)))
            (drop (memory.grow $other (i32.const 1))))";
    let guest = Guest { define, run: "call $grow i32.const 0", ..PASSES };
    let broke = run("memories", guest, "memory: 4 MiB");
    broken(&broke, "memory", "the probe asked for more memory than its 4 MiB");
    passed(&run("memories-more", guest, "memory: 5 MiB"));
    // What cannot be had by the memory's own measure is not counted.
    let define = "(memory $small 0 1) (func $grow (local $n i32) (loop (drop (memory.grow $small (i32.const 16)))
        (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100)))))";
    passed(&run("memories-refused", Guest { define, run: "call $grow i32.const 0", ..PASSES }, "memory: 4 MiB"));
}

#[test]
fn elements_of_tables() {
    let define = "(table $one 10 funcref) (table $other 0 funcref)
        (func $grow (loop (drop (table.grow $other (ref.null func) (i32.const 10))) br 0))";
    let guest = Guest { define, run: "call $grow i32.const 0", ..PASSES };
    let run = run("table", guest, "table: 1000");
    broken(&run, "table", "the probe asked for more than its 1000 elements of tables");
    assert_eq!(run["failure"]["backtrace"], json!(["grow", "run"]));
}

#[test]
fn handles() {
    let open = "(drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6)))";
    let guest = |times| {
        let text = format!("{} i32.const 0", open.repeat(times));
        Guest { imports: SPAN, run: text.leak(), ..PASSES }
    };
    passed(&run("handles", guest(10), "handles: 10"));
    broken(
        &run("handles-more", guest(11), "handles: 10"),
        "handles",
        "the probe held more than its 10 handles at once",
    );
}

#[test]
fn spans_are_left_out_and_counted() {
    let define = "(func $one (call $drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6))))";
    let run_one = "call $one call $one call $one call $one call $one i32.const 0";
    let run = run("spans", Guest { imports: SPAN, define, run: run_one, ..PASSES }, "spans: 3");
    passed(&run);
    assert_eq!(run["spans"].as_array().map(Vec::len), Some(3));
    assert_eq!(run["spans"][0]["data"]["spans.left_out"], 3, "{run:#}");
}

#[test]
fn lines_of_log_are_left_out_and_counted() {
    const SAID: &str = "earlier lines are left out: `limits.log_lines` and `limits.log_size` say how many are kept";
    let define = "(func $one (call $write (i32.const 1) (i32.const 512) (i32.const 6)))
        (func $long (call $write (i32.const 1) (i32.const 0) (i32.const 4000)))";
    let logged = |name, text, limits| {
        let run = run(name, Guest { imports: LOG, define, run: text, ..PASSES }, limits);
        passed(&run);
        let lines = run["log"].as_array().expect("a run has a log").clone();
        lines.iter().map(|line| line["message"].as_str().expect("a line is text").to_owned()).collect::<Vec<_>>()
    };
    let five = "call $one call $one call $one call $one call $one i32.const 0";
    assert_eq!(logged("lines", five, "log_lines: 3"), [&format!("3 {SAID}"), "teapot", "teapot"]);
    let long = "call $long call $long call $long call $long call $long i32.const 0";
    let lines = logged("log", long, "log_size: 10 KiB");
    assert_eq!((lines.len(), &lines[0]), (3, &format!("3 {SAID}")));
}

#[test]
fn what_is_handed_over_at_once() {
    // A list of failures' mismatches, all of whose texts are the same 48 KiB: little to have, much to copy.
    let define = "(func $fill (local $at i32) (drop (memory.grow (i32.const 1)))
        (loop (i64.store (i32.add (i32.const 8192) (local.get $at)) (i64.const 0x0000c00000010000))
            (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 40960))))
        (i32.store (i32.const 152) (i32.const 8192)) (i32.store (i32.const 156) (i32.const 1700)))";
    let guest = Guest { define, run: "call $fill i32.const 128", ..PASSES };
    let run = run("hands-over", guest, "memory: 2 MiB");
    broken(&run, "memory", "the probe asked for more memory than its 2 MiB");
}
