//! Client certificates and their keys, which are read from PEM files.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use pkcs8::{EncryptedPrivateKeyInfoRef, SecretDocument};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use secrecy::{ExposeSecret, SecretString};

use crate::capability::blocking_pool::MayBlock;
use crate::capability::regular_file;
use crate::trust_store::{MAX_FILE_BYTES, parse_certificates};

/// The PEM files of a client certificate, with its chain, and of its private key.
#[derive(Debug, Clone)]
pub struct ClientCertFiles {
    /// The certificate, followed by those of its issuers.
    pub certificate: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The passphrase of the key, if it is encrypted.
    pub passphrase: Option<SecretString>,
}

impl ClientCertFiles {
    /// Returns all fields, by which files are compared and hashed.
    fn fields(&self) -> (&Path, &Path, Option<&str>) {
        (&self.certificate, &self.key, self.passphrase.as_ref().map(ExposeSecret::expose_secret))
    }

    /// Reads the certificate and its key.
    ///
    /// # Errors
    /// A message for a person if a file cannot be read, has no usable certificate or key, or is encrypted with another
    /// passphrase.
    pub fn read(&self, provider: &CryptoProvider, may_block: &MayBlock) -> Result<SingleCertAndKey, String> {
        let Self { certificate, key, passphrase } = self;
        let text = read_file(certificate, may_block)?;
        check_no_pkcs12(&text, certificate)?;
        let chain = parse_certificates(&text, certificate)?;
        let private_key = parse_key(&read_file(key, may_block)?, key, passphrase.as_ref())?;
        let certified = CertifiedKey::from_der(chain, private_key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("the key in {} is not that of the certificate in {}", key.display(), certificate.display())
            }
            _ => format!(
                "the key in {} is of a kind that is not supported: expected RSA of 2048 bits or more, ECDSA with P-256 \
                 or P-384, or Ed25519",
                key.display()
            ),
        })?;
        Ok(SingleCertAndKey::from(certified))
    }
}

impl PartialEq for ClientCertFiles {
    fn eq(&self, other: &Self) -> bool {
        self.fields() == other.fields()
    }
}

impl Eq for ClientCertFiles {}

impl Hash for ClientCertFiles {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.fields().hash(state);
    }
}

/// Parses the private key in the text of a PEM file. `path` is for messages.
///
/// # Errors
/// A message for a person. For a key in a format that is not read, it has the command that converts the key.
fn parse_key(text: &[u8], path: &Path, passphrase: Option<&SecretString>) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    check_no_pkcs12(text, path)?;
    let readable = String::from_utf8_lossy(text);
    if readable.lines().any(|line| line.trim_end() == "Proc-Type: 4,ENCRYPTED") {
        return Err(format!(
            "the private key in {shown} is encrypted in OpenSSL's traditional format: convert it by `openssl pkcs8 -topk8 \
             -in {shown} -out NEW.key`"
        ));
    }
    if let Some(block) = pem_block(&readable, "ENCRYPTED PRIVATE KEY") {
        let Some(passphrase) = passphrase else {
            return Err(format!("the private key in {shown} is encrypted: give its `passphrase`"));
        };
        return decrypt(block, passphrase, path);
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => format!("{shown} holds no private key: expected PEM"),
        _ => format!("{shown} is not a PEM file with a private key"),
    })
}

/// Decrypts a private key in PKCS#8.
fn decrypt(block: &str, passphrase: &SecretString, path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    let (_, document) = SecretDocument::from_pem(block)
        .map_err(|_| format!("{shown} is not a PEM file with a private key: it is damaged"))?;
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(document.as_bytes());
    let encrypted = encrypted.map_err(|_| {
        format!(
            "the private key in {shown} is encrypted in a way that is not supported: convert it by `openssl pkcs8 -topk8 \
             -v2 aes-256-cbc -in {shown} -out NEW.key`"
        )
    })?;
    let decrypted = encrypted.decrypt(passphrase.expose_secret());
    let decrypted = decrypted.map_err(|_| format!("the passphrase is not that of the private key in {shown}"))?;
    Ok(PrivatePkcs8KeyDer::from(decrypted.as_bytes().to_vec()).into())
}

/// Returns the first block with a label in the text of a PEM file, with the lines at its beginning and end.
fn pem_block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let start = text.find(&begin)?;
    let length = text[start..].find(&end)? + end.len();
    Some(&text[start..start + length])
}

/// Checks that a file is not one of PKCS#12, which begins with a sequence and the version 3.
///
/// # Errors
/// A message for a person, with the command that converts the file.
fn check_no_pkcs12(bytes: &[u8], path: &Path) -> Result<(), String> {
    const VERSION_3: [u8; 4] = [0x02, 0x01, 0x03, 0x30];
    let is_pkcs12 = bytes.first() == Some(&0x30)
        && bytes.iter().take(12).copied().collect::<Vec<_>>().windows(4).any(|window| window == VERSION_3);
    let shown = path.display();
    if is_pkcs12 {
        Err(format!(
            "{shown} is a PKCS#12 file: convert it by `openssl pkcs12 -in {shown} -out NEW.pem`, which keeps the key encrypted"
        ))
    } else {
        Ok(())
    }
}

/// Reads a file of certificates or of a key.
///
/// # Errors
/// A message for a person.
pub fn read_file(path: &Path, may_block: &MayBlock) -> Result<Vec<u8>, String> {
    regular_file::read(path, MAX_FILE_BYTES, may_block)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}
