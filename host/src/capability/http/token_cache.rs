//! OAuth2 tokens, kept from run to run.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use reqwest::header::HeaderValue;
use serde::Deserialize;
use url::Url;

/// OAuth2 client credentials, RFC 6749 section 4.4.
#[derive(Clone, PartialEq, Eq, Hash, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    #[serde(deserialize_with = "url")]
    pub token_url: Url,
    #[serde(rename = "client_id")]
    pub id: String,
    #[serde(rename = "client_secret")]
    pub secret: String,
    pub scope: Option<String>,
    pub audience: Option<String>,
    /// Where the client's own credentials go: a header unless given.
    #[serde(default)]
    pub send_in: SendIn,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SendIn {
    #[default]
    Header,
    Body,
}

/// Tokens, kept from run to run. Whoever finds none fetches it, while others wait for it.
#[derive(Default)]
pub struct Tokens(Mutex<HashMap<Arc<Credentials>, Slot>>);

pub type Slot = Arc<tokio::sync::Mutex<Option<Token>>>;

#[derive(Clone)]
pub struct Token {
    pub header: HeaderValue,
    pub until: Instant,
}

impl Tokens {
    pub fn slot(&self, client: &Arc<Credentials>) -> Slot {
        let mut tokens = self.0.lock();
        Arc::clone(tokens.entry(Arc::clone(client)).or_default())
    }
}

fn url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    Url::parse(&text).map_err(|error| serde::de::Error::custom(format!("the `token_url` is not one ({error})")))
}
