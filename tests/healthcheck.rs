//! `healthcheck` asks a running program.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{CommandOutput, empty_folder, eventually, http_config, run_command, sentrynet};

/// A folder with a configuration, and a socket for health checks.
struct Host {
    folder: PathBuf,
    _target: Target,
}

impl Host {
    fn new(name: &str) -> Self {
        let (folder, target) = (empty_folder(&format!("health-{name}")), Target::new());
        let configuration = http_config(&format!("url: http://127.0.0.1:{}/\nevery: 1", target.port));
        fs::write(folder.join("probes.yaml"), configuration).expect("the folder is writable");
        Self { folder, _target: target }
    }

    fn socket(&self) -> PathBuf {
        self.folder.join("run/health.sock")
    }

    /// Returns a command whose socket is this host's.
    fn command(&self, name: &str) -> Command {
        let mut command = sentrynet();
        command.env("RUNTIME_DIRECTORY", self.folder.join("run")).arg(name);
        command
    }

    fn start(&self, log: &str) -> RunningProgram {
        let log = fs::File::create(self.folder.join(log)).expect("the folder is writable");
        let mut command = self.command("run");
        RunningProgram::spawn(command.arg(self.folder.join("probes.yaml")).stdout(Stdio::null()).stderr(log))
    }

    fn check(&self) -> CommandOutput {
        run_command(&mut self.command("healthcheck"), "")
    }

    fn wait_until_healthy(&self) {
        let checked =
            eventually("the program to be healthy", || Some(self.check()).filter(|checked| checked.code == 0));
        assert_eq!((checked.stdout.as_str(), checked.stderr.as_str()), ("healthy\n", ""));
    }

    #[track_caller]
    fn assert_unhealthy(&self, expected: &str) {
        let checked = self.check();
        assert_eq!((checked.code, checked.stdout.as_str()), (1, ""));
        assert!(checked.stderr.contains("unhealthy: ") && checked.stderr.contains(expected), "{}", checked.stderr);
    }

    fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.join(name)).expect("the log is UTF-8")
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it exists").permissions().mode() & 0o777
}

#[test]
fn a_program_is_healthy_while_it_runs() {
    let host = Host::new("runs");
    host.assert_unhealthy("no `sentrynet run` answers at ");
    let running = host.start("log");
    host.wait_until_healthy();
    assert_eq!((mode(&host.folder.join("run")), mode(&host.socket())), (0o700, 0o600));
    running.send_signal("STOP");
    host.assert_unhealthy("`sentrynet run` has not answered within 5 s");
    running.send_signal("CONT");
    host.wait_until_healthy();
    running.send_signal("TERM");
    assert_eq!(running.wait_for_exit_code(), Some(0));
    assert!(!host.socket().exists());
    host.assert_unhealthy("no `sentrynet run` answers at ");
}

#[test]
fn a_socket_that_a_killed_program_has_left_is_replaced() {
    let host = Host::new("killed");
    let running = host.start("log");
    host.wait_until_healthy();
    running.send_signal("KILL");
    assert_eq!(running.wait_for_exit_code(), None);
    assert!(host.socket().exists());
    host.assert_unhealthy("Connection refused");
    let _running = host.start("log");
    host.wait_until_healthy();
}

#[test]
fn the_first_of_two_programs_answers() {
    let host = Host::new("two");
    let first = host.start("first");
    host.wait_until_healthy();
    let second = host.start("second");
    eventually("the second program to run", || host.log("second").contains("on schedule").then_some(()));
    assert!(host.log("second").contains("asks another `sentrynet run`"), "{}", host.log("second"));
    second.send_signal("TERM");
    assert_eq!(second.wait_for_exit_code(), Some(0));
    host.wait_until_healthy();
    drop(first);
}

#[test]
fn a_program_whose_socket_cannot_be_opened_runs_and_says_why() {
    let host = Host::new("no-socket");
    fs::write(host.folder.join("run"), "a file").expect("the folder is writable");
    let running = host.start("log");
    eventually("the program to run", || host.log("log").contains("on schedule").then_some(()));
    assert!(host.log("log").contains("gets no answer: cannot listen at "), "{}", host.log("log"));
    running.send_signal("TERM");
    assert_eq!(running.wait_for_exit_code(), Some(0));
    // The variable turns the socket off.
    let off = run_command(host.command("healthcheck").env("SENTRYNET_HEALTH_SOCKET", ""), "");
    assert!(off.code == 1 && off.stderr.contains("name it with `--socket`"), "{}", off.stderr);
}

#[test]
fn another_file_in_the_place_of_the_socket_stays() {
    let host = Host::new("file");
    fs::create_dir(host.folder.join("run")).expect("the folder is writable");
    fs::write(host.socket(), "a file").expect("the folder is writable");
    let running = host.start("log");
    eventually("the program to run", || host.log("log").contains("on schedule").then_some(()));
    running.send_signal("TERM");
    assert_eq!(running.wait_for_exit_code(), Some(0));
    assert_eq!(fs::read_to_string(host.socket()).expect("the file is there"), "a file");
}
