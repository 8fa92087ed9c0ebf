//! The signatures of certificates, each computed once: whether some bytes are signed by some key never changes, and a
//! monitored server shows the same chain each time. All else of a chain (times, names, who may sign for whom) is judged
//! at each handshake, and so is the server's proof that it has the key.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use parking_lot::Mutex;
use ring::digest::{Context, SHA256};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm};

/// The same provider for one who judges chains.
pub fn with_signature_cache(provider: &CryptoProvider) -> Arc<CryptoProvider> {
    // rustls wants them for as long as the process lives.
    static ALL: LazyLock<&'static [&'static dyn SignatureVerificationAlgorithm]> = LazyLock::new(|| {
        let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms.all;
        let remembering = algorithms.iter().map(|inner| {
            let known = CachedAlgorithm { inner: *inner, good: Mutex::default() };
            &*Box::leak(Box::new(known)) as &dyn SignatureVerificationAlgorithm
        });
        Box::leak(remembering.collect())
    });
    let signature_verification_algorithms =
        WebPkiSupportedAlgorithms { all: *ALL, ..provider.signature_verification_algorithms };
    Arc::new(CryptoProvider { signature_verification_algorithms, ..provider.clone() })
}

/// An algorithm, and what it found good.
#[derive(Debug)]
struct CachedAlgorithm {
    inner: &'static dyn SignatureVerificationAlgorithm,
    good: Mutex<HashSet<Digest>>,
}

/// Of key, message and signature.
type Digest = [u8; 32];

/// Chains of some thousand servers; 32 bytes each.
const MOST: usize = 10_000;

impl SignatureVerificationAlgorithm for CachedAlgorithm {
    fn verify_signature(&self, key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let digest = digest([key, message, signature]);
        let good = || self.good.lock();
        if good().contains(&digest) {
            return Ok(());
        }
        self.inner.verify_signature(key, message, signature)?;
        let mut good = good();
        if good.len() == MOST {
            good.clear();
        }
        good.insert(digest);
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

/// With their lengths, so that no byte can be taken for another's.
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

    /// Takes what begins with its key, and counts how often it was asked.
    #[derive(Debug)]
    struct Prefix(AtomicUsize);

    impl SignatureVerificationAlgorithm for Prefix {
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
    fn the_good_is_remembered_and_nothing_else() {
        static INNER: Prefix = Prefix(AtomicUsize::new(0));
        let algorithm = CachedAlgorithm { inner: &INNER, good: Mutex::default() };
        let asked = || INNER.0.load(Ordering::Relaxed);
        assert!(algorithm.verify_signature(b"k", b"m", b"km").is_ok());
        assert!(algorithm.verify_signature(b"k", b"m", b"km").is_ok());
        assert_eq!(asked(), 1);
        // The same bytes, cut elsewhere, and each part changed.
        for (key, message, signature) in [("", "km", "km"), ("km", "k", "m"), ("k", "n", "km"), ("k", "m", "kn")] {
            let before = asked();
            let first = algorithm.verify_signature(key.as_bytes(), message.as_bytes(), signature.as_bytes()).is_ok();
            assert_eq!((asked(), first), (before + 1, key.is_empty()), "{key} {message} {signature}");
        }
        // What is bad is asked for again.
        let before = asked();
        assert!(algorithm.verify_signature(b"k", b"m", b"kn").is_err());
        assert_eq!(asked(), before + 1);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        static INNER: Prefix = Prefix(AtomicUsize::new(0));
        let algorithm = CachedAlgorithm { inner: &INNER, good: Mutex::default() };
        for number in 0..=MOST as u64 {
            let key = number.to_be_bytes();
            assert!(algorithm.verify_signature(&key, b"", &key).is_ok());
        }
        assert_eq!(algorithm.good.lock().len(), 1);
    }
}
