use super::*;
use crate::run::Mismatch;
use crate::run::evidence::{Lines, Response};

fn lines(lines: &[(&str, &str)]) -> Lines {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn what_a_request_carried_is_known_again() {
    let mut exchange = Exchange::Http(Box::new(Http {
        query: lines(&[("code", "query-code"), ("page", "page-number")]),
        headers: lines(&[
            ("x-api-key", "header-key"),
            ("cookie", "theme=dark; sid=own-cookie"),
            ("accept", "text/html"),
        ]),
        body: r#"{"user": "ada lovelace", "password": "body-password", "pin": "1234"}"#.to_owned(),
        response: Some(Response {
            headers: lines(&[("set-cookie", "sid=set-cookie; Path=/everywhere")]),
            ..Response::default()
        }),
        ..Http::default()
    }));
    let carried = carried_secrets(&mut exchange);
    for value in ["query-code", "header-key", "own-cookie", "body-password", "set-cookie"] {
        assert_eq!(carried.redact(value), REDACTED);
    }
    for value in ["page-number", "text/html", "dark", "ada lovelace", "1234", "/everywhere"] {
        assert_eq!(carried.redact(value), value);
    }
    let Exchange::Http(http) = exchange else { panic!("it was one over HTTP") };
    assert_eq!(http.body, "", "it has done what it was for");
}

/// A check that did not hold, and the sentence that says so: what is left of both.
#[track_caller]
fn check([subject, expected, actual]: [&str; 3], left: [&str; 2], sentence: &str) {
    let mismatch = Mismatch { subject: subject.to_owned(), expected: expected.to_owned(), actual: actual.to_owned() };
    let message = format!("{subject}: expected {expected}, got {actual}");
    let mut failure = Failure { reason: "assertion".to_owned(), message, mismatches: vec![mismatch] };
    redact_failure_credentials(&mut failure);
    let Mismatch { expected, actual, .. } = &failure.mismatches[0];
    assert_eq!([expected.as_str(), actual], left);
    assert_eq!(failure.message, sentence);
}

#[test]
fn checks_of_credentials() {
    check(
        ["$.access_token", r#""abc""#, r#""def""#],
        [REDACTED, REDACTED],
        "$.access_token: expected [Filtered], got [Filtered]",
    );
    check(
        ["step 2 (Log in): token ($.data.token[0])", "text", "no match"],
        ["text", "no match"],
        "step 2 (Log in): token ($.data.token[0]): expected text, got no match",
    );
    check(
        ["header set-cookie", "nothing", r#""sid=abc""#],
        ["nothing", REDACTED],
        "header set-cookie: expected nothing, got [Filtered]",
    );
    check(["$['pin']", "4321", "1234"], [REDACTED, REDACTED], "$['pin']: expected [Filtered], got [Filtered]");
    // It is the last key that names the value.
    check(
        ["$.auth.status", r#""ok""#, r#""down""#],
        [r#""ok""#, r#""down""#],
        r#"$.auth.status: expected "ok", got "down""#,
    );
    check(
        ["step 1 (Get a session): status", "200", "500"],
        ["200", "500"],
        "step 1 (Get a session): status: expected 200, got 500",
    );
    check(
        ["body", r#"to contain "x""#, r#""{\"token\":\"abc\"}""#],
        [r#"to contain "x""#, r#""{\"token\":\"[Filtered]\"}""#],
        r#"body: expected to contain "x", got "{\"token\":\"[Filtered]\"}""#,
    );
}

#[test]
fn the_code_of_a_login_is_in_the_query_that_a_redirect_leads_to() {
    for (location, left) in [
        ("/cb?code=opaque&state=1#top", "/cb?code=[Filtered]&state=1#top"),
        ("https://a/cb?state=1&code=opaque", "https://a/cb?state=1&code=[Filtered]"),
        ("/cb#code=opaque", "/cb#code=[Filtered]"),
        ("/code=1?page=2", "/code=1?page=2"),
        ("/plain", "/plain"),
    ] {
        assert_eq!(redact_query(location), left);
    }
}
