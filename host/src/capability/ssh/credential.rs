//! Credentials to log in with, and the files of private keys.
//!
//! No message and no `Debug` output contains a passphrase, a password or a private key.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use russh::keys::ssh_key::certificate::CertType;
use russh::keys::{Certificate, HashAlg, PrivateKey, PublicKey, decode_secret_key};
use secrecy::{ExposeSecret, SecretString};

use crate::capability::blocking_pool::MayBlock;
use crate::capability::net_errors::lower_first;
use crate::capability::regular_file;
use crate::capability::ssh::text::io_message;
use crate::capability::ssh::trust::key_of;

/// One way to log in.
#[derive(Debug, Clone)]
pub enum Credential {
    /// A private key in a file.
    Key {
        /// The path of the file.
        path: PathBuf,
        /// The passphrase, if the key is encrypted.
        passphrase: Option<SecretString>,
    },
    /// The keys of an SSH agent.
    Agent {
        /// The agent's socket; `None` for the one that `SSH_AUTH_SOCK` names.
        socket: Option<PathBuf>,
        /// The only key to use; `None` for all.
        key: Option<Box<PublicKey>>,
    },
    /// A password.
    Password(SecretString),
}

/// Returns the path of the agent's socket: `socket`, or else the value of `SSH_AUTH_SOCK`.
///
/// # Errors
/// A sentence, when neither is set.
pub fn agent_socket(socket: Option<&Path>) -> Result<PathBuf, String> {
    let from_environment = || std::env::var_os("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from);
    let socket = socket.map(Path::to_owned).or_else(from_environment);
    socket.ok_or_else(|| "there is no agent: SSH_AUTH_SOCK is not set".to_owned())
}

/// Reads a private key from a file of at most 64 KiB, in the format of OpenSSH, PEM, PKCS#8 or `PuTTY`. Decrypts the
/// key, which is slow by design.
///
/// # Errors
/// A sentence that says what is wrong with the file or its passphrase.
pub fn load_key(path: &Path, passphrase: Option<&SecretString>, may_block: &MayBlock) -> Result<PrivateKey, String> {
    decode_key(&read_key_file(path, may_block)?, passphrase).map_err(|error| error.message(path))
}

/// Reads a public key, or the key of a certificate, from a file of at most 64 KiB, in OpenSSH's format.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub fn load_public_key(path: &Path, may_block: &MayBlock) -> Result<PublicKey, String> {
    let text = read_key_file(path, may_block)?;
    let certified = || Certificate::from_openssh(text.trim()).map(|certificate| key_of(&certificate));
    PublicKey::from_openssh(text.trim()).or_else(|_| certified()).map_err(|_| {
        let path = path.display();
        if text.contains("PRIVATE KEY-----") || text.starts_with("PuTTY-User-Key-File-") {
            format!("{path} is a private key: name the public one, {path}.pub, since the agent has the private one")
        } else {
            format!("{path} holds no public key")
        }
    })
}

/// Reads the certificate of a private key, which is in a file beside it with the same name and `-cert.pub`. Returns
/// `None` if there is no such file.
///
/// # Errors
/// A sentence that says what is wrong with the file.
pub fn load_certificate(
    key_path: &Path,
    key: &PrivateKey,
    may_block: &MayBlock,
) -> Result<Option<(PathBuf, Certificate)>, String> {
    let mut name = key_path.as_os_str().to_owned();
    name.push("-cert.pub");
    let path = PathBuf::from(name);
    if !regular_file::exists(&path, may_block) {
        return Ok(None);
    }
    let shown = path.display();
    let certificate = Certificate::from_openssh(read_key_file(&path, may_block)?.trim())
        .map_err(|_| format!("{shown} holds no certificate of OpenSSH's format"))?;
    if certificate.public_key() != key.public_key().key_data() {
        return Err(format!("{shown} is the certificate of another key than {}", key_path.display()));
    }
    if certificate.cert_type() != CertType::User {
        return Err(format!("{shown} is the certificate of a host, not of a user"));
    }
    Ok(Some((path, certificate)))
}

fn read_key_file(path: &Path, may_block: &MayBlock) -> Result<String, String> {
    /// The maximum size of the file, larger than that of any key.
    const MAX_FILE_BYTES: u64 = 64 << 10;
    let shown = path.display();
    match regular_file::read(path, MAX_FILE_BYTES, may_block) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| KeyFileError::NoKey.message(path)),
        Err(error) if error.kind() == ErrorKind::FileTooLarge => Err(format!("{shown} is too large for a key")),
        Err(error) => Err(format!("{shown}: {}", io_message(&error))),
    }
}

/// Returns a description of a key for a message: `name (ssh-ed25519, SHA256:…)`.
pub fn describe_key(name: &str, key: &PublicKey) -> String {
    format!("{name} ({}, {})", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

/// The reason why no private key can be read from a file.
#[derive(Debug, PartialEq, Eq)]
enum KeyFileError {
    NoKey,
    PublicKey,
    HardwareKey,
    Encrypted,
    WrongPassphrase,
    /// The file is encrypted with a cipher of old PEM files that russh does not support.
    OldEncryption,
    /// russh cannot read the key; the text is its error.
    Unusable(String),
}

impl KeyFileError {
    fn message(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::NoKey => format!("{path} holds no private key"),
            Self::PublicKey => format!("{path} is a public key: name the private one, without `.pub`"),
            Self::HardwareKey => format!("{path} is the stub of a hardware key: add it to an agent"),
            Self::Encrypted => format!("{path} is encrypted: give its passphrase"),
            Self::WrongPassphrase => format!("the passphrase does not decrypt {path}"),
            Self::OldEncryption => {
                format!("{path} is encrypted with an old cipher: encrypt it anew with `ssh-keygen -p -f {path}`")
            }
            Self::Unusable(cause) => format!("{path} holds a key that cannot be used: {cause}"),
        }
    }
}

fn decode_key(text: &str, passphrase: Option<&SecretString>) -> Result<PrivateKey, KeyFileError> {
    const PUBLIC_KEY_PREFIXES: [&str; 5] =
        ["ssh-", "ecdsa-sha2-", "sk-", "---- BEGIN SSH2 PUBLIC", "-----BEGIN PUBLIC"];
    let text = text.trim_start_matches('\u{feff}').trim();
    if PUBLIC_KEY_PREFIXES.iter().any(|prefix| text.starts_with(prefix)) {
        return Err(KeyFileError::PublicKey);
    }
    if !text.contains("PRIVATE KEY-----") && !text.starts_with("PuTTY-User-Key-File-") {
        return Err(KeyFileError::NoKey);
    }
    if text.contains("\nDEK-Info: ") && !text.contains("\nDEK-Info: AES-128-CBC,") {
        return Err(KeyFileError::OldEncryption);
    }
    let is_encrypted = is_encrypted(text);
    let passphrase = passphrase.map(ExposeSecret::expose_secret);
    if is_encrypted && passphrase.is_none_or(str::is_empty) {
        return Err(KeyFileError::Encrypted);
    }
    match decode_secret_key(text, passphrase.filter(|_| is_encrypted)) {
        Ok(key) if key.algorithm().as_str().starts_with("sk-") => Err(KeyFileError::HardwareKey),
        Ok(key) => Ok(key),
        Err(_) if is_encrypted => Err(KeyFileError::WrongPassphrase),
        Err(error) => Err(KeyFileError::Unusable(lower_first(&error.to_string()))),
    }
}

fn is_encrypted(text: &str) -> bool {
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

    fn load_key(path: &Path, passphrase: Option<&SecretString>) -> Result<PrivateKey, String> {
        super::load_key(path, passphrase, &MayBlock::in_test())
    }

    /// Generates a key with `ssh-keygen`, and loads it.
    #[track_caller]
    fn check(arguments: &[&str], passphrase: &str, given: Option<&str>, expected: Result<&str, &str>) {
        let folder = tempfile::tempdir().expect("a temporary directory can be created");
        let file = folder.path().join("id");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-f"]).arg(&file).args(["-N", passphrase]).args(arguments);
        // Machines without OpenSSH skip these tests.
        match keygen.status() {
            Ok(status) => assert!(status.success()),
            Err(_) => return,
        }
        let loaded =
            load_key(&file, given.map(SecretString::from).as_ref()).map(|key| key.algorithm().as_str().to_owned());
        let loaded = loaded.map_err(|message| message.replace(&file.display().to_string(), "FILE"));
        assert_eq!(loaded.as_deref().map_err(String::as_str), expected);
        let message = load_key(&file.with_extension("pub"), None).expect_err("a public key is not a private key");
        assert!(message.ends_with("id.pub is a public key: name the private one, without `.pub`"), "{message}");
    }

    #[test]
    fn keys_of_all_types_and_formats_are_loaded() {
        check(&["-t", "ed25519"], "", None, Ok("ssh-ed25519"));
        check(&["-t", "ecdsa"], "", None, Ok("ecdsa-sha2-nistp256"));
        check(&["-t", "ecdsa", "-b", "521"], "", None, Ok("ecdsa-sha2-nistp521"));
        check(&["-t", "rsa", "-b", "2048"], "", None, Ok("ssh-rsa"));
        check(&["-t", "rsa", "-b", "2048", "-m", "PEM"], "", None, Ok("ssh-rsa"));
        check(&["-t", "rsa", "-b", "2048", "-m", "PKCS8"], "", None, Ok("ssh-rsa"));
        check(&["-t", "ecdsa", "-m", "PKCS8"], "", None, Ok("ecdsa-sha2-nistp256"));
    }

    #[test]
    fn an_encrypted_key_needs_its_passphrase() {
        let check_passphrases = |arguments: &[&str]| {
            check(
                arguments,
                "a passphrase",
                Some("a passphrase"),
                Ok(if arguments[1] == "rsa" { "ssh-rsa" } else { "ssh-ed25519" }),
            );
            check(arguments, "a passphrase", None, Err("FILE is encrypted: give its passphrase"));
            check(arguments, "a passphrase", Some(""), Err("FILE is encrypted: give its passphrase"));
            check(arguments, "a passphrase", Some("another"), Err("the passphrase does not decrypt FILE"));
        };
        check_passphrases(&["-t", "ed25519", "-a", "1"]);
        check_passphrases(&["-t", "rsa", "-b", "2048", "-m", "PEM"]);
        check_passphrases(&["-t", "rsa", "-b", "2048", "-m", "PKCS8"]);
        check(&["-t", "ed25519"], "", Some("needless"), Ok("ssh-ed25519"));
    }

    #[test]
    fn messages_say_why_a_file_has_no_usable_key() {
        let folder = tempfile::tempdir().expect("a temporary directory can be created");
        let check = |bytes: &[u8], expected: &str| {
            let file = folder.path().join("id");
            std::fs::write(&file, bytes).expect("the file can be written");
            let message = load_key(&file, Some(&"sesame".into())).expect_err("the file has no usable key");
            assert_eq!(message.replace(&file.display().to_string(), "FILE"), expected);
        };
        check(b"", "FILE holds no private key");
        check(b"\xff\xfe", "FILE holds no private key");
        check(b"-----BEGIN CERTIFICATE-----", "FILE holds no private key");
        check("x".repeat(70_000).as_bytes(), "FILE is too large for a key");
        let damaged = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n";
        let file = folder.path().join("id");
        std::fs::write(&file, damaged).expect("the file can be written");
        let message = load_key(&file, None).expect_err("the file has no usable key");
        assert!(message.contains(" holds a key that cannot be used: "), "{message}");
        check(
            b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\nAAAA\n",
            "FILE is encrypted with an old cipher: encrypt it anew with `ssh-keygen -p -f FILE`",
        );
        assert!(
            load_key(&folder.path().join("absent"), None)
                .expect_err("the file does not exist")
                .ends_with("/absent: no such file or directory")
        );
    }

    #[test]
    fn debug_output_has_no_secrets() {
        let key = Credential::Key { path: "id".into(), passphrase: Some("sesame".into()) };
        for credential in [key, Credential::Password("sesame".into())] {
            let text = format!("{credential:?}");
            assert!(text.contains("REDACTED") && !text.contains("sesame"), "{text}");
        }
    }
}
