//! A cache of OAuth2 tokens, which all runs share.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use reqwest::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

/// An OAuth2 client with its credentials (RFC 6749 section 4.4).
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OAuth2Client {
    #[serde(deserialize_with = "deserialize_url")]
    pub token_url: Url,
    #[serde(rename = "client_id")]
    pub id: String,
    #[serde(rename = "client_secret")]
    pub secret: SecretString,
    pub scope: Option<String>,
    pub audience: Option<String>,
    /// The part of the request for a token that has the client's credentials.
    #[serde(default)]
    pub send_in: SendIn,
}

/// The part of a request for a token that has the client's credentials.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SendIn {
    /// The `authorization` header.
    #[default]
    Header,
    /// The form in the body.
    Body,
}

impl OAuth2Client {
    /// Returns all fields, by which clients are compared and hashed.
    fn key(&self) -> (&Url, [Option<&str>; 4], SendIn) {
        let Self { token_url, id, secret, scope, audience, send_in } = self;
        let texts = [Some(id.as_str()), Some(secret.expose_secret()), scope.as_deref(), audience.as_deref()];
        (token_url, texts, *send_in)
    }
}

impl PartialEq for OAuth2Client {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for OAuth2Client {}

impl Hash for OAuth2Client {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key().hash(state);
    }
}

/// The tokens of all clients. One run at a time fetches a client's token, while other runs wait for it.
#[derive(Default)]
pub struct TokenCache(Mutex<HashMap<Arc<OAuth2Client>, TokenSlot>>);

/// The cached token of one client, or `None` if there is none. It is locked while a token is fetched.
pub type TokenSlot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// An access token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The value of the `authorization` header. It is marked as sensitive: `Debug` does not show it.
    pub header: HeaderValue,
    /// The time after which the token is no longer used. It is earlier than the token's expiry.
    pub use_until: Instant,
}

impl TokenCache {
    /// Returns the slot for a client's token, which is empty at first.
    pub fn slot(&self, client: &Arc<OAuth2Client>) -> TokenSlot {
        let mut slots = self.0.lock();
        Arc::clone(slots.entry(Arc::clone(client)).or_default())
    }
}

fn deserialize_url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    Url::parse(&text).map_err(|error| serde::de::Error::custom(format!("the `token_url` is not a valid URL ({error})")))
}
