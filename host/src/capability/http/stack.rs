//! State that the requests of all runs share.

use crate::capability::http::tls::TlsConfigs;
use crate::capability::http::token_cache::TokenCache;

/// TLS configurations and OAuth2 tokens, which the requests of all runs share.
pub struct Stack {
    /// TLS configurations, which take milliseconds and memory to make.
    pub tls_configs: TlsConfigs,
    /// OAuth2 tokens, which are valid for many runs.
    pub tokens: TokenCache,
}

impl Stack {
    /// Reads the system's certificate authorities. If there are none, a warning is logged, and requests over TLS fail.
    pub fn start() -> Self {
        Self { tls_configs: TlsConfigs::new(), tokens: TokenCache::default() }
    }
}
