//! State that the requests of all runs share.

use crate::capability::http::tls::Configurations;
use crate::capability::http::token_cache::Tokens;

/// What all runs share.
pub struct Stack {
    pub configurations: Configurations,
    pub tokens: Tokens,
}

impl Stack {
    /// Reads the system's certificate authorities.
    pub fn start() -> Self {
        Self { configurations: Configurations::new(), tokens: Tokens::default() }
    }
}
