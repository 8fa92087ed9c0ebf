//! Finds secrets that are written in a configuration without a reference, by the names of their keys. Also lists
//! the host's own keys whose values are no secrets.

use super::super::section::{self, Section, path_in_probe};
use super::grammar::is_variable_name;

/// Names that people give to secrets, in lower case and without `-` and `_`: `api_key`, `X-Api-Key` and `apiKey` are
/// all `apikey` or `xapikey`.
const SECRET_NAMES: &[&str] = &[
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
/// Keys below which the user chooses the names: in `set_keys`, the value of `token` is a path into the response.
const KEYS_WITH_FREE_NAMES: &[&str] = &["assertions", "secret_hosts", "set_keys", "tags"];

/// The facts about a value that follow from the keys on its path: if it is a secret, and who chose the names of its
/// keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct KeyPath {
    is_secret: bool,
    has_free_names: bool,
}

impl KeyPath {
    /// Returns the path to the key `name` of the map at this path.
    pub fn below(self, name: &str) -> Self {
        Self {
            is_secret: !self.has_free_names && is_secret_name(name),
            has_free_names: KEYS_WITH_FREE_NAMES.contains(&name),
        }
    }

    /// Returns true if the last key has the name of a secret.
    pub fn is_secret(self) -> bool {
        self.is_secret
    }
}

/// Returns true if a text is the name of a secret. As a value, such a text is no secret: in a chain,
/// `password: password` takes the password from the key `password` of the chain.
pub fn is_secret_name(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| !matches!(c, '-' | '_')).map(|c| c.to_ascii_lowercase()).collect();
    SECRET_NAMES.contains(&plain.as_str())
}

/// Returns the password of a URL in a text, unless the URL has a reference there.
pub fn password(text: &str) -> Option<&str> {
    let (before, rest) = text.split_once("://")?;
    before.ends_with(|last: char| last.is_ascii_alphanumeric()).then_some(())?;
    let authority = rest.split(|c: char| matches!(c, '/' | '?' | '#') || c.is_whitespace()).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    (!password.is_empty() && !user.contains("${")).then_some(password)
}

/// Returns the name in a text that is written as a shell names a variable: `$NAME`, alone or after a scheme such as
/// `Bearer`.
pub fn shell_variable(text: &str) -> Option<&str> {
    let word = text.trim().rsplit(' ').next().unwrap_or_default();
    word.strip_prefix('$').filter(|name| is_variable_name(name))
}

/// Returns true if a text has a placeholder such as `{token}`, as the texts of a chain can.
pub fn is_template(text: &str) -> bool {
    text.split('{').skip(1).any(|rest| rest.starts_with(|c: char| c.is_alphabetic() || c == '_') && rest.contains('}'))
}

/// Returns true if a pointer leads to a value of the host's own keys that is no secret, even if a reference stands for
/// it: a number, one of a few words, or a name that is sent to Sentry on purpose.
pub fn is_public(pointer: &str) -> bool {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    match (path.as_slice(), path_in_probe(&path)) {
        (["sentry", key], _) => Section::SENTRY.has(key) && !matches!(*key, "dsn" | "tags"),
        (_, Some([key])) => Section::PROBE.has(key) && !matches!(*key, "probe" | "title" | "tags"),
        (["sentry", "sample", _] | ["limits", _], _) | (_, Some(["limits", _])) => true,
        _ => section::is_shared(pointer),
    }
}

/// Returns true if a pointer leads to a tag or a title. A variable in it is no secret: it names the place where the
/// host runs, for example.
pub fn is_identifier(pointer: &str) -> bool {
    let path: Vec<&str> = pointer.split('/').skip(1).collect();
    let is_of_probe = matches!(path_in_probe(&path), Some(["tags", _] | ["title"]));
    is_of_probe || matches!(*path.as_slice(), ["sentry", "tags", _] | ["groups", _, "tags", _])
}

/// Returns true if a pointer leads to one of the host's own keys that takes a number.
pub fn is_number(pointer: &str) -> bool {
    is_public(pointer) && pointer.rsplit('/').next().is_some_and(section::is_number)
}
