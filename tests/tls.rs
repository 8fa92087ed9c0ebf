//! TLS: nginx with valid and with invalid certificates.

mod authorities;
mod days;
mod handshakes;
mod unusual;

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use crate::support::certificates::Certificates;
use crate::support::nginx::Nginx;
use crate::support::{
    absent_path, assert_delay_in_phase, empty_folder, free_port, http_config, run_command, run_http_probe,
    run_once_with, sentrynet, span_duration_ms, spans, tcp_server,
};

/// Returns an nginx server on a port with the certificate `name` in a folder, and with more lines.
fn server_block(port: u16, home: &Path, name: &str, more: &str) -> String {
    let home = home.display();
    format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {home}/{name}.pem; ssl_certificate_key {home}/{name}.key;
         {more} location / {{ return 200 ok; }} }}"
    )
}

struct Targets {
    nginx: Nginx,
    ca: String,
    good: u16,
    expired: u16,
    wrong_name: u16,
    old: u16,
}

fn start_targets(name: &str) -> Targets {
    let certificates = Certificates::new(&empty_folder(&format!("tls-{name}")));
    certificates.certify("good", &["localhost", "127.0.0.1"], 2100);
    certificates.certify("expired", &["localhost"], 2022);
    certificates.certify("wrong", &["www.example.org", "example.org"], 2100);
    let ports = [free_port(), free_port(), free_port(), free_port()];
    let server = |port: u16, name: &str, more: &str| {
        let file = |kind| certificates.folder.join(format!("{name}.{kind}")).display().to_string();
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {}; ssl_certificate_key {}; {more}
             location / {{ return 200 ok; }} }}",
            file("pem"),
            file("key")
        )
    };
    let servers = [
        server(ports[0], "good", "ssl_protocols TLSv1.2 TLSv1.3;"),
        server(ports[1], "expired", ""),
        server(ports[2], "wrong", ""),
        server(ports[3], "good", "ssl_protocols TLSv1.2;"),
    ];
    let nginx = Nginx::start(&format!("tls-{name}"), &ports, &servers.join("\n"));
    let [good, expired, wrong_name, old] = ports;
    Targets { nginx, ca: certificates.ca(), good, expired, wrong_name, old }
}

#[track_caller]
fn expect_tls_failure(run: &Value) -> String {
    assert_eq!(run["failure"]["reason"], "tls", "{run:#}");
    assert_eq!(spans(run, "http.client.tls")[0]["status"], "unavailable");
    run["failure"]["message"].as_str().expect("a failure has a message").to_owned()
}

#[test]
fn certificates_are_verified_and_described() {
    let Targets { nginx: _nginx, ca, good, expired, wrong_name, old } = start_targets("certificates");
    let run_at = |port: u16, keys: &str| run_http_probe(&format!("url: https://localhost:{port}/\n{keys}"));
    let trusting = format!("ca: {ca}");

    let run = run_at(good, &trusting);
    assert_eq!(run["outcome"], "passed", "{run:#}");
    span_duration_ms(&run, "http.client.tls");
    let data = &spans(&run, "http.client")[0]["data"];
    assert_eq!(data["network.protocol.version"], "2");
    assert_eq!(data["tls.protocol.version"], "1.3");
    assert_eq!(data["tls.server.not_after"], "2100-01-01T00:00:00Z");
    assert_eq!(data["tls.server.subject"], "CN=good");
    assert!(data["tls.server.days_left"].as_i64().is_some_and(|days| days > 20_000), "{data:#}");

    let run = run_at(old, &trusting);
    assert_eq!(spans(&run, "http.client")[0]["data"]["tls.protocol.version"], "1.2");

    let message = expect_tls_failure(&run_at(expired, &trusting));
    let is_dated = message.starts_with("certificate expired ") && message.contains(" days ago: ");
    assert!(is_dated && message.ends_with("`CN=expired`, the server's own"), "{message}");
    let message = expect_tls_failure(&run_at(wrong_name, &trusting));
    assert_eq!(message, "certificate is not for `localhost`, but for `www.example.org`, `example.org`");
    let message = expect_tls_failure(&run_at(good, ""));
    assert_eq!(message, "certificate is issued by `CN=The tests' authority`, which is not trusted");

    for port in [good, expired, wrong_name] {
        let run = run_at(port, "verify_tls: false");
        assert_eq!(run["outcome"], "passed", "{run:#}");
    }
}

#[test]
fn the_system_roots_come_from_ssl_cert_file() {
    let Targets { nginx: _nginx, ca, good, .. } = start_targets("system");
    let keys = http_config(&format!("url: https://localhost:{good}/"));
    let (code, _) = run_once_with(sentrynet().env("SSL_CERT_FILE", &ca), &keys);
    assert_eq!(code, 0);
    let (code, runs) = run_once_with(sentrynet().env("SSL_CERT_FILE", absent_path("roots.pem")), &keys);
    assert_eq!(code, 1);
    expect_tls_failure(&runs[0]);
}

#[test]
fn a_slow_handshake_shows_in_the_tls_phase() {
    let Targets { nginx: _nginx, ca, good, .. } = start_targets("slow");
    let delay = Duration::from_millis(250);
    let port = tcp_server::forward_slowly(good, delay);
    let run = run_http_probe(&format!("url: https://localhost:{port}/\nca: {ca}"));
    assert_eq!(run["outcome"], "passed", "{run:#}");
    assert_delay_in_phase(&run, "http.client", &["dns", "connect", "tls", "send", "wait", "receive"], "tls", delay);
}

#[test]
fn a_self_signed_certificate_can_be_trusted() {
    let certificates = Certificates::new(&empty_folder("tls-self-signed"));
    certificates.self_sign("own", &["localhost"], 2100);
    certificates.self_sign("stale", &["localhost"], 2022);
    certificates.self_sign("astray", &["example.org"], 2100);
    let home = certificates.folder.display().to_string();
    let ports = [free_port(), free_port(), free_port()];
    let server = |port: u16, name: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {home}/{name}.pem;
               ssl_certificate_key {home}/{name}.key; location / {{ return 200; }} }}"
        )
    };
    let servers = [server(ports[0], "own"), server(ports[1], "stale"), server(ports[2], "astray")];
    let _nginx = Nginx::start("self-signed", &ports, &servers.concat());
    let [own, stale, astray] = ports;
    let run_at = |port: u16, keys: &str| run_http_probe(&format!("url: https://localhost:{port}/\n{keys}"));
    assert_eq!(run_at(own, &format!("ca: {home}/own.pem"))["outcome"], "passed");
    let message = expect_tls_failure(&run_at(own, ""));
    assert_eq!(message, "certificate is self-signed (CN=own) and not itself trusted");
    let message = expect_tls_failure(&run_at(own, &format!("ca: {home}/astray.pem")));
    assert_eq!(message, "certificate is self-signed (CN=own) and not itself trusted");
    let message = expect_tls_failure(&run_at(stale, &format!("ca: {home}/stale.pem")));
    assert!(message.starts_with("certificate expired "), "{message}");
    let message = expect_tls_failure(&run_at(astray, &format!("ca: {home}/astray.pem")));
    assert_eq!(message, "certificate is not for `localhost`, but for `example.org`");
}

#[test]
fn a_delay_shows_in_its_phase_over_http_2_too() {
    let certificates = Certificates::new(&empty_folder("tls-http2"));
    certificates.certify("good", &["localhost"], 2100);
    let delay = Duration::from_millis(250);
    let (slow_head, slow_body) =
        (tcp_server::respond_slowly(delay, Duration::ZERO), tcp_server::respond_slowly(Duration::ZERO, delay));
    let (port, home) = (free_port(), certificates.folder.display());
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {home}/good.pem; ssl_certificate_key {home}/good.key;
           proxy_buffering off;
           location /slow_head {{ proxy_pass http://127.0.0.1:{slow_head}; }}
           location /slow_body {{ proxy_pass http://127.0.0.1:{slow_body}; }} }}"
    );
    let _nginx = Nginx::start("http2", &[port], &server);
    for (path, slow) in [("slow_head", "wait"), ("slow_body", "receive")] {
        let run = run_http_probe(&format!(
            "url: https://localhost:{port}/{path}\nca: {}\nbody: {{some: text}}\nexpected: 200",
            certificates.ca()
        ));
        assert_eq!(run["outcome"], "passed", "{run:#}");
        assert_eq!(spans(&run, "http.client")[0]["data"]["network.protocol.version"], "2");
        assert_delay_in_phase(&run, "http.client", &["dns", "connect", "tls", "send", "wait", "receive"], slow, delay);
    }
}

#[test]
fn a_server_without_tls_is_reported() {
    let port = tcp_server::respond_slowly(Duration::ZERO, Duration::ZERO);
    let message = expect_tls_failure(&run_http_probe(&format!("url: https://127.0.0.1:{port}/\ntimeout: 5")));
    assert!(message.starts_with(&format!("what listens on port {port} does not speak TLS")), "{message}");
}

#[test]
fn invalid_files_of_authorities_are_refused() {
    let home = empty_folder("ca-files");
    let write = |name: &str, text: &str| {
        let path: PathBuf = home.join(name);
        std::fs::write(&path, text).expect("the folder is writable");
    };
    write("empty.pem", "nothing here\n");
    write("torn.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let check = |file: &str, expected: &str| {
        let keys = http_config(&format!("url: https://localhost/\nca: {}", home.join(file).display()));
        let ended = run_command(sentrynet().args(["check", "-"]), &keys);
        assert_eq!(ended.code, 2);
        assert!(ended.stderr.contains(expected), "{}", ended.stderr);
    };
    check("absent.pem", "absent.pem: No such file or directory");
    check("empty.pem", "empty.pem holds no certificate");
    check("torn.pem", "torn.pem holds a certificate that cannot be parsed");
}
