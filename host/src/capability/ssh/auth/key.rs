//! Logging in with a private key in a file, and with its certificate.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::keys::agent::AgentIdentity;
use russh::keys::signature::Signer as _;
use russh::keys::ssh_encoding::Encode;
use russh::keys::ssh_key::Signature;
use russh::keys::ssh_key::private::KeypairData;
use russh::keys::{Algorithm, Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey};
use russh::{SendError, Signer};
use secrecy::SecretString;

use crate::capability::net_errors::lower_first;
use crate::capability::ssh::auth::{Answer, LoginAttempt, PUBLIC_KEY};
use crate::capability::ssh::credential;
use crate::capability::ssh::trust::validity_problem;

impl LoginAttempt<'_> {
    /// Tries the key in a file: first with its certificate, if there is one beside it, and then alone.
    pub(super) async fn try_key(
        &mut self,
        path: &Path,
        passphrase: Option<SecretString>,
    ) -> Result<Answer, russh::Error> {
        let file = path.to_owned();
        let loaded = self.files.run(move |may_block| {
            let key = credential::load_key(&file, passphrase.as_ref(), may_block)?;
            let certificate = credential::load_certificate(&file, &key, may_block);
            Ok::<_, String>((key, certificate))
        });
        let (key, certificate) = match loaded.await? {
            Ok((key, certificate)) => (Arc::new(key), certificate),
            Err(message) => return Ok(self.skip_unusable(message)),
        };
        if !self.is_offered(&[PUBLIC_KEY], "a key") {
            return Ok(Answer::Refused);
        }
        match certificate {
            Ok(Some((path, certificate))) => {
                let answer = self.try_certificate(&path, certificate, Arc::clone(&key)).await?;
                if !matches!(answer, Answer::Refused) || self.client.is_closed() {
                    return Ok(answer);
                }
            }
            Ok(None) => {}
            Err(message) => self.unusable.push(message),
        }
        let public_key = key.public_key().clone();
        let description = credential::describe_key(&format!("the key {}", path.display()), &public_key);
        let mut answer = Answer::Refused;
        for hash in self.rsa_hashes(&public_key).await {
            let key = PrivateKeyWithHashAlg::new(Arc::clone(&key), hash);
            let result = self.client.authenticate_publickey(self.user, key).await?;
            answer = self.answer(&result, description.clone(), PUBLIC_KEY, Some(&public_key));
            if !matches!(answer, Answer::Refused) || self.client.is_closed() {
                break;
            }
        }
        Ok(answer)
    }

    async fn try_certificate(
        &mut self,
        path: &Path,
        certificate: Certificate,
        key: Arc<PrivateKey>,
    ) -> Result<Answer, russh::Error> {
        let public_key = key.public_key().clone();
        let mut description = credential::describe_key(&format!("the certificate {}", path.display()), &public_key);
        if let Some(problem) = validity_problem(&certificate) {
            description.push_str(&format!(", which {problem},"));
        }
        let hash = self.rsa_hashes(&public_key).await.first().copied().flatten();
        let mut signer = KeySigner(key);
        let result = self.client.authenticate_certificate_with(self.user, certificate, hash, &mut signer).await;
        match result {
            Ok(result) => Ok(self.answer(&result, description, PUBLIC_KEY, Some(&public_key))),
            Err(SignError::Send(_)) => Err(russh::Error::SendError),
            Err(SignError::Key(error)) => {
                let cause = lower_first(&error.to_string());
                Ok(self.skip_unusable(format!("cannot sign with {description}: {cause}")))
            }
        }
    }

    /// Returns the hashes for signatures by an RSA key, in the order to try them: the best that the server announces.
    /// If it announces none, SHA-256, and then SHA-1 (`None`) if the settings allow it. For keys of other types, one
    /// `None`.
    ///
    /// Waits at most 50 ms for the announcement, since a server sends it with its first answer or never.
    pub(super) async fn rsa_hashes(&mut self, key: &PublicKey) -> Vec<Option<HashAlg>> {
        const ANNOUNCEMENT_TIMEOUT: Duration = Duration::from_millis(50);
        if !matches!(key.algorithm(), Algorithm::Rsa { .. }) {
            return vec![None];
        }
        let announced = tokio::time::timeout(ANNOUNCEMENT_TIMEOUT, self.client.best_supported_rsa_hash()).await;
        match announced.ok().and_then(Result::ok).flatten() {
            Some(None) if !self.may_use_sha1 => {
                let advice = "`algorithms: {host_key: [+ssh-rsa]}`";
                self.unusable.push(format!("the server accepts RSA keys with SHA-1 alone: allow that by {advice}"));
                vec![Some(HashAlg::Sha256)]
            }
            Some(hash) => vec![hash],
            None if self.may_use_sha1 => vec![Some(HashAlg::Sha256), None],
            None => vec![Some(HashAlg::Sha256)],
        }
    }
}

/// Signs with a key in memory.
struct KeySigner(Arc<PrivateKey>);

/// The reason why nothing was signed.
#[derive(Debug, thiserror::Error)]
enum SignError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error(transparent)]
    Key(#[from] russh::keys::ssh_key::Error),
}

impl KeySigner {
    fn sign(&self, hash: Option<HashAlg>, data: &[u8]) -> Result<Signature, russh::keys::ssh_key::Error> {
        Ok(match self.0.key_data() {
            KeypairData::Rsa(keypair) => (keypair, hash).try_sign(data)?,
            keypair => keypair.try_sign(data)?,
        })
    }
}

impl Signer for KeySigner {
    type Error = SignError;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        hash: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, SignError> {
        let signature = self.sign(hash, &to_sign)?;
        signature.encode_prefixed(&mut to_sign).map_err(russh::keys::ssh_key::Error::from)?;
        Ok(to_sign)
    }
}
