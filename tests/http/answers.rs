//! Responses that clients take although they are unusual, and cookies.

use std::io::Write;

use crate::support::certificates::Certificates;
use crate::support::nginx::Nginx;
use crate::support::target::Target;
use crate::support::{
    assert_passed, empty_folder, expect_failure, free_port, run_http_probe, run_once_with, sentrynet, tcp_server,
};

/// Starts a server that responds to everything with this head. Returns its port.
fn serve(head: String) -> u16 {
    tcp_server::listen(move |mut connection| {
        tcp_server::read_head(&connection);
        let _ = connection.write_all(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").as_bytes());
    })
}

#[test]
fn unusual_headers_are_taken_as_clients_take_them() {
    let check = |head: String, keys: &str| {
        assert_passed(&run_http_probe(&format!("url: http://127.0.0.1:{}/\n{keys}", serve(head))));
    };
    let ok = "HTTP/1.1 200 OK\r\n";
    check(format!("{ok}x-folded: one\r\n  two\r\n"), "checks: {header x-folded: one two}");
    check(format!("{ok}x-space : a\r\n"), "checks: {header x-space: a}");
    check(format!("{ok}no header at all\r\nx-after: a\r\n"), "checks: {header x-after: a}");
    let many: String = (0..1000).map(|number| format!("x-{number}: {number}\r\n")).collect();
    check(format!("{ok}{many}"), "checks: {header x-999: 999}");
    let large: String = (0..20).map(|number| format!("x-{number}: {}\r\n", "v".repeat(10_000))).collect();
    check(format!("{ok}{large}"), "checks: {header x-19: {starts_with: vvv}}");
}

/// Starts a server that responds to everything with these bytes, and closes the connection. Returns its port.
fn serve_bytes(bytes: Vec<u8>) -> u16 {
    tcp_server::listen(move |mut connection| {
        tcp_server::read_head(&connection);
        let _ = connection.write_all(&bytes);
        let _ = connection.shutdown(std::net::Shutdown::Write);
        let _ = std::io::copy(&mut connection, &mut std::io::sink());
    })
}

#[test]
fn what_is_refused_of_a_response_is_quoted() {
    let check = |response: &[u8], message: &str, quote: Option<&str>| {
        let run = run_http_probe(&format!("url: http://127.0.0.1:{}/", serve_bytes(response.to_vec())));
        assert_eq!(expect_failure(&run, "protocol"), message);
        assert_eq!(run["failure"]["evidence"]["http"]["connection"]["malformed"].as_str(), quote, "{run:#}");
    };
    check(
        b"HTTP/1.1 200 OK\r\nx-one: 1\r\nx-null: a\0b\r\n\r\n",
        "the response's header line 2 is malformed: `x-null: a\\x00b` (a null byte in the value)",
        Some("x-null: a\\x00b"),
    );
    check(
        b"HTTP/1.1 200 OK\r\nset-cookie: sid=opensesame\0\r\n\r\n",
        "the response's header line 1 is malformed: `set-cookie: \u{2026}` (a null byte in the value)",
        Some("set-cookie: [Filtered]"),
    );
    check(
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        "the response's status line is malformed: `HTTP/1.1 2x0 OK`",
        Some("HTTP/1.1 2x0 OK"),
    );
    check(
        b"SSH-2.0-OpenSSH_9.2\r\n",
        "the answer is not HTTP: it begins with `SSH-2.0-OpenSSH_9.2`",
        Some("SSH-2.0-OpenSSH_9.2"),
    );
    check(
        b"HTTP/1.1 200 OK\r\ncontent-length: 3, 4\r\n\r\nabc",
        "the response's `content-length` is malformed: `content-length: 3, 4`",
        Some("`content-length: 3, 4`"),
    );
    check(
        b"HTTP/1.1 200 OK\r\nx-a: 1\r\nx-cut",
        "the server closed the connection in the middle of the headers, after 30 bytes: `x-cut`",
        Some("x-cut"),
    );
    check(
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nxyz\r\n",
        "a chunk of the body is malformed: `xyz` is no size",
        Some("xyz"),
    );
    // How many bytes arrive before the client refuses the response depends on how the system divides them.
    let check_bound = |headers: String, message: &str| {
        let response = format!("HTTP/1.1 200 OK\r\n{headers}\r\n");
        let run = run_http_probe(&format!("url: http://127.0.0.1:{}/", serve_bytes(response.into_bytes())));
        let found = expect_failure(&run, "protocol");
        assert!(found.starts_with(message), "{found}");
    };
    let many = (0..6000).map(|number| format!("x-{number}: {number}\r\n")).collect();
    check_bound(many, "the response has too many header lines: more than 5000, in ");
    let large = format!("x-large: {}\r\n", "v".repeat(2_000_000));
    check_bound(large, "the response's headers are too large: more than 417792 bytes");
}

#[test]
fn header_lines_that_are_left_out_are_in_the_evidence() {
    let head = "HTTP/1.1 200 OK\r\nx-one: 1\r\nno header at all\r\nx two: 2\r\n".to_owned();
    let run = run_http_probe(&format!("url: http://127.0.0.1:{}/\nchecks: {{header x-two: 2}}", serve(head)));
    expect_failure(&run, "assertion");
    let malformed = &run["failure"]["evidence"]["http"]["connection"]["malformed"];
    assert_eq!(malformed, "no header at all; x two: 2", "{run:#}");
}

#[test]
fn what_is_refused_of_a_later_response_on_a_connection_is_quoted() {
    let port = tcp_server::listen(|mut connection| {
        tcp_server::read_head(&connection);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok");
        tcp_server::read_head(&connection);
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nx\0: 1\r\n\r\n");
    });
    let (_, runs) = run_once_with(
        &mut sentrynet(),
        &format!(
            "groups:\n  - probes:\n      - probe: chain\n        title: x\n        steps:\n          \
             - {{url: 'http://127.0.0.1:{port}/'}}\n          - {{url: 'http://127.0.0.1:{port}/', method: POST}}\n"
        ),
    );
    let message = expect_failure(&runs[0], "protocol");
    assert!(
        message.ends_with("the response's header line 1 is malformed: `x\\x00: 1` (a null byte in the name)"),
        "{message}"
    );
}

#[test]
fn a_server_of_http_1_is_quoted_where_http_2_is_required() {
    let port = serve_bytes(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n".to_vec());
    let message =
        expect_failure(&run_http_probe(&format!("url: http://127.0.0.1:{port}/\nhttp_version: 2")), "protocol");
    let expected = "the answer is in another version of HTTP: it begins with `HTTP/1.1 400 Bad Request`";
    assert!(message.starts_with(expected), "{message}");
}

#[test]
fn headers_of_many_bytes_are_taken_over_http_2() {
    let certificates = Certificates::new(&empty_folder("http-large-headers"));
    certificates.certify("good", &["localhost"], 2100);
    let (home, port) = (certificates.folder.display().to_string(), free_port());
    let headers: String = (0..24).map(|number| format!("add_header x-{number} {};", "v".repeat(1000))).collect();
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {home}/good.pem; ssl_certificate_key {home}/good.key;
           location / {{ {headers} return 200; }} }}"
    );
    let _nginx = Nginx::start("large-headers", &[port], &server);
    let keys = format!("url: https://localhost:{port}/\nca: {}\nhttp_version: 2", certificates.ca());
    assert_passed(&run_http_probe(&format!("{keys}\nchecks: {{header x-23: {{starts_with: vvv}}}}")));
}

#[test]
fn cookies_are_kept_as_by_a_browser() {
    let target = Target::responding(|requests| {
        let cookie = requests.last().and_then(|request| request.header("cookie")).unwrap_or_default();
        if cookie == "seen=1" {
            "200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
        } else {
            "302 Found\r\nlocation: /\r\nset-cookie: seen=1\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                .to_owned()
        }
    });
    let url = format!("url: http://127.0.0.1:{}/", target.port);
    assert_passed(&run_http_probe(&url));
    let message = expect_failure(&run_http_probe(&format!("{url}\ncookies: false")), "redirect");
    assert!(message.starts_with("still redirected after 10 redirects"), "{message}");
}

#[test]
fn a_request_without_a_body_says_so() {
    let target = Target::new();
    let url = format!("url: http://127.0.0.1:{}/\nexpected: 200", target.port);
    for keys in ["method: POST", "method: PUT", "method: PATCH", "body: ''", "method: GET", "method: DELETE"] {
        assert_passed(&run_http_probe(&format!("{url}\n{keys}")));
    }
    let lengths: Vec<_> =
        target.requests().iter().map(|request| request.header("content-length").map(str::to_owned)).collect();
    let zero = Some("0".to_owned());
    assert_eq!(lengths, [zero.clone(), zero.clone(), zero.clone(), zero, None, None]);
}

#[test]
fn numbers_are_sent_as_they_are_written() {
    let target = Target::new();
    let keys = "headers: {x-version: 1.10, x-phone: +4930123456, x-hex: 0x10, x-exp: 1e3, x-yes: yes, x-true: True, \
                x-null: null, x-n: 3, x-text: '1.10'}\nquery: {v: 1.10, several: [007, 1.0, ~]}\nuser_agent: 1.50";
    assert_passed(&run_http_probe(&format!("url: http://127.0.0.1:{}/\n{keys}", target.port)));
    let request = target.single_request();
    assert!(request.line.contains("/?v=1.10&several=007&several=1.0&several=%7E "), "{}", request.line);
    for (name, value) in [
        ("x-version", "1.10"),
        ("x-phone", "+4930123456"),
        ("x-hex", "0x10"),
        ("x-exp", "1e3"),
        ("x-yes", "yes"),
        ("x-true", "True"),
        ("x-null", "null"),
        ("x-n", "3"),
        ("x-text", "1.10"),
        ("user-agent", "1.50"),
    ] {
        assert_eq!(request.header(name), Some(value), "{name}");
    }
}

#[test]
fn phases_are_those_of_all_redirects() {
    let port = tcp_server::listen(|mut connection| {
        let head = tcp_server::read_head(&connection);
        let is_first = head.first().is_some_and(|line| line.contains(" /first "));
        if is_first {
            std::thread::sleep(std::time::Duration::from_millis(300));
        }
        let first = "HTTP/1.1 302 Found\r\nlocation: /second\r\n";
        let head = if is_first { first } else { "HTTP/1.1 200 OK\r\n" };
        let _ = connection.write_all(format!("{head}content-length: 0\r\nconnection: close\r\n\r\n").as_bytes());
    });
    assert_passed(&run_http_probe(&format!(
        "url: http://127.0.0.1:{port}/first\nchecks: {{time wait: {{at_least: 0.25}}}}"
    )));
}

#[test]
fn a_redirect_to_another_scheme_is_shown_as_it_is() {
    let port = serve("HTTP/1.1 302 Found\r\nlocation: file:///etc/passwd\r\n".to_owned());
    let message = expect_failure(&run_http_probe(&format!("url: http://127.0.0.1:{port}/")), "redirect");
    assert_eq!(message, "redirected with 302 to `file:///etc/passwd`, which is neither http nor https");
}

#[test]
fn redirects_do_not_make_a_probe_broken() {
    let target = Target::responding(|_| {
        "302 Found\r\nlocation: /again\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
    });
    let url = format!("url: http://127.0.0.1:{}/", target.port);
    let message = expect_failure(&run_http_probe(&format!("{url}\nlimits: {{requests: 3}}")), "redirect");
    assert!(message.contains("more requests than `limits.requests` allows"), "{message}");
    let elsewhere = serve("HTTP/1.1 302 Found\r\nlocation: http://127.0.0.2/\r\n".to_owned());
    let keys = format!("url: http://127.0.0.1:{elsewhere}/\nallow: {{hosts: ['127.0.0.1:{elsewhere}']}}");
    let message = expect_failure(&run_http_probe(&keys), "redirect");
    assert!(message.starts_with("redirected to http://127.0.0.2/: "), "{message}");
}
