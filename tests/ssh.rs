//! SSH: OpenSSH and dropbear as they are, and peers that are neither.

use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::support::lenient::{self, Wants};
use crate::support::sshd::{Agent, PASSWORD, Sshd, hash, keygen};
use crate::support::{delayed, eventually, finish, folder, free_port, lasted, once, once_with, sentrynet, slow, spans};

fn ssh(keys: &str) -> String {
    let keys: String = keys.lines().map(|line| format!("        {line}\n")).collect();
    format!("groups:\n  - probes:\n      - probe: ssh\n        host: 127.0.0.1\n{keys}")
}

/// The one run of the one ssh probe with these keys.
#[track_caller]
fn probe(keys: &str) -> Value {
    let (_, mut runs) = once(&ssh(keys));
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

#[track_caller]
fn passed(keys: &str) -> Value {
    let run = probe(keys);
    assert_eq!(run["outcome"], "passed", "{run:#}");
    run
}

/// A run that fails for this reason, in this phase: its message.
#[track_caller]
fn failed(keys: &str, reason: &str, phase: &str) -> String {
    let run = probe(keys);
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert_eq!(run["failure"]["reason"], reason, "{run:#}");
    let at_fault: Vec<_> = run["spans"]
        .as_array()
        .expect("a run has spans")
        .iter()
        .filter(|span| span["data"]["error.type"] == reason)
        .map(|span| span["op"].as_str().expect("an op is text"))
        .collect();
    assert_eq!(at_fault, ["ssh", phase], "{run:#}");
    run["failure"]["message"].as_str().expect("a failure has a message").to_owned()
}

fn ops(run: &Value) -> Vec<&str> {
    let spans = run["spans"].as_array().expect("a run has spans");
    spans.iter().filter_map(|span| span["op"].as_str()).filter(|op| op.starts_with("ssh")).collect()
}

/// What logs in to a server, with its host key known.
fn login(sshd: &Sshd) -> String {
    let known_hosts = sshd.known_hosts(&[&sshd.host_key("ed25519")]);
    let Sshd { port, user, .. } = sshd;
    format!("port: {port}\nusername: {user}\nidentity: {}\nknown_hosts: {known_hosts}\n", sshd.file("id_ed25519"))
}

#[test]
fn the_service_is_up() {
    let sshd = Sshd::openssh("up", "");
    let known_hosts = sshd.known_hosts(&[&sshd.host_key("ed25519")]);
    let keys = format!("port: {}\nknown_hosts: {known_hosts}", sshd.port);
    let run = passed(&keys);
    assert_eq!(ops(&run), ["ssh", "ssh.connect", "ssh.banner", "ssh.kex", "ssh.auth"]);
    let span = spans(&run, "ssh")[0];
    assert_eq!(span["description"], format!("SSH 127.0.0.1:{}", sshd.port));
    let data = &span["data"];
    assert_eq!(data["server.address"], "127.0.0.1");
    assert_eq!(data["server.port"], sshd.port);
    assert_eq!(data["network.peer.address"], "127.0.0.1");
    assert!(data["ssh.server.version"].as_str().is_some_and(|it| it.starts_with("SSH-2.0-OpenSSH_")), "{data:#}");
    assert_eq!(data["ssh.host_key.type"], "ssh-ed25519");
    assert_eq!(data["ssh.host_key.fingerprint"], sshd.fingerprint("ed25519"));
    assert!(data["ssh.kex.algorithm"].as_str().is_some_and(|it| it.contains("25519")), "{data:#}");
    assert_eq!(data["ssh.cipher"], "chacha20-poly1305@openssh.com");
    assert_eq!(data["ssh.auth.methods"], "publickey");
    for op in ["ssh", "ssh.connect", "ssh.banner", "ssh.kex", "ssh.auth"] {
        assert_eq!(spans(&run, op)[0]["status"], "ok");
    }
    let total: f64 = ["ssh.connect", "ssh.banner", "ssh.kex", "ssh.auth"].map(|op| lasted(&run, op)).iter().sum();
    assert!(total <= lasted(&run, "ssh"), "{run:#}");
}

#[test]
fn a_name_is_resolved() {
    let sshd = Sshd::openssh("name", "");
    let keys = format!("port: {}\nhost_key: {}", sshd.port, sshd.fingerprint("ed25519"));
    let configuration = ssh(&keys).replace("127.0.0.1", "localhost");
    let (_, runs) = once(&configuration);
    assert_eq!(runs[0]["outcome"], "passed", "{:#}", runs[0]);
    assert_eq!(ops(&runs[0])[1], "ssh.dns");
    let (_, runs) = once(&ssh(&keys).replace("127.0.0.1", "no-such-host.invalid"));
    assert_eq!(runs[0]["failure"]["reason"], "dns", "{:#}", runs[0]);
    let message = runs[0]["failure"]["message"].as_str().expect("a failure has a message");
    assert!(message.starts_with("`no-such-host.invalid` does not resolve: "), "{message}");
}

#[test]
fn keys_of_all_types_log_in() {
    let sshd = Sshd::openssh("keys", "");
    let keys = [
        ("ecdsa", "ecdsa", "", ""),
        ("rsa", "rsa", "", ""),
        ("encrypted", "ed25519", "a passphrase", "passphrase: a passphrase"),
    ];
    let run = passed(&login(&sshd));
    assert_eq!(ops(&run), ["ssh", "ssh.connect", "ssh.banner", "ssh.kex", "ssh.auth"]);
    let span = spans(&run, "ssh")[0];
    assert_eq!(span["description"], format!("SSH {}@127.0.0.1:{}", sshd.user, sshd.port));
    assert_eq!(span["data"]["ssh.auth.method"], "publickey");
    for (name, kind, passphrase, key) in keys {
        let file = keygen(&sshd.home, name, &["-t", kind], passphrase);
        std::fs::copy(format!("{file}.pub"), sshd.home.join(".ssh/authorized_keys")).expect("the folder is writable");
        let run = passed(&format!("{}command: echo hello\n{key}", login(&sshd).replace("id_ed25519", name)));
        assert_eq!(ops(&run).last(), Some(&"ssh.exec"));
        assert!(!run.to_string().contains("a passphrase"), "{run:#}");
    }
}

#[test]
fn keys_that_do_not_log_in() {
    let sshd = Sshd::openssh("wrong-keys", "");
    keygen(&sshd.home, "another", &["-t", "ed25519"], "");
    keygen(&sshd.home, "locked", &["-t", "ed25519"], "a passphrase");
    std::fs::write(sshd.home.join("notes"), "no key").expect("the folder is writable");
    let login = |key: &str| login(&sshd).replace("id_ed25519", key);
    let message = failed(&login("another"), "auth", "ssh.auth");
    let (user, home) = (&sshd.user, sshd.home.display());
    assert!(
        message.starts_with(&format!("the server refused the key {home}/another (ssh-ed25519, SHA256:")),
        "{message}"
    );
    assert!(message.ends_with(&format!(") for `{user}`; it offers publickey")), "{message}");
    // What is wrong with a file is found before anything is connected.
    let check = |keys: &str, expected: &str| {
        let ended = finish(sentrynet().args(["check", "-"]), &ssh(keys));
        assert!(ended.code == 2 && ended.stderr.contains(&format!("error: {expected}\n")), "{}", ended.stderr);
    };
    check(&login("locked"), &format!("{home}/locked is encrypted: give its passphrase"));
    check(&format!("{}passphrase: not it", login("locked")), &format!("the passphrase does not open {home}/locked"));
    check(&login("absent"), &format!("{home}/absent: no such file or directory"));
    check(&login("notes"), &format!("{home}/notes holds no private key"));
    let public = format!("{home}/another.pub is a public key: name the private one, without `.pub`");
    check(&login("another.pub"), &public);
}

#[test]
fn an_agent_logs_in() {
    let sshd = Sshd::openssh("agent", "MaxAuthTries 3");
    let login = login(&sshd).replace("identity: ", "# ") + "auth: agent\n";
    let run = |socket: &str, keys: &str| {
        let (_, mut runs) = once_with(sentrynet().env("SSH_AUTH_SOCK", socket), &ssh(&format!("{login}{keys}")));
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
    assert_eq!(message(&failed), format!("no agent answers at {socket}: no such file or directory"));
    assert_eq!(failed["failure"]["reason"], "other");

    let many: Vec<_> = (0..4).map(|n| keygen(&sshd.home, &format!("key{n}"), &["-t", "ed25519"], "")).collect();
    let agent = Agent::start("many", &many.iter().map(String::as_str).collect::<Vec<_>>());
    let failed = run(&agent.socket.display().to_string(), "");
    assert_eq!(failed["failure"]["reason"], "auth", "{failed:#}");
    let message = message(&failed);
    assert!(message.contains("Too many authentication failures"), "{message}");
}

/// A password's probe against this server, and against it with a wrong one.
#[track_caller]
fn check_password(port: u16, user: &str, host_key: &str, method: &str) {
    let keys = format!("port: {port}\nusername: {user}\nauth: password\nhost_key: {host_key}\ncommand: echo hello\n");
    let run = passed(&format!("{keys}password: {PASSWORD}"));
    assert_eq!(spans(&run, "ssh")[0]["data"]["ssh.auth.method"], method);
    assert!(!run.to_string().contains(PASSWORD), "{run:#}");
    let message = failed(&format!("{keys}password: close sesame"), "auth", "ssh.auth");
    assert!(message.starts_with(&format!("the server refused the password for `{user}`; it offers ")), "{message}");
    assert!(message.contains(method) && !message.contains("sesame"), "{message}");
}

#[test]
fn passwords_log_in() {
    let (port, fingerprint) = lenient::start(Wants::Password);
    check_password(port, "me", &fingerprint, "password");
    let (port, fingerprint) = lenient::start(Wants::Prompts);
    check_password(port, "me", &fingerprint, "keyboard-interactive");
    if let Some(sshd) = Sshd::openssh_with_password("password") {
        check_password(sshd.port, &sshd.user, &sshd.fingerprint("ed25519"), "password");
    }
    if let Some(dropbear) = Sshd::dropbear("password", &[]) {
        check_password(dropbear.port, &dropbear.user, &dropbear.fingerprint("ed25519"), "password");
    }
}

#[test]
fn what_the_server_does_not_ask_for() {
    let sshd = Sshd::openssh("unasked", "");
    let keys = login(&sshd).replace("identity: ", "# ") + "auth: password\npassword: open sesame";
    let message = failed(&keys, "auth", "ssh.auth");
    let user = &sshd.user;
    let expected =
        format!("the server refused a password (which it does not ask for) for `{user}`; it offers publickey");
    assert_eq!(message, expected);

    let (port, fingerprint) = lenient::start(Wants::PasswordAndKey);
    let keys = format!("port: {port}\nusername: me\nhost_key: {fingerprint}\nauth: password\npassword: {PASSWORD}");
    let message = failed(&keys, "auth", "ssh.auth");
    let expected = "the server refused the password (taken, but not enough) for `me`; it offers publickey";
    assert_eq!(message, expected);
}

#[test]
fn who_lets_anyone_in_or_nobody() {
    let (port, fingerprint) = lenient::start(Wants::Nothing);
    let keys = format!("port: {port}\nusername: me\nhost_key: {fingerprint}\n");
    let run = passed(&keys);
    assert_eq!(spans(&run, "ssh")[0]["data"]["ssh.auth.method"], "none");
    passed(&format!("{keys}auth: none\ncommand: echo hello\nchecks: {{stdout: echo hello}}"));
    let message = failed(&format!("{keys}auth: none\ncommand: refuse"), "protocol", "ssh.exec");
    assert_eq!(message, "the server would not run the command");

    let (port, fingerprint) = lenient::start(Wants::TheImpossible);
    let message = failed(&format!("port: {port}\nhost_key: {fingerprint}"), "protocol", "ssh.auth");
    assert_eq!(message, "the server offers no way to log in");
}

#[test]
fn host_keys_are_checked() {
    let sshd = Sshd::openssh("trust", "");
    let (port, name) = (sshd.port, format!("[127.0.0.1]:{}", sshd.port));
    let (ed25519, ecdsa) = (sshd.host_key("ed25519"), sshd.host_key("ecdsa"));
    let another = Sshd::openssh("trust-another", "");
    let probe = |keys: &str| format!("port: {port}\n{keys}");
    let file = sshd.file("known_hosts");

    let unknown = sshd.known_hosts(&[]);
    let message = failed(&probe(&format!("known_hosts: {unknown}")), "host-key", "ssh.kex");
    let shown = sshd.fingerprint("ed25519");
    let expected = format!(
        "the host key of `{name}` is not known: the server showed ssh-ed25519 {shown}; if that is right, add this line \
         to {file}: {name} {ed25519}"
    );
    assert_eq!(message, expected);
    let message = failed(&probe("known_hosts: /nonexistent/known_hosts"), "host-key", "ssh.kex");
    assert!(message.contains("add this line to /nonexistent/known_hosts: "), "{message}");

    let changed = sshd.known_hosts(&[&another.host_key("ed25519")]);
    let message = failed(&probe(&format!("known_hosts: {changed}")), "host-key", "ssh.kex");
    let expected = format!(
        "the host key of `{name}` has changed: {file}:1 has ssh-ed25519 {}, the server showed ssh-ed25519 {shown}; if \
         it was set up anew, replace that line with `{name} {ed25519}`, else somebody may be listening in between",
        another.fingerprint("ed25519")
    );
    assert_eq!(message, expected);

    let by_another_type = sshd.known_hosts(&[&ecdsa]);
    let run = passed(&probe(&format!("known_hosts: {by_another_type}")));
    assert_eq!(spans(&run, "ssh")[0]["data"]["ssh.host_key.type"], "ecdsa-sha2-nistp256");

    sshd.known_hosts(&[&sshd.host_key("rsa")]);
    let run = passed(&probe(&format!("known_hosts: {file}")));
    assert_eq!(spans(&run, "ssh")[0]["data"]["ssh.host_key.type"], "ssh-rsa");

    std::fs::write(&file, format!("{name} {ed25519}\n@revoked * {ed25519}\n")).expect("the folder is writable");
    let message = failed(&probe(&format!("known_hosts: {file}")), "host-key", "ssh.kex");
    assert_eq!(message, format!("the host key of `{name}`, ssh-ed25519 {shown}, is revoked ({file}:2)"));

    for pin in [&shown, &ed25519, &ecdsa] {
        passed(&probe(&format!("host_key: {pin}")));
    }
    for pin in [another.fingerprint("ed25519"), another.host_key("ecdsa")] {
        let message = failed(&probe(&format!("host_key: {pin}")), "host-key", "ssh.kex");
        assert!(message.starts_with(&format!("the host key of `{name}` is not the pinned one: ")), "{message}");
    }
}

#[test]
fn new_host_keys_may_be_accepted() {
    let sshd = Sshd::openssh("accept", "");
    let file = folder("ssh-accept").join("new/known_hosts");
    let keys = format!("port: {}\nknown_hosts: {}\nhost_key: accept-new", sshd.port, file.display());
    passed(&keys);
    let line = format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key("ed25519"));
    assert_eq!(std::fs::read_to_string(&file).expect("it is written"), line);
    passed(&keys);
    passed(&keys.replace("host_key", "# "));
    assert_eq!(std::fs::read_to_string(&file).expect("it is still there"), line);

    let another = Sshd::openssh("accept-another", "");
    another.known_hosts(&[&sshd.host_key("ed25519")]);
    let keys = format!("port: {}\nknown_hosts: {}\nhost_key: accept-new", another.port, another.file("known_hosts"));
    assert!(failed(&keys, "host-key", "ssh.kex").contains(" has changed: "));
}

#[test]
fn hashed_hosts_are_known() {
    let sshd = Sshd::openssh("hashed", "");
    let file = sshd.known_hosts(&[&sshd.host_key("ed25519")]);
    hash(&file);
    assert!(std::fs::read_to_string(&file).expect("it is there").starts_with("|1|"));
    passed(&format!("port: {}\nknown_hosts: {file}", sshd.port));
}

#[test]
fn commands_leave_a_status_and_output() {
    let sshd = Sshd::openssh("exec", "");
    check_commands(&sshd);
    if let Some(dropbear) = Sshd::dropbear("exec", &[]) {
        check_commands(&dropbear);
    }
}

#[track_caller]
fn check_commands(sshd: &Sshd) {
    let login = login(sshd);
    let run = passed(&format!("{login}command: echo hello; echo oops >&2\nchecks: {{stdout: {{contains: hello}}}}"));
    let exec = spans(&run, "ssh.exec")[0];
    assert_eq!(exec["data"]["ssh.exec.exit_status"], 0);
    assert_eq!(exec["data"]["ssh.exec.stdout.size"], 6);
    assert_eq!(exec["data"]["ssh.exec.stderr.size"], 5);
    assert_eq!(exec["description"], "Run `echo hello; echo oops >&2`");

    let run = probe(&format!("{login}command: exit 3"));
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert_eq!(spans(&run, "ssh.exec")[0]["data"]["ssh.exec.exit_status"], 3);
    passed(&format!("{login}command: exit 3\nchecks: {{exit status: 3}}"));
    let run = probe(&format!("{login}command: echo hello\nchecks: {{stdout: {{contains: bye}}}}"));
    assert_eq!(run["outcome"], "failed", "{run:#}");
    passed(&format!("{login}command: echo oops >&2\nchecks: {{stderr: {{contains: oops}}}}"));

    let run = probe(&format!("{login}command: kill -KILL $$"));
    assert_eq!(run["outcome"], "failed", "{run:#}");
    assert_eq!(spans(&run, "ssh.exec")[0]["data"]["ssh.exec.signal"], "KILL");
}

#[test]
fn commands_that_do_not_end() {
    let sshd = Sshd::openssh("endless", "");
    check_endless(&sshd);
    if let Some(dropbear) = Sshd::dropbear("endless", &[]) {
        check_endless(&dropbear);
    }
}

#[track_caller]
fn check_endless(sshd: &Sshd) {
    let login = login(sshd);
    let pid = sshd.home.join("pid");
    let keys = format!("{login}timeout: 1\ncommand: echo $$ > {}; echo begun; exec sleep 50", pid.display());
    let message = failed(&keys, "timeout", "ssh.exec");
    assert_eq!(message, "timed out after 1 s, running the command, 6 bytes of output so far");
    let pid = std::fs::read_to_string(pid).expect("the command has begun");
    let process = format!("/proc/{}", pid.trim());
    let ended =
        || !Path::new(&process).exists() || sshd.log().contains("session signalling requires privilege separation");
    // OpenSSH ends no command of root's.
    eventually("the command ending", || ended().then_some(()));

    let message =
        failed(&format!("{login}timeout: 1\ncommand: yes\nlimits: {{received: 1 TiB}}"), "timeout", "ssh.exec");
    let bytes = message.strip_prefix("timed out after 1 s, running the command, ").expect("it says when");
    let bytes: u64 = bytes.split(' ').next().and_then(|it| it.parse().ok()).expect("it says how much");
    assert!(bytes > 1 << 20, "{message}");
    passed(&format!("{login}command: head -c 30000000 /dev/zero\nchecks: {{stdout size: 30000000}}"));
}

#[test]
fn a_connection_that_ends_while_a_command_runs() {
    let sshd = Sshd::openssh("lost", "");
    let keys = format!("{}command: echo begun; sleep 0.3; kill -KILL $PPID; sleep 1", login(&sshd));
    let message = failed(&keys, "protocol", "ssh.exec");
    assert_eq!(message, "the server closed the connection while the command ran, 6 bytes of output so far");
}

#[test]
fn dropbear_is_up() {
    let Some(dropbear) = Sshd::dropbear("up", &[]) else { return };
    let known_hosts = dropbear.known_hosts(&[&dropbear.host_key("ed25519")]);
    let run = passed(&format!("port: {}\nknown_hosts: {known_hosts}", dropbear.port));
    assert_eq!(ops(&run), ["ssh", "ssh.connect", "ssh.banner", "ssh.kex", "ssh.auth"]);
    let data = &spans(&run, "ssh")[0]["data"];
    assert!(data["ssh.server.version"].as_str().is_some_and(|it| it.starts_with("SSH-2.0-dropbear")), "{data:#}");
    assert_eq!(data["ssh.host_key.fingerprint"], dropbear.fingerprint("ed25519"));
    assert_eq!(data["ssh.auth.methods"], "publickey,password");
    passed(&login(&dropbear));
    keygen(&dropbear.home, "another", &["-t", "ed25519"], "");
    let message = failed(&login(&dropbear).replace("id_ed25519", "another"), "auth", "ssh.auth");
    assert!(message.ends_with("for `probe`; it offers publickey, password"), "{message}");
    let unknown = dropbear.known_hosts(&[]);
    let message = failed(&format!("port: {}\nknown_hosts: {unknown}", dropbear.port), "host-key", "ssh.kex");
    assert!(message.ends_with(&dropbear.host_key("ed25519")), "{message}");
}

#[test]
fn nothing_listens() {
    let port = free_port();
    let message = failed(&format!("port: {port}"), "connect", "ssh.connect");
    assert_eq!(message, format!("connection refused by 127.0.0.1:{port}: nothing listens there"));
}

#[test]
fn peers_that_speak_no_ssh() {
    /// What the peer says, and whether it then waits.
    #[track_caller]
    fn check(says: &'static str, waits: bool, reason: &str, phase: &str, expected: &str) {
        let port = slow::listen(move |mut connection| {
            let _ = connection.write_all(says.as_bytes());
            // Until the other side goes away: to close with something unread would be a reset.
            let mut rest = [0; 4096];
            while matches!(connection.read(&mut rest), Ok(1..)) && waits {}
        });
        let message = failed(&format!("port: {port}\ntimeout: 0.5"), reason, phase);
        assert_eq!(message.replace(&port.to_string(), "PORT"), expected);
    }
    check("", false, "protocol", "ssh.banner", "127.0.0.1:PORT closed the connection before it sent a banner");
    check("", true, "timeout", "ssh.banner", "timed out after 500 ms, waiting for the server's banner");
    check(
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n",
        false,
        "protocol",
        "ssh.banner",
        "127.0.0.1:PORT sent no SSH banner, but `HTTP/1.1 400 Bad Request`",
    );
    check(
        "220 mail.example.org ESMTP\r\n",
        true,
        "timeout",
        "ssh.banner",
        "timed out after 500 ms, waiting for the server's banner, after it said `220 mail.example.org ESMTP`",
    );
    check(
        "SSH-1.5-1.2.27\n",
        false,
        "protocol",
        "ssh.banner",
        "the server speaks an SSH that is too old for us: `SSH-1.5-1.2.27`",
    );
    check("SSH-2.0-stall\r\n", true, "timeout", "ssh.kex", "timed out after 500 ms, exchanging keys");
    check("SSH-2.0-leave\r\n", false, "protocol", "ssh.kex", "the server closed the connection");
    check(
        "SSH-2.0-garbage\r\nand no packet",
        true,
        "protocol",
        "ssh.kex",
        "the server does not speak SSH as it should: bad packet size: 1634624544",
    );
}

#[test]
fn a_delay_shows_in_its_phase() {
    let sshd = Sshd::openssh("slow", "");
    let delay = Duration::from_millis(300);
    let known = format!("host_key: {}", sshd.fingerprint("ed25519"));
    let port = slow::forward(sshd.port, delay);
    let run = passed(&format!("port: {port}\n{known}"));
    // The server's banner is on its way at once; what we say to it is held back.
    delayed(&run, "ssh", &["connect", "banner", "kex", "auth"], "kex", delay);
    let login = login(&sshd);
    let run = passed(&format!("{login}command: sleep 0.3"));
    delayed(&run, "ssh", &["connect", "banner", "kex", "auth", "exec"], "exec", delay);
}
