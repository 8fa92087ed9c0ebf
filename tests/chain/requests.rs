//! Requests of a step: span, connection, cookies and keys.

use serde_json::json;

use crate::chain::{Target, descriptions, method_and_path};
use crate::support::{assert_passed, spans};

#[test]
fn each_step_is_a_span_around_its_request() {
    let target = Target::responding_with_json(r#"{"a": 1}"#);
    let keys = "steps:
  - {url: 'http://user:pass@HOST/one?secret=1', set_keys: {a: $.a}, assertions: {a: 1}}
  - {name: Second, url: 'URL/{a}/two', checks: {$.a: 1}}";
    let host = target.url.trim_start_matches("http://");
    let run = target.run_chain(&keys.replace("HOST", host));
    assert_passed(&run);
    assert_eq!((&run["probe"], &run["title"]), (&json!("probes.script"), &json!("Shop")));
    let all = run["spans"].as_array().expect("a run has spans");
    let ops: Vec<_> = all.iter().map(|span| span["op"].as_str().expect("an op is text")).collect();
    let phases = ["send", "wait", "receive"].map(|phase| format!("http.client.{phase}"));
    let [send, wait, receive] = phases.each_ref().map(String::as_str);
    let first = ["probes.script", "chain.step", "http.client", "http.client.connect", send, wait, receive];
    let second = ["json.parse", "json.assert", "chain.step", "http.client", send, wait, receive];
    assert_eq!(ops, [&first[..], &second, &["json.parse", "json.assert"]].concat());
    assert_eq!(descriptions(&run, "chain.step"), [format!("1. GET {}/one", target.url), "2. Second".to_owned()]);
    for (step, request) in spans(&run, "chain.step").into_iter().zip(spans(&run, "http.client")) {
        assert_eq!(step["parent_span_id"], all[0]["span_id"]);
        assert_eq!(request["parent_span_id"], step["span_id"]);
        assert_eq!(step["status"], "ok");
    }
    assert!(!run.to_string().contains("secret") && !run.to_string().contains("pass@"), "{run:#}");
}

#[test]
fn all_steps_of_a_run_share_a_connection_that_no_other_run_uses() {
    let target = Target::responding_with_json("{}");
    let keys = "steps: [{url: URL/a}, {url: URL/b}, {url: URL/c, body: {}, expected: 200}]";
    for _ in 0..2 {
        let run = target.run_chain(keys);
        assert_passed(&run);
        assert_eq!(spans(&run, "http.client.connect").len(), 1, "{run:#}");
        let reused: Vec<_> = spans(&run, "http.client")
            .iter()
            .map(|request| request["data"]["http.connection.reused"].clone())
            .collect();
        assert_eq!(reused, [false, true, true]);
    }
}

#[test]
fn cookies_are_sent_within_a_run_unless_turned_off() {
    let target = Target::start(|request| match method_and_path(request) {
        "GET /login" => ("302 Found", "location: /home\r\nset-cookie: session=s1; Path=/\r\n", String::new()),
        "GET /theme" => ("200 OK", "set-cookie: theme=dark; Path=/only\r\n", "{}".to_owned()),
        _ => ("200 OK", "", "{}".to_owned()),
    });
    let cookies = |keys: &str| {
        let before = target.requests().len();
        assert_passed(&target.run_chain(keys));
        target.requests()[before..]
            .iter()
            .map(|request| request.header("cookie").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let steps = "steps: [{url: URL/login}, {url: URL/theme}, {url: URL/only}, {url: URL/other}]";
    let some = |cookie: &str| Some(cookie.to_owned());
    let sent = cookies(steps);
    assert_eq!(
        sent[..3],
        [None, some("session=s1"), some("session=s1")],
        "the request of a redirect has the cookie too"
    );
    let both = sent[3].as_deref().unwrap_or_default();
    assert!(both.contains("session=s1") && both.contains("theme=dark"), "{sent:?}");
    assert_eq!(sent[4], some("session=s1"), "a cookie is sent only below its path");
    assert_eq!(cookies(steps)[0], None, "a run sends no cookies of the run before");
    assert_eq!(cookies(&format!("cookies: false\n{steps}")), [None, None, None, None, None]);

    let elsewhere = target.url.replace("127.0.0.1", "localhost");
    let sent = cookies(&format!("steps: [{{url: URL/login}}, {{url: '{elsewhere}/'}}]"));
    assert_eq!(sent, [None, some("session=s1"), None], "another host gets no cookies");
}

#[test]
fn a_step_takes_all_keys_of_a_request() {
    let target = Target::start(|request| match method_and_path(request) {
        "GET /away" => ("302 Found", "location: /there\r\n", String::new()),
        _ => ("200 OK", "", "{}".to_owned()),
    });
    assert_passed(&target.run_chain(
        "steps:
  - {url: URL/1, auth: {basic: {username: ada, password: lovelace}}, user_agent: Mine/1}
  - {url: URL/2, auth: {bearer: t0k}, query: {a: 1}, compression: true}
  - {url: URL/away, redirects: 0, expected: 302, checks: {redirect: 'URL/there'}}
  - {url: URL/4, method: HEAD, http_version: 1.1, checks: {http version: 1.1, time: {less: 30}}}",
    ));
    let requests = target.requests();
    assert_eq!(requests[0].header("authorization"), Some("Basic YWRhOmxvdmVsYWNl"));
    assert_eq!(requests[0].header("user-agent"), Some("Mine/1"));
    assert_eq!(requests[1].header("authorization"), Some("Bearer t0k"));
    assert!(requests[1].header("accept-encoding").is_some_and(|encodings| encodings.contains("gzip")));
    assert_eq!(target.request_lines(), ["GET /1", "GET /2?a=1", "GET /away", "HEAD /4"]);
}
