//! `checks` and `assertions`: what an answer must be, and what is said when it is not.

use serde_json::{Value, json};

use crate::support::certificates::Certificates;
use crate::support::nginx::Nginx;
use crate::support::{folder, free_port, once, probe, problems, slow, spans};

const SHOP: &str = r#"{"state": "up", "items": [{"id": 1, "price": 9.5}, {"id": 2, "price": 13}], "none": [], "n": 5,
    "big": 9007199254740993, "nothing": null, "text": "10", "no": false, "name": ""}"#;

/// nginx that answers in the clear and over TLS, as a shop does.
struct Shop {
    _nginx: Nginx,
    plain: u16,
    tls: u16,
    ca: String,
}

impl Shop {
    fn open(name: &str) -> Self {
        let certificates = Certificates::new(&folder(&format!("checks-{name}")));
        certificates.certify("good", &["localhost"], 2100);
        let (plain, tls, home) = (free_port(), free_port(), certificates.folder.display());
        let locations = format!(
            "location = /text {{ return 200 'Welcome to the shop'; }} location = /empty {{ return 200; }}
             location = /long {{ return 200 '{}'; }}
             location = /moved {{ return 301 /new?x=1; }} location = /hop {{ return 302 /text; }}
             location = /created {{ return 201 '{{}}'; }} location = /gone {{ return 410 '<html>Gone'; }}
             location / {{
               add_header x-count 17; add_header x-many a; add_header x-many b; add_header x-flag true;
               return 200 '{SHOP}';
             }}",
            "x".repeat(300)
        );
        let servers = format!(
            "server {{ listen 127.0.0.1:{plain}; {locations} }}
             server {{ listen 127.0.0.1:{tls} ssl http2; ssl_certificate {home}/good.pem;
               ssl_certificate_key {home}/good.key; ssl_protocols TLSv1.3; {locations} }}"
        );
        let nginx = Nginx::start(&format!("checks-{name}"), &[plain, tls], &servers);
        Self { _nginx: nginx, plain, tls, ca: certificates.ca() }
    }

    /// Runs a probe for each case: a path (`tls/` goes over TLS), keys, and the mismatches that are to be found.
    #[track_caller]
    fn check(&self, cases: &[(&str, &str, &[&str])]) {
        let probe = |(index, (path, keys, _)): (usize, &(&str, &str, &[&str]))| {
            let url = match path.strip_prefix("tls/") {
                Some(path) => format!("'https://localhost:{}/{path}', ca: '{}'", self.tls, self.ca),
                None => format!("'http://127.0.0.1:{}/{path}'", self.plain),
            };
            format!("      - {{probe: http, title: '{index}', url: {url}, {keys}}}\n")
        };
        let probes: String = cases.iter().enumerate().map(probe).collect();
        let (_, runs) = once(&format!("groups:\n  - probes:\n{probes}"));
        assert_eq!(runs.len(), cases.len());
        let mut wrong = Vec::new();
        for (run, (path, keys, expected)) in runs.iter().zip(cases) {
            let found = mismatches(run);
            let outcome = if expected.is_empty() { "passed" } else { "failed" };
            if found != *expected || run["outcome"] != outcome {
                let failure = &run["failure"]["message"];
                wrong.push(format!("/{path} {keys}: {} {failure}\n{found:#?}", run["outcome"]));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}

/// `SUBJECT: expected WHAT, got WHAT`.
fn mismatches(run: &Value) -> Vec<String> {
    let list = run["failure"]["mismatches"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().expect("it is text").to_owned();
    list.iter()
        .map(|it| format!("{}: expected {}, got {}", text(&it["subject"]), text(&it["expected"]), text(&it["actual"])))
        .collect()
}

#[test]
fn a_page_that_is_not_json_fails_for_what_else_is_wrong_with_it() {
    let (_nginx, port) = Nginx::plain("checks-502", "location / { return 502 '<html>'; }");
    let keys = format!("url: http://127.0.0.1:{port}/\nset_keys: {{a: $.a}}\nassertions: {{a: 1}}\n");
    let run = probe(&format!("{keys}checks: {{status: 2xx}}"));
    assert_eq!(run["failure"]["mismatches"][0]["actual"], "502", "{run:#}");
    let run = probe(&format!("{keys}expected: 502\nchecks: {{size: 6}}"));
    assert_eq!(run["failure"]["reason"], "json", "{run:#}");
}

#[test]
fn statuses_are_numbers_classes_lists_and_ranges() {
    Shop::open("statuses").check(&[
        ("", "checks: {status: 200}", &[]),
        ("gone", "checks: {status: 410}", &[]),
        ("gone", "checks: {status: 4xx}", &[]),
        ("gone", "checks: {status: [2xx, 410]}", &[]),
        ("gone", "checks: {status: {at_least: 400, less: 500}}", &[]),
        ("gone", "checks: {status: {in: [404, 410], not_equal: 5xx}}", &[]),
        ("gone", "checks: {status: 2xx}", &["status: expected 2xx, got 410"]),
        ("gone", "checks: {status: [200, 3xx]}", &["status: expected 200 or 3xx, got 410"]),
        ("gone", "checks: {status: {less: 400}}", &["status: expected less than 400, got 410"]),
        ("gone", "checks: {status: {not: [404, 410]}}", &["status: expected none of 404, 410, got 410"]),
        // Where checks say nothing of it, it is as it always was; what is said twice holds twice.
        ("gone", "checks: {size: {less: 100}}", &["status: expected 200, got 410"]),
        ("gone", "expected: 410, checks: {status: 2xx}", &["status: expected 2xx, got 410"]),
        ("gone", "expected: 2xx, checks: {status: 410}", &["status: expected 2xx, got 410"]),
        ("created", "method: POST, checks: {$: {type: map}}", &[]),
    ]);
}

#[test]
fn headers_bodies_and_sizes() {
    Shop::open("bodies").check(&[
        ("", "checks: {header content-type: {starts_with: application/json}}", &[]),
        ("", "checks: {header X-Count: 17, header x-count: {less: 18}, header x-flag: true}", &[]),
        ("", "checks: {header x-many: 'a, b', header x-none: {exists: false}}", &[]),
        ("", "checks: {header x-count: {less: 17}}", &["header x-count: expected less than 17, got \"17\""]),
        ("", "checks: {header x-none: {exists: true}}", &["header x-none: expected to exist, got no such header"]),
        ("", "checks: {header x-many: {not: {exists: true}}}", &["header x-many: expected not to exist, got \"a, b\""]),
        ("text", "checks: {body: Welcome to the shop}", &[]),
        ("text", "checks: {body: {contains: Welcome, ends_with: shop, not: {matches: '(?i)error'}}}", &[]),
        ("text", "checks: {body: {matches: '^W\\w+ to'}, size: 19}", &[]),
        ("empty", "checks: {body: {is_empty: true}, size: 0}", &[]),
        (
            "text",
            "checks: {body: {contains: Error}}",
            &["body: expected to contain \"Error\", got \"Welcome to the shop\""],
        ),
        ("text", "checks: {size: {greater: 19}}", &["size: expected greater than 19 bytes, got 19 bytes"]),
        ("long", "checks: {body: a}", &[&format!("body: expected \"a\", got \"{}…\" (300 bytes)", "x".repeat(200))]),
    ]);
}

#[test]
fn json_by_jsonpath() {
    Shop::open("json").check(&[
        ("", "checks: {$.state: up, '$.items[0].price': 9.5, '$.items[-1].id': 2}", &[]),
        ("", "checks: {'$.items[*].id': [1, 2], '$.items[?@.price > 10].id': 2, $..price: {contains: 13}}", &[]),
        (
            "",
            "checks: {$.n: 5.0, $.big: 9007199254740993, $.text: '10', $.nothing: null, $.no: false, $.name: ''}",
            &[],
        ),
        ("", "checks: {$.none: {is_empty: true}, $.items: {type: list, is_empty: false}, $.x: {exists: false}}", &[]),
        ("", "checks: {$.state: {any: [down, {starts_with: u}]}, $.n: {all: [{less: 6}, {not: 4}]}}", &[]),
        ("", "checks: {$.nothing: {exists: true, type: 'null'}, $.items: {contains: {id: 2, price: 13}}}", &[]),
        ("", "checks: {$.state: down}", &["$.state: expected \"down\", got \"up\""]),
        ("", "checks: {$.text: 10}", &["$.text: expected 10, got \"10\""]),
        ("", "checks: {$.text: {less: 11}}", &["$.text: expected less than 11, got \"10\""]),
        ("", "checks: {$.big: 9007199254740992}", &["$.big: expected 9007199254740992, got 9007199254740993"]),
        ("", "checks: {$.no: true}", &["$.no: expected true, got false"]),
        ("", "checks: {$.x: {not_equal: 1}}", &["$.x: expected not 1, got no match"]),
        ("", "checks: {$.n: {in: [1, 2]}}", &["$.n: expected one of 1, 2, got 5"]),
        ("", "checks: {'$.items[*].price': {contains: 1}}", &["$.items[*].price: expected to contain 1, got [9.5,13]"]),
    ]);
}

#[test]
fn all_that_does_not_hold_is_listed_in_its_order() {
    let shop = Shop::open("all");
    let url = format!("url: http://127.0.0.1:{}/\n", shop.plain);
    let run = probe(
        &(url.clone()
            + "set_keys: {n: $.n, x: $.x}
assertions: {n: {less: 5, not_equal: 5, greater: 1}, x: 1}
checks: {$.state: down, status: 3xx, header x-count: 18, body: {contains: Error, starts_with: '{'}, size: 1}"),
    );
    assert_eq!(run["failure"]["reason"], "assertion", "{run:#}");
    assert_eq!(run["failure"]["message"], "8 assertions do not hold");
    let found = mismatches(&run);
    let starts: Vec<_> = found.iter().map(|it| it.split(", got").next().unwrap_or_default()).collect();
    let expected = [
        "$.state: expected \"down\"",
        "status: expected 3xx",
        "header x-count: expected 18",
        "body: expected to contain \"Error\"",
        "size: expected 1 byte",
        "n ($.n): expected less than 5",
        "n ($.n): expected not 5",
        "x ($.x): expected 1",
    ];
    assert_eq!(starts, expected);
    assert_eq!((&run["failure"]["expected"], &run["failure"]["actual"]), (&json!("\"down\""), &json!("\"up\"")));
    assert_eq!(spans(&run, "json.assert")[0]["status"], "internal_error");

    let one = probe(&(url + "checks: {$.state: down}"));
    assert_eq!(
        one["failure"]["message"], "$.state: expected \"down\", got \"up\"",
        "one is told in the message itself"
    );
}

#[test]
fn what_is_not_json() {
    let shop = Shop::open("no-json");
    let run =
        |path: &str, checks: &str| probe(&format!("url: http://127.0.0.1:{}/{path}\nchecks: {checks}", shop.plain));
    let alone = run("text", "{$.a: 1, $.b: 2}");
    assert_eq!(alone["failure"]["reason"], "json", "{alone:#}");
    let message = alone["failure"]["message"].as_str().expect("a failure has a message");
    assert!(message.starts_with("the body is not JSON: "), "{message}");
    // Beside what else is wrong it is one thing of several.
    let gone = run("gone", "{status: 200, $.a: 1, $.b: {exists: false}}");
    assert_eq!(gone["failure"]["reason"], "assertion", "{gone:#}");
    let found = mismatches(&gone);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0], "status: expected 200, got 410");
    assert!(found[1].starts_with("$.a: expected JSON, got the body is not JSON: "), "{found:#?}");
}

#[test]
fn where_it_leads_and_how_it_came() {
    let shop = Shop::open("ways");
    let (new, text) =
        (format!("http://127.0.0.1:{}/new?x=1", shop.plain), format!("http://127.0.0.1:{}/text", shop.plain));
    let address = format!("127.0.0.1:{}", shop.tls);
    let keys = |checks: &str| checks.replace("NEW", &new).replace("TEXT", &text).replace("ADDRESS", &address);
    shop.check(&[
        ("moved", &keys("redirects: 0, checks: {status: 3xx, redirect: 'NEW'}"), &[]),
        ("moved", &keys("redirects: 0, checks: {status: 301, redirect: {ends_with: '/new?x=1'}}"), &[]),
        (
            "moved",
            &keys("redirects: 0, expected: 301, checks: {redirect: 'TEXT'}"),
            &[&format!("redirect: expected \"{text}\", got \"{new}\"")],
        ),
        ("hop", &keys("checks: {url: 'TEXT', redirect: {exists: false}}"), &[]),
        ("text", "checks: {redirect: {exists: true}}", &["redirect: expected to exist, got no redirect"]),
        ("text", "checks: {http version: 1.1, tls version: {exists: false}, certificate days: {exists: false}}", &[]),
        ("text", "checks: {tls version: 1.3}", &["tls version: expected 1.3, got no TLS"]),
        (
            "text",
            "checks: {certificate days: {at_least: 1}}",
            &["certificate days: expected at least 1 day, got no certificate"],
        ),
        ("tls/text", &keys("checks: {http version: 2, tls version: {at_least: 1.2}, remote address: 'ADDRESS'}"), &[]),
        ("tls/text", "checks: {remote address: {starts_with: '127.0.0.1:'}, http version: '2'}", &[]),
        ("tls/text", "checks: {tls version: 1.2}", &["tls version: expected 1.2, got \"1.3\""]),
        ("tls/text", "http_version: 1.1, checks: {http version: 2}", &["http version: expected 2, got \"1.1\""]),
    ]);
}

#[test]
fn certificates_have_days_left() {
    let shop = Shop::open("days");
    shop.check(&[("tls/", "checks: {certificate days: {greater: 20000}, certificate chain days: {greater: 14}}", &[])]);
    let keys = format!(
        "url: https://localhost:{}/\nca: {}\nchecks: {{certificate days: {{less: 30}}, certificate chain days: {{at_most: 1}}}}",
        shop.tls, shop.ca
    );
    let found = mismatches(&probe(&keys));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("certificate days: expected less than 30 days, got "), "{found:#?}");
    assert!(found[1].starts_with("certificate chain days: expected at most 1 day, got "), "{found:#?}");
    assert!(found.iter().all(|found| found.ends_with(" days")), "{found:#?}");
}

#[test]
fn times_are_of_the_whole_and_of_each_phase() {
    let port = slow::answer(std::time::Duration::from_millis(250), std::time::Duration::ZERO);
    let run = |checks: &str| probe(&format!("url: http://127.0.0.1:{port}/\nchecks: {checks}"));
    let quick = "time dns: {less: 0.2}, time connect: {less: 0.2}, time tls: {at_most: 0}, time send: {less: 0.2}, \
                 time receive: {less: 0.2}";
    let passed = run(&format!("{{time: {{greater: 0.25, less: 10}}, time wait: {{at_least: 0.2}}, {quick}}}"));
    assert_eq!(passed["outcome"], "passed", "{passed:#}");
    let found = mismatches(&run("{time: {less: 0.1}, time wait: {less: 0.1}}"));
    assert_eq!(found.len(), 2, "{found:#?}");
    for (found, subject) in found.iter().zip(["time", "time wait"]) {
        let start = format!("{subject}: expected less than 0.1 s, got 0.");
        assert!(found.starts_with(&start) && found.ends_with(" s"), "{found}");
    }
}

#[test]
fn assertions_have_the_originals_forms_and_the_operators() {
    Shop::open("forms").check(&[
        ("", "set_keys: {a: $.state, b: $.x}, assertions: {a: up, b: {exists: false}}", &[]),
        ("", "set_keys: {a: $.state}, assertions: {a: {exists: true}}", &[]),
        ("", "set_keys: {a: $.state}, assertions: {a: {exists: true, value: up}}", &[]),
        ("", "set_keys: {a: $.nothing}, assertions: {a: {}}", &[]),
        ("", "set_keys: {a: $.no, b: $.name}, assertions: {a: {value: false}, b: {value: ''}}", &[]),
        ("", "set_keys: {ids: '$.items[*].id'}, assertions: {ids: [1, 2]}", &[]),
        ("", "set_keys: {n: $.n}, assertions: {n: {at_least: 5, not: 6, type: integer}}", &[]),
        ("", "set_keys: {a: $.x}, assertions: {a: {}}", &["a ($.x): expected to exist, got no match"]),
        ("", "set_keys: {a: $.no}, assertions: {a: {value: true}}", &["a ($.no): expected true, got false"]),
        (
            "",
            "set_keys: {a: $.state}, assertions: {a: {exists: false}}",
            &["a ($.state): expected not to exist, got \"up\""],
        ),
        ("", "set_keys: {n: $.n}, assertions: {n: {greater: 5}}", &["n ($.n): expected greater than 5, got 5"]),
    ]);
}

#[test]
fn mistakes_are_found_before_any_run() {
    let found = problems(
        "groups:
  - probes:
      - probe: http
        url: http://h/
        set_keys: {a: $.a, b: 'a.b', c: '$.c[?@.x = 1]'}
        assertions: {a: {vale: 1}, d: 1, b: {exists: false, value: 1}}
        checks:
          stauts: 200
          status: 2x
          header: 1
          body: 5
          $.a: {eqals: 1}
          $.b: {matches: '('}
          $.c: {less: '9'}
          $.d[: 1
          time: 0.8
          size: {contains: '5'}
          certificate days: soon
          redirect: {less: 5}
          $.e: {type: string}
          $.f: {}
          $.g: {exists: false, equals: 1}
          stdout: x
",
    );
    let expected = [
        "5:31 `a.b` is not a JSONPath such as `$.status`: syntax error at `a.b`",
        "5:41 `$.c[?@.x = 1]` is not a JSONPath such as `$.status`: syntax error at `= 1]`",
        "6:32 unknown operator `vale`, did you mean `value`?",
    ];
    assert_eq!(found[..3], expected, "{found:#?}");
    let rest: Vec<_> = found[3..].iter().map(String::as_str).collect();
    let expected = [
        "6:39 no key `d` is set: give it a JSONPath under `set_keys`",
        "6:42 `exists: false` cannot be combined with other operators",
        "8:19 unknown subject `stauts`, did you mean `status`?",
        "9:19 \"2x\" is not a status: expected a number such as 200, a class such as `2xx`, or a list of them",
        "10:19 expected a header's name, as in `header content-type`",
        "11:17 expected text, got 5: put it in quotes",
        "12:24 unknown operator `eqals`, did you mean `equals`?",
        "13:26 not a regular expression: unclosed group",
        "14:23 expected a number, got text: leave out the quotes",
        "15:17 `$.d[` is not a JSONPath such as `$.status`: it ends too early",
        "16:17 a time never equals a number exactly: expected a bound, such as {less: 1}",
        "17:28 `contains` never holds for a number",
        "18:29 expected a number, got text",
        "19:28 text cannot be compared with a number",
        "20:23 expected `text`, `number`, `integer`, `boolean`, `list`, `map` or `null`",
        "21:11 expected at least one operator, such as `equals`",
        "22:11 `exists: false` cannot be combined with other operators",
    ];
    assert_eq!(rest[..rest.len() - 1], expected, "{found:#?}");
    let last = rest.last().expect("there are some");
    assert!(last.starts_with("23:19 unknown subject `stdout`, expected one of `status`, "), "{last}");
}

#[test]
fn mistakes_in_what_ssh_is_told() {
    let found = problems(
        "groups:
  - probes:
      - {probe: ssh, host: h, checks: {status: 200}}
      - {probe: ssh, host: h, checks: {exit-code: 0, time: {less: 1}}}
      - {probe: ssh, host: h, title: a, checks: {exit status: 0}}
      - {probe: ssh, host: h, title: b, command: uptime}
      - {probe: ssh, host: h, title: c, auth: agent, command: true}
      - {probe: ssh, host: h, title: d, auth: password, username: u, passphrase: x}
      - {probe: ssh, host: h, title: e, auth: none, username: u, password: x}
      - {probe: ssh, host: h, title: f, password: x}
      - {probe: ssh, host: h, title: g, host_key: 5, timeout: 0}
      - {probe: ssh, host: h, title: h, port: 0, timeout: 0}
      - {probe: ssh, host: a b, title: i, timeout: 0}
",
    );
    let expected = [
        "3:48 unknown subject `status`, expected one of `exit status`, `stdout`, `stdout size`, `stderr`, \
         `stderr size`, `time`, `server version`, `remote address` or a JSONPath such as `$.status`",
        "4:51 unknown subject `exit-code`, did you mean `exit status`?",
        "5:41 without `command` there is no exit status and no output to check",
        "6:50 a command needs a login: give `identity` or `password`, or say `auth: agent`, or `auth: none` \
         where anyone is let in",
        "7:9 the key `username` is missing: the user to log in as",
        "7:47 there is no agent: SSH_AUTH_SOCK is not set",
        "7:63 expected text, got true: put it in quotes",
        "8:47 `auth: password` needs a password: `password: ${env:NAME}`",
        "8:82 a passphrase needs a key: name its file under `identity`",
        "9:47 `auth: none` does not log in, and credentials are given: leave out one of them",
        "10:9 the key `username` is missing: the user to log in as",
        "11:51 expected text or a list, got 5",
        "11:63 expected a number from 0.001 to 3600, got 0",
        "12:47 expected a whole number from 1 to 65535, got 0",
        "12:59 expected a number from 0.001 to 3600, got 0",
        "13:28 `a b` is no host: expected a name or an address",
        "13:52 expected a number from 0.001 to 3600, got 0",
    ];
    assert_eq!(found, expected, "{found:#?}");
}
