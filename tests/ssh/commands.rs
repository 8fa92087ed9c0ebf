//! Commands that are run on the server.

use std::path::Path;

use super::{expect_failure_in, expect_passed, login_keys, run_ssh_probe};
use crate::support::sshd::Sshd;
use crate::support::{eventually, spans};

#[test]
fn exit_status_and_output_of_commands_are_checked() {
    let sshd = Sshd::openssh("exec", "");
    check_commands(&sshd);
    if let Some(dropbear) = Sshd::dropbear("exec", &[]) {
        check_commands(&dropbear);
    }
}

#[track_caller]
fn check_commands(sshd: &Sshd) {
    let login = login_keys(sshd);
    let run =
        expect_passed(&format!("{login}command: echo hello; echo oops >&2\nchecks: {{stdout: {{contains: hello}}}}"));
    let exec = spans(&run, "ssh.exec")[0];
    assert_eq!(exec["data"]["ssh.exec.exit_status"], 0);
    assert_eq!(exec["data"]["ssh.exec.stdout.size"], 6);
    assert_eq!(exec["data"]["ssh.exec.stderr.size"], 5);
    assert_eq!(exec["description"], "Run `echo hello; echo oops >&2`");

    let run = run_ssh_probe(&format!("{login}command: exit 3"));
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert_eq!(spans(&run, "ssh.exec")[0]["data"]["ssh.exec.exit_status"], 3);
    expect_passed(&format!("{login}command: exit 3\nchecks: {{exit status: 3}}"));
    let run = run_ssh_probe(&format!("{login}command: echo hello\nchecks: {{stdout: {{contains: bye}}}}"));
    assert_eq!(run["outcome"], "failed", "{run:#}");
    expect_passed(&format!("{login}command: echo oops >&2\nchecks: {{stderr: {{contains: oops}}}}"));

    let run = run_ssh_probe(&format!("{login}command: kill -KILL $$"));
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert_eq!(spans(&run, "ssh.exec")[0]["data"]["ssh.exec.signal"], "KILL");
}

#[test]
fn an_endless_command_times_out_and_is_ended() {
    let sshd = Sshd::openssh("endless", "");
    check_endless(&sshd);
    if let Some(dropbear) = Sshd::dropbear("endless", &[]) {
        check_endless(&dropbear);
    }
}

#[track_caller]
fn check_endless(sshd: &Sshd) {
    let login = login_keys(sshd);
    let pid = sshd.home.join("pid");
    let keys = format!("{login}timeout: 1\ncommand: echo $$ > {}; echo begun; exec sleep 50", pid.display());
    let message = expect_failure_in(&keys, "timeout", "ssh.exec");
    assert_eq!(message, "timed out after 1 s, running the command, 6 bytes of output so far");
    let pid = std::fs::read_to_string(pid).expect("the command has begun");
    let process = format!("/proc/{}", pid.trim());
    let ended =
        || !Path::new(&process).exists() || sshd.log().contains("session signalling requires privilege separation");
    // OpenSSH does not end commands of root, and logs that it does not.
    eventually("the end of the command", || ended().then_some(()));

    let message = expect_failure_in(
        &format!("{login}timeout: 1\ncommand: yes\nlimits: {{received: 1 TiB}}"),
        "timeout",
        "ssh.exec",
    );
    let bytes =
        message.strip_prefix("timed out after 1 s, running the command, ").expect("the message has the command phase");
    let bytes: u64 =
        bytes.split(' ').next().and_then(|text| text.parse().ok()).expect("the message has the number of bytes");
    assert!(bytes > 1 << 20, "{message}");
    expect_passed(&format!("{login}command: head -c 30000000 /dev/zero\nchecks: {{stdout size: 30000000}}"));
}

#[test]
fn a_connection_that_closes_during_a_command_is_reported() {
    let sshd = Sshd::openssh("lost", "");
    let keys = format!("{}command: echo begun; sleep 0.3; kill -KILL $PPID; sleep 1", login_keys(&sshd));
    let message = expect_failure_in(&keys, "protocol", "ssh.exec");
    assert_eq!(message, "the server closed the connection while the command ran, 6 bytes of output so far");
}
