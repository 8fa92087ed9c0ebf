//! Requests through `wasi:http`.

use std::io::{BufRead, BufReader, Read, Write};
use std::time::Duration;

use crate::support::target::Target;
use crate::support::{free_port, span_duration_ms, spans, tcp_server};
use crate::wasi::script::script_with_text;
use crate::wasi::{guest_log, host_warnings, run_script};

const REQUEST: &str = "(call $receive (call $send (call $request LENGTH)))";

/// Returns a script for a request to this port. The first line of `script` declares its locals.
fn script_with_locals(port: u16, script: &str) -> String {
    let (locals, script) = script.split_once('\n').expect("the script has several lines");
    format!("{locals} {}", script_for(port, script))
}

fn script_for(port: u16, script: &str) -> String {
    script_with_text(&format!("127.0.0.1:{port}"), script)
}

const ALLOW: &str = "allow: {log: true, hosts: [127.0.0.1]}";

#[test]
fn a_request_has_the_spans_of_the_hosts_own_requests() {
    let target = Target::responding(|_| "200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nearl\n".to_owned());
    let run = run_script("requests", &script_for(target.port, REQUEST), ALLOW);
    // The guest logs the status, the body, and the end of the body.
    assert_eq!(guest_log(&run), ["00", "earl\n", "01"]);
    let request = target.single_request();
    assert_eq!(request.line, "GET /tea HTTP/1.1");
    assert_eq!(request.header("host"), Some(format!("127.0.0.1:{}", target.port).as_str()));
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
fn another_site_of_a_server_is_not_requested_by_a_host_header() {
    let target = Target::new();
    // The fields refuse `host` as forbidden, which is error 1. The host sets it from the URL.
    let requested = "(local $fields i32)
        (local.set $fields (call $fields))
        (i32.store (i32.const 1340) (i32.const 0x74736f68))
        (call $add-field (local.get $fields) (i32.const 1340) (i32.const 4) (i32.const 512) (i32.const 6) (i32.const 1200))
        (call $log-byte-result)
        (i32.store (i32.const 1340) (i32.const 0x54534f48))
        (call $add-field (local.get $fields) (i32.const 1340) (i32.const 4) (i32.const 512) (i32.const 6) (i32.const 1200))
        (call $log-byte-result)
        (call $receive (call $send (call $request-with (local.get $fields) LENGTH)))";
    let run = run_script("host-header", &script_with_locals(target.port, requested), ALLOW);
    assert_eq!(guest_log(&run)[..3], ["01", "01", "00"]);
    let hosts: Vec<_> = target.requests().iter().map(|request| request.header("host").map(str::to_owned)).collect();
    assert_eq!(hosts, [Some(format!("127.0.0.1:{}", target.port))]);
}

#[test]
fn the_body_of_a_request_is_sent() {
    let target = Target::new();
    let post = "(local $response i32)
        (local.set $response (call $send-body (call $request LENGTH)))
        (call $write-body (i32.const 512) (i32.const 6))
        (call $write-body (i32.const 512) (i32.const 3))
        (call $end-body)
        (call $receive (local.get $response))";
    let run = run_script("posts", &script_with_locals(target.port, post), ALLOW);
    assert_eq!(guest_log(&run)[0], "00");
    let request = target.single_request();
    assert_eq!((request.line.as_str(), request.body.as_str()), ("POST /tea HTTP/1.1", "teapottea"));
    assert_eq!(request.header("content-length"), Some("9"));
}

/// A script that sends a body of 20 MiB, which is more than the guest's memory.
const SEND_LONG_BODY: &str = "(local $response i32) (local $n i32)
    (local.set $response (call $send-body (call $request LENGTH)))
    (loop (call $write-body (i32.const 0) (i32.const 4096))
      (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 5120))))
    (call $end-body)
    (call $receive (local.get $response))";

/// Starts a server that counts the bytes of a chunked request, and responds with their number.
fn start_counting_server() -> u16 {
    tcp_server::listen(|connection| {
        let mut reader = BufReader::new(&connection);
        let mut line = || {
            let mut line = String::new();
            reader.read_line(&mut line).ok().filter(|count| *count > 0).map(|_| line.trim().to_owned())
        };
        let mut chunked = false;
        while let Some(header) = line().filter(|header| !header.is_empty()) {
            chunked |= header.eq_ignore_ascii_case("transfer-encoding: chunked");
        }
        assert!(chunked, "the body is not sent in chunks, although its length is unknown");
        let mut all = 0;
        while let Some(size) = read_chunk_size(&mut reader) {
            all += std::io::copy(&mut (&mut reader).take(size), &mut std::io::sink()).expect("the chunk arrives");
            let _ = reader.read_line(&mut String::new());
        }
        let text = format!("{} MiB", all >> 20);
        let response = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}", text.len());
        let _ = (&connection).write_all(response.as_bytes());
    })
}

/// Returns the size of the next chunk, or `None` for the last one.
fn read_chunk_size(reader: &mut impl BufRead) -> Option<u64> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    u64::from_str_radix(line.trim(), 16).ok().filter(|size| *size > 0)
}

#[test]
fn a_long_body_is_streamed() {
    let run_of = |name, limits| {
        run_script(
            name,
            &script_with_locals(start_counting_server(), SEND_LONG_BODY),
            &format!("{ALLOW}, limits: {{{limits}}}"),
        )
    };
    assert_eq!(guest_log(&run_of("posts-long", "memory: 4 MiB")), ["00", "20 MiB", "01"]);
    let broken = run_of("posts-too-long", "sent: 1 MiB");
    let message = broken["failure"]["message"].as_str().unwrap_or_default();
    assert!(message.starts_with("the probe sent more than its 1 MiB"), "{broken:#}");
}

#[test]
fn a_body_of_known_length_is_streamed() {
    let target = Target::new();
    let post = "(local $response i32) (local $fields i32)
        (local.set $fields (call $fields))
        (i32.store8 (i32.const 1340) (i32.const 57))
        (call $add-field (local.get $fields) (i32.const 1320) (i32.const 14) (i32.const 1340) (i32.const 1) (i32.const 1200))
        (local.set $response (call $send-body (call $request-with (local.get $fields) LENGTH)))
        (call $write-body (i32.const 512) (i32.const 6))
        (call $pause (i64.const 300000000))
        (call $write-body (i32.const 512) (i32.const 3))
        (call $end-body)
        (call $receive (local.get $response))";
    let run = run_script("posts-slowly", &script_with_locals(target.port, post), ALLOW);
    assert_eq!(guest_log(&run)[0], "00");
    let request = target.single_request();
    assert_eq!((request.body.as_str(), request.header("content-length")), ("teapottea", Some("9")));
    // The send phase ends with the last byte of the body, so that the pause is part of it, and not of the wait.
    let duration_ms = |phase| span_duration_ms(&run, phase);
    assert!(duration_ms("http.client.send") > duration_ms("http.client.wait"), "{run:#}");
}

#[test]
fn trailers_of_a_response_are_passed_to_the_guest() {
    let head = "200 OK\r\ntransfer-encoding: chunked\r\ntrailer: done\r\nconnection: close\r\n\r\n3\r\ntea\r\n0\r\n";
    let run_of = |name, trailers: &'static str| {
        let target = Target::responding(move |_| format!("{head}{trailers}\r\n"));
        run_script(name, &script_for(target.port, "(call $receive-all (call $send (call $request LENGTH)))"), ALLOW)
    };
    assert_eq!(guest_log(&run_of("trailers", "done: all of it\r\n")), ["00", "tea", "01", "all of it"]);
    assert_eq!(guest_log(&run_of("trailers-none", "")), ["00", "tea", "01", "ok"]);
}

#[test]
fn a_host_that_is_not_allowed_gets_no_request() {
    const DENIED: &str = "15";
    let target = Target::new();
    let run_at = run_script("requests-denied", &script_for(target.port, REQUEST), "allow: {log: true, hosts: ['*']}");
    assert_eq!(guest_log(&run_at), [DENIED]);
    let why = format!("`127.0.0.1:{0}`, a loopback address, is not allowed: add `127.0.0.1:{0}` to", target.port);
    assert!(host_warnings(&run_at)[0].starts_with(&why), "{run_at:#}");
    // The authority is parsed once: the part before an `@` is no host.
    let disguised = script_with_text(&format!("127.0.0.1@shop.test:{}", target.port), REQUEST);
    let run = run_script("requests-disguised", &disguised, ALLOW);
    assert_eq!(guest_log(&run), [DENIED]);
    assert!(host_warnings(&run)[0].starts_with(&format!("`shop.test:{}` is not allowed", target.port)), "{run:#}");
    assert_eq!(target.requests().len(), 0);
}

#[test]
fn redirects_are_left_to_the_guest() {
    let target = Target::responding(|_| {
        "302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
    });
    let run = run_script("redirected", &script_for(target.port, REQUEST), ALLOW);
    assert_eq!(guest_log(&run)[0], "02");
    assert_eq!(spans(&run, "http.client").len(), 1);
}

#[test]
fn concurrent_requests_belong_to_the_span_that_was_open() {
    let port = tcp_server::respond_slowly(Duration::from_millis(300), Duration::ZERO);
    let both = "(local $one i32) (local $two i32)
        (local.set $one (call $send (call $request LENGTH)))
        (drop (call $span (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 6)))
        (local.set $two (call $send (call $request LENGTH)))
        (call $receive (local.get $two)) (call $receive (local.get $one))";
    let (locals, both) = both.split_once('\n').expect("the script has several lines");
    let run = run_script("requests-both", &format!("{locals} {}", script_for(port, both)), ALLOW);
    assert_eq!(guest_log(&run).len(), 6);
    let (both, step) = (spans(&run, "http.client"), spans(&run, "third"));
    assert_eq!((both.len(), step.len()), (2, 1), "{run:#}");
    let parents = both.iter().map(|span| &span["parent_span_id"]).collect::<Vec<_>>();
    assert!(parents.contains(&&step[0]["span_id"]) && parents.contains(&&run["spans"][0]["span_id"]), "{run:#}");
    let lasted = run["duration_ms"].as_f64().expect("a duration is a number");
    assert!((300.0..550.0).contains(&lasted), "the requests were not concurrent: {lasted} ms");
}

#[test]
fn a_dropped_response_is_cancelled() {
    let port = tcp_server::respond_slowly(Duration::from_secs(5), Duration::ZERO);
    let drop_it = "(local $future i32)
        (local.set $future (call $send (call $request LENGTH)))
        (call $pause (i64.const 100000000))
        (call $drop-response (local.get $future))
        (call $pause (i64.const 100000000))";
    let (local, drop_it) = drop_it.split_once('\n').expect("the script has several lines");
    let run = run_script("gives-a-request-up", &format!("{local} {}", script_for(port, drop_it)), ALLOW);
    assert_eq!(guest_log(&run), [""; 0]);
    let request = spans(&run, "http.client")[0];
    assert_eq!(request["status"], "cancelled", "{run:#}");
    assert!(request["duration_ms"].as_f64().is_some_and(|lasted| (90.0..190.0).contains(&lasted)), "{run:#}");
}

#[test]
fn failures_have_their_error_code() {
    let run_of = |name, port, script| run_script(name, &script_for(port, script), ALLOW);
    let refused = run_of("requests-nobody", free_port(), REQUEST);
    assert_eq!(guest_log(&refused), ["06"]);
    assert_eq!(spans(&refused, "http.client")[0]["status"], "unavailable");
    let silent = tcp_server::respond_slowly(Duration::from_secs(5), Duration::ZERO);
    let impatient = "(global.set $socket (call $options))
        (drop (call $set-first-byte (global.get $socket) (i32.const 1) (i64.const 200000000)))
        (call $handle (call $request LENGTH) (i32.const 1) (global.get $socket) (i32.const 1200))
        (call $receive (i32.load offset=8 (i32.const 1200)))";
    let late = run_of("requests-impatiently", silent, impatient);
    assert_eq!(guest_log(&late), ["33"]);
    assert_eq!(spans(&late, "http.client.wait")[0]["status"], "deadline_exceeded");
    let target = Target::responding(|_| "200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nshort".to_owned());
    // The guest logs the bytes that arrived, and then the error code.
    assert_eq!(guest_log(&run_of("requests-torn", target.port, REQUEST)), ["00", "short", "00"]);
}

#[test]
fn limits_hold_for_requests_in_flight() {
    let port = tcp_server::respond_slowly(Duration::from_secs(5), Duration::ZERO);
    let flood =
        script_for(port, "(loop (drop (call $send (call $request LENGTH))) (call $pause (i64.const 1000000)) (br 0))");
    for (limit, expected) in [
        ("requests: 20", "the probe made more than its 20 requests"),
        ("connections: 5", "the probe had more than its 5 connections"),
    ] {
        let run = run_script("requests-on", &flood, &format!("{ALLOW}, limits: {{{limit}}}"));
        let message = run["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.starts_with(expected), "{run:#}");
    }
    let target = Target::responding(|_| format!("200 OK\r\ncontent-length: 4096\r\n\r\n{}", "x".repeat(4096)));
    let run =
        run_script("receives-on", &script_for(target.port, REQUEST), &format!("{ALLOW}, limits: {{received: 1 KiB}}"));
    assert_eq!(run["failure"]["message"].as_str().map(|it| it.starts_with("the probe received more")), Some(true));
}
