//! Logins by keys, agents and passwords.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::{expect_failure, expect_failure_in, expect_passed, login_keys, ops, ssh_config};
use crate::support::ssh_server::{self, RequiredAuth};
use crate::support::sshd::{Agent, PASSWORD, Sshd, generate_key, sign_key};
use crate::support::{KilledOnDrop, empty_folder, find_tool, run_command, run_once_with, sentrynet, spans};

#[test]
fn keys_of_all_types_log_in() {
    let sshd = Sshd::openssh("keys", "");
    let keys = [
        ("ecdsa", "ecdsa", "", ""),
        ("rsa", "rsa", "", ""),
        ("encrypted", "ed25519", "a passphrase", "passphrase: a passphrase"),
    ];
    let run = expect_passed(&login_keys(&sshd));
    assert_eq!(ops(&run), ["ssh", "ssh.connect", "ssh.banner", "ssh.kex", "ssh.auth"]);
    let span = spans(&run, "ssh")[0];
    assert_eq!(span["description"], format!("SSH {}@127.0.0.1:{}", sshd.user, sshd.port));
    assert_eq!(span["data"]["ssh.auth.method"], "publickey");
    for (name, kind, passphrase, key) in keys {
        let file = generate_key(&sshd.home, name, &["-t", kind], passphrase);
        std::fs::copy(format!("{file}.pub"), sshd.home.join(".ssh/authorized_keys")).expect("the folder is writable");
        let run =
            expect_passed(&format!("{}command: echo hello\n{key}", login_keys(&sshd).replace("id_ed25519", name)));
        assert_eq!(ops(&run).last(), Some(&"ssh.exec"));
        assert!(!run.to_string().contains("a passphrase"), "{run:#}");
    }
}

#[test]
fn a_refused_or_unusable_key_is_reported() {
    let sshd = Sshd::openssh("wrong-keys", "");
    generate_key(&sshd.home, "another", &["-t", "ed25519"], "");
    generate_key(&sshd.home, "locked", &["-t", "ed25519"], "a passphrase");
    std::fs::write(sshd.home.join("notes"), "no key").expect("the folder is writable");
    let login = |key: &str| login_keys(&sshd).replace("id_ed25519", key);
    let message = expect_failure_in(&login("another"), "auth", "ssh.auth");
    let (user, home) = (&sshd.user, sshd.home.display());
    assert!(
        message.starts_with(&format!("the server refused the key {home}/another (ssh-ed25519, SHA256:")),
        "{message}"
    );
    assert!(message.ends_with(&format!(") for `{user}`; it offers publickey")), "{message}");
    // Problems with files are found before a connection is made.
    let check = |keys: &str, expected: &str| {
        let ended = run_command(sentrynet().args(["check", "-"]), &ssh_config(keys));
        assert!(ended.code == 2 && ended.stderr.contains(&format!("error: {expected}\n")), "{}", ended.stderr);
    };
    check(&login("locked"), &format!("{home}/locked is encrypted: give its passphrase"));
    check(&format!("{}passphrase: not it", login("locked")), &format!("the passphrase does not decrypt {home}/locked"));
    check(&login("absent"), &format!("{home}/absent: no such file or directory"));
    check(&login("notes"), &format!("{home}/notes holds no private key"));
    let public = format!("{home}/another.pub is a public key: name the private one, without `.pub`");
    check(&login("another.pub"), &public);
}

#[test]
fn an_agent_logs_in() {
    let sshd = Sshd::openssh("agent", "MaxAuthTries 3");
    let login = login_keys(&sshd).replace("identity: ", "# ") + "auth: agent\n";
    let run = |socket: &str, keys: &str| {
        let (_, mut runs) =
            run_once_with(sentrynet().env("SSH_AUTH_SOCK", socket), &ssh_config(&format!("{login}{keys}")));
        runs.remove(0)
    };
    let message = |run: &Value| run["failure"]["message"].as_str().unwrap_or_default().to_owned();

    let agent = Agent::start("good", &[&sshd.file("id_ed25519")]);
    let passed = run(&agent.socket.display().to_string(), "command: echo hello");
    assert_eq!(passed["outcome"], "passed", "{passed:#}");

    let empty = Agent::start("empty", &[]);
    let socket = empty.socket.display().to_string();
    let failed = run(&socket, "");
    assert_eq!(message(&failed), format!("the agent at {socket} has no keys: add one with ssh-add"));
    drop(empty);
    let failed = run(&socket, "");
    assert_eq!(message(&failed), format!("cannot connect to the agent at {socket}: no such file or directory"));
    assert_eq!(failed["failure"]["reason"], "other");

    let many: Vec<_> = (0..4).map(|n| generate_key(&sshd.home, &format!("key{n}"), &["-t", "ed25519"], "")).collect();
    let agent = Agent::start("many", &many.iter().map(String::as_str).collect::<Vec<_>>());
    let failed = run(&agent.socket.display().to_string(), "");
    assert_eq!(failed["failure"]["reason"], "auth", "{failed:#}");
    let message = message(&failed);
    assert!(message.contains("Too many authentication failures"), "{message}");
    assert!(
        message.ends_with("; if it allows too few attempts, name the agent's key: `identity: KEY.pub`"),
        "{message}"
    );
}

#[test]
fn a_public_key_selects_a_key_of_the_agent() {
    let sshd = Sshd::openssh("agent-key", "");
    let keys: Vec<_> = (0..8).map(|n| generate_key(&sshd.home, &format!("key{n}"), &["-t", "ed25519"], "")).collect();
    std::fs::copy(format!("{}.pub", keys[7]), sshd.home.join(".ssh/authorized_keys")).expect("the folder is writable");
    let agent = Agent::start("select", &keys.iter().map(String::as_str).collect::<Vec<_>>());
    let login = login_keys(&sshd) + "auth: agent\n";
    let run = |identity: &str| {
        let keys = login.replace(&sshd.file("id_ed25519"), identity);
        let (_, mut runs) = run_once_with(sentrynet().env("SSH_AUTH_SOCK", &agent.socket), &ssh_config(&keys));
        runs.remove(0)
    };
    let passed = run(&format!("{}.pub", keys[7]));
    assert_eq!(passed["outcome"], "passed", "{passed:#}");
    let refused = run(&format!("{}.pub", keys[0]));
    assert_eq!(refused["failure"]["reason"], "auth", "{refused:#}");
    let absent = run(&sshd.file("id_ed25519.pub"));
    let message = absent["failure"]["message"].as_str().expect("a failure has a message");
    assert!(message.contains(" does not have the key of `identity` (ssh-ed25519, SHA256:"), "{message}");
    let check = |identity: &str, more: &str, expected: &str| {
        let keys = login.replace(&sshd.file("id_ed25519"), identity) + more;
        let mut checking = sentrynet();
        let ended = run_command(checking.args(["check", "-"]).env("SSH_AUTH_SOCK", &agent.socket), &ssh_config(&keys));
        assert!(ended.code == 2 && ended.stderr.contains(expected), "{}", ended.stderr);
    };
    let private = &keys[7];
    check(private, "", &format!("{private} is a private key: name the public one, {private}.pub, since the agent has"));
    check(&format!("{private}.pub"), "password: x", "leave out the password, or `auth`");
    check(&format!("{private}.pub"), "passphrase: x", "`auth: agent` needs no passphrase");
}

#[test]
fn the_certificate_beside_a_key_logs_in() {
    for kind in ["ed25519", "ecdsa", "rsa"] {
        let name = format!("user-certificate-{kind}");
        let folder = empty_folder(&format!("ssh-{name}"));
        let authority = generate_key(&folder, "authority", &["-t", "ed25519"], "");
        let sshd = Sshd::openssh(&name, &format!("TrustedUserCAKeys {authority}.pub"));
        let key = generate_key(&sshd.home, "certified", &["-t", kind], "");
        let login = login_keys(&sshd).replace("id_ed25519", "certified");
        expect_failure(&login, "auth");
        sign_key(&authority, &format!("{key}.pub"), &["-n", &sshd.user]);
        expect_passed(&login);
        sign_key(&authority, &format!("{key}.pub"), &["-n", &sshd.user, "-V", "20200101:20200102"]);
        let message = expect_failure(&login, "auth");
        assert!(
            message.contains("certified-cert.pub (") && message.contains("which has expired on 2020-01-"),
            "{message}"
        );
        sign_key(&authority, &format!("{key}.pub"), &["-n", "another"]);
        let message = expect_failure(&login, "auth");
        assert!(message.contains("the certificate ") && message.contains(" and the key "), "{message}");
    }
}

/// Asserts that [`PASSWORD`] logs in to this server by this method, and that a wrong password does not.
#[track_caller]
fn check_password(port: u16, user: &str, host_key: &str, method: &str) {
    let keys = format!("port: {port}\nusername: {user}\nauth: password\nhost_key: {host_key}\ncommand: echo hello\n");
    let run = expect_passed(&format!("{keys}password: {PASSWORD}"));
    assert_eq!(spans(&run, "ssh")[0]["data"]["ssh.auth.method"], method);
    assert!(!run.to_string().contains(PASSWORD), "{run:#}");
    let message = expect_failure_in(&format!("{keys}password: close sesame"), "auth", "ssh.auth");
    assert!(message.starts_with(&format!("the server refused the password for `{user}`; it offers ")), "{message}");
    assert!(message.contains(method) && !message.contains("sesame"), "{message}");
}

#[test]
fn passwords_log_in() {
    let (port, fingerprint) = ssh_server::start(RequiredAuth::Password);
    check_password(port, "me", &fingerprint, "password");
    let (port, fingerprint) = ssh_server::start(RequiredAuth::KeyboardInteractive);
    check_password(port, "me", &fingerprint, "keyboard-interactive");
    if let Some(sshd) = Sshd::openssh_with_password("password", "") {
        check_password(sshd.port, &sshd.user, &sshd.fingerprint("ed25519"), "password");
    }
    if let Some(dropbear) = Sshd::dropbear("password", &[]) {
        check_password(dropbear.port, &dropbear.user, &dropbear.fingerprint("ed25519"), "password");
    }
}

#[test]
fn authentication_that_the_server_does_not_accept_is_reported() {
    let sshd = Sshd::openssh("not-offered", "");
    let keys = login_keys(&sshd).replace("identity: ", "# ") + "auth: password\npassword: open sesame";
    let message = expect_failure_in(&keys, "auth", "ssh.auth");
    let user = &sshd.user;
    let expected = format!(
        "the server refused a password (not tried, since the server does not offer this method) for `{user}`; it \
         offers publickey"
    );
    assert_eq!(message, expected);

    let (port, fingerprint) = ssh_server::start(RequiredAuth::PasswordAndKey);
    let keys = format!("port: {port}\nusername: me\nhost_key: {fingerprint}\nauth: password\npassword: {PASSWORD}");
    let message = expect_failure_in(&keys, "auth", "ssh.auth");
    let expected = "the server accepted the password for `me`, but asks for a second factor: publickey";
    assert_eq!(message, expected);
}

#[test]
fn servers_without_authentication_or_without_a_method_are_supported() {
    let (port, fingerprint) = ssh_server::start(RequiredAuth::Nothing);
    let keys = format!("port: {port}\nusername: me\nhost_key: {fingerprint}\n");
    let run = expect_passed(&keys);
    assert_eq!(spans(&run, "ssh")[0]["data"]["ssh.auth.method"], "none");
    expect_passed(&format!("{keys}auth: none\ncommand: echo hello\nchecks: {{stdout: echo hello}}"));
    let message = expect_failure_in(&format!("{keys}auth: none\ncommand: refuse"), "protocol", "ssh.exec");
    assert_eq!(message, "the server refused to run the command");

    let (port, fingerprint) = ssh_server::start(RequiredAuth::Unsatisfiable);
    let message = expect_failure_in(&format!("port: {port}\nhost_key: {fingerprint}"), "protocol", "ssh.auth");
    assert_eq!(message, "the server offers no way to log in");
}

#[test]
fn a_refused_password_is_tried_as_the_answer_to_a_prompt() {
    let (port, fingerprint) = ssh_server::start(RequiredAuth::PasswordByPromptAlone);
    check_password(port, "me", &fingerprint, "keyboard-interactive");
}

#[test]
fn a_second_factor_is_reported_or_given() {
    let (port, fingerprint) = ssh_server::start(RequiredAuth::PasswordAndCode);
    let keys =
        |port, fingerprint| format!("port: {port}\nusername: me\nhost_key: {fingerprint}\npassword: {PASSWORD}\n");
    let message = expect_failure_in(&keys(port, fingerprint), "auth", "ssh.auth");
    assert_eq!(message, "the server asks `me` for a second factor beside the password: `Verification code:`");

    // The key is only asked for after the password, although it is the first credential.
    let (port, fingerprint) = ssh_server::start(RequiredAuth::PasswordAndKey);
    let key = generate_key(&empty_folder("ssh-second-factor"), "key", &["-t", "ed25519"], "");
    expect_passed(&format!("{}identity: {key}", keys(port, fingerprint)));
    for methods in ["password,publickey", "publickey,password"] {
        let name = format!("both-{}", methods.split(',').next().unwrap_or_default());
        let Some(sshd) = Sshd::openssh_with_password(&name, &format!("AuthenticationMethods {methods}")) else {
            return;
        };
        expect_passed(&format!("{}password: {PASSWORD}", login_keys(&sshd)));
        let message = expect_failure(&login_keys(&sshd), "auth");
        assert!(message.contains("second factor") || methods.starts_with("password"), "{message}");
    }
}

#[test]
fn an_expired_password_is_reported() {
    let python = find_tool("python/bin/python").expect("Python is missing: run the tests with tests/run");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/ssh/expired_password.py");
    let mut command = Command::new(python);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut server = KilledOnDrop(command.spawn().expect("Python starts"));
    let mut line = String::new();
    let stdout = server.0.stdout.take().expect("stdout is piped");
    BufReader::new(stdout).read_line(&mut line).expect("the server can be read");
    let (port, fingerprint) = line.trim().split_once(' ').expect("asyncssh is missing: run the tests with tests/run");
    // Long enough that the server's silence is not what ends the run.
    let keys = format!("port: {port}\nusername: me\nhost_key: {fingerprint}\npassword: {PASSWORD}\ntimeout: 55");
    let message = expect_failure_in(&keys, "auth", "ssh.auth");
    assert_eq!(message, "the password of `me` has expired: the server asks for a new one");
}
