//! `proxy`: HTTP and SOCKS proxies, the requests that they get, and failures on either side of them.

use std::io::Write;
use std::time::Duration;

use serde_json::Value;

use crate::network::assert_refused;
use crate::support::certificates::Certificates;
use crate::support::dns::DnsServer;
use crate::support::nginx::Nginx;
use crate::support::proxy::Proxy;
use crate::support::target::{Target, ok_response};
use crate::support::{
    assert_passed, empty_folder, expect_failure, free_port, run_http_probe, spans, tcp_server, tls_terminator,
};

/// `user:open sesame` in a URL.
const LOGIN: &str = "user:open%20sesame";
const BASIC: &str = "Basic dXNlcjpvcGVuIHNlc2FtZQ==";

/// Starts nginx with a certificate for `shop.test`. Returns it, its port, and the key `ca` that trusts it.
fn start_https(name: &str) -> (Nginx, u16, String) {
    let certificates = Certificates::new(&empty_folder(&format!("network-{name}")));
    certificates.certify("shop", &["shop.test", "localhost"], 2100);
    let (port, home) = (free_port(), certificates.folder.display().to_string());
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {home}/shop.pem;
           ssl_certificate_key {home}/shop.key; location / {{ return 200; }} }}"
    );
    (Nginx::start(&format!("network-{name}"), &[port], &server), port, format!("ca: {}", certificates.ca()))
}

/// Asserts that the run has passed, and shows the proxy as its only peer.
#[track_caller]
fn assert_went_through(run: &Value, proxy: u16) {
    assert_passed(run);
    let connect = spans(run, "http.client.connect");
    assert_eq!(connect[0]["description"], format!("Connect to the proxy 127.0.0.1:{proxy}"));
    let data = &spans(run, "http.client")[0]["data"];
    assert_eq!(data["network.peer.address"], "127.0.0.1", "{data:#}");
    assert_eq!(data["network.peer.port"], proxy, "{data:#}");
}

#[test]
fn a_request_without_tls_goes_to_the_proxy_with_its_whole_url() {
    let (target, proxy) = (Target::new(), Proxy::start_http(None));
    let run = run_http_probe(&format!(
        "url: http://shop.test:{}/path?x=1\nproxy: http://127.0.0.1:{}\nauth: {{bearer: token}}",
        target.port, proxy.port
    ));
    assert_went_through(&run, proxy.port);
    assert!(spans(&run, "http.client.dns").is_empty(), "the proxy resolves the name");
    let head = proxy.requests().concat();
    assert!(head.starts_with(&format!("GET http://shop.test:{}/path?x=1 HTTP/1.1\n", target.port)), "{head}");
    let request = target.single_request();
    assert_eq!(request.header("host"), Some(format!("shop.test:{}", target.port).as_str()));
    assert_eq!(request.header("authorization"), Some("Bearer token"));
    assert_eq!(request.header("proxy-authorization"), None);
}

#[test]
fn a_request_over_tls_goes_through_a_tunnel() {
    let (_nginx, port, ca) = start_https("tunnel");
    let proxy = Proxy::start_http(None);
    let run = run_http_probe(&format!(
        "url: https://shop.test:{port}/\n{ca}\nproxy: http://127.0.0.1:{}\nauth: {{bearer: token}}\n\
         headers: {{x-secret: secret}}",
        proxy.port
    ));
    assert_went_through(&run, proxy.port);
    assert!(spans(&run, "http.client.dns").is_empty(), "the proxy resolves the name");
    let data = &spans(&run, "http.client")[0]["data"];
    assert_eq!(data["tls.server.subject"], "CN=shop");
    assert_eq!(data["network.protocol.version"], "2");
    let head = proxy.requests().concat().to_lowercase();
    assert!(head.starts_with(&format!("connect shop.test:{port} http/1.1\n")), "{head}");
    for ours in ["authorization", "x-secret", "sentry-trace", "baggage"] {
        assert!(!head.contains(ours), "{ours} was sent to the proxy: {head}");
    }
    let run = run_http_probe(&format!("url: https://shop.test:{port}/\nproxy: http://127.0.0.1:{}", proxy.port));
    assert!(expect_failure(&run, "tls").starts_with("certificate is issued by"));
}

#[test]
fn a_proxy_gets_its_credentials() {
    let (_nginx, tls, ca) = start_https("proxy-credentials");
    let (target, proxy) = (Target::new(), Proxy::start_http(Some(BASIC)));
    let [http, https] =
        [format!("url: http://shop.test:{}/", target.port), format!("url: https://shop.test:{tls}/\n{ca}")];
    for keys in [&http, &https] {
        assert_went_through(
            &run_http_probe(&format!("{keys}\nproxy: http://{LOGIN}@127.0.0.1:{}", proxy.port)),
            proxy.port,
        );
    }
    let requests = proxy.requests();
    assert_eq!(requests.len(), 2);
    for head in requests {
        assert!(head.to_lowercase().contains(&format!("proxy-authorization: {}", BASIC.to_lowercase())), "{head}");
    }
    assert_eq!(target.single_request().header("proxy-authorization"), None);

    for credentials in ["", "user:wrongpass@"] {
        let run = run_http_probe(&format!("{http}\nproxy: http://{credentials}127.0.0.1:{}", proxy.port));
        expect_failure(&run, "status");
        assert_eq!(run["failure"]["actual"], "407");
        let run = run_http_probe(&format!("{https}\nproxy: http://{credentials}127.0.0.1:{}", proxy.port));
        let message = expect_failure(&run, "connect");
        assert!(message.contains(&format!("the proxy 127.0.0.1:{}", proxy.port)), "{message}");
        assert!(message.contains("authorization required: it answers `407 Who Are You`"), "{message}");
        assert_eq!(run["failure"]["evidence"]["http"]["connection"]["proxy_answer"], "407 Who Are You", "{run:#}");
        assert!(!run.to_string().contains("wrongpass"), "{run:#}");
    }
}

#[test]
fn an_unreachable_proxy_is_named() {
    let port = free_port();
    for kind in ["http", "socks5", "socks5h"] {
        for url in ["http://127.0.0.1:9/", "http://localhost:9/", "https://localhost:9/"] {
            let run =
                run_http_probe(&format!("url: {url}\nproxy: {kind}://user:sesame@127.0.0.1:{port}\nip_version: 4"));
            let message = expect_failure(&run, "connect");
            let expected = format!("connection refused by the proxy 127.0.0.1:{port}: nothing listens there");
            assert_eq!(message, expected, "{kind} to {url}");
            assert!(!run.to_string().contains("sesame"), "{run:#}");
        }
    }
    let run = run_http_probe("url: http://localhost/\nproxy: http://no-such-proxy.invalid:3128");
    assert!(expect_failure(&run, "dns").starts_with("`no-such-proxy.invalid` does not resolve: "));
}

#[test]
fn a_target_that_the_proxy_cannot_reach_is_no_failure_of_the_proxy() {
    let closed_port = free_port();
    let proxy = Proxy::start_http(None);
    let run = run_http_probe(&format!("url: https://shop.test:{closed_port}/\nproxy: http://127.0.0.1:{}", proxy.port));
    let message = expect_failure(&run, "connect");
    assert!(message.contains(&format!("the proxy 127.0.0.1:{}", proxy.port)), "{message}");
    assert!(
        message.ends_with(&format!("did not connect to shop.test:{closed_port}: it answers `502 Nobody There`")),
        "{message}"
    );
    assert_eq!(run["failure"]["evidence"]["http"]["connection"]["proxy_answer"], "502 Nobody There", "{run:#}");
    assert_eq!(proxy.requests().len(), 1, "the proxy is asked once");
    let proxy = Proxy::start_socks(None);
    let run =
        run_http_probe(&format!("url: http://shop.test:{closed_port}/\nproxy: socks5h://127.0.0.1:{}", proxy.port));
    let message = expect_failure(&run, "connect");
    assert!(message.contains(&format!("the proxy 127.0.0.1:{}", proxy.port)), "{message}");
    assert!(!message.starts_with("cannot connect to the proxy"), "the proxy itself is reachable: {message}");
    assert!(message.to_lowercase().contains("refused"), "{message}");

    // The server behind the proxy does not speak TLS.
    let (port, proxy) = (tcp_server::respond_slowly(Duration::ZERO, Duration::ZERO), Proxy::start_http(None));
    let keys = format!("url: https://shop.test:{port}/\nproxy: http://127.0.0.1:{}\ntimeout: 5", proxy.port);
    let message = expect_failure(&run_http_probe(&keys), "tls");
    assert!(message.starts_with(&format!("what listens on port {port} does not speak TLS")), "{message}");
}

#[test]
fn socks5_resolves_names_locally_and_socks5h_at_the_proxy() {
    let (_nginx, tls, ca) = start_https("socks");
    let (target, proxy) = (Target::new(), Proxy::start_socks(None));
    let dns = DnsServer::with_name("shop.test", &["127.0.0.1"]);
    let (clear, dns_server) = (target.port, format!("dns_server: 127.0.0.1:{}", dns.port));
    for (url, port) in [("http", clear), ("https", tls)] {
        let keys = format!("url: {url}://shop.test:{port}/\n{ca}\n{dns_server}");
        let there = run_http_probe(&format!("{keys}\nproxy: socks5h://127.0.0.1:{}", proxy.port));
        assert_went_through(&there, proxy.port);
        assert!(spans(&there, "http.client.dns").is_empty(), "the proxy resolves the name");
        assert_eq!(proxy.requests().last(), Some(&format!("name shop.test:{port}")));
        let here = run_http_probe(&format!("{keys}\nproxy: socks5://127.0.0.1:{}", proxy.port));
        assert_went_through(&here, proxy.port);
        assert_eq!(spans(&here, "http.client.dns")[0]["description"], "Resolve shop.test");
        assert_eq!(proxy.requests().last(), Some(&format!("address 127.0.0.1:{port}")));
    }
    assert!(dns.queries().iter().all(|request| request.name == "shop.test"), "{:?}", dns.queries());
    let run =
        run_http_probe(&format!("url: http://blog.test/\n{dns_server}\nproxy: socks5://127.0.0.1:{}", proxy.port));
    assert!(expect_failure(&run, "dns").starts_with("`blog.test` does not resolve"));
}

#[test]
fn a_socks_proxy_gets_its_credentials() {
    let (target, proxy) = (Target::new(), Proxy::start_socks(Some(("user", "open sesame"))));
    let url = format!("url: http://shop.test:{}/", target.port);
    assert_went_through(
        &run_http_probe(&format!("{url}\nproxy: socks5h://{LOGIN}@127.0.0.1:{}", proxy.port)),
        proxy.port,
    );
    assert_eq!(proxy.requests(), ["login user open sesame".to_owned(), format!("name shop.test:{}", target.port)]);
    for credentials in ["", "user:wrongpass@"] {
        let run = run_http_probe(&format!("{url}\nproxy: socks5h://{credentials}127.0.0.1:{}", proxy.port));
        let message = expect_failure(&run, "connect");
        assert!(message.contains(&format!("the proxy 127.0.0.1:{}", proxy.port)), "{message}");
        assert!(!run.to_string().contains("wrongpass"), "{run:#}");
    }
    target.single_request();
}

#[test]
fn ipv6_addresses_are_reached_through_a_proxy() {
    let Ok(target) = Target::responding_at("[::1]:0", |_| ok_response()) else {
        eprintln!("no IPv6 on loopback here: an IPv6 target behind a proxy is not tested");
        return;
    };
    let (http, socks) = (Proxy::start_http(None), Proxy::start_socks(None));
    let url = format!("url: http://[::1]:{}/", target.port);
    for (kind, proxy) in [("http", &http), ("socks5h", &socks), ("socks5", &socks)] {
        let run = run_http_probe(&format!("{url}\nproxy: {kind}://127.0.0.1:{}", proxy.port));
        assert_went_through(&run, proxy.port);
        assert!(spans(&run, "http.client.dns").is_empty(), "an address is not resolved");
    }
    let address = format!("address [::1]:{}", target.port);
    assert_eq!(socks.requests(), [address.clone(), address]);
    let certificates = Certificates::new(&empty_folder("network-ipv6-proxy"));
    certificates.certify("six", &["::1"], 2100);
    let port = tls_terminator::start("[::1]:0", &certificates, "six", Target::new().port);
    for (kind, proxy) in [("http", &http), ("socks5h", &socks)] {
        let keys = format!("url: https://[::1]:{port}/\nproxy: {kind}://127.0.0.1:{}", proxy.port);
        assert_went_through(&run_http_probe(&format!("{keys}\nca: {}", certificates.ca())), proxy.port);
    }
}

#[test]
fn what_a_proxy_answers_is_told_over_tls_too() {
    let (_nginx, target, ca) = start_https("tls-proxy-answers");
    let certificates = Certificates::new(&empty_folder("network-tls-proxy-answers-proxy"));
    certificates.certify("proxy", &["localhost"], 2100);
    let with_target = format!("{}/both.pem", certificates.folder.display());
    let authorities = [certificates.ca(), ca.replace("ca: ", "")];
    let texts = authorities.map(|file| std::fs::read_to_string(file).expect("the file exists"));
    std::fs::write(&with_target, texts.concat()).expect("the folder is writable");
    let proxy = Proxy::start_https(Some(BASIC), &certificates, "proxy");
    let keys = |target: u16, login: &str| {
        let proxy = format!("proxy: https://{login}localhost:{}\nip_version: 4", proxy.port);
        format!("url: https://shop.test:{target}/\nca: {with_target}\n{proxy}")
    };
    assert_passed(&run_http_probe(&keys(target, &format!("{LOGIN}@"))));

    let run = run_http_probe(&keys(target, "user:wrongpass@"));
    let message = expect_failure(&run, "connect");
    assert!(
        message.ends_with("requires valid credentials: authorization required: it answers `407 Who Are You`"),
        "{message}"
    );
    let evidence = &run["failure"]["evidence"]["http"];
    assert_eq!(evidence["connection"]["proxy_answer"], "407 Who Are You", "{run:#}");
    assert_eq!(evidence["connection"]["phase"], "connect", "{run:#}");
    assert!(evidence["tls"].is_null(), "the certificate of the proxy is not that of the target: {run:#}");
    assert!(!run.to_string().contains("wrongpass"), "{run:#}");

    let closed = free_port();
    let message = expect_failure(&run_http_probe(&keys(closed, &format!("{LOGIN}@"))), "connect");
    let expected = format!("did not connect to shop.test:{closed}: it answers `502 Nobody There`");
    assert!(message.ends_with(&expected), "{message}");
}

#[test]
fn a_proxy_that_answers_something_else_is_quoted() {
    let check = |answer: &'static [u8], expected: &str| {
        let port = tcp_server::listen(move |mut client| {
            tcp_server::read_head(&client);
            let _ = client.write_all(answer);
        });
        let run = run_http_probe(&format!("url: https://shop.test/\nproxy: http://127.0.0.1:{port}"));
        let message = expect_failure(&run, "connect");
        assert_eq!(message, format!("the proxy 127.0.0.1:{port} did not connect to shop.test:443: {expected}"));
    };
    check(b"SSH-2.0-OpenSSH_9.2\r\n", "its answer is not HTTP: it begins with `SSH-2.0-OpenSSH_9.2`");
    check(b"HTTP/1.1 403\r\n\r\n", "it answers `403 Forbidden`");
    check(b"HTTP/1.1 403 \x1b[31mNo\r\n\r\n", "its answer is malformed: `HTTP/1.1 403 \\x1b[31mNo`");
    check(b"HTTP/1.1 2", "it closes the connection without an answer");
    let many: &'static [u8] = [&b"HTTP/1.1 200 OK\r\n"[..], &b"a: b\r\n".repeat(200)].concat().leak();
    check(many, "its answer has more than 16 KiB or 100 lines of headers");
}

#[test]
fn a_proxy_is_reached_over_tls() {
    let certificates = Certificates::new(&empty_folder("network-tls-proxy"));
    certificates.certify("proxy", &["localhost"], 2100);
    let (port, home, target) = (free_port(), certificates.folder.display().to_string(), Target::new());
    // nginx accepts a request with an absolute URL, and passes on the path.
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {home}/proxy.pem; ssl_certificate_key {home}/proxy.key;
           location / {{ proxy_pass http://127.0.0.1:{}; proxy_set_header x-proxy $request; }} }}",
        target.port
    );
    let _nginx = Nginx::start("network-tls-proxy", &[port], &server);
    let keys = format!("url: http://shop.test/\nproxy: https://localhost:{port}\nip_version: 4");
    assert_passed(&run_http_probe(&format!("{keys}\nca: {}", certificates.ca())));
    assert_eq!(target.single_request().header("x-proxy"), Some("GET http://shop.test/ HTTP/1.1"));
    let message = expect_failure(&run_http_probe(&keys), "tls");
    assert!(message.starts_with("certificate is issued by"), "{message}");
    let misnamed = keys.replace("//localhost:", "//127.0.0.1:");
    let message = expect_failure(&run_http_probe(&format!("{misnamed}\nca: {}", certificates.ca())), "tls");
    assert_eq!(message, "certificate is not for `127.0.0.1`, but for `localhost`");
}

#[test]
fn invalid_proxies_are_refused_and_not_quoted() {
    for wrong in ["ftp://user:sesame@proxy.test", "user:sesame@proxy.test:3128", "//user:sesame@proxy.test", "http://"]
    {
        let written =
            assert_refused(&format!("url: http://h/\nproxy: '{wrong}'"), "proxy", "expected one such as http://");
        assert!(!written.contains("sesame"), "{written}");
    }
}
