//! `http_version`, `compression` and `user_agent`: how the request is spoken.

use crate::network::{redirect, refused, yes};
use crate::support::certificates::Certificates;
use crate::support::nginx::Nginx;
use crate::support::target::Target;
use crate::support::{failed, folder, free_port, passed, probe, spans};

struct Targets {
    _nginx: Nginx,
    ca: String,
    /// Over TLS, 1.1 and 2.
    both: u16,
    /// Over TLS, 1.1 alone.
    one: u16,
    /// In the clear, 2 alone.
    clear: u16,
    /// In the clear, 1.1 alone.
    clear_one: u16,
}

fn targets(name: &str) -> Targets {
    let certificates = Certificates::new(&folder(&format!("network-{name}")));
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
    let [both, one, clear, clear_one] = ports;
    let servers = [
        server(both, "ssl http2", &tls),
        server(one, "ssl", &tls),
        server(clear, "http2", ""),
        server(clear_one, "", ""),
    ];
    let nginx = Nginx::start(&format!("network-{name}"), &ports, &servers.concat());
    Targets { _nginx: nginx, ca: certificates.ca(), both, one, clear, clear_one }
}

#[test]
fn the_version_that_is_asked_for_is_spoken() {
    let targets = targets("versions");
    for (url, keys, spoken) in [
        (format!("https://localhost:{}", targets.both), "", "2"),
        (format!("https://localhost:{}", targets.both), "http_version: 1.1", "1.1"),
        (format!("https://localhost:{}", targets.both), "http_version: '1.1'", "1.1"),
        (format!("https://localhost:{}", targets.both), "http_version: 2", "2"),
        (format!("https://localhost:{}", targets.one), "", "1.1"),
        (format!("http://localhost:{}", targets.clear), "http_version: 2", "2"),
        (format!("http://localhost:{}", targets.clear_one), "", "1.1"),
    ] {
        let server = if spoken == "2" { "HTTP/2.0" } else { "HTTP/1.1" };
        let run = probe(&format!(
            "url: {url}/\nca: {}\nset_keys: {{by: $.by}}\nassertions: {{by: {server}}}\n{keys}",
            targets.ca
        ));
        passed(&run);
        assert_eq!(spans(&run, "http.client")[0]["data"]["network.protocol.version"], spoken);
    }
}

#[test]
fn a_server_that_does_not_speak_the_version() {
    let targets = targets("wrong-versions");
    let run = probe(&format!("url: https://localhost:{}/\nca: {}\nhttp_version: 2", targets.one, targets.ca));
    let message = failed(&run, "tls");
    // nginx may be gone before it is heard.
    let expected =
        ["the server does not speak the version of HTTP that is asked for", "the server reset the connection"];
    assert!(expected.contains(&message.as_str()), "{message}");
    let run = probe(&format!("url: http://localhost:{}/\nhttp_version: 2\ntimeout: 5", targets.clear_one));
    let message = failed(&run, "protocol");
    assert!(message.contains("HTTP/2"), "{message}");
}

#[test]
fn versions_that_are_none() {
    for wrong in ["3", "'1.0'", "h2"] {
        refused(&format!("url: http://h/\nhttp_version: {wrong}"), "http_version", "expected 1.1 or 2");
    }
    refused("url: http://h/\nhttp_version: [2]", "http_version", "expected 1.1 or 2");
    refused("url: http://h/\nhttp_version: 2\nheaders: {host: other}", "http_version", "HTTP/2 has no place for");
    refused("url: http://h:81/\nhttp_version: 2\nconnect_to: ':82'", "connect_to", "HTTP/2 has no place for");
}

#[test]
fn a_compressed_body_is_asked_for_and_unpacked() {
    let (to_send, target) = ("x".repeat(2000), Target::new());
    let locations = format!(
        "gzip on; gzip_types *; gzip_min_length 1; gzip_http_version 1.0;
         location / {{ return 200 '{{\"asked\": \"$http_accept_encoding\", \"long\": \"{to_send}\"}}'; }}"
    );
    let (_nginx, port) = Nginx::plain("compression", &locations);
    let keys = format!(
        "url: http://127.0.0.1:{port}/\nset_keys: {{asked: $.asked}}\nchecks: {{body: {{contains: '{to_send}'}}}}"
    );
    let plain = probe(&format!("{keys}\nassertions: {{asked: {{value: ''}}}}"));
    passed(&plain);
    let packed = probe(&format!("{keys}\nassertions: {{asked: {{contains: gzip}}}}\ncompression: true"));
    passed(&packed);
    // A header of one's own narrows what is asked for.
    passed(&probe(&format!("{keys}\ncompression: true\nheaders: {{accept-encoding: gzip}}")));

    passed(&probe(&format!("url: http://127.0.0.1:{}/", target.port)));
    assert_eq!(target.once().header("accept-encoding"), None);
}

#[test]
fn a_body_that_is_not_what_it_says() {
    let target = Target::answering(|_| {
        "200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 5\r\nconnection: close\r\n\r\nplain".to_owned()
    });
    let url = format!("url: http://127.0.0.1:{}/", target.port);
    passed(&probe(&url));
    let message = failed(&probe(&format!("{url}\ncompression: true")), "protocol");
    assert!(message.contains("gzip"), "{message}");
}

#[test]
fn who_asks() {
    let other = Target::new();
    let to = format!("http://localhost:{}/", other.port);
    let target = Target::answering(move |asked| match asked.last() {
        Some(asked) if asked.line.contains(" /go ") => redirect(&to),
        _ => yes(),
    });
    let url = format!("url: http://127.0.0.1:{}/", target.port);
    passed(&probe(&url));
    passed(&probe(&format!("{url}\nuser_agent: Monitor/2 (of ours)")));
    passed(&probe(&format!("{url}\nheaders: {{User-Agent: another}}")));
    passed(&probe(&format!("{url}go\nuser_agent: goes along")));
    let agents: Vec<_> = target.asked().iter().map(|asked| asked.header("user-agent").map(str::to_owned)).collect();
    let default = agents[0].as_deref().and_then(|agent| agent.strip_prefix("sentrynet/"));
    assert!(default.is_some_and(|version| version.starts_with(|first: char| first.is_ascii_digit())), "{agents:?}");
    assert_eq!(agents[1..], ["Monitor/2 (of ours)", "another", "goes along"].map(|agent| Some(agent.to_owned())));
    assert_eq!(other.once().header("user-agent"), Some("goes along"));
    let both = "url: http://h/\nuser_agent: one\nheaders: {User-Agent: two}";
    refused(both, "user_agent", "the header `user-agent` is given too");
}
