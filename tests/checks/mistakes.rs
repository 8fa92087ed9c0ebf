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
