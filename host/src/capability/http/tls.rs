//! TLS configurations: one for each kind of trust and each client certificate.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::client::{
    ClientSessionStore, ResolvesClientCert, Resumption, Tls12ClientSessionValue, Tls12Resumption,
    Tls13ClientSessionValue,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{CipherSuite, ClientConfig, NamedGroup, SignatureScheme};

use crate::capability::blocking_pool::MayBlock;
use crate::capability::http::cert_verifier::{RecordingVerifier, Verification};
use crate::capability::http::client_cert::{ClientCertFiles, read_file};
use crate::capability::http::timing_hooks::{ClientAuth, HopTimings};
use crate::capability::regular_file;
use crate::file_version::FileVersion;
use crate::trust_store::{self, SystemAuthorities};

/// The servers' certificates that a request trusts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub enum Trust {
    /// The certificates of the system's authorities, or of the authorities in `SSL_CERT_FILE` and `SSL_CERT_DIR`.
    #[default]
    System,
    /// The certificates of the authorities in a PEM file.
    CaFile(PathBuf),
    /// All certificates, without verification.
    Unverified,
}

/// TLS configurations for each kind of trust and each client certificate. Those that need files are built at their
/// first use, and rebuilt when a file has changed.
pub struct TlsConfigs {
    provider: Arc<CryptoProvider>,
    system: Arc<ClientConfig>,
    unverified: Arc<ClientConfig>,
    /// Configurations that need files. Each has the versions of its files, since certificates are renewed while the
    /// host runs.
    with_files: Mutex<HashMap<ConfigKey, FromFiles>>,
}

type ConfigKey = (Trust, Option<ClientCertFiles>);
type FromFiles = (Vec<FileVersion>, Arc<ClientConfig>);

impl TlsConfigs {
    /// Reads the system's certificate authorities. If there are none, a warning is logged, and requests over TLS fail.
    pub fn new() -> Self {
        let provider = Arc::new(provider());
        let loaded = SystemAuthorities::load();
        for problem in &loaded.problems {
            tracing::warn!("{problem}");
        }
        let system = Arc::new(config(&provider, Verification::by_authorities(loaded.certificates, &provider)));
        let unverified = Arc::new(config(&provider, Verification::AcceptAll));
        Self { provider, system, unverified, with_files: Mutex::default() }
    }

    /// Returns the configuration for a kind of trust and a client certificate, or `None` if it needs files.
    pub fn without_files(&self, trust: &Trust, client_cert: Option<&ClientCertFiles>) -> Option<Arc<ClientConfig>> {
        match (trust, client_cert) {
            (Trust::System, None) => Some(Arc::clone(&self.system)),
            (Trust::Unverified, None) => Some(Arc::clone(&self.unverified)),
            _ => None,
        }
    }

    /// Returns the configuration for a kind of trust and a client certificate. Reads their files, unless they have been
    /// read and have not changed since. If a file has changed and cannot be used, the configuration with its last
    /// content stays in use, and a warning is logged.
    ///
    /// # Errors
    /// A message for a person if a file cannot be read, is no PEM file, or has no usable certificate or key, at its
    /// first use.
    pub fn read(
        &self,
        trust: &Trust,
        client_cert: Option<&ClientCertFiles>,
        may_block: &MayBlock,
    ) -> Result<Arc<ClientConfig>, String> {
        let ca_file = if let Trust::CaFile(path) = trust { Some(path) } else { None };
        let files = ca_file.into_iter().chain(client_cert.iter().flat_map(|files| [&files.certificate, &files.key]));
        let versions: Vec<_> = files.map(|path| regular_file::version(path, may_block)).collect();
        let key = (trust.clone(), client_cert.cloned());
        let cached = self.with_files.lock().get(&key).cloned();
        if let Some((known, cached)) = &cached
            && *known == versions
        {
            return Ok(Arc::clone(cached));
        }
        // The lock is released while files are read: other probes have files of their own.
        let built = match (self.build(trust, client_cert, may_block), cached) {
            (Ok(built), _) => Arc::new(built),
            (Err(message), None) => return Err(message),
            (Err(cause), Some((_, cached))) => {
                tracing::warn!(%cause, "a changed file cannot be used, and its last content stays in use: {cause}");
                cached
            }
        };
        self.with_files.lock().insert(key, (versions, Arc::clone(&built)));
        Ok(built)
    }

    fn build(
        &self,
        trust: &Trust,
        client_cert: Option<&ClientCertFiles>,
        may_block: &MayBlock,
    ) -> Result<ClientConfig, String> {
        let mut built = match trust {
            Trust::System => ClientConfig::clone(&self.system),
            Trust::Unverified => ClientConfig::clone(&self.unverified),
            Trust::CaFile(path) => {
                config(&self.provider, Verification::by_authorities(read_authorities(path, may_block)?, &self.provider))
            }
        };
        if let Some(files) = client_cert {
            let inner = Some(files.read(&self.provider, may_block)?);
            built.client_auth_cert_resolver = Arc::new(RecordingResolver { inner });
        }
        Ok(built)
    }
}

/// Returns ring's algorithms. AES-128-GCM is preferred, as in browsers, since it costs the least CPU time.
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

fn read_authorities(path: &Path, may_block: &MayBlock) -> Result<Vec<CertificateDer<'static>>, String> {
    trust_store::parse_authorities(&read_file(path, may_block)?, path)
}

fn config(provider: &Arc<CryptoProvider>, verification: Verification) -> ClientConfig {
    let verifier = RecordingVerifier { provider: Arc::clone(provider), verification };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider));
    let versions =
        builder.with_safe_default_protocol_versions().expect("ring has cipher suites for the default versions");
    let mut config = versions.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth();
    config.client_auth_cert_resolver = Arc::new(RecordingResolver { inner: None });
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::store(Arc::new(NoResumption)).tls12_resumption(Tls12Resumption::Disabled);
    config
}

/// The client certificate, if any, for servers that ask for one. Records that a server has asked.
#[derive(Debug)]
struct RecordingResolver {
    inner: Option<SingleCertAndKey>,
}

impl ResolvesClientCert for RecordingResolver {
    fn resolve(&self, issuers: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let resolved = self.inner.as_ref().and_then(|inner| inner.resolve(issuers, schemes));
        let client_auth = if resolved.is_some() { ClientAuth::Sent } else { ClientAuth::NoneSent };
        HopTimings::record(|timestamps| timestamps.client_auth = client_auth);
        resolved
    }

    fn has_certs(&self) -> bool {
        self.inner.is_some()
    }
}

/// A store of TLS sessions that stores none, so that every connection of a probe makes a full handshake. rustls calls
/// `kx_hint` just before a handshake begins, which records that time.
#[derive(Debug)]
struct NoResumption;

impl ClientSessionStore for NoResumption {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        HopTimings::record_tls_start();
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
