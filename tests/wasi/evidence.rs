//! What an error event says of sockets and lookups.

use std::io::{Read, Write};

use serde_json::{Value, json};

use crate::evidence::{event, told};
use crate::guests::{Guest, PASSES};
use crate::support::free_port;
use crate::support::slow::listen;
use crate::wasi::script::{DEFINE, IMPORTS, with};
use crate::wasi::sockets::connect;

/// A probe that does this, and finds its target wrong.
fn probe(name: &str, script: &str, hosts: &str) -> String {
    // A failure lies there.
    let run = format!("{script} i32.const 128");
    let guest = Guest { imports: IMPORTS, define: DEFINE, run: run.leak(), ..PASSES };
    let path = guest.write_with_wasi(&format!("evidence-{name}"), "0.2.3");
    let allow = format!("{{log: true, hosts: [{hosts}]}}");
    format!("groups: [{{probes: [{{probe: '{}', title: t, allow: {allow}}}]}}]", path.display())
}

#[track_caller]
fn connection(event: &Value, expected: &Value) {
    assert_eq!(&event["contexts"]["connection"], expected, "{:#}", event["contexts"]);
}

#[test]
fn a_target_that_answers_and_hangs_up() {
    // More than is kept, and a credential among it.
    let port = listen(|mut peer| {
        let mut heard = [0; 100];
        let _ = peer.read(&mut heard);
        let _ = peer.write_all(format!("-ERR password=hunter2 {}", "no ".repeat(1000)).as_bytes());
    });
    let hear = "(call $talk) (call $hear) (call $hear) (call $hear) (call $hear) (call $hear)";
    let script = with("localhost", &format!("(call $call-by-name LENGTH (i32.const {port}))"));
    // That talks once; the rest of what is said is heard on a connection that is named by its address.
    let by_name = event("tcp-by-name", &probe("by-name", &script, &format!("'localhost:{port}'")));
    let expected = json!({
        "phase": "receive",
        "names": ["localhost"],
        "resolved": by_name["contexts"]["connection"]["resolved"],
        "peer": format!("127.0.0.1:{port}"),
    });
    connection(&by_name, &expected);
    let resolved = expected["resolved"].as_array().expect("it has addresses");
    assert!(resolved.contains(&json!("127.0.0.1")), "{resolved:?}");

    let (event, all) = told("tcp", &probe("answers", &connect(port, hear), "127.0.0.1"));
    connection(&event, &json!({ "phase": "receive", "peer": format!("127.0.0.1:{port}") }));
    let tcp = &event["contexts"]["tcp"];
    assert_eq!((&tcp["sent"], &tcp["received"]["size"], &tcp["closed"]), (&json!(6), &json!(3022), &json!(true)));
    let text = tcp["received"]["text"].as_str().expect("it is text");
    assert!(text.starts_with("-ERR password=[Filtered] no no"), "{text}");
    assert!(!all.contains("hunter2"), "{all}");
}

#[test]
fn nobody_listens_there() {
    let port = free_port();
    let event = event("tcp-refused", &probe("refused", &connect(port, ""), "127.0.0.1"));
    connection(&event, &json!({ "phase": "connect", "error": "connect", "peer": format!("127.0.0.1:{port}") }));
    assert_eq!(event["contexts"]["tcp"], json!({ "sent": 0, "received": { "size": 0, "text": "" } }));
    let spans = event["breadcrumbs"]["values"].as_array().expect("there are breadcrumbs");
    assert!(
        spans.iter().any(|crumb| crumb["message"].as_str().is_some_and(|text| text.contains("127.0.0.1"))),
        "{spans:#?}"
    );
}

#[test]
fn what_stands_in_the_end_counts_and_not_what_was_tried_before() {
    let (gone, port) = (free_port(), listen(|mut peer| drop(peer.write_all(b"hello"))));
    let script = format!("{} {}", connect(gone, ""), connect(port, "(call $talk)"));
    // Another target is another matter.
    let event = event("tcp-another", &probe("another", &script, "127.0.0.1"));
    assert_eq!(event["contexts"]["connection"]["peer"], format!("127.0.0.1:{gone}"));
}

#[test]
fn a_name_that_nobody_knows() {
    let script = with("nobody.invalid", "(call $call-by-name LENGTH (i32.const 80))");
    let event = event("dns-unknown", &probe("unknown", &script, "nobody.invalid"));
    let expected = json!({ "phase": "dns", "error": "dns", "names": ["nobody.invalid"], "peer": "nobody.invalid" });
    connection(&event, &expected);
    assert_eq!(event["contexts"].get("tcp"), None);
}
