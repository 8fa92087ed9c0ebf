use super::*;
use crate::redaction::Secrets;
use crate::run::Mismatch;
use crate::run::evidence::{Lines, Response};

fn lines(lines: &[(&str, &str)]) -> Lines {
    lines.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn credentials_of_an_exchange_are_taken() {
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
    let credentials = Secrets::new(take_credentials(&mut exchange));
    for value in ["query-code", "header-key", "own-cookie", "body-password", "set-cookie"] {
        assert_eq!(credentials.redact(value), REDACTED);
    }
    for value in ["page-number", "text/html", "dark", "ada lovelace", "1234", "/everywhere"] {
        assert_eq!(credentials.redact(value), value);
    }
    let Exchange::Http(http) = exchange else { panic!("the exchange was created as an HTTP exchange") };
    assert_eq!(http.body, "", "the body has been taken");
}

/// Redacts a failed assertion about `subject`. Compares its values with `redacted`, and its message with `sentence`.
#[track_caller]
fn check([subject, expected, actual]: [&str; 3], redacted: [&str; 2], sentence: &str) {
    let mismatch = Mismatch { subject: subject.to_owned(), expected: expected.to_owned(), actual: actual.to_owned() };
    let message = format!("{subject}: expected {expected}, got {actual}");
    let mut failure = Failure { reason: "assertion".to_owned(), message, mismatches: vec![mismatch] };
    redact_failure_credentials(&mut failure);
    let Mismatch { expected, actual, .. } = &failure.mismatches[0];
    assert_eq!([expected.as_str(), actual], redacted);
    assert_eq!(failure.message, sentence);
}

#[test]
fn values_of_credentials_are_redacted_in_mismatches() {
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
    // The last key is the name of the value.
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
fn codes_of_oauth_are_redacted_in_the_location_of_a_redirect() {
    for (location, redacted) in [
        ("/cb?code=opaque&state=1#top", "/cb?code=[Filtered]&state=1#top"),
        ("https://a/cb?state=1&code=opaque", "https://a/cb?state=1&code=[Filtered]"),
        ("/cb#code=opaque", "/cb#code=[Filtered]"),
        ("/code=1?page=2", "/code=1?page=2"),
        ("/plain", "/plain"),
    ] {
        assert_eq!(redact_query(location), redacted);
    }
}
