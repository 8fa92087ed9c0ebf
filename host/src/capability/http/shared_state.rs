//! State that the requests of all runs share.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::capability::file_calls::FileCalls;
use crate::capability::http::client_cert::ClientCertFiles;
use crate::capability::http::tls::{TlsConfigs, Trust};
use crate::capability::http::token_cache::TokenCache;

/// State that outlives a run, and that the requests of all runs share.
pub struct SharedState {
    /// TLS configurations, one for each kind of trust and each client certificate.
    pub tls_configs: TlsConfigs,
    /// OAuth2 tokens, which are used until shortly before they expire.
    pub tokens: TokenCache,
}

impl SharedState {
    /// Reads the system's certificate authorities. If there are none, a warning is logged, and requests over TLS fail.
    pub fn load() -> Self {
        Self { tls_configs: TlsConfigs::new(), tokens: TokenCache::default() }
    }

    /// Returns the TLS configuration for a kind of trust and a client certificate. Files are read by `files`.
    ///
    /// # Errors
    /// A message for a person if a file cannot be read, is no PEM file, or has no usable certificate or key.
    pub async fn tls_config(
        self: &Arc<Self>,
        trust: &Trust,
        client_cert: Option<&ClientCertFiles>,
        files: &FileCalls,
    ) -> Result<Arc<ClientConfig>, String> {
        if let Some(config) = self.tls_configs.without_files(trust, client_cert) {
            return Ok(config);
        }
        let (shared, trust, client_cert) = (Arc::clone(self), trust.clone(), client_cert.cloned());
        let read = files.run(move |may_block| shared.tls_configs.read(&trust, client_cert.as_ref(), may_block));
        read.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}
