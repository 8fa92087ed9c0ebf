//! The HTTP client that talks to Sentry. Knows TLS and the DSN's key, which nobody else gets to see.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sentry::types::Dsn;

/// Sending could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the DSN's key cannot stand in a header: copy the DSN anew from Sentry's project settings")]
    Key,
    #[error("cannot set up TLS: {0}")]
    Tls(#[from] rustls::Error),
    #[error("cannot set up an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// So long that a receiver which takes one request after the other gets through all that we have open at once.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A client whose requests are authorised for a DSN, if there is one, and whose bodies are envelopes.
pub fn client(dsn: Option<&Dsn>) -> Result<Client, StartError> {
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
        .tls_backend_preconfigured(tls()?)
        .user_agent(agent)
        .default_headers(headers)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(TIMEOUT)
        // What it answers is a few bytes.
        .no_brotli()
        .no_deflate()
        .no_gzip()
        .no_zstd()
        // A redirected POST would arrive as a GET: better to be told.
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    Ok(client)
}

/// The system's roots, or those of `SSL_CERT_FILE`. Without any, a server is found not to be trusted when it is met.
fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
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
