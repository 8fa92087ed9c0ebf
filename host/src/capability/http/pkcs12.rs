//! Files in PKCS#12 (RFC 7292): a private key and certificates, encrypted by a passphrase.

use pkcs8::der::asn1::{AnyRef, ObjectIdentifier};
use pkcs8::der::{self, Decode, Reader, SliceReader, Tag, TagNumber, Tagged};
use pkcs8::spki::AlgorithmIdentifierRef;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, SHA384, SHA512};
use ring::{digest, hmac};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use crate::capability::http::password_encryption::{
    DecryptError, KeyPurpose, WorkLimit, decrypt, derive_key, utf16_with_end,
};

/// The maximum depth of bags within bags.
const MAX_DEPTH: usize = 4;
/// The maximum number of keys and certificates.
const MAX_ITEMS: usize = 100;

const DATA: &str = "1.2.840.113549.1.7.1";
const ENCRYPTED_DATA: &str = "1.2.840.113549.1.7.6";
const KEY_BAG: &str = "1.2.840.113549.1.12.10.1.1";
const ENCRYPTED_KEY_BAG: &str = "1.2.840.113549.1.12.10.1.2";
const CERTIFICATE_BAG: &str = "1.2.840.113549.1.12.10.1.3";
const NESTED_BAGS: &str = "1.2.840.113549.1.12.10.1.6";
const X509: &str = "1.2.840.113549.1.9.22.1";

/// What a file in PKCS#12 contains. Other kinds of content are left out.
#[derive(Default)]
pub struct Contents {
    /// The private keys.
    pub keys: Vec<PrivatePkcs8KeyDer<'static>>,
    /// The certificates, in the order of the file.
    pub certificates: Vec<CertificateDer<'static>>,
}

/// The reason why a file in PKCS#12 cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Pkcs12Error {
    /// The file is damaged, or is not in DER.
    Malformed,
    /// The file cannot be decrypted.
    Decrypt(DecryptError),
}

impl From<der::Error> for Pkcs12Error {
    fn from(_: der::Error) -> Self {
        Self::Malformed
    }
}

impl From<DecryptError> for Pkcs12Error {
    fn from(error: DecryptError) -> Self {
        match error {
            DecryptError::Malformed => Self::Malformed,
            error => Self::Decrypt(error),
        }
    }
}

type Result<T> = std::result::Result<T, Pkcs12Error>;

/// Returns true if a file begins like one in PKCS#12: with a sequence and the version 3.
pub fn is_pkcs12(bytes: &[u8]) -> bool {
    const VERSION_3: [u8; 4] = [0x02, 0x01, 0x03, 0x30];
    bytes.first() == Some(&0x30) && bytes[..bytes.len().min(12)].windows(4).any(|window| window == VERSION_3)
}

/// Reads a file in PKCS#12. Its code of authentication is verified, if it has one.
///
/// # Errors
/// Each variant of [`Pkcs12Error`].
pub fn read(bytes: &[u8], passphrase: &str) -> Result<Contents> {
    let mut reading = Reading { passphrase, limit: WorkLimit::default(), contents: Contents::default() };
    let mut file = Fields::of(AnyRef::from_der(bytes)?)?;
    let _version = file.next()?;
    let (kind, safe) = content_info(file.next()?)?;
    if kind != DATA {
        return Err(DecryptError::Unsupported("a signature instead of a passphrase".to_owned()).into());
    }
    let safe = octets(safe.ok_or(Pkcs12Error::Malformed)?)?;
    if !file.is_finished() {
        reading.verify(safe, file.next()?)?;
    }
    let mut contents = Fields::of(AnyRef::from_der(safe)?)?;
    while !contents.is_finished() {
        reading.add_content(contents.next()?)?;
    }
    Ok(reading.contents)
}

/// The state of reading one file.
struct Reading<'a> {
    passphrase: &'a str,
    limit: WorkLimit,
    contents: Contents,
}

impl Reading<'_> {
    /// Verifies the code of authentication of a file, which depends on the passphrase.
    fn verify(&mut self, safe: &[u8], mac: AnyRef<'_>) -> Result<()> {
        let mut mac = Fields::of(mac)?;
        let mut digest_info = Fields::of(mac.next()?)?;
        let algorithm: AlgorithmIdentifierRef<'_> = digest_info.next()?.decode_as()?;
        let expected = octets(digest_info.next()?)?;
        let salt = octets(mac.next()?)?;
        let iterations = if mac.is_finished() { 1 } else { mac.next()?.decode_as::<u32>()? };
        let (hash, code) = mac_algorithm(&algorithm.oid)?;
        // Some programs write an empty passphrase without its end.
        let passwords = [utf16_with_end(self.passphrase), Vec::new()];
        let passwords = passwords.iter().take(if self.passphrase.is_empty() { 2 } else { 1 });
        for password in passwords {
            let length = hash.output_len();
            let key = derive_key(hash, password, salt, KeyPurpose::Mac, iterations, length, &mut self.limit)?;
            if hmac::verify(&hmac::Key::new(code, &key), safe, expected).is_ok() {
                return Ok(());
            }
        }
        Err(DecryptError::WrongPassphrase.into())
    }

    /// Adds the keys and certificates of one part of a file.
    fn add_content(&mut self, info: AnyRef<'_>) -> Result<()> {
        let (kind, content) = content_info(info)?;
        let content = content.ok_or(Pkcs12Error::Malformed)?;
        match kind.as_str() {
            DATA => self.add_bags(octets(content)?, 0),
            ENCRYPTED_DATA => {
                let bags = self.decrypt_content(content)?;
                self.add_bags(&bags, 0)
            }
            _ => Err(DecryptError::Unsupported("a public key instead of a passphrase".to_owned()).into()),
        }
    }

    fn decrypt_content(&mut self, encrypted: AnyRef<'_>) -> Result<Vec<u8>> {
        let mut fields = Fields::of(encrypted)?;
        let _version = fields.next()?;
        let mut info = Fields::of(fields.next()?)?;
        let _kind = info.next()?;
        let algorithm: AlgorithmIdentifierRef<'_> = info.next()?.decode_as()?;
        let data = info.next()?;
        if data.tag() != (Tag::ContextSpecific { constructed: false, number: TagNumber(0) }) {
            return Err(Pkcs12Error::Malformed);
        }
        Ok(decrypt(algorithm, data.value(), self.passphrase, &mut self.limit)?)
    }

    fn add_bags(&mut self, bags: &[u8], depth: usize) -> Result<()> {
        let mut bags = Fields::of(AnyRef::from_der(bags)?)?;
        while !bags.is_finished() {
            self.add_bag(bags.next()?, depth)?;
        }
        Ok(())
    }

    fn add_bag(&mut self, bag: AnyRef<'_>, depth: usize) -> Result<()> {
        let (kind, value) = content_info(bag)?;
        let value = value.ok_or(Pkcs12Error::Malformed)?;
        if self.contents.keys.len() + self.contents.certificates.len() >= MAX_ITEMS || depth >= MAX_DEPTH {
            return Err(Pkcs12Error::Malformed);
        }
        match kind.as_str() {
            KEY_BAG => self.contents.keys.push(der::Encode::to_der(&value)?.into()),
            ENCRYPTED_KEY_BAG => {
                let mut fields = Fields::of(value)?;
                let algorithm: AlgorithmIdentifierRef<'_> = fields.next()?.decode_as()?;
                let data = octets(fields.next()?)?;
                self.contents.keys.push(decrypt(algorithm, data, self.passphrase, &mut self.limit)?.into());
            }
            CERTIFICATE_BAG => {
                let (kind, certificate) = content_info(value)?;
                if let Some(certificate) = certificate.filter(|_| kind == X509) {
                    let certificate = octets(certificate)?.to_vec();
                    self.contents.certificates.push(certificate.into());
                }
            }
            NESTED_BAGS => self.add_bags(&der::Encode::to_der(&value)?, depth + 1)?,
            _ => {}
        }
        Ok(())
    }
}

/// The fields of a sequence.
struct Fields<'a>(SliceReader<'a>);

impl<'a> Fields<'a> {
    fn of(sequence: AnyRef<'a>) -> Result<Self> {
        if sequence.tag() != Tag::Sequence || sequence.value().is_empty() {
            return Err(Pkcs12Error::Malformed);
        }
        Ok(Self(SliceReader::new(sequence.value())?))
    }

    fn next(&mut self) -> Result<AnyRef<'a>> {
        Ok(self.0.decode()?)
    }

    fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

/// Returns the kind of a content, and what it contains: the first two fields of `ContentInfo`, `SafeBag` and `CertBag`.
fn content_info(info: AnyRef<'_>) -> Result<(String, Option<AnyRef<'_>>)> {
    let mut fields = Fields::of(info)?;
    let kind: ObjectIdentifier = fields.next()?.decode_as()?;
    let content = if fields.is_finished() { None } else { Some(fields.next()?) };
    let content =
        content.filter(|content| content.tag() == Tag::ContextSpecific { constructed: true, number: TagNumber(0) });
    Ok((kind.to_string(), content.map(|content| AnyRef::from_der(content.value())).transpose()?))
}

/// Returns the bytes of an octet string.
fn octets(field: AnyRef<'_>) -> Result<&[u8]> {
    if field.tag() == Tag::OctetString { Ok(field.value()) } else { Err(Pkcs12Error::Malformed) }
}

fn mac_algorithm(oid: &ObjectIdentifier) -> Result<(&'static digest::Algorithm, hmac::Algorithm)> {
    Ok(match oid.to_string().as_str() {
        "1.3.14.3.2.26" => (&SHA1_FOR_LEGACY_USE_ONLY, hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY),
        "2.16.840.1.101.3.4.2.1" => (&SHA256, hmac::HMAC_SHA256),
        "2.16.840.1.101.3.4.2.2" => (&SHA384, hmac::HMAC_SHA384),
        "2.16.840.1.101.3.4.2.3" => (&SHA512, hmac::HMAC_SHA512),
        "1.2.840.113549.1.5.14" => return Err(DecryptError::Unsupported("PBMAC1".to_owned()).into()),
        "1.2.840.113549.2.5" => return Err(DecryptError::Unsupported("HMAC-MD5".to_owned()).into()),
        other => return Err(DecryptError::Unsupported(other.to_owned()).into()),
    })
}
