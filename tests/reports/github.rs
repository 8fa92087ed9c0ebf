//! The format `github`: what the runner of GitHub Actions makes of the output, and the summary of the step.

use super::Shop;
use crate::support::run_command;

/// A command as the runner executes it: its name with its properties, and its message.
type Executed = (String, String);

/// Returns the commands that the runner executes in an output. It knows `::name properties::message` after blanks, and
/// else `##[name properties]message` anywhere in a line, unless `stop-commands` has stopped commands.
fn execute(output: &str) -> Vec<Executed> {
    let mut executed = Vec::new();
    let mut stopped: Option<String> = None;
    for line in output.lines() {
        let modern = line.trim_start().strip_prefix("::").and_then(|rest| rest.split_once("::"));
        let legacy = || line.split_once("##[").and_then(|(_, rest)| rest.split_once(']'));
        let Some((head, message)) = modern.or_else(legacy) else { continue };
        match &stopped {
            Some(token) if head == token => stopped = None,
            Some(_) => {}
            None if head == "stop-commands" => stopped = Some(message.to_owned()),
            None => executed.push((head.to_owned(), decode(message))),
        }
    }
    assert!(stopped.is_none(), "commands are resumed");
    executed
}

/// Decodes a message, as the runner does.
fn decode(text: &str) -> String {
    text.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")
}

#[test]
fn the_runner_annotates_the_lines_of_probes_and_nothing_else() {
    let shop = Shop::new("github");
    // The path from the repository, whatever the current directory is.
    let outer = shop.folder.parent().expect("the folder is in another");
    let mut command = crate::support::sentrynet();
    command.arg("once").arg(&shop.file).args(["--format", "github"]).env("GITHUB_WORKSPACE", outer);
    let ended = run_command(&mut command, "");
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stdout.contains("::error::forged") && ended.stdout.contains("##[error]forged"), "{}", ended.stdout);
    let executed = execute(&ended.stdout);
    let heads: Vec<_> = executed.iter().map(|(head, _)| head.as_str()).collect();
    assert_eq!(
        heads,
        [
            "error title=failed%3A Checkout%3A <a%2C b> 100%25,file=reports-github/probes.yaml,line=8",
            "error title=broken%3A Stock,file=reports-github/probes.yaml,line=12"
        ]
    );
    let message = &executed[0].1;
    assert!(message.starts_with("status: expected status 200, got 503\n"), "{message}");
    // The text of the target is in the message, with its percent sign as it was.
    assert!(message.contains("\n      ::error::forged\n") && !message.contains("%25"), "{message}");
    let passed = shop.once(&["--format", "github", "--only", "Front page"]);
    assert_eq!((passed.code, execute(&passed.stdout)), (0, Vec::new()));
    assert!(passed.stdout.contains("✓ passed"), "{}", passed.stdout);
}

#[test]
fn a_configuration_that_is_no_file_has_no_annotated_lines() {
    let shop = Shop::new("github-stdin");
    let mut command = crate::support::sentrynet();
    command.args(["once", "-", "--format", "github", "--only", "Checkout*"]);
    let ended = run_command(&mut command, &shop.read("probes.yaml"));
    let executed = execute(&ended.stdout);
    assert_eq!(executed[0].0, "error title=failed%3A Checkout%3A <a%2C b> 100%25");
}

#[test]
fn the_summary_of_the_step_is_added_within_its_bound() {
    const MAX_BYTES: usize = 1 << 20;
    let shop = Shop::new("github-summary");
    let file = shop.folder.join("summary.md");
    let run = |arguments: &[&str]| {
        let mut command = shop.command();
        let ended = run_command(command.args(arguments).env("GITHUB_STEP_SUMMARY", &file), "");
        assert_eq!(ended.code, 3, "{}", ended.stderr);
        ended.stderr
    };
    run(&["--format", "github"]);
    let first = shop.read("summary.md");
    assert!(first.starts_with("### SentryNet: 2 passed, 1 failed, 1 broken\n"), "{first}");
    // Another step of the job has written something, and a report in a file counts too.
    std::fs::write(&file, "# Before").expect("the folder is writable");
    run(&["--report", "github=log.txt", "--report", "junit=report.xml"]);
    let second = shop.read("summary.md");
    assert!(second.starts_with("# Before\n\n### SentryNet: "), "{second}");
    for room in [1000, 500, 100, 0] {
        std::fs::write(&file, "x".repeat(MAX_BYTES - room)).expect("the folder is writable");
        let stderr = run(&["--format", "github"]);
        let length = shop.read("summary.md").len();
        assert!(length <= MAX_BYTES, "{length}");
        assert_eq!(length > MAX_BYTES - room, room == 1000, "{room}");
        assert_eq!(stderr.contains("the summary of the step is full"), room < 1000, "{stderr}");
    }
    // Other formats add nothing.
    std::fs::remove_file(&file).expect("it was written");
    run(&["--format", "markdown"]);
    assert!(!file.exists());
}

#[test]
fn a_summary_that_cannot_be_written_ends_with_3() {
    let shop = Shop::new("github-no-summary");
    let mut command = shop.command();
    command.args(["--format", "github", "--only", "Front page"]).env("GITHUB_STEP_SUMMARY", &shop.folder);
    let ended = run_command(&mut command, "");
    assert_eq!(ended.code, 3, "{}", ended.stderr);
    assert!(ended.stderr.contains("it is no regular file"), "{}", ended.stderr);
}
