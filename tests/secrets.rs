//! Secrets: inserted where a configuration refers to them, and redacted in all output.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;

use crate::support::certificates::Certificates;
use crate::support::nginx::Nginx;
use crate::support::receiver::Receiver;
use crate::support::{empty_folder, restrict_to_owner, run_command, sentrynet};

/// Braces, quotes, spaces, and characters that URLs and JSON escape.
const SECRET: &str = r#"pa{ss "w/ö%rd} \x"#;

/// Starts a target that returns the request in several encodings.
fn start_echo_target(name: &str) -> (Nginx, u16) {
    Nginx::start_plain(
        name,
        r#"location / {
             add_header x-url "$request_uri"; add_header x-authorization "$http_authorization";
             add_header x-key "$http_x_key" always;
             return 418 '{"url": "$request_uri", "authorization": "$http_authorization", "key": "$http_x_key"}';
           }"#,
    )
}

fn write_config(name: &str, port: u16, receiver: u16) -> std::path::PathBuf {
    let home = empty_folder(&format!("secrets-{name}"));
    std::fs::write(home.join("key"), "file-secret-word\n").expect("the folder is writable");
    let text = format!(
        r#"
sentry: {{dsn: "http://key@127.0.0.1:{receiver}/1", tags: {{tenant: "t-${{env:SECRET}}"}}}}
groups:
  - probes:
      - probe: http
        title: "Title of ${{env:SECRET}}"
        url: http://127.0.0.1:{port}/
        query: {{q: "${{env:SECRET}}", plain: "$${{env:SECRET}}"}}
        headers: {{x-key: "before ${{file:key}} after"}}
        auth: {{basic: {{username: ada, password: "${{env:SECRET}}"}}}}
        expected: 418
        checks:
          body: {{equals: "${{env:SECRET}}"}}
          header x-authorization: {{equals: nothing}}
          header x-url: {{equals: "${{file:key}}"}}
          header x-key: {{equals: nothing}}
          $.key: {{equals: nothing}}
          $.url: {{equals: nothing}}
      - probe: chain
        title: A chain
        init_keys: {{secret: "${{env:SECRET}}"}}
        steps:
          - url: http://127.0.0.1:{port}/?q={{secret}}
            headers: {{x-key: "${{env:SECRET}}"}}
            body: {{password: "${{env:SECRET}}", again: secret}}
            expected: 418
            checks: {{$.key: {{equals: nothing}}}}
      - probe: ssh
        title: Nobody there
        host: 127.0.0.1
        port: ${{env:PORT:-1}}
        username: "${{file:key}}"
        password: "${{env:SECRET}}"
"#
    );
    let file = home.join("probes.yaml");
    std::fs::write(&file, text).expect("the folder is writable");
    for file in [&file, &home.join("key")] {
        restrict_to_owner(file);
    }
    file
}

/// Asserts that a text has no encoding of a secret, by fragments that the encodings have in common.
#[track_caller]
fn assert_no_secret(what: &str, text: &str) {
    for part in ["pa{ss", "w/ö", "w/\\u00f6", "%7Bss", "{ss", "w%2F", "rd}", "rd%7D", "file-secret", "secret-word"] {
        assert!(!text.contains(part), "{what} has {part}: {text}");
    }
    for line in text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/=".contains(c)) {
        assert!(!line.contains("cGF7c3Mg") && !line.contains("YWRhOnBh"), "{what}: {line}");
    }
}

#[test]
fn no_output_has_a_secret() {
    let (_nginx, port) = start_echo_target("secrets");
    let receiver = Receiver::start();
    let file = write_config("out", port, receiver.port);
    for format in ["text", "json"] {
        let mut program = sentrynet();
        program.env("SECRET", SECRET).env("SENTRYNET_LOG", "debug").args(["once", "--trace", "--format", format]);
        let ended = run_command(program.arg(&file), "");
        assert_eq!(ended.code, 1, "{}\n{}", ended.stdout, ended.stderr);
        assert_eq!(ended.stdout.matches("[Filtered]").count().min(10), 10, "{}", ended.stdout);
        assert_no_secret("standard output", &ended.stdout);
        assert_no_secret("standard error", &ended.stderr);
    }
    // A transaction and an error for each of six runs.
    for received in receiver.wait_for_envelopes(12) {
        assert_no_secret("an envelope", &String::from_utf8_lossy(&received.envelope));
    }
}

#[test]
fn requests_have_the_secrets() {
    let (_nginx, port) = Nginx::start_plain(
        "secrets-sent",
        r#"location / {
             if ($http_x_key != "before file-secret-word after") { return 400; }
             if ($arg_plain != "%24%7Benv%3ASECRET%7D") { return 401; }
             return 200;
           }"#,
    );
    let home = empty_folder("secrets-sent");
    std::fs::write(home.join("key"), "file-secret-word\n").expect("the folder is writable");
    restrict_to_owner(&home.join("key"));
    let file = home.join("probes.yaml");
    let text = format!(
        "groups: [{{probes: [{{probe: http, url: 'http://127.0.0.1:{port}/', timeout: '${{env:NOT_SET:-5}}', \
         query: {{plain: '$${{env:SECRET}}'}}, headers: {{x-key: 'before ${{file:key}} after'}}}}]}}]"
    );
    std::fs::write(&file, text).expect("the folder is writable");
    let ended = run_command(sentrynet().arg("once").arg(&file), "");
    assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
}

#[test]
fn files_with_secrets_that_everyone_can_read_are_warned_of() {
    let home = empty_folder("secrets-modes");
    let write = |name: &str, text: &str| {
        let file = home.join(name);
        std::fs::write(&file, text).expect("the folder is writable");
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).expect("the test owns the file");
        file
    };
    write("token", "a token");
    let literal = write(
        "probes.yaml",
        "groups: [{probes: [{probe: http, url: 'http://127.0.0.1:1/', headers: {authorization: Bearer x, \
         x-key: '${file:token}'}}]}]",
    );
    let ended = run_command(sentrynet().arg("check").arg(&literal), "");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("a secret in a file that is readable by everyone (mode 644)"), "{}", ended.stderr);
    assert!(ended.stderr.contains("token` is readable by everyone (mode 644)"), "{}", ended.stderr);
    assert!(!ended.stderr.contains("Bearer x"), "{}", ended.stderr);

    let certificates = Certificates::new(&home);
    certificates.certify("ours", &["localhost"], 2100);
    let keys = write(
        "keys.yaml",
        "groups: [{probes: [{probe: http, url: 'https://127.0.0.1:1/', \
         client_certificate: {certificate: ours.pem, key: ours.key}}]}]",
    );
    for (mode, warned) in [(0o644, true), (0o600, false)] {
        std::fs::set_permissions(home.join("ours.key"), Permissions::from_mode(mode)).expect("the test owns the file");
        let ended = run_command(sentrynet().arg("check").arg(&keys), "");
        let warning = "ours.key` is readable by everyone (mode 644): `chmod o-r` it\n";
        assert_eq!((ended.code, ended.stderr.contains(warning)), (0, warned), "{}", ended.stderr);
        assert_eq!(ended.stderr.contains("client_certificate.key"), warned, "{}", ended.stderr);
    }
}
