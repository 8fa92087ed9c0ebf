//! The http probe against nginx, and against targets that are slow or do not speak HTTP.

mod answers;
mod bodies;
mod redirects;

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::nginx::Nginx;
use crate::support::{
    assert_delay_in_phase, assert_passed, expect_failure, free_port, http_config, run_command, run_http_probe,
    run_once, sentrynet, span_duration_ms, spans, tcp_server,
};

const DELAY: Duration = Duration::from_millis(250);

#[test]
fn probes_of_one_host_are_named_for_their_paths() {
    let probe = |path: &str| format!("      - {{probe: http, url: 'http://127.0.0.1:1{path}', check_in: true}}\n");
    let paths = ["", "/orders?page=1", "/orders/1#a", "/health", "/api/ready/"];
    let probes: String = paths.iter().map(|path| probe(path)).collect();
    let configuration = format!("groups:\n  - probes:\n{probes}");
    let (_, runs) = run_once(&configuration);
    let titles: Vec<_> = runs.iter().map(|run| run["title"].as_str().expect("a title is text")).collect();
    let expected = ["", "/orders", "/orders/1", " (/health)", " (/api/ready/)"];
    assert_eq!(titles, expected.map(|path| format!("GET http://127.0.0.1:1{path}")));
    // There are no warnings: each probe has a monitor of its own, and no title is dropped by Sentry's filter for health
    // checks.
    let checked = run_command(sentrynet().args(["check", "-"]), &configuration);
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""));
}

#[test]
fn a_passing_run_has_all_its_phases() {
    let (_nginx, port) = Nginx::start_plain("phases", r#"location / { return 200 '{"status": "ok"}'; }"#);
    let run = run_http_probe(&format!(
        "url: http://localhost:{port}/a?secret=1\nset_keys: {{status: $.status}}\nassertions: {{status: ok}}"
    ));
    assert_passed(&run);
    let ops: Vec<_> = run["spans"].as_array().unwrap().iter().map(|span| span["op"].as_str().unwrap()).collect();
    let phases = ["dns", "connect", "send", "wait", "receive"].map(|phase| format!("http.client.{phase}"));
    let expected = ["probes.http", "http.client"].into_iter().chain(phases.iter().map(String::as_str));
    assert_eq!(ops, expected.chain(["json.parse", "json.assert"]).collect::<Vec<_>>());

    let client = spans(&run, "http.client")[0];
    assert_eq!(client["description"], format!("GET http://localhost:{port}/a"));
    assert_eq!(client["parent_span_id"], run["spans"][0]["span_id"]);
    let data = &client["data"];
    for (key, value) in [
        ("http.request.method", json!("GET")),
        ("http.response.status_code", json!(200)),
        ("server.address", json!("localhost")),
        ("server.port", json!(port)),
        ("network.peer.address", json!("127.0.0.1")),
        ("network.peer.port", json!(port)),
        ("network.protocol.version", json!("1.1")),
        ("http.response.body.size", json!(16)),
        ("http.connection.reused", json!(false)),
    ] {
        assert_eq!(data[key], value, "{key}");
    }
    let order = [
        "domain_lookup_start",
        "domain_lookup_end",
        "connect_start",
        "connection_end",
        "request_start",
        "response_start",
        "response_end",
    ];
    let times: Vec<_> = order.iter().map(|key| data[format!("http.request.{key}")].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert!(!run.to_string().contains("secret"), "the run has the query of the URL, which may contain a secret");
}

#[test]
fn a_delay_shows_in_its_phase() {
    let port = tcp_server::respond_slowly(DELAY, Duration::ZERO);
    let run = run_http_probe(&format!("url: http://127.0.0.1:{port}/"));
    assert_passed(&run);
    assert_delay_only_in(&run, "wait");

    let port = tcp_server::respond_slowly(Duration::ZERO, DELAY);
    let run = run_http_probe(&format!("url: http://127.0.0.1:{port}/"));
    assert_passed(&run);
    assert_delay_only_in(&run, "receive");
}

#[track_caller]
fn assert_delay_only_in(run: &Value, slow: &str) {
    assert_delay_in_phase(run, "http.client", &["connect", "send", "wait", "receive"], slow, DELAY);
}

#[test]
fn an_address_is_not_resolved() {
    let port = tcp_server::respond_slowly(Duration::ZERO, Duration::ZERO);
    let run = run_http_probe(&format!("url: http://127.0.0.1:{port}/"));
    assert!(spans(&run, "http.client.dns").is_empty());
}

#[test]
fn unreachable_targets_fail_as_dns_or_connect() {
    let run = run_http_probe("url: http://no-such-host.invalid/");
    let message = expect_failure(&run, "dns");
    assert!(message.starts_with("`no-such-host.invalid` does not resolve: "), "{message}");
    assert_eq!(spans(&run, "http.client.dns")[0]["status"], "unavailable");

    let port = free_port();
    let run = run_http_probe(&format!("url: http://127.0.0.1:{port}/"));
    assert_eq!(
        expect_failure(&run, "connect"),
        format!("connection refused by 127.0.0.1:{port}: nothing listens there")
    );
    assert_eq!(spans(&run, "http.client.connect")[0]["status"], "unavailable");
}

#[test]
fn a_timeout_names_its_phase() {
    let port = tcp_server::respond_slowly(Duration::from_secs(60), Duration::ZERO);
    let run = run_http_probe(&format!("url: http://127.0.0.1:{port}/\ntimeout: 0.2"));
    assert_eq!(expect_failure(&run, "timeout"), "timed out after 200 ms, waiting for the answer");
    assert_eq!(spans(&run, "http.client.wait")[0]["status"], "deadline_exceeded");

    let port = tcp_server::respond_slowly(Duration::ZERO, Duration::from_secs(60));
    let run = run_http_probe(&format!("url: http://127.0.0.1:{port}/\ntimeout: 0.2"));
    assert_eq!(expect_failure(&run, "timeout"), "timed out after 200 ms, receiving the answer, 1 byte so far");
    assert_eq!(spans(&run, "http.client.receive")[0]["status"], "deadline_exceeded");
}

#[test]
fn a_target_that_is_slower_than_the_deadline_times_out() {
    let port = tcp_server::respond_slowly(Duration::from_secs(60), Duration::ZERO);
    let run = run_http_probe(&format!("url: http://127.0.0.1:{port}/\nlimits: {{deadline: 0.5}}"));
    let message = expect_failure(&run, "timeout");
    assert!(message.starts_with("timed out at the run's deadline after 4"), "{message}");
    assert!(message.ends_with(" ms, waiting for the answer"), "{message}");
}

#[test]
fn a_response_that_is_not_http_fails_as_protocol() {
    let start_sending = |bytes: &'static [u8]| {
        tcp_server::listen(move |mut connection| {
            tcp_server::read_head(&connection);
            let _ = connection.write_all(bytes);
        })
    };
    let port = start_sending(b"220 mail.example ESMTP\r\n");
    assert_eq!(
        expect_failure(&run_http_probe(&format!("url: http://127.0.0.1:{port}/")), "protocol"),
        "the answer is not HTTP: it begins with `220 mail.example ESMTP`"
    );
    let port = start_sending(b"");
    let message = expect_failure(&run_http_probe(&format!("url: http://127.0.0.1:{port}/")), "protocol");
    assert!(message.contains("closed the connection") || message.contains("reset"), "{message}");
    let port = start_sending(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort");
    let run = run_http_probe(&format!("url: http://127.0.0.1:{port}/"));
    expect_failure(&run, "protocol");
    assert_eq!(spans(&run, "http.client.receive")[0]["status"], "internal_error");
}

#[test]
fn the_expected_status_depends_on_the_request_unless_it_is_given() {
    let locations = "location = /created { return 201; } location = /gone { return 410; } location / { return 200; }";
    let (_nginx, port) = Nginx::start_plain("statuses", locations);
    let check = |keys: &str, expected: Option<(&str, &str)>| {
        let run = run_http_probe(&keys.replace("URL", &format!("http://127.0.0.1:{port}")));
        match expected {
            None => assert_passed(&run),
            Some((expected, actual)) => {
                expect_failure(&run, "status");
                assert_eq!(
                    (&run["failure"]["expected"], &run["failure"]["actual"]),
                    (&json!(expected), &json!(actual))
                );
            }
        }
    };
    check("url: URL/", None);
    check("url: URL/created", Some(("200", "201")));
    check("url: URL/created\nmethod: POST", None);
    check("url: URL/created\nbody: text", None);
    check("url: URL/\nbody: {a: 1}", Some(("201", "200")));
    check("url: URL/created\nexpected: 2xx", None);
    check("url: URL/gone\nexpected: [200, 410]", None);
    check("url: URL/gone\nexpected: [2xx, 3xx]", Some(("2xx or 3xx", "410")));
}

#[test]
fn keys_are_set_and_asserted() {
    let json = r#"{"status": "ok", "no": false, "nil": 0, "none": "", "n": [1, 2], "deep": {"x": [{"id": 7}]}}"#;
    let locations = format!("location = /text {{ return 200 'plain'; }} location / {{ return 200 '{json}'; }}");
    let (_nginx, port) = Nginx::start_plain("assertions", &locations);
    let run = |path: &str, set_keys: &str, assertions: &str| {
        run_http_probe(&format!("url: http://127.0.0.1:{port}{path}\nset_keys: {set_keys}\nassertions: {assertions}"))
    };
    assert_passed(&run("/", "{a: $.status, b: '$.n[*]', c: $.deep.x..id}", "{a: ok, b: {value: [1, 2]}, c: 7.0}"));
    assert_passed(&run("/", "{a: $.no, b: $.nil, c: $.none}", "{a: {value: false}, b: {value: 0}, c: {value: ''}}"));
    assert_passed(&run("/", "{a: $.absent, b: $.status}", "{a: {exists: false}, b: {exists: true}}"));

    let wrong = run("/", "{a: $.no, b: $.status, c: $.absent}", "{a: true, b: up, c: {exists: true}}");
    expect_failure(&wrong, "assertion");
    let mismatches = json!([
        { "subject": "a ($.no)", "expected": "true", "actual": "false" },
        { "subject": "b ($.status)", "expected": "\"up\"", "actual": "\"ok\"" },
        { "subject": "c ($.absent)", "expected": "to exist", "actual": "no match" },
    ]);
    assert_eq!(wrong["failure"]["mismatches"], mismatches);
    assert_eq!(spans(&wrong, "json.assert")[0]["status"], "internal_error");

    let text = expect_failure(&run("/text", "{a: $.status}", "{a: ok}"), "json");
    assert!(text.starts_with("the body is not JSON: "), "{text}");
}

#[test]
fn url_query_headers_and_body_are_sent() {
    let (requests, port) = start_recording_target();
    let keys = format!(
        "url: 'http://user:p%40ss@127.0.0.1:{port}/p?x=1#f'\nquery: {{a: [1, two], b: 'c d'}}\nheaders: {{x-n: 3}}\n\
         body: {{k: [1, null]}}\nexpected: 200"
    );
    assert_passed(&run_http_probe(&keys));
    assert_passed(&run_http_probe(&format!(
        "url: http://127.0.0.1:{port}/\nbody: text\nexpected: 200\nheaders: {{host: other.example}}"
    )));
    let requests = requests.lock().unwrap();
    let json = requests[0].join("\n").to_lowercase();
    assert!(json.starts_with("post /p?x=1&a=1&a=two&b=c+d http/1.1\n"), "{json}");
    for line in ["x-n: 3", "content-type: application/json", "content-length: 14", "authorization: basic dxnlcjpwqhnz"]
    {
        assert!(json.contains(line), "{line} in {json}");
    }
    assert!(json.contains("user-agent: sentrynet/"), "{json}");
    let text = requests[1].join("\n").to_lowercase();
    assert!(text.contains("host: other.example") && text.contains("content-length: 4"), "{text}");
    assert!(!text.contains("content-type"), "{text}");
}

/// Starts a target that responds with 200 to everything. Returns the heads of its requests, and its port.
fn start_recording_target() -> (Arc<Mutex<Vec<Vec<String>>>>, u16) {
    let requests: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let recorded = Arc::clone(&requests);
    let port = tcp_server::listen(move |mut connection| {
        recorded.lock().unwrap().push(tcp_server::read_head(&connection));
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    (requests, port)
}

#[test]
fn the_target_gets_the_trace_headers() {
    let (requests, port) = start_recording_target();
    let url = format!("url: http://127.0.0.1:{port}/");
    let linked = run_http_probe(&url);
    run_http_probe(&format!("{url}\ntrace_headers: sampled"));
    run_http_probe(&format!("{url}\ntrace_headers: off"));
    let requests = requests.lock().unwrap();
    let line = |request: usize, name: &str| {
        let prefix = format!("{name}: ");
        requests[request].iter().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
    };
    let (trace, span) = (linked["trace_id"].as_str().unwrap(), &spans(&linked, "http.client")[0]["span_id"]);
    assert_eq!(line(0, "sentry-trace"), Some(format!("{trace}-{}-0", span.as_str().unwrap())));
    let baggage = line(0, "baggage").expect("the request has `baggage`");
    assert!(
        baggage.contains(&format!("sentry-trace_id={trace}")) && baggage.contains("sentry-sampled=false"),
        "{baggage}"
    );
    assert!(line(1, "sentry-trace").is_some_and(|header| header.ends_with("-1")));
    assert_eq!((line(2, "sentry-trace"), line(2, "baggage")), (None, None));
}

#[test]
fn large_bodies_are_counted_and_discarded() {
    let large = tcp_server::listen(|mut connection| {
        tcp_server::read_head(&connection);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
        let piece = vec![b' '; 1 << 20];
        for _ in 0..20 {
            let _ = connection.write_all(&piece);
        }
    });
    let run = run_http_probe(&format!("url: http://127.0.0.1:{large}/"));
    assert_passed(&run);
    assert_eq!(spans(&run, "http.client")[0]["data"]["http.response.body.size"], 20 << 20);
    let message =
        expect_failure(&run_http_probe(&format!("url: http://127.0.0.1:{large}/\nset_keys: {{a: $.a}}")), "too-large");
    assert!(message.contains("20971520 bytes"), "{message}");
}

#[test]
fn each_run_has_a_connection_of_its_own() {
    let (_nginx, port) = Nginx::start_plain("connections", "location / { return 200; }");
    let keys = format!(
        "{}{}",
        http_config(&format!("url: http://127.0.0.1:{port}/\ntitle: a")),
        "      - {probe: http, title: b, url: 'http://127.0.0.1:PORT/'}\n".replace("PORT", &port.to_string())
    );
    let (code, runs) = run_once(&keys);
    assert_eq!(code, 0);
    for run in &runs {
        assert_eq!(spans(run, "http.client")[0]["data"]["http.connection.reused"], false);
        span_duration_ms(run, "http.client.connect");
    }
}
