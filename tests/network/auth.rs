//! `auth`: a name and a password, a token, and tokens that a server gives.

use std::process::Stdio;
use std::sync::Barrier;

use serde_json::{Value, json};

use crate::network::{redirect, refuse, refused, yes};
use crate::support::running::Running;
use crate::support::target::{Asked, Target};
use crate::support::{eventually, failed, folder, free_port, http, once, passed, probe, spans};

/// `client:s&cret` in a header, once encoded as RFC 6749 has it: `client:s%26cret`.
const CLIENT: &str = "Basic Y2xpZW50OnMlMjZjcmV0";

fn json(status: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "{status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A server that gives `token-1`, `token-2` and so on.
fn tokens() -> Target {
    Target::answering(|asked| {
        let token = format!("token-{}", asked.len());
        json("200 OK", &json!({ "access_token": token, "token_type": "Bearer", "expires_in": 3600 }))
    })
}

fn oauth2(token_port: u16, more: &str) -> String {
    let token_url = format!("http://localhost:{token_port}/token?x=hidden");
    format!("auth: {{oauth2: {{token_url: '{token_url}', client_id: client, client_secret: s&cret{more}}}}}")
}

#[test]
fn credentials_known_beforehand() {
    let target = Target::new();
    let url = format!("url: http://127.0.0.1:{}/", target.port);
    let run = probe(&format!("{url}\nauth: {{basic: {{username: Aladdin, password: open sesame}}}}"));
    passed(&run);
    assert!(!run.to_string().contains("sesame"), "{run:#}");
    let run = probe(&format!("{url}\nauth: {{bearer: abc-token}}"));
    passed(&run);
    assert!(!run.to_string().contains("abc-token"), "{run:#}");
    passed(&probe(&url.replace("//", "//Aladdin:open%20sesame@")));
    let sent: Vec<_> = target.asked().iter().map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    let basic = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";
    let expected = [basic, "Bearer abc-token", basic];
    assert_eq!(sent, expected.map(|header| Some(header.to_owned())));
}

#[test]
fn credentials_stay_with_the_host() {
    let other = Target::new();
    let to = format!("http://localhost:{}/", other.port);
    let target = Target::answering(move |asked| match asked.last() {
        Some(asked) if asked.line.contains(" /away ") => redirect(&to),
        Some(asked) if asked.line.contains(" /here ") => redirect("/away"),
        _ => yes(),
    });
    let server = tokens();
    let auths = [
        "auth: {basic: {username: a, password: b}}".to_owned(),
        "auth: {bearer: abc}".to_owned(),
        oauth2(server.port, ""),
    ];
    for auth in auths {
        passed(&probe(&format!("url: http://127.0.0.1:{}/here\n{auth}", target.port)));
    }
    assert_eq!((target.asked().len(), other.asked().len()), (6, 3));
    assert!(target.asked().iter().all(|asked| asked.header("authorization").is_some()));
    assert!(other.asked().iter().all(|asked| asked.header("authorization").is_none()));
}

#[test]
fn one_token_serves_several_runs() {
    let (server, target) = (tokens(), Target::new());
    let auth = oauth2(server.port, "");
    let probe = |title: &str| format!("title: {title}\nurl: http://127.0.0.1:{}/\n{auth}", target.port);
    let second = http(&probe("b")).replace("groups:\n  - probes:\n", "");
    let (code, runs) = once(&(http(&probe("a")) + &second));
    assert_eq!((code, runs.len()), (0, 2));
    let sent: Vec<_> = target.asked().iter().map(|asked| asked.header("authorization").map(str::to_owned)).collect();
    assert_eq!(sent, vec![Some("Bearer token-1".to_owned()); 2]);

    let asked = server.once();
    assert_eq!(asked.line, "POST /token?x=hidden HTTP/1.1");
    assert_eq!(asked.header("content-type"), Some("application/x-www-form-urlencoded"));
    assert_eq!(asked.header("authorization"), Some(CLIENT));
    assert_eq!(asked.body, "grant_type=client_credentials");
    assert_eq!(asked.header("sentry-trace"), None, "the token's server is not the target");

    let fetched: Vec<_> = runs.iter().flat_map(|run| spans(run, "oauth2.token")).collect();
    assert_eq!(fetched.len(), 1);
    assert_eq!(fetched[0]["description"], "Fetch a token from localhost");
    let run = runs.iter().find(|run| !spans(run, "oauth2.token").is_empty()).expect("one has fetched it");
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
fn what_a_token_is_asked_for_with() {
    let (server, target) = (tokens(), Target::new());
    let more = ", scope: 'read write', audience: 'https://api.test/', send_in: body";
    passed(&probe(&format!("url: http://127.0.0.1:{}/\n{}", target.port, oauth2(server.port, more))));
    let asked = server.once();
    assert_eq!(asked.header("authorization"), None);
    let expected = "grant_type=client_credentials&scope=read+write&audience=https%3A%2F%2Fapi.test%2F\
                    &client_id=client&client_secret=s%26cret";
    assert_eq!(asked.body, expected);
    assert_eq!(target.once().header("authorization"), Some("Bearer token-1"));
}

#[test]
fn a_token_that_was_withdrawn_is_replaced() {
    let server = tokens();
    // It takes `token-1` once, and any other.
    let target = Target::answering(|asked| {
        if asked.len() > 1 && token(asked) == "token-1" { refuse("401 Unauthorized") } else { yes() }
    });
    let auth = oauth2(server.port, "");
    let keys = format!("url: http://127.0.0.1:{}/\nbody: {{a: 1}}\nexpected: 200\nevery: 0.1\n{auth}", target.port);
    let _running = run("withdrawn", &http(&keys));
    let asked = eventually("three runs", || Some(target.asked()).filter(|asked| asked.len() >= 4));
    let sent: Vec<_> = (1..=4).map(|count| token(&asked[..count])).collect();
    assert_eq!(sent, ["token-1", "token-1", "token-2", "token-2"]);
    assert!(asked.iter().all(|asked| asked.body == "{\"a\":1}"), "the retry has the body too");
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_new_token_that_is_refused_is_the_answer() {
    let (server, target) = (tokens(), Target::answering(|_| refuse("401 Unauthorized")));
    let run = probe(&format!("url: http://127.0.0.1:{}/\n{}", target.port, oauth2(server.port, "")));
    failed(&run, "status");
    assert_eq!(run["failure"]["actual"], "401");
    assert_eq!((server.asked().len(), target.asked().len()), (1, 1));
}

#[test]
fn who_has_not_seen_the_token_does_not_refuse_it() {
    let (server, other) = (tokens(), Target::answering(|_| refuse("401 Unauthorized")));
    let to = format!("http://localhost:{}/", other.port);
    let target = Target::answering(move |_| redirect(&to));
    let auth = oauth2(server.port, "");
    let probe = |title: &str| format!("title: {title}\nurl: http://127.0.0.1:{}/\nexpected: 401\n{auth}", target.port);
    let second = http(&probe("b")).replace("groups:\n  - probes:\n", "");
    let (code, runs) = once(&(http(&probe("a")) + &second));
    assert_eq!(code, 0, "{runs:#?}");
    assert_eq!((server.asked().len(), target.asked().len(), other.asked().len()), (1, 2, 2));
}

#[test]
fn runs_that_lose_their_token_together_want_one_new_one() {
    const PROBES: usize = 5;
    let (server, together) = (tokens(), Barrier::new(PROBES));
    // Each takes `token-1` once; the second time they are refused when all have come with it.
    let target = Target::answering(move |asked| {
        let line = &asked.last().expect("it has just come").line;
        if token(asked) != "token-1" || asked.iter().filter(|asked| asked.line == *line).count() == 1 {
            return yes();
        }
        together.wait();
        refuse("401 Unauthorized")
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
    let _running = run("together", &format!("groups:\n  - probes:\n{probes}"));
    let renewed = |asked: &[Asked]| (1..=asked.len()).filter(|count| token(&asked[..*count]) != "token-1").count();
    eventually("all runs with a new token", || (renewed(&target.asked()) >= PROBES).then_some(()));
    assert_eq!(server.asked().len(), 2, "the first token and the second");
}

/// The token that the last request came with.
fn token(asked: &[Asked]) -> &str {
    let header = asked.last().and_then(|asked| asked.header("authorization"));
    header.and_then(|header| header.strip_prefix("Bearer ")).unwrap_or_default()
}

/// The program on its schedule, with this configuration.
fn run(name: &str, configuration: &str) -> Running {
    let file = folder(&format!("network-auth-{name}")).join("probes.yaml");
    std::fs::write(&file, configuration).expect("the folder is writable");
    Running::start(&file, Stdio::null())
}

#[test]
fn servers_that_give_no_token() {
    let target = Target::new();
    let message = |answer: String| {
        let server = Target::answering(move |_| answer.clone());
        let run = probe(&format!("url: http://127.0.0.1:{}/\n{}", target.port, oauth2(server.port, "")));
        let span = spans(&run, "oauth2.token")[0];
        assert_eq!(span["status"], "unauthenticated");
        assert!(!run.to_string().contains("s&cret"), "{run:#}");
        let message = failed(&run, "auth");
        assert!(!message.contains("hidden"), "a query may hold a secret: {message}");
        let start = format!("no OAuth2 token: http://localhost:{}/token answered ", server.port);
        message.strip_prefix(&start).unwrap_or_else(|| panic!("{message}")).to_owned()
    };
    let error = json!({ "error": "invalid_client", "error_description": "who is that?" });
    assert_eq!(message(json("401 Unauthorized", &error)), "401: invalid_client (who is that?)");
    assert_eq!(message(json("400 Bad Request", &json!({ "error": "invalid_scope" }))), "400: invalid_scope");
    assert_eq!(message(json("200 OK", &json!({}))), "200, without a token");
    assert_eq!(message(json("201 Created", &json!({ "access_token": "x" }))), "201, without a token");
    assert_eq!(message(refuse("500 Oh No")), "500, without the JSON that it should");
    assert_eq!(message(redirect("/elsewhere")), "302, without the JSON that it should");
    let mac = json!({ "access_token": "x", "token_type": "mac" });
    assert_eq!(message(json("200 OK", &mac)), "200, with a token that is not a bearer's");
    let broken = json!({ "access_token": "x\ny", "token_type": "bearer" });
    assert_eq!(message(json("200 OK", &broken)), "200, with a token that no header can hold");
    assert!(target.asked().is_empty(), "without a token there is no request");
}

#[test]
fn a_server_of_tokens_that_cannot_be_reached() {
    let port = free_port();
    let url = "url: http://127.0.0.1:9/\nip_version: 4";
    let message = failed(&probe(&format!("{url}\n{}", oauth2(port, ""))), "connect");
    let expected = format!("for an OAuth2 token: connection refused by 127.0.0.1:{port}: nothing listens there");
    assert_eq!(message, expected);
    let silent = crate::support::slow::listen(|connection| {
        crate::support::slow::head(&connection);
        std::thread::sleep(std::time::Duration::from_secs(60));
    });
    let message = failed(&probe(&format!("{url}\ntimeout: 0.3\n{}", oauth2(silent, ""))), "timeout");
    assert_eq!(message, "for an OAuth2 token: timed out after 300 ms, waiting for the answer");
}

#[test]
fn tokens_come_over_whatever_version_their_server_speaks() {
    let nginx = "location / { return 200; }";
    let port = free_port();
    let servers = format!("server {{ listen 127.0.0.1:{port} http2; {nginx} }}");
    let _nginx = crate::support::nginx::Nginx::start("network-token-version", &[port], &servers);
    let server = tokens();
    // Version 2 is what the target is to speak.
    passed(&probe(&format!("url: http://127.0.0.1:{port}/\nhttp_version: 2\n{}", oauth2(server.port, ""))));
    server.once();
}

#[test]
fn credentials_that_are_none() {
    let check_at = |key: &str, auth: &str, message: &str| {
        let written = refused(&format!("url: http://h/\nauth: {auth}"), key, message);
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
    check("{bearer: \"hunter2\\nx\"}", "`bearer`: the token holds what a header cannot");
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
    let written = refused(twice, "auth", "the URL has credentials too: leave one of them out");
    assert!(!written.contains("hunter2") && !written.contains("sesame"), "{written}");
    let header = "url: http://h/\nauth: {bearer: hunter2}\nheaders: {Authorization: Basic hunter2}";
    let written = refused(header, "auth", "the header `authorization` is given too: leave one of them out");
    assert!(!written.contains("hunter2"), "{written}");
}
