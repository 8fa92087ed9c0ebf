//! The structure of `host/src`: the crates and top-level modules that each module may name, no cycles between the files
//! of a top-level module, and no deep folders.
//!
//! A top-level module is a module directly below the root, with all files in its folder.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use modules::Modules;

mod modules;

/// Crates and top-level modules, each with the modules that may name it.
pub const ALLOWED_DEPENDENCIES: &[(&str, &[&str])] = &[
    ("serde_yaml", &["config"]),
    ("granit_parser", &["config"]),
    ("wasmtime", &["sandbox", "capability"]),
    ("wit_component", &["sandbox/component"]),
    ("addr2line", &["sandbox/component"]),
    ("wasmtime_wasi", &["capability/wasi", "capability/record_replay"]),
    ("wasmtime_wasi_http", &["capability/wasi", "capability/record_replay"]),
    ("reqwest", &["sink/sentry"]),
    ("hyper", &["capability/http"]),
    ("hyper_util", &["capability/http"]),
    ("russh", &["capability/ssh"]),
    (
        "ring",
        &[
            "capability/ssh",
            "capability/http/signature_cache",
            "capability/http/pkcs12",
            "capability/http/password_encryption",
            "sandbox/component",
        ],
    ),
    // The clocks of threads, the limit on open files and the names of error codes, which the standard library does not
    // provide.
    (
        "nix",
        &[
            "capability/shortage",
            "capability/cpu_clock",
            "sandbox/epoch",
            "sandbox/suspension",
            "sandbox/system_limits",
            "sandbox/component/compiler_main",
            "service",
            "command/run/watch",
        ],
    ),
    ("rustix", &["private_directory", "sandbox/component", "capability/regular_file", "command/run"]),
    // The DSN is parsed once, with the rest of the configuration.
    ("sentry", &["sink/sentry", "config", "propagation"]),
    ("crate::assessment", &["sink", "assessment"]),
    ("crate::capability", &["sandbox", "capability"]),
    ("crate::command", &[]),
    (
        "crate::config",
        &[
            "loading",
            "sandbox",
            "capability",
            "sink/report",
            "sink/sentry",
            "sink/sinks",
            "propagation",
            "config",
            "import",
        ],
    ),
    ("crate::file_version", &["config", "capability", "sandbox"]),
    ("crate::import", &["import"]),
    ("crate::loading", &[]),
    ("crate::logging", &["command", "output"]),
    ("crate::output", &["command"]),
    ("crate::plain_error", &["capability", "sink/sentry"]),
    ("crate::printable", &["sink/console", "sink/report", "sink/text", "redaction", "config", "capability", "import"]),
    ("crate::private_directory", &["sandbox/component", "sink/sentry/spool"]),
    ("crate::propagation", &["loading", "sandbox", "capability", "sink/sentry"]),
    ("crate::recording", &["sandbox", "capability/record_replay", "capability/http/response", "redaction"]),
    // A replay compares calls with the placeholders of redacted secrets.
    ("crate::redaction", &["loading", "sandbox", "config", "redaction", "capability/record_replay", "import"]),
    ("crate::run", &["loading", "sandbox", "capability", "sink", "assessment", "redaction", "recording"]),
    ("crate::sandbox", &["schedule", "loading", "sandbox"]),
    ("crate::schedule", &[]),
    ("crate::schema", &["sandbox", "config"]),
    ("crate::service", &["command/run"]),
    ("crate::sink", &["schedule", "sink"]),
    ("crate::threads", &["sandbox", "sink/report", "sink/sentry", "workers"]),
    ("crate::time_format", &["capability", "sink"]),
    ("crate::trace", &["sandbox", "capability", "sink", "assessment", "propagation", "redaction", "run", "recording"]),
    ("crate::trust_store", &["capability/http", "sink/sentry"]),
    ("crate::workers", &["schedule"]),
];

#[test]
fn modules_name_only_allowed_dependencies() {
    let mut wrong = Vec::new();
    for (module, text) in source_files() {
        // The roots of the library and of the program may use everything.
        if module == "lib" || module == "main" {
            continue;
        }
        for (name, allowed) in ALLOWED_DEPENDENCIES {
            if !allowed.iter().any(|allowed| is_inside(&module, allowed)) && names(&text, name) {
                wrong.push(format!("{module} names {name}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The modules that may write to standard output or standard error. What they write is escaped. The streams of the
/// process that compiles components lead to the host.
const WRITERS: &[&str] =
    &["logging", "logging/status_line", "logging/stderr", "output", "sink/console", "sandbox/component/compiler_main"];

#[test]
fn only_writers_that_escape_name_the_standard_streams() {
    let streams = ["io::stdout", "io::stderr", "anstream::std", "print!(", "println!(", "dbg!("];
    let mut found = Vec::new();
    for (module, text) in source_files() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let used: Vec<_> =
            streams.into_iter().filter(|stream| code.clone().any(|line| line.contains(stream))).collect();
        match (WRITERS.contains(&module.as_str()), used.is_empty()) {
            (false, false) => found.push(format!("{module} names {used:?}")),
            (true, true) => found.push(format!("{module} names none")),
            _ => {}
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}

/// The modules of capabilities that write to the host's log. Each bounds how much a guest or a target can make it
/// write.
const LOG_WRITERS: &[&str] = &[
    "capability/http/tls",
    "capability/operator_warnings",
    "capability/probe_context",
    "capability/record_replay/replay",
];

#[test]
fn only_modules_with_a_bound_write_what_guests_cause_to_the_log() {
    let writes = |text: &str| text.lines().any(|line| line.trim_start().starts_with("tracing::"));
    let source = source_files();
    let inside = source.iter().filter(|(module, _)| is_inside(module, "capability"));
    let found: Vec<_> = inside.filter(|(_, text)| writes(text)).map(|(module, _)| module.as_str()).collect();
    assert_eq!(found, LOG_WRITERS);
}

/// The interfaces whose calls are neither counted nor recorded. `capability/wasi` says why.
const NOT_COUNTED: &[&str] = &[
    "environment",
    "exit",
    "terminal_input",
    "terminal_output",
    "terminal_stdin",
    "terminal_stdout",
    "terminal_stderr",
    "preopens",
    "types",
    "udp",
];

#[test]
fn every_call_of_a_guest_is_counted_and_recorded() {
    let source = source_files();
    let inside: Vec<_> = source.iter().filter(|(module, _)| is_inside(module, "capability")).collect();
    // All interfaces are added one by one, and lead to `Intercepted`.
    let mut not_counted = Vec::new();
    for (module, text) in &inside {
        for line in code_of(text).filter(|line| line.contains("add_to_linker")) {
            let interface = line.split("::add_to_linker").next().unwrap_or_default().trim();
            if module.as_str() == "capability/wasi" {
                not_counted.push(interface);
            } else {
                assert!(line.contains("|context| Intercepted(context))"), "{module}: {line}");
            }
        }
    }
    assert_eq!(not_counted, NOT_COUNTED);
    // `Intercepted` implements functions in the table alone, where each has a line.
    for (module, text) in &inside {
        for line in code_of(text).filter(|line| line.contains("for Intercepted<'_>")) {
            let is_macro = module.as_str() == "capability/record_replay/intercept" && line.contains("impl $host for");
            assert!(is_macro || line.ends_with("for Intercepted<'_> {}"), "{module}: {line}");
        }
    }
    let table = source["capability/record_replay/intercept"].as_str();
    let (uncounted, counted) = (table.matches("<_ as $host>::").count(), table.matches("@count $result").count());
    // Two lines make a call within `@count`; its pattern is the third.
    assert_eq!((uncounted, counted), (2, 3), "the table makes calls that are not counted");
}

/// Functions that block the thread that calls them, with the modules of capabilities that may use each. All of these
/// modules need a `MayBlock`, or give one to what they call.
const BLOCKING: &[(&str, &[&str])] = &[
    ("std::fs", &["capability/regular_file", "capability/regular_file/append"]),
    ("tokio::fs", &[]),
    (".exists()", &["capability/regular_file"]),
    (".metadata()", &["capability/regular_file", "capability/regular_file/append"]),
    ("canonicalize(", &[]),
    (".read_dir()", &[]),
    ("home_dir()", &["capability/regular_file"]),
    ("config::world_readable_warning", &["capability/regular_file"]),
    ("to_socket_addrs()", &["capability/host_lookup"]),
    ("std::process", &[]),
    ("std::thread", &["capability/blocking_pool", "capability/regular_file/append"]),
    ("spawn_blocking", &[]),
    ("block_in_place", &[]),
    ("block_on", &[]),
    ("blocking_lock", &[]),
    ("MayBlock(())", &["capability/blocking_pool"]),
];

#[test]
fn capabilities_block_no_thread_on_which_probes_run() {
    let source = source_files();
    for (what, allowed) in BLOCKING {
        let inside = source.iter().filter(|(module, _)| is_inside(module, "capability") && !module.ends_with("/tests"));
        let found: Vec<_> = inside
            .filter(|(_, text)| code_of(text).any(|line| line.contains(what)))
            .map(|(module, _)| module)
            .collect();
        let allowed: Vec<_> = allowed.iter().map(|module| (*module).to_owned()).collect();
        assert_eq!(found, allowed.iter().collect::<Vec<_>>(), "modules with `{what}`");
    }
}

/// Returns the lines of code before the unit tests of a file.
fn code_of(text: &str) -> impl Iterator<Item = &str> {
    let tests = text.find("#[cfg(test)]\nmod tests").unwrap_or(text.len());
    text[..tests].lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn the_allowed_dependencies_are_complete_and_used() {
    let source = source_files();
    let modules = Modules::parse(source.iter().map(|(module, text)| (module.as_str(), text.as_str())));
    let listed: Vec<_> = ALLOWED_DEPENDENCIES.iter().filter_map(|(name, _)| name.strip_prefix("crate::")).collect();
    for module in modules.top_level() {
        assert!(listed.contains(&module), "`crate::{module}` is missing in ALLOWED_DEPENDENCIES");
    }
    for module in listed {
        assert!(modules.top_level().contains(module), "ALLOWED_DEPENDENCIES has a module {module} that does not exist");
    }
    for (name, allowed) in ALLOWED_DEPENDENCIES {
        for allowed in *allowed {
            let used = source.iter().any(|(module, text)| is_inside(module, allowed) && names(text, name));
            assert!(used, "ALLOWED_DEPENDENCIES lets {allowed} name {name}, but {allowed} does not name it");
        }
    }
}

#[test]
fn no_cycle_between_the_files_of_a_top_level_module() {
    let source = source_files();
    let modules = Modules::parse(source.iter().map(|(module, text)| (module.as_str(), text.as_str())));
    let cycles: Vec<_> =
        modules.top_level().into_iter().flat_map(|name| modules::cycles(&modules.edges(name))).collect();
    assert!(cycles.is_empty(), "{cycles:#?}");
}

#[test]
fn one_function_has_unsafe_code() {
    const FILE: &str = "sandbox/component/precompiled";
    let mut found = Vec::new();
    for (module, text) in source_files() {
        let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        let uses = code.filter(|line| line.contains("unsafe {") || line.contains("unsafe_code"));
        found.extend(uses.map(|line| (module.clone(), line.trim().split('(').next().unwrap_or_default().to_owned())));
    }
    let expected = ["#[expect", "unsafe { Component::deserialize"].map(|found| (FILE.to_owned(), found.to_owned()));
    assert_eq!(found, expected);
}

#[test]
fn no_file_is_below_more_than_four_folders() {
    const MAX_FOLDERS: usize = 4;
    let deep: Vec<_> = source_files().into_keys().filter(|it| it.matches('/').count() > MAX_FOLDERS).collect();
    assert!(deep.is_empty(), "{deep:#?}");
}

#[test]
fn uses_of_a_name_are_found_in_source() {
    assert!(names("use wasmtime::Store;", "wasmtime"));
    assert!(names("    let x = crate::sink::report();", "crate::sink"));
    assert!(!names("use wasmtime_wasi::WasiCtx;", "wasmtime"));
    assert!(!names("// use wasmtime::Store;", "wasmtime"));
    assert!(!names("use crate::sink::sentry::X;", "sentry"));
}

#[track_caller]
fn check_cycles(files: &[(&str, &str)], expected: &[&str]) {
    let modules = Modules::parse([("lib", "mod a;"), ("a", "")].into_iter().chain(files.iter().copied()));
    assert_eq!(modules::cycles(&modules.edges("a")), expected);
}

#[test]
fn a_cycle_is_found() {
    check_cycles(
        &[("a/b", "use crate::a::c::C;\npub struct B;"), ("a/c", "fn c() { super::b::B; }\npub struct C;")],
        &["a/b names a::c::C of a/c, a/c names a::b::B of a/b"],
    );
    check_cycles(
        &[
            ("a", "mod b;\nmod c;\nmod d;"),
            ("a/b", "use super::{c::{self, X}, z};\nfn b() { c::f(); }"),
            ("a/c", "use crate::a::d::*;"),
            ("a/d", "type D = crate::a::b::B;"),
        ],
        &["a/b names a::c::X of a/c, a/c names a::d::* of a/d, a/d names a::b::B of a/b"],
    );
    // A child uses an item of its parent, and the parent uses an item of the child.
    check_cycles(
        &[("a", "mod b;\nuse b::B;\npub struct A(B);"), ("a/b", "use super::A;\npub struct B;")],
        &["a names a::b::B of a/b, a/b names a::A of a"],
    );
    // The parent also exports the child's item.
    check_cycles(
        &[("a", "mod b;\npub use b::B;\npub struct A(B);"), ("a/b", "use super::A;\npub struct B;")],
        &["a names a::b::B of a/b, a/b names a::A of a"],
    );
}

#[test]
fn re_exports_tests_and_comments_make_no_cycle() {
    // A child uses another child's item through the parent's re-export. The parent only declares and re-exports.
    check_cycles(
        &[
            ("a", "mod b;\nmod c;\npub use b::B;\npub use c::C;"),
            ("a/b", "pub struct B;"),
            ("a/c", "use crate::a::B;\npub struct C;"),
        ],
        &[],
    );
    // Paths in tests, comments and strings, and the names of methods and fields, do not count.
    check_cycles(
        &[
            ("a/b", "use super::c::C;\n#[cfg(test)]\nmod tests { use crate::a::c::b; }\npub struct B;"),
            (
                "a/c",
                "// crate::a::b::B\n#[cfg(test)]\nmod tests { use crate::a::b::B; }\nconst C: &str = \"super::b::B\";",
            ),
        ],
        &[],
    );
    check_cycles(&[("a", "mod b;\npub use b::b;\nfn f() { x.b(); }"), ("a/b", "use super::f;")], &[]);
}

/// Returns each module's path with slashes, and its text.
fn source_files() -> BTreeMap<String, String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&source).into_iter().map(|path| {
        let module = path.strip_prefix(&source).expect("the file is below the folder").with_extension("");
        (module.display().to_string(), fs::read_to_string(path).expect("source is UTF-8"))
    });
    files.collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("source can be read").flatten().map(|entry| entry.path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn is_inside(module: &str, outer: &str) -> bool {
    module.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns true if code names a crate or a module, in a `use` item or in a path.
fn names(text: &str, path: &str) -> bool {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//") && !line.contains("mod "));
    code.into_iter().any(|line| {
        line.match_indices(path).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            let after = &line[at + path.len()..];
            let begins = before.is_none_or(|before| !before.is_alphanumeric() && !"_:/\"`.".contains(before));
            begins && (after.starts_with("::") || after.starts_with(';'))
        })
    })
}
