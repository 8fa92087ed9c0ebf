//! Whom a probe trusts: rustls configurations, made once for each kind of trust.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use parking_lot::Mutex;
use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls12Resumption, Tls13ClientSessionValue,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CipherSuite, ClientConfig, NamedGroup, RootCertStore};

use crate::capability::http::cert_verifier::{RecordingVerifier, Verification};
use crate::capability::http::timing_hooks::HopTimings;

/// Whom a request trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The system's authorities, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    #[default]
    System,
    /// The authorities in a PEM file.
    File(PathBuf),
    /// Whoever answers.
    Anyone,
}

/// A configuration for each kind of trust and each certificate of our own, made when it is first asked for.
pub struct Configurations {
    provider: Arc<CryptoProvider>,
    system: Arc<ClientConfig>,
    anyone: Arc<ClientConfig>,
    /// With the times at which the files were written: certificates are renewed while we run.
    others: Mutex<HashMap<Kind, (Written, Arc<ClientConfig>)>>,
}

/// Whom is trusted, and the files of our own certificate and key.
type Kind = (Trust, Option<(PathBuf, PathBuf)>);
type Written = Vec<Option<SystemTime>>;

impl Configurations {
    /// Reads the system's authorities. Without any, requests over TLS fail, and the log says so.
    pub fn new() -> Self {
        let provider = Arc::new(provider());
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            tracing::warn!(
                "no trusted certificate authorities found{why}: https will fail; install ca-certificates, or set SSL_CERT_FILE"
            );
        }
        let system = Arc::new(configuration(&provider, Verification::by(found.certs, &provider)));
        let anyone = Arc::new(configuration(&provider, Verification::AlwaysGood));
        Self { provider, system, anyone, others: Mutex::default() }
    }

    /// # Errors
    /// What is wrong with a file; a sentence for a person.
    pub fn get(&self, trust: &Trust, identity: Option<&(PathBuf, PathBuf)>) -> Result<Arc<ClientConfig>, String> {
        match (trust, identity) {
            (Trust::System, None) => return Ok(Arc::clone(&self.system)),
            (Trust::Anyone, None) => return Ok(Arc::clone(&self.anyone)),
            _ => {}
        }
        let authorities_file = if let Trust::File(path) = trust { Some(path) } else { None };
        let files =
            authorities_file.into_iter().chain(identity.iter().flat_map(|(certificate, key)| [certificate, key]));
        let written: Written =
            files.map(|path| std::fs::metadata(path).and_then(|found| found.modified()).ok()).collect();
        let kind = (trust.clone(), identity.cloned());
        let mut others = self.others.lock();
        if let Some((then, known)) = others.get(&kind)
            && *then == written
        {
            return Ok(Arc::clone(known));
        }
        let mut made = match trust {
            Trust::System => ClientConfig::clone(&self.system),
            Trust::Anyone => ClientConfig::clone(&self.anyone),
            Trust::File(path) => configuration(&self.provider, Verification::by(authorities(path)?, &self.provider)),
        };
        if let Some((certificate, key)) = identity {
            made.client_auth_cert_resolver = Arc::new(own(&self.provider, certificate, key)?);
        }
        let made = Arc::new(made);
        others.insert(kind, (written, Arc::clone(&made)));
        Ok(made)
    }
}

/// Cryptography, with the ciphers in the order of browsers, which is that of what they cost.
fn provider() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.cipher_suites.sort_by_key(|suite| {
        !matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        )
    });
    provider
}

/// A certificate of our own, for servers that ask for one.
fn own(provider: &CryptoProvider, certificate: &Path, key: &Path) -> Result<SingleCertAndKey, String> {
    let chain = certificates(certificate)?;
    let read = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        pem::Error::Io(error) => format!("cannot read {}: {error}", key.display()),
        pem::Error::NoItemsFound => {
            let encrypted = std::fs::read_to_string(key).is_ok_and(|text| text.contains("ENCRYPTED PRIVATE KEY"));
            let advice = if encrypted { "it is encrypted: decrypt it" } else { "expected PEM" };
            format!("{} holds no private key: {advice}", key.display())
        }
        _ => format!("{} is not a PEM file with a private key", key.display()),
    })?;
    let certified = CertifiedKey::from_der(chain, read, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            format!("the key in {} is not that of the certificate in {}", key.display(), certificate.display())
        }
        error => format!("the key in {} cannot be used: {error}", key.display()),
    })?;
    Ok(SingleCertAndKey::from(certified))
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let authorities = certificates(path)?;
    match authorities.iter().all(|authority| RootCertStore::empty().add(authority.clone()).is_ok()) {
        true => Ok(authorities),
        false => Err(format!("{} holds a certificate that is none", path.display())),
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let cannot = |error: pem::Error| match error {
        pem::Error::Io(error) => format!("cannot read {shown}: {error}"),
        _ => format!("{shown} is not a PEM file of certificates"),
    };
    let found = CertificateDer::pem_file_iter(path).map_err(cannot)?;
    let certificates: Vec<_> = found.collect::<Result<_, _>>().map_err(cannot)?;
    match certificates.is_empty() {
        true => Err(format!("{shown} holds no certificate: expected PEM, `-----BEGIN CERTIFICATE-----`")),
        false => Ok(certificates),
    }
}

fn configuration(provider: &Arc<CryptoProvider>, verdict: Verification) -> ClientConfig {
    let witness = RecordingVerifier { provider: Arc::clone(provider), verdict };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider));
    let versions = builder.with_safe_default_protocol_versions().expect("ring has ciphers for the default versions");
    let mut config = versions.dangerous().with_custom_certificate_verifier(Arc::new(witness)).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::store(Arc::new(NoResumption)).tls12_resumption(Tls12Resumption::Disabled);
    config
}

/// Remembers no session: every connection of a probe shows a full handshake. It is asked just before the handshake
/// begins, and that is when TCP stands.
#[derive(Debug)]
struct NoResumption;

impl ClientSessionStore for NoResumption {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        HopTimings::record(|times| times.tls_started = Some(Instant::now()));
        None
    }

    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}

    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }

    fn remove_tls12_session(&self, _: &ServerName<'static>) {}

    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}

    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}
