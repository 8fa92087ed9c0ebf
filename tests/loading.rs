//! Components that are accepted as probes, and the messages about those that are not.

use std::path::Path;

use serde_json::json;

use crate::guests::{CURRENT, Guest, HTTP, LOG, PASSES, write_wasm};
use crate::support::{run_command, run_once, sentrynet};

mod background;

/// Returns a configuration of one probe from a file.
fn probe_config(probe: &Path) -> String {
    format!("groups:\n  - probes:\n      - {{probe: '{}', title: third, allow: {{log: true}}}}\n", probe.display())
}

/// Asserts that the probe is refused as a configuration error at its line, and that nothing runs.
#[track_caller]
fn assert_refused(probe: &Path, expected: &str) {
    for command in ["check", "once"] {
        let ended = run_command(sentrynet().args([command, "-"]), &probe_config(probe));
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{expected} in {}", ended.stderr);
        assert!(ended.stderr.contains("<stdin>:3:"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

#[track_caller]
fn assert_accepted(probe: &Path) {
    let (code, runs) = run_once(&probe_config(probe));
    assert_eq!((code, &runs[0]["outcome"]), (0, &json!("passed")), "{:#}", runs[0]);
}

#[test]
fn files_that_are_no_probe_are_refused() {
    assert_refused(&write_wasm("text", b"#!/bin/sh\n"), "is not WebAssembly");
    assert_refused(
        &write_wasm("torn", &std::fs::read(PASSES.write("whole")).unwrap()[..400]),
        "is not a valid component",
    );
    assert_refused(
        &write_wasm("empty", &wat::parse_str("(component)").unwrap()),
        "it does not export `sentrynet:probe/prober`, but nothing",
    );
    let foreign = r#"(component (instance $shut) (export "acme:door/shut@1.0.0" (instance $shut)))"#;
    assert_refused(&write_wasm("foreign", &wat::parse_str(foreign).unwrap()), "prober`, but `acme:door/shut@1.0.0`");
}

#[test]
fn probes_that_cannot_describe_themselves_or_check_settings_are_refused() {
    assert_refused(
        &Guest { describe: "unreachable", ..PASSES }.write("mute"),
        "the probe's `describe` failed: the probe trapped",
    );
    assert_refused(
        &Guest { check: "unreachable", ..PASSES }.write("blind"),
        "cannot check its settings: the probe trapped",
    );
    let silent = Guest { check: "(i32.store8 (i32.const 0) (i32.const 1)) i32.const 0", ..PASSES };
    assert_refused(&silent.write("silent"), "refuses these settings, and does not say why");
    let loops = Guest { check: "(loop br 0) i32.const 0", ..PASSES };
    assert_refused(
        &loops.write("ponders"),
        "cannot check its settings: the probe was not done within its deadline of 5 s",
    );
}

#[test]
fn a_trap_before_a_run_is_reported_with_function_and_last_log_line() {
    let log_and_trap = "(call $write (i32.const 3) (i32.const 518) (i32.const 14)) call $brew i32.const 0";
    let guest = Guest { imports: LOG, define: "(func $brew unreachable)", ..PASSES };
    let expected =
        "the probe trapped: wasm `unreachable` instruction executed; its last log lines: it is a teapot, in brew";
    assert_refused(
        &Guest { check: log_and_trap, ..guest }.write("dies-checking"),
        &format!("check its settings: {expected}"),
    );
    assert_refused(
        &Guest { describe: log_and_trap, ..guest }.write("dies-describing"),
        &format!("`describe` failed: {expected}"),
    );
}

#[test]
fn a_core_module_with_the_contracts_types_is_a_probe() {
    assert_accepted(&PASSES.write_module("module"));
    assert_refused(
        &write_wasm("core", &wat::parse_str("(module)").unwrap()),
        "is a core module without component type information",
    );
    let untyped = r#"(module (@custom "component-type:probe" "\00asm"))"#;
    assert_refused(&write_wasm("untyped", &wat::parse_str(untyped).unwrap()), "cannot be converted to a component");
    let foreign = Guest { imports: r#"(import "env" "puts" (func))"#, ..PASSES };
    assert_refused(&foreign.write_module("emscripten"), "`env`");
    let torn = std::fs::read(PASSES.write_module("whole-module")).unwrap();
    assert_refused(&write_wasm("torn-module", &torn[..torn.len() / 2]), "cannot be converted to a component");
}

#[test]
fn check_warns_of_a_component_that_is_allowed_no_host() {
    let file = Guest { imports: HTTP, ..PASSES }.write("requests");
    let warned = run_command(sentrynet().args(["check", "-"]), &probe_config(&file));
    let expected = "warning: this component is built to make HTTP requests, but this probe allows it no host: \
                    add `allow: {hosts: [host.example]}` there";
    assert!(warned.code == 0 && warned.stderr.contains(expected), "{}", warned.stderr);
    let other = probe_config(&file).replace("log: true", "hosts: [shop.example]");
    let other = other.replace("allow:", "url: 'https://basket.example/', allow:");
    let warned = run_command(sentrynet().args(["check", "-"]), &other);
    let expected = "warning: the component may not connect to this host: `basket.example:443` is not allowed: add \
                    `basket.example:443` to `allow.hosts` of this probe";
    assert!(warned.code == 0 && warned.stderr.contains(expected), "{}", warned.stderr);
    let allowed = probe_config(&file).replace("log: true", "hosts: [shop.example]");
    assert_eq!(run_command(sentrynet().env("SENTRYNET_LOG", "warn").args(["check", "-"]), &allowed).stderr, "");
}

/// The modules are like those that zig and wasi-libc produce: they call functions of WASI preview 1.
#[test]
fn a_core_module_may_call_a_c_library() {
    let import = r#"(import "wasi_snapshot_preview1" "NAME" (func $wasi PARAMS))"#;
    let writes = import.replace("NAME", "fd_write").replace("PARAMS", "(param i32 i32 i32 i32) (result i32)");
    let run = "(i32.store8 (i32.const 532) (i32.const 10))
        (i32.store (i32.const 1800) (i32.const 518)) (i32.store (i32.const 1804) (i32.const 15))
        (drop (call $wasi (i32.const 2) (i32.const 1800) (i32.const 1) (i32.const 1808))) i32.const 0";
    let guest = Guest { imports: writes.leak(), run, ..PASSES };
    let (_, runs) = run_once(&probe_config(&guest.write_module("prints")));
    assert_eq!(runs[0]["outcome"], "passed", "{:#}", runs[0]);
    assert_eq!(runs[0]["log"][0]["message"], "it is a teapot", "{:#}", runs[0]);

    let exits = import.replace("NAME", "proc_exit").replace("PARAMS", "(param i32)");
    let guest = Guest { imports: exits.leak(), run: "(call $wasi (i32.const 1)) i32.const 0", ..PASSES };
    let (code, runs) = run_once(&probe_config(&guest.write_module("exits")));
    assert_eq!((code, &runs[0]["failure"]["reason"]), (3, &json!("trap")), "{:#}", runs[0]);
    assert_eq!(runs[0]["failure"]["message"], "the probe exited with status 1 instead of returning");
}

#[test]
fn only_compatible_versions_of_the_contract_are_accepted() {
    let log = r#"(import "sentrynet:probe/log@0.1.0" "write" (func $write (param i32 i32 i32)))"#;
    assert_accepted(&PASSES.write_for_version("older", "0.1.0"));
    assert_accepted(&Guest { imports: log, ..PASSES }.write_for_version("older-log", "0.1.0"));
    assert_accepted(&PASSES.write_for_version("next", "0.1.2"));
    assert_accepted(&PASSES.write_for_version("newer", "0.1.3"));
    let log = r#"(import "sentrynet:probe/log@0.1.3" "write" (func $write (param i32 i32 i32)))"#;
    assert_accepted(&Guest { imports: log, ..PASSES }.write_for_version("newer-log", "0.1.3"));
    let other = "is built for version 0.2.0 of the contract, this host implements 0.1.1: build the probe with";
    assert_refused(&PASSES.write_for_version("later", "0.2.0"), other);
    let candidate = "is built for version 0.1.0-rc.1 of the contract";
    assert_refused(&PASSES.write_for_version("candidate", "0.1.0-rc.1"), candidate);
}

#[test]
fn imports_of_a_newer_contract_are_named() {
    let newer = |text: String| text.replace(CURRENT, "@0.1.3;");
    let function = r#"(import "sentrynet:probe/log@0.1.3" "flush" (func $flush))"#;
    let with_function = |text: String| newer(text).replace("interface log {", "interface log {\n  flush: func();");
    assert_refused(
        &Guest { imports: function, ..PASSES }.write_for_edited_contract("flushes", &with_function),
        "is built for another version of the contract: it imports `flush` of `sentrynet:probe/log@0.1.3`",
    );
    let interface = r#"(import "sentrynet:probe/dns@0.1.3" "ask" (func $ask))"#;
    let with_interface = |text: String| {
        let text = newer(text).replace("interface log {", "interface dns {\n  ask: func();\n}\n\ninterface log {");
        text.replace("import log;", "import log;\n  import dns;")
    };
    assert_refused(
        &Guest { imports: interface, ..PASSES }.write_for_edited_contract("asks", &with_interface),
        "it imports `sentrynet:probe/dns@0.1.3`, which is not in version 0.1.1 of the contract",
    );
}

/// Writes a component that exports an empty `prober`, and imports these interfaces.
fn write_importing(name: &str, imports: &[&str]) -> std::path::PathBuf {
    let imports: String =
        imports.iter().map(|name| format!(r#"(import "{name}" (instance (export "open" (func))))"#)).collect();
    let text =
        format!(r#"(component {imports} (instance $none) (export "sentrynet:probe/prober@0.1.0" (instance $none)))"#);
    write_wasm(name, &wat::parse_str(text).expect("the component is WAT"))
}

#[test]
fn a_component_with_asynchronous_functions_is_told_what_to_build_for() {
    let text =
        r#"(component (import "wasi:clocks/monotonic-clock@0.3.0" (instance (export "wait-for" (func async)))))"#;
    let file = write_wasm("asynchronous", &wat::parse_str(text).expect("the component is WAT"));
    assert_refused(&file, "build it for WASI 0.2 (Rust: ");
}

#[test]
fn every_unknown_import_is_named() {
    assert_refused(
        &write_importing("doors", &["acme:door/open@1.0.0", "wasi:cli/environment@0.2.0", "acme:door/shut"]),
        "imports `acme:door/open@1.0.0`, `acme:door/shut`, which this host does not have: build it without these imports",
    );
    assert_refused(
        &write_importing("wasi", &["wasi:http/handler@0.3.0", "wasi:keyvalue/store@0.2.0"]),
        "imports `wasi:http/handler@0.3.0`, `wasi:keyvalue/store@0.2.0`, which this host does not have: \
         build it for WASI 0.2 (Rust: the target `wasm32-wasip2`), not for 0.3",
    );
    assert_refused(
        &write_importing("older-wasi", &["wasi:keyvalue/store@0.2.0"]),
        "imports `wasi:keyvalue/store@0.2.0`, which this host does not have: build it for WASI 0.2, without these imports",
    );
    let many: Vec<_> = (0..500).map(|number| format!("acme:a{number}/open")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    assert_refused(&write_importing("many", &many), "`acme:a9/open` and 490 more, which");
    assert_refused(&write_importing("none", &[]), "does not fit the contract");
}
