//! What is a credential by its name or by its looks, whoever it belongs to: in what a target sends there are secrets
//! that no configuration knows of. Knows texts, and nothing of where they are from.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::REDACTED;
use value::find_value;

mod value;

/// Whether what has this name is a credential: a header, a key, a parameter of a query.
pub fn is_name(name: &str) -> bool {
    /// Wherever they stand in a name, however it is written.
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
    /// As a word of their own: `x-auth`, `connect.sid`, and no `author` or `keyboard`.
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
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    SUBSTRINGS.iter().any(|stem| plain.contains(stem)) || words(name).any(|word| WORDS.contains(&word.as_str()))
}

/// The words of `camelCase`, `snake_case`, `kebab-case` and paths.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut lower = false;
    for character in name.chars() {
        if !character.is_ascii_alphanumeric() || (lower && character.is_ascii_uppercase()) {
            words.push(String::new());
        }
        lower = character.is_ascii_lowercase();
        if let (true, Some(word)) = (character.is_ascii_alphanumeric(), words.last_mut()) {
            word.push(character.to_ascii_lowercase());
        }
    }
    words.into_iter()
}

/// The text without the values of what is a credential by its name, and without what looks like one.
pub fn redact(text: &str) -> Cow<'_, str> {
    replace(text, find(text, false))
}

/// The same for sentences, in which the word behind `token:` need not be one.
pub fn redact_sentence(text: &str) -> Cow<'_, str> {
    replace(text, find(text, true))
}

/// The credentials in a text.
pub fn values(text: &str) -> impl Iterator<Item = &str> {
    find(text, false).into_iter().map(|found| text[found.range].trim_matches(['"', '\'', '\\']))
}

/// Of what is a cookie's header the names of the cookies, and what else is said of one that is set.
pub fn redact_cookies(header: &str, set: bool) -> String {
    let scrubbed = header.split(';').enumerate().map(|(index, part)| match part.split_once('=') {
        // What stands behind the first is about it: `Path=/`.
        _ if set && index > 0 => part.to_owned(),
        Some((name, _)) => format!("{name}={REDACTED}"),
        None => REDACTED.to_owned(),
    });
    scrubbed.collect::<Vec<_>>().join(";")
}

/// A credential in a text, and what else to put around the mark in its place.
#[derive(Debug)]
struct Match {
    range: Range<usize>,
    /// What strings are written in where it stands, and it was none: JSON stays JSON.
    quote: String,
}

fn unquoted(range: Range<usize>) -> Match {
    Match { range, quote: String::new() }
}

fn find(text: &str, sentence: bool) -> Vec<Match> {
    let mut found = Vec::new();
    find_by_name(text, sentence, &mut found);
    find_in_markup(text, &mut found);
    find_by_format(text, &mut found);
    found
}

fn replace(text: &str, mut found: Vec<Match>) -> Cow<'_, str> {
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    found.sort_by_key(|found| (found.range.start, std::cmp::Reverse(found.range.end)));
    let mut replaced = String::with_capacity(text.len());
    let mut kept = 0;
    for Match { range, quote } in found {
        // One within another, or beside it, has gone with it.
        if range.start >= kept {
            replaced.push_str(&text[kept..range.start]);
            replaced.extend([&quote, REDACTED, &quote]);
        }
        kept = kept.max(range.end);
    }
    replaced.push_str(&text[kept..]);
    Cow::Owned(replaced)
}

macro_rules! pattern {
    ($name:ident, $pattern:literal) => {
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($pattern).expect("a pattern of our own"));
    };
}

// `"token": `, `token=`, `token%3D`, `Authorization: `, `'token' => `, `\"token\":`, `["token"]=> string(3) `.
pattern!(NAMED, r#"([A-Za-z0-9_.$\[\]-]+)([\\"'\]]*)\s*(:|=>?|%3[AaDd])\s*(?:string\(\d+\)\s*)?"#);
// `{"name": "token", "value": "..."}`.
pattern!(
    APART,
    r#"(?i)["'](?:name|key|header|field)[\\"']*\s*:\s*[\\]*["']([^"'\\]+)[\\]*["']\s*,\s*[\\]*["'](?:value|content)[\\"']*\s*:\s*"#
);

/// The values of what has such a name.
fn find_by_name(text: &str, sentence: bool, all: &mut Vec<Match>) {
    for (pattern, named) in [(&*NAMED, true), (&*APART, false)] {
        let mut at = 0;
        while let Some(captures) = pattern.captures_at(text, at) {
            let (Some(whole), Some(name)) = (captures.get(0), captures.get(1)) else { return };
            at = whole.end();
            // A host may be called so: what stands behind it is its port.
            if !is_name(name.as_str()) || text[..name.start()].ends_with("//") {
                continue;
            }
            let quote = captures.get(2).map_or("", |quote| quote.as_str());
            let colon = captures.get(3).is_some_and(|sign| sign.as_str() == ":");
            // Unquoted, it is a header's or a file's: all of the line is its value.
            let line = named && quote.is_empty() && colon;
            if let Some((range, bare)) =
                find_value(text, at, line).filter(|(_, bare)| !(sentence && colon && (line || *bare)))
            {
                at = range.end;
                let quote = if bare && !line { quote.trim_end_matches(']').to_owned() } else { String::new() };
                all.push(Match { range, quote });
            }
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

/// What elements of HTML and XML hold.
fn find_in_markup(text: &str, all: &mut Vec<Match>) {
    for tag in TAG.find_iter(text) {
        let attributes: Vec<_> = ATTRIBUTE.captures_iter(tag.as_str()).collect();
        let holds = |name: &str| matches!(name.to_ascii_lowercase().as_str(), "value" | "content");
        let part = |captures: &regex::Captures<'_>| (2..5).find_map(|group| captures.get(group)).map(|it| it.range());
        let is_named = attributes
            .iter()
            .any(|captures| !holds(&captures[1]) && part(captures).is_some_and(|range| is_name(&tag.as_str()[range])));
        let held = attributes.iter().filter(|captures| is_named && holds(&captures[1]));
        let ranges = held.filter_map(part).filter(|range| !range.is_empty());
        all.extend(ranges.map(|range| unquoted(tag.start() + range.start..tag.start() + range.end)));
    }
    for captures in ELEMENT.captures_iter(text).chain(CELL.captures_iter(text)) {
        let content = captures.get(2).filter(|content| !content.as_str().trim().is_empty());
        if let (true, Some(content)) = (is_name(&captures[1]), content) {
            all.push(unquoted(content.range()));
        }
    }
}

pattern!(PRIVATE_KEY, r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\z)");
// A JSON object in base64: a JWT, or what its makers have kept for themselves.
pattern!(JWT, r"\beyJ[A-Za-z0-9_-]{6,}(?:\.[A-Za-z0-9_-]*)*");
pattern!(SCHEME, r"(?i)\b(?:bearer|basic|negotiate|ntlm|apikey|token)(?:\s|%20|\+)+([A-Za-z0-9._~+/-]{6,}=*)");
// Those that say themselves what they are.
pattern!(
    PREFIXED,
    r"\b(?:(?:gh[opsur]|github_pat|glpat|xox[a-z]|sk|rk|pk|whsec|sntrys|npm|dop_v1|hf)[_-][A-Za-z0-9_-]{16,}|(?:AKIA|ASIA)[A-Z0-9]{12,}|AIza[A-Za-z0-9_-]{20,})"
);
pattern!(USERINFO, r#"(?::|%3[Aa])(?://|%2[Ff]%2[Ff]|\\/\\/)([^/\s?\#"'<>@\\]+)(?:@|%40)"#);

// What commands are given in the place of a name: `curl -u ada:...`, `sshpass -p ...`, `mysql -u root -p...`.
pattern!(
    OPTION,
    r#"(?x) (?: \s(?:-u|--user|--proxy-user)(?:\s+|=) (?: ["'][^\s:"']+:([^"']+) | [^\s:"']+:([^\s"';]+) )
        | (?: \bsshpass\s+-p\s* | \bmysql[a-z]*\s(?:[^|;&\n]*\s)?-p ) (?: ["']([^"']+) | ([^\s"';]+) ) )"#
);

/// What is a credential whatever its name.
fn find_by_format(text: &str, all: &mut Vec<Match>) {
    for pattern in [&PRIVATE_KEY, &JWT, &PREFIXED] {
        all.extend(pattern.find_iter(text).map(|it| unquoted(it.range())));
    }
    let ranges = SCHEME.captures_iter(text).filter_map(|captures| captures.get(1));
    all.extend(ranges.filter(|it| is_random(it.as_str())).map(|it| unquoted(it.range())));
    let ranges = [&USERINFO, &OPTION].into_iter().flat_map(|pattern| pattern.captures_iter(text));
    let ranges = ranges.filter_map(|captures| captures.iter().skip(1).flatten().next());
    all.extend(ranges.map(|it| unquoted(it.range())));
}

/// Whether it is no word: `Basic authentication` tells of no password.
pub fn is_random(text: &str) -> bool {
    let mixed = text.chars().skip(1).any(|c| c.is_ascii_uppercase()) && text.chars().any(|c| c.is_ascii_lowercase());
    let parameter = text.ends_with('=') && text.trim_end_matches('=').chars().all(|c| c.is_ascii_lowercase());
    (mixed || text.chars().any(|c| c.is_ascii_digit()) || text.ends_with('=') || text.len() >= 20) && !parameter
}

#[cfg(test)]
mod tests;
