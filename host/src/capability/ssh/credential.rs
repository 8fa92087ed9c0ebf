//! What a server may be shown to let somebody in, and private keys as files hold them. Secrets leave through `russh`
//! alone: no message and no `Debug` has them.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use russh::keys::{HashAlg, PrivateKey, PublicKey, decode_secret_key};

use crate::capability::net_errors::lower_first;
use crate::capability::ssh::error;

/// One way to log in.
#[derive(Clone)]
pub enum Credential {
    /// A private key's file.
    Key {
        path: PathBuf,
        passphrase: Option<String>,
    },
    /// The keys of an agent: behind this socket, or behind `SSH_AUTH_SOCK`.
    Agent {
        socket: Option<PathBuf>,
    },
    Password(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { path, .. } => f.debug_struct("Key").field("path", path).finish_non_exhaustive(),
            Self::Agent { socket } => f.debug_struct("Agent").field("socket", socket).finish(),
            Self::Password(_) => f.write_str("Password(…)"),
        }
    }
}

impl Credential {
    /// Finds what is wrong before anything is connected. Reads the key, which takes its time if it is encrypted.
    ///
    /// # Errors
    /// Why it cannot work.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Key { path, passphrase } => load(path, passphrase.as_deref()).map(drop),
            Self::Agent { socket } => agent_socket(socket.as_deref()).map(drop),
            Self::Password(_) => Ok(()),
        }
    }
}

/// Where the agent listens.
///
/// # Errors
/// When nothing says where.
pub fn agent_socket(socket: Option<&Path>) -> Result<PathBuf, String> {
    let named = || std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty()).map(PathBuf::from);
    socket.map(Path::to_owned).or_else(named).ok_or_else(|| "there is no agent: SSH_AUTH_SOCK is not set".to_owned())
}

/// Reads a private key: OpenSSH's format, PEM, PKCS#8 or `PuTTY`'s.
///
/// # Errors
/// What is wrong with the file, or with its passphrase.
pub fn load(path: &Path, passphrase: Option<&str>) -> Result<PrivateKey, String> {
    let shown = path.display();
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    match read {
        Ok(_) if text.len() as u64 > LONGEST => Err(format!("{shown} is too large for a key")),
        Ok(_) => decode(&text, passphrase).map_err(|why| why.in_words(path)),
        Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(Wrong::NoKey.in_words(path)),
        Err(error) => Err(format!("{shown}: {}", error::io(&error))),
    }
}

/// More than the largest key.
const LONGEST: u64 = 64 << 10;

/// The name of a key that is shown: `/path (ssh-ed25519, SHA256:…)`.
pub fn show(name: &str, key: &PublicKey) -> String {
    format!("{name} ({}, {})", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

#[derive(Debug, PartialEq, Eq)]
enum Wrong {
    NoKey,
    PublicKey,
    HardwareKey,
    Encrypted,
    Passphrase,
    OldEncryption,
    Unusable(String),
}

impl Wrong {
    fn in_words(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::NoKey => format!("{path} holds no private key"),
            Self::PublicKey => format!("{path} is a public key: name the private one, without `.pub`"),
            Self::HardwareKey => format!("{path} is the stub of a hardware key: have an agent use it"),
            Self::Encrypted => format!("{path} is encrypted: give its passphrase"),
            Self::Passphrase => format!("the passphrase does not open {path}"),
            Self::OldEncryption => {
                format!("{path} is encrypted in an old way: write it anew with `ssh-keygen -p -f {path}`")
            }
            Self::Unusable(why) => format!("{path} holds a key that cannot be used: {why}"),
        }
    }
}

fn decode(text: &str, passphrase: Option<&str>) -> Result<PrivateKey, Wrong> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if ["ssh-", "ecdsa-sha2-", "sk-", "---- BEGIN SSH2 PUBLIC", "-----BEGIN PUBLIC"]
        .iter()
        .any(|it| text.starts_with(it))
    {
        return Err(Wrong::PublicKey);
    }
    if !text.contains("PRIVATE KEY-----") && !text.starts_with("PuTTY-User-Key-File-") {
        return Err(Wrong::NoKey);
    }
    if text.contains("\nDEK-Info: ") && !text.contains("\nDEK-Info: AES-128-CBC,") {
        return Err(Wrong::OldEncryption);
    }
    let encrypted = encrypted(text);
    if encrypted && passphrase.is_none_or(str::is_empty) {
        return Err(Wrong::Encrypted);
    }
    match decode_secret_key(text, passphrase.filter(|_| encrypted)) {
        Ok(key) if key.algorithm().as_str().starts_with("sk-") => Err(Wrong::HardwareKey),
        Ok(key) => Ok(key),
        Err(_) if encrypted => Err(Wrong::Passphrase),
        Err(error) => Err(Wrong::Unusable(lower_first(&error.to_string()))),
    }
}

fn encrypted(text: &str) -> bool {
    if text.starts_with("PuTTY-") {
        return !text.contains("\nEncryption: none");
    }
    if text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----") {
        return PrivateKey::from_openssh(text).is_ok_and(|key| key.is_encrypted());
    }
    text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("\nDEK-Info: ")
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// Makes a key with OpenSSH, and reads it.
    #[track_caller]
    fn check(arguments: &[&str], written_with: &str, read_with: Option<&str>, expected: Result<&str, &str>) {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let file = folder.path().join("id");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-f"]).arg(&file).args(["-N", written_with]).args(arguments);
        // Not every machine has it; those that run all tests do.
        match keygen.status() {
            Ok(status) => assert!(status.success()),
            Err(_) => return,
        }
        let read = load(&file, read_with).map(|key| key.algorithm().as_str().to_owned());
        let read = read.map_err(|why| why.replace(&file.display().to_string(), "FILE"));
        assert_eq!(read.as_deref().map_err(String::as_str), expected);
        let public = load(&file.with_extension("pub"), None).expect_err("a public key");
        assert!(public.ends_with("id.pub is a public key: name the private one, without `.pub`"), "{public}");
    }

    #[test]
    fn types_and_formats() {
        check(&["-t", "ed25519"], "", None, Ok("ssh-ed25519"));
        check(&["-t", "ecdsa"], "", None, Ok("ecdsa-sha2-nistp256"));
        check(&["-t", "ecdsa", "-b", "521"], "", None, Ok("ecdsa-sha2-nistp521"));
        check(&["-t", "rsa", "-b", "2048"], "", None, Ok("ssh-rsa"));
        check(&["-t", "rsa", "-b", "2048", "-m", "PEM"], "", None, Ok("ssh-rsa"));
        check(&["-t", "rsa", "-b", "2048", "-m", "PKCS8"], "", None, Ok("ssh-rsa"));
        check(&["-t", "ecdsa", "-m", "PKCS8"], "", None, Ok("ecdsa-sha2-nistp256"));
    }

    #[test]
    fn passphrases() {
        let opens = |arguments: &[&str]| {
            check(
                arguments,
                "a passphrase",
                Some("a passphrase"),
                Ok(if arguments[1] == "rsa" { "ssh-rsa" } else { "ssh-ed25519" }),
            );
            check(arguments, "a passphrase", None, Err("FILE is encrypted: give its passphrase"));
            check(arguments, "a passphrase", Some(""), Err("FILE is encrypted: give its passphrase"));
            check(arguments, "a passphrase", Some("another"), Err("the passphrase does not open FILE"));
        };
        opens(&["-t", "ed25519", "-a", "1"]);
        opens(&["-t", "rsa", "-b", "2048", "-m", "PEM"]);
        opens(&["-t", "rsa", "-b", "2048", "-m", "PKCS8"]);
        check(&["-t", "ed25519"], "", Some("needless"), Ok("ssh-ed25519"));
    }

    #[test]
    fn files_that_are_no_keys() {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let check = |bytes: &[u8], expected: &str| {
            let file = folder.path().join("id");
            std::fs::write(&file, bytes).expect("the folder is writable");
            let why = load(&file, Some("sesame")).expect_err("no key");
            assert_eq!(why.replace(&file.display().to_string(), "FILE"), expected);
        };
        check(b"", "FILE holds no private key");
        check(b"\xff\xfe", "FILE holds no private key");
        check(b"-----BEGIN CERTIFICATE-----", "FILE holds no private key");
        check("x".repeat(70_000).as_bytes(), "FILE is too large for a key");
        let torn = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
        let file = folder.path().join("id");
        std::fs::write(&file, torn).expect("the folder is writable");
        let why = load(&file, None).expect_err("no key");
        assert!(why.contains(" holds a key that cannot be used: "), "{why}");
        check(
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\nAAAA\n",
            "FILE is encrypted in an old way: write it anew with `ssh-keygen -p -f FILE`",
        );
        assert!(
            load(&folder.path().join("absent"), None)
                .expect_err("no file")
                .ends_with("/absent: no such file or directory")
        );
    }

    #[test]
    fn secrets_are_not_shown() {
        let key = Credential::Key { path: "id".into(), passphrase: Some("sesame".into()) };
        assert_eq!(format!("{key:?}"), "Key { path: \"id\", .. }");
        assert_eq!(format!("{:?}", Credential::Password("sesame".into())), "Password(…)");
    }
}
