//! State that the requests of all runs share.

use crate::capability::http::tls::TlsConfigs;
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
}
