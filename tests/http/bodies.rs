//! Checks of bodies with content codings and charsets, and of large bodies.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;

use crate::support::nginx::Nginx;
use crate::support::{assert_passed, empty_folder, expect_failure, free_port, run_http_probe, tcp_server};

/// Starts a server that responds to everything with these headers, each with its line end, and this body. Returns its
/// port.
fn serve(headers: &str, body: &[u8]) -> u16 {
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{headers}\r\n");
    let response = [head.as_bytes(), body].concat();
    tcp_server::listen(move |mut connection| {
        tcp_server::read_head(&connection);
        let _ = connection.write_all(&response);
    })
}

#[track_caller]
fn run(headers: &str, body: &[u8], keys: &str) -> Value {
    run_http_probe(&format!("url: http://127.0.0.1:{}/\n{keys}", serve(headers, body)))
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}

#[test]
fn a_body_that_is_compressed_unasked_is_decoded() {
    let (coding, body) = ("content-encoding: gzip\r\n", gzip(b"{\"state\": \"FATAL\"}"));
    let message = expect_failure(&run(coding, &body, "checks: {body: {not: {contains: FATAL}}}"), "assertion");
    assert!(message.contains("FATAL"), "{message}");
    let keys = "checks: {$.state: FATAL, body: {contains: FATAL}, size: 18}";
    assert_passed(&run(coding, &body, keys));
    assert_passed(&run(coding, &body, "checks: {header content-encoding: gzip}"));
    assert_passed(&run("Content-Encoding: gzip\r\nContent-Encoding: x-gzip\r\n", &gzip(&body), keys));
}

#[test]
fn a_real_server_compresses_unasked() {
    let folder = empty_folder("http-gzip-always");
    std::fs::write(folder.join("page.json.gz"), gzip(b"{\"state\": \"up\"}")).expect("the folder is writable");
    let port = free_port();
    let server = format!(
        "server {{ listen 127.0.0.1:{port}; location = /page {{ alias {}/page.json.gz; default_type application/json;
           add_header content-encoding gzip; }} }}",
        folder.display()
    );
    let _nginx = Nginx::start("gzip-always", &[port], &server);
    let url = format!("url: http://127.0.0.1:{port}/page");
    assert_passed(&run_http_probe(&format!("{url}\nchecks: {{$.state: up, header content-encoding: gzip}}")));
    assert_passed(&run_http_probe(&format!("{url}\ncompression: true\nchecks: {{$.state: up}}")));
}

#[test]
fn a_body_that_cannot_be_decoded_fails_checks_of_its_text() {
    let contains = "checks: {body: {not: {contains: FATAL}}}";
    let unknown = expect_failure(&run("content-encoding: sdch\r\n", b"FATAL", contains), "body");
    assert_eq!(unknown, "the body is encoded with `sdch`: only gzip, br, zstd and deflate can be decoded");
    let damaged = expect_failure(&run("content-encoding: gzip\r\n", b"FATAL, no gzip", contains), "body");
    assert_eq!(damaged, "the body is not encoded with `gzip`, as its headers say");
    let body = gzip(&b"x".repeat(1000));
    let cut = &body[..body.len() - 4];
    let early = expect_failure(&run("content-encoding: gzip\r\n", cut, contains), "body");
    assert_eq!(early, "the body ends before its `gzip` encoding does");
    let json = expect_failure(&run("content-encoding: gzip\r\n", cut, "checks: {$.a: 1}"), "json");
    assert_eq!(json, "the body ends before its `gzip` encoding does");
    // A run whose checks do not use the body passes.
    assert_passed(&run("content-encoding: sdch\r\n", b"FATAL", "checks: {size: 5}"));
    assert_passed(&run("content-encoding: gzip\r\n", cut, ""));
    expect_failure(&run("content-encoding: gzip\r\n", cut, "compression: true"), "protocol");
}

#[test]
fn a_decompression_bomb_is_too_large() {
    let bomb = gzip(&vec![b' '; 8 << 20]);
    let failed = run("content-encoding: gzip\r\n", &bomb, "checks: {body: {contains: x}}");
    let message = expect_failure(&failed, "too-large");
    assert!(message.starts_with("the body has 8388608 bytes, more than the 4 MiB that are checked"), "{message}");
    expect_failure(&run("content-encoding: gzip\r\n", &bomb, "limits: {received: 1 MiB}"), "too-large");
}

#[test]
fn the_charset_of_a_body_is_used() {
    let latin = "content-type: text/html; charset=iso-8859-1\r\n";
    assert_passed(&run(latin, b"21 \xb0C", "checks: {body: 21 °C, size: 5}"));
    assert_passed(&run("content-type: text/html\r\n", b"<meta charset=latin1>\xb0", "checks: {body: {contains: °}}"));
    assert_passed(&run("content-type: text/plain\r\n", b"\xff\xfe\xb0\0", "checks: {body: °}"));
    let json = "content-type: application/json; charset=iso-8859-1\r\n";
    assert_passed(&run(json, b"{\"t\": \"21 \xb0C\"}", "checks: {$.t: 21 °C}"));
    let json = "content-type: application/json\r\n";
    assert_passed(&run(json, b"\xef\xbb\xbf{\"t\": 1}", "set_keys: {t: $.t}\nassertions: {t: 1}"));
    let utf16: Vec<u8> = "{\"t\": \"°\"}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_passed(&run(json, &utf16, "checks: {$.t: °}"));
}

#[test]
fn a_body_that_is_not_json_says_what_it_looks_like() {
    let message = |headers: &str, body: &[u8]| expect_failure(&run(headers, body, "set_keys: {a: $.a}"), "json");
    assert_eq!(message("", b""), "the body is not JSON: it is empty");
    assert!(message("", b"<!doctype html><p>").starts_with("the body is not JSON: it looks like HTML ("));
    assert!(message("", &gzip(b"{}")).starts_with("the body is not JSON: it looks like gzip, without the header"));
    let deep = message("", "[".repeat(1000).as_bytes());
    assert_eq!(deep, "the body is nested deeper than the 127 levels that are read as JSON");
}

#[test]
fn the_bound_of_checked_bodies_is_a_setting() {
    let body = [b" ".repeat(5 << 20).as_slice(), b"{\"a\": 1}"].concat();
    let port = serve("", &body);
    let check = |keys: &str| run_http_probe(&format!("url: http://127.0.0.1:{port}/\n{keys}"));
    expect_failure(&check("checks: {$.a: 1}"), "too-large");
    expect_failure(&check("checks: {body: {contains: a}}"), "too-large");
    assert_passed(&check("checks: {$.a: 1}\nmax_body: 6 MiB"));
    assert_passed(&check("checks: {size: 5242888}\nmax_body: 10"));
    let small = expect_failure(&check("checks: {body: {not: {contains: a}}}\nmax_body: 100"), "too-large");
    let expected = "the body has 5242888 bytes, more than the 100 bytes that are checked; raise `max_body`, or check only \
                    `size`";
    assert_eq!(small, expected);
}

#[test]
fn what_a_target_sends_does_not_make_a_probe_broken() {
    // A zero and its comma are two bytes, and take many times as much memory when they are parsed.
    let many = format!("[{}0]", "0,".repeat(3 << 19));
    let run = run("", many.as_bytes(), "checks: {'$[0]': 0}\nlimits: {memory: 16 MiB}");
    expect_failure(&run, "too-large");
}
