//! Formats parts of requests and responses as text: headers, versions, locations, and URLs without secrets.

use http::Version;
use http::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use url::Url;

/// The `user-agent` header of requests that do not set their own.
pub const USER_AGENT: &str = concat!("sentrynet/", env!("CARGO_PKG_VERSION"));

/// Returns the `location` header of a response, if its status is that of a redirect (301, 302, 303, 307 or 308).
pub fn redirect_location(status: u16, headers: &[(String, String)]) -> Option<&str> {
    let location = headers.iter().find(|(name, _)| name == LOCATION.as_str());
    location.filter(|_| [301, 302, 303, 307, 308].contains(&status)).map(|(_, location)| location.as_str())
}

/// Returns the location that a response redirects to, as an absolute URL. A location that is not a URL is returned
/// unchanged.
pub fn absolute_location(base: &Url, status: u16, headers: &[(String, String)]) -> Option<String> {
    let location = redirect_location(status, headers)?;
    Some(base.join(location).map_or_else(|_| location.to_owned(), String::from))
}

/// Returns a location as an absolute URL with neither credentials nor query. A location that is not a URL is returned
/// unchanged.
pub fn redact_location(base: &Url, location: &str) -> String {
    base.join(location).map_or_else(|_| location.to_owned(), |target| without_secrets(&target))
}

/// Returns all headers in the order of arrival. Bytes that are not UTF-8 are replaced.
pub fn header_lines(headers: &HeaderMap<HeaderValue>) -> Vec<(String, String)> {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    headers.iter().map(line).collect()
}

/// Returns the number of bytes that headers or trailers take in HTTP/1.1.
pub fn header_bytes(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + ": \r\n".len()).sum()
}

/// Returns the approximate number of bytes that headers take in memory: names, values, and the entry of each header.
pub fn header_memory(headers: &HeaderMap) -> usize {
    /// The bytes that are counted for the entry of one header, beside its name and value.
    const LINE_BYTES: usize = 128;
    headers.iter().map(|(name, value)| LINE_BYTES + name.as_str().len() + value.len()).sum()
}

/// Returns an HTTP version's number, e.g. `1.1` or `2`.
pub fn version_name(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "0.9",
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

/// Returns a URL without its user name and password.
pub fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // Both setters fail only for a URL without a host, which cannot have credentials.
    let _ = (url.set_username(""), url.set_password(None));
    url
}

/// Returns a URL without credentials, query and fragment, which can contain secrets.
pub fn without_secrets(url: &Url) -> String {
    let mut url = without_credentials(url);
    url.set_query(None);
    url.set_fragment(None);
    url.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_any_scheme_are_shown_without_secrets() {
        let shown = |url: &str| without_secrets(&url.parse().expect("the test's URL is valid"));
        assert_eq!(shown("https://ada:pw@shop.example:8443/a?token=1#f"), "https://shop.example:8443/a");
        assert_eq!(shown("https://shop.example:443"), "https://shop.example/");
        assert_eq!(shown("file:///etc/passwd?x"), "file:///etc/passwd");
        assert_eq!(shown("ftp://ada:pw@ftp.example/a"), "ftp://ftp.example/a");
        assert_eq!(shown("mailto:ada@shop.example?subject=x"), "mailto:ada@shop.example");
    }
}
