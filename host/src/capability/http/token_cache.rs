//! A cache of OAuth2 tokens. Runs share a token if they would fetch it with the same credentials, from the same server
//! and over the same kind of connection.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::HeaderValue;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use url::Url;

use crate::capability::http::transport::Transport;

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

/// The tokens of all clients. One run at a time fetches a token, while other runs with the same key wait for it.
#[derive(Default)]
pub struct TokenCache(Mutex<HashMap<TokenKey, TokenSlot>>);

/// The key of a token in the cache: all that determines which token is fetched, over which connection, and which runs
/// use it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TokenKey {
    /// The credentials, and the server that they are sent to.
    pub client: Arc<OAuth2Client>,
    /// The connection to the token server: a guest chooses the proxy, the DNS server, and the certificates to trust.
    pub transport: Transport,
    /// The runs that share the token.
    pub sharing: TokenSharing,
}

/// The runs that share a token. A third-party probe shares its tokens with no other probe, since it can have a token
/// fetched from a server of its own, or delay the fetch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TokenSharing {
    /// The runs of all built-in probes.
    BuiltIn,
    /// The runs of the third-party probe with this title.
    Probe(String),
}

/// The cached token for one key, or `None` if there is none. It is locked while a token is fetched.
pub type TokenSlot = Arc<tokio::sync::Mutex<Option<Token>>>;

/// An access token.
#[derive(Debug, Clone)]
pub struct Token {
    /// The value of the `authorization` header. It is marked as sensitive: `Debug` does not show it.
    pub header: HeaderValue,
    /// The time after which the token is no longer used, by two clocks: the one goes on while the machine sleeps, and
    /// the other is never set. It is earlier than the token's expiry.
    use_until: (SystemTime, Instant),
}

impl Token {
    /// Returns a token that is used for this time from now on.
    pub fn new(header: HeaderValue, lifetime: Duration) -> Self {
        Self { header, use_until: (SystemTime::now() + lifetime, Instant::now() + lifetime) }
    }

    /// Returns true if the token may still be used, by both clocks.
    pub fn is_fresh(&self) -> bool {
        self.is_fresh_at(SystemTime::now(), Instant::now())
    }

    fn is_fresh_at(&self, time: SystemTime, instant: Instant) -> bool {
        self.use_until.0 > time && self.use_until.1 > instant
    }
}

impl TokenCache {
    /// Returns the slot for a token, which is empty at first.
    pub fn slot(&self, key: TokenKey) -> TokenSlot {
        /// The maximum number of tokens of one third-party probe, more than a well-behaved probe needs. A guest can
        /// choose any number of transports. Before another token of the probe is added, all of them are dropped.
        const MAX_TOKENS_OF_PROBE: usize = 32;
        let mut slots = self.0.lock();
        if let Some(slot) = slots.get(&key) {
            return Arc::clone(slot);
        }
        let shares = |other: &TokenKey| other.sharing == key.sharing;
        if key.sharing != TokenSharing::BuiltIn
            && slots.keys().filter(|other| shares(other)).count() >= MAX_TOKENS_OF_PROBE
        {
            slots.retain(|other, _| !shares(other));
        }
        Arc::clone(slots.entry(key).or_default())
    }
}

fn deserialize_url<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
    let text = String::deserialize(deserializer)?;
    Url::parse(&text).map_err(|error| serde::de::Error::custom(format!("the `token_url` is not a valid URL ({error})")))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use serde_json::json;

    use super::*;
    use crate::capability::http::client_cert::ClientCertFiles;
    use crate::capability::http::resolve::{ConnectTo, IpVersion};
    use crate::capability::http::tls::Trust;
    use crate::capability::http::transport::ProxyUrl;

    fn client(scope: &str) -> Arc<OAuth2Client> {
        let client = json!({ "token_url": "https://a/", "client_id": "me", "client_secret": "s", "scope": scope });
        Arc::new(serde_json::from_value(client).expect("the client is valid"))
    }

    fn key(change: impl FnOnce(&mut TokenKey)) -> TokenKey {
        let transport = Transport::default();
        let mut key = TokenKey { client: client("read"), transport, sharing: TokenSharing::BuiltIn };
        change(&mut key);
        key
    }

    #[test]
    fn a_token_is_shared_only_if_it_is_fetched_in_the_same_way_for_the_same_probes() {
        let cache = TokenCache::default();
        let shared = cache.slot(key(|_| {}));
        assert!(Arc::ptr_eq(&shared, &cache.slot(key(|_| {}))));
        let url = "http://proxy.example:3128/".parse().expect("the URL is valid");
        let address: IpAddr = "192.0.2.7".parse().expect("the address is valid");
        let passphrase = |text: &str| Some(secrecy::SecretString::from(text));
        let files = ClientCertFiles { certificate: "a.pem".into(), key: "a.key".into(), passphrase: None };
        let sealed = ClientCertFiles { passphrase: passphrase("sesame"), ..files.clone() };
        let otherwise_sealed = ClientCertFiles { passphrase: passphrase("open"), ..files.clone() };
        let connect_to = ConnectTo::parse("a", "192.0.2.7").expect("the address is valid");
        let others = [
            key(|key| key.client = client("write")),
            key(|key| key.transport.proxy = Some(ProxyUrl::new(url))),
            key(|key| key.transport.trust = Trust::Unverified),
            key(|key| key.transport.trust = Trust::CaFile("ca.pem".into())),
            key(|key| key.transport.client_cert = Some(files)),
            key(|key| key.transport.client_cert = Some(sealed)),
            key(|key| key.transport.client_cert = Some(otherwise_sealed)),
            key(|key| key.transport.connect_to = Some(connect_to)),
            key(|key| key.transport.dns_server = Some((address, 53).into())),
            key(|key| key.transport.ip_version = Some(IpVersion::V6)),
            key(|key| key.transport.source_address = Some(address)),
            key(|key| key.sharing = TokenSharing::Probe("stranger".to_owned())),
            key(|key| key.sharing = TokenSharing::Probe("other stranger".to_owned())),
        ];
        for (index, other) in others.iter().enumerate() {
            let slot = cache.slot(other.clone());
            assert!(!Arc::ptr_eq(&shared, &slot), "{other:?}");
            assert!(others[..index].iter().all(|before| !Arc::ptr_eq(&cache.slot(before.clone()), &slot)), "{other:?}");
        }
    }

    #[test]
    fn a_token_expires_while_the_machine_sleeps() {
        let lifetime = Duration::from_secs(60);
        let (time, instant) = (SystemTime::now(), Instant::now());
        let token = Token::new(HeaderValue::from_static("Bearer x"), lifetime);
        assert!(token.is_fresh_at(time, instant) && token.is_fresh());
        let later = 2 * lifetime;
        // The monotonic clock stands still while the machine sleeps. The other one may be set back.
        assert!(!token.is_fresh_at(time + later, instant));
        assert!(!token.is_fresh_at(time - later, instant + later));
    }

    #[test]
    fn the_tokens_of_a_third_party_probe_are_bounded() {
        let cache = TokenCache::default();
        let built_in = cache.slot(key(|_| {}));
        for port in 1..1000 {
            cache.slot(key(|key| {
                key.transport.dns_server = Some(([192, 0, 2, 7], port).into());
                key.sharing = TokenSharing::Probe("stranger".to_owned());
            }));
        }
        assert!(cache.0.lock().len() <= 33, "{}", cache.0.lock().len());
        assert!(Arc::ptr_eq(&built_in, &cache.slot(key(|_| {}))), "the tokens of other probes stay");
    }
}
