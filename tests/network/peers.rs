//! `connect_to` and `source_address`: from where to where, while the request stays the same.

use crate::network::{redirect, refused, yes};
use crate::support::certificates::Certificates;
use crate::support::dns::Dns;
use crate::support::nginx::Nginx;
use crate::support::target::Target;
use crate::support::{failed, folder, free_port, passed, probe, spans};

#[test]
fn the_request_stays_that_of_the_url() {
    let target = Target::new();
    let port = target.port;
    let dns = Dns::knowing("backend.test", &["127.0.0.1"]);
    // Where the URL names no port, that of `connect_to` is not the request's.
    for (url, connect_to, host) in [
        (format!("http://shop.test:{port}"), "127.0.0.1".to_owned(), format!("shop.test:{port}")),
        ("http://shop.test".to_owned(), format!("127.0.0.1:{port}"), "shop.test".to_owned()),
        ("http://shop.test".to_owned(), format!("backend.test:{port}"), "shop.test".to_owned()),
        (format!("http://shop.test:{port}"), "backend.test".to_owned(), format!("shop.test:{port}")),
        ("http://backend.test".to_owned(), format!("':{port}'"), "backend.test".to_owned()),
        ("http://shop.test:81".to_owned(), format!("127.0.0.1:{port}"), "shop.test:81".to_owned()),
        ("http://backend.test:81".to_owned(), format!("':{port}'"), "backend.test:81".to_owned()),
    ] {
        let run = probe(&format!("url: {url}/\nconnect_to: {connect_to}\ndns_server: 127.0.0.1:{}", dns.port));
        passed(&run);
        let asked = target.asked();
        assert_eq!(asked.last().and_then(|asked| asked.header("host")), Some(host.as_str()));
        let hop = spans(&run, "http.client")[0];
        assert_eq!(hop["description"], format!("GET {url}/"));
        assert_eq!(hop["data"]["url.full"], format!("{url}/"));
        assert_eq!(hop["data"]["network.peer.address"], "127.0.0.1");
        assert_eq!(hop["data"]["network.peer.port"], port);
        let connect = spans(&run, "http.client.connect")[0];
        assert_eq!(connect["description"], format!("Connect to 127.0.0.1:{port}"));
    }
    assert_eq!(target.asked().len(), 7);
}

#[test]
fn the_name_and_the_certificate_stay_those_of_the_url() {
    let certificates = Certificates::new(&folder("network-connect-to"));
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
        probe(&format!("url: {url}\nca: {}\nconnect_to: 127.0.0.1:{port}\n{keys}", certificates.ca()))
    };
    for name in ["shop", "blog"] {
        // HTTP/2 has no place for a port that is not connected to.
        for (host, version) in [(format!("{name}.test"), "2"), (format!("{name}.test:444"), "1.1")] {
            let run = run(
                &format!("https://{host}/"),
                &format!(
                    "set_keys: {{tls: $.tls, host: $.host}}\n\
                     assertions: {{tls: {name}.test, host: {{value: '{host}'}}}}"
                ),
            );
            passed(&run);
            let data = &spans(&run, "http.client")[0]["data"];
            assert_eq!(data["tls.server.subject"], format!("CN={name}"));
            assert_eq!(data["network.protocol.version"], version);
            assert_eq!(data["network.peer.port"], port);
        }
    }
    // Not the first server's, nor that of the address.
    let message = failed(&run("https://other.test/", ""), "tls");
    assert_eq!(message, "certificate is not for `other.test`, but for `shop.test`");
}

#[test]
fn a_redirect_to_another_host_goes_there() {
    let other = Target::new();
    let to = format!("http://127.0.0.1:{}/there", other.port);
    let first = Target::answering(move |asked| match asked.last() {
        Some(asked) if asked.line.contains(" /same ") => redirect("/again"),
        Some(asked) if asked.line.contains(" /again ") => redirect(&to),
        _ => yes(),
    });
    let run = probe(&format!("url: http://shop.test/same\nconnect_to: 127.0.0.1:{}", first.port));
    passed(&run);
    let lines: Vec<_> = first.asked().into_iter().map(|asked| asked.line).collect();
    assert_eq!(lines, ["GET /same HTTP/1.1", "GET /again HTTP/1.1"]);
    assert_eq!(other.once().line, "GET /there HTTP/1.1");
    let ports: Vec<_> = spans(&run, "http.client").iter().map(|hop| hop["data"]["network.peer.port"].clone()).collect();
    assert_eq!(ports, [first.port, first.port, other.port]);
}

#[test]
fn a_refused_connection_names_whom_it_asked() {
    let port = free_port();
    for (url, connect_to) in [
        ("http://shop.test/", format!("127.0.0.1:{port}")),
        ("http://shop.test:81/", format!("127.0.0.1:{port}")),
        ("http://localhost/", format!("':{port}'")),
        ("https://shop.test/", format!("127.0.0.1:{port}")),
    ] {
        let run = probe(&format!("url: {url}\nconnect_to: {connect_to}\nip_version: 4"));
        let message = failed(&run, "connect");
        assert_eq!(message, format!("connection refused by 127.0.0.1:{port}: nothing listens there"));
    }
    let message = failed(&probe("url: http://shop.test/\nconnect_to: no-such-host.invalid"), "dns");
    assert!(message.starts_with("`no-such-host.invalid` does not resolve: "), "{message}");
}

#[test]
fn where_nobody_can_connect_to() {
    let address = "the URL has an address already";
    refused("url: http://127.0.0.1/\nconnect_to: 127.0.0.2", "connect_to", address);
    refused("url: https://[::1]/\nconnect_to: ':443'", "connect_to", address);
    for wrong in ["shop.test:99999", "shop.test:", "http://shop.test/", ":0", ""] {
        let keys = format!("url: http://h/\nconnect_to: '{wrong}'");
        refused(&keys, "connect_to", "expected `host`, `host:port` or `:port`");
    }
    let keys = "url: http://h/\nconnect_to: '::1'\nip_version: 4";
    refused(keys, "connect_to", "::1 is not an IPv4 address");
    let keys = "url: http://h/\nconnect_to: 127.0.0.1\nproxy: http://127.0.0.1:3128";
    refused(keys, "connect_to", "a proxy connects by itself: leave out `connect_to` or `proxy`");
}

#[test]
fn the_address_to_connect_from() {
    let target = Target::new();
    for url in [format!("http://127.0.0.1:{}/", target.port), format!("http://localhost:{}/", target.port)] {
        passed(&probe(&format!("url: {url}\nsource_address: 127.0.0.2")));
    }
    let from: Vec<_> = target.asked().iter().map(|asked| asked.from.ip().to_string()).collect();
    assert_eq!(from, ["127.0.0.2", "127.0.0.2"]);
    // One for documentation, which is no machine's.
    let not_ours = "192.0.2.1 cannot be connected from";
    refused("url: http://h/\nsource_address: 192.0.2.1", "source_address", not_ours);
    refused("url: http://h/\nsource_address: eth0", "source_address", "`eth0` is no IP address");
}

#[test]
fn the_address_to_connect_from_is_of_another_family() {
    let Ok(target) = Target::at("[::1]:0", |_| yes()) else {
        eprintln!("no IPv6 on loopback here: addresses of two families are not tested");
        return;
    };
    let dns = Dns::knowing("six.test", &["::1"]);
    let run = probe(&format!(
        "url: http://six.test:{}/\nsource_address: 127.0.0.2\ndns_server: 127.0.0.1:{}",
        target.port, dns.port
    ));
    let message = failed(&run, "dns");
    assert!(message.contains("`six.test`") && message.contains("IPv4 address"), "{message}");
    assert!(target.asked().is_empty(), "it must not connect from an address that was not named");
    let source = "source_address: 127.0.0.2";
    refused(&format!("url: http://[::1]/\n{source}"), "source_address", "is not an IPv4 address");
    refused(&format!("url: http://h/\nip_version: 6\n{source}"), "source_address", "127.0.0.2 is not an IPv6 address");
    refused(&format!("url: http://h/\nconnect_to: '::1'\n{source}"), "source_address", "::1 is not an IPv4 address");
}
