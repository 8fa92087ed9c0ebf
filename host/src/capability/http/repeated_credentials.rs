//! Removal of credentials from responses that repeat them, so that a component that is not built in does not learn the
//! credentials that the host has added to its request.

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::HeaderValue;

use crate::capability::http::response::Response;

/// The minimum length of a credential that is searched for, in bytes. Shorter ones also occur in other text.
const MIN_BYTES: usize = 4;

/// The credentials of a request, in the forms in which a response can repeat them, with their replacements.
pub struct Echoes {
    credentials: Vec<Vec<u8>>,
    /// The text that replaces each credential, in the order of `credentials`.
    replacements: Vec<&'static str>,
    matcher: AhoCorasick,
}

impl Echoes {
    /// Returns the credentials in an `authorization` header: the text after the scheme, and for the scheme `Basic` the
    /// password that the text encodes. Returns `None` if all of them are shorter than [`MIN_BYTES`].
    pub fn of_header(header: &HeaderValue) -> Option<Self> {
        let value = header.as_bytes();
        let credential = value.iter().position(|byte| *byte == b' ').map_or(value, |space| &value[space + 1..]);
        let decoded = value.starts_with(b"Basic ").then(|| STANDARD.decode(credential).ok()).flatten();
        let password = decoded.and_then(|decoded| {
            let colon = decoded.iter().position(|byte| *byte == b':')?;
            Some(decoded[colon + 1..].to_vec())
        });
        Self::new(password.into_iter().chain([credential.to_vec()]))
    }

    fn new(credentials: impl Iterator<Item = Vec<u8>>) -> Option<Self> {
        let credentials: Vec<_> = credentials.filter(|credential| credential.len() >= MIN_BYTES).collect();
        let matcher = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&credentials).ok()?;
        let replacements = credentials.iter().map(|credential| replacement(credential.len())).collect();
        (!credentials.is_empty()).then_some(Self { credentials, replacements, matcher })
    }

    /// Replaces the credentials in a response's headers, URL, location and body, where the response repeats the same
    /// bytes. If the body is cut off, the beginning of a credential at its end is removed too.
    pub fn remove_from(&self, response: &mut Response) {
        let texts = response.headers.iter_mut().map(|(_, value)| value).chain([&mut response.url]);
        for text in texts.chain(&mut response.location) {
            if self.matcher.is_match(text.as_str()) {
                *text = self.matcher.replace_all(text, &self.replacements);
            }
        }
        if response.body_size > response.body.len() as u64 {
            let end = response.body.len() - self.partial_credential_length(&response.body);
            response.body.truncate(end);
        }
        if self.matcher.is_match(&response.body) {
            let is_whole = response.body_size == response.body.len() as u64;
            response.body = self.matcher.replace_all_bytes(&response.body, &self.replacements);
            if is_whole {
                // A body that is shorter than its size would count as cut off.
                response.body_size = response.body.len() as u64;
            }
        }
    }

    /// Returns the length in bytes of the longest beginning of a credential with which a body ends, because the body
    /// was cut off within the credential. Beginnings shorter than [`MIN_BYTES`] do not count. Returns 0 if there is
    /// none.
    fn partial_credential_length(&self, body: &[u8]) -> usize {
        let longest = |credential: &Vec<u8>| {
            (MIN_BYTES..credential.len()).rev().find(|length| body.ends_with(&credential[..*length])).unwrap_or(0)
        };
        self.credentials.iter().map(longest).max().unwrap_or(0)
    }
}

/// Returns the text that replaces a credential of `bytes` bytes, the same as for secrets in reports. The text is no
/// longer than a credential of [`MIN_BYTES`] or more, so that a response does not take more memory than was counted for
/// it.
pub fn replacement(bytes: usize) -> &'static str {
    const REPLACEMENT: &str = "[Filtered]";
    if bytes < REPLACEMENT.len() { "***" } else { REPLACEMENT }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echoes(header: &'static str) -> Echoes {
        Echoes::of_header(&HeaderValue::from_static(header)).expect("the credentials are long enough")
    }

    fn response(body: &str, body_size: u64) -> Response {
        let text = format!(
            r#"{{"status": 200, "url": "https://h/?key=open-sesame-1", "location": null, "headers": [["x-seen", "Bearer open-sesame-1"]],
                "body": {{"text": {body:?}}}, "body_size": {body_size},
                "timing": {{"dns": null, "connect": null, "tls": null, "send": 0, "wait": 0, "receive": 0, "total": 0}},
                "connection": {{"reused": false, "remote_address": null, "http_version": "1.1", "tls": null}}}}"#
        );
        serde_json::from_str(&text).expect("the test's response is valid")
    }

    #[track_caller]
    fn check(header: &'static str, body: &str, body_size: u64, expected: &str) {
        let mut response = response(body, body_size);
        echoes(header).remove_from(&mut response);
        assert_eq!(String::from_utf8_lossy(&response.body), expected);
    }

    #[test]
    fn credentials_are_removed_from_a_response() {
        let mut shown = response("", 0);
        echoes("Bearer open-sesame-1").remove_from(&mut shown);
        assert_eq!(
            (shown.url.as_str(), shown.headers[0].1.as_str()),
            ("https://h/?key=[Filtered]", "Bearer [Filtered]")
        );
        check("Bearer open-sesame-1", "a open-sesame-1 b open-sesame-1", 31, "a [Filtered] b [Filtered]");
        check("Bearer open-sesame-1", "a open-sesame-2", 15, "a open-sesame-2");
        // The body repeats the password of `ada:open sesame`, and the base64 of the pair.
        check("Basic YWRhOm9wZW4gc2VzYW1l", "open sesame YWRhOm9wZW4gc2VzYW1l", 32, "[Filtered] [Filtered]");
        // A body that is cut off in the middle of a credential.
        check("Bearer open-sesame-1", "a open-se", 100, "a ");
        check("Bearer sesame", "a sesame", 8, "a ***");
        check("Bearer open-sesame-1", "a open-se", 9, "a open-se");
        assert!(Echoes::of_header(&HeaderValue::from_static("Bearer abc")).is_none());
    }
}
