//! `test` and its settings: an item of `probes`, with its errors where they are.

use super::{shop, test};
use crate::guests::PASSES;
use crate::support::target::Target;
use crate::support::{finish, folder, sentrynet};

#[track_caller]
fn wrong(settings: &str, said: &[&str]) {
    let ended = test("http", settings, &[]);
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{}", ended.stderr);
    for said in said {
        assert!(ended.stderr.contains(said), "{said} in {}", ended.stderr);
    }
}

#[test]
fn errors_stand_where_they_are() {
    wrong("url: ftp://x/\nevry: 5\n", &["<stdin>:1:", "<stdin>:2:1", "the URL's scheme is `ftp`", "`evry`"]);
    wrong("{\"url\": \"http://x/\",\n \"timeot\": 3}", &["<stdin>:2:", "did you mean `timeout`?"]);
    wrong("url: http://x/\nlimits: {deadlin: 3}\n", &["<stdin>:2:", "did you mean `deadline`?"]);
    wrong("probe: http\nurl: http://x/\n", &["<stdin>:1:", "leave it out here"]);
    wrong("- url: http://x/\n", &["<stdin>:1:", "settings are a map"]);
    wrong("", &["`url`"]);
    wrong("# nothing\n", &["`url`"]);
}

#[test]
fn settings_from_a_file_and_none() {
    let target = Target::answering(shop);
    let folder = folder("test-settings");
    let file = folder.join("settings.json");
    let settings = format!(r#"{{"url": "http://127.0.0.1:{}/", "title": "Shop"}}"#, target.port);
    std::fs::write(&file, settings).expect("the folder is writable");
    let ended = finish(sentrynet().args(["test", "http", "--settings"]).arg(&file), "");
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("Shop") && ended.stdout.contains("http.client.wait"), "{}", ended.stdout);
    assert_eq!(ended.stderr, "", "nothing is said of Sentry");

    let guest = PASSES.write("tested");
    let ended = finish(sentrynet().current_dir(guest.parent().expect("a folder")).args(["test", "tested.wasm"]), "");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[test]
fn nothing_is_sent_to_sentry() {
    let receiver = crate::support::receiver::Receiver::start();
    let dsn = format!("http://key@127.0.0.1:{}/1", receiver.port);
    let guest = PASSES.write("untold");
    let ended = finish(sentrynet().env("SENTRY_DSN", dsn).arg("test").arg(guest), "");
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
    assert_eq!(receiver.wait(0).len(), 0);
}

#[test]
fn what_is_no_component() {
    let ended = finish(sentrynet().args(["test", "absent.wasm"]), "");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("no file `absent.wasm`"), "{}", ended.stderr);
    let ended = finish(sentrynet().args(["test", "htp"]), "");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("did you mean `http`?"), "{}", ended.stderr);
    let text = crate::guests::write("no-component", b"#!/bin/sh\n");
    let ended = finish(sentrynet().arg("test").arg(text), "");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("is not WebAssembly"), "{}", ended.stderr);
}
