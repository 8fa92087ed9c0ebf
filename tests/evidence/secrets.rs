//! Redaction of credentials in evidence.

use serde_json::json;

use super::{error_event_and_output, header_value};
use crate::support::http_config;
use crate::support::target::Target;

/// Starts a target that responds with 401, and repeats everything that it got.
fn start_echo() -> Target {
    Target::responding(|requests| {
        let request = requests.last().expect("there is a request");
        let headers: String = request.headers.iter().map(|(name, value)| format!("{name} is {value}; ")).collect();
        let body =
            json!({ "you": headers, "said": request.body, "line": request.line, "access_token": "literal-of-target" });
        let body = body.to_string();
        let length = body.len();
        format!(
            "401 Unauthorized\r\ncontent-length: {length}\r\ncontent-type: application/json\r\n\
             set-cookie: sid=literal-in-cookie; HttpOnly\r\nlocation: /to?access_token=literal-in-location\r\n\
             x-seen: {}\r\nwww-authenticate: Basic realm=\"shop\"\r\n\r\n{body}",
            request.line
        )
    })
}

#[test]
fn no_credential_is_in_the_evidence() {
    let target = start_echo();
    let keys = format!(
        "url: http://ada:literal-in-url@127.0.0.1:{}/x?token=literal-in-query&page=7
headers: {{x-api-key: literal-in-header, cookie: 'sid=literal-own-cookie; b=c', x-plain: seen}}
body: {{user: ada, password: literal-in-body}}
checks: {{$.said: {{equals: nothing}}, $.access_token: {{equals: literal-expected}}, status: 401}}",
        target.port
    );
    let (event, all) = error_event_and_output("echo", &http_config(&keys));
    assert!(!all.contains("literal-"), "{all}");
    // `ada:literal-in-url` in Base64, as it was sent.
    assert!(!all.contains("YWRhOmxpdGVyYWwtaW4tdXJs"), "{all}");
    let (request, response) = (&event["request"], &event["contexts"]["response"]);
    assert_eq!(request["query_string"], json!([["token", "[Filtered]"], ["page", "7"]]));
    assert_eq!(
        (header_value(request, "Authorization"), header_value(request, "X-Plain")),
        (Some("[Filtered]"), Some("seen"))
    );
    assert_eq!(request["cookies"], json!([["sid", "[Filtered]"], ["b", "[Filtered]"]]));
    assert_eq!(response["cookies"], json!([["sid", "[Filtered]; HttpOnly"]]));
    assert_eq!(header_value(response, "Location"), Some("/to?access_token=[Filtered]"));
    assert_eq!(header_value(response, "Www-Authenticate"), Some("Basic realm=\"shop\""));
    assert_eq!(response["data"]["access_token"], "[Filtered]");
    assert!(response["data"]["you"].as_str().is_some_and(|you| you.contains("x-plain is seen")), "{response:#}");
    assert_eq!(event["contexts"]["check"]["mismatches"].as_array().map(Vec::len), Some(2));
}

#[test]
fn no_credential_of_an_earlier_attempt_is_in_the_evidence() {
    // Each attempt gets a new token, and the second response quotes it.
    let target = Target::responding(|requests| {
        let last = requests.last().expect("there is a request");
        let token = last.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let body = match token {
            Some(token) => json!({ "status": format!("nobody knows {token}") }),
            None => json!({ "token": format!("opaque-of-attempt-{}", requests.len()) }),
        };
        let body = body.to_string();
        format!("200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
    });
    let port = target.port;
    let chain = format!(
        "groups:
  - probes:
      - probe: chain
        title: A chain
        retries: 2
        retry_delay: 0
        steps:
          - {{url: 'http://127.0.0.1:{port}/login', set_keys: {{token: $.token}}}}
          - {{url: 'http://127.0.0.1:{port}/me', headers: {{authorization: 'Bearer {{token}}'}}, checks: {{$.status: ok}}}}
"
    );
    let (event, all) = error_event_and_output("echo-of-attempts", &chain);
    let message = "step 2: $.status: expected \"ok\", got \"nobody knows [Filtered]\"";
    for number in ["1", "2", "3"] {
        assert_eq!(event["contexts"]["attempts"][number]["message"], message);
    }
    assert!(!all.contains("opaque-of-attempt"), "{all}");
}
