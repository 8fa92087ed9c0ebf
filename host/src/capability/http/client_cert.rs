//! Client certificates and their keys, which are read from PEM files or from a file in PKCS#12.

use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};

use pkcs8::SecretDocument;
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::der::{Decode, Reader};
use pkcs8::spki::AlgorithmIdentifierRef;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use secrecy::{ExposeSecret, SecretString};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::capability::blocking_pool::MayBlock;
use crate::capability::http::password_encryption::{DecryptError, WorkLimit, decrypt};
use crate::capability::http::pkcs12::{self, Pkcs12Error, is_pkcs12};
use crate::capability::regular_file;
use crate::trust_store::{MAX_FILE_BYTES, parse_certificates};

/// The PEM files of a client certificate, with its chain, and of its private key, or a file in PKCS#12 with all of
/// them.
#[derive(Debug, Clone)]
pub struct ClientCertFiles {
    /// The certificate, followed by those of its issuers.
    pub certificate: PathBuf,
    /// The private key. It is the same file for PKCS#12.
    pub key: PathBuf,
    /// The passphrase of the key or of the file, if it is encrypted.
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
        let text = read_file(&self.certificate, may_block)?;
        if is_pkcs12(&text) {
            return self.read_pkcs12(&text, provider).map(SingleCertAndKey::from);
        }
        let Self { certificate, key, passphrase } = self;
        let chain = parse_certificates(&text, certificate)?;
        let private_key = parse_key(&read_file(key, may_block)?, key, passphrase.as_ref())?;
        let certified = CertifiedKey::from_der(chain, private_key, provider).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                format!("the key in {} is not that of the certificate in {}", key.display(), certificate.display())
            }
            _ => unsupported_key(key),
        })?;
        Ok(SingleCertAndKey::from(certified))
    }

    /// Reads a file in PKCS#12: the first private key to which a certificate belongs, and the chain of that
    /// certificate.
    fn read_pkcs12(&self, bytes: &[u8], provider: &CryptoProvider) -> Result<CertifiedKey, String> {
        let (path, shown) = (&self.certificate, self.certificate.display());
        if self.key != *path {
            return Err(format!("{shown} is a PKCS#12 file, which has the private key too: leave out `key`"));
        }
        let passphrase = self.passphrase.as_ref().map(ExposeSecret::expose_secret);
        let contents = pkcs12::read(bytes, passphrase.unwrap_or_default())
            .map_err(|error| pkcs12_message(&error, path, passphrase.is_some()))?;
        if contents.keys.is_empty() || contents.certificates.is_empty() {
            let missing = if contents.keys.is_empty() { "private key" } else { "certificate" };
            return Err(format!("{shown} is a PKCS#12 file without a {missing}: export both into it"));
        }
        let mut is_supported = false;
        for key in &contents.keys {
            for leaf in 0..contents.certificates.len() {
                let chain = chain_of(leaf, &contents.certificates);
                match CertifiedKey::from_der(chain, key.clone_key().into(), provider) {
                    Ok(certified) => return Ok(certified),
                    Err(rustls::Error::InconsistentKeys(_)) => is_supported = true,
                    Err(_) => {}
                }
            }
        }
        Err(if is_supported {
            format!("no certificate in {shown} is that of the private key in it")
        } else {
            unsupported_key(path)
        })
    }
}

/// Returns a certificate of a file, followed by those of its issuers, as far as they are in the file.
fn chain_of(leaf: usize, certificates: &[CertificateDer<'static>]) -> Vec<CertificateDer<'static>> {
    /// The maximum length of a chain.
    const MAX_CHAIN: usize = 10;
    let names = |certificate: &CertificateDer<'_>| {
        let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
        Some((parsed.subject().as_raw().to_vec(), parsed.issuer().as_raw().to_vec()))
    };
    let names: Vec<_> = certificates.iter().map(names).collect();
    let mut chain = vec![leaf];
    while chain.len() < MAX_CHAIN {
        let issuer = chain.last().and_then(|last| names[*last].as_ref()).map(|(_, issuer)| issuer);
        let next =
            names.iter().position(|names| names.is_some() && names.as_ref().map(|(subject, _)| subject) == issuer);
        match next.filter(|next| !chain.contains(next)) {
            Some(next) => chain.push(next),
            None => break,
        }
    }
    chain.into_iter().map(|index| certificates[index].clone()).collect()
}

fn unsupported_key(path: &Path) -> String {
    format!(
        "the key in {} is of a kind that is not supported: expected RSA of 2048 bits or more, ECDSA with P-256 or P-384, \
         or Ed25519",
        path.display()
    )
}

/// Returns a message for a person about a file in PKCS#12 that cannot be read.
fn pkcs12_message(error: &Pkcs12Error, path: &Path, has_passphrase: bool) -> String {
    let shown = path.display();
    match error {
        Pkcs12Error::Decrypt(DecryptError::WrongPassphrase) if !has_passphrase => {
            format!("{shown} is a PKCS#12 file with a passphrase: give its `passphrase`")
        }
        Pkcs12Error::Decrypt(DecryptError::WrongPassphrase) => {
            format!("the passphrase is not that of the PKCS#12 file {shown}")
        }
        Pkcs12Error::Decrypt(DecryptError::TooCostly) => format!("the PKCS#12 file {shown} asks for {TOO_COSTLY}"),
        Pkcs12Error::Decrypt(DecryptError::Unsupported(algorithm)) => format!(
            "the PKCS#12 file {shown} uses {algorithm}, which is not supported: convert it by `openssl pkcs12 -legacy -in \
             {shown} -out NEW.pem`"
        ),
        Pkcs12Error::Malformed | Pkcs12Error::Decrypt(DecryptError::Malformed) => format!(
            "the PKCS#12 file {shown} is damaged, or not in DER: if OpenSSL reads it, convert it by `openssl pkcs12 -in \
             {shown} -out NEW.pem`"
        ),
    }
}

/// What a file asks for that would take too long.
const TOO_COSTLY: &str = "too much work to decrypt: more than 10 million iterations, or 64 MiB of memory";

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
    if is_pkcs12(text) {
        return Err(format!("{shown} is a PKCS#12 file: give it as `certificate`, and leave out `key`"));
    }
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
        return decrypt_key(block, passphrase, path);
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => format!("{shown} holds no private key: expected PEM"),
        _ => format!("{shown} is not a PEM file with a private key"),
    })
}

/// Decrypts a private key in PKCS#8.
fn decrypt_key(block: &str, passphrase: &SecretString, path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let shown = path.display();
    let damaged = || format!("{shown} is not a PEM file with a private key: it is damaged");
    let (_, document) = SecretDocument::from_pem(block).map_err(|_| damaged())?;
    let (algorithm, data) = encrypted_parts(document.as_bytes()).ok_or_else(damaged)?;
    let decrypted = decrypt(algorithm, data, passphrase.expose_secret(), &mut WorkLimit::default());
    let decrypted = decrypted.map_err(|error| match error {
        DecryptError::WrongPassphrase => format!("the passphrase is not that of the private key in {shown}"),
        DecryptError::TooCostly => format!("the private key in {shown} asks for {TOO_COSTLY}"),
        DecryptError::Malformed => damaged(),
        DecryptError::Unsupported(algorithm) => format!(
            "the private key in {shown} is encrypted in a way that is not supported, {algorithm}: convert it by `openssl \
             pkcs8 -topk8 -v2 aes-256-cbc -in {shown} -out NEW.key`"
        ),
    })?;
    Ok(PrivatePkcs8KeyDer::from(decrypted).into())
}

/// Returns the algorithm and the data of an `EncryptedPrivateKeyInfo`.
fn encrypted_parts(document: &[u8]) -> Option<(AlgorithmIdentifierRef<'_>, &[u8])> {
    let parts = AnyRef::from_der(document).ok()?.sequence(|reader| {
        let (algorithm, data): (_, &OctetStringRef) = (reader.decode()?, reader.decode()?);
        Ok::<_, pkcs8::der::Error>((algorithm, data.as_bytes()))
    });
    parts.ok()
}

/// Returns the first block with a label in the text of a PEM file, with the lines at its beginning and end.
fn pem_block<'a>(text: &'a str, label: &str) -> Option<&'a str> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let start = text.find(&begin)?;
    let length = text[start..].find(&end)? + end.len();
    Some(&text[start..start + length])
}

/// Reads a file of certificates or of a key.
///
/// # Errors
/// A message for a person.
pub fn read_file(path: &Path, may_block: &MayBlock) -> Result<Vec<u8>, String> {
    regular_file::read(path, MAX_FILE_BYTES, may_block)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))
}
