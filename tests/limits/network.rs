//! Limits on requests, bytes and connections.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use serde_json::{Value, json};

use super::{assert_broken, run_limited};
use crate::guests::{Guest, HTTP, PASSES, SSH};
use crate::support::ssh_server::{self, RequiredAuth};
use crate::support::target::Target;
use crate::support::tcp_server::{self, read_head};
use crate::support::{assert_passed, eventually, expect_failure, run_http_probe, run_once, spans};

/// Returns a guest that sends `times` requests to `port`, and reports a failure of the target whatever the results are.
fn sending_guest(port: u16, times: usize) -> Guest {
    let url = format!("http://127.0.0.1:{port}/");
    let define = format!(
        r#"(data (i32.const 1200) "GET{url}")
        (func $all (local $n i32)
          (call $request (i32.const 1200) (i32.const 3) (i32.const 1203) (i32.const {length}) (i32.const 1160))
          (loop (call $send (i32.load (i32.const 1164)) (i32.const 1160))
            (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {times})))))"#,
        length = url.len(),
    );
    // The request's handle is the first one of the guest.
    let define = define.replace("(i32.load (i32.const 1164))", "(i32.const 1)");
    Guest { imports: HTTP, define: define.leak(), run: "call $all i32.const 128", ..PASSES }
}

#[test]
fn a_guest_cannot_hide_that_it_exceeded_its_requests() {
    let target = Target::new();
    let few = run_limited("requests", sending_guest(target.port, 3), "requests: 3");
    assert_eq!(few["failure"]["reason"], "teapot", "{few:#}");
    let run = run_limited("requests-more", sending_guest(target.port, 10), "requests: 3");
    assert_broken(&run, "requests", "the probe made more than its 3 requests");
    let frames = run["failure"]["backtrace"].as_array().expect("a fault has a backtrace");
    assert!(frames.contains(&json!("all")), "{frames:?}");
    assert_eq!(target.requests().len(), 3 + 3);
}

#[test]
fn redirects_and_tokens_are_requests() {
    let looping = Target::responding(|_| {
        "302 Found\r\nlocation: /again\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
    });
    let run = run_http_probe(&format!("url: http://127.0.0.1:{}/\nlimits: {{requests: 4}}", looping.port));
    let message =
        "redirected 4 times, to http://127.0.0.1:PORT/again, which is more requests than `limits.requests` allows";
    assert_eq!(expect_failure(&run, "redirect"), message.replace("PORT", &looping.port.to_string()));
    assert_eq!(looping.requests().len(), 4);

    let target = Target::new();
    let tokens = Target::responding(|_| {
        let token = r#"{"access_token": "t", "token_type": "Bearer"}"#;
        format!("200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{token}", token.len())
    });
    let auth = format!("{{token_url: 'http://127.0.0.1:{}/', client_id: i, client_secret: sesame1234}}", tokens.port);
    let keys = format!("url: http://127.0.0.1:{}/\nauth: {{oauth2: {auth}}}\n", target.port);
    assert_broken(
        &run_http_probe(&format!("{keys}limits: {{requests: 1}}")),
        "requests",
        "the probe made more than its 1 requests",
    );
    assert_eq!((tokens.requests().len(), target.requests().len()), (1, 0));
    assert_passed(&run_http_probe(&format!("{keys}limits: {{requests: 2}}")));
}

/// Asserts that a run of a built-in probe failed because its target sent too much: that is no fault of ours.
#[track_caller]
fn assert_too_large(run: &Value, most: &str) {
    assert_eq!((&run["outcome"], &run["failure"]["reason"]), (&json!("failed"), &json!("too-large")), "{run:#}");
    let message = format!("the target sent more than {most}; raise `limits.received` if a run may receive more");
    assert_eq!(run["failure"]["message"], message, "{run:#}");
}

#[test]
fn receiving_stops_at_the_limit() {
    const END: u64 = 64 << 20;
    let sent = Arc::<AtomicU64>::default();
    let counted = Arc::clone(&sent);
    let port = tcp_server::listen(move |mut connection| {
        read_head(&connection);
        let _ = write!(connection, "HTTP/1.1 200 OK\r\ncontent-length: {END}\r\n\r\n");
        while counted.load(SeqCst) < END && connection.write_all(&[b'x'; 16 << 10]).is_ok() {
            counted.fetch_add(16 << 10, SeqCst);
        }
    });
    let run = run_http_probe(&format!("url: http://127.0.0.1:{port}/\nlimits: {{received: 1 MiB}}"));
    assert_too_large(&run, "1 MiB");
    // The host cannot limit what the kernel's buffers accept.
    assert!(sent.load(SeqCst) < END / 2, "the server sent {} bytes", sent.load(SeqCst));
    assert_eq!(spans(&run, "http.client").len(), 1, "{run:#}");
    assert_passed(&run_http_probe(&format!(
        "url: http://127.0.0.1:{}/\nlimits: {{received: 1 KiB}}",
        Target::new().port
    )));
}

#[test]
fn sending_stops_at_the_limit() {
    let target = Target::new();
    let keys = |sent| {
        let body = "x".repeat(3000);
        format!("url: http://127.0.0.1:{}/\nexpected: 200\nbody: {body}\nlimits: {{sent: {sent}}}", target.port)
    };
    assert_broken(&run_http_probe(&keys("2 KiB")), "sent", "the probe sent more than its 2 KiB");
    assert_eq!(target.requests().len(), 0);
    assert_passed(&run_http_probe(&keys("4 KiB")));
}

#[test]
fn limits_hold_for_ssh() {
    let (port, fingerprint) = ssh_server::start(RequiredAuth::Nothing);
    let ssh = |keys: &str| {
        let keys = format!("{{probe: ssh, host: 127.0.0.1, port: {port}, host_key: '{fingerprint}', {keys}}}");
        run_once(&format!("groups:\n  - probes:\n      - {keys}\n")).1.swap_remove(0)
    };
    assert_passed(&ssh("limits: {requests: 1, connections: 1}"));
    assert_broken(&ssh("limits: {sent: 1 KiB}"), "sent", "the probe sent more than its 1 KiB");
    assert_too_large(&ssh("limits: {received: 1 KiB}"), "1 KiB");
    let run = ssh("username: me, auth: none, command: 'true', limits: {requests: 1}");
    assert_broken(&run, "requests", "the probe made more than its 1 requests");
}

#[test]
fn connections_held_at_once_are_limited() {
    let (port, fingerprint) = ssh_server::start(RequiredAuth::Nothing);
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
    assert_passed(&run_limited("connections", guest, "connections: 2"));
    let run = run_limited("connections-more", guest, "connections: 1");
    assert_broken(&run, "connections", "the probe had more than its 1 connections at once");
}

#[test]
fn idle_connections_are_closed_when_the_limit_is_reached() {
    let (open, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let (now, peak) = (Arc::clone(&open), Arc::clone(&most));
    // Keeps each connection open until the client closes it.
    let port = tcp_server::listen(move |mut connection| {
        peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        while !read_head(&connection).is_empty() {
            let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
        }
        now.fetch_sub(1, SeqCst);
    });
    // Each step has a host name of its own, and thus a connection of its own.
    let step = |index| format!("{{url: 'http://{index}.example/', connect_to: '127.0.0.1:{port}', expected: 200}}");
    let steps: Vec<_> = (0..20).map(step).collect();
    let chain = |limits| {
        let probe = format!("{{probe: chain, title: many, steps: [{}], limits: {limits}}}", steps.join(", "));
        run_once(&format!("groups:\n  - probes:\n      - {probe}\n")).1.swap_remove(0)
    };
    assert_passed(&chain("{connections: 3}"));
    eventually("all connections to be closed", || (open.load(SeqCst) == 0).then_some(()));
    // A connection that is being closed may still be counted.
    let few = most.swap(0, SeqCst);
    assert!(few <= 3 + 3, "{few} connections at once");
    assert_passed(&chain("{}"));
    assert_eq!(most.load(SeqCst), 20);
}

#[test]
fn waiting_does_not_count_as_cpu_time() {
    let port = tcp_server::respond_slowly(Duration::from_millis(600), Duration::ZERO);
    assert_passed(&run_http_probe(&format!("url: http://127.0.0.1:{port}/\nlimits: {{cpu: 0.3}}")));
}

#[test]
fn connections_to_a_host_are_opened_a_few_at_once() {
    let peak_of = |per_host: usize| {
        let (open, most) = <(Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
        let peak = Arc::clone(&most);
        // Takes its time, and then closes the connection instead of answering the TLS handshake.
        let port = tcp_server::listen(move |mut connection| {
            peak.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
            let _ = connection.read(&mut [0; 100]);
            std::thread::sleep(Duration::from_millis(200));
            open.fetch_sub(1, SeqCst);
        });
        let probe = |n| format!("      - {{probe: http, title: 'Number {n}', url: 'https://127.0.0.1:{port}/'}}\n");
        let probes: String = (0..8).map(probe).collect();
        let (_, runs) = run_once(&format!("limits: {{per_host: {per_host}}}\ngroups:\n  - probes:\n{probes}"));
        assert!(runs.iter().all(|run| run["failure"]["reason"] == "tls"), "{runs:#?}");
        most.load(SeqCst)
    };
    assert_eq!(peak_of(1), 1);
    assert!(peak_of(3) <= 3);
}
