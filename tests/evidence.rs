//! Evidence in error events: what it shows of a failed or broken run, and which secrets it must not show.

mod secrets;

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::certificates::Certificates;
use crate::support::dns::{DnsAnswer, DnsServer};
use crate::support::nginx::Nginx;
use crate::support::receiver::{ReceivedEnvelope, Receiver};
use crate::support::sshd::{Sshd, generate_key};
use crate::support::target::Target;
use crate::support::{empty_folder, free_port, http_config, relay, run_command, sentrynet, tcp_server};

/// Runs a configuration of one probe once. Returns its error event, which Relay must accept.
#[track_caller]
pub fn error_event(name: &str, probes: &str) -> Value {
    let (event, _) = error_event_and_output(name, probes);
    event
}

/// Runs a configuration of one probe once. Returns its error event, and everything that was sent and printed as one
/// text.
#[track_caller]
pub fn error_event_and_output(name: &str, probes: &str) -> (Value, String) {
    let receiver = Receiver::start();
    let configuration = format!("sentry: {{dsn: '{}'}}\n{probes}", receiver.dsn());
    let mut program = sentrynet();
    let ended =
        run_command(program.env("SENTRYNET_LOG", "debug").args(["once", "-", "--format", "json"]), &configuration);
    assert!(matches!(ended.code, 1 | 3), "{}\n{}", ended.stdout, ended.stderr);
    let envelopes = receiver.wait_for_envelopes(2);
    relay::assert_accepts(&format!("relay-evidence-{name}"), &envelopes);
    let text = |received: &ReceivedEnvelope| String::from_utf8(received.envelope.clone()).expect("envelopes are text");
    let sent: String = envelopes.iter().map(text).collect();
    let items = envelopes.iter().flat_map(|envelope| envelope.parse_envelope().1);
    let events: Vec<_> = items.filter(|(head, _)| head["type"] == "event").map(|(_, event)| event).collect();
    let [event] = events.try_into().expect("one run has one error event");
    (event, format!("{sent}\n{}\n{}", ended.stdout, ended.stderr))
}

#[track_caller]
fn http_error_event(name: &str, keys: &str) -> Value {
    error_event(name, &http_config(keys))
}

/// Returns the value of a header in a section of an event.
fn header_value<'a>(section: &'a Value, name: &str) -> Option<&'a str> {
    let lines = section["headers"].as_array().expect("there are headers");
    lines.iter().find(|line| line[0] == name).and_then(|line| line[1].as_str())
}

#[test]
fn a_failed_status_has_request_response_and_connection() {
    let (_nginx, port) = Nginx::start_plain(
        "evidence-status",
        r#"location = /from { return 302 /shop/status?page=2; }
           location / { add_header x-served-by "web 7" always; return 503 '{"status": "down", "parts": [1, 2]}'; }"#,
    );
    let keys = format!("url: http://localhost:{port}/from\nheaders: {{accept: application/json}}");
    let event = http_error_event("status", &keys);
    let contexts = &event["contexts"];
    let request = &event["request"];
    assert_eq!(request["url"], format!("http://localhost:{port}/shop/status"));
    assert_eq!((&request["method"], &request["query_string"]), (&json!("GET"), &json!([["page", "2"]])));
    assert_eq!(header_value(request, "Accept"), Some("application/json"));
    let response = &contexts["response"];
    assert_eq!((&response["status_code"], &response["body_size"]), (&json!(503), &json!(35)));
    assert_eq!(response["data"], json!({ "status": "down", "parts": [1, 2] }));
    assert_eq!(header_value(response, "X-Served-By"), Some("web 7"));
    assert_eq!(header_value(response, "Content-Type"), Some("application/json"));
    let connection = &contexts["connection"];
    assert_eq!(connection["phase"], "receive");
    assert_eq!(
        (&connection["peer"], &connection["protocol"]),
        (&json!(format!("127.0.0.1:{port}")), &json!("HTTP/1.1"))
    );
    assert_eq!(connection["redirects"], json!([{ "status": 302, "from": format!("http://localhost:{port}/from") }]));
    assert_eq!(connection["user_agent"], concat!("sentrynet/", env!("CARGO_PKG_VERSION")));
    // The second hop reuses the connection of the first.
    assert_eq!((&connection["reused"], connection.get("error")), (&json!(true), None));
    assert_eq!(contexts["check"]["mismatches"][0], json!({ "subject": "status", "expected": "200", "actual": "503" }));
    let crumbs = event["breadcrumbs"]["values"].as_array().expect("there are breadcrumbs");
    let statuses: Vec<_> = crumbs.iter().filter_map(|crumb| crumb["data"].get("status_code")).collect();
    assert_eq!(statuses, [302, 503]);
}

#[test]
fn a_binary_body_is_described_and_not_shown() {
    let (_nginx, port) = Nginx::start_plain("evidence-binary", "location / { default_type image/gif; empty_gif; }");
    let keys = format!(
        "url: http://127.0.0.1:{port}/\nchecks: {{header content-type: {{starts_with: text/}}, size: {{less: 9}}}}"
    );
    let event = http_error_event("binary", &keys);
    assert_eq!(event["contexts"]["response"]["data"], "43 bytes that are no text");
    assert_eq!(event["contexts"]["check"]["mismatches"][1]["actual"], "43 bytes");
}

#[test]
fn a_run_without_a_response_has_the_phase_it_ended_in() {
    let dns = DnsServer::start(|_| DnsAnswer::NoSuchName);
    let event = http_error_event("dns", &format!("url: http://shop.test/\ndns_server: 127.0.0.1:{}", dns.port));
    let expected = json!({ "phase": "dns", "error": "dns", "names": ["shop.test"], "peer": "shop.test:80" });
    let connection = |event: &Value| {
        let mut connection = event["contexts"]["connection"].clone();
        connection.as_object_mut().expect("there is a connection").remove("user_agent");
        connection
    };
    assert_eq!(connection(&event), expected);
    assert_eq!(event["request"]["url"], "http://shop.test/");
    assert_eq!(event["contexts"].get("response"), None);

    let (dns, port) = (DnsServer::with_name("shop.test", &["127.0.0.1"]), free_port());
    let event =
        http_error_event("refused", &format!("url: http://shop.test:{port}/\ndns_server: 127.0.0.1:{}", dns.port));
    let expected = json!({
        "phase": "connect",
        "error": "connect",
        "names": ["shop.test"],
        "resolved": ["127.0.0.1"],
        "peer": format!("shop.test:{port}"),
    });
    assert_eq!(connection(&event), expected);

    let port = tcp_server::respond_slowly(Duration::from_secs(5), Duration::ZERO);
    let event = http_error_event("wait", &format!("url: http://127.0.0.1:{port}/\ntimeout: 0.3"));
    assert_eq!(connection(&event), json!({ "phase": "wait", "error": "timeout", "peer": format!("127.0.0.1:{port}") }));

    let port = tcp_server::respond_slowly(Duration::ZERO, Duration::from_secs(5));
    let event = http_error_event("receive", &format!("url: http://127.0.0.1:{port}/\ntimeout: 0.3"));
    assert_eq!(connection(&event)["phase"], "receive");
    // The evidence has the part of the body that arrived before the timeout.
    assert_eq!(event["contexts"]["response"]["data"], "o");
    assert_eq!(event["contexts"]["response"]["status_code"], 200);
}

#[test]
fn a_failed_handshake_has_the_certificate_chain() {
    let certificates = Certificates::new(&empty_folder("evidence-tls"));
    certificates.certify("expired", &["localhost", "127.0.0.1"], 2022);
    let (port, home) = (free_port(), certificates.folder.display());
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {home}/expired.pem; ssl_certificate_key {home}/expired.key; }}"
    );
    let _nginx = Nginx::start("evidence-tls", &[port], &server);
    let event = http_error_event("tls", &format!("url: https://localhost:{port}/\nca: {}", certificates.ca()));
    assert_eq!(event["contexts"]["connection"]["phase"], "tls");
    assert_eq!(event["contexts"]["connection"]["resolved"], json!(["127.0.0.1"]));
    let chain = event["contexts"]["tls"]["certificates"].as_array().expect("there is a chain");
    assert_eq!(chain.len(), 2);
    assert_eq!((&chain[0]["subject"], &chain[0]["issuer"]), (&json!("CN=expired"), &json!("CN=The tests' authority")));
    assert_eq!(chain[0]["names"], json!(["localhost", "127.0.0.1"]));
    assert_eq!(
        (&chain[0]["not_before"], &chain[0]["not_after"]),
        (&json!("2020-01-01T00:00:00Z"), &json!("2022-01-01T00:00:00Z"))
    );
    assert!(chain[0]["days_left"].as_i64().is_some_and(|days| days < -1000), "{:#}", chain[0]);
    assert_eq!(chain[1]["subject"], "CN=The tests' authority");
}

#[test]
fn a_failed_ssh_run_has_server_login_and_command() {
    let sshd = Sshd::openssh("evidence", "");
    generate_key(&sshd.home, "another", &["-t", "ed25519"], "");
    let keys = |identity: &str| {
        format!(
            "groups: [{{probes: [{{probe: ssh, host: 127.0.0.1, port: {}, username: {}, identity: {}, \
             host_key: '{}', command: 'echo to see; echo password=hunter2 >&2; exit 3'}}]}}]",
            sshd.port,
            sshd.user,
            sshd.file(identity),
            sshd.fingerprint("ed25519"),
        )
    };
    let event = ssh_error_event("ssh-auth", &keys("another"));
    let (ssh, connection) = (&event["contexts"]["ssh"], &event["contexts"]["connection"]);
    assert!(ssh["banner"].as_str().is_some_and(|banner| banner.starts_with("SSH-2.0-")), "{ssh:#}");
    assert_eq!(ssh["host_key"], format!("ssh-ed25519 {}", sshd.fingerprint("ed25519")));
    assert_eq!((&ssh["methods"], &ssh["username"]), (&json!(["publickey"]), &json!(sshd.user)));
    assert_eq!((&connection["phase"], &connection["error"]), (&json!("auth"), &json!("auth")));
    assert_eq!(connection["peer"], format!("127.0.0.1:{}", sshd.port));

    let event = ssh_error_event("ssh-exit", &keys("id_ed25519"));
    let command = &event["contexts"]["ssh"]["command"];
    assert_eq!((&command["exit_status"], &event["contexts"]["connection"]["phase"]), (&json!(3), &json!("exec")));
    assert_eq!(command["stdout"], json!({ "size": 7, "text": "to see\n" }));
    assert_eq!(command["stderr"]["text"], "password=[Filtered]\n");
}

#[track_caller]
fn ssh_error_event(name: &str, configuration: &str) -> Value {
    let (event, all) = error_event_and_output(name, configuration);
    assert!(!all.contains("hunter2"), "{all}");
    event
}

#[test]
fn relay_accepts_evidence_of_any_response() {
    let deep = r#"{"a":"#.repeat(40) + "1" + &"}".repeat(40);
    let wide = format!("{{{}}}", (0..200).map(|key| format!("\"k{key}\":null")).collect::<Vec<_>>().join(","));
    let bodies = [
        "12345",
        "-1.5e300",
        "1e400",
        "123456789012345678901234567890",
        "null",
        "true",
        "\"text\"",
        "\"\\\"12\\\"\"",
        "[]",
        "{}",
        r#"{"":{"":[null,"",{}]},"type":"x"}"#,
        "[[[[[[[[[1]]]]]]]]]",
        "\u{1}\u{2}\u{3}control",
        "a=1&b=2",
        &deep,
        &wide,
        &"\"\\".repeat(2000),
        &"é".repeat(3000),
        "\u{feff}{\"a\":1}",
    ];
    let many: String = (0..80).map(|index| format!("x-{index}: {}\r\n", "\"v\"".repeat(300))).collect();
    let cookies: String =
        (0..40).map(|index| format!("set-cookie: c{index}=v; Path=/{}\r\n", "a".repeat(200))).collect();
    for headers in ["x--odd: \r\nx_y: \tz\r\n", &many, &cookies] {
        for (index, body) in bodies.iter().enumerate().filter(|(index, _)| headers.len() < 100 || *index > 12) {
            let (headers, body) = (headers.to_owned(), (*body).to_owned());
            let length = body.len();
            let target = Target::responding(move |_| {
                format!("500 No\r\ncontent-length: {length}\r\nconnection: close\r\n{headers}\r\n{body}")
            });
            let event = http_error_event("hostile", &format!("url: http://127.0.0.1:{}/a%20b'c?&=&x", target.port));
            assert_eq!(event["contexts"]["response"]["body_size"], length, "{index}");
        }
    }
}

#[test]
fn a_failed_chain_has_its_failed_step_and_all_attempts() {
    let (_nginx, port) = Nginx::start_plain(
        "evidence-chain",
        "location = /one { return 200 one; } location = /two { return 500 'two is broken'; } location / { return 404; }",
    );
    let chain = format!(
        "groups:
  - probes:
      - probe: chain
        title: A chain
        retries: 1
        retry_delay: 0
        steps:
          - url: http://127.0.0.1:{port}/one
          - url: http://127.0.0.1:{port}/two
          - {{url: 'http://127.0.0.1:{port}/clean-up', always: true, expected: 404}}
          - {{url: 'http://127.0.0.1:{port}/clean-up-too', always: true}}
"
    );
    let event = error_event("chain", &chain);
    assert_eq!(event["request"]["url"], format!("http://127.0.0.1:{port}/two"));
    assert_eq!(event["contexts"]["response"]["data"], "two is broken");
    let attempts = &event["contexts"]["attempts"];
    for number in ["1", "2"] {
        assert_eq!((&attempts[number]["outcome"], &attempts[number]["reason"]), (&json!("failed"), &json!("status")));
        assert_eq!(attempts[number]["message"], "step 2: expected status 200, got 500");
        assert!(attempts[number]["duration_ms"].as_f64().is_some_and(|took| took > 0.0), "{attempts:#}");
    }
    let lines = event["contexts"]["log"]["lines"].as_array().expect("the guest has logged");
    assert!(lines[0].as_str().is_some_and(|line| line.starts_with("error: after the failure, step 4")), "{lines:?}");
}

#[test]
fn a_run_that_ends_at_a_limit_has_evidence_too() {
    let body = "x".repeat(3 << 20);
    let target = Target::responding(move |_| {
        format!("200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    });
    let event =
        http_error_event("limit", &format!("url: http://127.0.0.1:{}/\nlimits: {{memory: 2 MiB}}", target.port));
    assert_eq!(event["tags"]["reason"], "too-large");
    // The run ended when the host had received as much of the body as it may hold.
    let received = event["contexts"]["response"]["body_size"].as_u64().expect("the received bytes are known");
    assert!((2 << 20..3 << 20).contains(&received), "{received}");
    let data = event["contexts"]["response"]["data"].as_str().expect("the body is shown as text");
    assert_eq!(data, "x".repeat(2048), "only the beginning of the body is shown");
}
