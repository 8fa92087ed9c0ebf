//! What stands in requests and answers, as text: headers, versions, and URLs as far as they may be shown.

use reqwest::Version;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use url::Url;

/// Where an answer leads, if it redirects.
pub fn redirect(status: u16, headers: &[(String, String)]) -> Option<&str> {
    let location = headers.iter().find(|(name, _)| name == LOCATION.as_str());
    location.filter(|_| [301, 302, 303, 307, 308].contains(&status)).map(|(_, location)| location.as_str())
}

/// All headers, in the order of arrival.
pub fn lines(headers: &HeaderMap<HeaderValue>) -> Vec<(String, String)> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(line).collect()
}

/// `1.1` or `2`.
pub fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// A URL as whoever asked for it knows it.
pub fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // Only a URL without a host has no place for them.
    let _ = (url.set_username(""), url.set_password(None));
    url
}

/// A URL as far as it may be shown: neither credentials nor a query, which can hold them.
pub fn without_secrets(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    format!("{origin}{}", url.path())
}

/// Where an answer leads, as far as it may be shown.
pub fn shown(base: &Url, location: &str) -> String {
    base.join(location).map_or_else(|_| location.to_owned(), |target| without_secrets(&target))
}

/// Bytes of a head, as HTTP/1.1 has it on the wire but for its first line.
pub fn size(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}
