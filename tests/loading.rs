//! Which components are taken as probes, and what is said of those that are not.

use std::path::Path;

use serde_json::json;

use crate::guests::{Guest, HTTP, LOG, PASSES, write};
use crate::support::{finish, once, sentrynet};

/// A configuration of one probe from a file.
fn of(probe: &Path) -> String {
    format!("groups:\n  - probes:\n      - {{probe: '{}', title: third, allow: {{log: true}}}}\n", probe.display())
}

/// What cannot be loaded is a configuration error at its place; nothing runs.
#[track_caller]
fn refused(probe: &Path, expected: &str) {
    for command in ["check", "once"] {
        let ended = finish(sentrynet().args([command, "-"]), &of(probe));
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains(expected), "{expected} in {}", ended.stderr);
        assert!(ended.stderr.contains("<stdin>:3:"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "");
    }
}

#[track_caller]
fn taken(probe: &Path) {
    let (code, runs) = once(&of(probe));
    assert_eq!((code, &runs[0]["outcome"]), (0, &json!("passed")), "{:#}", runs[0]);
}

#[test]
fn what_is_no_probe_is_refused() {
    refused(&write("text", b"#!/bin/sh\n"), "is not WebAssembly");
    refused(&write("torn", &std::fs::read(PASSES.write("whole")).unwrap()[..400]), "is not a valid component");
    refused(
        &write("empty", &wat::parse_str("(component)").unwrap()),
        "it does not export `sentrynet:probe/prober`, but nothing",
    );
    let foreign = r#"(component (instance $shut) (export "acme:door/shut@1.0.0" (instance $shut)))"#;
    refused(&write("foreign", &wat::parse_str(foreign).unwrap()), "prober`, but `acme:door/shut@1.0.0`");
}

#[test]
fn what_cannot_speak_for_itself_is_refused() {
    refused(&Guest { describe: "unreachable", ..PASSES }.write("mute"), "cannot say who it is: the probe trapped");
    refused(&Guest { check: "unreachable", ..PASSES }.write("blind"), "cannot check its settings: the probe trapped");
    let silent = Guest { check: "(i32.store8 (i32.const 0) (i32.const 1)) i32.const 0", ..PASSES };
    refused(&silent.write("silent"), "refuses these settings, and does not say why");
    let loops = Guest { check: "(loop br 0) i32.const 0", ..PASSES };
    refused(&loops.write("ponders"), "cannot check its settings: the probe was not done within its deadline of 5 s");
}

#[test]
fn a_trap_before_a_run_is_told_with_its_place_and_the_last_words() {
    let says = "(call $write (i32.const 3) (i32.const 518) (i32.const 14)) call $brew i32.const 0";
    let guest = Guest { imports: LOG, define: "(func $brew unreachable)", ..PASSES };
    let expected =
        "the probe trapped: wasm `unreachable` instruction executed; its last words: it is a teapot, in brew";
    refused(&Guest { check: says, ..guest }.write("dies-checking"), &format!("check its settings: {expected}"));
    refused(&Guest { describe: says, ..guest }.write("dies-describing"), &format!("say who it is: {expected}"));
}

#[test]
fn a_core_module_with_the_contracts_types_is_a_probe() {
    taken(&PASSES.write_module("module"));
    refused(&write("core", &wat::parse_str("(module)").unwrap()), "does not say for which interfaces it is built");
    let untyped = r#"(module (@custom "component-type:probe" "\00asm"))"#;
    refused(&write("untyped", &wat::parse_str(untyped).unwrap()), "cannot be made a component");
    let foreign = Guest { imports: r#"(import "env" "puts" (func))"#, ..PASSES };
    refused(&foreign.write_module("emscripten"), "`env`");
    let torn = std::fs::read(PASSES.write_module("whole-module")).unwrap();
    refused(&write("torn-module", &torn[..torn.len() / 2]), "cannot be made a component");
}

#[test]
fn a_component_that_is_allowed_no_host_is_warned_of() {
    let file = Guest { imports: HTTP, ..PASSES }.write("requests");
    let warned = finish(sentrynet().args(["check", "-"]), &of(&file));
    let expected = "warning: this component is to make HTTP requests, and this probe allows it no host: \
                    add `allow: {hosts: [host.example]}` there";
    assert!(warned.code == 0 && warned.stderr.contains(expected), "{}", warned.stderr);
    let allowed = of(&file).replace("log: true", "hosts: [shop.example]");
    assert_eq!(finish(sentrynet().env("SENTRYNET_LOG", "warn").args(["check", "-"]), &allowed).stderr, "");
}

/// As zig and wasi-libc leave it: with calls of the WASI of before there were components.
#[test]
fn a_core_module_may_call_a_c_library() {
    let import = r#"(import "wasi_snapshot_preview1" "NAME" (func $wasi PARAMS))"#;
    let writes = import.replace("NAME", "fd_write").replace("PARAMS", "(param i32 i32 i32 i32) (result i32)");
    let run = "(i32.store8 (i32.const 532) (i32.const 10))
        (i32.store (i32.const 1800) (i32.const 518)) (i32.store (i32.const 1804) (i32.const 15))
        (drop (call $wasi (i32.const 2) (i32.const 1800) (i32.const 1) (i32.const 1808))) i32.const 0";
    let guest = Guest { imports: writes.leak(), run, ..PASSES };
    let (_, runs) = once(&of(&guest.write_module("prints")));
    assert_eq!(runs[0]["outcome"], "passed", "{:#}", runs[0]);
    assert_eq!(runs[0]["log"][0]["message"], "it is a teapot", "{:#}", runs[0]);

    let exits = import.replace("NAME", "proc_exit").replace("PARAMS", "(param i32)");
    let guest = Guest { imports: exits.leak(), run: "(call $wasi (i32.const 1)) i32.const 0", ..PASSES };
    let (code, runs) = once(&of(&guest.write_module("exits")));
    assert_eq!((code, &runs[0]["failure"]["reason"]), (3, &json!("trap")), "{:#}", runs[0]);
    assert_eq!(runs[0]["failure"]["message"], "the probe ended itself with exit status 1, where it was to return");
}

#[test]
fn versions_of_the_contract() {
    taken(&PASSES.write_for_version("next", "0.1.1"));
    taken(&PASSES.write_for_version("newer", "0.1.3"));
    let log = r#"(import "sentrynet:probe/log@0.1.3" "write" (func $write (param i32 i32 i32)))"#;
    taken(&Guest { imports: log, ..PASSES }.write_for_version("newer-log", "0.1.3"));
    let other = "is built for version 0.2.0 of the contract, this host speaks 0.1.0: build the probe with";
    refused(&PASSES.write_for_version("later", "0.2.0"), other);
    let candidate = "is built for version 0.1.0-rc.1 of the contract";
    refused(&PASSES.write_for_version("candidate", "0.1.0-rc.1"), candidate);
}

#[test]
fn what_a_newer_contract_has_is_named() {
    let newer = |text: String| text.replace("@0.1.0", "@0.1.3");
    let function = r#"(import "sentrynet:probe/log@0.1.3" "flush" (func $flush))"#;
    let with_function = |text: String| newer(text).replace("interface log {", "interface log {\n  flush: func();");
    refused(
        &Guest { imports: function, ..PASSES }.write_for("flushes", &with_function),
        "is built for another version of the contract: it imports `flush` of `sentrynet:probe/log@0.1.3`",
    );
    let interface = r#"(import "sentrynet:probe/dns@0.1.3" "ask" (func $ask))"#;
    let with_interface = |text: String| {
        let text = newer(text).replace("interface log {", "interface dns {\n  ask: func();\n}\n\ninterface log {");
        text.replace("import log;", "import log;\n  import dns;")
    };
    refused(
        &Guest { imports: interface, ..PASSES }.write_for("asks", &with_interface),
        "it imports `sentrynet:probe/dns@0.1.3`, which is not in 0.1.0",
    );
}

/// A component that exports a prober, as far as its name goes, and imports these.
fn importing(name: &str, imports: &[&str]) -> std::path::PathBuf {
    let imports: String =
        imports.iter().map(|name| format!(r#"(import "{name}" (instance (export "open" (func))))"#)).collect();
    let text =
        format!(r#"(component {imports} (instance $none) (export "sentrynet:probe/prober@0.1.0" (instance $none)))"#);
    write(name, &wat::parse_str(text).expect("the component is WAT"))
}

#[test]
fn every_import_that_the_host_does_not_have_is_named() {
    refused(
        &importing("doors", &["acme:door/open@1.0.0", "wasi:cli/environment@0.2.0", "acme:door/shut"]),
        "imports `acme:door/open@1.0.0`, `acme:door/shut`, which this host does not have: build it without them",
    );
    refused(
        &importing("wasi", &["wasi:http/handler@0.3.0", "wasi:keyvalue/store@0.2.0"]),
        "imports `wasi:http/handler@0.3.0`, `wasi:keyvalue/store@0.2.0`, which this host does not have: \
         build it for WASI 0.2",
    );
    let many: Vec<_> = (0..500).map(|number| format!("acme:a{number}/open")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    refused(&importing("many", &many), "`acme:a9/open` and 490 more, which");
    refused(&importing("none", &[]), "does not fit the contract");
}
