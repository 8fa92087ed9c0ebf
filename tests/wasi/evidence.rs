//! Evidence of sockets and name lookups in error events.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::evidence::{error_event, error_event_and_output};
use crate::guests::{Guest, PASSES};
use crate::support::tcp_server::listen;
use crate::support::{free_port, run_command, sentrynet};
use crate::wasi::script::{DEFINE, IMPORTS, script_with_text};
use crate::wasi::sockets::connect_script;

/// Returns a configuration of a probe that runs this script, and then reports a failure.
fn probe_config(name: &str, script: &str, hosts: &str) -> String {
    // The guest's memory has a failure at 128.
    let run = format!("{script} i32.const 128");
    let guest = Guest { imports: IMPORTS, define: DEFINE, run: run.leak(), ..PASSES };
    let path = guest.write_with_wasi(&format!("evidence-{name}"), "0.2.3");
    let allow = format!("{{log: true, hosts: [{hosts}]}}");
    format!("groups: [{{probes: [{{probe: '{}', title: t, allow: {allow}}}]}}]", path.display())
}

#[track_caller]
fn assert_connection(event: &Value, expected: &Value) {
    assert_eq!(&event["contexts"]["connection"], expected, "{:#}", event["contexts"]);
}

#[test]
fn a_target_that_responds_and_closes_has_its_bytes_in_the_evidence() {
    // The server sends more than evidence includes, and a credential.
    let port = listen(|mut peer| {
        let mut received = [0; 100];
        let _ = peer.read(&mut received);
        let _ = peer.write_all(format!("-ERR password=hunter2 {}", "no ".repeat(1000)).as_bytes());
    });
    let hear = "(call $write-and-read) (call $read-and-log) (call $read-and-log) (call $read-and-log) (call $read-and-log) (call $read-and-log)";
    let script = script_with_text("localhost", &format!("(call $call-by-name LENGTH (i32.const {port}))"));
    // The first connection is by name, with one exchange. The second, by address, also receives the rest.
    let by_name = error_event("tcp-by-name", &probe_config("by-name", &script, &format!("'localhost:{port}'")));
    let expected = json!({
        "phase": "receive",
        "names": ["localhost"],
        "resolved": by_name["contexts"]["connection"]["resolved"],
        "peer": format!("127.0.0.1:{port}"),
    });
    assert_connection(&by_name, &expected);
    let resolved = expected["resolved"].as_array().expect("the name has addresses");
    assert!(resolved.contains(&json!("127.0.0.1")), "{resolved:?}");

    let (event, all) =
        error_event_and_output("tcp", &probe_config("answers", &connect_script(port, hear), "127.0.0.1"));
    assert_connection(&event, &json!({ "phase": "receive", "peer": format!("127.0.0.1:{port}") }));
    let tcp = &event["contexts"]["tcp"];
    assert_eq!((&tcp["sent"], &tcp["received"]["size"], &tcp["closed"]), (&json!(6), &json!(3022), &json!(true)));
    let text = tcp["received"]["text"].as_str().expect("the received bytes are shown as text");
    assert!(text.starts_with("-ERR password=[Filtered] no no"), "{text}");
    assert!(!all.contains("hunter2"), "{all}");
}

#[test]
fn a_failed_run_in_the_terminal_shows_what_a_peer_has_sent() {
    let port = listen(|mut peer| drop(peer.write_all(b"421 \x1b[2Jbusy, password=hunter2\r\n")));
    let config = probe_config("terminal", &connect_script(port, "(call $write-and-read)"), "127.0.0.1");
    let ended = run_command(sentrynet().args(["once", "-"]).env("COLUMNS", "80"), &config);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    let shown = format!("\n    127.0.0.1:{port} sent 32 bytes:\n      421 \\u{{1b}}[2Jbusy, password=[Filtered]\n");
    assert!(ended.stdout.contains(&shown), "{}", ended.stdout);
}

#[test]
fn a_refused_connection_is_in_the_evidence() {
    let port = free_port();
    let event = error_event("tcp-refused", &probe_config("refused", &connect_script(port, ""), "127.0.0.1"));
    assert_connection(&event, &json!({ "phase": "connect", "error": "connect", "peer": format!("127.0.0.1:{port}") }));
    assert_eq!(event["contexts"]["tcp"], json!({ "sent": 0, "received": { "size": 0, "text": "" } }));
    let spans = event["breadcrumbs"]["values"].as_array().expect("there are breadcrumbs");
    assert!(
        spans.iter().any(|crumb| crumb["message"].as_str().is_some_and(|text| text.contains("127.0.0.1"))),
        "{spans:#?}"
    );
}

#[test]
fn a_failed_connection_counts_although_another_target_was_reached_later() {
    let (gone, port) = (free_port(), listen(|mut peer| drop(peer.write_all(b"hello"))));
    let script = format!("{} {}", connect_script(gone, ""), connect_script(port, "(call $write-and-read)"));
    // The second connection does not replace the failed one in the evidence, because it was to another target.
    let event = error_event("tcp-another", &probe_config("another", &script, "127.0.0.1"));
    assert_eq!(event["contexts"]["connection"]["peer"], format!("127.0.0.1:{gone}"));
}

#[test]
fn a_failed_lookup_is_in_the_evidence() {
    let script = script_with_text("nobody.invalid", "(call $call-by-name LENGTH (i32.const 80))");
    let event = error_event("dns-unknown", &probe_config("unknown", &script, "nobody.invalid"));
    let expected = json!({ "phase": "dns", "error": "dns", "names": ["nobody.invalid"], "peer": "nobody.invalid" });
    assert_connection(&event, &expected);
    assert_eq!(event["contexts"].get("tcp"), None);
}
