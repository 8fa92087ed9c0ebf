//! Whom a probe trusts: rustls configurations, made once for each kind of trust.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustls::client::{
    ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls12Resumption, Tls13ClientSessionValue,
};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, NamedGroup, RootCertStore};

use crate::capability::http::wire::Marks;
use crate::capability::http::witness::{Verdict, Witness};

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

/// A configuration for each kind of trust, made when it is first asked for.
pub struct Configurations {
    provider: Arc<CryptoProvider>,
    system: Arc<ClientConfig>,
    anyone: Arc<ClientConfig>,
    files: Mutex<HashMap<PathBuf, Arc<ClientConfig>>>,
}

impl Configurations {
    /// Reads the system's authorities. Without any, requests over TLS fail, and the log says so.
    pub fn new() -> Self {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            let why = found.errors.first().map_or_else(String::new, |error| format!(" ({error})"));
            tracing::warn!(
                "no trusted certificate authorities found{why}: https will fail; install ca-certificates, or set SSL_CERT_FILE"
            );
        }
        let system = configuration(&provider, Verdict::by(found.certs, &provider));
        let anyone = configuration(&provider, Verdict::AlwaysGood);
        Self { provider, system, anyone, files: Mutex::default() }
    }

    /// # Errors
    /// What is wrong with the file of authorities.
    pub fn get(&self, trust: &Trust) -> Result<Arc<ClientConfig>, String> {
        let path = match trust {
            Trust::System => return Ok(Arc::clone(&self.system)),
            Trust::Anyone => return Ok(Arc::clone(&self.anyone)),
            Trust::File(path) => path,
        };
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = files.get(path) {
            return Ok(Arc::clone(known));
        }
        let made = configuration(&self.provider, Verdict::by(authorities(path)?, &self.provider));
        files.insert(path.clone(), Arc::clone(&made));
        Ok(made)
    }
}

fn authorities(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let shown = path.display();
    let cannot = |error: rustls::pki_types::pem::Error| match error {
        rustls::pki_types::pem::Error::Io(error) => format!("cannot read {shown}: {error}"),
        _ => format!("{shown} is not a PEM file of certificates"),
    };
    let mut authorities = Vec::new();
    for certificate in CertificateDer::pem_file_iter(path).map_err(cannot)? {
        let certificate = certificate.map_err(cannot)?;
        if RootCertStore::empty().add(certificate.clone()).is_err() {
            return Err(format!("{shown} holds a certificate that is none"));
        }
        authorities.push(certificate);
    }
    if authorities.is_empty() {
        return Err(format!("{shown} holds no certificate: expected PEM, `-----BEGIN CERTIFICATE-----`"));
    }
    Ok(authorities)
}

fn configuration(provider: &Arc<CryptoProvider>, verdict: Verdict) -> Arc<ClientConfig> {
    let witness = Witness { provider: Arc::clone(provider), verdict };
    let builder = ClientConfig::builder_with_provider(Arc::clone(provider));
    let versions = builder.with_safe_default_protocol_versions().expect("ring has ciphers for the default versions");
    let mut config = versions.dangerous().with_custom_certificate_verifier(Arc::new(witness)).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config.resumption = Resumption::store(Arc::new(NoResumption)).tls12_resumption(Tls12Resumption::Disabled);
    Arc::new(config)
}

/// Remembers no session: every connection of a probe shows a full handshake. It is asked just before the handshake
/// begins, and that is when TCP stands.
#[derive(Debug)]
struct NoResumption;

impl ClientSessionStore for NoResumption {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}

    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        Marks::note(|times| times.tls_started = Some(Instant::now()));
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
