//! What the configuration says of an SSH server.

use std::time::Duration;

use sentrynet_checks::{Checks, Kind, Problem, Subject};
use sentrynet_guest::ssh::Client;
use sentrynet_guest::{Check, Kept};
use serde::Deserialize;
use serde_json::{Map, Value};

const PORT: u32 = 22;

/// An SSH server, how to log in, and what to run there.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// A name or an address.
    host: String,
    /// 22 unless given.
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u32>,
    /// Who to log in as; needed with any credentials.
    username: Option<String>,
    /// A private key to log in with, an OpenSSH or PEM file.
    identity: Option<String>,
    /// The passphrase of an encrypted `identity`.
    passphrase: Option<Kept>,
    /// A password to log in with.
    password: Option<Kept>,
    /// How to log in: `key`, `password` or `agent` (the keys that the SSH agent holds), or not at all: `none`. What
    /// `identity` and `password` say unless given; without any of them the server need only be up.
    auth: Option<Auth>,
    /// What to run once logged in; its exit status must be 0, unless `checks` say otherwise.
    command: Option<String>,
    /// What the answer must be: `stdout: {contains: OK}`, `exit status: {less: 3}`.
    #[serde(default)]
    #[schemars(schema_with = "sentrynet_checks::schema::ssh")]
    pub checks: Map<String, Value>,
    /// Seconds for everything; 30 unless given.
    #[schemars(extend("minimum" = 0.001, "maximum" = 3600))]
    timeout: Option<f64>,
    /// A file of host keys to trust, in OpenSSH's format; the user's and the system's unless given.
    known_hosts: Option<String>,
    /// The host's key, or a list of them: a fingerprint (`SHA256:…`) or the key itself (`ssh-ed25519 AAAA…`);
    /// `accept-new` trusts a host that is not known yet, and remembers it.
    host_key: Option<HostKey>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Auth {
    None,
    Key,
    Password,
    Agent,
}

#[derive(Deserialize)]
#[serde(try_from = "Value")]
struct HostKey(Vec<String>);

impl Settings {
    /// `SSH user@host:port`.
    pub fn title(&self) -> String {
        let user = self.username.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("SSH {user}{host}:{}", self.port.unwrap_or(PORT))
    }

    /// Whether anybody is to log in.
    pub fn authenticates(&self) -> bool {
        self.auth.map_or(self.identity.is_some() || self.password.is_some(), |auth| auth != Auth::None)
    }

    /// What is to be run.
    pub fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    /// Builds the client, noting what the host refuses of it. None when there is nothing to connect to.
    pub fn client(&self, check: &mut Check) -> Option<Client> {
        // Others in their place, so that what is wrong with the rest is found too.
        let port = u16::try_from(self.port.unwrap_or(PORT)).ok().filter(|port| *port > 0);
        let port = port.ok_or("expected a port from 1 to 65535");
        let port = check.at("/port", port).unwrap_or(1);
        let client = check.at("/host", Client::new(self.host.trim(), port));
        let client = client.or_else(|| Client::new("localhost", port).ok())?;
        if let Some(username) = &self.username {
            check.at("/username", client.username(username));
        }
        if let Some(seconds) = self.timeout {
            match Duration::try_from_secs_f64(seconds) {
                Ok(timeout) if (0.001..=3600.0).contains(&seconds) => client.timeout(timeout),
                _ => check.problem("/timeout", format!("expected seconds from 0.001 to 3600, got {seconds}")),
            }
        }
        if let Some(file) = &self.known_hosts {
            check.at("/known_hosts", client.known_hosts(file));
        }
        for key in self.host_key.iter().flat_map(|keys| &keys.0) {
            match key.as_str() {
                "accept-new" => client.accept_new(),
                key => drop(check.at("/host_key", client.host_key(key))),
            }
        }
        if self.authenticates() {
            self.credentials(&client, check);
        }
        Some(client)
    }

    fn credentials(&self, client: &Client, check: &mut Check) {
        let uses = |auth| self.auth.is_none_or(|only| only == auth);
        if let (Some(file), true) = (&self.identity, uses(Auth::Key)) {
            check.at("/identity", client.identity(file, self.passphrase.as_ref()));
        }
        if self.auth == Some(Auth::Agent) {
            check.at("/auth", client.agent());
        }
        if let (Some(password), true) = (&self.password, uses(Auth::Password)) {
            check.at("/password", client.password(password));
        }
    }

    /// Notes what does not go together.
    pub fn check(&self, check: &mut Check) {
        if self.authenticates() && self.username.is_none() {
            check.problem("", "the key `username` is missing: who to log in as");
        }
        match self.auth {
            Some(Auth::Key) if self.identity.is_none() => {
                check.problem("/auth", "a key is to be used, and none is given: name its file under `identity`");
            }
            Some(Auth::Password) if self.password.is_none() => {
                check.problem("/auth", "a password is to be used, and none is given: `password: ${env:NAME}`");
            }
            Some(Auth::None) if self.identity.is_some() || self.password.is_some() => {
                check.problem("/auth", "nobody is to log in, and credentials are given: leave out one or the other");
            }
            _ => {}
        }
        if self.passphrase.is_some() && self.identity.is_none() {
            check.problem("/passphrase", "a passphrase is of a key: name its file under `identity`");
        }
        if self.command.as_ref().is_some_and(|command| command.trim().is_empty()) {
            check.problem("/command", "there is nothing to run: leave it out, which only logs in");
        }
        if self.command.is_some() && self.auth != Some(Auth::None) && !self.authenticates() {
            let advice = "give `identity` or `password`, or say `auth: agent`, or `auth: none` where anyone is let in";
            check.problem("/command", format!("a command needs somebody to log in: {advice}"));
        }
        let mut problems = Vec::new();
        let checks = Checks::read(&self.checks, Kind::Ssh, "/checks", &mut problems);
        for Problem { pointer, message } in problems {
            check.problem(pointer, message);
        }
        let output = [Subject::ExitStatus, Subject::Stdout, Subject::StdoutSize, Subject::Stderr, Subject::StderrSize];
        if self.command().is_none() && output.iter().any(|subject| checks.asks(subject)) {
            check.problem("/checks", "no command is run, so that it has no exit status and no output");
        }
    }
}

impl TryFrom<Value> for HostKey {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        const SHAPE: &str = "expected a fingerprint `SHA256:…`, a key, a list of them, or `accept-new`";
        let text = |value| if let Value::String(text) = value { Ok(text) } else { Err(SHAPE.to_owned()) };
        match value {
            Value::Array(several) if !several.is_empty() => {
                several.into_iter().map(text).collect::<Result<_, _>>().map(Self)
            }
            one => Ok(Self(vec![text(one)?])),
        }
    }
}

impl schemars::JsonSchema for HostKey {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HostKey".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let text = serde_json::json!({ "type": "string" });
        schemars::json_schema!({ "anyOf": [text, { "type": "array", "minItems": 1, "items": text }] })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn settings(value: Value) -> Settings {
        serde_json::from_value(value).expect("right settings")
    }

    #[test]
    fn titles() {
        assert_eq!(settings(json!({ "host": "h" })).title(), "SSH h:22");
        assert_eq!(settings(json!({ "host": "h", "username": "u", "port": 2222 })).title(), "SSH u@h:2222");
        assert_eq!(settings(json!({ "host": "::1" })).title(), "SSH [::1]:22");
    }

    #[track_caller]
    fn check(value: Value, authenticates: bool, command: Option<&str>) {
        let settings = settings(value);
        assert_eq!((settings.authenticates(), settings.command()), (authenticates, command));
    }

    #[test]
    fn what_is_done() {
        check(json!({ "host": "h" }), false, None);
        check(json!({ "host": "h", "username": "u" }), false, None);
        check(json!({ "host": "h", "identity": "k" }), true, None);
        check(json!({ "host": "h", "password": "/password", "command": "true" }), true, Some("true"));
        check(json!({ "host": "h", "auth": "agent" }), true, None);
        check(json!({ "host": "h", "auth": "none", "command": "true" }), false, Some("true"));
    }
}
