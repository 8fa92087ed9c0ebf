//! A configuration that is a folder of files.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::support::target::Target;
use crate::support::{CommandOutput, absent_path, empty_folder, restrict_to_owner, run_command, sentrynet};

/// Writes files to a new folder.
fn write_folder(name: &str, files: &[(&str, &str)]) -> PathBuf {
    let folder = empty_folder(name);
    for (file, text) in files {
        std::fs::write(folder.join(file), text).expect("the folder is writable");
        restrict_to_owner(&folder.join(file));
    }
    folder
}

fn run(command: &str, folder: &Path) -> CommandOutput {
    run_command(sentrynet().env("SENTRYNET_LOG", "error").arg(command).arg(folder), "")
}

#[test]
fn groups_and_modules_of_all_files_are_joined_in_the_order_of_their_names() {
    let target = Target::new();
    let url = format!("http://127.0.0.1:{}", target.port);
    let group = |title: &str| format!("groups: [{{probes: [{{probe: http, title: {title}, url: '{url}/'}}]}}]\n");
    let folder = write_folder(
        "folder-joined",
        &[
            ("20-b.yml", &group("third")),
            (
                "10-a.yaml",
                &format!(
                    "sentry: {{environment: test}}\ngroups:\n- probes: [{{probe: http, title: first, url: '{url}/'}}]\n- probes: [{{probe: http, title: second, url: '{url}/'}}]"
                ),
            ),
            ("30-empty.yaml", "# nothing yet\n"),
            ("40-none.yaml", "groups:\n"),
            (".hidden.yaml", "wrong: ["),
            ("README.md", "wrong: ["),
            ("50-limits.yaml", "\u{feff}limits: {deadline: 30}\r\n"),
        ],
    );
    std::fs::create_dir(folder.join("elsewhere")).expect("the folder is writable");
    std::fs::write(folder.join("elsewhere/last"), group("fourth")).expect("the folder is writable");
    symlink("elsewhere/last", folder.join("60-linked.yaml")).expect("the folder is writable");
    let checked = run("check", &folder);
    assert_eq!(checked.stdout, format!("{}: 4 probes, no errors\n", folder.display()), "{}", checked.stderr);
    let ended = run_command(sentrynet().args(["once", "--format", "json"]).arg(&folder), "");
    let runs: Vec<serde_json::Value> = serde_json::from_str(&ended.stdout).expect("the output is JSON");
    let titles: Vec<_> = runs.iter().filter_map(|run| run["title"].as_str()).collect();
    assert_eq!(titles, ["first", "second", "third", "fourth"]);
    assert_eq!(run("schema", &folder).code, 0);
}

#[test]
fn errors_name_the_file_and_its_line() {
    let folder = write_folder(
        "folder-errors",
        &[
            (
                "a.yaml",
                "sentry: {environment: a/b}\nmodules: {m: {component: gone.wasm}}\ngroups: []\nlimits: {cpu: 1}\n",
            ),
            (
                "b.yaml",
                "\nlimits: {cpu: 2}\nmodules: {m: {component: gone.wasm}}\ngroups:\n- probes:\n  - {probe: http, every: soon}",
            ),
            ("c.yaml", "groups: [{probes: [{probe: http, url: 'http://h/', timeout: 0}]}]\n"),
        ],
    );
    let checked = run("check", &folder);
    let place = |file: &str, at: &str| format!("--> {}:{at}\n", folder.join(file).display());
    let a = folder.join("a.yaml").display().to_string();
    for (message, place) in [
        ("error: `environment` holds a `/`, which Sentry does not take: write `-` instead", place("a.yaml", "1:23")),
        (
            &format!("error: the key `limits` is given twice, first on line 4 of `{a}`: leave one out"),
            place("b.yaml", "2:1"),
        ),
        (
            &format!("error: the key `m` is given twice, first on line 2 of `{a}`: leave one out"),
            place("b.yaml", "3:11"),
        ),
        (
            "error: `every` must be a time such as `30s`, from 0.05 seconds to a year (31536000), not `soon`",
            place("b.yaml", "6:26"),
        ),
        ("error: expected a time such as `5s`, or seconds from 0.001 to 3600, got 0", place("c.yaml", "1:61")),
    ] {
        let at = checked.stderr.find(message).unwrap_or_else(|| panic!("{message} in {}", checked.stderr));
        let next = checked.stderr[at..].lines().nth(1).expect("the place follows").trim_start();
        assert_eq!(format!("{next}\n"), place);
    }
    assert!(checked.stderr.contains(" 6 |   - { … every: soon"), "{}", checked.stderr);
    assert!(checked.stderr.contains("= at groups[0].probes[0].every\n"), "{}", checked.stderr);
    assert_eq!(checked.code, 2);
    let broken = write_folder("folder-broken", &[("a.yaml", "groups: []\n"), ("b.yaml", "groups:\n  - [\n")]);
    let checked = run("check", &broken);
    assert!(checked.stderr.contains(&format!("--> {}:", broken.join("b.yaml").display())), "{}", checked.stderr);
    let twice = write_folder("folder-twice", &[("a.yaml", "groups: []\ngroups: []\n"), ("b.yaml", "")]);
    let checked = run("check", &twice);
    assert!(checked.stderr.contains("the key `groups` is given twice in this file"), "{}", checked.stderr);
    assert!(checked.stderr.contains(&format!("--> {}:2:1", twice.join("a.yaml").display())), "{}", checked.stderr);
    let list = write_folder("folder-list", &[("a.yaml", "groups: []\n"), ("b.yaml", "- groups: []\n")]);
    let checked = run("check", &list);
    assert!(checked.stderr.contains("each file of a configuration is a map"), "{}", checked.stderr);
    assert!(checked.stderr.contains(&format!("--> {}:1:1", list.join("b.yaml").display())), "{}", checked.stderr);
}

#[test]
fn a_file_that_is_no_yaml_hides_no_errors_of_the_others() {
    let folder = write_folder(
        "folder-several-broken",
        &[
            ("a.yaml", "groups:\n- probes: [{probe: http, every: soon, url: 'http://h/'}]\n"),
            ("b.yaml", "modules:\n  m: [\n"),
            ("c.yaml", "- groups: []\n"),
            ("d.yaml", "groups: []\ngroups: []\n"),
            ("e.yaml", "groups:\n\t- probes: []\n"),
            // The module may be in a file that is left out.
            ("f.yaml", "groups:\n- probes: [{probe: m}, {probe: http, url: 'ftp://h/'}]\n"),
            ("g.yaml", "modules: {unused: {component: gone.wasm}}\n"),
        ],
    );
    let checked = run_command(sentrynet().arg("check").arg(&folder), "");
    assert_eq!(checked.code, 2, "{}", checked.stderr);
    let places: Vec<_> = checked.stderr.lines().filter_map(|line| line.trim().strip_prefix("--> ")).collect();
    let home = format!("{}/", folder.display());
    let mut places: Vec<_> = places.iter().map(|place| place.replace(&home, "")).collect();
    places.sort();
    assert_eq!(
        places,
        ["a.yaml:2:33", "b.yaml:2:6", "c.yaml:1:1", "d.yaml:2:1", "e.yaml:2:1", "f.yaml:2:43", "g.yaml:1:31"],
        "{}",
        checked.stderr
    );
    assert!(!checked.stderr.contains("warning"), "{}", checked.stderr);
}

#[test]
fn only_readable_files_of_bounded_size_are_taken() {
    let refused = |folder: &Path, expected: &str| {
        for command in ["check", "once", "run", "schema"] {
            let ended = run(command, folder);
            assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{command}: {}", ended.stderr);
            assert!(ended.stderr.contains(expected), "{command}: {}", ended.stderr);
        }
    };
    refused(&write_folder("folder-empty", &[("a.txt", "groups: []")]), "no file `*.yaml` or `*.yml` in the directory");
    let pipe = write_folder("folder-pipe", &[("a.yaml", "groups: []")]);
    mkfifoat(CWD, pipe.join("b.yaml"), Mode::RWXU).expect("a pipe can be made");
    refused(&pipe, "b.yaml`: it is not a regular file");
    let dangling = write_folder("folder-dangling", &[]);
    symlink(absent_path("probes.yaml"), dangling.join("a.yaml")).expect("the folder is writable");
    refused(&dangling, "cannot read `");
    let half = format!("groups: []\n#{}\n", "x".repeat(9 << 20));
    refused(&write_folder("folder-large", &[("a.yaml", &half), ("b.yaml", &half)]), "are larger than 16 MiB together");
    let many = write_folder("folder-many", &[]);
    for index in 0..=1000 {
        std::fs::write(many.join(format!("{index}.yaml")), "").expect("the folder is writable");
    }
    refused(&many, "too many files in the directory");
    let latin = write_folder("folder-latin", &[]);
    std::fs::write(latin.join("a.yaml"), b"a: \xe9").expect("the folder is writable");
    refused(&latin, "a.yaml` is not UTF-8 text, line 1");
    let settings = run_command(sentrynet().args(["test", "http"]).arg(&pipe), "");
    assert_eq!(settings.code, 2, "{}", settings.stderr);
}

#[test]
fn relative_paths_and_secrets_belong_to_the_folder() {
    let text =
        "groups: [{probes: [{probe: http, url: 'https://h/', headers: {authorization: '${file:token}'}, ca: ca.pem}]}]";
    let folder = write_folder("folder-paths", &[("a.yaml", text), ("token", "sesame-1"), ("ca.pem", "")]);
    let checked = run("check", &folder);
    assert!(checked.stderr.contains("ca.pem") && !checked.stderr.contains("no such file"), "{}", checked.stderr);
    assert!(!checked.stderr.contains("no file `token`"), "{}", checked.stderr);
    // The warning about a secret that everyone can read is about its own file.
    let literal = "groups: [{probes: [{probe: http, url: 'http://h/', headers: {authorization: sesame-2}}]}]";
    let folder = write_folder("folder-open", &[("a.yaml", literal), ("b.yaml", literal)]);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(folder.join("b.yaml"), mode).expect("the test owns the file");
    let checked = run_command(sentrynet().arg("check").arg(&folder), "");
    let warned: Vec<_> = checked.stderr.lines().skip_while(|line| !line.contains("readable by everyone")).collect();
    assert!(warned[1].contains(&format!("{}:1:", folder.join("b.yaml").display())), "{}", checked.stderr);
    assert_eq!(checked.stderr.matches("readable by everyone").count(), 1, "{}", checked.stderr);
}
