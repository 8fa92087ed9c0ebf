//! Redirects of the http probe.

use std::io::Write;
use std::time::Duration;

use super::start_recording_target;
use crate::support::nginx::Nginx;
use crate::support::{assert_passed, expect_failure, run_http_probe, spans, tcp_server};

#[test]
fn redirects_are_followed_up_to_the_limit() {
    let locations = "location = /one { return 301 /two; } location = /two { return 302 /; }
        location = /loop { return 302 /loop; } location = /away { return 307 ftp://127.0.0.1/; }
        location / { return 200; }";
    let (_nginx, port) = Nginx::start_plain("redirects", locations);
    let url = format!("http://127.0.0.1:{port}");

    let run = run_http_probe(&format!("url: {url}/one"));
    assert_passed(&run);
    let hops = spans(&run, "http.client");
    let described: Vec<_> = hops.iter().map(|hop| hop["description"].as_str().unwrap().to_owned()).collect();
    assert_eq!(described, ["/one", "/two", "/"].map(|path| format!("GET {url}{path}")));
    assert_eq!(hops[2]["data"]["http.request.resend_count"], 2);
    assert_eq!(spans(&run, "http.client.connect").len(), 1, "the hops share a connection");
    assert_eq!(hops[1]["data"]["http.connection.reused"], true);

    assert_passed(&run_http_probe(&format!("url: {url}/one\nredirects: 0\nexpected: 301")));
    let message = expect_failure(&run_http_probe(&format!("url: {url}/one\nredirects: 1")), "redirect");
    assert_eq!(message, format!("still redirected after 1 redirect, to {url}/"));
    let message = expect_failure(&run_http_probe(&format!("url: {url}/loop")), "redirect");
    assert_eq!(message, format!("still redirected after 10 redirects, to {url}/loop"));
    let message = expect_failure(&run_http_probe(&format!("url: {url}/away")), "redirect");
    assert!(message.contains("neither http nor https"), "{message}");
}

#[test]
fn a_reused_connection_that_was_closed_is_no_failure() {
    let port = tcp_server::listen(|mut connection| {
        let head = tcp_server::read_head(&connection);
        let location = if head[0].contains(" /a ") { "location: /b\r\n" } else { "" };
        let status = if location.is_empty() { "200 OK" } else { "302 Found" };
        // The server closes the connection without `connection: close`.
        let _ = connection.write_all(format!("HTTP/1.1 {status}\r\n{location}content-length: 0\r\n\r\n").as_bytes());
        std::thread::sleep(Duration::from_millis(1));
    });
    for _ in 0..20 {
        assert_passed(&run_http_probe(&format!("url: http://127.0.0.1:{port}/a")));
    }
}

#[test]
fn redirects_keep_the_body_or_become_a_get() {
    let (requests, port) = start_recording_target();
    let code = |code: u16| format!("location = /{code} {{ return {code} http://127.0.0.1:{port}/; }}");
    let (_nginx, from) = Nginx::start_plain("methods", &[301, 302, 303, 307, 308].map(code).join(" "));
    for code in [301, 302, 303, 307, 308] {
        assert_passed(&run_http_probe(&format!("url: http://127.0.0.1:{from}/{code}\nbody: {{a: 1}}\nexpected: 200")));
    }
    assert_passed(&run_http_probe(&format!("url: http://127.0.0.1:{from}/303\nmethod: HEAD")));
    let requests = requests.lock().unwrap();
    let method_and_body = |request: &Vec<String>| {
        let head = request.join("\n").to_lowercase();
        (head.split(' ').next().unwrap_or_default().to_owned(), head.contains("content-length: 7"))
    };
    let sent: Vec<_> = requests.iter().map(method_and_body).collect();
    let (got, posted) = (("get".to_owned(), false), ("post".to_owned(), true));
    assert_eq!(sent[..5], [got.clone(), got.clone(), got, posted.clone(), posted]);
    assert_eq!(sent[5].0, "head");
}

#[test]
fn credentials_and_trace_headers_are_not_sent_to_another_host() {
    let (requests, other) = start_recording_target();
    let locations = format!(
        "location = /other {{ return 302 http://127.0.0.1:{other}/; }} location = /self {{ return 302 /; }}
         location / {{ return 200; }}"
    );
    let (_nginx, port) = Nginx::start_plain("credentials", &locations);
    let headers = "headers: {authorization: Bearer s, cookie: a=b, x-mine: kept}";
    assert_passed(&run_http_probe(&format!("url: http://127.0.0.1:{port}/other\n{headers}")));
    let request = requests.lock().unwrap()[0].join("\n").to_lowercase();
    for dropped in ["authorization", "cookie", "sentry-trace", "baggage"] {
        assert!(!request.contains(dropped), "{dropped} went to another host: {request}");
    }
    assert!(request.contains("x-mine: kept"), "{request}");
}
