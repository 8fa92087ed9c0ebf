//! The HTTP client for Sentry. This is the only module that uses the DSN's key.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sentry::types::Dsn;

/// The reason why the sink for Sentry cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The DSN's key has a character that no header may have.
    #[error(
        "the DSN's key has a character that no HTTP header may have: copy the DSN again from Sentry's project settings"
    )]
    Key,
    /// TLS could not be configured.
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// The HTTP client could not be created.
    #[error("cannot set up an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of a whole request. Long enough for a server that handles all parallel requests one after the other.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Creates a client for sending envelopes, with the key of `dsn`, if there is one, in the header `X-Sentry-Auth`.
///
/// # Errors
///
/// Returns [`StartError::Key`] if the key cannot be sent in a header, [`StartError::Tls`] if TLS cannot be configured,
/// and [`StartError::Client`] if the client cannot be created.
pub fn http_client(dsn: Option<&Dsn>) -> Result<Client, StartError> {
    let agent = concat!("sentrynet/", env!("CARGO_PKG_VERSION"));
    let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/x-sentry-envelope"))]);
    if let Some(dsn) = dsn {
        let secret = dsn.secret_key().map(|secret| format!(", sentry_secret={secret}")).unwrap_or_default();
        let auth = format!("Sentry sentry_version=7, sentry_client={agent}, sentry_key={}{secret}", dsn.public_key());
        let mut auth = HeaderValue::from_str(&auth).map_err(|_| StartError::Key)?;
        auth.set_sensitive(true);
        headers.insert(HeaderName::from_static("x-sentry-auth"), auth);
    }
    let client = Client::builder()
        .tls_backend_preconfigured(tls_config()?)
        .user_agent(agent)
        .default_headers(headers)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        // Responses have only a few bytes, which are not worth compressing.
        .no_brotli()
        .no_deflate()
        .no_gzip()
        .no_zstd()
        // A redirected POST would arrive as a GET. Without redirects, the log shows the status instead.
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    Ok(client)
}

/// Returns a TLS configuration that trusts the system's root certificates, or those in `SSL_CERT_FILE`. If there are
/// none, every handshake fails.
fn tls_config() -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
