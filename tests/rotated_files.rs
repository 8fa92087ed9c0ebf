//! Files that settings name, and that change while the program runs.

use std::fs::{File, read_to_string, rename, write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::guests::PASSES;
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{empty_folder, eventually, http_config, restrict_to_owner, sentrynet};

/// The program running with a configuration in a folder, where its output and its log are.
struct Host {
    folder: PathBuf,
    _running: RunningProgram,
}

impl Host {
    fn start(folder: &Path, configuration: &str) -> Self {
        let (file, create) = (folder.join("probes.yaml"), |name: &str| File::create(folder.join(name)));
        write(&file, configuration).expect("the folder is writable");
        let mut program = sentrynet();
        program.arg("run").arg(&file).args(["--format", "json", "--log-format", "json"]);
        program.stdout(create("output").expect("the folder is writable"));
        program.stderr(create("log").expect("the folder is writable")).stdin(Stdio::null());
        Self { folder: folder.to_owned(), _running: RunningProgram::spawn(&mut program) }
    }

    fn read(&self, name: &str) -> String {
        read_to_string(self.folder.join(name)).expect("the file is text")
    }

    #[track_caller]
    fn wait_for_log(&self, part: &str) {
        eventually(part, || self.read("log").contains(part).then_some(()));
    }
}

/// Replaces a file with a secret at once.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    write(&new, text).expect("the folder is writable");
    restrict_to_owner(&new);
    rename(&new, path).expect("the folder is writable");
}

/// Waits until the target gets a request with this header.
#[track_caller]
fn wait_for_authorization(target: &Target, value: &str) {
    eventually(value, || {
        target.requests().last().is_some_and(|request| request.header("authorization") == Some(value)).then_some(())
    });
}

#[test]
fn a_rotated_token_is_used_and_redacted() {
    // The target shows the token in an answer for which the run fails.
    let target = Target::responding(|requests| {
        let token = requests.last().and_then(|request| request.header("authorization")).unwrap_or_default().to_owned();
        format!("500 No\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{token}", token.len())
    });
    let folder = empty_folder("rotated-token");
    let token = folder.join("token");
    replace(&token, "first-secret\n");
    let keys = format!(
        "url: http://127.0.0.1:{}/\ntitle: Shop\nevery: 0.3\nauth: {{bearer: '${{file:./token}}'}}",
        target.port
    );
    let host = Host::start(&folder, &http_config(&keys));
    wait_for_authorization(&target, "Bearer first-secret");
    replace(&token, "second-secret\n");
    wait_for_authorization(&target, "Bearer second-secret");

    // A header cannot contain this token, so that the last one stays in use.
    replace(&token, "third\u{1}secret\n");
    host.wait_for_log("cannot use a file that has changed, and its last value stays in use");
    replace(&token, "\u{2}fourth-secret\n");
    let count = target.requests().len();
    eventually("further requests", || (target.requests().len() > count + 3).then_some(()));
    wait_for_authorization(&target, "Bearer second-secret");
    std::fs::remove_file(&token).expect("the folder is writable");
    host.wait_for_log("a changed file cannot be used, and its last value stays in use");
    replace(&token, "fifth-secret\n");
    wait_for_authorization(&target, "Bearer fifth-secret");

    // All runs belong to one outage, and no output has any of the secrets.
    let runs: Vec<serde_json::Value> = eventually("a run with the last token", || {
        let output = host.read("output");
        let lines = output.lines().filter_map(|line| serde_json::from_str(line).ok());
        Some(lines.collect()).filter(|runs: &Vec<_>| runs.len() >= target.requests().len() - 1)
    });
    let outage = |run: &serde_json::Value| run["outage"]["runs"].as_u64().expect("a failed run is part of an outage");
    assert!(runs.windows(2).all(|pair| outage(&pair[1]) == outage(&pair[0]) + 1), "{runs:#?}");
    let written = host.read("output") + &host.read("log");
    for secret in ["first-secret", "second-secret", "third", "fourth-secret", "fifth-secret"] {
        assert!(!written.contains(secret), "{secret} in {written}");
    }
}

#[test]
fn a_mounted_secret_of_kubernetes_is_read_again() {
    let target = Target::new();
    let folder = empty_folder("rotated-mount");
    for (version, token) in [("..1", "first-secret"), ("..2", "second-secret")] {
        std::fs::create_dir(folder.join(version)).expect("the folder is writable");
        replace(&folder.join(version).join("token"), token);
    }
    // The file is a link into a folder that is itself a link, and that is replaced.
    symlink("..1", folder.join("..data")).expect("the folder is writable");
    symlink("..data/token", folder.join("token")).expect("the folder is writable");
    let keys = format!("url: http://127.0.0.1:{}/\nevery: 0.3\nauth: {{bearer: '${{file:./token}}'}}", target.port);
    let _host = Host::start(&folder, &http_config(&keys));
    wait_for_authorization(&target, "Bearer first-secret");
    symlink("..2", folder.join("..new")).expect("the folder is writable");
    rename(folder.join("..new"), folder.join("..data")).expect("the folder is writable");
    wait_for_authorization(&target, "Bearer second-secret");
}

#[test]
fn a_third_partys_probe_is_loaded_again() {
    let folder = empty_folder("rotated-third-party");
    let guest = PASSES.write("rotated-third-party");
    let level = folder.join("level");
    replace(&level, "low");
    let configuration = format!(
        "groups: [{{probes: [{{probe: '{}', title: Third, every: 0.3, level: '${{file:./level}}'}}]}}]",
        guest.display()
    );
    let host = Host::start(&folder, &configuration);
    eventually("a run", || (!host.read("output").is_empty()).then_some(()));
    replace(&level, "high");
    host.wait_for_log("changed files read again: 1, probes that use new values: 1");
}
