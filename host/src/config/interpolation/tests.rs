//! Tests for references, and for the messages about those that cannot be resolved.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use secrecy::ExposeSecret;
use serde_json::json;

use super::*;

/// The result of resolving a value.
struct Outcome {
    value: Value,
    resolved: Resolved,
    errors: Vec<Diagnostic>,
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

fn resolve_in(directory: &Path, file: Option<&Path>, mut value: Value) -> Outcome {
    let (mut errors, mut warnings) = (Diagnostics::default(), Diagnostics::default());
    let file = |_: &str| file.map(Path::to_owned);
    let env = InterpolationEnv { directory, environment: &environment, file: &file };
    let resolved = resolve(&mut value, &env, &mut errors, &mut warnings);
    Outcome { value, resolved, errors: errors.into_vec(), warnings: warnings.into_vec() }
}

fn resolve_value(value: Value) -> Outcome {
    resolve_in(Path::new("."), None, value)
}

impl Outcome {
    fn secrets(&self) -> Vec<&str> {
        self.resolved.secrets.iter().map(ExposeSecret::expose_secret).collect()
    }

    fn messages(diagnostics: &[Diagnostic]) -> Vec<(&str, &str)> {
        diagnostics.iter().map(|found| (found.pointer().unwrap_or_default(), found.message.as_str())).collect()
    }
}

#[track_caller]
fn check(text: &str, expected: Result<&str, &str>) {
    let outcome = resolve_value(json!({ "a": text }));
    match (expected, Outcome::messages(&outcome.errors).as_slice()) {
        (Ok(expected), []) => assert_eq!(outcome.value["a"], expected),
        (Err(expected), [("/a", message)]) => {
            assert_eq!(*message, expected);
            assert_eq!(outcome.value["a"], text);
            assert!(outcome.resolved.unresolved.contains("/a"));
        }
        (_, messages) => panic!("{text}: {:?}, {messages:?}", outcome.value),
    }
}

#[test]
fn references_are_replaced() {
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
fn references_with_mistakes_are_errors() {
    const ADVICE: &str = "`${env:NAME}` or `${file:PATH}`, or `$${` for a literal `${`";
    let none = |shown: &str| format!("`{shown}` is no reference: {ADVICE}");
    let meant = |name: &str| format!("`${{{name}}}` is no reference, did you mean `${{env:{name}}}`? {ADVICE}");
    check("${foo}", Err(&meant("foo")));
    check("pass${word more}", Err(&none("${…}")));
    check("${}", Err(&none("${…}")));
    check("${ENV:TOKEN}", Err(&none("${…}")));
    check("a ${env:TOKEN", Err(&format!("a `${{` without its `}}`: write {ADVICE}")));
    let name = "`${env:…}` needs the name of a variable, of letters, digits and `_`; a default comes after `:-`";
    for wrong in ["${env:}", "${env:1A}", "${env:A B}", "${env:A-default}", "${env: A}", "${env:Ä}"] {
        check(wrong, Err(name));
    }
    check("${file: }", Err("`${file:…}` needs the path of a file"));
    let nested = "a reference cannot contain another: its default is literal text";
    check("${env:A:-${env:TOKEN}}", Err(nested));
    let missing = "the environment has no `NOT`: set it, or give a default with `${env:NOT:-…}`";
    check("${env:TOKEN} ${env:NOT}", Err(missing));
    let missing = "no file `gone`, as seen from the configuration's directory: write it, or give a default with \
                   `${file:…:-…}`";
    check("${file:gone}", Err(missing));
    check("${file:.:-x}", Err("`.` is not a file: name one that holds a text"));
    let outcome = resolve_value(json!({ "password": "pa${ss}word" }));
    assert_eq!(outcome.errors[0].message, none("${…}"));
    let outcome = resolve_value(json!({ "password": "${OPS_PASSWORD}" }));
    assert_eq!(outcome.errors[0].message, meant("OPS_PASSWORD"));
}

#[test]
fn only_values_are_replaced_not_keys() {
    let outcome = resolve_value(json!({
        "${env:TOKEN}": [1, true, null, "${env:PIN}", { "b/c": "${env:PIN} ${env:TOKEN:-x}" }],
    }));
    let expected = json!({ "${env:TOKEN}": [1, true, null, "12", { "b/c": "12 s3cret-token" }] });
    assert_eq!(outcome.value, expected);
    assert_eq!(outcome.resolved.whole_values, BTreeSet::from(["/${env:TOKEN}/3".to_owned()]));
    // Each secret is collected once, and the short one also with the text around it.
    let secrets = ["12", "s3cret-token", "12 s3cret-token"];
    assert_eq!(outcome.secrets(), secrets);
    let [(_, warning)] = Outcome::messages(&outcome.warnings)[..] else { panic!("{:?}", outcome.warnings) };
    assert!(warning.starts_with("`${env:PIN}` stands for less than 4 characters"), "{warning}");
}

#[test]
fn empty_values_are_warned_of() {
    let outcome = resolve_value(json!(["${env:EMPTY}", "${env:EMPTY}", "${env:EMPTY:-}"]));
    let messages = "`${env:EMPTY}` is replaced with nothing: the variable or file is empty";
    assert_eq!(Outcome::messages(&outcome.warnings), [("/0", messages)]);
}

#[test]
fn variables_of_a_shell_are_warned_of_where_secrets_belong() {
    let outcome = resolve_value(json!({
        "password": "$OPS_PASSWORD", "bearer": "$$x", "token": "$1", "secret": "a$B", "url": "$SHOP_URL",
        "pin": "$hunter2", "apikey": "$TOKEN", "command": "$HOME/bin/x", "body": "$x",
        "headers": { "authorization": "Bearer $TOKEN" },
    }));
    let message =
        |name: &str| format!("a `$` and a name are taken as they are written: `${{env:{name}}}` stands for a variable");
    let expected = [
        ("/password", message("OPS_PASSWORD")),
        ("/url", message("SHOP_URL")),
        // A secret may begin with `$`: it is not shown unless it looks like the name of a variable and nothing else.
        ("/pin", message("NAME")),
        ("/apikey", message("TOKEN")),
        ("/headers/authorization", message("TOKEN")),
    ];
    let expected: Vec<_> = expected.iter().map(|(pointer, message)| (*pointer, message.as_str())).collect();
    assert_eq!(Outcome::messages(&outcome.warnings), expected);
}

#[test]
fn public_values_are_no_secrets() {
    let probe = json!({
        "every": "${env:PIN}", "limits": { "memory": "${env:PIN}" }, "title": "${env:PIN}", "tags": { "every": "${env:PIN}" },
        "url": "${env:TOKEN}",
    });
    let outcome = resolve_value(json!({
        "sentry": { "environment": "${env:TOKEN}", "dsn": "https://${env:NOT:-a}:b@c/1" },
        "groups": [{ "probes": [probe] }],
    }));
    assert_eq!(outcome.secrets(), ["s3cret-token"]);
    assert!(outcome.warnings.is_empty(), "{:?}", outcome.warnings);
    assert!(outcome.resolved.whole_values.contains("/groups/0/probes/0/every"));
    assert_eq!(outcome.value["groups"][0]["probes"][0]["tags"]["every"], "12", "a tag stays text");
}

#[test]
fn keys_with_the_name_of_a_secret_have_secrets() {
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
        let outcome = resolve_in(directory.path(), Some(&file), literal.clone());
        assert_eq!(outcome.secrets(), expected);
        let messages = Outcome::messages(&outcome.warnings);
        assert_eq!(!messages.is_empty(), warned, "{messages:?}");
        let messages = messages.first().map(|(pointer, text)| (*pointer, text.split(": ").next().unwrap()));
        let text = "a secret in a file that is readable by everyone (mode 644), and 4 more below";
        assert_eq!(messages, warned.then_some(("/password", text)));
    }
}

#[test]
fn the_spelling_of_the_name_of_a_secret_does_not_matter() {
    let literal = json!({
        "body": { "apiKey": "camel", "passwd": "short-for-it", "Client-Secret": "kebab", "keyboard": "qwerty" },
        "init_keys": { "pin": 98_761_234, "pinned": 7_654_321 },
        "headers": { "X-Auth-Token": "header" },
    });
    let outcome = resolve_value(literal);
    let mut secrets = outcome.secrets();
    secrets.sort_unstable();
    assert_eq!(secrets, ["98761234", "camel", "header", "kebab", "short-for-it"]);
}

#[test]
fn files_are_read_and_checked() {
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
    let outcome = resolve_in(directory.path(), None, value);
    assert_eq!(outcome.value, json!(["s3cret", "<one\ntwo\n>", "s3cret", "one\ntwo\n", "none"]));
    let messages = Outcome::messages(&outcome.warnings);
    assert!(
        messages.iter().all(|(_, text)| text.ends_with("is readable by everyone (mode 604): `chmod o-r` it")),
        "{messages:?}"
    );
    assert_eq!(messages.iter().map(|(pointer, _)| *pointer).collect::<Vec<_>>(), ["/1", "/3"]);

    let outcome = resolve_in(directory.path(), None, json!(["${file:binary}", "${file:large:-x}"]));
    let messages = Outcome::messages(&outcome.errors);
    let binary = ("/0", "`binary` is not UTF-8 text: save it as UTF-8");
    let large = ("/1", "`large` is larger than 64 KiB: name a file with one secret, such as a key");
    assert_eq!(messages, [binary, large]);
}

#[test]
fn replacements_are_limited() {
    let text = "${env:LONG}".repeat(40);
    let outcome = resolve_value(json!([text, text, "${env:TOKEN}", "no reference"]));
    let messages = Outcome::messages(&outcome.errors);
    assert_eq!(messages, [("/1", "too much text: the values of all references together may have 64 MiB at most")]);
    assert_eq!(outcome.resolved.unresolved, ["/1", "/2"].map(str::to_owned).into());
    assert_eq!(outcome.resolved.secrets.len(), 1);
}
