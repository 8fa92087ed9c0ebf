//! `http_version`, `compression` and `user_agent`: the form of a request.

use crate::network::assert_refused;
use crate::support::certificates::Certificates;
use crate::support::nginx::Nginx;
use crate::support::target::{Target, ok_response, redirect_response};
use crate::support::{assert_passed, empty_folder, expect_failure, free_port, run_http_probe, spans};

struct Targets {
    _nginx: Nginx,
    ca: String,
    /// The port of a server with TLS, HTTP/1.1 and HTTP/2.
    tls_both: u16,
    /// The port of a server with TLS and HTTP/1.1 alone.
    tls_http1: u16,
    /// The port of a server without TLS, HTTP/2 alone.
    plain_http2: u16,
    /// The port of a server without TLS, HTTP/1.1 alone.
    plain_http1: u16,
}

fn start_targets(name: &str) -> Targets {
    let certificates = Certificates::new(&empty_folder(&format!("network-{name}")));
    certificates.certify("good", &["localhost"], 2100);
    let home = certificates.folder.display().to_string();
    let ports = [free_port(), free_port(), free_port(), free_port()];
    let server = |port: u16, listen: &str, more: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port} {listen}; {more}
               location / {{ return 200 '{{\"by\": \"$server_protocol\"}}'; }} }}"
        )
    };
    let tls = format!("ssl_certificate {home}/good.pem; ssl_certificate_key {home}/good.key;");
    let [tls_both, tls_http1, plain_http2, plain_http1] = ports;
    let servers = [
        server(tls_both, "ssl http2", &tls),
        server(tls_http1, "ssl", &tls),
        server(plain_http2, "http2", ""),
        server(plain_http1, "", ""),
    ];
    let nginx = Nginx::start(&format!("network-{name}"), &ports, &servers.concat());
    Targets { _nginx: nginx, ca: certificates.ca(), tls_both, tls_http1, plain_http2, plain_http1 }
}

#[test]
fn the_configured_version_of_http_is_used() {
    let targets = start_targets("versions");
    for (url, keys, spoken) in [
        (format!("https://localhost:{}", targets.tls_both), "", "2"),
        (format!("https://localhost:{}", targets.tls_both), "http_version: 1.1", "1.1"),
        (format!("https://localhost:{}", targets.tls_both), "http_version: '1.1'", "1.1"),
        (format!("https://localhost:{}", targets.tls_both), "http_version: 2", "2"),
        (format!("https://localhost:{}", targets.tls_http1), "", "1.1"),
        (format!("http://localhost:{}", targets.plain_http2), "http_version: 2", "2"),
        (format!("http://localhost:{}", targets.plain_http1), "", "1.1"),
    ] {
        let server = if spoken == "2" { "HTTP/2.0" } else { "HTTP/1.1" };
        let run = run_http_probe(&format!(
            "url: {url}/\nca: {}\nset_keys: {{by: $.by}}\nassertions: {{by: {server}}}\n{keys}",
            targets.ca
        ));
        assert_passed(&run);
        assert_eq!(spans(&run, "http.client")[0]["data"]["network.protocol.version"], spoken);
    }
}

#[test]
fn a_server_without_the_configured_version_fails_the_run() {
    let targets = start_targets("wrong-versions");
    let run =
        run_http_probe(&format!("url: https://localhost:{}/\nca: {}\nhttp_version: 2", targets.tls_http1, targets.ca));
    let message = expect_failure(&run, "tls");
    // nginx may reset the connection before its alert is read.
    let expected =
        ["the server does not speak the version of HTTP that is asked for", "the server reset the connection"];
    assert!(expected.contains(&message.as_str()), "{message}");
    let run = run_http_probe(&format!("url: http://localhost:{}/\nhttp_version: 2\ntimeout: 5", targets.plain_http1));
    let message = expect_failure(&run, "protocol");
    assert!(message.contains("HTTP/2"), "{message}");
}

#[test]
fn invalid_versions_of_http_are_refused() {
    for wrong in ["3", "'1.0'", "h2"] {
        assert_refused(&format!("url: http://h/\nhttp_version: {wrong}"), "http_version", "expected 1.1 or 2");
    }
    assert_refused("url: http://h/\nhttp_version: [2]", "http_version", "expected 1.1 or 2");
    assert_refused(
        "url: http://h/\nhttp_version: 2\nheaders: {host: other}",
        "http_version",
        "HTTP/2 cannot send another host or port",
    );
    assert_refused(
        "url: http://h:81/\nhttp_version: 2\nconnect_to: ':82'",
        "connect_to",
        "HTTP/2 cannot send another host or port",
    );
}

#[test]
fn a_compressed_body_is_requested_and_decompressed() {
    let (to_send, target) = ("x".repeat(2000), Target::new());
    let locations = format!(
        "gzip on; gzip_types *; gzip_min_length 1; gzip_http_version 1.0;
         location / {{ return 200 '{{\"encodings\": \"$http_accept_encoding\", \"long\": \"{to_send}\"}}'; }}"
    );
    let (_nginx, port) = Nginx::start_plain("compression", &locations);
    let keys = format!(
        "url: http://127.0.0.1:{port}/\nset_keys: {{encodings: $.encodings}}\nchecks: {{body: {{contains: '{to_send}'}}}}"
    );
    let plain = run_http_probe(&format!("{keys}\nassertions: {{encodings: {{value: ''}}}}"));
    assert_passed(&plain);
    let packed = run_http_probe(&format!("{keys}\nassertions: {{encodings: {{contains: gzip}}}}\ncompression: true"));
    assert_passed(&packed);
    // A configured header restricts the encodings.
    assert_passed(&run_http_probe(&format!("{keys}\ncompression: true\nheaders: {{accept-encoding: gzip}}")));

    assert_passed(&run_http_probe(&format!("url: http://127.0.0.1:{}/", target.port)));
    assert_eq!(target.single_request().header("accept-encoding"), None);
}

#[test]
fn a_body_that_cannot_be_decompressed_fails_as_protocol() {
    let target = Target::responding(|_| {
        "200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\nconnection: close\r\n\r\nplain".to_owned()
    });
    let url = format!("url: http://127.0.0.1:{}/", target.port);
    assert_passed(&run_http_probe(&url));
    let message = expect_failure(&run_http_probe(&format!("{url}\ncompression: true")), "protocol");
    assert!(message.contains("gzip"), "{message}");
}

#[test]
fn the_user_agent_is_configurable() {
    let other = Target::new();
    let to = format!("http://localhost:{}/", other.port);
    let target = Target::responding(move |requests| match requests.last() {
        Some(request) if request.line.contains(" /go ") => redirect_response(&to),
        _ => ok_response(),
    });
    let url = format!("url: http://127.0.0.1:{}/", target.port);
    assert_passed(&run_http_probe(&url));
    assert_passed(&run_http_probe(&format!("{url}\nuser_agent: Monitor/2 (of ours)")));
    assert_passed(&run_http_probe(&format!("{url}\nheaders: {{User-Agent: another}}")));
    assert_passed(&run_http_probe(&format!("{url}go\nuser_agent: goes along")));
    let agents: Vec<_> =
        target.requests().iter().map(|request| request.header("user-agent").map(str::to_owned)).collect();
    let default = agents[0].as_deref().and_then(|agent| agent.strip_prefix("sentrynet/"));
    assert!(default.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit())), "{agents:?}");
    assert_eq!(agents[1..], ["Monitor/2 (of ours)", "another", "goes along"].map(|agent| Some(agent.to_owned())));
    assert_eq!(other.single_request().header("user-agent"), Some("goes along"));
    let keys = "url: http://h/\nuser_agent: one\nheaders: {User-Agent: two}";
    assert_refused(keys, "user_agent", "the header `user-agent` is given too");
}
