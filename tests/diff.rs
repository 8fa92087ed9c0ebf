//! `sentrynet diff`: what a reload would do.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::guests::PASSES;
use crate::support::{CommandOutput, empty_folder, run_command, sentrynet};

/// Writes a file of this name to a new folder.
fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("the folder is writable");
    path
}

/// Compares two configurations.
fn diff(name: &str, old: &str, new: &str, arguments: &[&str]) -> CommandOutput {
    let folder = empty_folder(&format!("diff-{name}"));
    let (old, new) = (write(&folder, "old.yaml", old), write(&folder, "new.yaml", new));
    let mut program = sentrynet();
    program.env("SENTRYNET_LOG", "warn").env("TOKEN", "hunter2-of-the-environment");
    run_command(program.arg("diff").args([old, new]).args(arguments), "")
}

const OLD: &str = "\
sentry: {dsn: 'https://hunter2@sentry.example/1', tags: {region: eu}}
groups:
  - check_in: {slug: shop}
    probes:
      - {probe: http, title: Shop, url: 'http://shop.example/', auth: {bearer: '${env:TOKEN}'}}
      - {probe: http, title: Basket, url: 'http://shop.example/basket'}
      - {probe: http, url: 'http://shop.example/old'}
";

const NEW: &str = "\
sentry: {dsn: 'https://hunter3@sentry.example/1', tags: {region: eu}}
limits: {per_host: 7}
groups:
  - check_in: {slug: shop, margin: 9}
    probes:
      - {probe: http, url: 'http://shop.example/new', check_in: {slug: new}}
      - {probe: http, title: Basket, url: 'http://shop.example/basket'}
      - {probe: http, title: Other, url: 'http://other.example/'}
      - {probe: http, title: Shop, url: 'http://shop.example/', auth: {bearer: 'hunter2-literal'}, every: 60}
";

#[test]
fn a_diff_names_probes_and_keys_and_no_secrets() {
    let ended = diff("text", OLD, NEW, &[]);
    let expected = "\
+ GET http://shop.example/new (groups/0/probes/0)
~ Other (groups/0/probes/2): title, url
~ Shop (groups/0/probes/3): every, auth
monitor new: added
monitor shop: changed
sentry.dsn: needs a restart
limits.per_host: takes over
1 added, 0 removed, 2 changed, 1 unchanged
";
    assert_eq!((ended.code, ended.stdout.as_str()), (1, expected), "{}", ended.stderr);
    assert!(!ended.stderr.contains("hunter2"), "{}", ended.stderr);
    let json: Value = serde_json::from_str(&diff("json", OLD, NEW, &["--format", "json"]).stdout).expect("it is JSON");
    let expected = json!({
        "removed": [],
        "added": [{ "title": "GET http://shop.example/new", "place": "groups/0/probes/0" }],
        "changed": [
            { "title": "Other", "place": "groups/0/probes/2", "keys": ["title", "url"] },
            { "title": "Shop", "place": "groups/0/probes/3", "keys": ["every", "auth"] },
        ],
        "unchanged": 1,
        "monitors": { "new": "added", "shop": "changed" },
        "host": [
            { "key": "sentry.dsn", "needs_restart": true },
            { "key": "limits.per_host", "needs_restart": false },
        ],
    });
    assert_eq!(json, expected);
}

#[test]
fn exit_codes_are_those_of_diff() {
    let same = diff("same", OLD, OLD, &[]);
    assert_eq!((same.code, same.stdout.as_str()), (0, "0 added, 0 removed, 0 changed, 3 unchanged\n"));
    let wrong = NEW.replace("every: 60", "every: never");
    for (name, old, new) in [("wrong-new", OLD, wrong.as_str()), ("wrong-old", &wrong, OLD)] {
        let ended = diff(name, old, new, &[]);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
        assert!(ended.stderr.contains("`every` must be"), "{}", ended.stderr);
    }
    let both = run_command(sentrynet().args(["diff", "-", "-"]), OLD);
    assert_eq!(both.code, 2, "{}", both.stderr);
    assert!(both.stderr.contains("only one of the configurations can be standard input"), "{}", both.stderr);
}

#[test]
fn relative_paths_of_the_old_configuration_start_from_the_new_one() {
    let folder = empty_folder("diff-relative");
    std::fs::copy(PASSES.write("diff-relative"), folder.join("probe.wasm")).expect("the folder is writable");
    let text = "groups: [{probes: [{probe: ./probe.wasm, title: Own}]}]";
    let new = write(&folder, "probes.yaml", text);
    let same = run_command(sentrynet().args(["diff", "-"]).arg(&new), text);
    assert_eq!(
        (same.code, same.stdout.as_str()),
        (0, "0 added, 0 removed, 0 changed, 1 unchanged\n"),
        "{}",
        same.stderr
    );
}
