//! `checks` and `assertions`: conditions on a response, and the messages when they do not hold.

mod ineffective;
mod mistakes;

use serde_json::{Value, json};

use crate::support::certificates::Certificates;
use crate::support::nginx::Nginx;
use crate::support::{empty_folder, free_port, run_http_probe, run_once, spans, tcp_server};

const SHOP: &str = r#"{"state": "up", "items": [{"id": 1, "price": 9.5}, {"id": 2, "price": 13}], "none": [], "n": 5,
    "big": 9007199254740993, "nothing": null, "text": "10", "no": false, "name": ""}"#;

/// nginx with and without TLS, with the pages of a shop.
struct Shop {
    _nginx: Nginx,
    plain: u16,
    tls: u16,
    ca: String,
}

impl Shop {
    fn start(name: &str) -> Self {
        let certificates = Certificates::new(&empty_folder(&format!("checks-{name}")));
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

    /// Runs a probe for each case: a path (`tls/` goes over TLS), keys, and the expected mismatches.
    #[track_caller]
    fn check_cases(&self, cases: &[(&str, &str, &[&str])]) {
        let probe = |(index, (path, keys, _)): (usize, &(&str, &str, &[&str]))| {
            let url = match path.strip_prefix("tls/") {
                Some(path) => format!("'https://localhost:{}/{path}', ca: '{}'", self.tls, self.ca),
                None => format!("'http://127.0.0.1:{}/{path}'", self.plain),
            };
            format!("      - {{probe: http, title: '{index}', url: {url}, {keys}}}\n")
        };
        let probes: String = cases.iter().enumerate().map(probe).collect();
        let (_, runs) = run_once(&format!("groups:\n  - probes:\n{probes}"));
        assert_eq!(runs.len(), cases.len());
        let mut unexpected = Vec::new();
        for (run, (path, keys, expected)) in runs.iter().zip(cases) {
            let found = mismatches(run);
            let outcome = if expected.is_empty() { "passed" } else { "failed" };
            if found != *expected || run["outcome"] != outcome {
                let failure = &run["failure"]["message"];
                unexpected.push(format!("/{path} {keys}: {} {failure}\n{found:#?}", run["outcome"]));
            }
        }
        assert!(unexpected.is_empty(), "{}", unexpected.join("\n"));
    }
}

/// Returns the mismatches of a run, each as `SUBJECT: expected EXPECTED, got ACTUAL`.
fn mismatches(run: &Value) -> Vec<String> {
    let list = run["failure"]["mismatches"].as_array().map(Vec::as_slice).unwrap_or_default();
    let text = |value: &Value| value.as_str().expect("a mismatch consists of texts").to_owned();
    list.iter()
        .map(|mismatch| {
            format!(
                "{}: expected {}, got {}",
                text(&mismatch["subject"]),
                text(&mismatch["expected"]),
                text(&mismatch["actual"])
            )
        })
        .collect()
}

#[test]
fn a_page_that_is_not_json_fails_with_its_other_mismatches() {
    let (_nginx, port) = Nginx::start_plain("checks-502", "location / { return 502 '<html>'; }");
    let keys = format!("url: http://127.0.0.1:{port}/\nset_keys: {{a: $.a}}\nassertions: {{a: 1}}\n");
    let run = run_http_probe(&format!("{keys}checks: {{status: 2xx}}"));
    assert_eq!(run["failure"]["mismatches"][0]["actual"], "502", "{run:#}");
    let run = run_http_probe(&format!("{keys}expected: 502\nchecks: {{size: 6}}"));
    assert_eq!(run["failure"]["reason"], "json", "{run:#}");
}

#[test]
fn statuses_are_numbers_classes_lists_and_ranges() {
    Shop::start("statuses").check_cases(&[
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
        // Without a check of the status, the default applies. With `expected` and a check, both must hold.
        ("gone", "checks: {size: {less: 100}}", &["status: expected 200, got 410"]),
        ("gone", "expected: 410, checks: {status: 2xx}", &["status: expected 2xx, got 410"]),
        ("gone", "expected: 2xx, checks: {status: 410}", &["status: expected 2xx, got 410"]),
        ("created", "method: POST, checks: {$: {type: map}}", &[]),
    ]);
}

#[test]
fn headers_bodies_and_sizes_are_checked() {
    Shop::start("bodies").check_cases(&[
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
fn json_values_are_checked_by_jsonpath() {
    Shop::start("json").check_cases(&[
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
fn all_mismatches_are_listed_in_order() {
    let shop = Shop::start("all");
    let url = format!("url: http://127.0.0.1:{}/\n", shop.plain);
    let run = run_http_probe(
        &(url.clone()
            + "set_keys: {n: $.n, x: $.x}
assertions: {n: {less: 5, not_equal: 5, greater: 1}, x: 1}
checks: {$.state: down, status: 3xx, header x-count: 18, body: {contains: Error, starts_with: '{'}, size: 1}"),
    );
    assert_eq!(run["failure"]["reason"], "assertion", "{run:#}");
    assert_eq!(run["failure"]["message"], "8 assertions do not hold");
    let found = mismatches(&run);
    let starts: Vec<_> = found.iter().map(|mismatch| mismatch.split(", got").next().unwrap_or_default()).collect();
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

    let one = run_http_probe(&(url + "checks: {$.state: down}"));
    assert_eq!(
        one["failure"]["message"], "$.state: expected \"down\", got \"up\"",
        "the message of a run with one mismatch is this mismatch"
    );
}

#[test]
fn a_body_that_is_not_json_fails_as_json_or_as_a_mismatch() {
    let shop = Shop::start("no-json");
    let run = |path: &str, checks: &str| {
        run_http_probe(&format!("url: http://127.0.0.1:{}/{path}\nchecks: {checks}", shop.plain))
    };
    let alone = run("text", "{$.a: 1, $.b: 2}");
    assert_eq!(alone["failure"]["reason"], "json", "{alone:#}");
    let message = alone["failure"]["message"].as_str().expect("a failure has a message");
    assert!(message.starts_with("the body is not JSON: "), "{message}");
    // If there are other mismatches, the invalid JSON is listed as one more.
    let gone = run("gone", "{status: 200, $.a: 1, $.b: {exists: false}}");
    assert_eq!(gone["failure"]["reason"], "assertion", "{gone:#}");
    let found = mismatches(&gone);
    assert_eq!(found.len(), 2, "{found:#?}");
    assert_eq!(found[0], "status: expected 200, got 410");
    assert!(found[1].starts_with("$.a: expected JSON, got the body is not JSON: "), "{found:#?}");
}

#[test]
fn redirects_urls_versions_and_addresses_are_checked() {
    let shop = Shop::start("ways");
    let (new, text) =
        (format!("http://127.0.0.1:{}/new?x=1", shop.plain), format!("http://127.0.0.1:{}/text", shop.plain));
    let address = format!("127.0.0.1:{}", shop.tls);
    let keys = |checks: &str| checks.replace("NEW", &new).replace("TEXT", &text).replace("ADDRESS", &address);
    shop.check_cases(&[
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
fn remaining_days_of_certificates_are_checked() {
    let shop = Shop::start("days");
    shop.check_cases(&[(
        "tls/",
        "checks: {certificate days: {greater: 20000}, certificate chain days: {greater: 14}}",
        &[],
    )]);
    let keys = format!(
        "url: https://localhost:{}/\nca: {}\nchecks: {{certificate days: {{less: 30}}, certificate chain days: {{at_most: 1}}}}",
        shop.tls, shop.ca
    );
    let found = mismatches(&run_http_probe(&keys));
    assert_eq!(found.len(), 2, "{found:#?}");
    assert!(found[0].starts_with("certificate days: expected less than 30 days, got "), "{found:#?}");
    assert!(found[1].starts_with("certificate chain days: expected at most 1 day, got "), "{found:#?}");
    assert!(found.iter().all(|found| found.ends_with(" days")), "{found:#?}");
}

#[test]
fn times_of_the_request_and_of_each_phase_are_checked() {
    let port = tcp_server::respond_slowly(std::time::Duration::from_millis(250), std::time::Duration::ZERO);
    let run = |checks: &str| run_http_probe(&format!("url: http://127.0.0.1:{port}/\nchecks: {checks}"));
    let quick = "time dns: {less: 0.2}, time connect: {less: 0.2}, time tls: {at_most: 0}, time send: {less: 0.2}, \
                 time receive: {less: 0.2}";
    let passed = run(&format!("{{time: {{greater: 0.25, less: 10}}, time wait: {{at_least: 0.2}}, {quick}}}"));
    assert_eq!(passed["outcome"], "passed", "{passed:#}");
    let passed = run("{time: {greater: 250ms, less: 1m}}");
    assert_eq!(passed["outcome"], "passed", "{passed:#}");
    let found = mismatches(&run("{time: {less: 100ms}, time wait: {less: 0.1}}"));
    assert_eq!(found.len(), 2, "{found:#?}");
    for (found, subject) in found.iter().zip(["time", "time wait"]) {
        let start = format!("{subject}: expected less than 0.1 s, got 0.");
        assert!(found.starts_with(&start) && found.ends_with(" s"), "{found}");
    }
}

#[test]
fn assertions_take_their_original_forms_and_all_operators() {
    Shop::start("forms").check_cases(&[
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
