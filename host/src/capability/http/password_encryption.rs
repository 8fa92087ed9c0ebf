//! Decryption by a passphrase: PBES2 of PKCS#5, and the older algorithms of PKCS#12. A file cannot make it take long.

use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, KeyIvInit};
use des::{TdesEde2, TdesEde3};
use pkcs8::der::asn1::{AnyRef, OctetStringRef};
use pkcs8::der::{Decode, Encode, Reader};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::spki::AlgorithmIdentifierRef;
use rc2::Rc2;
use ring::digest::{self, SHA1_FOR_LEGACY_USE_ONLY};

/// The reason why something could not be decrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecryptError {
    /// The passphrase is wrong, or the data is damaged.
    WrongPassphrase,
    /// The algorithm, by name or as an object identifier, is not supported.
    Unsupported(String),
    /// The file asks for more work than is allowed.
    TooCostly,
    /// The parameters of the algorithm are damaged.
    Malformed,
}

/// The work that the derivation of keys may take for one file.
pub struct WorkLimit {
    iterations_left: u32,
}

impl Default for WorkLimit {
    /// Returns the limit: 10 million iterations, which take some seconds. OpenSSL writes files with 2048, and others
    /// recommend up to a million.
    fn default() -> Self {
        Self { iterations_left: 10_000_000 }
    }
}

impl WorkLimit {
    /// Takes iterations of a hash from the limit.
    ///
    /// # Errors
    /// [`DecryptError::TooCostly`] if fewer are left.
    pub fn spend(&mut self, iterations: u64) -> Result<(), DecryptError> {
        let left = u64::from(self.iterations_left).checked_sub(iterations).ok_or(DecryptError::TooCostly)?;
        self.iterations_left = left as u32;
        Ok(())
    }

    /// Takes the work of a derivation by PBES2 from the limit.
    fn spend_pbes2(&mut self, kdf: &Kdf) -> Result<(), DecryptError> {
        /// The memory that scrypt may take, in bytes.
        const MAX_SCRYPT_BYTES: u64 = 64 << 20;
        match kdf {
            Kdf::Pbkdf2(parameters) => self.spend(parameters.iteration_count.into()),
            Kdf::Scrypt(parameters) => {
                let block = 128 * u64::from(parameters.block_size);
                let memory = parameters.cost_parameter.saturating_mul(block);
                if memory > MAX_SCRYPT_BYTES {
                    return Err(DecryptError::TooCostly);
                }
                // A block of 64 bytes costs less than an iteration does.
                self.spend((memory / 64).saturating_mul(parameters.parallelization.into()))
            }
            _ => Err(DecryptError::Unsupported("PBES2".to_owned())),
        }
    }
}

/// Decrypts data with the algorithm that the DER encoding of an `AlgorithmIdentifier` names.
///
/// # Errors
/// Each variant of [`DecryptError`].
pub fn decrypt(
    algorithm: AlgorithmIdentifierRef<'_>,
    data: &[u8],
    passphrase: &str,
    limit: &mut WorkLimit,
) -> Result<Vec<u8>, DecryptError> {
    let name = algorithm.oid.to_string();
    match name.as_str() {
        "1.2.840.113549.1.5.13" => decrypt_pbes2(algorithm, data, passphrase, limit),
        "1.2.840.113549.1.12.1.3" => old_cipher(&algorithm, 24, passphrase, limit)?.cbc::<TdesEde3>(data),
        "1.2.840.113549.1.12.1.4" => old_cipher(&algorithm, 16, passphrase, limit)?.cbc::<TdesEde2>(data),
        "1.2.840.113549.1.12.1.5" => old_cipher(&algorithm, 16, passphrase, limit)?.cbc::<Rc2>(data),
        "1.2.840.113549.1.12.1.6" => old_cipher(&algorithm, 5, passphrase, limit)?.cbc::<Rc2>(data),
        "1.2.840.113549.1.12.1.1" => Err(DecryptError::Unsupported("PBE-SHA1-RC4-128".to_owned())),
        "1.2.840.113549.1.12.1.2" => Err(DecryptError::Unsupported("PBE-SHA1-RC4-40".to_owned())),
        "1.2.840.113549.1.5.3" => Err(DecryptError::Unsupported("PBE-MD5-DES".to_owned())),
        "1.2.840.113549.1.5.10" => Err(DecryptError::Unsupported("PBE-SHA1-DES".to_owned())),
        _ => Err(DecryptError::Unsupported(name)),
    }
}

fn decrypt_pbes2(
    algorithm: AlgorithmIdentifierRef<'_>,
    data: &[u8],
    passphrase: &str,
    limit: &mut WorkLimit,
) -> Result<Vec<u8>, DecryptError> {
    let unsupported = || DecryptError::Unsupported("PBES2 with an unusual cipher or hash".to_owned());
    let encoded = algorithm.to_der().map_err(|_| DecryptError::Malformed)?;
    let scheme = EncryptionScheme::from_der(&encoded).map_err(|_| unsupported())?;
    limit.spend_pbes2(&scheme.pbes2().ok_or_else(unsupported)?.kdf)?;
    scheme.decrypt(passphrase, data).map_err(|error| match error {
        pkcs8::pkcs5::Error::DecryptFailed => DecryptError::WrongPassphrase,
        _ => unsupported(),
    })
}

/// The key and the initial value of a cipher of PKCS#12.
struct KeyAndIv {
    key: Vec<u8>,
    iv: Vec<u8>,
}

/// Derives the key and the initial value of one of the older ciphers, all of which have blocks of 8 bytes.
fn old_cipher(
    algorithm: &AlgorithmIdentifierRef<'_>,
    key_bytes: usize,
    passphrase: &str,
    limit: &mut WorkLimit,
) -> Result<KeyAndIv, DecryptError> {
    let (salt, iterations) = salt_and_iterations(algorithm.parameters).ok_or(DecryptError::Malformed)?;
    let mut derive = |purpose, bytes| {
        derive_key(&SHA1_FOR_LEGACY_USE_ONLY, &utf16_with_end(passphrase), salt, purpose, iterations, bytes, limit)
    };
    Ok(KeyAndIv { key: derive(KeyPurpose::Key, key_bytes)?, iv: derive(KeyPurpose::InitialValue, 8)? })
}

fn salt_and_iterations(parameters: Option<AnyRef<'_>>) -> Option<(&[u8], u32)> {
    let fields = parameters?.sequence(|reader| {
        let salt: &OctetStringRef = reader.decode()?;
        Ok::<_, pkcs8::der::Error>((salt.as_bytes(), reader.decode()?))
    });
    fields.ok()
}

impl KeyAndIv {
    fn cbc<C>(&self, data: &[u8]) -> Result<Vec<u8>, DecryptError>
    where
        C: BlockCipherDecrypt,
        Decryptor<C>: KeyIvInit + BlockModeDecrypt,
    {
        let cipher = Decryptor::<C>::new_from_slices(&self.key, &self.iv).map_err(|_| DecryptError::Malformed)?;
        let mut buffer = data.to_vec();
        let decrypted = cipher.decrypt_padded::<Pkcs7>(&mut buffer).map_err(|_| DecryptError::WrongPassphrase)?;
        Ok(decrypted.to_vec())
    }
}

/// What a key of PKCS#12 is for, with the number that the standard gives it.
#[derive(Clone, Copy)]
pub enum KeyPurpose {
    Key = 1,
    InitialValue = 2,
    Mac = 3,
}

/// Returns a passphrase in UTF-16 as PKCS#12 has it: big-endian, with a null character at its end.
pub fn utf16_with_end(passphrase: &str) -> Vec<u8> {
    passphrase.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect()
}

/// Derives a key by appendix B.2 of RFC 7292.
///
/// # Errors
/// [`DecryptError::TooCostly`].
pub fn derive_key(
    hash: &'static digest::Algorithm,
    password: &[u8],
    salt: &[u8],
    purpose: KeyPurpose,
    iterations: u32,
    bytes: usize,
    limit: &mut WorkLimit,
) -> Result<Vec<u8>, DecryptError> {
    limit.spend(u64::from(iterations) * bytes.div_ceil(hash.output_len()) as u64)?;
    let block = hash.block_len();
    let repeated = |bytes: &[u8]| -> Vec<u8> {
        let length = bytes.len().next_multiple_of(block);
        bytes.iter().copied().cycle().take(length).collect()
    };
    let mut input = [repeated(salt), repeated(password)].concat();
    let mut key = Vec::new();
    while key.len() < bytes {
        let mut context = digest::Context::new(hash);
        context.update(&vec![purpose as u8; block]);
        context.update(&input);
        let mut output = context.finish();
        for _ in 1..iterations {
            output = digest::digest(hash, output.as_ref());
        }
        key.extend_from_slice(output.as_ref());
        let addend: Vec<u8> = output.as_ref().iter().copied().cycle().take(block).collect();
        input.chunks_exact_mut(block).for_each(|chunk| add_with_one(chunk, &addend));
    }
    key.truncate(bytes);
    Ok(key)
}

/// Adds a number and 1 to a number of the same length, big-endian. The carry at the end is dropped.
fn add_with_one(number: &mut [u8], addend: &[u8]) {
    let mut carry = 1;
    for (digit, added) in number.iter_mut().zip(addend).rev() {
        let sum = u16::from(*digit) + u16::from(*added) + carry;
        *digit = sum as u8;
        carry = sum >> 8;
    }
}

#[cfg(test)]
mod tests {
    use pkcs8::pkcs5::pbes2::{Pbkdf2Params, ScryptParams};

    use super::*;

    #[test]
    fn keys_are_derived_as_by_openssl() {
        // openssl kdf -keylen 24 -kdfopt digest:SHA1 -kdfopt hexpass:0073006d006500670000
        //   -kdfopt hexsalt:0a58cf64530d823f -kdfopt iter:1 -kdfopt id:1 PKCS12KDF
        let password = utf16_with_end("smeg");
        assert_eq!(password, [0, 0x73, 0, 0x6d, 0, 0x65, 0, 0x67, 0, 0]);
        let salt = [0x0a, 0x58, 0xcf, 0x64, 0x53, 0x0d, 0x82, 0x3f];
        let key =
            derive_key(&SHA1_FOR_LEGACY_USE_ONLY, &password, &salt, KeyPurpose::Key, 1, 24, &mut WorkLimit::default());
        let expected = [
            0x8a, 0xaa, 0xe6, 0x29, 0x7b, 0x6c, 0xb0, 0x46, 0x42, 0xab, 0x5b, 0x07, 0x78, 0x51, 0x28, 0x4e, 0xb7, 0x12,
            0x8f, 0x1a, 0x2a, 0x7f, 0xbc, 0xa3,
        ];
        assert_eq!(key.as_deref(), Ok(&expected[..]));
    }

    #[test]
    fn a_file_that_asks_for_too_much_is_refused_before_the_work() {
        let derive = |iterations| {
            let mut limit = WorkLimit::default();
            derive_key(&SHA1_FOR_LEGACY_USE_ONLY, &[], &[1], KeyPurpose::Mac, iterations, 20, &mut limit)
        };
        assert_eq!(derive(10_000_001), Err(DecryptError::TooCostly));
        assert_eq!(derive(u32::MAX), Err(DecryptError::TooCostly));
        let pbkdf2 = |iterations| {
            let parameters = Pbkdf2Params::hmac_sha256(iterations, &[1; 8]).expect("the parameters are valid");
            WorkLimit::default().spend_pbes2(&Kdf::Pbkdf2(parameters))
        };
        assert_eq!(pbkdf2(1_000_000), Ok(()));
        assert_eq!(pbkdf2(20_000_000), Err(DecryptError::TooCostly));
        let scrypt = |cost_parameter, block_size, parallelization| {
            let salt = Pbkdf2Params::hmac_sha256(1, &[1; 8]).expect("the parameters are valid").salt;
            let parameters = ScryptParams { salt, cost_parameter, block_size, parallelization, key_length: None };
            WorkLimit::default().spend_pbes2(&Kdf::Scrypt(parameters))
        };
        assert_eq!(scrypt(1 << 14, 8, 1), Ok(()));
        assert_eq!(scrypt(1 << 20, 8, 1), Err(DecryptError::TooCostly));
        assert_eq!(scrypt(1 << 14, 8, 10_000), Err(DecryptError::TooCostly));
        assert_eq!(scrypt(u64::MAX, u16::MAX, u16::MAX), Err(DecryptError::TooCostly));
    }
}
