//! `proxy`: HTTP and SOCKS, what they are asked, and whose fault it is.

use std::time::Duration;

use serde_json::Value;

use crate::network::{refused, yes};
use crate::support::certificates::Certificates;
use crate::support::dns::Dns;
use crate::support::nginx::Nginx;
use crate::support::proxy::Proxy;
use crate::support::target::Target;
use crate::support::{failed, folder, free_port, passed, probe, slow, spans};

/// `user:open sesame`, as a URL has it and as a header does.
const LOGIN: &str = "user:open%20sesame";
const BASIC: &str = "Basic dXNlcjpvcGVuIHNlc2FtZQ==";

/// nginx with a certificate for `shop.test`; its port, and the key `ca` to trust it.
fn https(name: &str) -> (Nginx, u16, String) {
    let certificates = Certificates::new(&folder(&format!("network-{name}")));
    certificates.certify("shop", &["shop.test", "localhost"], 2100);
    let (port, home) = (free_port(), certificates.folder.display().to_string());
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {home}/shop.pem;
           ssl_certificate_key {home}/shop.key; location / {{ return 200; }} }}"
    );
    (Nginx::start(&format!("network-{name}"), &[port], &server), port, format!("ca: {}", certificates.ca()))
}

/// That the run shows the proxy as its peer, and only that.
#[track_caller]
fn went_to(run: &Value, proxy: u16) {
    passed(run);
    let connect = spans(run, "http.client.connect");
    assert_eq!(connect[0]["description"], format!("Connect to the proxy 127.0.0.1:{proxy}"));
    let data = &spans(run, "http.client")[0]["data"];
    assert_eq!(data["network.peer.address"], "127.0.0.1", "{data:#}");
    assert_eq!(data["network.peer.port"], proxy, "{data:#}");
}

#[test]
fn a_request_in_the_clear_goes_to_the_proxy_whole() {
    let (target, proxy) = (Target::new(), Proxy::http(None));
    let run = probe(&format!(
        "url: http://shop.test:{}/path?x=1\nproxy: http://127.0.0.1:{}\nauth: {{bearer: token}}",
        target.port, proxy.port
    ));
    went_to(&run, proxy.port);
    assert!(spans(&run, "http.client.dns").is_empty(), "the proxy resolves the name");
    let head = proxy.asked().concat();
    assert!(head.starts_with(&format!("GET http://shop.test:{}/path?x=1 HTTP/1.1\n", target.port)), "{head}");
    let asked = target.once();
    assert_eq!(asked.header("host"), Some(format!("shop.test:{}", target.port).as_str()));
    assert_eq!(asked.header("authorization"), Some("Bearer token"));
    assert_eq!(asked.header("proxy-authorization"), None);
}

#[test]
fn a_request_over_tls_goes_through_a_tunnel() {
    let (_nginx, port, ca) = https("tunnel");
    let proxy = Proxy::http(None);
    let run = probe(&format!(
        "url: https://shop.test:{port}/\n{ca}\nproxy: http://127.0.0.1:{}\nauth: {{bearer: token}}\n\
         headers: {{x-secret: secret}}",
        proxy.port
    ));
    went_to(&run, proxy.port);
    assert!(spans(&run, "http.client.dns").is_empty(), "the proxy resolves the name");
    let data = &spans(&run, "http.client")[0]["data"];
    assert_eq!(data["tls.server.subject"], "CN=shop");
    assert_eq!(data["network.protocol.version"], "2");
    let head = proxy.asked().concat().to_lowercase();
    assert!(head.starts_with(&format!("connect shop.test:{port} http/1.1\n")), "{head}");
    for ours in ["authorization", "x-secret", "sentry-trace", "baggage"] {
        assert!(!head.contains(ours), "the proxy is told of {ours}: {head}");
    }
    let run = probe(&format!("url: https://shop.test:{port}/\nproxy: http://127.0.0.1:{}", proxy.port));
    assert!(failed(&run, "tls").starts_with("certificate is issued by"));
}

#[test]
fn a_proxy_that_wants_credentials() {
    let (_nginx, tls, ca) = https("proxy-credentials");
    let (target, proxy) = (Target::new(), Proxy::http(Some(BASIC)));
    let [http, https] =
        [format!("url: http://shop.test:{}/", target.port), format!("url: https://shop.test:{tls}/\n{ca}")];
    for keys in [&http, &https] {
        went_to(&probe(&format!("{keys}\nproxy: http://{LOGIN}@127.0.0.1:{}", proxy.port)), proxy.port);
    }
    let asked = proxy.asked();
    assert_eq!(asked.len(), 2);
    for head in asked {
        assert!(head.to_lowercase().contains(&format!("proxy-authorization: {}", BASIC.to_lowercase())), "{head}");
    }
    assert_eq!(target.once().header("proxy-authorization"), None);

    for credentials in ["", "user:wrongpass@"] {
        let run = probe(&format!("{http}\nproxy: http://{credentials}127.0.0.1:{}", proxy.port));
        failed(&run, "status");
        assert_eq!(run["failure"]["actual"], "407");
        let run = probe(&format!("{https}\nproxy: http://{credentials}127.0.0.1:{}", proxy.port));
        let message = failed(&run, "connect");
        assert!(message.contains(&format!("the proxy 127.0.0.1:{}", proxy.port)), "{message}");
        assert!(message.contains("authorization required"), "{message}");
        assert!(!run.to_string().contains("wrongpass"), "{run:#}");
    }
}

#[test]
fn a_proxy_that_is_down() {
    let port = free_port();
    for kind in ["http", "socks5", "socks5h"] {
        for url in ["http://127.0.0.1:9/", "http://localhost:9/", "https://localhost:9/"] {
            let run = probe(&format!("url: {url}\nproxy: {kind}://user:sesame@127.0.0.1:{port}\nip_version: 4"));
            let message = failed(&run, "connect");
            let expected = format!("connection refused by the proxy 127.0.0.1:{port}: nothing listens there");
            assert_eq!(message, expected, "{kind} to {url}");
            assert!(!run.to_string().contains("sesame"), "{run:#}");
        }
    }
    let run = probe("url: http://localhost/\nproxy: http://no-such-proxy.invalid:3128");
    assert!(failed(&run, "dns").starts_with("`no-such-proxy.invalid` does not resolve: "));
}

#[test]
fn a_target_that_the_proxy_cannot_reach() {
    let nobody = free_port();
    let proxy = Proxy::http(None);
    let run = probe(&format!("url: https://shop.test:{nobody}/\nproxy: http://127.0.0.1:{}", proxy.port));
    let message = failed(&run, "connect");
    assert!(message.contains(&format!("the proxy 127.0.0.1:{}", proxy.port)), "{message}");
    assert!(!message.starts_with("cannot connect to the proxy"), "the proxy itself is well: {message}");
    let proxy = Proxy::socks(None);
    let run = probe(&format!("url: http://shop.test:{nobody}/\nproxy: socks5h://127.0.0.1:{}", proxy.port));
    let message = failed(&run, "connect");
    assert!(message.contains(&format!("the proxy 127.0.0.1:{}", proxy.port)), "{message}");
    assert!(!message.starts_with("cannot connect to the proxy"), "the proxy itself is well: {message}");
    assert!(message.to_lowercase().contains("refused"), "{message}");

    // What listens there may not speak TLS.
    let (port, proxy) = (slow::answer(Duration::ZERO, Duration::ZERO), Proxy::http(None));
    let keys = format!("url: https://shop.test:{port}/\nproxy: http://127.0.0.1:{}\ntimeout: 5", proxy.port);
    let message = failed(&probe(&keys), "tls");
    assert!(message.starts_with(&format!("what listens on port {port} does not speak TLS")), "{message}");
}

#[test]
fn who_resolves_a_name_for_socks() {
    let (_nginx, tls, ca) = https("socks");
    let (target, proxy) = (Target::new(), Proxy::socks(None));
    let dns = Dns::knowing("shop.test", &["127.0.0.1"]);
    let (clear, dns_server) = (target.port, format!("dns_server: 127.0.0.1:{}", dns.port));
    for (url, port) in [("http", clear), ("https", tls)] {
        let keys = format!("url: {url}://shop.test:{port}/\n{ca}\n{dns_server}");
        let there = probe(&format!("{keys}\nproxy: socks5h://127.0.0.1:{}", proxy.port));
        went_to(&there, proxy.port);
        assert!(spans(&there, "http.client.dns").is_empty(), "the proxy resolves the name");
        assert_eq!(proxy.asked().last(), Some(&format!("name shop.test:{port}")));
        let here = probe(&format!("{keys}\nproxy: socks5://127.0.0.1:{}", proxy.port));
        went_to(&here, proxy.port);
        assert_eq!(spans(&here, "http.client.dns")[0]["description"], "Resolve shop.test");
        assert_eq!(proxy.asked().last(), Some(&format!("address 127.0.0.1:{port}")));
    }
    assert!(dns.asked().iter().all(|asked| asked.name == "shop.test"), "{:?}", dns.asked());
    let run = probe(&format!("url: http://blog.test/\n{dns_server}\nproxy: socks5://127.0.0.1:{}", proxy.port));
    assert!(failed(&run, "dns").starts_with("`blog.test` does not resolve"));
}

#[test]
fn socks_with_a_password() {
    let (target, proxy) = (Target::new(), Proxy::socks(Some(("user", "open sesame"))));
    let url = format!("url: http://shop.test:{}/", target.port);
    went_to(&probe(&format!("{url}\nproxy: socks5h://{LOGIN}@127.0.0.1:{}", proxy.port)), proxy.port);
    assert_eq!(proxy.asked(), ["login user open sesame".to_owned(), format!("name shop.test:{}", target.port)]);
    for credentials in ["", "user:wrongpass@"] {
        let run = probe(&format!("{url}\nproxy: socks5h://{credentials}127.0.0.1:{}", proxy.port));
        let message = failed(&run, "connect");
        assert!(message.contains(&format!("the proxy 127.0.0.1:{}", proxy.port)), "{message}");
        assert!(!run.to_string().contains("wrongpass"), "{run:#}");
    }
    target.once();
}

#[test]
fn an_address_of_version_6_behind_a_proxy() {
    let Ok(target) = Target::at("[::1]:0", |_| yes()) else {
        eprintln!("no IPv6 on loopback here: such a target behind a proxy is not tested");
        return;
    };
    let (http, socks) = (Proxy::http(None), Proxy::socks(None));
    let url = format!("url: http://[::1]:{}/", target.port);
    for (kind, proxy) in [("http", &http), ("socks5h", &socks), ("socks5", &socks)] {
        let run = probe(&format!("{url}\nproxy: {kind}://127.0.0.1:{}", proxy.port));
        went_to(&run, proxy.port);
        assert!(spans(&run, "http.client.dns").is_empty(), "an address is not resolved");
    }
    let address = format!("address [::1]:{}", target.port);
    assert_eq!(socks.asked(), [address.clone(), address]);
    // TLS there is beyond the client that we have.
    let keys = "url: https://[::1]/\nproxy: http://127.0.0.1:3128";
    refused(keys, "proxy", "an IPv6 address cannot be asked over TLS through a proxy");
}

#[test]
fn a_proxy_over_tls() {
    let certificates = Certificates::new(&folder("network-tls-proxy"));
    certificates.certify("proxy", &["localhost"], 2100);
    let (port, home, target) = (free_port(), certificates.folder.display().to_string(), Target::new());
    // nginx takes a whole URL for its path.
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {home}/proxy.pem; ssl_certificate_key {home}/proxy.key;
           location / {{ proxy_pass http://127.0.0.1:{}; proxy_set_header x-proxy $request; }} }}",
        target.port
    );
    let _nginx = Nginx::start("network-tls-proxy", &[port], &server);
    let keys = format!("url: http://shop.test/\nproxy: https://localhost:{port}\nip_version: 4");
    passed(&probe(&format!("{keys}\nca: {}", certificates.ca())));
    assert_eq!(target.once().header("x-proxy"), Some("GET http://shop.test/ HTTP/1.1"));
    let message = failed(&probe(&keys), "tls");
    assert!(message.starts_with("certificate is issued by"), "{message}");
    let misnamed = keys.replace("//localhost:", "//127.0.0.1:");
    let message = failed(&probe(&format!("{misnamed}\nca: {}", certificates.ca())), "tls");
    assert_eq!(message, "certificate is not for `127.0.0.1`, but for `localhost`");
}

#[test]
fn what_is_no_proxy() {
    for wrong in ["ftp://user:sesame@proxy.test", "user:sesame@proxy.test:3128", "//user:sesame@proxy.test", "http://"]
    {
        let written = refused(&format!("url: http://h/\nproxy: '{wrong}'"), "proxy", "expected one such as http://");
        assert!(!written.contains("sesame"), "{written}");
    }
}
