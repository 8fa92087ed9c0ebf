//! The http probe against nginx, and against targets that take their time or do not speak HTTP.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::nginx::Nginx;
use crate::support::{delayed, failed, free_port, http, lasted, once, passed, probe, slow, spans};

const DELAY: Duration = Duration::from_millis(250);

#[test]
fn a_passing_run_has_all_its_phases() {
    let (_nginx, port) = Nginx::plain("phases", r#"location / { return 200 '{"status": "ok"}'; }"#);
    let run = probe(&format!(
        "url: http://localhost:{port}/a?secret=1\nset_keys: {{status: $.status}}\nassertions: {{status: ok}}"
    ));
    passed(&run);
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
    assert!(!run.to_string().contains("secret"), "a query may hold a secret");
}

#[test]
fn a_delay_shows_in_its_phase() {
    let port = slow::answer(DELAY, Duration::ZERO);
    let run = probe(&format!("url: http://127.0.0.1:{port}/"));
    passed(&run);
    only(&run, "wait");

    let port = slow::answer(Duration::ZERO, DELAY);
    let run = probe(&format!("url: http://127.0.0.1:{port}/"));
    passed(&run);
    only(&run, "receive");
}

#[track_caller]
fn only(run: &Value, slow: &str) {
    delayed(run, "http.client", &["connect", "send", "wait", "receive"], slow, DELAY);
}

#[test]
fn an_address_is_not_resolved() {
    let port = slow::answer(Duration::ZERO, Duration::ZERO);
    let run = probe(&format!("url: http://127.0.0.1:{port}/"));
    assert!(spans(&run, "http.client.dns").is_empty());
}

#[test]
fn what_cannot_be_reached() {
    let run = probe("url: http://no-such-host.invalid/");
    let message = failed(&run, "dns");
    assert!(message.starts_with("`no-such-host.invalid` does not resolve: "), "{message}");
    assert_eq!(spans(&run, "http.client.dns")[0]["status"], "unavailable");

    let port = free_port();
    let run = probe(&format!("url: http://127.0.0.1:{port}/"));
    assert_eq!(failed(&run, "connect"), format!("connection refused by 127.0.0.1:{port}: nothing listens there"));
    assert_eq!(spans(&run, "http.client.connect")[0]["status"], "unavailable");
}

#[test]
fn a_timeout_says_in_which_phase() {
    let port = slow::answer(Duration::from_secs(60), Duration::ZERO);
    let run = probe(&format!("url: http://127.0.0.1:{port}/\ntimeout: 0.2"));
    assert_eq!(failed(&run, "timeout"), "timed out after 200 ms, waiting for the answer");
    assert_eq!(spans(&run, "http.client.wait")[0]["status"], "deadline_exceeded");

    let port = slow::answer(Duration::ZERO, Duration::from_secs(60));
    let run = probe(&format!("url: http://127.0.0.1:{port}/\ntimeout: 0.2"));
    assert_eq!(failed(&run, "timeout"), "timed out after 200 ms, receiving the answer, 1 byte so far");
    assert_eq!(spans(&run, "http.client.receive")[0]["status"], "deadline_exceeded");
}

#[test]
fn a_target_that_outlasts_the_run_has_timed_out() {
    let port = slow::answer(Duration::from_secs(60), Duration::ZERO);
    let run = probe(&format!("url: http://127.0.0.1:{port}/\nlimits: {{deadline: 0.5}}"));
    let message = failed(&run, "timeout");
    assert!(message.starts_with("timed out at the run's deadline after 4"), "{message}");
    assert!(message.ends_with(" ms, waiting for the answer"), "{message}");
}

#[test]
fn what_is_not_http() {
    let says = |bytes: &'static [u8]| {
        slow::listen(move |mut connection| {
            slow::head(&connection);
            let _ = connection.write_all(bytes);
        })
    };
    let port = says(b"220 mail.example ESMTP\r\n");
    assert_eq!(failed(&probe(&format!("url: http://127.0.0.1:{port}/")), "protocol"), "the answer is not HTTP");
    let port = says(b"");
    let message = failed(&probe(&format!("url: http://127.0.0.1:{port}/")), "protocol");
    assert!(message.contains("closed the connection") || message.contains("reset"), "{message}");
    let port = says(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort");
    let run = probe(&format!("url: http://127.0.0.1:{port}/"));
    failed(&run, "protocol");
    assert_eq!(spans(&run, "http.client.receive")[0]["status"], "internal_error");
}

#[test]
fn statuses() {
    let locations = "location = /created { return 201; } location = /gone { return 410; } location / { return 200; }";
    let (_nginx, port) = Nginx::plain("statuses", locations);
    let check = |keys: &str, expected: Option<(&str, &str)>| {
        let run = probe(&keys.replace("URL", &format!("http://127.0.0.1:{port}")));
        match expected {
            None => passed(&run),
            Some((expected, actual)) => {
                failed(&run, "status");
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
fn keys_and_assertions() {
    let json = r#"{"status": "ok", "no": false, "nil": 0, "none": "", "n": [1, 2], "deep": {"x": [{"id": 7}]}}"#;
    let locations = format!("location = /text {{ return 200 'plain'; }} location / {{ return 200 '{json}'; }}");
    let (_nginx, port) = Nginx::plain("assertions", &locations);
    let run = |path: &str, set_keys: &str, assertions: &str| {
        probe(&format!("url: http://127.0.0.1:{port}{path}\nset_keys: {set_keys}\nassertions: {assertions}"))
    };
    passed(&run("/", "{a: $.status, b: '$.n[*]', c: $.deep.x..id}", "{a: ok, b: {value: [1, 2]}, c: 7.0}"));
    passed(&run("/", "{a: $.no, b: $.nil, c: $.none}", "{a: {value: false}, b: {value: 0}, c: {value: ''}}"));
    passed(&run("/", "{a: $.absent, b: $.status}", "{a: {exists: false}, b: {exists: true}}"));

    let wrong = run("/", "{a: $.no, b: $.status, c: $.absent}", "{a: true, b: up, c: {exists: true}}");
    failed(&wrong, "assertion");
    let mismatches = json!([
        { "subject": "a ($.no)", "expected": "true", "actual": "false" },
        { "subject": "b ($.status)", "expected": "\"up\"", "actual": "\"ok\"" },
        { "subject": "c ($.absent)", "expected": "to exist", "actual": "no match" },
    ]);
    assert_eq!(wrong["failure"]["mismatches"], mismatches);
    assert_eq!(spans(&wrong, "json.assert")[0]["status"], "internal_error");

    let text = failed(&run("/text", "{a: $.status}", "{a: ok}"), "json");
    assert!(text.starts_with("the body is not JSON: "), "{text}");
}

#[test]
fn what_is_sent() {
    let (requests, port) = echo();
    let keys = format!(
        "url: 'http://user:p%40ss@127.0.0.1:{port}/p?x=1#f'\nquery: {{a: [1, two], b: 'c d'}}\nheaders: {{x-n: 3}}\n\
         body: {{k: [1, null]}}\nexpected: 200"
    );
    passed(&probe(&keys));
    passed(&probe(&format!(
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

/// A target that says yes to everything, and the heads of the requests that it got.
fn echo() -> (Arc<Mutex<Vec<Vec<String>>>>, u16) {
    let requests: Arc<Mutex<Vec<Vec<String>>>> = Arc::default();
    let inbox = Arc::clone(&requests);
    let port = slow::listen(move |mut connection| {
        inbox.lock().unwrap().push(slow::head(&connection));
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    });
    (requests, port)
}

#[test]
fn redirects() {
    let locations = "location = /one { return 301 /two; } location = /two { return 302 /; }
        location = /loop { return 302 /loop; } location = /away { return 307 ftp://127.0.0.1/; }
        location / { return 200; }";
    let (_nginx, port) = Nginx::plain("redirects", locations);
    let url = format!("http://127.0.0.1:{port}");

    let run = probe(&format!("url: {url}/one"));
    passed(&run);
    let hops = spans(&run, "http.client");
    let described: Vec<_> = hops.iter().map(|hop| hop["description"].as_str().unwrap().to_owned()).collect();
    assert_eq!(described, ["/one", "/two", "/"].map(|path| format!("GET {url}{path}")));
    assert_eq!(hops[2]["data"]["http.request.resend_count"], 2);
    assert_eq!(spans(&run, "http.client.connect").len(), 1, "the hops share a connection");
    assert_eq!(hops[1]["data"]["http.connection.reused"], true);

    passed(&probe(&format!("url: {url}/one\nredirects: 0\nexpected: 301")));
    let message = failed(&probe(&format!("url: {url}/one\nredirects: 1")), "redirect");
    assert_eq!(message, format!("still redirected after 1 redirect, to {url}/"));
    let message = failed(&probe(&format!("url: {url}/loop")), "redirect");
    assert_eq!(message, format!("still redirected after 10 redirects, to {url}/loop"));
    let message = failed(&probe(&format!("url: {url}/away")), "redirect");
    assert!(message.contains("neither http nor https"), "{message}");
}

#[test]
fn a_kept_connection_that_closes_is_no_failure() {
    let port = slow::listen(|mut connection| {
        let head = slow::head(&connection);
        let location = if head[0].contains(" /a ") { "location: /b\r\n" } else { "" };
        let status = if location.is_empty() { "200 OK" } else { "302 Found" };
        // It says nothing of closing, and closes.
        let _ = connection.write_all(format!("HTTP/1.1 {status}\r\n{location}content-length: 0\r\n\r\n").as_bytes());
        std::thread::sleep(Duration::from_millis(1));
    });
    for _ in 0..20 {
        passed(&probe(&format!("url: http://127.0.0.1:{port}/a")));
    }
}

#[test]
fn redirects_keep_the_body_or_become_a_get() {
    let (requests, port) = echo();
    let code = |code: u16| format!("location = /{code} {{ return {code} http://127.0.0.1:{port}/; }}");
    let (_nginx, from) = Nginx::plain("methods", &[301, 302, 303, 307, 308].map(code).join(" "));
    for code in [301, 302, 303, 307, 308] {
        passed(&probe(&format!("url: http://127.0.0.1:{from}/{code}\nbody: {{a: 1}}\nexpected: 200")));
    }
    passed(&probe(&format!("url: http://127.0.0.1:{from}/303\nmethod: HEAD")));
    let requests = requests.lock().unwrap();
    let kept = |request: &Vec<String>| {
        let head = request.join("\n").to_lowercase();
        (head.split(' ').next().unwrap_or_default().to_owned(), head.contains("content-length: 7"))
    };
    let kept: Vec<_> = requests.iter().map(kept).collect();
    let (got, posted) = (("get".to_owned(), false), ("post".to_owned(), true));
    assert_eq!(kept[..5], [got.clone(), got.clone(), got, posted.clone(), posted]);
    assert_eq!(kept[5].0, "head");
}

#[test]
fn what_is_meant_for_one_host_stays_there() {
    let (requests, other) = echo();
    let locations = format!(
        "location = /other {{ return 302 http://127.0.0.1:{other}/; }} location = /self {{ return 302 /; }}
         location / {{ return 200; }}"
    );
    let (_nginx, port) = Nginx::plain("credentials", &locations);
    let headers = "headers: {authorization: Bearer s, cookie: a=b, x-mine: kept}";
    passed(&probe(&format!("url: http://127.0.0.1:{port}/other\n{headers}")));
    let request = requests.lock().unwrap()[0].join("\n").to_lowercase();
    for dropped in ["authorization", "cookie", "sentry-trace", "baggage"] {
        assert!(!request.contains(dropped), "{dropped} went to another host: {request}");
    }
    assert!(request.contains("x-mine: kept"), "{request}");
}

#[test]
fn the_target_is_told_of_the_trace() {
    let (requests, port) = echo();
    let url = format!("url: http://127.0.0.1:{port}/");
    let linked = probe(&url);
    probe(&format!("{url}\ntrace_headers: sampled"));
    probe(&format!("{url}\ntrace_headers: off"));
    let requests = requests.lock().unwrap();
    let line = |request: usize, name: &str| {
        let prefix = format!("{name}: ");
        requests[request].iter().find_map(|line| line.strip_prefix(&prefix).map(str::to_owned))
    };
    let (trace, span) = (linked["trace_id"].as_str().unwrap(), &spans(&linked, "http.client")[0]["span_id"]);
    assert_eq!(line(0, "sentry-trace"), Some(format!("{trace}-{}-0", span.as_str().unwrap())));
    let baggage = line(0, "baggage").expect("baggage goes along");
    assert!(
        baggage.contains(&format!("sentry-trace_id={trace}")) && baggage.contains("sentry-sampled=false"),
        "{baggage}"
    );
    assert!(line(1, "sentry-trace").is_some_and(|header| header.ends_with("-1")));
    assert_eq!((line(2, "sentry-trace"), line(2, "baggage")), (None, None));
}

#[test]
fn large_bodies_are_counted_and_not_kept() {
    let large = slow::listen(|mut connection| {
        slow::head(&connection);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
        let piece = vec![b' '; 1 << 20];
        for _ in 0..20 {
            let _ = connection.write_all(&piece);
        }
    });
    let run = probe(&format!("url: http://127.0.0.1:{large}/"));
    passed(&run);
    assert_eq!(spans(&run, "http.client")[0]["data"]["http.response.body.size"], 20 << 20);
    let message = failed(&probe(&format!("url: http://127.0.0.1:{large}/\nset_keys: {{a: $.a}}")), "json");
    assert!(message.contains("20971520 bytes"), "{message}");
}

#[test]
fn each_run_has_a_connection_of_its_own() {
    let (_nginx, port) = Nginx::plain("connections", "location / { return 200; }");
    let keys = format!(
        "{}{}",
        http(&format!("url: http://127.0.0.1:{port}/\ntitle: a")),
        "      - {probe: http, title: b, url: 'http://127.0.0.1:PORT/'}\n".replace("PORT", &port.to_string())
    );
    let (code, runs) = once(&keys);
    assert_eq!(code, 0);
    for run in &runs {
        assert_eq!(spans(run, "http.client")[0]["data"]["http.connection.reused"], false);
        lasted(run, "http.client.connect");
    }
}
