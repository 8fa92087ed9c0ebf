//! Verification of host keys by `known_hosts` and `host_key`.

use super::{expect_failure_in, expect_passed};
use crate::support::sshd::{Sshd, generate_key, hash_known_hosts, sign_key};
use crate::support::{absent_path, empty_folder, spans};

#[test]
fn host_keys_are_checked() {
    let sshd = Sshd::openssh("trust", "");
    let (port, name) = (sshd.port, format!("[127.0.0.1]:{}", sshd.port));
    let (ed25519, ecdsa) = (sshd.host_key("ed25519"), sshd.host_key("ecdsa"));
    let another = Sshd::openssh("trust-another", "");
    let probe = |keys: &str| format!("port: {port}\n{keys}");
    let file = sshd.file("known_hosts");

    let unknown = sshd.known_hosts(&[]);
    let message = expect_failure_in(&probe(&format!("known_hosts: {unknown}")), "host-key", "ssh.kex");
    let shown = sshd.fingerprint("ed25519");
    let expected = format!(
        "the host key of `{name}` is not known: the server showed ssh-ed25519 {shown}; if this is its key, add this \
         line to {file}: {name} {ed25519}"
    );
    assert_eq!(message, expected);
    let absent = absent_path("known_hosts").display().to_string();
    let message = expect_failure_in(&probe(&format!("known_hosts: {absent}")), "host-key", "ssh.kex");
    assert!(message.contains(&format!("add this line to {absent}: ")), "{message}");

    let changed = sshd.known_hosts(&[&another.host_key("ed25519")]);
    let message = expect_failure_in(&probe(&format!("known_hosts: {changed}")), "host-key", "ssh.kex");
    let expected = format!(
        "the host key of `{name}` has changed: {file}:1 has ssh-ed25519 {}, the server showed ssh-ed25519 {shown}; if \
         the host was reinstalled, replace that line with `{name} {ed25519}`; otherwise, somebody may be intercepting \
         the connection",
        another.fingerprint("ed25519")
    );
    assert_eq!(message, expected);

    let by_another_type = sshd.known_hosts(&[&ecdsa]);
    let run = expect_passed(&probe(&format!("known_hosts: {by_another_type}")));
    assert_eq!(spans(&run, "ssh")[0]["data"]["ssh.host_key.type"], "ecdsa-sha2-nistp256");

    sshd.known_hosts(&[&sshd.host_key("rsa")]);
    let run = expect_passed(&probe(&format!("known_hosts: {file}")));
    assert_eq!(spans(&run, "ssh")[0]["data"]["ssh.host_key.type"], "ssh-rsa");

    std::fs::write(&file, format!("{name} {ed25519}\n@revoked * {ed25519}\n")).expect("the folder is writable");
    let message = expect_failure_in(&probe(&format!("known_hosts: {file}")), "host-key", "ssh.kex");
    assert_eq!(message, format!("the host key of `{name}`, ssh-ed25519 {shown}, is revoked ({file}:2)"));

    for pin in [&shown, &ed25519, &ecdsa] {
        expect_passed(&probe(&format!("host_key: {pin}")));
    }
    for pin in [another.fingerprint("ed25519"), another.host_key("ecdsa")] {
        let message = expect_failure_in(&probe(&format!("host_key: {pin}")), "host-key", "ssh.kex");
        assert!(message.starts_with(&format!("the host key of `{name}` is not the pinned one: ")), "{message}");
    }
}

#[test]
fn unknown_host_keys_are_accepted_with_accept_new() {
    let sshd = Sshd::openssh("accept", "");
    let file = empty_folder("ssh-accept").join("new/known_hosts");
    let keys = format!("port: {}\nknown_hosts: {}\nhost_key: accept-new", sshd.port, file.display());
    expect_passed(&keys);
    let line = format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key("ed25519"));
    assert_eq!(std::fs::read_to_string(&file).expect("the file was written"), line);
    expect_passed(&keys);
    expect_passed(&keys.replace("host_key", "# "));
    assert_eq!(std::fs::read_to_string(&file).expect("the file still exists"), line);

    let another = Sshd::openssh("accept-another", "");
    another.known_hosts(&[&sshd.host_key("ed25519")]);
    let keys = format!("port: {}\nknown_hosts: {}\nhost_key: accept-new", another.port, another.file("known_hosts"));
    assert!(expect_failure_in(&keys, "host-key", "ssh.kex").contains(" has changed: "));
}

#[test]
fn hashed_host_names_are_found() {
    let sshd = Sshd::openssh("hashed", "");
    let file = sshd.known_hosts(&[&sshd.host_key("ed25519")]);
    hash_known_hosts(&file);
    assert!(std::fs::read_to_string(&file).expect("the file can be read").starts_with("|1|"));
    expect_passed(&format!("port: {}\nknown_hosts: {file}", sshd.port));
}

#[test]
fn certificates_of_hosts_are_checked() {
    let folder = empty_folder("ssh-host-certificate");
    let authority = generate_key(&folder, "authority", &["-t", "ed25519"], "");
    let authority_key = std::fs::read_to_string(format!("{authority}.pub")).expect("the public key exists");
    for kind in ["ed25519", "ecdsa", "rsa"] {
        // The server reads its certificate when it starts.
        let start = |name: &str, arguments: &[&str]| {
            let key = generate_key(&folder, &format!("host-{kind}"), &["-t", kind], "");
            let certificate = sign_key(&authority, &format!("{key}.pub"), &[&["-h"], arguments].concat());
            let more = format!("HostKey {key}\nHostCertificate {certificate}");
            Sshd::openssh(&format!("certificate-{kind}-{name}"), &more)
        };
        let probe = |sshd: &Sshd, lines: &str| {
            let file = sshd.file("known_hosts");
            std::fs::write(&file, lines).expect("the folder is writable");
            format!("port: {}\nknown_hosts: {file}", sshd.port)
        };
        let trusted = format!("@cert-authority * {authority_key}");

        let sshd = start("valid", &["-n", "127.0.0.1,other"]);
        let run = expect_passed(&probe(&sshd, &trusted));
        let shown = spans(&run, "ssh")[0]["data"]["ssh.host_key.type"].as_str().expect("the type is text");
        assert!(shown.ends_with("-cert-v01@openssh.com"), "{shown}");
        let message = expect_failure_in(&probe(&sshd, &trusted.replace('*', "other")), "host-key", "ssh.kex");
        assert!(message.contains(" is not known: "), "{message}");
        let revoked = format!("{trusted}@revoked * {authority_key}");
        let message = expect_failure_in(&probe(&sshd, &revoked), "host-key", "ssh.kex");
        assert!(message.contains("is revoked"), "{message}");

        let sshd = start("other", &["-n", "other"]);
        let message = expect_failure_in(&probe(&sshd, &trusted), "host-key", "ssh.kex");
        assert!(message.contains("is not for this host, but for other, and the host key of "), "{message}");
        let sshd = start("expired", &["-n", "127.0.0.1", "-V", "20200101:20200102"]);
        let message = expect_failure_in(&probe(&sshd, &trusted), "host-key", "ssh.kex");
        assert!(message.contains(" has expired on 2020-01-"), "{message}");
        // The host is trusted if its key is known, even if its certificate is not valid. OpenSSH does the same.
        let key = std::fs::read_to_string(folder.join(format!("host-{kind}.pub"))).expect("the public key exists");
        expect_passed(&probe(&sshd, &format!("{trusted}[127.0.0.1]:{} {key}", sshd.port)));
    }
}
