//! Algorithms that are used by default, and those that the setting `algorithms` allows.

use super::{expect_failure, expect_passed};
use crate::support::spans;
use crate::support::sshd::Sshd;

/// Starts a server with these lines, and returns the keys that connect to it.
#[track_caller]
fn start(name: &str, lines: &str) -> (Sshd, String) {
    let sshd = Sshd::openssh(&format!("algorithms-{name}"), lines);
    let known_hosts =
        sshd.known_hosts(&["ed25519", "ecdsa", "rsa"].map(|kind| sshd.host_key(kind)).each_ref().map(|key| &**key));
    let keys = format!("port: {}\nknown_hosts: {known_hosts}\n", sshd.port);
    (sshd, keys)
}

#[test]
fn the_algorithms_of_openssh_are_used_by_default() {
    #[track_caller]
    fn check(name: &str, lines: &str, key: &str, expected: &str) {
        let (_sshd, keys) = start(name, lines);
        let run = expect_passed(&keys);
        assert_eq!(spans(&run, "ssh")[0]["data"][key], expected, "{run:#}");
    }
    for curve in ["256", "384", "521"] {
        let kex = format!("ecdh-sha2-nistp{curve}");
        check(&kex, &format!("KexAlgorithms {kex}"), "ssh.kex.algorithm", &kex);
    }
    check("gcm", "Ciphers aes128-gcm@openssh.com", "ssh.cipher", "aes128-gcm@openssh.com");
    check("sha1", "Ciphers aes128-ctr\nMACs hmac-sha1", "ssh.mac", "hmac-sha1");
    check("etm", "Ciphers aes128-ctr\nMACs hmac-sha1-etm@openssh.com", "ssh.mac", "hmac-sha1-etm@openssh.com");
    check("rsa", "HostKeyAlgorithms rsa-sha2-256", "ssh.host_key.type", "ssh-rsa");
}

#[test]
fn older_algorithms_are_used_if_the_settings_allow_them() {
    #[track_caller]
    fn check(name: &str, lines: &str, kind: &str, key: &str, algorithm: &str) {
        let (_sshd, keys) = start(name, lines);
        let message = expect_failure(&keys, "protocol");
        let line = format!("algorithms: {{{key}: [+{algorithm}]}}");
        let expected = format!(
            "no {kind} in common: the server offers {algorithm}; if it cannot be updated, allow one of them: `{line}`"
        );
        assert_eq!(message, expected);
        expect_passed(&format!("{keys}{line}"));
    }
    for kex in ["diffie-hellman-group14-sha1", "diffie-hellman-group1-sha1"] {
        check(kex, &format!("KexAlgorithms {kex}"), "key exchange", "kex", kex);
    }
    check("ssh-rsa", "HostKeyAlgorithms ssh-rsa", "host key", "host_key", "ssh-rsa");
    for cipher in ["aes128-cbc", "aes192-cbc", "aes256-cbc"] {
        check(cipher, &format!("Ciphers {cipher}"), "cipher", "cipher", cipher);
    }
}

#[test]
fn algorithms_that_are_not_supported_are_named() {
    let (_sshd, keys) = start("umac", "Ciphers aes128-ctr\nMACs umac-64@openssh.com");
    let message = expect_failure(&keys, "protocol");
    assert_eq!(message, "no MAC in common: the server offers umac-64@openssh.com; none of them is supported");
    let (_sshd, keys) = start("only", "");
    let run = expect_passed(&format!(
        "{keys}algorithms: {{kex: ecdh-sha2-nistp256, cipher: [aes192-ctr], mac: [hmac-sha2-256]}}"
    ));
    let data = &spans(&run, "ssh")[0]["data"];
    assert_eq!((&data["ssh.kex.algorithm"], &data["ssh.cipher"]), (&"ecdh-sha2-nistp256".into(), &"aes192-ctr".into()));
}
