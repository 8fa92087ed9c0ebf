//! `auth`: basic authentication, bearer tokens, and OAuth2 client credentials.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::Barrier;

use serde_json::{Value, json};

use crate::guests::{Guest, PASSES};
use crate::network::assert_refused;
use crate::support::proxy::Proxy;
use crate::support::running::RunningProgram;
use crate::support::target::{Request, Target, ok_response, redirect_response, status_response};
use crate::support::{
    assert_passed, empty_folder, eventually, expect_failure, free_port, http_config, run_http_probe, run_once, spans,
};

/// `client:s&cret` as basic authentication, percent-encoded first as RFC 6749 requires: `client:s%26cret`.
const CLIENT: &str = "Basic Y2xpZW50OnMlMjZjcmV0";

fn json_response(status: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "{status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Starts a token server that issues `token-1`, `token-2` and so on.
fn start_token_server() -> Target {
    Target::responding(|requests| {
        let token = format!("token-{}", requests.len());
        json_response("200 OK", &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }))
    })
}

fn oauth2(token_port: u16, more: &str) -> String {
    let token_url = format!("http://localhost:{token_port}/token?x=hidden");
    format!("auth: {{oauth2: {{token_url: '{token_url}', client_id: client, client_secret: s&cret{more}}}}}")
}

#[test]
fn basic_and_bearer_credentials_are_sent() {
    let target = Target::new();
    let url = format!("url: http://127.0.0.1:{}/", target.port);
    let run = run_http_probe(&format!("{url}\nauth: {{basic: {{username: Aladdin, password: open sesame}}}}"));
    assert_passed(&run);
    assert!(!run.to_string().contains("sesame"), "{run:#}");
    let run = run_http_probe(&format!("{url}\nauth: {{bearer: abc-token}}"));
    assert_passed(&run);
    assert!(!run.to_string().contains("abc-token"), "{run:#}");
    assert_passed(&run_http_probe(&url.replace("//", "//Aladdin:open%20sesame@")));
    let sent: Vec<_> =
        target.requests().iter().map(|request| request.header("authorization").map(str::to_owned)).collect();
    let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    let expected = [basic, "Bearer abc-token", basic];
    assert_eq!(sent, expected.map(|header| Some(header.to_owned())));
}

#[test]
fn credentials_are_not_sent_to_another_host() {
    let other = Target::new();
    let to = format!("http://localhost:{}/", other.port);
    let target = Target::responding(move |requests| match requests.last() {
        Some(request) if request.line.contains(" /away ") => redirect_response(&to),
        Some(request) if request.line.contains(" /here ") => redirect_response("/away"),
        _ => ok_response(),
    });
    let server = start_token_server();
    let auths = [
        "auth: {basic: {username: a, password: b}}".to_owned(),
        "auth: {bearer: abc}".to_owned(),
        oauth2(server.port, ""),
    ];
    for auth in auths {
        assert_passed(&run_http_probe(&format!("url: http://127.0.0.1:{}/here\n{auth}", target.port)));
    }
    assert_eq!((target.requests().len(), other.requests().len()), (6, 3));
    assert!(target.requests().iter().all(|request| request.header("authorization").is_some()));
    assert!(other.requests().iter().all(|request| request.header("authorization").is_none()));
}

/// A proxy, or a third-party probe with the same credentials, could forge or delay the token of another probe.
#[test]
fn probes_share_no_token_that_is_fetched_in_another_way_or_by_a_third_party_probe() {
    const GUEST: Guest = Guest {
        imports: r#"(import "sentrynet:probe/http@0.1.0" "[static]request.new" (func $request (param i32 i32 i32 i32 i32)))
            (import "sentrynet:probe/http@0.1.0" "[method]request.authenticate" (func $authenticate (param i32 i32 i32 i32)))
            (import "sentrynet:probe/http@0.1.0" "[method]request.send" (func $send (param i32 i32)))"#,
        run: "(call $all) i32.const 0",
        ..PASSES
    };
    let (server, target, proxy) = (start_token_server(), Target::new(), Proxy::start_socks(None));
    let url = format!("http://127.0.0.1:{}/", target.port);
    let define = format!(
        r#"(data (i32.const 1200) "GET{url}/auth")
        (func $all
          (call $request (i32.const 1200) (i32.const 3) (i32.const 1203) (i32.const {length}) (i32.const 1160))
          (call $authenticate (i32.load (i32.const 1164)) (i32.const {pointer}) (i32.const 5) (i32.const 1160))
          (if (i32.load8_u (i32.const 1160)) (then unreachable))
          (call $send (i32.const 1) (i32.const 1160)) (if (i32.load8_u (i32.const 1160)) (then unreachable)))"#,
        length = url.len(),
        pointer = 1203 + url.len(),
    );
    let guest = Guest { define: define.leak(), ..GUEST }.write("authenticates").display().to_string();
    let auth = oauth2(server.port, "");
    let secret_hosts = format!("{{auth: ['http://127.0.0.1:{}', 'http://localhost:{}']}}", target.port, server.port);
    let allow = format!("allow: {{hosts: [127.0.0.1, localhost], secret_hosts: {secret_hosts}}}");
    let probes = [
        format!("probe: http, title: good, url: '{url}', {auth}"),
        format!("probe: http, title: proxied, url: '{url}', proxy: 'socks5h://127.0.0.1:{}', {auth}", proxy.port),
        format!("probe: '{guest}', title: stranger, url: '{url}', {auth}, {allow}"),
        format!("probe: '{guest}', title: other stranger, url: '{url}', {auth}, {allow}"),
    ];
    let probes: String = probes.iter().map(|keys| format!("      - {{{keys}}}\n")).collect();
    let (_, runs) = run_once(&format!("groups:\n  - probes:\n{probes}"));
    runs.iter().for_each(assert_passed);
    assert!(runs.iter().all(|run| spans(run, "oauth2.token").len() == 1), "{runs:#?}");
    let tokens: BTreeSet<_> =
        target.requests().iter().map(|request| request.header("authorization").map(str::to_owned)).collect();
    assert_eq!(tokens.len(), 4, "{tokens:?}");
}

#[test]
fn a_token_is_fetched_once_for_several_runs() {
    let (server, target) = (start_token_server(), Target::new());
    let auth = oauth2(server.port, "");
    let keys = |title: &str| format!("title: {title}\nurl: http://127.0.0.1:{}/\n{auth}", target.port);
    let second = http_config(&keys("b")).replace("groups:\n  - probes:\n", "");
    let (code, runs) = run_once(&(http_config(&keys("a")) + &second));
    assert_eq!((code, runs.len()), (0, 2));
    let sent: Vec<_> =
        target.requests().iter().map(|request| request.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent, vec![Some("Bearer token-1".to_owned()); 2]);

    let request = server.single_request();
    assert_eq!(request.line, "POST /token?x=hidden HTTP/1.1");
    assert_eq!(request.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(request.header("authorization"), Some(CLIENT));
    assert_eq!(request.body, "grant_type=client_credentials");
    assert_eq!(request.header("sentry-trace"), None, "a token server gets no trace headers");

    let fetched: Vec<_> = runs.iter().flat_map(|run| spans(run, "oauth2.token")).collect();
    assert_eq!(fetched.len(), 1);
    assert_eq!(fetched[0]["description"], "Fetch a token from localhost");
    let run = runs.iter().find(|run| !spans(run, "oauth2.token").is_empty()).expect("one run has fetched the token");
    let hops = spans(run, "http.client");
    assert_eq!(hops.len(), 2);
    assert_eq!(hops[0]["parent_span_id"], fetched[0]["span_id"]);
    assert_eq!(hops[0]["description"], format!("POST http://localhost:{}/token", server.port));
    assert_eq!(hops[1]["parent_span_id"], fetched[0]["parent_span_id"]);
    for secret in ["token-1", "s&cret", "hidden"] {
        assert!(!json!(runs).to_string().contains(secret), "{secret} in {runs:#?}");
    }
}

#[test]
fn a_token_request_has_scope_audience_and_credentials() {
    let (server, target) = (start_token_server(), Target::new());
    let more = ", scope: 'read write', audience: 'https://api.test/', send_in: body";
    assert_passed(&run_http_probe(&format!("url: http://127.0.0.1:{}/\n{}", target.port, oauth2(server.port, more))));
    let request = server.single_request();
    assert_eq!(request.header("authorization"), None);
    let expected = "grant_type=client_credentials&scope=read+write&audience=https%3A%2F%2Fapi.test%2F\
                    &client_id=client&client_secret=s%26cret";
    assert_eq!(request.body, expected);
    assert_eq!(target.single_request().header("authorization"), Some("Bearer token-1"));
}

#[test]
fn a_refused_token_is_replaced_and_the_request_repeated() {
    let server = start_token_server();
    // The target accepts `token-1` once, and every other token always.
    let target = Target::responding(|requests| {
        if requests.len() > 1 && last_token(requests) == "token-1" {
            status_response("401 Unauthorized")
        } else {
            ok_response()
        }
    });
    let auth = oauth2(server.port, "");
    let keys = format!("url: http://127.0.0.1:{}/\nbody: {{a: 1}}\nexpected: 200\nevery: 0.1\n{auth}", target.port);
    let _running = start_program("withdrawn", &http_config(&keys));
    let requests = eventually("three runs", || Some(target.requests()).filter(|requests| requests.len() >= 4));
    let sent: Vec<_> = (1..=4).map(|count| last_token(&requests[..count])).collect();
    assert_eq!(sent, ["token-1", "token-1", "token-2", "token-2"]);
    assert!(requests.iter().all(|request| request.body == "{\"a\":1}"), "the repeated request has the body too");
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn the_refusal_of_a_new_token_is_the_response() {
    let (server, target) = (start_token_server(), Target::responding(|_| status_response("401 Unauthorized")));
    let run = run_http_probe(&format!("url: http://127.0.0.1:{}/\n{}", target.port, oauth2(server.port, "")));
    expect_failure(&run, "status");
    assert_eq!(run["failure"]["actual"], "401");
    assert_eq!((server.requests().len(), target.requests().len()), (1, 1));
}

#[test]
fn a_401_of_another_host_does_not_invalidate_the_token() {
    let (server, other) = (start_token_server(), Target::responding(|_| status_response("401 Unauthorized")));
    let to = format!("http://localhost:{}/", other.port);
    let target = Target::responding(move |_| redirect_response(&to));
    let auth = oauth2(server.port, "");
    let keys = |title: &str| format!("title: {title}\nurl: http://127.0.0.1:{}/\nexpected: 401\n{auth}", target.port);
    let second = http_config(&keys("b")).replace("groups:\n  - probes:\n", "");
    let (code, runs) = run_once(&(http_config(&keys("a")) + &second));
    assert_eq!(code, 0, "{runs:#?}");
    assert_eq!((server.requests().len(), target.requests().len(), other.requests().len()), (1, 2, 2));
}

#[test]
fn runs_whose_token_is_refused_at_once_fetch_one_new_token() {
    const PROBES: usize = 5;
    let (server, together) = (start_token_server(), Barrier::new(PROBES));
    // Each path accepts `token-1` once. The second requests are refused when all have arrived with it.
    let target = Target::responding(move |requests| {
        let line = &requests.last().expect("a request has just arrived").line;
        if last_token(requests) != "token-1" || requests.iter().filter(|request| request.line == *line).count() == 1 {
            return ok_response();
        }
        together.wait();
        status_response("401 Unauthorized")
    });
    let auth = oauth2(server.port, "").replace('\n', " ");
    let probes: String = (0..PROBES)
        .map(|n| {
            format!(
                "      - {{probe: http, title: '{n}', url: 'http://127.0.0.1:{}/{n}', every: 0.1, {auth}}}\n",
                target.port
            )
        })
        .collect();
    let _running = start_program("together", &format!("groups:\n  - probes:\n{probes}"));
    let renewed = |requests: &[Request]| {
        (1..=requests.len()).filter(|count| last_token(&requests[..*count]) != "token-1").count()
    };
    eventually("runs of all probes with a new token", || (renewed(&target.requests()) >= PROBES).then_some(()));
    assert_eq!(server.requests().len(), 2, "the server issued the first token and one new token");
}

/// Returns the token of the last request, or an empty string.
fn last_token(requests: &[Request]) -> &str {
    let header = requests.last().and_then(|request| request.header("authorization"));
    header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default()
}

/// Starts the program on its schedule with this configuration.
fn start_program(name: &str, configuration: &str) -> RunningProgram {
    let file = empty_folder(&format!("network-auth-{name}")).join("probes.yaml");
    std::fs::write(&file, configuration).expect("the folder is writable");
    RunningProgram::start(&file, Stdio::null())
}

#[test]
fn responses_without_a_token_fail_as_auth() {
    let target = Target::new();
    let message = |response: String| {
        let server = Target::responding(move |_| response.clone());
        let run = run_http_probe(&format!("url: http://127.0.0.1:{}/\n{}", target.port, oauth2(server.port, "")));
        let span = spans(&run, "oauth2.token")[0];
        assert_eq!(span["status"], "unauthenticated");
        assert!(!run.to_string().contains("s&cret"), "{run:#}");
        let message = expect_failure(&run, "auth");
        assert!(!message.contains("hidden"), "the message has the query, which may contain a secret: {message}");
        let start = format!("no OAuth2 token: http://localhost:{}/token answered ", server.port);
        message.strip_prefix(&start).unwrap_or_else(|| panic!("{message}")).to_owned()
    };
    let error = json!({ "error": "invalid_client", "error_description": "who is that?" });
    assert_eq!(message(json_response("401 Unauthorized", &error)), "401: invalid_client (who is that?)");
    assert_eq!(message(json_response("400 Bad Request", &json!({ "error": "invalid_scope" }))), "400: invalid_scope");
    assert_eq!(message(json_response("200 OK", &json!({}))), "200, without a token");
    assert_eq!(message(json_response("201 Created", &json!({ "access_token": "x" }))), "201, without a token");
    assert_eq!(message(status_response("500 Oh No")), "500, with a body that is not JSON");
    assert_eq!(message(redirect_response("/elsewhere")), "302, with a body that is not JSON");
    let mac = json!({ "access_token": "x", "token_type": "mac" });
    assert_eq!(message(json_response("200 OK", &mac)), "200, with a token that is not a bearer token");
    let broken = json!({ "access_token": "x\ny", "token_type": "bearer" });
    assert_eq!(message(json_response("200 OK", &broken)), "200, with a token that no header can hold");
    assert!(target.requests().is_empty(), "without a token there is no request");
}

#[test]
fn an_unreachable_token_server_is_named() {
    let port = free_port();
    let url = "url: http://127.0.0.1:9/\nip_version: 4";
    let message = expect_failure(&run_http_probe(&format!("{url}\n{}", oauth2(port, ""))), "connect");
    let expected = format!("for an OAuth2 token: connection refused by 127.0.0.1:{port}: nothing listens there");
    assert_eq!(message, expected);
    let silent = crate::support::tcp_server::listen(|connection| {
        crate::support::tcp_server::read_head(&connection);
        std::thread::sleep(std::time::Duration::from_secs(60));
    });
    let message = expect_failure(&run_http_probe(&format!("{url}\ntimeout: 0.3\n{}", oauth2(silent, ""))), "timeout");
    assert_eq!(message, "for an OAuth2 token: timed out after 300 ms, waiting for the answer");
}

#[test]
fn http_version_does_not_apply_to_the_token_server() {
    let nginx = "location / { return 200; }";
    let port = free_port();
    let servers = format!("server {{ listen 127.0.0.1:{port} http2; {nginx} }}");
    let _nginx = crate::support::nginx::Nginx::start("network-token-version", &[port], &servers);
    let server = start_token_server();
    // HTTP/2 is required of the target alone.
    assert_passed(&run_http_probe(&format!(
        "url: http://127.0.0.1:{port}/\nhttp_version: 2\n{}",
        oauth2(server.port, "")
    )));
    server.single_request();
}

#[test]
fn mistakes_in_credentials_are_found_and_not_quoted() {
    let check_at = |key: &str, auth: &str, message: &str| {
        let written = assert_refused(&format!("url: http://h/\nauth: {auth}"), key, message);
        for secret in ["hunter2", "471147114711", "sesame"] {
            assert!(!written.contains(secret), "{written}");
        }
    };
    let check = |auth: &str, message: &str| check_at("auth", auth, message);
    for wrong in ["hunter2", "[hunter2]"] {
        check(wrong, "expected a map of keys such as `basic`, `bearer` and `oauth2`, got ");
    }
    for wrong in ["{}", "{basic: {username: u, password: hunter2}, bearer: hunter2}"] {
        check(wrong, "expected one of `basic`, `bearer` or `oauth2`");
    }
    check_at("auth.digest", "{digest: hunter2}", "unknown key `digest`, expected one of `basic`, `bearer`, `oauth2`");
    check_at("auth.bearer", "{bearer: 471147114711}", "expected text, got a number: put it in quotes");
    let invalid_token = "`bearer`: the token is empty or holds characters that a header cannot contain";
    check("{bearer: \"hunter2\\nx\"}", invalid_token);
    check_at("auth.basic", "{basic: {username: hunter2}}", "missing key `password`");
    check_at("auth.basic.password", "{basic: {username: u, password: 471147114711}}", "expected text, got a number");
    let realm = "{basic: {username: u, password: hunter2, realm: r}}";
    check_at("auth.basic.realm", realm, "unknown key `realm`, expected one of `username`, `password`");
    check("{basic: {username: 'u:v', password: hunter2}}", "`basic`: a username cannot hold a colon");
    check_at("auth.basic", "{basic: hunter2}", "expected a map of keys such as `username` and `password`, got text");
    let oauth2 = |url: &str, more: &str| {
        format!("{{oauth2: {{token_url: '{url}', client_id: id, client_secret: hunter2{more}}}}}")
    };
    let without = "{oauth2: {token_url: 'http://h/', client_id: hunter2}}";
    check_at("auth.oauth2", without, "missing key `client_secret`");
    check(&oauth2("ftp://h/", ""), "`oauth2`: a `token_url` of the scheme `ftp`: expected http or https");
    check(&oauth2("//user:sesame@h/token", ""), "`oauth2`: ");
    check(&oauth2("https://user:sesame@h:99999/token", ""), "`oauth2`: ");
    check_at("auth.oauth2.send_in", &oauth2("http://h/", ", send_in: sesame"), "expected `header` or `body`");
    check_at("auth.oauth2.scope", &oauth2("http://h/", ", scope: [hunter2]"), "expected text, got a list");
    let twice = "url: http://u:hunter2@h/\nauth: {bearer: sesame}";
    let written = assert_refused(twice, "auth", "the URL has credentials too: leave one of them out");
    assert!(!written.contains("hunter2") && !written.contains("sesame"), "{written}");
    let header = "url: http://h/\nauth: {bearer: hunter2}\nheaders: {Authorization: Basic hunter2}";
    let written = assert_refused(header, "auth", "the header `authorization` is given too: leave one of them out");
    assert!(!written.contains("hunter2"), "{written}");
}
