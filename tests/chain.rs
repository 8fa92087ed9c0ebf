//! The probe `chain`: requests in a row, and what is carried between them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{finish, free_port, http, once, sentrynet, slow, spans};

/// One request, as the target got it.
#[derive(Debug, Clone)]
struct Asked {
    /// `POST /login`.
    line: String,
    /// `name: value`, the names in lower case.
    headers: Vec<String>,
    body: String,
}

impl Asked {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }
}

/// What a target answers: the status line's end, further header lines, and the body.
type Answer = (&'static str, &'static str, String);

/// A target that keeps its connections, and everything that it was asked. Ends with the process.
struct Target {
    url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Target {
    fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + Clone + 'static) -> Self {
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let inbox = Arc::clone(&asked);
        let port = slow::listen(move |connection| serve(connection, &inbox, &answer));
        Self { url: format!("http://127.0.0.1:{port}"), asked }
    }

    /// One that answers everything with this JSON.
    fn json(body: &'static str) -> Self {
        Self::start(move |_| ("200 OK", "", body.to_owned()))
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no test panics here").clone()
    }

    /// The request lines.
    fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    /// The one run of a chain with these keys, where `URL` is the target.
    #[track_caller]
    fn run(&self, keys: &str) -> Value {
        let (_, mut runs) = once(&chain(&keys.replace("URL", &self.url)));
        assert_eq!(runs.len(), 1);
        runs.remove(0)
    }
}

fn serve(connection: TcpStream, inbox: &Mutex<Vec<Asked>>, answer: &impl Fn(&Asked) -> Answer) {
    let Ok(mut writer) = connection.try_clone() else { return };
    // Head and body are written apart: the peer must not wait for more in between.
    let _ = writer.set_nodelay(true);
    let mut reader = BufReader::new(connection);
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            match reader.read_line(&mut line) {
                Ok(1..) if line.trim().is_empty() => break,
                Ok(1..) => lines.push(line.trim().to_owned()),
                _ => return,
            }
        }
        let line = lines.remove(0).trim_end_matches(" HTTP/1.1").to_owned();
        let named = lines.iter().filter_map(|line| line.split_once(": "));
        let headers: Vec<_> = named.map(|(name, value)| format!("{}: {value}", name.to_lowercase())).collect();
        let mut asked = Asked { line, headers, body: String::new() };
        let length = asked.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if reader.read_exact(&mut body).is_err() {
            return;
        }
        asked.body = String::from_utf8(body).expect("tests send text");
        let (status, more, body) = answer(&asked);
        inbox.lock().expect("no test panics here").push(asked);
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{more}\r\n", body.len());
        if writer.write_all((head + &body).as_bytes()).is_err() {
            return;
        }
    }
}

/// A configuration of one chain with these keys.
fn chain(keys: &str) -> String {
    http(&format!("title: Shop\n{keys}")).replace("probe: http", "probe: chain")
}

#[track_caller]
fn passed(run: &Value) {
    assert_eq!(run["outcome"], "passed", "{run:#}");
}

/// A run that failed with this reason; its message.
#[track_caller]
fn failed(run: &Value, reason: &str) -> String {
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert_eq!(run["failure"]["reason"], reason, "{run:#}");
    run["failure"]["message"].as_str().expect("a failure has a message").to_owned()
}

/// What `check` finds in a configuration: `LINE:COLUMN MESSAGE`, in its order.
#[track_caller]
pub fn problems(configuration: &str) -> Vec<String> {
    let ended = finish(sentrynet().env("SENTRYNET_LOG", "error").args(["check", "-"]), configuration);
    let mut found = Vec::new();
    let mut message = "";
    for line in ended.stderr.lines() {
        if let Some(error) = line.strip_prefix("error: ") {
            message = error;
        } else if let Some(place) = line.trim_start().strip_prefix("--> <stdin>:") {
            found.push(format!("{place} {message}"));
        }
    }
    assert_eq!(ended.code, if found.is_empty() { 0 } else { 2 }, "{}", ended.stderr);
    found
}

fn descriptions<'a>(run: &'a Value, op: &str) -> Vec<&'a str> {
    spans(run, op).into_iter().filter_map(|span| span["description"].as_str()).collect()
}

#[test]
fn what_one_step_answers_is_carried_to_the_next() {
    let target = Target::start(|asked| match asked.line.as_str() {
        "POST /login" => (
            "201 Created",
            "",
            r#"{"token": "t0k", "user": {"id": 7, "roles": ["a", "b"]}, "ready": true,
                "big": 123456789012345678901234567890, "price": 2.50, "none": null}"#
                .to_owned(),
        ),
        _ => ("200 OK", "", asked.body.clone()),
    });
    let run = target.run(
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
    let asked = target.asked();
    assert_eq!(asked.len(), 3, "{asked:#?}");
    assert_eq!(asked[0].body, r#"{"user":"Ada","password":"open sesame","name":"fixed"}"#);
    let query = "big=123456789012345678901234567890&of=Ada&all=%5B%27a%27%2C+%27b%27%5D&all=5";
    assert_eq!(asked[1].line, format!("GET /users/7?{query}"));
    assert_eq!(asked[1].header("authorization"), Some("Bearer t0k"));
    assert_eq!((asked[1].header("x-id"), asked[1].header("x-plain")), (Some("7"), Some("plain")));
    assert_eq!(asked[2].line, "PUT /orders");
    assert_eq!(asked[2].header("content-type"), Some("application/json"));
    // Text that is just a key's name is the value, type and digits kept.
    let body = r#"{"thing":true,"list":[7,{"deep":123456789012345678901234567890}],"roles":["a","b"],"price":2.50,"#;
    assert_eq!(asked[2].body, body.to_owned() + r#""text":"True ['a', 'b']","id":5,"none":null}"#);
    // The assertion holds the whole number against another.
    let message = failed(&run, "assertion");
    let expected =
        "step 3 (Order): echoed ($.list): expected [7,{\"deep\":1}], got [7,{\"deep\":123456789012345678901234567890}]";
    assert_eq!(message, expected);
    assert!(!run.to_string().contains("open sesame"), "{run:#}");
}

#[test]
fn each_step_is_a_span_around_its_request() {
    let target = Target::json(r#"{"a": 1}"#);
    let keys = "steps:
  - {url: 'http://user:pass@HOST/one?secret=1', set_keys: {a: $.a}, assertions: {a: 1}}
  - {name: Second, url: 'URL/{a}/two', checks: {$.a: 1}}";
    let host = target.url.trim_start_matches("http://");
    let run = target.run(&keys.replace("HOST", host));
    passed(&run);
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
fn the_probe_has_the_originals_names_too() {
    let target = Target::json("{}");
    for name in ["chain", "script", "probes.script", "probes.chain"] {
        let configuration = chain(&format!("steps: [{{url: {}/}}]", target.url));
        let (code, runs) = once(&configuration.replace("probe: chain", &format!("probe: {name}")));
        assert_eq!((code, &runs[0]["probe"]), (0, &json!("probes.script")), "{name}");
    }
}

#[test]
fn templates_are_pythons() {
    let target = Target::json("{}");
    let check = |template: &str, expected: &str| {
        let keys =
            "init_keys: {n: 42, f: 3.14159, t: true, none: null, name: Ada, list: [1, two], map: {a b: x}, w: 6}";
        let before = target.asked().len();
        passed(
            &target.run(&format!("{keys}\nsteps:\n  - {{url: URL/, method: POST, expected: 200, body: '{template}'}}")),
        );
        assert_eq!(target.asked()[before].body, expected, "{template}");
    };
    check("{f:.2f} {n:05d} {n:x}", "3.14 00042 2a");
    check("[{name:>8}] [{name:^{w}}]", "[     Ada] [ Ada  ]");
    check("{name!r} {t} {none} {list}", "'Ada' True None [1, 'two']");
    check("{map[a b]} {list[1]}", "x two");
    check("{{n}} {{{n}}}", "{n} {42}");
    check("n", "42");
    check("n ", "n ");
    // A map or list is JSON, and says so.
    check("list", r#"[1,"two"]"#);
    let json = target.asked().pop().expect("it was asked");
    assert_eq!(json.header("content-type"), Some("application/json"));
}

#[test]
fn a_url_can_be_a_key() {
    let target = Target::json(r#"{"next": "/two"}"#);
    let keys = "init_keys: {start: 'URL/one', base: URL}
steps:
  - {url: start, set_keys: {next: $.next}}
  - {url: '{base}{next}'}
  - {url: 'URL/{{x}}'}";
    passed(&target.run(keys));
    assert_eq!(target.lines(), ["GET /one", "GET /two", "GET /%7Bx%7D"]);
}

#[test]
fn a_key_that_no_answer_has_set_fails_the_step_that_needs_it() {
    let target = Target::json(r#"{"other": 1}"#);
    let run = target.run(
        "steps:
  - {name: Log in, url: URL/login, set_keys: {token: $.token}}
  - {name: Profile, url: URL/me, headers: {authorization: 'Bearer {token}'}}
  - {url: URL/never}",
    );
    let message = failed(&run, "key");
    assert_eq!(message, "step 2 (Profile): headers.authorization cannot be filled in: key `token` is not set");
    assert_eq!(target.lines(), ["GET /login"]);
    let statuses: Vec<_> = spans(&run, "chain.step").iter().map(|step| step["status"].clone()).collect();
    assert_eq!(statuses, ["ok", "internal_error"]);

    let run = target.run("init_keys: {user: {id: 5}}\nsteps: [{url: 'URL/{user[name]}'}]");
    let message = failed(&run, "key");
    assert_eq!(message, "step 1: url cannot be filled in: `user[name]`: the map has no key `name`");
}

#[test]
fn a_failing_step_names_itself_and_ends_the_run() {
    let target = Target::start(|asked| match asked.line.as_str() {
        "GET /down" => ("503 Service Unavailable", "", String::new()),
        _ => ("200 OK", "", r#"{"a": 1, "b": 2}"#.to_owned()),
    });
    let run = target.run("steps: [{url: URL/}, {name: Pay, url: URL/down}, {url: URL/never}]");
    assert_eq!(failed(&run, "status"), "step 2 (Pay): expected status 200, got 503");
    let mismatch = json!([{ "subject": "step 2 (Pay): status", "expected": "200", "actual": "503" }]);
    assert_eq!(run["failure"]["mismatches"], mismatch);
    assert_eq!(target.lines(), ["GET /", "GET /down"]);

    let run = target.run("steps: [{url: URL/, checks: {$.a: 2, $.b: {less: 2}, status: 2xx}}]");
    assert_eq!(failed(&run, "assertion"), "step 1: 2 assertions do not hold");
    let mismatches = json!([
        { "subject": "step 1: $.a", "expected": "2", "actual": "1" },
        { "subject": "step 1: $.b", "expected": "less than 2", "actual": "2" },
    ]);
    assert_eq!(run["failure"]["mismatches"], mismatches);

    let port = free_port();
    let run = target.run(&format!("steps: [{{url: URL/}}, {{name: Gone, url: 'http://127.0.0.1:{port}/'}}]"));
    let expected = format!("step 2 (Gone): connection refused by 127.0.0.1:{port}: nothing listens there");
    assert_eq!(failed(&run, "connect"), expected);
}

#[test]
fn what_cleans_up_runs_after_a_failure_too() {
    let target = Target::start(|asked| match asked.line.as_str() {
        "GET /down" | "DELETE /late" => ("500 Internal Server Error", "", String::new()),
        _ => ("200 OK", "", r#"{"id": 5}"#.to_owned()),
    });
    let keys = "steps:
  - {url: URL/make, set_keys: {id: $.id}}
  - {name: Break, url: URL/down}
  - {url: URL/never}
  - {name: Clean up, always: true, method: DELETE, url: 'URL/{id}'}
  - {name: Too late, always: true, method: DELETE, url: URL/late}
  - {always: true, url: URL/last}";
    let run = target.run(keys);
    assert_eq!(failed(&run, "status"), "step 2 (Break): expected status 200, got 500", "the first failure is told");
    assert_eq!(target.lines(), ["GET /make", "GET /down", "DELETE /5", "DELETE /late", "GET /last"]);
    let steps = ["2. Break", "4. Clean up", "5. Too late", &format!("6. GET {}/last", target.url)];
    assert_eq!(descriptions(&run, "chain.step")[1..], steps);
    let log = &run["log"][0];
    let expected = "after the failure, step 5 (Too late): expected status 200, got 500";
    assert_eq!((&log["level"], &log["message"]), (&json!("error"), &json!(expected)), "{run:#}");

    // Without a failure before it, its own is one.
    let run = target.run("steps: [{url: URL/}, {always: true, url: URL/down}]");
    assert_eq!(failed(&run, "status"), "step 2: expected status 200, got 500");
}

#[test]
fn carried_keys_can_be_asserted() {
    let target = Target::start(|asked| match asked.line.as_str() {
        "GET /one" => ("200 OK", "", r#"{"no": false, "nil": 0, "none": "", "name": "Ada"}"#.to_owned()),
        _ => ("200 OK", "", "{}".to_owned()),
    });
    let run = |second: &str| {
        target.run(&format!(
            "init_keys: {{given: 1}}
steps:
  - {{url: URL/one, set_keys: {{a: $.no, b: $.nil, c: $.none, name: $.name}}}}
  - {{url: URL/two, {second}}}"
        ))
    };
    passed(&run("assertions: {a: {value: false}, b: {value: 0}, c: {value: ''}, name: Ada, given: {at_least: 1}}"));
    for (key, value, actual) in [("a", "true", "false"), ("b", "1", "0"), ("c", "x", "\"\""), ("given", "2", "1")] {
        let run = run(&format!("assertions: {{{key}: {{value: {value}}}}}"));
        assert!(failed(&run, "assertion").ends_with(&format!("got {actual}")), "{run:#}");
    }
    // A step that sets nothing leaves the keys as they are, and so does a path that finds nothing.
    passed(&run("headers: {x-name: '{name}'}"));
    passed(&target.run(
        "init_keys: {name: Bo}
steps: [{url: URL/two, set_keys: {name: $.name}}, {url: URL/two}, {url: 'URL/{name}'}]",
    ));
    assert_eq!(target.lines().pop().as_deref(), Some("GET /Bo"));
}

#[test]
fn an_assertion_is_of_what_this_step_has_found() {
    let target = Target::start(|asked| match asked.line.as_str() {
        "GET /one" => ("200 OK", "", r#"{"token": "old"}"#.to_owned()),
        _ => ("200 OK", "", "{}".to_owned()),
    });
    let run = |assertion: &str| {
        target.run(&format!(
            "steps:
  - {{url: URL/one, set_keys: {{token: $.token}}}}
  - {{url: URL/two, set_keys: {{token: $.token}}, assertions: {{token: {assertion}}}}}"
        ))
    };
    // The key still has the value of the first step; the second's answer has none.
    let message = failed(&run("{exists: true}"), "assertion");
    assert_eq!(message, "step 2: token ($.token): expected to exist, got no match");
    passed(&run("{exists: false}"));
}

#[test]
fn a_connection_serves_all_steps_of_a_run_and_no_other() {
    let target = Target::json("{}");
    let keys = "steps: [{url: URL/a}, {url: URL/b}, {url: URL/c, body: {}, expected: 200}]";
    for _ in 0..2 {
        let run = target.run(keys);
        passed(&run);
        assert_eq!(spans(&run, "http.client.connect").len(), 1, "{run:#}");
        let reused: Vec<_> = spans(&run, "http.client")
            .iter()
            .map(|request| request["data"]["http.connection.reused"].clone())
            .collect();
        assert_eq!(reused, [false, true, true]);
    }
}

#[test]
fn cookies_are_kept_within_a_run_unless_told_otherwise() {
    let target = Target::start(|asked| match asked.line.as_str() {
        "GET /login" => ("302 Found", "location: /home\r\nset-cookie: session=s1; Path=/\r\n", String::new()),
        "GET /theme" => ("200 OK", "set-cookie: theme=dark; Path=/only\r\n", "{}".to_owned()),
        _ => ("200 OK", "", "{}".to_owned()),
    });
    let cookies = |keys: &str| {
        let before = target.asked().len();
        passed(&target.run(keys));
        target.asked()[before..].iter().map(|asked| asked.header("cookie").map(str::to_owned)).collect::<Vec<_>>()
    };
    let steps = "steps: [{url: URL/login}, {url: URL/theme}, {url: URL/only}, {url: URL/other}]";
    let some = |cookie: &str| Some(cookie.to_owned());
    let sent = cookies(steps);
    assert_eq!(sent[..3], [None, some("session=s1"), some("session=s1")], "the redirect has them too");
    let both = sent[3].as_deref().unwrap_or_default();
    assert!(both.contains("session=s1") && both.contains("theme=dark"), "{sent:?}");
    assert_eq!(sent[4], some("session=s1"), "each where it belongs");
    assert_eq!(cookies(steps)[0], None, "a run has none of the one before");
    assert_eq!(cookies(&format!("cookies: false\n{steps}")), [None, None, None, None, None]);

    let elsewhere = target.url.replace("127.0.0.1", "localhost");
    let sent = cookies(&format!("steps: [{{url: URL/login}}, {{url: '{elsewhere}/'}}]"));
    assert_eq!(sent, [None, some("session=s1"), None], "another host gets none");
}

#[test]
fn a_step_has_all_keys_of_a_request() {
    let target = Target::start(|asked| match asked.line.as_str() {
        "GET /away" => ("302 Found", "location: /there\r\n", String::new()),
        _ => ("200 OK", "", "{}".to_owned()),
    });
    passed(&target.run(
        "steps:
  - {url: URL/1, auth: {basic: {username: ada, password: lovelace}}, user_agent: Mine/1}
  - {url: URL/2, auth: {bearer: t0k}, query: {a: 1}, compression: true}
  - {url: URL/away, redirects: 0, expected: 302, checks: {redirect: 'URL/there'}}
  - {url: URL/4, method: HEAD, http_version: 1.1, checks: {http version: 1.1, time: {less: 30}}}",
    ));
    let asked = target.asked();
    assert_eq!(asked[0].header("authorization"), Some("Basic YWRhOmxvdmVsYWNl"));
    assert_eq!(asked[0].header("user-agent"), Some("Mine/1"));
    assert_eq!(asked[1].header("authorization"), Some("Bearer t0k"));
    assert!(asked[1].header("accept-encoding").is_some_and(|encodings| encodings.contains("gzip")));
    assert_eq!(target.lines(), ["GET /1", "GET /2?a=1", "GET /away", "HEAD /4"]);
}

#[test]
fn a_timeout_is_of_the_step_or_of_the_whole_run() {
    let slow = slow::answer(Duration::from_secs(60), Duration::ZERO);
    let target = Target::json("{}");
    let steps = format!("steps: [{{url: URL/}}, {{name: Slow, url: 'http://127.0.0.1:{slow}/', TIMEOUT}}]");
    let run = target.run(&steps.replace("TIMEOUT", "timeout: 0.2"));
    assert_eq!(failed(&run, "timeout"), "step 2 (Slow): timed out after 200 ms, waiting for the answer");
    let run = target.run(&format!("limits: {{deadline: 0.5}}\n{}", steps.replace(", TIMEOUT", "")));
    let message = failed(&run, "timeout");
    assert!(message.starts_with("step 2 (Slow): timed out at the run's deadline after "), "{message}");
}

#[test]
fn an_answer_that_cannot_be_used_is_the_targets_fault() {
    let target = Target::json(r#"{"next": "://", "line": "a\nb", "text": "no JSON"}"#);
    let run = |second: &str| {
        let set_keys = "{next: $.next, line: $.line}";
        target.run(&format!("steps: [{{url: URL/, set_keys: {set_keys}}}, {{name: Go, {second}}}]"))
    };
    let message = failed(&run("url: '{next}'"), "key");
    assert!(message.starts_with("step 2 (Go): url: the URL "), "{message}");
    let message = failed(&run("url: URL/, headers: {x-line: '{line}'}"), "key");
    assert_eq!(message, "step 2 (Go): headers.x-line: the value of `x-line` holds characters that a header cannot");
    // What cannot be sent is not.
    assert_eq!(target.lines(), ["GET /", "GET /"]);
}

#[test]
fn mistakes_have_their_place() {
    let found = problems(
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
        "3:9 the key `title` is missing: this probe has none of its own",
        &format!("5:18 {}", unset("token")),
        &format!("7:18 {}", unset("nobody")),
        "8:44 a single `{`: write `{{` for a brace",
        "9:31 `$.a[` is not a JSONPath such as `$.status`: it ends too early",
        "11:21 expected true or false",
        "12:13 expected text",
        "13:13 unknown key `timeot`, did you mean `timeout`?",
        &format!("14:32 {}", unset("later")),
        "14:61 `bad name` is not a header's name",
        "15:21 expected text or a number, got a map",
        "16:35 no key `nothing` is set: give it a JSONPath under `set_keys`",
        "17:30 unknown subject `stauts`, did you mean `status`?",
        "17:48 unknown operator `eqals`, did you mean `equals`?",
        "18:31 5 is not a JSONPath: expected text such as `$.status`",
    ];
    assert_eq!(found, expected);
}

#[test]
fn a_chain_has_steps_and_steps_are_maps() {
    let one = |keys: &str| {
        let found = problems(&chain(keys));
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
        "5:49 the value of `x-a` holds characters that a header cannot"
    );
    assert!(one("steps: {url: http://h/}").ends_with("expected a list, got a map"));
    assert!(one("steps: [text]").ends_with("expected a map, got text"));
}

#[test]
fn a_mistake_in_one_step_is_none_of_the_next() {
    let steps = |first: &str| {
        problems(&chain(&format!(
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

#[test]
fn a_chain_may_hold_the_same_url_many_times() {
    let target = Target::json(r#"{"n": 1}"#);
    let steps: String = (0..100).map(|_| "  - {url: URL/, set_keys: {n: $.n}, assertions: {n: 1}}\n").collect();
    let run = target.run(&format!("steps:\n{steps}"));
    passed(&run);
    assert_eq!(spans(&run, "chain.step").len(), 100);
    assert_eq!(target.asked().len(), 100);
}
