//! Hostile components that use names of the host, of Sentry or of other probes: tags, attributes, reasons, titles and
//! monitors.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::guests::{Guest, PASSES, titled_guest};
use crate::support::receiver::Receiver;
use crate::support::running::RunningProgram;
use crate::support::{eventually, run_command, run_once, sentrynet};

const SPAN_CALLS: &str = r#"(import "sentrynet:probe/span@0.1.0" "[constructor]span" (func $span (param i32 i32 i32 i32) (result i32)))
    (import "sentrynet:probe/span@0.1.0" "[method]span.set-data" (func $attribute (param i32 i32 i32 i32 i64 i32)))
    (import "sentrynet:probe/span@0.1.0" "set-data" (func $data (param i32 i32 i32 i64 i32)))
    (import "sentrynet:probe/span@0.1.0" "set-tag" (func $tag (param i32 i32 i32 i32)))"#;

/// The value of each tag and attribute that the guest sets.
const FORGED: &str = "forged";
/// Names that the guest may set: those at the end are like reserved ones.
const FREE: &[&str] = &["mood", "my.vantage"];
/// Names of the host and of Sentry, in several spellings.
const RESERVED_TAGS: &[&str] = &[
    "vantage",
    "recovered_after",
    "skipped",
    "attempts",
    "probe",
    "outcome",
    "reason",
    "title",
    "environment",
    "release",
    "server_name",
    "user",
    "sentrynet.skipped",
    "sentrynet.new",
    "sentry:release",
    "Vantage",
    " vantage",
];
const RESERVED_DATA: &[&str] = &[
    "sentrynet.lateness_ms",
    "sentrynet.skipped",
    "sentrynet.outage.runs",
    "sentrynet.outage.seconds",
    "sentrynet.spans_dropped",
    "sentrynet.new",
    "spans.left_out",
    "sentry.op",
];

/// Returns a guest that sets all these names to [`FORGED`], on the run and on a span of its own that looks like the
/// host's, and passes.
fn forging_guest() -> Guest {
    let (mut texts, mut calls, mut at) = (String::new(), String::new(), 100_000);
    let mut place = |text: &str| {
        let _ = write!(texts, "(data (i32.const {at}) \"{text}\")");
        at += text.len();
        format!("(i32.const {}) (i32.const {})", at - text.len(), text.len())
    };
    let (op, value) = (place("http.client"), place(FORGED));
    let (value_at, value_length) = value.split_once(") (").expect("there are two numbers");
    let text_value = format!("(i32.const 0) {}) ({value_length}", value_at.replace("(i32.const ", "(i64.const "));
    let _ = write!(calls, "(local.set $own (call $span {op} {value}))");
    for name in RESERVED_TAGS.iter().chain(FREE).chain(&["te/am"]) {
        let _ = write!(calls, "(call $tag {} {value})", place(name));
    }
    for name in RESERVED_DATA.iter().chain(FREE) {
        let name = place(name);
        let _ =
            write!(calls, "(call $data {name} {text_value}) (call $attribute (local.get $own) {name} {text_value})");
    }
    let define = format!("{texts} (func $forge (local $own i32) {calls})");
    Guest { imports: SPAN_CALLS, define: define.leak(), run: "call $forge i32.const 0", ..PASSES }
}

#[test]
fn a_guest_sets_no_name_of_the_host() {
    let receiver = Receiver::start();
    let probe = forging_guest().write("forges");
    let configuration = format!(
        "sentry: {{dsn: '{}', server_name: here, release: real@1, environment: real}}\ngroups:\n  - probes:\n      \
         - {{probe: '{}', title: Shop, tags: {{te-am: operators}}}}\n",
        receiver.dsn(),
        probe.display()
    );
    let (code, runs) = run_once(&configuration);
    assert_eq!((code, &runs[0]["outcome"]), (0, &json!("passed")), "{:#}", runs[0]);
    assert_eq!(runs[0]["tags"], json!({ "mood": FORGED, "my.vantage": FORGED, "te-am": "operators", "te/am": FORGED }));
    for span in &runs[0]["spans"].as_array().expect("a run has spans")[..2] {
        assert_eq!(span["data"], json!({ "mood": FORGED, "my.vantage": FORGED }), "{span:#}");
    }
    let log = runs[0]["log"].as_array().expect("a run has a log");
    let line = "the tag `vantage` is left out: the host and Sentry set names like this themselves";
    assert_eq!((log.len(), &log[0]["message"], &log[0]["level"]), (1, &json!(line), &json!("warn")), "{log:#?}");

    let transaction = receiver.wait_for_payloads(1, "transaction").remove(0);
    assert_eq!(
        transaction["tags"],
        json!({ "mood": FORGED, "my.vantage": FORGED, "outcome": "passed", "probe": "forges", "te-am": "operators" })
    );
    for (field, expected) in [("transaction", "Shop"), ("release", "real@1"), ("server_name", "here")] {
        assert_eq!(transaction[field], expected);
    }
    let trace = &transaction["contexts"]["trace"];
    assert!(trace["data"]["sentrynet.lateness_ms"].is_number(), "{trace:#}");
    assert_eq!((&trace["op"], &trace["origin"]), (&json!("forges"), &json!("auto.uptime.sentrynet")));
    let span = &transaction["spans"][0];
    assert_eq!((&span["op"], &span["origin"]), (&json!("http.client"), &json!("manual.uptime.component")));
}

/// Fails with sixteen random letters as its reason.
const RANDOM_REASON: Guest = Guest {
    imports: r#"(import "wasi:random/random@0.2.6" "get-random-u64" (func $random (result i64)))"#,
    define: r"(func $choose (local $bits i64) (local $at i32)
        (local.set $bits (call $random))
        (loop
          (i32.store8 offset=100000 (local.get $at)
            (i32.add (i32.const 97) (i32.and (i32.wrap_i64 (local.get $bits)) (i32.const 15))))
          (local.set $bits (i64.shr_u (local.get $bits) (i64.const 4)))
          (local.set $at (i32.add (local.get $at) (i32.const 1)))
          (br_if 0 (i32.lt_u (local.get $at) (i32.const 16))))
        (i32.store (i32.const 136) (i32.const 100000))
        (i32.store (i32.const 140) (i32.const 16)))",
    run: "call $choose i32.const 128",
    ..PASSES
};

#[test]
fn random_reasons_make_a_bounded_number_of_issues() {
    let receiver = Receiver::start();
    let random = "package wasi:random@0.2.6; interface random { get-random-u64: func() -> u64; }";
    let probe = RANDOM_REASON.write_importing("reasons", &[("random", "wasi:random/random@0.2.6", random)]);
    let configuration = format!(
        "sentry: {{dsn: '{}'}}\ngroups:\n  - probes:\n      - {{probe: '{}', title: Shop, every: 0.05}}\n",
        receiver.dsn(),
        probe.display()
    );
    let _running = RunningProgram::start_with_config("reasons", &configuration, Stdio::null());
    let errors = eventually("sixty errors", || {
        let errors = receiver.wait_for_payloads(1, "event");
        (errors.len() >= 60).then_some(errors)
    });
    let distinct = |value: fn(&Value) -> &Value| errors.iter().map(|it| value(it).to_string()).collect::<BTreeSet<_>>();
    assert_eq!(distinct(|error| &error["fingerprint"]).len(), 21, "twenty reasons, and one Issue for all others");
    assert_eq!(distinct(|error| &error["exception"]["values"][0]["type"]).len(), 21);
    assert_eq!(distinct(|error| &error["tags"]["reason"]).len(), errors.len(), "the reason itself stays visible");
    let others = json!(["probe-failed", "reasons", "Shop", "other"]);
    assert_eq!(errors.iter().filter(|error| error["fingerprint"] == others).count(), errors.len() - 20);
}

#[test]
fn a_guest_takes_neither_the_title_nor_the_monitor_of_another_probe() {
    let receiver = Receiver::start();
    for (name, title, expected) in [
        ("same", "Shop", "same (groups/0/probes/0)"),
        ("alike", "SHOP!", "alike (groups/0/probes/0)"),
        ("built-in", "GET http://127.0.0.1:1/a", "built-in (groups/0/probes/0)"),
        ("monitor", "Basket", "monitor (groups/0/probes/0)"),
        ("no-slug", "404", "no-slug (groups/0/probes/0)"),
        ("own", "Redis", "Redis"),
    ] {
        let probe = titled_guest(title).write(&format!("titled-{name}"));
        let module = format!("modules:\n  {name}: {{component: '{}'}}\n", probe.display());
        let probes = format!(
            "groups:\n  - probes:\n      - {{probe: {name}, check_in: true}}\n      - {{probe: http, title: Shop, url: \
             'http://127.0.0.1:1/', check_in: true}}\n      - {{probe: http, url: 'http://127.0.0.1:1/a', check_in: \
             {{slug: basket}}}}\n"
        );
        let configuration = format!("sentry: {{dsn: '{}'}}\n{module}{probes}", receiver.dsn());
        let (_, runs) = run_once(&configuration);
        let titles: Vec<_> = runs.iter().map(|run| run["title"].as_str().expect("a title is text")).collect();
        assert_eq!(titles[..2], [expected, "Shop"]);
        assert!(!titles[2..].contains(&expected), "{titles:?}");
        let checked = run_command(sentrynet().args(["check", "-"]), &configuration);
        assert_eq!(checked.code, 0, "{name} stops no start: {}", checked.stderr);
        let warnings = checked.stderr.matches("the component calls this probe").count();
        assert_eq!(warnings, usize::from(expected != title), "{}", checked.stderr);
    }
    // The monitors of the operator's probes get their own check-ins alone, which are errors; the hostile probes pass.
    let check_ins = receiver.wait_for_payloads(48, "check_in");
    let of = |slug: &str| check_ins.iter().filter(|it| it["monitor_slug"] == slug).collect::<Vec<_>>();
    for slug in ["shop", "basket"] {
        assert_eq!(of(slug).len(), 6, "{slug}");
        assert!(of(slug).iter().all(|it| it["status"] == "error"), "{slug}");
    }
    assert_eq!(of("same-groups-0-probes-0").len(), 1);
}
