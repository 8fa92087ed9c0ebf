use std::path::Path;

use russh::keys::HashAlg;

use super::*;

const ED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
const ED_PRINT: &str = "SHA256:UCUiLr7Pjs9wFFJMDByLgc3NrtdU344OgUM45wZPcIQ";
const OTHER: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB9dG4kjRhQTtWTVzd2t27+t0DEHBPW7iOD23TUiYLio";
const EC: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";

fn key(text: &str) -> PublicKey {
    PublicKey::from_openssh(text).expect("a key")
}

fn files(name: &str, text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let file = folder.path().join(name);
    std::fs::write(&file, text).expect("the folder is writable");
    (folder, file)
}

/// Judges a key by a file of known hosts: the words have `FILE` for its path.
fn judge(text: &str, host: &str, port: u16, shown: &str) -> Result<(), String> {
    let (_folder, file) = files("known_hosts", text);
    let trust = Trust::KnownHosts { files: vec![file.clone()], accept_new: None };
    let verdict = trust.check(&trust.about(host, port), &key(shown));
    verdict.map_err(|why| why.replace(&file.display().to_string(), "FILE"))
}

#[track_caller]
fn check(text: &str, shown: &str, expected: Result<(), &str>) {
    assert_eq!(judge(text, "h", 22, shown), expected.map_err(str::to_owned));
}

#[test]
fn known() {
    check(&format!("h {ED}\n"), ED, Ok(()));
    check(&format!("h {OTHER}\nh {ED}\n"), ED, Ok(()));
    check(&format!("* {ED} with a comment\r\n"), ED, Ok(()));
    assert_eq!(judge(&format!("h {ED}"), "h", 2222, ED), Ok(()));
    assert_eq!(judge(&format!("h {OTHER}\n[h]:2222 {ED}"), "h", 2222, ED), Ok(()));
}

#[test]
fn unknown() {
    let expected = format!(
        "the host key of `h` is not known: the server showed ssh-ed25519 {ED_PRINT}; if that is right, add this line \
         to FILE: h {ED}"
    );
    check("", ED, Err(&expected));
    check(&format!("other {ED}\n"), ED, Err(&expected));
    let verdict = judge(&format!("h {OTHER}"), "h", 2222, ED).expect_err("another port's key");
    assert!(verdict.contains("host key of `[h]:2222` is not known"), "{verdict}");
    assert!(verdict.ends_with(&format!("add this line to FILE: [h]:2222 {ED}")), "{verdict}");
    let verdict = judge(&format!("@cert-authority * {OTHER}"), "h", 22, ED).expect_err("an authority's key");
    assert!(verdict.contains("(the authority at FILE:1 was passed over"), "{verdict}");
}

#[test]
fn files_that_cannot_be_read() {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let absent = folder.path().join("absent");
    let trust = Trust::KnownHosts { files: vec![absent, folder.path().to_owned()], accept_new: None };
    let verdict = trust.check(&trust.about("h", 22), &key(ED)).expect_err("nobody knows it");
    assert!(verdict.contains("cannot be read: is a directory)"), "{verdict}");
}

#[test]
fn changed() {
    let verdict = judge(&format!("# mine\nh {OTHER}"), "h", 22, ED).expect_err("a changed key");
    assert_eq!(
        verdict,
        format!(
            "the host key of `h` has changed: FILE:2 has ssh-ed25519 {}, the server showed ssh-ed25519 {ED_PRINT}; if \
             it was set up anew, replace that line with `h {ED}`, else somebody may be listening in between",
            key(OTHER).fingerprint(HashAlg::Sha256)
        )
    );
    let verdict = judge(&format!("h {EC}"), "h", 22, ED).expect_err("another type");
    assert!(verdict.starts_with("`h` is known by another key: ecdsa-sha2-nistp256 SHA256:"), "{verdict}");
    assert!(verdict.ends_with(&format!("add this line: h {ED}")), "{verdict}");
}

#[test]
fn revoked() {
    let expected = format!("the host key of `h`, ssh-ed25519 {ED_PRINT}, is revoked (FILE:2)");
    check(&format!("h {ED}\n@revoked * {ED}\n"), ED, Err(&expected));
    check(&format!("h {ED}\n@revoked * {OTHER}\n"), ED, Ok(()));
}

#[test]
fn types_that_are_known_come_first() {
    let (_folder, file) = files("known_hosts", &format!("h {EC}\n"));
    let all = russh::Preferred::DEFAULT.key;
    let names = |trust: &Trust, host: &str| -> Vec<String> {
        let preferred = trust.preferred(&trust.about(host, 22), &all);
        assert_eq!(preferred.len(), all.len());
        preferred.iter().take(2).map(|algorithm| algorithm.as_str().to_owned()).collect()
    };
    let trust = Trust::KnownHosts { files: vec![file], accept_new: None };
    assert_eq!(names(&trust, "h"), ["ecdsa-sha2-nistp256", "ssh-ed25519"]);
    assert_eq!(names(&trust, "other"), ["ssh-ed25519", "ecdsa-sha2-nistp256"]);
    let pinned = Trust::Pinned(vec![Pin::parse(EC).expect("a key")]);
    assert_eq!(names(&pinned, "other"), ["ecdsa-sha2-nistp256", "ssh-ed25519"]);
    assert!(same_type(&Algorithm::Rsa { hash: None }, &Algorithm::Rsa { hash: Some(HashAlg::Sha256) }));
}

#[test]
fn pinned() {
    let judge = |pins: &[&str], shown: &str| {
        let pins: Vec<_> = pins.iter().map(|pin| Pin::parse(pin).expect("a pin")).collect();
        let trust = Trust::Pinned(pins);
        trust.check(&trust.about("h", 22), &key(shown))
    };
    for pin in [ED, ED_PRINT, &format!("{ED_PRINT}="), &format!("{ED} me@home"), &format!("h {ED}")] {
        assert_eq!(judge(&[pin], ED), Ok(()));
        assert!(judge(&[pin], OTHER).is_err());
        assert_eq!(judge(&[OTHER, pin], ED), Ok(()));
    }
    let verdict = judge(&[ED_PRINT], OTHER).expect_err("another key");
    assert!(verdict.contains(&format!("and trusted is {ED_PRINT}; a host has a key of each type")), "{verdict}");
    let verdict = judge(&[ED], OTHER).expect_err("another key");
    assert!(verdict.ends_with(&format!("and trusted is ssh-ed25519 {ED_PRINT}")), "{verdict}");
}

#[test]
fn pins_that_are_none() {
    for (pin, expected) in [
        ("SHA256:abc", "`SHA256:abc` is no whole fingerprint"),
        ("MD5:ab:cd", "MD5 fingerprints are too weak: give the one that begins with `SHA256:`"),
        ("yes", "neither a fingerprint (`SHA256:…`) nor a public key (`ssh-ed25519 AAAA…`)"),
        ("", "neither a fingerprint (`SHA256:…`) nor a public key (`ssh-ed25519 AAAA…`)"),
    ] {
        assert_eq!(Pin::parse(pin).expect_err("no pin"), expected);
    }
}

fn accepting(file: &Path) -> Trust {
    Trust::KnownHosts { files: vec![file.to_owned()], accept_new: Some(Arc::default()) }
}

#[test]
fn new_hosts_are_written_down_once() {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let file = folder.path().join("new/known_hosts");
    let trust = accepting(&file);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(trust.check(&trust.about("h", 2222), &key(ED)), Ok(())));
        }
    });
    assert_eq!(std::fs::read_to_string(&file).expect("it is written"), format!("[h]:2222 {ED}\n"));
    let mode = std::os::unix::fs::MetadataExt::mode(&file.metadata().expect("it is there"));
    assert_eq!(mode & 0o777, 0o600);
    // Once known, a host may not change.
    let verdict = trust.check(&trust.about("h", 2222), &key(OTHER)).expect_err("a changed key");
    assert!(verdict.contains("has changed"), "{verdict}");
    assert!(trust.check(&trust.about("h", 2222), &key(EC)).is_err());
}

#[test]
fn another_program_may_be_faster() {
    let (_folder, file) = files("known_hosts", "# no line's end");
    let trust = accepting(&file);
    let before = trust.about("h", 22);
    assert_eq!(trust.check(&before, &key(ED)), Ok(()));
    assert_eq!(std::fs::read_to_string(&file).expect("it is there"), format!("# no line's end\nh {ED}\n"));
    assert_eq!(trust.check(&before, &key(ED)), Ok(()));
    let verdict = trust.check(&before, &key(OTHER)).expect_err("not the first to be accepted");
    assert!(verdict.contains("has changed"), "{verdict}");
    assert_eq!(std::fs::read_to_string(&file).expect("it is there").lines().count(), 2);
}

#[test]
fn what_cannot_be_written_is_remembered() {
    // A folder stands where the file should.
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let trust = accepting(folder.path());
    assert_eq!(trust.check(&trust.about("h", 22), &key(ED)), Ok(()));
    assert_eq!(trust.check(&trust.about("h", 22), &key(ED)), Ok(()));
    let verdict = trust.check(&trust.about("h", 22), &key(OTHER)).expect_err("a changed key");
    assert!(verdict.contains("has changed: memory, for want of "), "{verdict}");
}
