//! Errors that `check` finds in a chain.

use crate::chain::chain_config;
use crate::support::{find_problems, run_command, sentrynet};

#[test]
fn mistakes_are_reported_with_line_and_column() {
    let found = find_problems(
        "groups:
  - probes:
      - probe: chain
        steps:
          - url: http://h/{token}
          - name: Log in
            url: http://h/{nobody}
            body: {user: ada, id: ['{{}}', '{']}
            set_keys: {token: '$.a['}
          - url: http://h/
            always: please
            name: [a]
            timeot: 5
            headers: {x-token: '{token} {later}', bad name: x}
            query: {a: {b: 1}}
            assertions: {nothing: 1}
            checks: {stauts: 200, $.a: {eqals: 1}}
            set_keys: {later: 5}
",
    );
    let unset = |key: &str| {
        format!("no key `{key}` is set before this step: give it under `init_keys`, or an earlier step's `set_keys`")
    };
    let expected = [
        "3:9 the key `title` is missing: this probe does not derive a title from its settings",
        &format!("5:18 {}", unset("token")),
        &format!("7:18 {}", unset("nobody")),
        "8:44 a single `{`: write `{{` for a brace",
        "9:31 `$.a[` is not a JSONPath such as `$.status`: it ends too early",
        "11:21 expected true or false, got text",
        "12:13 expected text, got a list",
        "13:13 unknown key `timeot`, did you mean `timeout`?",
        &format!("14:32 {}", unset("later")),
        "14:61 `bad name` is not a header's name",
        "15:21 expected text, a number, true, false or a list, got a map",
        "16:35 no key `nothing` is set: give it a JSONPath under `set_keys`",
        "17:30 unknown subject `stauts`, did you mean `status`?",
        "17:48 unknown operator `eqals`, did you mean `equals`?",
        "18:31 expected text, got 5",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_chain_has_steps_and_steps_are_maps() {
    let one = |keys: &str| {
        let found = find_problems(&chain_config(keys));
        assert_eq!(found.len(), 1, "{keys}: {found:#?}");
        found[0].clone()
    };
    assert_eq!(one("steps: []"), "5:9 a chain has at least one step");
    assert_eq!(one("cokies: false\nsteps: [{url: http://h/}]"), "5:9 unknown key `cokies`, did you mean `cookies`?");
    assert_eq!(one("steps: [{name: A}]"), "5:17 missing key `url`");
    assert_eq!(one("cookies: maybe\nsteps: [{url: http://h/}]"), "5:18 expected true or false, got text");
    assert_eq!(one("steps: [{url: ftp://h/}]"), "5:23 the URL's scheme is `ftp`: expected http or https");
    assert_eq!(
        one("steps: [{url: http://h/, headers: {x-a: \"a\\nb\"}}]"),
        "5:49 the value of `x-a` holds characters that a header cannot contain"
    );
    assert!(one("steps: {url: http://h/}").ends_with("expected a list, got a map"));
    assert!(one("steps: [text]").ends_with("expected a map of keys such as `name`, `always` and `url`, got text"));
}

#[test]
fn a_mistake_in_one_step_causes_no_error_in_the_next() {
    let steps = |first: &str| {
        find_problems(&chain_config(&format!(
            "steps:
  - {{{first}, set_keys: {{token: $.token}}}}
  - {{url: 'http://h/{{token}}', assertions: {{token: {{exists: true}}}}}}"
        )))
    };
    assert_eq!(steps("url: http://h/").len(), 0);
    for first in ["url: 'http://h/{'", "url: http://h/, body: 5", "url: http://h/, always: 5", "name: A"] {
        let found = steps(first);
        assert_eq!(found.len(), 1, "{first}: {found:#?}");
        assert!(found[0].starts_with("6:"), "{first}: {found:#?}");
    }
}

/// Returns the warnings of `check` about a chain.
fn warnings(keys: &str) -> String {
    let ended = run_command(sentrynet().args(["check", "-"]), &chain_config(keys));
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    ended.stderr
}

#[test]
fn templates_of_other_programs_are_warned_of() {
    let keys = |key: &str, value: &str| {
        format!("init_keys: {{csrf: a, user: ada}}\nsteps: [{{url: http://h/, {key}: {value}}}]")
    };
    let steps = |body: &str| keys("body", body);
    let found = warnings(&steps("{token: '{{csrf}}'}"));
    assert!(found.contains("`{{csrf}}` is the text `{csrf}` here: write `{csrf}` if the value of the key"), "{found}");
    let found = warnings(&steps("{role: user}"));
    assert!(found.contains("warning: the value of the key `user` is sent here, since the text is exactly"), "{found}");
    assert!(found.contains("<stdin>:6:47"), "{found}");
    for (key, value, place) in [("query", "{a: user}", "6:45"), ("headers", "{x-y: user}", "6:49")] {
        let found = warnings(&keys(key, value));
        assert!(
            found.contains("the key `user` is sent here") && found.contains(&format!("<stdin>:{place}")),
            "{found}"
        );
    }
    for meant in ["{user: user}", "{role: '{user}'}", "'{user}'", "{a: '{{}}'}"] {
        let found = warnings(&steps(meant));
        assert!(!found.contains("warning"), "{meant}: {found}");
    }
}

#[test]
fn a_json_text_as_a_body_is_refused_without_its_values() {
    let text = r#"'{"user": "{user}", "password": "hunter2"}'"#;
    let found =
        find_problems(&chain_config(&format!("init_keys: {{user: ada}}\nsteps: [{{url: http://h/, body: {text}}}]")));
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].contains("write a JSON body as a map of YAML") && !found[0].contains("hunter2"), "{found:#?}");
}
