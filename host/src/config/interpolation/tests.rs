//! What references come to, and what is said of those that come to nothing.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use super::*;

/// What became of a tree, what was found, and what was said.
struct Resolved {
    value: Value,
    found: Found,
    problems: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

fn environment(name: &str) -> Option<String> {
    let value = match name {
        "TOKEN" => "s3cret-token",
        "PIN" => "12",
        "EMPTY" => "",
        "NESTED" => "${env:TOKEN}",
        "LONG" => return Some("x".repeat(1 << 20)),
        _ => return None,
    };
    Some(value.into())
}

fn resolved_in(directory: &Path, file: Option<&Path>, mut value: Value) -> Resolved {
    let (mut problems, mut warnings) = (Diagnostics::default(), Diagnostics::default());
    let around = InterpolationEnv { directory, environment: &environment, file };
    let found = resolve(&mut value, &around, &mut problems, &mut warnings);
    Resolved { value, found, problems: problems.into_vec(), warnings: warnings.into_vec() }
}

fn resolved(value: Value) -> Resolved {
    resolved_in(Path::new("."), None, value)
}

impl Resolved {
    fn secrets(&self) -> Vec<&str> {
        self.found.secrets.iter().map(String::as_str).collect()
    }

    fn said(problems: &[Diagnostic]) -> Vec<(&str, &str)> {
        problems.iter().map(|problem| (problem.pointer().unwrap_or_default(), problem.message.as_str())).collect()
    }
}

#[track_caller]
fn check(text: &str, expected: Result<&str, &str>) {
    let resolved = resolved(json!({ "a": text }));
    match (expected, Resolved::said(&resolved.problems).as_slice()) {
        (Ok(expected), []) => assert_eq!(resolved.value["a"], expected),
        (Err(expected), [("/a", message)]) => {
            assert_eq!(*message, expected);
            assert_eq!(resolved.value["a"], text);
            assert!(resolved.found.failed.contains("/a"));
        }
        (_, said) => panic!("{text}: {:?}, {said:?}", resolved.value),
    }
}

#[test]
fn texts() {
    for same in ["", "$", "$$", "$.path[*]", "a$", "{}", "}", "^x{2}$", "$env:TOKEN", "$(x)", "$$$"] {
        check(same, Ok(same));
    }
    check("${env:TOKEN}", Ok("s3cret-token"));
    check("a ${env:TOKEN}, ${env:PIN}${env:PIN}}", Ok("a s3cret-token, 1212}"));
    check("$${env:TOKEN} $${ $$${x}", Ok("${env:TOKEN} ${ $${x}"));
    check("${env:NOT:-a default: $.x, {\"b\": c}", Ok("a default: $.x, {\"b\": c"));
    check("<${env:NOT:-}${env:EMPTY:-empty}${env:TOKEN:-unused}>", Ok("<emptys3cret-token>"));
    check("<${env:EMPTY}>", Ok("<>"));
    check("${env:NESTED}", Ok("${env:TOKEN}"));
    check("${file:no-such-file:-x}", Ok("x"));
}

#[test]
fn mistakes() {
    const ADVICE: &str = "`${env:NAME}` or `${file:PATH}`, or `$${` for a literal `${`";
    let none = |shown: &str| format!("`{shown}` is no reference: {ADVICE}");
    check("${foo}", Err(&none("${foo}")));
    check("pass${word more}", Err(&none("${…}")));
    check("${}", Err(&none("${…}")));
    check("${ENV:TOKEN}", Err(&none("${…}")));
    check("a ${env:TOKEN", Err(&format!("a `${{` without its `}}`: write {ADVICE}")));
    let name = "`${env:…}` wants a variable's name, of letters, digits and `_`; a default comes after `:-`";
    for wrong in ["${env:}", "${env:1A}", "${env:A B}", "${env:A-default}", "${env: A}", "${env:Ä}"] {
        check(wrong, Err(name));
    }
    check("${file: }", Err("`${file:…}` wants the path of a file"));
    let nested = "a reference cannot hold another: its default is text, as it is";
    check("${env:A:-${env:TOKEN}}", Err(nested));
    let missing = "the environment has no `NOT`: set it, or give a default with `${env:NOT:-…}`";
    check("${env:TOKEN} ${env:NOT}", Err(missing));
    let missing = "no file `gone`, as seen from the configuration's directory: write it, or give a default with \
                   `${file:…:-…}`";
    check("${file:gone}", Err(missing));
    check("${file:.:-x}", Err("`.` is not a file: name one that holds a text"));
    let hidden = resolved(json!({ "password": "pa${ss}word" }));
    assert_eq!(hidden.problems[0].message, none("${…}"));
}

#[test]
fn only_texts_that_are_values() {
    let resolved = resolved(json!({
        "${env:TOKEN}": [1, true, null, "${env:PIN}", { "b/c": "${env:PIN} ${env:TOKEN:-x}" }],
    }));
    let expected = json!({ "${env:TOKEN}": [1, true, null, "12", { "b/c": "12 s3cret-token" }] });
    assert_eq!(resolved.value, expected);
    assert_eq!(resolved.found.whole, BTreeSet::from(["/${env:TOKEN}/3".to_owned()]));
    // Each once, and what is too short with its surroundings.
    let secrets = ["12", "s3cret-token", "12 s3cret-token"];
    assert_eq!(resolved.secrets(), secrets);
    let [(_, warning)] = Resolved::said(&resolved.warnings)[..] else { panic!("{:?}", resolved.warnings) };
    assert!(warning.starts_with("`${env:PIN}` stands for less than 4 characters"), "{warning}");
}

#[test]
fn what_is_empty_is_said() {
    let resolved = resolved(json!(["${env:EMPTY}", "${env:EMPTY}", "${env:EMPTY:-}"]));
    let said = "`${env:EMPTY}` stands for nothing: what it leads to is empty";
    assert_eq!(Resolved::said(&resolved.warnings), [("/0", said)]);
}

#[test]
fn what_is_there_to_be_told_is_no_secret() {
    let probe = json!({ "every": "${env:PIN}", "limits": { "memory": "${env:PIN}" }, "title": "${env:TOKEN}" });
    let resolved = resolved(json!({
        "sentry": { "environment": "${env:TOKEN}", "dsn": "https://${env:NOT:-a}:b@c/1" },
        "groups": [{ "probes": [probe] }],
    }));
    assert_eq!(resolved.secrets(), ["s3cret-token"]);
    assert!(resolved.warnings.is_empty(), "{:?}", resolved.warnings);
    assert!(resolved.found.whole.contains("/groups/0/probes/0/every"));
}

#[test]
fn secrets_by_their_keys() {
    let literal = json!({
        "password": "hunter2", "headers": { "Authorization": "Bearer x", "x-api-key": "${env:TOKEN}" },
        "query": { "token": 1, "secret": 123_456 }, "set_keys": { "token": "$.token" }, "bearer": ["$${a"],
        "proxy": "http://u:p%40ss@proxy:8080/x@y", "url": "see https://u:${env:TOKEN}@h and http://a:b", "token": "",
    });
    let expected = ["hunter2", "Bearer x", "s3cret-token", "123456", "${a", "p%40ss"];
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config.yaml");
    std::fs::write(&file, "").unwrap();
    for (mode, warned) in [(0o640, false), (0o644, true)] {
        std::fs::set_permissions(&file, Permissions::from_mode(mode)).unwrap();
        let resolved = resolved_in(directory.path(), Some(&file), literal.clone());
        assert_eq!(resolved.secrets(), expected);
        let said = Resolved::said(&resolved.warnings);
        assert_eq!(!said.is_empty(), warned, "{said:?}");
        let said = said.first().map(|(place, text)| (*place, text.split(": ").next().unwrap()));
        let text = "a secret in a file that is readable by everyone (mode 644), and 4 more below";
        assert_eq!(said, warned.then_some(("/password", text)));
    }
}

#[test]
fn names_of_secrets_however_they_are_written() {
    let literal = json!({
        "body": { "apiKey": "camel", "passwd": "short-for-it", "Client-Secret": "kebab", "keyboard": "qwerty" },
        "init_keys": { "pin": 98_761_234, "pinned": 7_654_321 },
        "headers": { "X-Auth-Token": "header" },
    });
    let resolved = resolved(literal);
    let mut secrets = resolved.secrets();
    secrets.sort_unstable();
    assert_eq!(secrets, ["98761234", "camel", "header", "kebab", "short-for-it"]);
}

#[test]
fn files() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8], mode: u32| {
        let path = directory.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    };
    write("token", b"s3cret\r\n", 0o600);
    write("lines", b"one\ntwo\n\n", 0o604);
    write("binary", b"\xff\xfe", 0o600);
    write("large", &vec![b'x'; (64 << 10) + 1], 0o600);
    let absolute = format!("${{file:{}}}", directory.path().join("token").display());
    let value = json!(["${file:token}", "<${file:./lines}>", absolute, "${file:lines}", "${file:token/x:-none}"]);
    let resolved = resolved_in(directory.path(), None, value);
    assert_eq!(resolved.value, json!(["s3cret", "<one\ntwo\n>", "s3cret", "one\ntwo\n", "none"]));
    let said = Resolved::said(&resolved.warnings);
    assert!(
        said.iter().all(|(_, text)| text.ends_with("is readable by everyone (mode 604): `chmod o-r` it")),
        "{said:?}"
    );
    assert_eq!(said.iter().map(|(place, _)| *place).collect::<Vec<_>>(), ["/1", "/3"]);

    let resolved = resolved_in(directory.path(), None, json!(["${file:binary}", "${file:large:-x}"]));
    let said = Resolved::said(&resolved.problems);
    let binary = ("/0", "`binary` is not UTF-8 text: save it as UTF-8");
    let large = ("/1", "`large` is larger than 64 KiB: what it is to stand for is a text of some lines");
    assert_eq!(said, [binary, large]);
}

#[test]
fn there_is_a_bound() {
    let text = "${env:LONG}".repeat(40);
    let resolved = resolved(json!([text, text, "${env:TOKEN}", "as it is"]));
    let said = Resolved::said(&resolved.problems);
    assert_eq!(said, [("/1", "too much text: references may come to 64 MiB, all together")]);
    assert_eq!(resolved.found.failed, ["/1", "/2"].map(str::to_owned).into());
    assert_eq!(resolved.found.secrets.len(), 1);
}
