//! `connect_to` and `source_address`: the addresses of the connection, while the request stays the same.

use crate::network::assert_refused;
use crate::support::certificates::Certificates;
use crate::support::dns::DnsServer;
use crate::support::nginx::Nginx;
use crate::support::target::{Target, ok_response, redirect_response};
use crate::support::{assert_passed, empty_folder, expect_failure, free_port, run_http_probe, spans};

#[test]
fn connect_to_leaves_the_request_as_it_is() {
    let target = Target::new();
    let port = target.port;
    let dns = DnsServer::with_name("backend.test", &["127.0.0.1"]);
    // A port in `connect_to` does not become part of the request.
    for (url, connect_to, host) in [
        (format!("http://shop.test:{port}"), "127.0.0.1".to_owned(), format!("shop.test:{port}")),
        ("http://shop.test".to_owned(), format!("127.0.0.1:{port}"), "shop.test".to_owned()),
        ("http://shop.test".to_owned(), format!("backend.test:{port}"), "shop.test".to_owned()),
        (format!("http://shop.test:{port}"), "backend.test".to_owned(), format!("shop.test:{port}")),
        ("http://backend.test".to_owned(), format!("':{port}'"), "backend.test".to_owned()),
        ("http://shop.test:81".to_owned(), format!("127.0.0.1:{port}"), "shop.test:81".to_owned()),
        ("http://backend.test:81".to_owned(), format!("':{port}'"), "backend.test:81".to_owned()),
    ] {
        let run = run_http_probe(&format!("url: {url}/\nconnect_to: {connect_to}\ndns_server: 127.0.0.1:{}", dns.port));
        assert_passed(&run);
        let requests = target.requests();
        assert_eq!(requests.last().and_then(|request| request.header("host")), Some(host.as_str()));
        let hop = spans(&run, "http.client")[0];
        assert_eq!(hop["description"], format!("GET {url}/"));
        assert_eq!(hop["data"]["url.full"], format!("{url}/"));
        assert_eq!(hop["data"]["network.peer.address"], "127.0.0.1");
        assert_eq!(hop["data"]["network.peer.port"], port);
        let connect = spans(&run, "http.client.connect")[0];
        assert_eq!(connect["description"], format!("Connect to 127.0.0.1:{port}"));
    }
    assert_eq!(target.requests().len(), 7);
}

#[test]
fn connect_to_leaves_sni_and_certificate_checks_as_they_are() {
    let certificates = Certificates::new(&empty_folder("network-connect-to"));
    certificates.certify("shop", &["shop.test"], 2100);
    certificates.certify("blog", &["blog.test"], 2100);
    let (port, home) = (free_port(), certificates.folder.display().to_string());
    let server = |name: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl http2; server_name {name}.test;
               ssl_certificate {home}/{name}.pem; ssl_certificate_key {home}/{name}.key;
               location / {{ return 200 '{{\"tls\": \"$ssl_server_name\", \"host\": \"$http_host\"}}'; }} }}"
        )
    };
    let _nginx = Nginx::start("connect-to", &[port], &format!("{}{}", server("shop"), server("blog")));
    let run = |url: &str, keys: &str| {
        run_http_probe(&format!("url: {url}\nca: {}\nconnect_to: 127.0.0.1:{port}\n{keys}", certificates.ca()))
    };
    for name in ["shop", "blog"] {
        // HTTP/2 takes `:authority` from the URL, so that its port must be the one connected to.
        for (host, version) in [(format!("{name}.test"), "2"), (format!("{name}.test:444"), "1.1")] {
            let run = run(
                &format!("https://{host}/"),
                &format!(
                    "set_keys: {{tls: $.tls, host: $.host}}\n\
                     assertions: {{tls: {name}.test, host: {{value: '{host}'}}}}"
                ),
            );
            assert_passed(&run);
            let data = &spans(&run, "http.client")[0]["data"];
            assert_eq!(data["tls.server.subject"], format!("CN={name}"));
            assert_eq!(data["network.protocol.version"], version);
            assert_eq!(data["network.peer.port"], port);
        }
    }
    // The certificate must be for the URL's host, neither for nginx's first server nor for the address.
    let message = expect_failure(&run("https://other.test/", ""), "tls");
    assert_eq!(message, "certificate is not for `other.test`, but for `shop.test`");
}

#[test]
fn connect_to_does_not_apply_to_another_host() {
    let other = Target::new();
    let to = format!("http://127.0.0.1:{}/there", other.port);
    let first = Target::responding(move |requests| match requests.last() {
        Some(request) if request.line.contains(" /same ") => redirect_response("/again"),
        Some(request) if request.line.contains(" /again ") => redirect_response(&to),
        _ => ok_response(),
    });
    let run = run_http_probe(&format!("url: http://shop.test/same\nconnect_to: 127.0.0.1:{}", first.port));
    assert_passed(&run);
    let lines: Vec<_> = first.requests().into_iter().map(|request| request.line).collect();
    assert_eq!(lines, ["GET /same HTTP/1.1", "GET /again HTTP/1.1"]);
    assert_eq!(other.single_request().line, "GET /there HTTP/1.1");
    let ports: Vec<_> = spans(&run, "http.client").iter().map(|hop| hop["data"]["network.peer.port"].clone()).collect();
    assert_eq!(ports, [first.port, first.port, other.port]);
}

#[test]
fn a_refused_connection_names_the_address() {
    let port = free_port();
    for (url, connect_to) in [
        ("http://shop.test/", format!("127.0.0.1:{port}")),
        ("http://shop.test:81/", format!("127.0.0.1:{port}")),
        ("http://localhost/", format!("':{port}'")),
        ("https://shop.test/", format!("127.0.0.1:{port}")),
    ] {
        let run = run_http_probe(&format!("url: {url}\nconnect_to: {connect_to}\nip_version: 4"));
        let message = expect_failure(&run, "connect");
        assert_eq!(message, format!("connection refused by 127.0.0.1:{port}: nothing listens there"));
    }
    let message = expect_failure(&run_http_probe("url: http://shop.test/\nconnect_to: no-such-host.invalid"), "dns");
    assert!(message.starts_with("`no-such-host.invalid` does not resolve: "), "{message}");
}

#[test]
fn invalid_values_of_connect_to_are_refused() {
    let address = "the URL's host is an IP address";
    assert_refused("url: http://127.0.0.1/\nconnect_to: 127.0.0.2", "connect_to", address);
    assert_refused("url: https://[::1]/\nconnect_to: ':443'", "connect_to", address);
    for wrong in ["shop.test:99999", "shop.test:", "http://shop.test/", ":0", ""] {
        let keys = format!("url: http://h/\nconnect_to: '{wrong}'");
        assert_refused(&keys, "connect_to", "expected `host`, `host:port` or `:port`");
    }
    let keys = "url: http://h/\nconnect_to: '::1'\nip_version: 4";
    assert_refused(keys, "connect_to", "::1 is not an IPv4 address");
    let keys = "url: http://h/\nconnect_to: 127.0.0.1\nproxy: http://127.0.0.1:3128";
    assert_refused(keys, "connect_to", "a proxy connects by itself: leave out `connect_to` or `proxy`");
}

#[test]
fn source_address_is_the_address_of_the_connection() {
    let target = Target::new();
    for url in [format!("http://127.0.0.1:{}/", target.port), format!("http://localhost:{}/", target.port)] {
        assert_passed(&run_http_probe(&format!("url: {url}\nsource_address: 127.0.0.2")));
    }
    let from: Vec<_> = target.requests().iter().map(|request| request.from.ip().to_string()).collect();
    assert_eq!(from, ["127.0.0.2", "127.0.0.2"]);
    // This address is reserved for documentation: no machine has it.
    let not_ours = "cannot connect from 192.0.2.1 (";
    assert_refused("url: http://h/\nsource_address: 192.0.2.1", "source_address", not_ours);
    assert_refused("url: http://h/\nsource_address: eth0", "source_address", "`eth0` is no IP address");
}

#[test]
fn a_source_address_of_the_other_ip_version_is_refused() {
    let Ok(target) = Target::responding_at("[::1]:0", |_| ok_response()) else {
        eprintln!("no IPv6 on loopback here: addresses of two families are not tested");
        return;
    };
    let dns = DnsServer::with_name("six.test", &["::1"]);
    let run = run_http_probe(&format!(
        "url: http://six.test:{}/\nsource_address: 127.0.0.2\ndns_server: 127.0.0.1:{}",
        target.port, dns.port
    ));
    let message = expect_failure(&run, "dns");
    assert!(message.contains("`six.test`") && message.contains("IPv4 address"), "{message}");
    assert!(target.requests().is_empty(), "the probe connected from another address than the configured one");
    let source = "source_address: 127.0.0.2";
    assert_refused(&format!("url: http://[::1]/\n{source}"), "source_address", "is not an IPv4 address");
    assert_refused(
        &format!("url: http://h/\nip_version: 6\n{source}"),
        "source_address",
        "127.0.0.2 is not an IPv6 address",
    );
    assert_refused(
        &format!("url: http://h/\nconnect_to: '::1'\n{source}"),
        "source_address",
        "::1 is not an IPv4 address",
    );
}
