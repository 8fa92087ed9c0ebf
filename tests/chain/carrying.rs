//! Values that steps carry on to later steps, and templates that they fill in.

use serde_json::json;

use crate::chain::{Target, chain_config, method_and_path};
use crate::support::{assert_passed, expect_failure, run_once, spans};

#[test]
fn values_from_a_response_are_carried_to_the_next_step() {
    let target = Target::start(|request| match method_and_path(request) {
        "POST /login" => (
            "201 Created",
            "",
            r#"{"token": "t0k", "user": {"id": 7, "roles": ["a", "b"]}, "ready": true,
                "big": 123456789012345678901234567890, "price": 2.50, "none": null}"#
                .to_owned(),
        ),
        _ => ("200 OK", "", request.body.clone()),
    });
    let run = target.run_chain(
        "init_keys: {name: Ada, password: open sesame}
steps:
  - name: Log in
    url: URL/login
    body: {user: name, password: '{password}', name: fixed}
    set_keys: {token: $.token, id: $.user.id, roles: '$.user.roles[*]', ready: $.ready, big: $.big, price: $.price}
    assertions: {token: {exists: true}}
  - name: Profile
    url: 'URL/users/{id}?big={big}'
    query: {of: '{name}', all: [roles, 5]}
    headers: {authorization: 'Bearer {token}', x-id: id, x-plain: plain}
  - name: Order
    url: URL/orders
    method: PUT
    body: {thing: ready, list: [id, {deep: big}], roles: roles, price: price, text: '{ready} {roles}', id: 5, none: null}
    set_keys: {echoed: $.list}
    assertions: {echoed: [7, {deep: 1}]}",
    );
    let requests = target.requests();
    assert_eq!(requests.len(), 3, "{requests:#?}");
    assert_eq!(requests[0].body, r#"{"user":"Ada","password":"open sesame","name":"fixed"}"#);
    let query = "big=123456789012345678901234567890&of=Ada&all=%5B%27a%27%2C+%27b%27%5D&all=5";
    assert_eq!(method_and_path(&requests[1]), format!("GET /users/7?{query}"));
    assert_eq!(requests[1].header("authorization"), Some("Bearer t0k"));
    assert_eq!((requests[1].header("x-id"), requests[1].header("x-plain")), (Some("7"), Some("plain")));
    assert_eq!(method_and_path(&requests[2]), "PUT /orders");
    assert_eq!(requests[2].header("content-type"), Some("application/json"));
    // A text that is the name of a key and nothing else is replaced by the value, with its type and digits.
    let body = r#"{"thing":true,"list":[7,{"deep":123456789012345678901234567890}],"roles":["a","b"],"price":2.50,"#;
    assert_eq!(requests[2].body, body.to_owned() + r#""text":"True ['a', 'b']","id":5,"none":null}"#);
    // The assertion compares the number with all its digits.
    let message = expect_failure(&run, "assertion");
    let expected =
        "step 3 (Order): echoed ($.list): expected [7,{\"deep\":1}], got [7,{\"deep\":123456789012345678901234567890}]";
    assert_eq!(message, expected);
    assert!(!run.to_string().contains("open sesame"), "{run:#}");
}

#[test]
fn the_probe_is_found_by_its_original_names_too() {
    let target = Target::responding_with_json("{}");
    for name in ["chain", "script", "probes.script", "probes.chain"] {
        let configuration = chain_config(&format!("steps: [{{url: {}/}}]", target.url));
        let (code, runs) = run_once(&configuration.replace("probe: chain", &format!("probe: {name}")));
        assert_eq!((code, &runs[0]["probe"]), (0, &json!("probes.script")), "{name}");
    }
}

#[test]
fn templates_format_values_as_python_does() {
    let target = Target::responding_with_json("{}");
    let check =
        |template: &str, expected: &str| {
            let keys =
                "init_keys: {n: 42, f: 3.14159, t: true, none: null, name: Ada, list: [1, two], map: {a b: x}, w: 6}";
            let before = target.requests().len();
            assert_passed(&target.run_chain(&format!(
                "{keys}\nsteps:\n  - {{url: URL/, method: POST, expected: 200, body: '{template}'}}"
            )));
            assert_eq!(target.requests()[before].body, expected, "{template}");
        };
    check("{f:.2f} {n:05d} {n:x}", "3.14 00042 2a");
    check("[{name:>8}] [{name:^{w}}]", "[     Ada] [ Ada  ]");
    check("{name!r} {t} {none} {list}", "'Ada' True None [1, 'two']");
    check("{map[a b]} {list[1]}", "x two");
    check("{{n}} {{{n}}}", "{n} {42}");
    check("n", "42");
    check("n ", "n ");
    // A map or list is sent as JSON, with its content type.
    check("list", r#"[1,"two"]"#);
    let json = target.requests().pop().expect("the target got a request");
    assert_eq!(json.header("content-type"), Some("application/json"));
}

#[test]
fn a_url_can_be_a_key() {
    let target = Target::responding_with_json(r#"{"next": "/two"}"#);
    let keys = "init_keys: {start: 'URL/one', base: URL}
steps:
  - {url: start, set_keys: {next: $.next}}
  - {url: '{base}{next}'}
  - {url: 'URL/{{x}}'}";
    assert_passed(&target.run_chain(keys));
    assert_eq!(target.request_lines(), ["GET /one", "GET /two", "GET /%7Bx%7D"]);
}

#[test]
fn a_key_that_no_response_has_set_fails_the_step_that_needs_it() {
    let target = Target::responding_with_json(r#"{"other": 1}"#);
    let run = target.run_chain(
        "steps:
  - {name: Log in, url: URL/login, set_keys: {token: $.token}}
  - {name: Profile, url: URL/me, headers: {authorization: 'Bearer {token}'}}
  - {url: URL/never}",
    );
    let message = expect_failure(&run, "key");
    assert_eq!(message, "step 2 (Profile): headers.authorization cannot be filled in: key `token` is not set");
    assert_eq!(target.request_lines(), ["GET /login"]);
    let statuses: Vec<_> = spans(&run, "chain.step").iter().map(|step| step["status"].clone()).collect();
    assert_eq!(statuses, ["ok", "internal_error"]);

    let run = target.run_chain("init_keys: {user: {id: 5}}\nsteps: [{url: 'URL/{user[name]}'}]");
    let message = expect_failure(&run, "key");
    assert_eq!(message, "step 1: url cannot be filled in: `user[name]`: the map has no key `name`");
}

#[test]
fn carried_keys_can_be_asserted() {
    let target = Target::start(|requests| match method_and_path(requests) {
        "GET /one" => ("200 OK", "", r#"{"no": false, "nil": 0, "none": "", "name": "Ada"}"#.to_owned()),
        _ => ("200 OK", "", "{}".to_owned()),
    });
    let run = |second: &str| {
        target.run_chain(&format!(
            "init_keys: {{given: 1}}
steps:
  - {{url: URL/one, set_keys: {{a: $.no, b: $.nil, c: $.none, name: $.name}}}}
  - {{url: URL/two, {second}}}"
        ))
    };
    assert_passed(&run(
        "assertions: {a: {value: false}, b: {value: 0}, c: {value: ''}, name: Ada, given: {at_least: 1}}",
    ));
    for (key, value, actual) in [("a", "true", "false"), ("b", "1", "0"), ("c", "x", "\"\""), ("given", "2", "1")] {
        let run = run(&format!("assertions: {{{key}: {{value: {value}}}}}"));
        assert!(expect_failure(&run, "assertion").ends_with(&format!("got {actual}")), "{run:#}");
    }
    // A step without `set_keys` leaves the keys as they are, and so does a path without a match.
    assert_passed(&run("headers: {x-name: '{name}'}"));
    assert_passed(&target.run_chain(
        "init_keys: {name: Bo}
steps: [{url: URL/two, set_keys: {name: $.name}}, {url: URL/two}, {url: 'URL/{name}'}]",
    ));
    assert_eq!(target.request_lines().pop().as_deref(), Some("GET /Bo"));
}

#[test]
fn a_chain_may_request_the_same_url_many_times() {
    let target = Target::responding_with_json(r#"{"n": 1}"#);
    let steps: String = (0..100).map(|_| "  - {url: URL/, set_keys: {n: $.n}, assertions: {n: 1}}\n").collect();
    let run = target.run_chain(&format!("steps:\n{steps}"));
    assert_passed(&run);
    assert_eq!(spans(&run, "chain.step").len(), 100);
    assert_eq!(target.requests().len(), 100);
}
