//! Credentials in texts, recognised by their names (`token=…`) or by their formats (a JSON Web Token). Targets send
//! secrets that are not in the configuration.
//!
//! The search is heuristic. A secret is not found if [`is_name`] does not recognise its name and the secret has no
//! known format.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::marker::REDACTED;
use value::{find_value, is_quoted};

mod value;

/// Returns true if the value of a header, a key or a query parameter with this name is probably a credential.
pub fn is_name(name: &str) -> bool {
    /// The texts that are found anywhere in a name, without regard to case and separators.
    const SUBSTRINGS: [&str; 21] = [
        "password",
        "passwd",
        "passphrase",
        "passcode",
        "secret",
        "token",
        "apikey",
        "accesskey",
        "privatekey",
        "credential",
        "signature",
        "authoriz",
        "cookie",
        "session",
        "sessid",
        "csrf",
        "xsrf",
        "bearer",
        "oauth",
        "jwt",
        "mysqlpwd",
    ];
    /// The texts that are found as whole words: in `x-auth` and `connect.sid`, but not in `author` or `keyboard`.
    const WORDS: [&str; 16] = [
        "auth",
        "authentication",
        "pass",
        "pwd",
        "pw",
        "pin",
        "otp",
        "totp",
        "mfa",
        "sid",
        "sig",
        "sso",
        "saml",
        "hmac",
        "key",
        "creds",
    ];
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    SUBSTRINGS.iter().any(|substring| letters.contains(substring))
        || words(name).any(|word| WORDS.contains(&word.as_str()))
}

/// Returns the words of a name in `camelCase`, `snake_case` or `kebab-case`, or with other separators, in lower case.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut after_lower_case = false;
    for character in name.chars() {
        if !character.is_ascii_alphanumeric() || (after_lower_case && character.is_ascii_uppercase()) {
            words.push(String::new());
        }
        after_lower_case = character.is_ascii_lowercase();
        if character.is_ascii_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.push(character.to_ascii_lowercase());
        }
    }
    words.into_iter()
}

/// Redacts all credentials, recognised by their names or by their formats.
pub fn redact(text: &str) -> Cow<'_, str> {
    replace(text, find(text, false))
}

/// Redacts the credentials in a sentence. Does the same as [`redact`], but leaves an unquoted value after a name and a
/// colon: in `token: expected text`, it is no credential.
pub fn redact_sentence(text: &str) -> Cow<'_, str> {
    replace(text, find(text, true))
}

/// Returns the credentials in a text, without quotes around them.
pub fn values(text: &str) -> impl Iterator<Item = &str> {
    find(text, false).into_iter().map(|credential| text[credential.range].trim_matches(['"', '\'', '\\']))
}

/// Returns the ranges of the credentials in a text, in order and without overlaps, each without quotes around it.
pub fn ranges(text: &str) -> Vec<Range<usize>> {
    let mut found: Vec<_> =
        find(text, false).into_iter().map(|credential| without_quotes(text, credential.range)).collect();
    found.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    let mut end = 0;
    found.retain(|range| {
        let is_new = range.start >= end && !range.is_empty();
        end = end.max(range.end);
        is_new
    });
    found
}

/// Returns the range without quotation marks and backslashes at its ends.
fn without_quotes(text: &str, range: Range<usize>) -> Range<usize> {
    const QUOTES: [char; 3] = ['"', '\'', '\\'];
    let value = &text[range.clone()];
    let start = range.start + value.len() - value.trim_start_matches(QUOTES).len();
    start..start + value.trim_matches(QUOTES).len()
}

/// Redacts the values of cookies in the value of a `Cookie` header or, if `is_set_cookie`, of a `Set-Cookie` header.
/// The names and the attributes of the cookies remain.
pub fn redact_cookies(header: &str, is_set_cookie: bool) -> String {
    let parts = header.split(';').enumerate().map(|(index, part)| match part.split_once('=') {
        // The further parts are attributes, for example `Path=/`.
        _ if is_set_cookie && index > 0 => part.to_owned(),
        Some((name, _)) => format!("{name}={REDACTED}"),
        None => REDACTED.to_owned(),
    });
    parts.collect::<Vec<_>>().join(";")
}

/// A credential in a text.
#[derive(Debug)]
struct Match {
    range: Range<usize>,
    /// The quotation mark to put around [`REDACTED`], so that JSON stays JSON if the value was a number, a list or a
    /// map. It is empty for a value within quotes or in a format without quotes.
    quote: String,
}

fn unquoted(range: Range<usize>) -> Match {
    Match { range, quote: String::new() }
}

fn find(text: &str, is_sentence: bool) -> Vec<Match> {
    let mut matches = Vec::new();
    find_by_name(text, is_sentence, &mut matches);
    find_in_markup(text, &mut matches);
    find_by_format(text, &mut matches);
    matches
}

fn replace(text: &str, mut matches: Vec<Match>) -> Cow<'_, str> {
    if matches.is_empty() {
        return Cow::Borrowed(text);
    }
    matches.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
    let mut replaced = String::with_capacity(text.len());
    let mut copied_to = 0;
    for Match { range, quote } in matches {
        // A match that begins within the previous match is redacted together with it.
        if range.start >= copied_to {
            replaced.push_str(&text[copied_to..range.start]);
            replaced.extend([&quote, REDACTED, &quote]);
        }
        copied_to = copied_to.max(range.end);
    }
    replaced.push_str(&text[copied_to..]);
    Cow::Owned(replaced)
}

macro_rules! pattern {
    ($name:ident, $pattern:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($pattern).expect("the pattern is valid"));
    };
}

// `"token": `, `token=`, `token%3D`, `Authorization: `, `'token' => `, `\"token\":`, `["token"]=> string(3) `.
pattern!(NAME_AND_SEPARATOR, r#"([A-Za-z0-9_.$\[\]-]+)([\\"'\]]*)\s*(:|=>?|%3[AaDd])\s*(?:string\(\d+\)\s*)?"#);
// `{"name": "token", "value": "..."}`.
pattern!(
    NAME_VALUE_PAIR,
    r#"(?i)["'](?:name|key|header|field)[\\"']*\s*:\s*[\\]*["']([^"'\\]+)[\\]*["']\s*,\s*[\\]*["'](?:value|content)[\\"']*\s*:\s*"#
);

/// Finds values that stand after a name of a credential.
fn find_by_name(text: &str, is_sentence: bool, matches: &mut Vec<Match>) {
    for (pattern, is_direct) in [(&*NAME_AND_SEPARATOR, true), (&*NAME_VALUE_PAIR, false)] {
        let mut at = 0;
        while let Some(captures) = pattern.captures_at(text, at) {
            let (Some(whole), Some(name)) = (captures.get(0), captures.get(1)) else { return };
            at = whole.end();
            // A name after `//` is that of a host, and the number after its colon is a port.
            if !is_name(name.as_str()) || text[..name.start()].ends_with("//") {
                continue;
            }
            let quote = captures.get(2).map_or("", |quote| quote.as_str());
            let has_colon = captures.get(3).is_some_and(|separator| separator.as_str() == ":");
            // After an unquoted name and a colon, as in headers and files of settings, the value is the rest of the
            // line.
            let is_line = is_direct && quote.is_empty() && has_colon;
            // This is checked before the end of the value is searched for: that search may read the whole rest of the
            // text for each of many names.
            if is_sentence && has_colon && (is_line || !is_quoted(text, at)) {
                continue;
            }
            let Some(value) = find_value(text, at, is_line) else { continue };
            at = value.range.end;
            let quote = if value.is_bare && !is_line { quote.trim_end_matches(']').to_owned() } else { String::new() };
            matches.push(Match { range: value.range, quote });
        }
    }
}

// `<input name="csrf" value="...">`, `<meta name="csrf-token" content="...">`.
pattern!(TAG, r"(?i)<(?:input|meta|param|add)\b[^<>]*");
pattern!(ATTRIBUTE, r#"(?i)\b(name|id|property|key|value|content)\s*=\s*(?:"([^"]*)|'([^']*)|([^\s"'<>]+))"#);
// `<token>...</token>`.
pattern!(ELEMENT, r"<(?:[A-Za-z0-9_.-]+:)?([A-Za-z0-9_.-]+)(?:\s[^<>]*)?>([^<]*)");
// `<th>TOKEN</th><td>...`.
pattern!(CELL, r">\s*([A-Za-z0-9_. -]+?)\s*</(?:th|td|dt|b|strong|code|span)>\s*(?:<[^<>/][^<>]*>\s*)+([^<]*)");

/// Finds values in elements of HTML and XML that have the name of a credential.
fn find_in_markup(text: &str, matches: &mut Vec<Match>) {
    for tag in TAG.find_iter(text) {
        let attributes: Vec<_> = ATTRIBUTE.captures_iter(tag.as_str()).collect();
        let is_value = |name: &str| matches!(name.to_ascii_lowercase().as_str(), "value" | "content");
        let content =
            |captures: &regex::Captures<'_>| (2..5).find_map(|group| captures.get(group)).map(|found| found.range());
        let is_named = attributes.iter().any(|captures| {
            !is_value(&captures[1]) && content(captures).is_some_and(|range| is_name(&tag.as_str()[range]))
        });
        let values = attributes.iter().filter(|captures| is_named && is_value(&captures[1]));
        let ranges = values.filter_map(content).filter(|range| !range.is_empty());
        matches.extend(ranges.map(|range| unquoted(tag.start() + range.start..tag.start() + range.end)));
    }
    for captures in ELEMENT.captures_iter(text).chain(CELL.captures_iter(text)) {
        let content = captures.get(2).filter(|content| !content.as_str().trim().is_empty());
        if is_name(&captures[1])
            && let Some(content) = content
        {
            matches.push(unquoted(content.range()));
        }
    }
}

pattern!(PRIVATE_KEY, r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)");
// A JSON object in base64url: a JSON Web Token, or the data of a signed cookie.
pattern!(JWT, r"\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*");
pattern!(SCHEME, r"(?i)\b(?:bearer|basic|negotiate|ntlm|apikey|token)(?:\s|%20|\+)+([A-Za-z0-9._~+/-]{6,}=*)");
// Tokens with the prefix of their issuer: GitHub, GitLab, Slack, Stripe, OpenAI, Sentry, npm, DigitalOcean, Hugging
// Face, AWS, Google.
pattern!(
    PREFIXED,
    r"\b(?:(?:gh[opsur]|github_pat|glpat|xox[a-z]|sk|rk|pk|whsec|sntrys|npm|dop_v1|hf)[_-][A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[A-Za-z0-9_-]{20,})"
);
pattern!(USERINFO, r#"(?::|%3[Aa])(?://|%2[Ff]%2[Ff]|\\/\\/)([^/\s?\#"'<>@\\]+)(?:@|%40)"#);

// Options of commands: `curl -u ada:...`, `sshpass -p ...`, `mysql -u root -p...`.
pattern!(
    OPTION,
    r#"(?x) (?: \s(?:-u|--user|--proxy-user)(?:\s+|=) (?: ["'][^\s:"']+:([^"']+) | [^\s:"']+:([^\s"';]+) )
        | (?: \bsshpass\s+-p\s* | \bmysql[a-z]*\s(?:[^|;&\n]*\s)?-p ) (?: ["']([^"']+) | ([^\s"';]+) ) )"#
);

/// Finds credentials by their format, independent of names.
fn find_by_format(text: &str, matches: &mut Vec<Match>) {
    for pattern in [&PRIVATE_KEY, &JWT, &PREFIXED] {
        matches.extend(pattern.find_iter(text).map(|found| unquoted(found.range())));
    }
    let ranges = SCHEME.captures_iter(text).filter_map(|captures| captures.get(1));
    matches.extend(ranges.filter(|found| looks_random(found.as_str())).map(|found| unquoted(found.range())));
    let ranges = [&USERINFO, &OPTION].into_iter().flat_map(|pattern| pattern.captures_iter(text));
    let ranges = ranges.filter_map(|captures| captures.iter().skip(1).flatten().next());
    matches.extend(ranges.map(|found| unquoted(found.range())));
}

/// Returns true if a text looks like a random token rather than a word: it has a digit, or an upper-case letter after
/// its first character besides lower-case ones, or `=` at its end, or at least 20 bytes. Lower-case letters followed by
/// `=` are taken for the name of a parameter. So `Basic authentication` and `Basic realm="…"` stay as they are.
pub fn looks_random(text: &str) -> bool {
    let is_mixed_case =
        text.chars().skip(1).any(|c| c.is_ascii_uppercase()) && text.chars().any(|c| c.is_ascii_lowercase());
    let is_parameter_name = text.ends_with('=') && text.trim_end_matches('=').chars().all(|c| c.is_ascii_lowercase());
    (is_mixed_case || text.chars().any(|c| c.is_ascii_digit()) || text.ends_with('=') || text.len() >= 20)
        && !is_parameter_name
}

#[cfg(test)]
mod tests;
