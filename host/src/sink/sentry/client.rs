//! The HTTP client for Sentry. This is the only module that uses the DSN's key.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use sentry::types::Dsn;

use crate::trust_store::{SystemAuthorities, read_authorities};

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
    /// The file of `sentry.ca` could not be used.
    #[error("`sentry.ca`: {0}")]
    Authorities(String),
    /// The HTTP client could not be created.
    #[error("cannot set up an HTTP client: {0}")]
    Client(#[from] reqwest::Error),
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The timeout of a whole request. Long enough for a server that handles all parallel requests one after the other.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Creates a client for sending envelopes, with the key of `dsn`, if there is one, in the header `X-Sentry-Auth`. It
/// trusts the authorities in the PEM file `ca`, beside the system's.
///
/// # Errors
///
/// Returns [`StartError::Key`] if the key cannot be sent in a header, [`StartError::Authorities`] if the file `ca`
/// cannot be used, [`StartError::Tls`] if TLS cannot be configured, and [`StartError::Client`] if the client cannot be
/// created.
pub fn http_client(dsn: Option<&Dsn>, ca: Option<&Path>) -> Result<Client, StartError> {
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
        .tls_backend_preconfigured(tls_config(ca)?)
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

/// Returns a TLS configuration that trusts the system's authorities, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// name instead, and those in the file `ca`. If there are none, every handshake fails.
///
/// # Errors
///
/// Returns [`StartError::Authorities`] if the file cannot be used, and [`StartError::Tls`] if TLS cannot be configured.
fn tls_config(ca: Option<&Path>) -> Result<rustls::ClientConfig, StartError> {
    let mut roots = rustls::RootCertStore::empty();
    // The problems are in the log already, because the probes trust the same authorities.
    roots.add_parsable_certificates(SystemAuthorities::load().certificates);
    if let Some(ca) = ca {
        roots.add_parsable_certificates(read_authorities(ca).map_err(StartError::Authorities)?);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
