//! Memory that a guest makes the host hold: texts, headers, requests, fields of WASI. All of it counts against the guest's
//! `memory` limit and against `total_memory`.

use std::fmt::Write as _;

use super::hostile::run_until_hostile_end;
use crate::guests::{Guest, HTTP, LOG, PASSES, SPAN};

/// A long text in the guest's memory: its address and length.
const TEXT: &str = "(i32.const 65536) (i32.const 3000000)";
/// A URL of 60,000 bytes.
const URL: &str = "(i32.const 65536) (i32.const 60000)";

/// Defines `$fill`, which writes `http://h/aaa…` to the address of [`TEXT`], and `$forever`, which never returns, so that
/// everything stays held until the run is stopped.
const FILL: &str = r#"
    (data $url "http://h/")
    (func $fill
      (drop (memory.grow (i32.const 50)))
      (memory.fill (i32.const 65536) (i32.const 97) (i32.const 3200000))
      (memory.init $url (i32.const 65536) (i32.const 0) (i32.const 9)))
    (func $forever (loop br 0))"#;

/// Returns the body of `run` that makes a call again and again, `times` times, with a counter in `$n`, and never returns.
fn repeat(times: u32, call: &str) -> String {
    format!(
        "(local $n i32) call $fill
         (loop {call}
           (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {times}))))
         call $forever i32.const 0"
    )
}

/// The part of `wasi:http` that the guests import.
const FIELDS: (&str, &str, &str) = (
    "http",
    "wasi:http/types@0.2.6",
    "package wasi:http@0.2.6; interface types {
        variant header-error { invalid-syntax, forbidden, immutable }
        resource fields {
            constructor();
            append: func(name: string, value: list<u8>) -> result<_, header-error>;
            clone: func() -> fields;
        }
    }",
);

/// The guests: a name, imports and the call that is repeated, with the number of repetitions.
fn kinds() -> Vec<(&'static str, String, String)> {
    let tag = r#"(import "sentrynet:probe/span@0.1.0" "set-tag" (func $tag (param i32 i32 i32 i32)))"#;
    let data = r#"(import "sentrynet:probe/span@0.1.0" "set-data" (func $data (param i32 i32 i32 i64 i32)))"#;
    let header = r#"(import "sentrynet:probe/http@0.1.0" "[method]request.header"
        (func $header (param i32 i32 i32 i32 i32 i32)))"#;
    let fields = r#"(import "wasi:http/types@0.2.6" "[constructor]fields" (func $fields (result i32)))
        (import "wasi:http/types@0.2.6" "[method]fields.append" (func $append (param i32 i32 i32 i32 i32 i32)))
        (import "wasi:http/types@0.2.6" "[method]fields.clone" (func $clone (param i32) (result i32)))"#;
    let append = |fields: &str, name_bytes: u32| {
        format!(
            "(call $append {fields} (i32.const 65546) (i32.const {name_bytes}) (i32.const 65546) (i32.const 1)
               (i32.const 3200016))"
        )
    };
    let request = |method: &str| format!("(call $request {method} {URL} (i32.const 3200000))");
    let get = "(i32.const 512) (i32.const 3)";
    vec![
        ("span texts", SPAN.to_owned(), repeat(900, &format!("(call $drop (call $span {TEXT} {TEXT}))"))),
        (
            "tags",
            tag.to_owned(),
            repeat(60, &format!("(call $tag (i32.add (i32.const 65546) (local.get $n)) (i32.const 2900000) {TEXT})")),
        ),
        (
            "data",
            data.to_owned(),
            repeat(900, &format!("(call $data {TEXT} (i32.const 0) (i64.const 65536) (i32.const 3000000))")),
        ),
        ("log", LOG.to_owned(), repeat(900, &format!("(call $write (i32.const 3) {TEXT})"))),
        ("methods", HTTP.to_owned(), repeat(900, &request("(i32.const 65546) (i32.const 2900000)"))),
        ("urls", HTTP.to_owned(), repeat(1900, &request(get))),
        (
            "headers",
            format!("{HTTP}{header}"),
            repeat(
                3_000_000,
                &format!(
                    "(if (i32.eqz (local.get $n)) (then {}))
                     (call $header (i32.load (i32.const 3200004)) (i32.const 65546) (i32.const 1)
                       (i32.const 65546) (i32.const 1) (i32.const 3200016))",
                    request(get)
                ),
            ),
        ),
        (
            "fields",
            fields.to_owned(),
            repeat(
                3_000_000,
                // A new map after each 1000 lines, since each has a greatest size.
                &format!(
                    "(if (i32.eqz (i32.rem_u (local.get $n) (i32.const 1000)))
                       (then (i32.store (i32.const 3200004) (call $fields))))
                     {}",
                    append("(i32.load (i32.const 3200004))", 1)
                ),
            ),
        ),
        (
            "copies of fields",
            fields.to_owned(),
            repeat(
                1900,
                &format!(
                    "(if (i32.eqz (local.get $n))
                       (then (i32.store (i32.const 3200004) (call $fields)) {}))
                     {}",
                    append("(i32.load (i32.const 3200004))", 60_000),
                    append("(call $clone (i32.load (i32.const 3200004)))", 1)
                ),
            ),
        ),
        (
            "bodies",
            HTTP.to_owned(),
            repeat(1900, &format!("{} (call $body (i32.load (i32.const 3200004)) {TEXT})", request(get))),
        ),
    ]
}

/// Writes the configuration of `copies` of each guest, and of one that passes again and again. Returns it with the number
/// of guests.
fn config(name: &str, copies: usize, guests: &[Guest]) -> (String, usize) {
    let mut text = "limits: {memory: 4 MiB, total_memory: 64 MiB, cpu: 1.5, deadline: 300, handles: 2000}\n\
                    groups:\n  - probes:\n"
        .to_owned();
    for (index, guest) in guests.iter().enumerate() {
        let file_name = format!("host-memory-{name}-{index}");
        let file = if guest.imports.contains("wasi:http") {
            guest.write_importing(&file_name, &[FIELDS])
        } else {
            guest.write(&file_name)
        };
        for copy in 0..copies {
            let keys = format!("title: '{index}-{copy}', every: 3600, allow: {{log: true, hosts: [h]}}");
            let _ = writeln!(text, "      - {{probe: '{}', {keys}}}", file.display());
        }
    }
    let good = PASSES.write("host-memory-beside");
    let _ = writeln!(text, "      - {{probe: '{}', title: good, every: 0.05}}", good.display());
    (text, copies * guests.len())
}

#[test]
fn what_guests_make_the_host_hold_is_within_total_memory() {
    const COPIES: usize = 5;
    /// `total_memory`, and what the host may need beside it: a call's arguments while they are read, for each thread on
    /// which guests compute, and half a MiB for each run's log.
    const MAX_MORE_MIB: u64 = 64 + 60;
    let kinds = kinds();
    let passes = vec![Guest { define: FILL, run: "call $fill i32.const 0", ..PASSES }; kinds.len()];
    let (text, count) = config("calm", COPIES, &passes);
    let (_, calm) = run_until_hostile_end("host-memory-calm", &text, count);

    let define = FILL.to_string().leak();
    let guests: Vec<_> = kinds
        .iter()
        .map(|(_, imports, run)| Guest { imports: imports.clone().leak(), define, run: run.clone().leak(), ..PASSES })
        .collect();
    let (text, count) = config("hostile", COPIES, &guests);
    let (all, hostile) = run_until_hostile_end("host-memory-hostile", &text, count);
    assert!(hostile < calm + (MAX_MORE_MIB << 10), "{} MiB, and {} MiB with calm guests", hostile >> 10, calm >> 10);
    for run in &all {
        let title = run["title"].as_str().expect("a title is text");
        let expected = if title == "good" { "passed" } else { "broken" };
        assert_eq!(run["outcome"], expected, "{run:#}");
    }
    let reasons = |kind: &str| -> Vec<_> {
        let index = kinds.iter().position(|(name, ..)| *name == kind).expect("there is such a kind");
        let of_kind =
            all.iter().filter(|run| run["title"].as_str().unwrap_or_default().starts_with(&format!("{index}-")));
        of_kind.map(|run| run["failure"]["reason"].as_str().expect("it is broken").to_owned()).collect()
    };
    for kind in ["urls", "headers", "fields", "copies of fields", "bodies"] {
        let reasons = reasons(kind);
        assert!(
            reasons.iter().all(|reason| ["memory", "total_memory"].contains(&reason.as_str())),
            "{kind}: {reasons:?}"
        );
    }
}
