//! Names with several addresses, of which the first does not answer.

use std::net::IpAddr;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::ssh_config;
use crate::support::silent_address::SilentAddress;
use crate::support::ssh_server::{self, RequiredAuth};
use crate::support::sshd::{has_mount_namespaces, is_root};
use crate::support::{empty_folder, run_command, sentrynet, spans};

/// A name that only the test's file of hosts has.
const NAME: &str = "shop.test";

/// Returns a command that runs a program in a mount namespace with this file in the place of `/etc/hosts`.
fn command_with_hosts(hosts: &Path, program: &str) -> Command {
    let mut unshare = Command::new("unshare");
    if !is_root() {
        unshare.args(["--user", "--map-root-user"]);
    }
    let script = format!("mount --bind '{}' /etc/hosts && exec \"$@\"", hosts.display());
    unshare.args(["--mount", "--", "sh", "-c", &script, "sh", program]);
    unshare
}

#[test]
fn an_address_that_does_not_answer_is_followed_by_the_next() {
    if !has_mount_namespaces() {
        return;
    }
    let hosts = empty_folder("ssh-addresses").join("hosts");
    std::fs::write(&hosts, format!("127.0.0.2 {NAME}\n127.0.0.1 {NAME}\n")).expect("the folder is writable");
    // The system's resolver chooses the order.
    let listed = run_command(command_with_hosts(&hosts, "getent").args(["ahostsv4", NAME]), "");
    assert_eq!(listed.code, 0, "{}", listed.stderr);
    let lines = listed.stdout.lines().filter(|line| line.contains("STREAM"));
    let ips: Vec<IpAddr> = lines
        .map(|line| line.split(' ').next().unwrap_or_default().parse().expect("a line begins with an IP"))
        .collect();
    let [first, second] = ips[..] else { panic!("{}", listed.stdout) };
    let (port, fingerprint) = ssh_server::start_at(second, RequiredAuth::Nothing);
    let _silent = SilentAddress::start((first, port).into());

    let mut program = command_with_hosts(&hosts, env!("CARGO_BIN_EXE_sentrynet"));
    program.args(["once", "-", "--format", "json"]);
    for (name, value) in sentrynet().get_envs().filter_map(|(name, value)| Some((name, value?))) {
        program.env(name, value);
    }
    // The kernel would try the first address for two minutes.
    let keys = format!("port: {port}\nhost_key: {fingerprint}\ntimeout: 55");
    let ended = run_command(&mut program, &ssh_config(&keys).replace("127.0.0.1", NAME));
    assert_eq!(ended.code, 0, "{}\n{}", ended.stdout, ended.stderr);
    let runs: Vec<Value> = serde_json::from_str(&ended.stdout).expect("the output is JSON");
    assert_eq!(spans(&runs[0], "ssh")[0]["data"]["network.peer.address"], second.to_string());
    let attempts = spans(&runs[0], "ssh.connect.attempt");
    let described: Vec<_> = attempts.iter().map(|attempt| attempt["description"].clone()).collect();
    assert_eq!(described, [first, second].map(|ip| format!("Connect to {ip}:{port}")));
    assert_eq!((&attempts[0]["status"], &attempts[1]["status"]), (&"cancelled".into(), &"ok".into()));
}
