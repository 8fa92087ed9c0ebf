use super::super::limits::DETAIL_LEVELS;
use super::*;
use crate::run::LogLine;
use crate::run::evidence::{Connection, Excerpt, Redirect, Ssh, Tls};
use crate::sink::fixtures;

fn lines(lines: &[(&str, &str)]) -> Lines {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Returns a failed run with this evidence.
fn run_with(http: Http) -> Run {
    let mut run = fixtures::failed();
    run.evidence = Some(Exchange::Http(Box::new(http)));
    run
}

fn response_context(headers: Lines, body: &str) -> Value {
    let body = Excerpt { size: body.len() as u64, text: Some(body.to_owned()) };
    let response = Some(Response { status: 503, headers, body });
    let run = run_with(Http { response, ..Http::default() });
    contexts(&run, DETAIL_LEVELS[0])["response"].clone()
}

#[test]
fn a_request_has_the_form_of_sentrys_protocol() {
    let headers = lines(&[
        ("accept", "text/html"),
        ("x-key", "[Filtered]"),
        ("user-agent", "Googlebot"),
        ("cookie", "sid=[Filtered]; theme=[Filtered]"),
    ]);
    let url = "https://shop.example/".to_owned();
    let run = run_with(Http { method: "get".into(), url, query: lines(&[("q", "1")]), headers, ..Http::default() });
    let request = json!(Request::new(&run));
    let expected = json!({
        "url": "https://shop.example/",
        "method": "GET",
        "query_string": [["q", "1"]],
        "headers": [["Accept", "text/html"], ["X-Key", "[Filtered]"]],
        "cookies": [["sid", "[Filtered]"], ["theme", "[Filtered]"]],
    });
    assert_eq!(request, expected);
    // Sentry may discard events whose `request` is that of a crawler.
    assert_eq!(contexts(&run, DETAIL_LEVELS[0])["connection"]["user_agent"], "Googlebot");
    assert!(Request::new(&fixtures::failed()).is_none());
}

#[test]
fn a_response_has_the_form_of_sentrys_protocol() {
    let headers = lines(&[("content-type", "text/html"), ("set-cookie", "sid=[Filtered]; Path=/")]);
    let expected = json!({
        "status_code": 503,
        "body_size": 7,
        "headers": [["Content-Type", "text/html"]],
        "cookies": [["sid", "[Filtered]; Path=/"]],
        "data": "<p>Down",
    });
    assert_eq!(response_context(headers, "<p>Down"), expected);
    assert_eq!(response_context(Vec::new(), r#"{"a": [1]}"#)["data"], json!({ "a": [1] }));
    assert_eq!(response_context(Vec::new(), "").get("data"), None);
    // Sentry drops deeper structures.
    let deep = response_context(Vec::new(), &(r#"{"a":"#.repeat(8) + "1" + &"}".repeat(8)));
    assert_eq!(deep["data"]["a"]["a"]["a"]["a"]["a"], r#"{"a":{"a":{"a":1}}}"#);
}

#[test]
fn each_failed_attempt_is_listed() {
    let mut run = fixtures::failed();
    assert_eq!(contexts(&run, DETAIL_LEVELS[0]).get("attempts"), None);
    let Outcome::Failed(failure) = &run.outcome else { panic!("the fixture is a failed run") };
    run.earlier.push(failure.clone());
    run.earlier[0].message = "the first".to_owned();
    for span in &mut run.trace.spans[1..3] {
        span.op = "probe.attempt".into();
    }
    let attempts = contexts(&run, DETAIL_LEVELS[0])["attempts"].clone();
    let expected = json!({ "outcome": "failed", "reason": "status", "message": "the first", "duration_ms": 479.1 });
    assert_eq!(attempts["1"], expected);
    assert_eq!(attempts["2"]["message"], "answered 503 instead of 2xx");
    assert_eq!(attempts["2"]["duration_ms"], 12.3);
    assert_eq!(attempts.as_object().map(Map::len), Some(2));
}

#[test]
fn the_log_has_the_guests_last_lines() {
    let mut run = fixtures::failed();
    let line = run.log[0].clone();
    run.log = (0..100).map(|number| LogLine { message: number.to_string(), ..line.clone() }).collect();
    let log = contexts(&run, DETAIL_LEVELS[0])["log"].clone();
    assert_eq!(log["lines"].as_array().map(Vec::len), Some(20));
    assert_eq!((&log["lines"][0], &log["lines"][19]), (&json!("warn: 80"), &json!("warn: 99")));
}

#[test]
fn the_evidence_of_a_hostile_server_fits_into_the_limits() {
    let long = |name: &str| lines(&vec![(name, "\u{1}\"é".repeat(500).as_str()); 60]);
    let text = Some("\"\\".repeat(1024));
    let certificate = crate::run::evidence::Certificate { names: vec!["é".repeat(4000); 20], ..Default::default() };
    let http = Http {
        url: "https://shop.example/".to_owned() + &"a".repeat(9000),
        query: long("q"),
        headers: [long("x-a"), long("cookie")].concat(),
        redirects: vec![Redirect { status: 301, from: "é".repeat(4000) }; 10],
        connection: Connection { resolved: vec!["é".repeat(200); 60], ..Connection::default() },
        tls: Some(Tls { version: None, certificates: vec![certificate; 6] }),
        response: Some(Response { status: 200, headers: long("set-cookie"), body: Excerpt { size: 2048, text } }),
        ..Http::default()
    };
    let ssh = Ssh { methods: vec!["é".repeat(4000); 100], ..Ssh::default() };
    let mut run = run_with(http);
    run.log.clear();
    for detail in DETAIL_LEVELS {
        for (name, context) in contexts(&run, detail) {
            assert!(
                json_size(&context) <= MAX_CONTEXT_BYTES && json_size(&context) > 100,
                "{name}: {}",
                json_size(&context)
            );
        }
    }
    let request = json!(Request::new(&run));
    for (part, max_bytes) in [("url", 2048), ("query_string", 1024), ("headers", 8192), ("cookies", 2048)] {
        assert!(json_size(&request[part]) <= max_bytes, "{part}: {}", json_size(&request[part]));
    }
    run.evidence = Some(Exchange::Ssh(Box::new(ssh)));
    assert!(contexts(&run, DETAIL_LEVELS[0]).values().all(|context| json_size(context) <= MAX_CONTEXT_BYTES));
}
