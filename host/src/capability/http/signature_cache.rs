//! A cache of verified signatures of certificates: a monitored server sends the same chain each time, and a signature
//! that is valid stays valid. Everything else is verified at each handshake: the chain's validity periods, names and
//! constraints, and the server's proof that it has the private key.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use ring::digest::{Context, SHA256};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

/// Returns a copy of a provider for the verification of certificate chains. It verifies each valid signature only once.
pub fn with_signature_cache(provider: &CryptoProvider) -> Arc<CryptoProvider> {
    // rustls requires references that live as long as the process.
    static CACHED: LazyLock<&'static [&'static dyn SignatureVerificationAlgorithm]> = LazyLock::new(|| {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
        let cached = algorithms.iter().map(|inner| {
            let cached = CachedAlgorithm { inner: *inner, valid: Mutex::default() };
            &*Box::leak(Box::new(cached)) as &dyn SignatureVerificationAlgorithm
        });
        Box::leak(cached.collect())
    });
    let signature_verification_algorithms =
        WebPkiSupportedAlgorithms { all: *CACHED, ..provider.signature_verification_algorithms };
    Arc::new(CryptoProvider { signature_verification_algorithms, ..provider.clone() })
}

/// An algorithm, and the digests of the signatures that it found valid.
#[derive(Debug)]
struct CachedAlgorithm {
    inner: &'static dyn SignatureVerificationAlgorithm,
    valid: Mutex<HashSet<Digest>>,
}

/// The SHA-256 digest of a key, a message and a signature.
type Digest = [u8; 32];

/// The maximum number of signatures for each algorithm, each a digest of 32 bytes: enough for the chains of some
/// thousand servers. Before another signature is added, all are dropped.
const MAX_SIGNATURES: usize = 10_000;

impl SignatureVerificationAlgorithm for CachedAlgorithm {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let digest = digest([key, message, signature]);
        if self.valid.lock().contains(&digest) {
            return Ok(());
        }
        self.inner.verify_signature(key, message, signature)?;
        let mut valid = self.valid.lock();
        if valid.len() == MAX_SIGNATURES {
            valid.clear();
        }
        valid.insert(digest);
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        self.inner.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        self.inner.signature_alg_id()
    }

    fn fips(&self) -> bool {
        self.inner.fips()
    }
}

/// Returns the digest of the parts. Each is preceded by its length, so that the same bytes split differently have
/// another digest.
fn digest(parts: [&[u8]; 3]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Accepts signatures that are the key followed by the message, and counts its calls.
    #[derive(Debug)]
    struct Concatenation(AtomicUsize);

    impl SignatureVerificationAlgorithm for Concatenation {
        fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
            self.0.fetch_add(1, Ordering::Relaxed);
            if signature == [key, message].concat() { Ok(()) } else { Err(InvalidSignature) }
        }

        fn public_key_alg_id(&self) -> AlgorithmIdentifier {
            AlgorithmIdentifier::from_slice(&[])
        }

        fn signature_alg_id(&self) -> AlgorithmIdentifier {
            AlgorithmIdentifier::from_slice(&[])
        }
    }

    #[test]
    fn only_valid_signatures_are_cached() {
        static INNER: Concatenation = Concatenation(AtomicUsize::new(0));
        let algorithm = CachedAlgorithm { inner: &INNER, valid: Mutex::default() };
        let calls = || INNER.0.load(Ordering::Relaxed);
        assert!(algorithm.verify_signature(b"k", b"m", b"km").is_ok());
        assert!(algorithm.verify_signature(b"k", b"m", b"km").is_ok());
        assert_eq!(calls(), 1);
        // The same bytes, split differently; and each part changed. Only the first signature is valid.
        for (key, message, signature) in [("", "km", "km"), ("km", "k", "m"), ("k", "n", "km"), ("k", "m", "kn")] {
            let before = calls();
            let first = algorithm.verify_signature(key.as_bytes(), message.as_bytes(), signature.as_bytes()).is_ok();
            assert_eq!((calls(), first), (before + 1, key.is_empty()), "{key} {message} {signature}");
        }
        // An invalid signature is verified again.
        let before = calls();
        assert!(algorithm.verify_signature(b"k", b"m", b"kn").is_err());
        assert_eq!(calls(), before + 1);
    }

    #[test]
    fn the_cache_is_bounded() {
        static INNER: Concatenation = Concatenation(AtomicUsize::new(0));
        let algorithm = CachedAlgorithm { inner: &INNER, valid: Mutex::default() };
        for number in 0..=MAX_SIGNATURES as u64 {
            let key = number.to_be_bytes();
            assert!(algorithm.verify_signature(&key, b"", &key).is_ok());
        }
        assert_eq!(algorithm.valid.lock().len(), 1);
    }
}
