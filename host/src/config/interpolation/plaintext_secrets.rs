//! Which keys hold a secret by their name, and which never do. A guess, for what no reference tells.

use super::super::known_keys;

/// Names that people give to secrets, in lower case and without what stands between words: `api_key`, `X-Api-Key`,
/// `apiKey`.
const SECRET: &[&str] = &[
    "accesskey",
    "accesstoken",
    "apikey",
    "authorization",
    "authtoken",
    "bearer",
    "clientsecret",
    "idtoken",
    "jwt",
    "passphrase",
    "passwd",
    "password",
    "pin",
    "privatekey",
    "proxyauthorization",
    "pwd",
    "refreshtoken",
    "secret",
    "secretaccesskey",
    "secretkey",
    "token",
    "xapikey",
    "xauthtoken",
];
/// Keys below which names are anybody's own: an answer's `token` has its path here, and no secret.
const NAMED: &[&str] = &["assertions", "set_keys", "tags"];

/// What is known of a value by the keys that lead to it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Key {
    secret: bool,
    named: bool,
}

impl Key {
    /// What is known of the value of `name` below this.
    pub fn below(self, name: &str) -> Self {
        Self { secret: !self.named && is_word(name), named: NAMED.contains(&name) }
    }

    pub fn is_secret(self) -> bool {
        self.secret
    }
}

/// Whether a text is itself but a word for a secret: a chain's `password: password` is filled in from a key.
pub fn is_word(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect();
    SECRET.contains(&plain.as_str())
}

/// The password in a URL that a text is or holds, unless a reference stands there.
pub fn password(text: &str) -> Option<&str> {
    let (before, rest) = text.split_once("://")?;
    before.ends_with(|last: char| last.is_ascii_alphanumeric()).then_some(())?;
    let authority = rest.split(|c: char| matches!(c, '/' | '?' | '#') || c.is_whitespace()).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    (!password.is_empty() && !user.contains("${")).then_some(password)
}

/// Whether a text names a key to be filled in from, as a chain's does.
pub fn is_template(text: &str) -> bool {
    text.split('{').skip(1).any(|rest| rest.starts_with(|c: char| c.is_alphabetic() || c == '_') && rest.contains('}'))
}

/// Whether a pointer leads to a value of the host's that is no secret whatever it is from: a number, one of a few
/// words, or a name that is there to be told.
pub fn is_plain(pointer: &str) -> bool {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    match *path.as_slice() {
        ["sentry", key] => known_keys::SENTRY.contains(&key) && !matches!(key, "dsn" | "tags"),
        ["groups", _, "probes", _, key] => {
            known_keys::PROBE.contains(&key) && !matches!(key, "probe" | "title" | "tags")
        }
        ["sentry", "sample", _] | ["limits", _] | ["groups", _, "probes", _, "limits", _] => true,
        _ => known_keys::is_shared(pointer),
    }
}

/// Whether a pointer leads to a number of the host's.
pub fn is_number(pointer: &str) -> bool {
    is_plain(pointer) && pointer.rsplit('/').next().is_some_and(known_keys::is_number)
}
