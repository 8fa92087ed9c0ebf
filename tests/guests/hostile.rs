//! Hostile guests: those that compute or allocate without end, and those that make the host hold memory for them. Tests
//! and the benchmark run them beside well-behaved probes.

use std::path::PathBuf;

use super::{Guest, HTTP, LOG, PASSES, SPAN};

/// Guests that compute or allocate until their run is broken: the name of each, the guest, and the reason that its run
/// breaks.
pub const COMPUTING: &[(&str, Guest, &str)] = &[
    ("spins", Guest { define: "(func $on (loop br 0))", run: "call $on i32.const 0", ..PASSES }, "cpu"),
    (
        "hogs",
        Guest {
            define: "(func $on (local $at i32)
              (loop (local.set $at (i32.mul (memory.grow (i32.const 1)) (i32.const 65536)))
                (memory.fill (local.get $at) (i32.const 1) (i32.const 65536)) br 0))",
            run: "call $on i32.const 0",
            ..PASSES
        },
        "memory",
    ),
    (
        "holds-and-spins",
        Guest {
            define: "(func $on (drop (memory.grow (i32.const 20)))
              (loop (memory.fill (i32.const 2048) (i32.const 1) (i32.const 1300000)) br 0))",
            run: "call $on i32.const 0",
            ..PASSES
        },
        "cpu",
    ),
    (
        "tables",
        Guest {
            define: "(table $t 0 funcref)
              (func $on (loop (drop (table.grow $t (ref.null func) (i32.const 1000))) br 0))",
            run: "call $on i32.const 0",
            ..PASSES
        },
        "table",
    ),
    ("recurses", Guest { define: "(func $on call $on)", run: "call $on i32.const 0", ..PASSES }, "trap"),
    (
        "logs",
        Guest {
            imports: LOG,
            run: "(loop (call $write (i32.const 1) (i32.const 0) (i32.const 60000)) br 0) i32.const 0",
            ..PASSES
        },
        "cpu",
    ),
    (
        "spans",
        Guest {
            imports: SPAN,
            run: "(loop (call $drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6))) br 0)
              i32.const 0",
            ..PASSES
        },
        "cpu",
    ),
    (
        "leaks",
        Guest {
            imports: SPAN,
            run: "(loop (drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6))) br 0)
              i32.const 0",
            ..PASSES
        },
        "handles",
    ),
];

/// A long text in the guest's memory: its address and length.
const TEXT: &str = "(i32.const 65536) (i32.const 3000000)";
/// A URL of 60,000 bytes.
const URL: &str = "(i32.const 65536) (i32.const 60000)";

/// The definitions of the guests of [`holding_memory`]: `$fill`, which writes `http://h/aaa…` to the address of
/// [`TEXT`], and `$forever`, which never returns, so that everything stays held until the run is stopped.
pub const FILL: &str = r#"
    (data $url "http://h/")
    (func $fill
      (drop (memory.grow (i32.const 50)))
      (memory.fill (i32.const 65536) (i32.const 97) (i32.const 3200000))
      (memory.init $url (i32.const 65536) (i32.const 0) (i32.const 9)))
    (func $forever (loop br 0))"#;

/// Returns the body of `run` that makes a call again and again, `times` times, with a counter in `$n`, and never
/// returns.
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

/// Returns guests that make the host hold memory for them, each with its name.
pub fn holding_memory() -> Vec<(&'static str, Guest)> {
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
    let kinds = vec![
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
    ];
    let guest = |(name, imports, run): (_, String, String)| {
        (name, Guest { imports: imports.leak(), define: FILL, run: run.leak(), ..PASSES })
    };
    kinds.into_iter().map(guest).collect()
}

/// Writes a guest of this module as a component. Returns its path.
pub fn write(name: &str, guest: &Guest) -> PathBuf {
    if guest.imports.contains("wasi:http") { guest.write_importing(name, &[FIELDS]) } else { guest.write(name) }
}
