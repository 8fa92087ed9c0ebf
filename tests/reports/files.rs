//! The option `--report`.

use super::{Shop, titles};
use crate::support::target::{Target, ok_response};
use crate::support::{empty_folder, http_config, run_command, sentrynet};

#[test]
fn several_reports_are_written_beside_the_console() {
    let shop = Shop::new("files");
    std::fs::write(shop.folder.join("old.xml"), "old".repeat(100_000)).expect("the folder is writable");
    let reports = ["junit=old.xml", "json=runs.json", "markdown=report.md", "text=report.txt", "github=log=1.txt"];
    let ended = shop.once(&reports.iter().flat_map(|report| ["--report", report]).collect::<Vec<_>>());
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stdout.starts_with("✓ passed ") && ended.stdout.contains("Checkout"), "{}", ended.stdout);
    assert_eq!(titles(&shop.read("runs.json")), ["Front page", "Checkout: <a, b> 100%", "Stock", "Search"]);
    assert!(shop.read("old.xml").starts_with("<?xml ") && shop.read("old.xml").ends_with("</testsuites>\n"));
    assert!(shop.read("report.md").starts_with("### SentryNet: 2 passed, 1 failed, 1 broken\n"));
    assert!(shop.read("log=1.txt").starts_with("::stop-commands::"));
    // The text is that of the console, but for the times and the width.
    let beginnings = |text: &str| text.lines().filter(|line| !line.starts_with(' ')).map(beginning).collect::<Vec<_>>();
    assert_eq!(beginnings(&shop.read("report.txt")), beginnings(&ended.stdout));
    let mut names: Vec<_> = std::fs::read_dir(&shop.folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("it has a name").file_name().display().to_string())
        .collect();
    names.sort();
    assert_eq!(names, ["log=1.txt", "old.xml", "probes.yaml", "report.md", "report.txt", "runs.json"]);
}

/// Returns the mark and the outcome of a line.
fn beginning(line: &str) -> String {
    line.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_report_that_cannot_be_written_is_refused_before_anything_runs() {
    let shop = Shop::new("refused");
    std::os::unix::fs::symlink("probes.yaml", shop.folder.join("link")).expect("the folder is writable");
    for (report, part) in [
        ("xml=x", "no format `xml`: give text, json, junit, github, markdown"),
        ("junit", "FORMAT=FILE"),
        ("junit=", "needs a file"),
        ("junit=missing/report.xml", "there is no directory `missing`"),
        ("junit=.", "is a directory"),
        ("junit=/dev/stdout", "`/dev/stdout` is "),
        ("junit=link", "is a symbolic link"),
    ] {
        let ended = shop.once(&["--report", report]);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""), "{report}");
        assert!(ended.stderr.contains(part), "{part} in {}", ended.stderr);
    }
    let twice = shop.once(&["--report", "junit=a", "--report", "json=./a"]);
    assert_eq!(twice.code, 2);
    assert!(twice.stderr.contains("two reports have the file `./a`"), "{}", twice.stderr);
}

#[test]
fn a_report_that_cannot_be_written_later_ends_with_3() {
    let folder = empty_folder("reports-later").join("reports");
    std::fs::create_dir(&folder).expect("the folder is writable");
    let removed = folder.clone();
    // The folder vanishes while the probe runs.
    let target = Target::responding(move |_| {
        std::fs::remove_dir(&removed).expect("nothing is in the folder");
        ok_response()
    });
    let report = format!("junit={}", folder.join("report.xml").display());
    let config = http_config(&format!("url: http://127.0.0.1:{}/", target.port));
    let ended = run_command(sentrynet().args(["once", "-", "--fail-on", "none", "--report", &report]), &config);
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("error: cannot write the report "), "{}", ended.stderr);
    assert!(ended.stdout.starts_with("✓ passed"), "{}", ended.stdout);
}

#[test]
fn a_report_on_a_full_disk_ends_with_3() {
    let shop = Shop::new("full");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has this device");
    let mut command = shop.command();
    command.args(["--only", "Front page", "--format", "junit"]).stdout(full).stderr(std::process::Stdio::piped());
    let ended = command.output().expect("the program starts");
    let stderr = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(3), "{stderr}");
    assert!(stderr.contains("cannot write the report to standard output"), "{stderr}");
}
