//! The settings of `sentrynet test`: an item of `probes`, whose errors have their lines.

use super::{run_test, shop_response};
use crate::guests::PASSES;
use crate::support::target::Target;
use crate::support::{empty_folder, run_command, sentrynet};

#[track_caller]
fn assert_errors(settings: &str, messages: &[&str]) {
    let ended = run_test("http", settings, &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
    for message in messages {
        assert!(ended.stderr.contains(message), "{message} in {}", ended.stderr);
    }
}

#[test]
fn errors_in_settings_have_line_and_column() {
    assert_errors("url: ftp://x/\nevry: 5\n", &["<stdin>:1:", "<stdin>:2:1", "the URL's scheme is `ftp`", "`evry`"]);
    assert_errors("{\"url\": \"http://x/\",\n \"timeot\": 3}", &["<stdin>:2:", "did you mean `timeout`?"]);
    assert_errors("url: http://x/\nlimits: {deadlin: 3}\n", &["<stdin>:2:", "did you mean `deadline`?"]);
    assert_errors("probe: http\nurl: http://x/\n", &["<stdin>:1:", "leave it out here"]);
    assert_errors("- url: http://x/\n", &["<stdin>:1:", "settings are a map"]);
    assert_errors("", &["`url`"]);
    assert_errors("# nothing\n", &["`url`"]);
}

#[test]
fn settings_come_from_a_file_or_are_empty() {
    let target = Target::responding(shop_response);
    let folder = empty_folder("test-settings");
    let file = folder.join("settings.json");
    let settings = format!(r#"{{"url": "http://127.0.0.1:{}/", "title": "Shop"}}"#, target.port);
    std::fs::write(&file, settings).expect("the folder is writable");
    let ended = run_command(sentrynet().args(["test", "http", "--settings"]).arg(&file), "");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("Shop") && ended.stdout.contains("http.client.wait"), "{}", ended.stdout);
    assert_eq!(ended.stderr, "", "`test` prints nothing about Sentry");

    let guest = PASSES.write("tested");
    let ended = run_command(
        sentrynet().current_dir(guest.parent().expect("the file is in a folder")).args(["test", "tested.wasm"]),
        "",
    );
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[test]
fn test_sends_nothing_to_sentry() {
    let receiver = crate::support::receiver::Receiver::start();
    let dsn = format!("http://key@127.0.0.1:{}/1", receiver.port);
    let guest = PASSES.write("not-sent");
    let ended = run_command(sentrynet().env("SENTRY_DSN", dsn).arg("test").arg(guest), "");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(receiver.wait_for_envelopes(0).len(), 0);
}

#[test]
fn files_that_are_no_component_are_refused() {
    let ended = run_command(sentrynet().args(["test", "absent.wasm"]), "");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("no file `absent.wasm`"), "{}", ended.stderr);
    let ended = run_command(sentrynet().args(["test", "htp"]), "");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("did you mean `http`?"), "{}", ended.stderr);
    let text = crate::guests::write_wasm("no-component", b"#!/bin/sh\n");
    let ended = run_command(sentrynet().arg("test").arg(text), "");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("is not WebAssembly"), "{}", ended.stderr);
}
