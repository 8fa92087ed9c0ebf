//! Entry points for fuzzers.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use crate::capability::http::cookies::Cookies;
use crate::capability::http::evidence::bounded_headers;
use crate::capability::http::format::{absolute_location, header_lines, redact_location};
use crate::capability::http::{malformed, pkcs12};
use crate::printable;

/// Processes the headers of a target's response, given as lines of a name, a colon and a value: follows a redirect,
/// stores cookies and sends them again, and keeps the headers as evidence.
pub fn response_headers(text: &[u8]) {
    let line = |line: &[u8]| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        let name = HeaderName::from_bytes(&line[..colon]).ok()?;
        Some((name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii()).ok()?))
    };
    let mut headers = HeaderMap::new();
    for (name, value) in text.split(|byte| *byte == b'\n').filter_map(line) {
        headers.append(name, value);
    }
    let url: Url = "https://shop.example/basket?item=1".parse().expect("the URL is valid");
    let lines = header_lines(&headers);
    if let Some(location) = absolute_location(&url, 302, &lines) {
        _ = redact_location(&url, &location);
    }
    let cookies = Cookies::default();
    cookies.store_from_response(&url, &headers);
    cookies.add_to_request(&url, &mut HeaderMap::new());
    for (name, value) in header_lines(&bounded_headers(&headers)) {
        let (name, value) = (printable::escape(&name), printable::escape(&value));
        assert!(name.chars().chain(value.chars()).all(|c| !c.is_control()), "{name}: {value}");
    }
}

/// Explains why the first bytes of a response over HTTP/1.1 cannot be read.
pub fn malformed_response(received: &[u8]) {
    for cause in
        ["invalid HTTP header parsed", "invalid content-length parsed", "Invalid chunk size line: Invalid Size"]
    {
        let malformed = malformed::of_http1(received, received.len() as u64, cause);
        let quote = malformed.and_then(|malformed| malformed.quote).unwrap_or_default();
        assert!(quote.len() <= 203 && !quote.chars().any(char::is_control), "{quote}");
    }
    malformed::of_proxy(received);
    malformed::left_out(received, 0);
}

/// Reads a file in PKCS#12 without a passphrase.
pub fn pkcs12_file(file: &[u8]) {
    _ = pkcs12::read(file, "");
}
