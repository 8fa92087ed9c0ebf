//! The forms in which a value may appear without being encoded: its secret parts, and the forms to which servers and
//! libraries change it.

use std::collections::BTreeSet;

use url::Url;

use super::base64_and_hex;
use super::decoded_view::{self, DecodedView};

/// The minimum number of characters of a value that is redacted inside words. If shorter values were redacted inside
/// words, texts would become unreadable.
pub const MIN_SUBSTRING_CHARS: usize = 4;

/// Returns true if a value is so short that it is redacted only as a whole value: it has one to three characters,
/// white space around them not counted.
pub fn is_short(value: &str) -> bool {
    let value = value.trim();
    !value.is_empty() && value.chars().nth(MIN_SUBSTRING_CHARS - 1).is_none()
}

/// Returns all forms of a value that is not short. Forms that are short themselves are left out.
pub fn variants(value: &str) -> BTreeSet<Vec<u8>> {
    let mut parts = vec![value.to_owned()];
    parts.extend(long_lines(value));
    parts.extend(scheme_credentials(value));
    parts.extend(url_parts(value));
    parts.extend(host_name(value));
    let mut forms: BTreeSet<String> = parts.iter().flat_map(|part| normalized(part)).collect();
    forms.extend(parts);
    forms.retain(|form| form.trim().chars().nth(MIN_SUBSTRING_CHARS - 1).is_some());
    let decoded: Vec<_> = forms.iter().filter_map(|form| percent_decoded(form)).collect();
    let misread: Vec<_> = forms.iter().flat_map(|form| as_latin1(form)).collect();
    forms.into_iter().map(String::into_bytes).chain(decoded).chain(misread).collect()
}

/// Returns the forms into which libraries change a value: without line breaks, on one line, in another case.
fn normalized(value: &str) -> Vec<String> {
    /// The maximum length of a value that is also redacted in other cases. Libraries change the case of host names,
    /// which are shorter.
    const MAX_CASE_CHANGE_BYTES: usize = 256;
    let trimmed = value.trim().to_owned();
    // URL parsers remove tabs and line breaks.
    let without_breaks = trimmed.replace(['\t', '\n', '\r'], "");
    let one_line = trimmed.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut altered = vec![without_breaks.replace('\\', "/"), without_breaks, one_line];
    if value.len() <= MAX_CASE_CHANGE_BYTES {
        altered.extend([trimmed.to_lowercase(), trimmed.to_uppercase()]);
    }
    altered.push(trimmed);
    altered
}

/// Returns a value with its percent escapes decoded, as a server reads it. Returns `None` if it has no percent escapes,
/// or fewer than four bytes after decoding.
fn percent_decoded(value: &str) -> Option<Vec<u8>> {
    let view = DecodedView::new(value).filter(|_| value.contains('%'))?;
    let view = decoded_view::unescaped_views(&view).next()?;
    Some(view.bytes().to_vec()).filter(|bytes| bytes.len() >= MIN_SUBSTRING_CHARS)
}

/// Returns the forms that a value with characters beyond ASCII takes if a server uses Latin-1:
///
/// - the UTF-8 bytes, each read as a Latin-1 character;
/// - the value in Latin-1, if Latin-1 has all its characters;
/// - the value in Latin-1 read as UTF-8, with U+FFFD in the place of each character beyond ASCII.
fn as_latin1(value: &str) -> Vec<Vec<u8>> {
    if value.is_ascii() {
        return Vec::new();
    }
    let mut forms = vec![value.bytes().map(char::from).collect::<String>().into_bytes()];
    if let Some(bytes) = value.chars().map(|c| u8::try_from(c).ok()).collect::<Option<Vec<u8>>>() {
        // A form with too few letters and digits would match any other text that was misread.
        let is_distinctive = bytes.iter().filter(|byte| byte.is_ascii_alphanumeric()).count() >= MIN_SUBSTRING_CHARS;
        forms.extend(is_distinctive.then(|| String::from_utf8_lossy(&bytes).into_owned().into_bytes()));
        forms.push(bytes);
    }
    forms
}

/// Returns the lines of a key or a certificate, since a log may show them one by one.
fn long_lines(value: &str) -> impl Iterator<Item = String> {
    const MIN_LINE_BYTES: usize = 17;
    let lines = value.lines().map(str::trim).filter(|line| line.len() >= MIN_LINE_BYTES && !line.starts_with("-----"));
    lines.map(str::to_owned)
}

/// Returns the token of `Bearer TOKEN`, and of `Basic …` also the decoded pair and its password.
fn scheme_credentials(value: &str) -> Vec<String> {
    const SCHEMES: [&str; 5] = ["bearer", "basic", "token", "apikey", "negotiate"];
    let Some((scheme, rest)) = value.trim().split_once(' ') else { return Vec::new() };
    if !SCHEMES.contains(&scheme.to_ascii_lowercase().as_str()) {
        return Vec::new();
    }
    let mut credentials = vec![rest.trim().to_owned()];
    if scheme.eq_ignore_ascii_case("basic")
        && let Some(view) = DecodedView::new(rest.trim())
        // The first view decodes base64 from the first character.
        && let Some(pair) = base64_and_hex::views(&view, 1, |_| false).first()
        && let Ok(pair) = std::str::from_utf8(pair.bytes().split_last().map_or(&[], |(_, pair)| pair))
    {
        credentials.extend(pair.split_once(':').map(|(_, password)| password.to_owned()));
        credentials.push(pair.to_owned());
    }
    credentials
}

/// Returns the forms in which a URL is shown, and its secret parts: the password and long query values.
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
    // These cannot fail for a URL with a host.
    let _ = (url.set_username(""), url.set_password(None));
    parts.push(url.to_string());
    url.set_query(None);
    url.set_fragment(None);
    parts.push(url.to_string());
    parts
}

/// Returns the ASCII form (Punycode) of a host name with other characters.
fn host_name(value: &str) -> Option<String> {
    if value.is_ascii() || value.contains([':', '/', '?', '#', '@', '\\']) {
        return None;
    }
    Url::parse(&format!("http://{}/", value.trim())).ok()?.host_str().map(str::to_owned)
}
