//! Errors that `check` finds in checks and assertions.

use crate::support::find_problems;

#[test]
fn keys_of_every_probe_are_suggested() {
    let found = find_problems("groups: [{probes: [{probe: http, url: 'http://h/', interval: 30, colour: red}]}]");
    assert_eq!(found.len(), 2, "{found:#?}");
    let unknown = |key: &str| found.iter().find(|message| message.contains(&format!("unknown key `{key}`")));
    let interval = unknown("interval").expect("the key is an error");
    assert!(interval.ends_with("unknown key `interval`, did you mean `every`?"), "{interval}");
    let colour = unknown("colour").expect("the key is an error");
    assert!(
        colour.contains("`url`") && colour.contains("; every probe also has `probe`, `title`, `every`"),
        "{colour}"
    );
}

#[test]
fn names_that_other_programs_have_for_settings_are_suggested() {
    let names = [
        ("insecure: true", "verify_tls: false"),
        ("follow_redirects: false", "redirects"),
        ("expected_status: 200", "expected"),
        ("json: {}", "body"),
        ("frequency: 30", "every"),
        ("verify_ssl: false", "verify_tls"),
        ("auth: {username: u, password: p}", "auth: {basic: {username: …, password: …}}"),
        ("auth: {user: u}", "auth: {basic: {username: …, password: …}}"),
        ("auth: {token: t}", "auth: {bearer: …}"),
        ("auth: {basic: {user: u, password: p}}", "username"),
    ];
    let probes: String =
        names.iter().map(|(key, _)| format!("  - {{probe: http, url: 'http://h/', {key}}}\n")).collect();
    let found = find_problems(&format!("groups:\n- probes:\n{probes}  - {{probe: ssh, host: h, user: u}}\n"));
    for (index, meant) in names.iter().map(|(_, meant)| *meant).chain(["username"]).enumerate() {
        let line = format!("{}:", index + 3);
        let of_line: Vec<_> = found.iter().filter(|message| message.starts_with(&line)).collect();
        assert!(of_line.iter().any(|message| message.ends_with(&format!(", did you mean `{meant}`?"))), "{of_line:#?}");
    }
}

#[test]
fn requests_and_values_that_cannot_be_meant_are_found() {
    let found = find_problems(
        "groups:
  - probes:
      - probe: http
        url: http://h/
        method: get
        headers: {Content-Type: application/x-www-form-urlencoded}
        body: {a: 1}
        checks:
          http version: HTTP/2
          tls version: {in: [1.2, TLSv1.3]}
          remote address: 127.0.0.1
          redirect: /login
          url: {not_equal: h}
      - probe: chain
        title: t
        steps:
          - {url: 'http://h/', method: Put, checks: {http version: 3}}
      - {probe: ssh, host: h, checks: {server version: OpenSSH_9.2}}
",
    );
    let expected = [
        "5:17 methods are case-sensitive, did you mean `GET`?",
        "6:33 a map or a list is sent as JSON, which is no form: write the body as text, such as `a=1&b=2`, or leave out \
         this header",
        "9:25 never the version of HTTP: that is 1.0, 1.1 or 2",
        "10:25 never the version of TLS: that is 1.2 or 1.3",
        "11:27 never an address with its port, such as `192.0.2.7:443`: for any port write `{starts_with: \
         \"192.0.2.7:\"}`",
        "12:21 never an absolute URL, such as `https://shop.example/login`: for a part of it write \
         `{ends_with: /login}`",
        "13:28 never an absolute URL, such as `https://shop.example/login`: for a part of it write \
         `{ends_with: /login}`",
        "17:40 methods are case-sensitive, did you mean `PUT`?",
        "17:68 never the version of HTTP: that is 1.0, 1.1 or 2",
        "18:56 never a whole identification, such as `SSH-2.0-OpenSSH_9.2p1`: for a part of it write \
         `{contains: OpenSSH_9}`",
    ];
    assert_eq!(found, expected, "{found:#?}");
}

#[test]
fn times_can_have_units_wherever_they_are_seconds() {
    // A timeout that exceeds the deadline or the interval has a warning.
    let probes = "limits: {deadline: 1h}
groups:
  - defaults: {every: 1h}
    probes:
      - {probe: http, url: 'http://h/', timeout: TIME, checks: {time: {less: TIME}, time wait: {not: {at_most: TIME}}}}
      - {probe: chain, title: t, steps: [{url: 'http://h/', timeout: TIME, checks: {time tls: {any: [{less: TIME}]}}}]}
      - {probe: ssh, host: h, timeout: TIME, checks: {time: {less: TIME}}}
";
    for time in ["5", "0.5", "500ms", "1s", "1.5 m", "1h", "'5'"] {
        assert_eq!(find_problems(&probes.replace("TIME", time)), [""; 0], "{time}");
    }
    let found = find_problems(&probes.replace("TIME", "5x"));
    let count = |message: &str| found.iter().filter(|found| found.ends_with(message)).count();
    assert_eq!(count("expected a time such as `5s`, or a number of seconds"), 3, "{found:#?}");
    assert_eq!(count("expected a number, or text with a unit such as `500ms`"), 4, "{found:#?}");
    let found = find_problems(&probes.replace("timeout: TIME", "timeout: 2h").replace("TIME", "1s"));
    let wrong = "expected a time such as `5s`, or seconds from 0.001 to 3600, got 7200";
    assert!(found.iter().all(|found| found.ends_with(wrong)), "{found:#?}");
    assert_eq!(found.len(), 3);
    let days = "groups: [{probes: [{probe: http, url: 'https://h/', checks: {certificate days: {greater: 14d}}}]}]";
    assert_eq!(find_problems(days), [""; 0]);
}

#[test]
fn mistakes_are_found_before_any_run() {
    let found = find_problems(
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
    let last = rest.last().expect("there are errors left");
    assert!(last.starts_with("23:19 unknown subject `stdout`, expected one of `status`, "), "{last}");
}
