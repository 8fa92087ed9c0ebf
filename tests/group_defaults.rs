//! `defaults` of a group: keys that its probes share, where components decide which settings they have.

use serde_json::json;

use crate::support::target::{Target, ok_response, status_response};
use crate::support::{find_problems, run_command, run_once, sentrynet};

const HEAD: &str = "groups:
  - defaults:
      retries: 1
      retry_delay: 0
      timeout: 5s
      headers: {x-from: defaults}
";

#[test]
fn each_component_gets_the_settings_that_it_has() {
    let target = Target::responding(|requests| match requests.last().and_then(|request| request.header("x-from")) {
        Some("defaults") => ok_response(),
        _ => status_response("500 Internal Server Error"),
    });
    let port = target.port;
    let (_, runs) = run_once(&format!(
        "{HEAD}    probes:
      - {{probe: http, url: 'http://127.0.0.1:{port}/a'}}
      - {{probe: http, url: 'http://127.0.0.1:{port}/b', headers: {{}}, retries: ~}}
      - {{probe: ssh, host: 127.0.0.1, port: {port}}}
"
    ));
    let found: Vec<_> = runs.iter().map(|run| json!([run["outcome"], run["attempts"]])).collect();
    assert_eq!(found, [json!(["passed", 1]), json!(["failed", 1]), json!(["failed", 2])], "{runs:#?}");
}

#[test]
fn a_key_that_no_component_has_is_an_error_at_its_place() {
    let check = |defaults: &str, probes: &str, expected: &[&str]| {
        let text = format!("groups:\n  - defaults: {{{defaults}}}\n    probes: [{probes}]\n");
        assert_eq!(find_problems(&text), expected, "{text}");
    };
    let (http, ssh) = ("{probe: http, url: 'http://h/'}", "{probe: ssh, host: h}");
    check("timeout: 5, headers: {a: b}, known_hosts: /dev/null", &format!("{http}, {ssh}"), &[]);
    check("known_hosts: /dev/null", http, &["2:16 unknown key `known_hosts`: no probe of this group has it"]);
    check("timeot: 5", &format!("{http}, {ssh}"), &["2:16 unknown key `timeot`, did you mean `timeout`?"]);
    check("interval: 5", http, &["2:16 unknown key `interval`, did you mean `every`?"]);
    // A wrong value is one error, however many probes have it.
    let wrong = "2:25 expected a time such as `5s`, or seconds from 0.001 to 3600, got 0";
    check("timeout: 0s", &format!("{http}, {ssh}"), &[wrong]);
    // A required key may stand there.
    check("url: 'http://h/'", "{probe: http, title: a}, {probe: http, title: b}", &[]);
}

#[test]
fn editors_know_the_keys_of_defaults() {
    let ended = run_command(sentrynet().arg("schema"), "");
    let schema: serde_json::Value = serde_json::from_str(&ended.stdout).expect("a schema is JSON");
    let defaults = &schema["$defs"]["defaults"];
    assert_eq!(defaults["additionalProperties"], false);
    let resolve = |key: &str| {
        let reference =
            defaults["properties"][key]["$ref"].as_str().or(defaults["properties"][key]["anyOf"][0]["$ref"].as_str());
        schema.pointer(reference.expect("the key refers to its schema").trim_start_matches('#'))
    };
    for key in ["every", "limits", "timeout", "headers", "known_hosts", "init_keys"] {
        assert!(resolve(key).is_some_and(serde_json::Value::is_object), "{key}");
    }
    assert!(defaults["properties"]["title"].is_null() && defaults["properties"]["probe"].is_null());
}
