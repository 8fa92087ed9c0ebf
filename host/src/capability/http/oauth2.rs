//! Sends requests with an OAuth2 token as their credential. Fetches the token by the client credentials grant (RFC 6749
//! section 4.4).

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;
use url::{Url, form_urlencoded};

use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::http::auth::{basic_header, bearer_header};
use crate::capability::http::exchange::{Exchange, ExchangeLimits, RequestParts};
use crate::capability::http::format::without_secrets;
use crate::capability::http::repeated_credentials::replacement;
use crate::capability::http::request_body::RequestBody;
use crate::capability::http::response::Response;
use crate::capability::http::token_cache::{OAuth2Client, SendIn, Token, TokenKey, TokenSharing, TokenSlot};
use crate::capability::http::transport::Transport;
use crate::trace::Status;

/// The maximum bytes of a token server's response that are parsed.
const MAX_TOKEN_RESPONSE_BYTES: u64 = 1 << 20;
/// The lifetime of a token if the server sends no `expires_in`.
const DEFAULT_TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// The longest time for which a token is cached.
const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(86_400);
/// The time before its expiry from which on a token is no longer used, so that it does not expire on the way to the
/// server.
const EXPIRY_MARGIN: Duration = Duration::from_secs(30);

/// Runs an exchange with a token of the client. The token comes from the cache, or is fetched over `token_transport`.
///
/// If the server rejects a token from the cache with status 401, the exchange runs once more with a new token: a token
/// may be revoked before it expires.
///
/// # Errors
/// The errors of [`Exchange::run`], and those of the request for a token: [`Error::Auth`] if the server issues none,
/// otherwise an error whose message begins with `for an OAuth2 token:`.
pub async fn run_with_token(
    client: Arc<OAuth2Client>,
    mut exchange: Exchange,
    token_transport: Transport,
) -> Result<Response, Error> {
    let started = Instant::now();
    let slot = exchange.context.session.shared.tokens.slot(token_key(&client, &exchange, &token_transport));
    let (token, is_cached) = cached_or_new_token(&slot, &client, &exchange, &token_transport).await?;
    exchange.limits.timeout = exchange.limits.timeout.after(started.elapsed());
    let mut first_attempt = exchange.clone();
    let used_header = token.header;
    first_attempt.request.headers.insert(AUTHORIZATION, used_header.clone());
    let response = first_attempt.run().await?;
    // After a redirect to another origin, the token is not sent, so that a status 401 from there is not about the
    // token.
    let is_same_origin = Url::parse(&response.url).is_ok_and(|last| last.origin() == exchange.request.url.origin());
    if response.status != 401 || !is_same_origin {
        return Ok(response);
    }
    {
        let mut slot = slot.lock().await;
        // Another run may have replaced the token in the meantime.
        if slot.as_ref().is_some_and(|token| token.header == used_header) {
            *slot = None;
        }
    }
    if !is_cached {
        return Ok(response);
    }
    let (token, _) = cached_or_new_token(&slot, &client, &exchange, &token_transport).await?;
    exchange.limits.timeout = exchange.limits.timeout.after(started.elapsed());
    exchange.request.headers.insert(AUTHORIZATION, token.header);
    Ok(exchange.run().await?)
}

/// Returns the key of the token in the cache.
fn token_key(client: &Arc<OAuth2Client>, exchange: &Exchange, transport: &Transport) -> TokenKey {
    let probe = &exchange.context.probe;
    let sharing =
        if probe.built_in { TokenSharing::BuiltIn } else { TokenSharing::Probe(probe.identity.title.clone()) };
    TokenKey { client: Arc::clone(client), transport: transport.clone(), sharing }
}

/// Returns a token that has not expired, and true if the token comes from the cache. Waits while another run fetches
/// the same token.
///
/// # Errors
/// [`Error::Timeout`] if the wait takes longer than the exchange may, and the errors of [`fetch_token`].
async fn cached_or_new_token(
    slot: &TokenSlot,
    client: &OAuth2Client,
    exchange: &Exchange,
    transport: &Transport,
) -> Result<(Token, bool), Error> {
    let timed_out = |_| Error::Timeout("timed out, waiting for an OAuth2 token".to_owned());
    let mut slot = tokio::time::timeout(exchange.limits.timeout.duration(), slot.lock()).await.map_err(timed_out)?;
    if let Some(token) = slot.as_ref().filter(|token| token.is_fresh()) {
        return Ok((token.clone(), true));
    }
    let token = fetch_token(client, exchange, transport).await?;
    *slot = Some(token.clone());
    Ok((token, false))
}

/// Fetches a token for an exchange, within a span of its own in the trace.
async fn fetch_token(client: &OAuth2Client, exchange: &Exchange, transport: &Transport) -> Result<Token, Error> {
    let context = exchange.context.clone();
    let recorder = context.run.recorder.clone();
    let server = client.token_url.host_str().unwrap_or_default();
    let span = recorder.open(exchange.parent_span, "oauth2.token", format!("Fetch a token from {server}"));
    let request = token_request(client);
    let limits = ExchangeLimits { max_redirects: 0, max_body_bytes: MAX_TOKEN_RESPONSE_BYTES, ..exchange.limits };
    // A token server gets trace headers only if the operator lists it under `trace_headers`: the probe's settings name
    // it as a token server, and not as a target.
    let trace_hosts = Arc::clone(&context.probe.policy.trace_headers.hosts);
    let mut exchange = Exchange::new(context, span, request, transport.clone(), limits);
    exchange.trace_hosts = trace_hosts;
    let result = exchange.run().await.map_err(|failed| token_error(failed.error));
    let token = result
        .and_then(|response| parse_token(&response, &client.token_url).map_err(|why| without_secret(&why, client)));
    if token.is_err() {
        recorder.set_status(span, Status::Unauthenticated);
    }
    recorder.close(span);
    token
}

/// Returns [`Error::Auth`] with a message of a token server. If the message repeats the client's secret, the secret is
/// replaced.
fn without_secret(why: &str, client: &OAuth2Client) -> Error {
    let secret = client.secret.expose_secret();
    let shown = if secret.is_empty() { why.to_owned() } else { why.replace(secret, replacement(secret.len())) };
    Error::Auth(shown)
}

fn token_request(client: &OAuth2Client) -> RequestParts {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    if client.send_in == SendIn::Header {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let secret = SecretString::from(encoded(client.secret.expose_secret()));
        headers.insert(AUTHORIZATION, basic_header(&encoded(&client.id), &secret));
    }
    let body = RequestBody::Whole(token_form(client).into());
    RequestParts { method: Method::POST, url: client.token_url.clone(), headers, body }
}

/// Returns the URL-encoded form of the request for a token.
pub fn token_form(client: &OAuth2Client) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("grant_type", "client_credentials");
    for (key, value) in [("scope", &client.scope), ("audience", &client.audience)] {
        if let Some(value) = value {
            form.append_pair(key, value);
        }
    }
    if client.send_in == SendIn::Body {
        form.append_pair("client_id", &client.id).append_pair("client_secret", client.secret.expose_secret());
    }
    form.finish()
}

/// Parses the response of a token server.
///
/// # Errors
/// A message for a person if the response has no bearer token. It contains the server's error, if any.
fn parse_token(response: &Response, url: &Url) -> Result<Token, String> {
    #[derive(Deserialize)]
    struct TokenResponse {
        access_token: Option<SecretString>,
        token_type: Option<String>,
        expires_in: Option<Value>,
        error: Option<String>,
        error_description: Option<String>,
    }
    let url = without_secrets(url);
    let refused = |why: &str| format!("no OAuth2 token: {url} answered {}{why}", response.status);
    let Ok(parsed) = serde_json::from_slice::<TokenResponse>(&response.body) else {
        return Err(refused(", with a body that is not JSON"));
    };
    if let Some(error) = parsed.error {
        let description = parsed.error_description.map(|text| format!(" ({text})")).unwrap_or_default();
        return Err(refused(&format!(": {error}{description}")));
    }
    let token = parsed.access_token.filter(|_| response.status == 200).ok_or_else(|| refused(", without a token"))?;
    if parsed.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(refused(", with a token that is not a bearer token"));
    }
    let header =
        bearer_header(token.expose_secret()).ok_or_else(|| refused(", with a token that no header can hold"))?;
    // Some servers write the number as text.
    let seconds = parsed.expires_in.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok()));
    let lifetime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let lifetime = lifetime.unwrap_or(DEFAULT_TOKEN_LIFETIME);
    // A token whose lifetime is shorter than twice the margin is used for half of its lifetime.
    let lifetime = lifetime.saturating_sub(EXPIRY_MARGIN.min(lifetime / 2)).min(MAX_TOKEN_LIFETIME);
    Ok(Token::new(header, lifetime))
}

/// Adds `for an OAuth2 token:` to the message of an error, unless it is [`Error::Auth`], whose message mentions the
/// token.
fn token_error(error: Error) -> Error {
    let prefixed = |why: String| format!("for an OAuth2 token: {why}");
    match error {
        Error::Denied(why) => Error::Denied(prefixed(why)),
        Error::Dns(why) => Error::Dns(prefixed(why)),
        Error::Connect(why) => Error::Connect(prefixed(why)),
        Error::Tls(why) => Error::Tls(prefixed(why)),
        Error::Timeout(why) => Error::Timeout(prefixed(why)),
        Error::Redirect(why) => Error::Redirect(prefixed(why)),
        Error::Protocol(why) => Error::Protocol(prefixed(why)),
        Error::Auth(why) => Error::Auth(why),
        Error::Other(why) => Error::Other(prefixed(why)),
    }
}
