//! Credentials of requests: read from the settings that the host keeps, so that no guest sees them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Method;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::Value;
use url::Url;
use url::form_urlencoded;

use crate::capability::bindings::sentrynet::probe::http::Error;
use crate::capability::http::exchange::Exchange;
use crate::capability::http::format::without_secrets;
use crate::capability::http::response::Response;
use crate::capability::http::token_cache::{Credentials, SendIn, Slot, Token};
use crate::capability::http::transport::Transport;
use crate::trace::Status;

/// What goes into a request's `authorization` header.
#[derive(Clone)]
pub enum Authorization {
    /// Known beforehand.
    Header(HeaderValue),
    /// A token that is to be had with these.
    OAuth2(Arc<Credentials>),
}

impl Authorization {
    /// Reads `{basic: {username, password}}`, `{bearer: TOKEN}` or `{oauth2: {…}}`.
    ///
    /// # Errors
    /// When it is none of them; a sentence for a person, without a value.
    pub fn read(setting: &Value) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Basic {
            username: String,
            password: String,
        }
        const SHAPE: &str = "expected one of `basic`, `bearer` or `oauth2`";
        let Some(map) = setting.as_object() else { return Err(SHAPE.to_owned()) };
        let mut entries = map.iter();
        let (Some((kind, value)), None) = (entries.next(), entries.next()) else { return Err(SHAPE.to_owned()) };
        let wrong = |error: serde_json::Error| format!("`{kind}`: {}", plain(&error.to_string()));
        match kind.as_str() {
            "basic" => {
                let Basic { username, password } = Deserialize::deserialize(value).map_err(wrong)?;
                if username.contains(':') {
                    return Err("`basic`: a username cannot hold a colon".to_owned());
                }
                Ok(Self::Header(basic(&username, &password)))
            }
            "bearer" => {
                let token = value.as_str().ok_or("`bearer`: expected a token, which is text")?;
                Ok(Self::Header(bearer(token.trim()).ok_or("`bearer`: the token holds what a header cannot")?))
            }
            "oauth2" => {
                let client: Credentials = Deserialize::deserialize(value).map_err(wrong)?;
                match client.token_url.scheme() {
                    "http" | "https" => Ok(Self::OAuth2(Arc::new(client))),
                    other => Err(format!("`oauth2`: a `token_url` of the scheme `{other}`: expected http or https")),
                }
            }
            other => Err(format!("unknown kind `{}`: {SHAPE}", other.escape_debug())),
        }
    }
}

/// A token that holds, and whether it was kept from before.
async fn token(
    slot: &Slot,
    client: &Credentials,
    exchange: &Exchange,
    way: &Transport,
) -> Result<(Token, bool), Error> {
    let timed_out = || Error::Timeout("timed out, waiting for an OAuth2 token".to_owned());
    let mut slot = tokio::time::timeout(exchange.limit.duration(), slot.lock()).await.map_err(|_| timed_out())?;
    if let Some(token) = slot.as_ref().filter(|token| token.until > Instant::now()) {
        return Ok((token.clone(), true));
    }
    let token = fetch(client, exchange, way).await?;
    *slot = Some(token.clone());
    Ok((token, false))
}

/// Fetches a token, as a step of the run that needs it.
async fn fetch(client: &Credentials, wanted: &Exchange, way: &Transport) -> Result<Token, Error> {
    let recorder = wanted.run.recorder.clone();
    let server = client.token_url.host_str().unwrap_or_default();
    let span = recorder.open(wanted.parent, "oauth2.token", format!("Fetch a token from {server}"));
    let mut exchange = wanted.clone();
    exchange.transport = way.clone();
    exchange.method = Method::POST;
    exchange.url = client.token_url.clone();
    exchange.headers = HeaderMap::new();
    exchange.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    exchange.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    if client.send_in == SendIn::Header {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        exchange.headers.insert(AUTHORIZATION, basic(&encoded(&client.id), &encoded(&client.secret)));
    }
    exchange.body = client.form().into();
    exchange.redirects = 0;
    exchange.max_body = 1 << 20;
    exchange.parent = span;
    // The settings name it as the server of tokens: that it may be told of the trace has to be said.
    exchange.told = Arc::clone(&wanted.probe.policy.trace_headers.hosts);
    let token = exchange
        .run()
        .await
        .map_err(named)
        .and_then(|response| read(&response, &client.token_url).map_err(Error::Auth));
    if token.is_err() {
        recorder.set_status(span, Status::Unauthenticated);
    }
    recorder.close(span);
    token
}

impl Credentials {
    /// Makes the exchange with a token that is to be had with these credentials; `way` leads there.
    ///
    /// # Errors
    /// Those of the exchange, or that there is no token.
    pub async fn run(self: Arc<Self>, mut exchange: Exchange, way: Transport) -> Result<Response, Error> {
        let started = Instant::now();
        let slot = exchange.session.stack.tokens.slot(&self);
        let (token, kept) = token(&slot, &self, &exchange, &way).await?;
        exchange.limit = exchange.limit.after(started.elapsed());
        let mut first = exchange.clone();
        let used = token.header;
        first.headers.insert(AUTHORIZATION, used.clone());
        let response = first.run().await?;
        // Whoever was redirected to has not seen the token.
        let ours = Url::parse(&response.url).is_ok_and(|last| last.origin() == exchange.url.origin());
        if response.status != 401 || !ours {
            return Ok(response);
        }
        // A token may be withdrawn before its time. Another run may have a new one already.
        {
            let mut slot = slot.lock().await;
            if slot.as_ref().is_some_and(|held| held.header == used) {
                *slot = None;
            }
        }
        if !kept {
            return Ok(response);
        }
        let (token, _) = self::token(&slot, &self, &exchange, &way).await?;
        exchange.limit = exchange.limit.after(started.elapsed());
        exchange.headers.insert(AUTHORIZATION, token.header);
        exchange.run().await
    }

    pub fn token_url(&self) -> &Url {
        &self.token_url
    }

    fn form(&self) -> String {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        for (key, value) in [("scope", &self.scope), ("audience", &self.audience)] {
            if let Some(value) = value {
                form.append_pair(key, value);
            }
        }
        if self.send_in == SendIn::Body {
            form.append_pair("client_id", &self.id).append_pair("client_secret", &self.secret);
        }
        form.finish()
    }
}

/// What the token's server answered.
fn read(response: &Response, url: &Url) -> Result<Token, String> {
    /// Where the server does not say how long it holds.
    const HOLDS: Duration = Duration::from_secs(300);
    /// A token that expires on its way is no use.
    const BEFORE: Duration = Duration::from_secs(30);
    #[derive(Deserialize)]
    struct Answer {
        access_token: Option<String>,
        token_type: Option<String>,
        expires_in: Option<Value>,
        error: Option<String>,
        error_description: Option<String>,
    }
    let url = without_secrets(url);
    let refused = |why: &str| format!("no OAuth2 token: {url} answered {}{why}", response.status);
    let Ok(answer) = serde_json::from_slice::<Answer>(&response.body) else {
        return Err(refused(", without the JSON that it should"));
    };
    if let Some(error) = answer.error {
        let description = answer.error_description.map(|text| format!(" ({text})")).unwrap_or_default();
        return Err(refused(&format!(": {error}{description}")));
    }
    let token = answer.access_token.filter(|_| response.status == 200).ok_or_else(|| refused(", without a token"))?;
    if answer.token_type.is_some_and(|kind| !kind.eq_ignore_ascii_case("bearer")) {
        return Err(refused(", with a token that is not a bearer's"));
    }
    let header = bearer(&token).ok_or_else(|| refused(", with a token that no header can hold"))?;
    // Some servers write the number as text.
    let seconds = answer.expires_in.and_then(|it| it.as_f64().or_else(|| it.as_str()?.parse().ok()));
    let holds = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or(HOLDS);
    // Of a short-lived one, half the time is better than none.
    let holds = holds.saturating_sub(BEFORE.min(holds / 2)).min(Duration::from_secs(86_400));
    Ok(Token { header, until: Instant::now() + holds })
}

fn basic(username: &str, password: &str) -> HeaderValue {
    secret(format!("Basic {}", STANDARD.encode(format!("{username}:{password}"))))
        .expect("base64 is made of what headers may hold")
}

fn bearer(token: &str) -> Option<HeaderValue> {
    secret(format!("Bearer {token}")).filter(|_| !token.is_empty())
}

fn secret(text: String) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// An error of the token's exchange, told from one of the request's own.
fn named(error: Error) -> Error {
    let of = |why: String| format!("for an OAuth2 token: {why}");
    match error {
        Error::Denied(why) => Error::Denied(of(why)),
        Error::Dns(why) => Error::Dns(of(why)),
        Error::Connect(why) => Error::Connect(of(why)),
        Error::Tls(why) => Error::Tls(of(why)),
        Error::Timeout(why) => Error::Timeout(of(why)),
        Error::Redirect(why) => Error::Redirect(of(why)),
        Error::Protocol(why) => Error::Protocol(of(why)),
        Error::Auth(why) => Error::Auth(why),
        Error::Other(why) => Error::Other(of(why)),
    }
}

/// serde's sentences in the words of who writes a configuration. A value is not repeated: it may be a secret.
fn plain(message: &str) -> String {
    let message = message.replace("missing field", "missing key").replace("unknown field", "unknown key");
    let wrong = |kind: &str| kind.starts_with("invalid ") || kind.starts_with("unknown variant ");
    match message.split_once([':', ',']).filter(|(kind, _)| wrong(kind)) {
        Some((_, rest)) => {
            let expected = rest.rsplit_once("expected ").map_or("something else", |(_, expected)| expected);
            format!("expected {}", expected.replace("a string", "text"))
        }
        None => message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "so that cases are written in one line")]
    fn check(setting: Value, expected: Result<&str, &str>) {
        let header = Authorization::read(&setting).map(|authorization| match authorization {
            Authorization::Header(header) => header.to_str().expect("text").to_owned(),
            Authorization::OAuth2(client) => client.form(),
        });
        assert_eq!(header.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn credentials() {
        let basic = json!({ "basic": { "username": "Aladdin", "password": "open sesame" } });
        check(basic, Ok("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        check(json!({ "bearer": "abc\n" }), Ok("Bearer abc"));
        let client = json!({ "token_url": "https://a/", "client_id": "me", "client_secret": "s&t", "scope": "a b" });
        check(json!({ "oauth2": client }), Ok("grant_type=client_credentials&scope=a+b"));
        let mut client = client;
        client["send_in"] = json!("body");
        let sent = "grant_type=client_credentials&scope=a+b&client_id=me&client_secret=s%26t";
        check(json!({ "oauth2": client }), Ok(sent));
    }

    #[test]
    fn what_are_no_credentials() {
        let shape = "expected one of `basic`, `bearer` or `oauth2`";
        check(json!("hunter2"), Err(shape));
        check(json!({}), Err(shape));
        check(json!({ "basic": {}, "bearer": "x" }), Err(shape));
        check(json!({ "digest": {} }), Err(&format!("unknown kind `digest`: {shape}")));
        check(json!({ "basic": { "username": "u" } }), Err("`basic`: missing key `password`"));
        check(json!({ "basic": { "username": 12, "password": "x" } }), Err("`basic`: expected text"));
        check(
            json!({ "basic": { "username": "a:b", "password": "x" } }),
            Err("`basic`: a username cannot hold a colon"),
        );
        check(json!({ "bearer": 5 }), Err("`bearer`: expected a token, which is text"));
        check(json!({ "bearer": "" }), Err("`bearer`: the token holds what a header cannot"));
        let client = json!({ "token_url": "ftp://a/", "client_id": "", "client_secret": "" });
        check(json!({ "oauth2": client }), Err("`oauth2`: a `token_url` of the scheme `ftp`: expected http or https"));
    }
}
