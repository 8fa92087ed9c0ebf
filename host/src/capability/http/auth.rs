//! Credentials of requests. The host reads them from the probe's settings, so that no guest sees them.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::capability::http::token_cache::OAuth2Client;
use crate::capability::text::quotable;

/// The source of a request's `authorization` header. `Debug` shows no credentials.
#[derive(Debug, Clone)]
pub enum Authorization {
    /// The header's value, which is marked as sensitive.
    Header(HeaderValue),
    /// A token that is fetched with the credentials of this client.
    OAuth2(Arc<OAuth2Client>),
}

impl Authorization {
    /// Parses `{basic: {username, password}}`, `{bearer: TOKEN}` or `{oauth2: {…}}`.
    ///
    /// # Errors
    /// A message for a person if the setting is none of these. The message repeats no value of the setting, which may
    /// be a secret.
    pub fn parse(setting: &Value) -> Result<Self, String> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Basic {
            username: String,
            password: SecretString,
        }
        const SHAPE: &str = "expected one of `basic`, `bearer` or `oauth2`";
        const INVALID_TOKEN: &str = "`bearer`: the token is empty or holds characters that a header cannot contain";
        let Some(map) = setting.as_object() else { return Err(SHAPE.to_owned()) };
        let mut entries = map.iter();
        let (Some((kind, value)), None) = (entries.next(), entries.next()) else { return Err(SHAPE.to_owned()) };
        let invalid = |error: serde_json::Error| format!("`{kind}`: {}", plain_message(&error.to_string()));
        match kind.as_str() {
            "basic" => {
                let Basic { username, password } = Deserialize::deserialize(value).map_err(invalid)?;
                if username.contains(':') {
                    return Err("`basic`: a username cannot hold a colon".to_owned());
                }
                Ok(Self::Header(basic_header(&username, &password)))
            }
            "bearer" => {
                let token = value.as_str().ok_or("`bearer`: expected a token, which is text")?;
                Ok(Self::Header(bearer_header(token.trim()).ok_or(INVALID_TOKEN)?))
            }
            "oauth2" => {
                let client: OAuth2Client = Deserialize::deserialize(value).map_err(invalid)?;
                match client.token_url.scheme() {
                    "http" | "https" => Ok(Self::OAuth2(Arc::new(client))),
                    other => {
                        let other = quotable(other);
                        Err(format!("`oauth2`: a `token_url` of the scheme `{other}`: expected http or https"))
                    }
                }
            }
            other => Err(format!("unknown kind `{}`: {SHAPE}", quotable(other))),
        }
    }
}

/// Returns the header for basic authentication, marked as sensitive.
pub fn basic_header(username: &str, password: &SecretString) -> HeaderValue {
    let credentials = STANDARD.encode(format!("{username}:{}", password.expose_secret()));
    sensitive_header(format!("Basic {credentials}")).expect("base64 is valid in a header")
}

/// Returns the header for a bearer token, marked as sensitive; `None` if the token is empty or no header can hold it.
pub fn bearer_header(token: &str) -> Option<HeaderValue> {
    sensitive_header(format!("Bearer {token}")).filter(|_| !token.is_empty())
}

fn sensitive_header(text: String) -> Option<HeaderValue> {
    let mut header = HeaderValue::try_from(text).ok()?;
    header.set_sensitive(true);
    Some(header)
}

/// Returns a message of serde in the terms of a configuration, without the value that the message may repeat.
fn plain_message(message: &str) -> String {
    let message = message.replace("missing field", "missing key").replace("unknown field", "unknown key");
    let repeats_value = |start: &str| start.starts_with("invalid ") || start.starts_with("unknown variant ");
    match message.split_once([':', ',']).filter(|(start, _)| repeats_value(start)) {
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
    use crate::capability::http::oauth2::token_form;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "so that cases are written in one line")]
    fn check(setting: Value, expected: Result<&str, &str>) {
        let header = Authorization::parse(&setting).map(|authorization| match authorization {
            Authorization::Header(header) => {
                header.to_str().expect("credentials in a header are visible ASCII").to_owned()
            }
            Authorization::OAuth2(client) => token_form(&client),
        });
        assert_eq!(header.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn valid_settings_give_a_header_or_the_form_for_a_token() {
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
    fn invalid_settings_give_a_message_without_their_values() {
        let shape = "expected one of `basic`, `bearer` or `oauth2`";
        check(json!("hunter2"), Err(shape));
        check(json!({}), Err(shape));
        check(json!({ "basic": {}, "bearer": "x" }), Err(shape));
        check(json!({ "digest": {} }), Err(&format!("unknown kind `digest`: {shape}")));
        check(json!({ "basic": { "username": "u" } }), Err("`basic`: missing key `password`"));
        check(json!({ "basic": { "username": 12, "password": "x" } }), Err("`basic`: expected text"));
        check(json!({ "basic": { "username": "u", "password": 12 } }), Err("`basic`: expected text"));
        check(
            json!({ "basic": { "username": "a:b", "password": "x" } }),
            Err("`basic`: a username cannot hold a colon"),
        );
        check(json!({ "bearer": 5 }), Err("`bearer`: expected a token, which is text"));
        let invalid_token = "`bearer`: the token is empty or holds characters that a header cannot contain";
        check(json!({ "bearer": "" }), Err(invalid_token));
        let client = json!({ "token_url": "ftp://a/", "client_id": "", "client_secret": "" });
        check(json!({ "oauth2": client }), Err("`oauth2`: a `token_url` of the scheme `ftp`: expected http or https"));
    }

    #[test]
    fn debug_shows_no_credentials() {
        let client = json!({ "token_url": "https://a/", "client_id": "me", "client_secret": "hunter2" });
        for setting in [
            json!({ "basic": { "username": "ada", "password": "hunter2" } }),
            json!({ "bearer": "hunter2" }),
            json!({ "oauth2": client }),
        ] {
            let shown = format!("{:?}", Authorization::parse(&setting));
            assert!(shown.starts_with("Ok("), "{shown}");
            // The end of the base64 of `ada:hunter2`.
            assert!(!shown.contains("hunter2") && !shown.contains("h1bnRlcjI"), "{shown}");
        }
    }
}
