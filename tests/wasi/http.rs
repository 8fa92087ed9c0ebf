//! Requests by `wasi:http`.

use std::time::Duration;

use crate::support::target::Target;
use crate::support::{free_port, slow, spans};
use crate::wasi::script::with;
use crate::wasi::{run, said, told};

const REQUEST: &str = "(call $receive (call $send (call $request LENGTH)))";

fn to(port: u16, script: &str) -> String {
    with(&format!("127.0.0.1:{port}"), script)
}

const ALLOW: &str = "allow: {log: true, hosts: [127.0.0.1]}";

#[test]
fn a_request_is_in_the_waterfall_as_ours_are() {
    let target = Target::answering(|_| "200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nearl\n".to_owned());
    let run = run("requests", &to(target.port, REQUEST), ALLOW);
    // The status, the body, and that there is no more of it.
    assert_eq!(said(&run), ["00", "earl\n", "01"]);
    let asked = target.once();
    assert_eq!(asked.line, "GET /tea HTTP/1.1");
    assert_eq!(asked.header("host"), Some(format!("127.0.0.1:{}", target.port).as_str()));
    let all = run["spans"].as_array().expect("a run has spans");
    let ops: Vec<_> = all.iter().map(|span| span["op"].as_str().unwrap_or_default()).collect();
    let phases = ["", ".connect", ".send", ".wait", ".receive"].map(|phase| format!("http.client{phase}"));
    assert_eq!(ops[1..], phases, "{run:#}");
    let request = spans(&run, "http.client")[0];
    assert_eq!(request["description"], format!("GET http://127.0.0.1:{}/tea", target.port));
    assert_eq!((&request["status"], &request["data"]["http.response.status_code"]), (&"ok".into(), &200.into()));
    assert_eq!(request["data"]["http.response.body.size"], 5);
}

#[test]
fn what_the_guest_writes_is_sent() {
    let target = Target::new();
    let post = "(local $request i32)
        (local.set $request (call $request LENGTH))
        (drop (call $set-method (local.get $request) (i32.const 2) (i32.const 0) (i32.const 0)))
        (call $request-body (local.get $request) (i32.const 1200))
        (global.set $socket (i32.load offset=4 (i32.const 1200)))
        (local.set $request (call $send (local.get $request)))
        (call $body-stream (global.get $socket) (i32.const 1200))
        (global.set $output (i32.load offset=4 (i32.const 1200)))
        (call $write (global.get $output) (i32.const 512) (i32.const 6) (i32.const 1200))
        (call $write (global.get $output) (i32.const 512) (i32.const 3) (i32.const 1200))
        (call $drop-output (global.get $output))
        (call $finish-body (global.get $socket) (i32.const 0) (i32.const 0) (i32.const 1200))
        (call $receive (local.get $request))";
    let (local, post) = post.split_once('\n').expect("it has lines");
    let run = run("posts", &format!("{local} {}", to(target.port, post)), ALLOW);
    assert_eq!(said(&run)[0], "00");
    let asked = target.once();
    assert_eq!((asked.line.as_str(), asked.body.as_str()), ("POST /tea HTTP/1.1", "teapottea"));
    assert_eq!(asked.header("content-length"), Some("9"));
}

#[test]
fn a_host_that_is_not_allowed_is_not_asked() {
    const DENIED: &str = "15";
    let target = Target::new();
    let run_at = run("requests-denied", &to(target.port, REQUEST), "allow: {log: true, hosts: ['*']}");
    assert_eq!(said(&run_at), [DENIED]);
    let why = format!("`127.0.0.1:{0}`, a loopback address, is not allowed: add `127.0.0.1:{0}` to", target.port);
    assert!(told(&run_at)[0].starts_with(&why), "{run_at:#}");
    // Whom the URL is for is read once: what stands before an `@` is nobody.
    let disguised = with(&format!("127.0.0.1@shop.test:{}", target.port), REQUEST);
    let run = run("requests-disguised", &disguised, ALLOW);
    assert_eq!(said(&run), [DENIED]);
    assert!(told(&run)[0].starts_with(&format!("`shop.test:{}` is not allowed", target.port)), "{run:#}");
    assert_eq!(target.asked().len(), 0);
}

#[test]
fn redirects_are_the_guests_to_follow() {
    let target = Target::answering(|_| {
        "302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
    });
    let run = run("redirected", &to(target.port, REQUEST), ALLOW);
    assert_eq!(said(&run)[0], "02");
    assert_eq!(spans(&run, "http.client").len(), 1);
}

#[test]
fn several_are_in_flight_at_once_under_the_span_that_was_open() {
    let port = slow::answer(Duration::from_millis(300), Duration::ZERO);
    let both = "(local $one i32) (local $two i32)
        (local.set $one (call $send (call $request LENGTH)))
        (drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6)))
        (local.set $two (call $send (call $request LENGTH)))
        (call $receive (local.get $two)) (call $receive (local.get $one))";
    let (locals, both) = both.split_once('\n').expect("it has lines");
    let run = run("requests-both", &format!("{locals} {}", to(port, both)), ALLOW);
    assert_eq!(said(&run).len(), 6);
    let (both, step) = (spans(&run, "http.client"), spans(&run, "third"));
    assert_eq!((both.len(), step.len()), (2, 1), "{run:#}");
    let parents = both.iter().map(|span| &span["parent_span_id"]).collect::<Vec<_>>();
    assert!(parents.contains(&&step[0]["span_id"]) && parents.contains(&&run["spans"][0]["span_id"]), "{run:#}");
    let lasted = run["duration_ms"].as_f64().expect("a duration is a number");
    assert!((300.0..550.0).contains(&lasted), "one after the other: {lasted} ms");
}

#[test]
fn an_answer_that_nobody_waits_for_is_cancelled() {
    let port = slow::answer(Duration::from_secs(5), Duration::ZERO);
    let drop_it = "(local $future i32)
        (local.set $future (call $send (call $request LENGTH)))
        (call $pause (i64.const 100000000))
        (call $drop-answer (local.get $future))
        (call $pause (i64.const 100000000))";
    let (local, drop_it) = drop_it.split_once('\n').expect("it has lines");
    let run = run("gives-a-request-up", &format!("{local} {}", to(port, drop_it)), ALLOW);
    assert_eq!(said(&run), [""; 0]);
    let request = spans(&run, "http.client")[0];
    assert_eq!(request["status"], "cancelled", "{run:#}");
    assert!(request["duration_ms"].as_f64().is_some_and(|lasted| (90.0..190.0).contains(&lasted)), "{run:#}");
}

#[test]
fn what_goes_wrong_has_its_code() {
    let run_of = |name, port, script| run(name, &to(port, script), ALLOW);
    let refused = run_of("requests-nobody", free_port(), REQUEST);
    assert_eq!(said(&refused), ["06"]);
    assert_eq!(spans(&refused, "http.client")[0]["status"], "unavailable");
    let silent = slow::answer(Duration::from_secs(5), Duration::ZERO);
    let impatient = "(global.set $socket (call $options))
        (drop (call $set-first-byte (global.get $socket) (i32.const 1) (i64.const 200000000)))
        (call $handle (call $request LENGTH) (i32.const 1) (global.get $socket) (i32.const 1200))
        (call $receive (i32.load offset=8 (i32.const 1200)))";
    let late = run_of("requests-impatiently", silent, impatient);
    assert_eq!(said(&late), ["33"]);
    assert_eq!(spans(&late, "http.client.wait")[0]["status"], "deadline_exceeded");
    let target = Target::answering(|_| "200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nshort".to_owned());
    // As far as it came, then why it came no further.
    assert_eq!(said(&run_of("requests-torn", target.port, REQUEST)), ["00", "short", "00"]);
}

#[test]
fn ceilings_hold_for_what_is_in_flight() {
    let port = slow::answer(Duration::from_secs(5), Duration::ZERO);
    let flood = to(port, "(loop (drop (call $send (call $request LENGTH))) (call $pause (i64.const 1000000)) (br 0))");
    for (limit, expected) in [
        ("requests: 20", "the probe made more than its 20 requests"),
        ("connections: 5", "the probe had more than its 5 connections"),
    ] {
        let run = run("requests-on", &flood, &format!("{ALLOW}, limits: {{{limit}}}"));
        let message = run["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with(expected), "{run:#}");
    }
    let target = Target::answering(|_| format!("200 OK\r\ncontent-length: 4096\r\n\r\n{}", "x".repeat(4096)));
    let run = run("receives-on", &to(target.port, REQUEST), &format!("{ALLOW}, limits: {{received: 1 KiB}}"));
    assert_eq!(run["failure"]["message"].as_str().map(|it| it.starts_with("the probe received more")), Some(true));
}
