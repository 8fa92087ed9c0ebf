//! Redaction of secrets in recordings.

use super::{Recorded, SECRET, shop_response};
use crate::support::target::Target;

#[test]
fn no_secret_of_a_chain_is_in_its_recording() {
    let target = Target::responding(shop_response);
    let port = target.port;
    let steps = format!(
        "title: Chain
init_keys: {{base: 'http://127.0.0.1:{port}', key: '${{env:KEY}}'}}
steps:
  - {{url: '{{base}}/login', set_keys: {{token: $.token}}, assertions: {{token: {{exists: true}}}}}}
  - url: '{{base}}/?q={{key}}&t={{token}}'
    headers: {{authorization: 'Bearer {{token}}', x-key: '{{key}}'}}
    body: {{password: '{{key}}', token: token}}
    method: POST
    expected: 200
    checks: {{$.echo: nobody}}
"
    );
    let recorded = Recorded::record("chain", "chain", &steps);
    let last = target.requests().pop().expect("the target got a request");
    assert_eq!((last.header("authorization"), last.header("x-key")), (Some("Bearer tok-98765-zyxwv"), Some(SECRET)));
    let run = recorded.assert_replay_is_same(1);
    assert_eq!(run["failure"]["reason"], "assertion");
    let text = recorded.read();
    for secret in [SECRET, "tok-98765-zyxwv", "cookie-4711-abc"] {
        assert!(!text.contains(secret), "{secret} in {text}");
        assert!(!recorded.json.stdout.contains(secret));
    }
    assert!(text.contains("[Filtered]"));
}

#[test]
fn no_secret_is_recorded_in_binary_bodies() {
    let target = Target::responding(|requests| {
        let echo = requests.last().and_then(|request| request.header("x-key")).unwrap_or_default().to_owned();
        let hidden = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &echo);
        format!("200 OK\r\nx-hidden: {hidden}\r\nconnection: close\r\n\r\n{echo}\u{0}{hidden}")
    });
    let keys = format!(
        "url: 'http://127.0.0.1:{}/?key=${{env:KEY}}'\nheaders: {{x-key: '${{env:KEY}}'}}\nbody: '${{env:KEY}}'\nexpected: 200",
        target.port
    );
    let recorded = Recorded::record("bytes", "http", &keys);
    recorded.assert_replay_is_same(0);
    let hidden = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, SECRET);
    for secret in [SECRET, &hidden] {
        assert!(!recorded.read().contains(secret), "{secret} in {}", recorded.read());
    }
}
