use std::path::Path;
use std::sync::Arc;

use russh::keys::HashAlg;

use super::*;

const ED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const ED_FINGERPRINT: &str = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";
const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";
const EC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).expect("the test key is valid")
}

fn known_host(trust: &Trust, host: &str, port: u16) -> KnownHost {
    trust.known_host(host, port, &MayBlock::in_test())
}

fn verify_key(trust: &Trust, known_host: &KnownHost, shown: &str) -> Result<(), String> {
    trust.verify(known_host, &key(shown), &MayBlock::in_test())
}

fn write_known_hosts(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary directory can be created");
    let file = folder.path().join("known_hosts");
    std::fs::write(&file, text).expect("the file can be written");
    (folder, file)
}

/// Verifies a key with a file of known hosts. In the message, `FILE` stands for the path of the file.
fn verify(text: &str, host: &str, port: u16, shown: &str) -> Result<(), String> {
    let (_folder, file) = write_known_hosts(text);
    let trust = Trust::KnownHosts { files: vec![file.clone()], accept_new: None };
    let verified = verify_key(&trust, &known_host(&trust, host, port), shown);
    verified.map_err(|message| message.replace(&file.display().to_string(), "FILE"))
}

#[track_caller]
fn check(text: &str, shown: &str, expected: Result<(), &str>) {
    assert_eq!(verify(text, "h", 22, shown), expected.map_err(str::to_owned));
}

#[test]
fn accepts_known_keys() {
    check(&format!("h {ED}\n"), ED, Ok(()));
    check(&format!("h {OTHER}\nh {ED}\n"), ED, Ok(()));
    check(&format!("* {ED} with a comment\r\n"), ED, Ok(()));
    assert_eq!(verify(&format!("h {ED}"), "h", 2222, ED), Ok(()));
    assert_eq!(verify(&format!("h {OTHER}\n[h]:2222 {ED}"), "h", 2222, ED), Ok(()));
}

#[test]
fn rejects_unknown_keys() {
    let expected = format!(
        "the host key of `h` is not known: the server showed ssh-ed25519 {ED_FINGERPRINT}; if this is its key, add \
         this line to FILE: h {ED}"
    );
    check("", ED, Err(&expected));
    check(&format!("other {ED}\n"), ED, Err(&expected));
    let message = verify(&format!("h {OTHER}"), "h", 2222, ED).expect_err("a key for another port is not trusted");
    assert!(message.contains("host key of `[h]:2222` is not known"), "{message}");
    assert!(message.ends_with(&format!("add this line to FILE: [h]:2222 {ED}")), "{message}");
    let message = verify(&format!("@cert-authority * {ED}"), "h", 22, ED).expect_err("an authority is no host");
    assert!(message.contains("host key of `h` is not known"), "{message}");
}

#[test]
fn mentions_files_that_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a temporary directory can be created");
    let absent = folder.path().join("absent");
    let trust = Trust::KnownHosts { files: vec![absent, folder.path().to_owned()], accept_new: None };
    let message = verify_key(&trust, &known_host(&trust, "h", 22), ED).expect_err("an unknown key is not trusted");
    assert!(message.contains("cannot be read: it is not a regular file)"), "{message}");
}

#[test]
fn rejects_changed_keys() {
    let message = verify(&format!("# mine\nh {OTHER}"), "h", 22, ED).expect_err("a changed key is not trusted");
    assert_eq!(
        message,
        format!(
            "the host key of `h` has changed: FILE:2 has ssh-ed25519 {}, the server showed ssh-ed25519 {ED_FINGERPRINT}; if \
             the host was reinstalled, replace that line with `h {ED}`; otherwise, somebody may be intercepting the \
             connection",
            key(OTHER).fingerprint(HashAlg::Sha256)
        )
    );
    let message = verify(&format!("h {EC}"), "h", 22, ED).expect_err("a key of another type is not trusted");
    assert!(message.starts_with("`h` is known by another key: ecdsa-sha2-nistp256 SHA256:"), "{message}");
    assert!(message.ends_with(&format!("add this line: h {ED}")), "{message}");
}

#[test]
fn rejects_revoked_keys() {
    let expected = format!("the host key of `h`, ssh-ed25519 {ED_FINGERPRINT}, is revoked (FILE:2)");
    check(&format!("h {ED}\n@revoked * {ED}\n"), ED, Err(&expected));
    check(&format!("h {ED}\n@revoked * {OTHER}\n"), ED, Ok(()));
}

#[test]
fn prefers_the_types_of_known_keys() {
    let (_folder, file) = write_known_hosts(&format!("h {EC}\n"));
    let all = russh::Preferred::DEFAULT.key;
    let names = |trust: &Trust, host: &str| -> Vec<String> {
        let preferred = trust.preferred_algorithms(&known_host(trust, host, 22), &all);
        assert_eq!(preferred.len(), all.len());
        preferred.iter().take(2).map(|algorithm| algorithm.as_str().to_owned()).collect()
    };
    let trust = Trust::KnownHosts { files: vec![file], accept_new: None };
    assert_eq!(names(&trust, "h"), ["ecdsa-sha2-nistp256", "ssh-ed25519"]);
    assert_eq!(names(&trust, "other"), ["ssh-ed25519", "ecdsa-sha2-nistp256"]);
    let pinned = Trust::Pinned(vec![PinnedKey::parse(EC).expect("the test key is valid")]);
    assert_eq!(names(&pinned, "other"), ["ecdsa-sha2-nistp256", "ssh-ed25519"]);
    assert!(is_same_type(&Algorithm::Rsa { hash: None }, &Algorithm::Rsa { hash: Some(HashAlg::Sha256) }));
}

#[test]
fn accepts_pinned_keys_only() {
    let verify = |pinned: &[&str], shown: &str| {
        let keys = pinned.iter().map(|text| PinnedKey::parse(text).expect("the pinned key is valid"));
        let trust = Trust::Pinned(keys.collect());
        verify_key(&trust, &known_host(&trust, "h", 22), shown)
    };
    for pinned in [ED, ED_FINGERPRINT, &format!("{ED_FINGERPRINT}="), &format!("{ED} me@home"), &format!("h {ED}")] {
        assert_eq!(verify(&[pinned], ED), Ok(()));
        assert!(verify(&[pinned], OTHER).is_err());
        assert_eq!(verify(&[OTHER, pinned], ED), Ok(()));
    }
    let message = verify(&[ED_FINGERPRINT], OTHER).expect_err("only the pinned key is trusted");
    assert!(
        message.contains(&format!("; pinned: {ED_FINGERPRINT}; a host may have keys of several types")),
        "{message}"
    );
    let message = verify(&[ED], OTHER).expect_err("only the pinned key is trusted");
    assert!(message.ends_with(&format!("; pinned: ssh-ed25519 {ED_FINGERPRINT}")), "{message}");
}

#[test]
fn explains_invalid_pinned_keys() {
    for (text, expected) in [
        ("SHA256:abc", "`SHA256:abc` is not a complete fingerprint"),
        ("MD5:ab:cd", "MD5 fingerprints are too weak: give the one that begins with `SHA256:`"),
        ("yes", "neither a fingerprint (`SHA256:…`) nor a public key (`ssh-ed25519 AAAA…`)"),
        ("", "neither a fingerprint (`SHA256:…`) nor a public key (`ssh-ed25519 AAAA…`)"),
    ] {
        assert_eq!(PinnedKey::parse(text).expect_err("the text is not a key"), expected);
    }
}

fn accept_new_trust(file: &Path) -> Trust {
    Trust::KnownHosts { files: vec![file.to_owned()], accept_new: Some(AcceptNew::default()) }
}

#[test]
fn a_new_host_is_written_to_the_file_once() {
    let folder = tempfile::tempdir().expect("a temporary directory can be created");
    let file = folder.path().join("new/known_hosts");
    let trust = accept_new_trust(&file);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(verify_key(&trust, &known_host(&trust, "h", 2222), ED), Ok(())));
        }
    });
    assert_eq!(std::fs::read_to_string(&file).expect("the file was written"), format!("[h]:2222 {ED}\n"));
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().expect("the file was created"));
    assert_eq!(mode & 0o777, 0o600);
    // Once a host is known, another key is not trusted.
    let message = verify_key(&trust, &known_host(&trust, "h", 2222), OTHER).expect_err("a changed key is not trusted");
    assert!(message.contains("has changed"), "{message}");
    assert!(verify_key(&trust, &known_host(&trust, "h", 2222), EC).is_err());
}

#[test]
fn a_host_that_another_program_has_added_is_known() {
    let (_folder, file) = write_known_hosts("# no newline");
    let trust = accept_new_trust(&file);
    let before = known_host(&trust, "h", 22);
    assert_eq!(verify_key(&trust, &before, ED), Ok(()));
    assert_eq!(std::fs::read_to_string(&file).expect("the file can be read"), format!("# no newline\nh {ED}\n"));
    assert_eq!(verify_key(&trust, &before, ED), Ok(()));
    let message = verify_key(&trust, &before, OTHER).expect_err("the first accepted key is the host's");
    assert!(message.contains("has changed"), "{message}");
    assert_eq!(std::fs::read_to_string(&file).expect("the file can be read").lines().count(), 2);
}

#[test]
fn a_new_host_that_cannot_be_written_is_stored_in_memory() {
    // A directory has the path of the file.
    let folder = tempfile::tempdir().expect("a temporary directory can be created");
    let trust = accept_new_trust(folder.path());
    assert_eq!(verify_key(&trust, &known_host(&trust, "h", 22), ED), Ok(()));
    assert_eq!(verify_key(&trust, &known_host(&trust, "h", 22), ED), Ok(()));
    let message = verify_key(&trust, &known_host(&trust, "h", 22), OTHER).expect_err("a changed key is not trusted");
    assert!(message.contains("has changed: memory (not written to "), "{message}");
}

#[test]
fn a_file_that_another_program_keeps_locked_blocks_no_other_run() {
    let (_folder, file) = write_known_hosts("");
    let (_other_folder, other_file) = write_known_hosts("");
    let lock = std::fs::File::open(&file).expect("the file can be opened");
    lock.lock().expect("the file can be locked");
    let hosts = |max_lock_wait| Arc::new(AcceptedHosts { max_lock_wait, ..AcceptedHosts::default() });
    let patient = hosts(std::time::Duration::MAX);
    let trust_in = |hosts: &Arc<AcceptedHosts>, file: &Path| Trust::KnownHosts {
        files: vec![file.to_owned()],
        accept_new: Some(AcceptNew { hosts: Arc::clone(hosts), ..AcceptNew::default() }),
    };
    std::thread::scope(|scope| {
        let trust = trust_in(&patient, &file);
        let waiting = scope.spawn(move || verify_key(&trust, &known_host(&trust, "h", 22), ED));
        // Runs of other probes read the same file, and write to another one.
        let other = trust_in(&patient, &other_file);
        assert_eq!(verify_key(&other, &known_host(&other, "h", 22), ED), Ok(()));
        known_host(&trust_in(&patient, &file), "h", 22);
        assert!(!waiting.is_finished());
        // A run that waits no longer stores the key in memory.
        let impatient = trust_in(&hosts(std::time::Duration::ZERO), &file);
        assert_eq!(verify_key(&impatient, &known_host(&impatient, "h", 22), ED), Ok(()));
        let message =
            verify_key(&impatient, &known_host(&impatient, "h", 22), OTHER).expect_err("another key is stored");
        assert!(message.contains("has changed: memory (not written to "), "{message}");
        lock.unlock().expect("the file can be unlocked");
        assert_eq!(waiting.join().expect("the thread does not panic"), Ok(()));
    });
    assert_eq!(std::fs::read_to_string(&file).expect("the file can be read"), format!("h {ED}\n"));
}
