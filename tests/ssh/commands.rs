//! Commands that are run on the server.

use std::path::Path;

use super::{expect_failure, expect_failure_in, expect_passed, login_keys, run_ssh_probe};
use crate::support::ssh_server::{self, RequiredAuth};
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

#[test]
fn output_that_is_only_known_in_part_is_not_checked() {
    let sshd = Sshd::openssh("large", "");
    let login = login_keys(&sshd);
    let large = "command: head -c 2000000 /dev/zero; echo ERROR\n";
    let no_error = "checks: {stdout: {not: {contains: ERROR}}}\n";
    let message = expect_failure(&format!("{login}{large}{no_error}"), "too-large");
    assert_eq!(
        message,
        "the command wrote 2000006 bytes to stdout, more than the 1 MiB that are checked; raise `max_output`, or check \
         only `stdout size`"
    );
    expect_failure(&format!("{login}{large}{no_error}max_output: 2 MiB"), "assertion");
    expect_failure(&format!("{login}{large}checks: {{$.a: {{exists: false}}}}"), "too-large");
    expect_passed(&format!("{login}{large}checks: {{stdout size: 2000006, stderr: {{not: {{contains: ERROR}}}}}}"));
    expect_passed(&format!("{login}command: printf 12345\nmax_output: 5\nchecks: {{stdout: '12345'}}"));
    let on_stderr = "command: printf 123456 >&2\nmax_output: 5\nchecks: {stderr: {not: {contains: '6'}}}";
    let message = expect_failure(&format!("{login}{on_stderr}"), "too-large");
    assert!(message.starts_with("the command wrote 6 bytes to stderr, more than the 5 bytes that "), "{message}");
}

#[test]
fn endless_output_is_a_failure_of_the_target() {
    let sshd = Sshd::openssh("flood", "");
    let keys = format!("{}command: yes\nlimits: {{received: 4 MiB}}", login_keys(&sshd));
    let message = expect_failure(&keys, "too-large");
    assert_eq!(message, "the target sent more than 4 MiB; raise `limits.received` if a run may receive more");
}

#[test]
fn the_standard_input_of_a_command_is_empty() {
    let sshd = Sshd::openssh("stdin", "");
    expect_passed(&format!(
        "{}command: cat; echo done\nchecks: {{stdout: {{equals: \"done\\n\"}}}}",
        login_keys(&sshd)
    ));
    if let Some(dropbear) = Sshd::dropbear("stdin", &[]) {
        expect_passed(&format!("{}command: cat", login_keys(&dropbear)));
    }
}

#[test]
fn a_check_of_the_exit_status_decides_however_the_command_ended() {
    let sshd = Sshd::openssh("ends", "");
    let killed = format!("{}command: kill -TERM $$\n", login_keys(&sshd));
    expect_passed(&format!("{killed}checks: {{exit status: {{exists: false}}}}"));
    for check in ["exit status: 0", "exit status: {less: 3}", "exit status: {exists: true}"] {
        let message = expect_failure(&format!("{killed}checks: {{{check}}}"), "signal");
        assert_eq!(message, "the command was ended by the signal TERM");
    }
    expect_failure(&format!("{killed}checks: {{exit status: {{exists: false}}, stdout: x}}"), "assertion");

    let (port, fingerprint) = ssh_server::start(RequiredAuth::Nothing);
    let keys = format!("port: {port}\nusername: me\nauth: none\nhost_key: {fingerprint}\n");
    let silent = format!("{keys}command: no-status\n");
    expect_passed(&format!("{silent}checks: {{exit status: {{exists: false}}, stdout: no-status}}"));
    for check in ["", "checks: {exit status: 0}"] {
        let message = expect_failure(&format!("{silent}{check}"), "exit-status");
        assert_eq!(message, "the server did not say how the command ended");
    }
    // A server that disconnects instead of closing the channel has said how the command ended.
    expect_passed(&format!("{keys}command: disconnect\nchecks: {{exit status: 3}}"));
}
