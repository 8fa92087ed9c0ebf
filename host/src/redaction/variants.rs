//! What else a value is known by: parts that are as secret as the whole, and what becomes of it on its way without
//! any encoding. Knows nothing of texts.

use std::collections::BTreeSet;

use url::Url;

use super::decoded_view::{self, DecodedView};
use super::encoded;

/// Characters below which a value is struck out only where it stands alone.
pub const SHORT_CHARS: usize = 4;

/// Whether a value is so short that striking it out wherever it stands would leave nothing readable.
pub fn is_short(value: &str) -> bool {
    let value = value.trim();
    !value.is_empty() && value.chars().nth(SHORT_CHARS - 1).is_none()
}

/// A value that is not short, in all its forms.
pub fn variants(value: &str) -> BTreeSet<Vec<u8>> {
    let mut parts = vec![value.to_owned()];
    parts.extend(long_lines(value));
    parts.extend(scheme_credentials(value));
    parts.extend(url_parts(value));
    parts.extend(host_name(value));
    let mut forms: BTreeSet<String> = parts.iter().flat_map(|part| normalized(part)).collect();
    forms.extend(parts);
    forms.retain(|form| form.trim().chars().nth(SHORT_CHARS - 1).is_some());
    let decoded: Vec<_> = forms.iter().filter_map(|form| decoded(form)).collect();
    let misread: Vec<_> = forms.iter().flat_map(|form| as_latin1(form)).collect();
    forms.into_iter().map(String::into_bytes).chain(decoded).chain(misread).collect()
}

/// What libraries make of a value in passing.
fn normalized(value: &str) -> Vec<String> {
    /// A host's name has no more, and with others nobody changes the case.
    const MAX_NAME_BYTES: usize = 256;
    let trimmed = value.trim().to_owned();
    // As a URL's parser takes it.
    let straight = trimmed.replace(['\t', '\n', '\r'], "");
    let one_line = trimmed.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut altered = vec![straight.replace('\\', "/"), straight, one_line];
    if value.len() <= MAX_NAME_BYTES {
        altered.extend([trimmed.to_lowercase(), trimmed.to_uppercase()]);
    }
    altered.push(trimmed);
    altered
}

/// A value that is itself encoded, as it must be in a URL, or looks so: what a server sees of it.
fn decoded(value: &str) -> Option<Vec<u8>> {
    let view = decoded_view::decoded_texts(&DecodedView::of(value).filter(|_| value.contains('%'))?).next()?;
    Some(view.bytes().to_vec()).filter(|bytes| bytes.len() >= SHORT_CHARS)
}

/// What becomes of letters beyond ASCII between servers of which one means Latin-1: the bytes that it sends, how they are
/// read here, and how ours are repeated by one that has read each of them as a letter.
fn as_latin1(value: &str) -> Vec<Vec<u8>> {
    if value.is_ascii() {
        return Vec::new();
    }
    let mut forms = vec![value.bytes().map(char::from).collect::<String>().into_bytes()];
    if let Some(bytes) = value.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>() {
        // With nothing else left in it, it would be any other too.
        let telling = bytes.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() >= SHORT_CHARS;
        forms.extend(telling.then(|| String::from_utf8_lossy(&bytes).into_owned().into_bytes()));
        forms.push(bytes);
    }
    forms
}

/// The lines of a key or a certificate, which a log takes one by one.
fn long_lines(value: &str) -> impl Iterator<Item = String> {
    const MIN_LINE_BYTES: usize = 17;
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= MIN_LINE_BYTES && !line.starts_with("-----"));
    lines.map(str::to_owned)
}

/// Of `Bearer TOKEN` the token; of `Basic …` the password too.
fn scheme_credentials(value: &str) -> Vec<String> {
    const SCHEMES: [&str; 5] = ["bearer", "basic", "token", "apikey", "negotiate"];
    let Some((scheme, rest)) = value.trim().split_once(' ') else { return Vec::new() };
    if !SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) {
        return Vec::new();
    }
    let mut credentials = vec![rest.trim().to_owned()];
    if scheme.eq_ignore_ascii_case("basic")
        && let Some(view) = DecodedView::of(rest.trim())
        // The first way to read it is from its beginning.
        && let Some(pair) = encoded::views(&view, 1, |_| false).first()
        && let Ok(pair) = std::str::from_utf8(pair.bytes().split_last().map_or(&[], |(_, pair)| pair))
    {
        credentials.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
        credentials.push(pair.to_owned());
    }
    credentials
}

/// Of a URL what is shown of it, and what in it is a secret by itself.
fn url_parts(value: &str) -> Vec<String> {
    const MIN_QUERY_VALUE_BYTES: usize = 8;
    let Some(mut url) = Url::parse(value.trim()).ok().filter(|url| url.has_authority() && url.has_host()) else {
        return Vec::new();
    };
    let mut parts = vec![url.to_string()];
    parts.extend(url.password().map(str::to_owned));
    parts.extend(
        url.query_pairs().map(|(_, value)| value.into_owned()).filter(|text| text.len() >= MIN_QUERY_VALUE_BYTES),
    );
    // With a host there is a place for credentials, or for none.
    let _ = (url.set_username(""), url.set_password(None));
    parts.push(url.to_string());
    url.set_query(None);
    url.set_fragment(None);
    parts.push(url.to_string());
    parts
}

/// A name that a URL has in other letters.
fn host_name(value: &str) -> Option<String> {
    if value.is_ascii() || value.contains([':', '/', '?', '#', '@', '\\']) {
        return None;
    }
    Url::parse(&format!("http://{}/", value.trim())).ok()?.host_str().map(str::to_owned)
}
