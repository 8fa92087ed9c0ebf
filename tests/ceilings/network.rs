//! What goes over the network, and over how many connections.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::json;

use super::{broken, run};
use crate::guests::{Guest, HTTP, PASSES, SSH};
use crate::support::lenient::{self, Wants};
use crate::support::slow::{self, head};
use crate::support::target::Target;
use crate::support::{eventually, once, passed, probe, spans};

/// A guest that makes a request of `port` so many times, and calls whatever becomes of it the target's failure.
fn requests(port: u16, times: usize) -> Guest {
    let url = format!("http://127.0.0.1:{port}/");
    let define = format!(
        r#"(data (i32.const 1200) "GET{url}")
        (func $all (local $n i32)
          (call $request (i32.const 1200) (i32.const 3) (i32.const 1203) (i32.const {length}) (i32.const 1160))
          (loop (call $send (i32.load (i32.const 1164)) (i32.const 1160))
            (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {times})))))"#,
        length = url.len(),
    );
    // The request's handle is the first there is.
    let define = define.replace("(i32.load (i32.const 1164))", "(i32.const 1)");
    Guest { imports: HTTP, define: define.leak(), run: "call $all i32.const 128", ..PASSES }
}

#[test]
fn requests_that_a_guest_takes_for_the_targets_failure() {
    let target = Target::new();
    let few = run("requests", requests(target.port, 3), "requests: 3");
    assert_eq!(few["failure"]["reason"], "teapot", "{few:#}");
    let run = run("requests-more", requests(target.port, 10), "requests: 3");
    broken(&run, "requests", "the probe made more than its 3 requests");
    let frames = run["failure"]["backtrace"].as_array().expect("there is a stack");
    assert!(frames.contains(&json!("all")), "{frames:?}");
    assert_eq!(target.asked().len(), 3 + 3);
}

#[test]
fn redirects_and_tokens_are_requests() {
    let round = Target::answering(|_| {
        "302 Found\r\nlocation: /again\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
    });
    let run = probe(&format!("url: http://127.0.0.1:{}/\nlimits: {{requests: 4}}", round.port));
    broken(&run, "requests", "the probe made more than its 4 requests");
    assert_eq!(round.asked().len(), 4);

    let target = Target::new();
    let tokens = Target::answering(|_| {
        let token = r#"{"access_token": "t", "token_type": "Bearer"}"#;
        format!("200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{token}", token.len())
    });
    let auth = format!("{{token_url: 'http://127.0.0.1:{}/', client_id: i, client_secret: sesame1234}}", tokens.port);
    let keys = format!("url: http://127.0.0.1:{}/\nauth: {{oauth2: {auth}}}\n", target.port);
    broken(&probe(&format!("{keys}limits: {{requests: 1}}")), "requests", "the probe made more than its 1 requests");
    assert_eq!((tokens.asked().len(), target.asked().len()), (1, 0));
    passed(&probe(&format!("{keys}limits: {{requests: 2}}")));
}

#[test]
fn bytes_that_come_in_are_not_waited_for_to_the_end() {
    const END: u64 = 64 << 20;
    let sent = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&sent);
    let port = slow::listen(move |mut connection| {
        head(&connection);
        let _ = write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {END}\r\n\r\n");
        while counted.load(SeqCst) < END && connection.write_all(&[b'x'; 16 << 10]).is_ok() {
            counted.fetch_add(16 << 10, SeqCst);
        }
    });
    let run = probe(&format!("url: http://127.0.0.1:{port}/\nlimits: {{received: 1 MiB}}"));
    broken(&run, "received", "the probe received more than its 1 MiB");
    // What the system's buffers take in is not ours to stop.
    assert!(sent.load(SeqCst) < END / 2, "{} bytes", sent.load(SeqCst));
    assert_eq!(spans(&run, "http.client").len(), 1, "{run:#}");
    passed(&probe(&format!("url: http://127.0.0.1:{}/\nlimits: {{received: 1 KiB}}", Target::new().port)));
}

#[test]
fn bytes_that_go_out() {
    let target = Target::new();
    let keys = |sent| {
        let body = "x".repeat(3000);
        format!("url: http://127.0.0.1:{}/\nexpected: 200\nbody: {body}\nlimits: {{sent: {sent}}}", target.port)
    };
    broken(&probe(&keys("2 KiB")), "sent", "the probe sent more than its 2 KiB");
    assert_eq!(target.asked().len(), 0);
    passed(&probe(&keys("4 KiB")));
}

#[test]
fn over_ssh() {
    let (port, fingerprint) = lenient::start(Wants::Nothing);
    let ssh = |keys: &str| {
        let keys = format!("{{probe: ssh, host: 127.0.0.1, port: {port}, host_key: '{fingerprint}', {keys}}}");
        once(&format!("groups:\n  - probes:\n      - {keys}\n")).1.swap_remove(0)
    };
    passed(&ssh("limits: {requests: 1, connections: 1}"));
    broken(&ssh("limits: {sent: 1 KiB}"), "sent", "the probe sent more than its 1 KiB");
    broken(&ssh("limits: {received: 1 KiB}"), "received", "the probe received more than its 1 KiB");
    let run = ssh("username: me, auth: none, command: 'true', limits: {requests: 1}");
    broken(&run, "requests", "the probe made more than its 1 requests");
}

#[test]
fn connections_at_once() {
    let (port, fingerprint) = lenient::start(Wants::Nothing);
    let define = format!(
        r#"(data (i32.const 1200) "127.0.0.1{fingerprint}")
        (func $all
          (call $client (i32.const 1200) (i32.const 9) (i32.const {port}) (i32.const 1160))
          (call $trust (i32.const 1) (i32.const 1209) (i32.const {length}) (i32.const 1160))
          (call $connect (i32.const 1) (i32.const 1160)) (call $connect (i32.const 1) (i32.const 1160))
          (if (i32.load8_u (i32.const 1160)) (then unreachable)))"#,
        length = fingerprint.len(),
    );
    let guest = Guest { imports: SSH, define: define.leak(), run: "call $all i32.const 0", ..PASSES };
    passed(&run("connections", guest, "connections: 2"));
    let run = run("connections-more", guest, "connections: 1");
    broken(&run, "connections", "the probe had more than its 1 connections at once");
}

#[test]
fn connections_that_are_idle_are_closed_for_those_that_are_needed() {
    let (open, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (now, peak) = (Arc::clone(&open), Arc::clone(&most));
    // Keeps each connection until the other end closes it.
    let port = slow::listen(move |mut connection| {
        peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        while !head(&connection).is_empty() {
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
        now.fetch_sub(1, SeqCst);
    });
    // Each by a name of its own, which is a connection of its own.
    let step = |index| format!("{{url: 'http://{index}.example/', connect_to: '127.0.0.1:{port}', expected: 200}}");
    let steps: Vec<_> = (0..20).map(step).collect();
    let chain = |limits| {
        let probe = format!("{{probe: chain, title: many, steps: [{}], limits: {limits}}}", steps.join(", "));
        once(&format!("groups:\n  - probes:\n      - {probe}\n")).1.swap_remove(0)
    };
    passed(&chain("{connections: 3}"));
    eventually("all are closed", || (open.load(SeqCst) == 0).then_some(()));
    // One that is being closed may not be gone yet.
    let few = most.swap(0, SeqCst);
    assert!(few <= 3 + 3, "{few} at once");
    passed(&chain("{}"));
    assert_eq!(most.load(SeqCst), 20);
}

#[test]
fn waiting_is_not_computing() {
    let port = slow::answer(Duration::from_millis(600), Duration::ZERO);
    passed(&probe(&format!("url: http://127.0.0.1:{port}/\nlimits: {{cpu: 0.3}}")));
}
