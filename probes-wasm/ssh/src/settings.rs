//! The settings of the probe `ssh`, and the client that they describe.

use sentrynet_checks::{Checks, Problem, Protocol, Subject};
use sentrynet_guest::ssh::Client;
use sentrynet_guest::{Problems, Seconds, SecretSetting, Size};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::algorithms::Algorithms;

const DEFAULT_PORT: u32 = 22;

/// The bounds of the setting `timeout`, in seconds.
const MIN_TIMEOUT_SECONDS: f64 = 0.001;
const MAX_TIMEOUT_SECONDS: u32 = 3600;

/// The setting `max_output`: its default and its greatest value, in bytes.
const DEFAULT_MAX_OUTPUT_BYTES: u64 = 1 << 20;
const MAX_MAX_OUTPUT_BYTES: u64 = 16 << 20;

/// An SSH server, how to log in, and a command to run there.
#[derive(Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The name or IP address of the server.
    host: String,
    /// The port; 22 unless given.
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u32>,
    /// The user to log in as; needed with any credentials.
    username: Option<String>,
    /// The file of a private key to log in with, in OpenSSH's format or PEM. If there is a certificate of the key
    /// beside it (`id_ed25519-cert.pub`), that is tried first. With `auth: agent`, the file of a public key: the only
    /// one of the agent's keys to use.
    identity: Option<String>,
    /// The passphrase of an encrypted `identity`.
    passphrase: Option<SecretSetting>,
    /// A password to log in with. If the server refuses it, it is also the answer to the first hidden prompt of
    /// `keyboard-interactive`.
    password: Option<SecretSetting>,
    /// The way to log in: `key` (the file of `identity`), `password`, `agent` (the keys that the SSH agent holds, or
    /// the one of `identity`), or `none` (no login). Unless given, with `identity` and `password`, whichever are given;
    /// without these, the probe connects and does not log in.
    auth: Option<Auth>,
    /// The command to run after login. Its standard input is empty. Its exit status must be 0, unless there is a check
    /// of `exit status`.
    command: Option<String>,
    /// The bytes of standard output, and of standard error, that can be checked, such as `4 MiB`. A check that looks
    /// into more fails with the reason `too-large`; `stdout size` and `stderr size` count all bytes. 16 MiB at most; 1
    /// MiB unless given.
    max_output: Option<Size>,
    /// Conditions on the server and the command: `stdout: {contains: OK}`, `exit status: {less: 3}`.
    #[serde(default)]
    #[schemars(schema_with = "sentrynet_checks::schema::ssh")]
    pub checks: Map<String, Value>,
    /// Seconds for the whole connection, the command included, or text such as `500ms`. From 0.001 to 3,600; 30 unless
    /// given.
    #[schemars(extend("minimum" = MIN_TIMEOUT_SECONDS, "maximum" = MAX_TIMEOUT_SECONDS))]
    timeout: Option<Seconds>,
    /// A file of host keys to trust, in OpenSSH's format; the user's and the system's unless given.
    known_hosts: Option<String>,
    /// The host's key, or a list of keys of which one must match: a fingerprint (`SHA256:…`) or the public key itself
    /// (`ssh-ed25519 AAAA…`). `accept-new` accepts the key of a host that is not known yet, and remembers it.
    host_key: Option<HostKey>,
    /// Algorithms other than those that OpenSSH 9.2 uses unless told otherwise, in lists with the prefixes of
    /// `ssh_config`: `{kex: [+diffie-hellman-group14-sha1], host_key: [+ssh-rsa], cipher: [+aes128-cbc]}`, and `mac`.
    algorithms: Option<Algorithms>,
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
    /// Returns the title of the run: `SSH user@host:port`.
    pub fn title(&self) -> String {
        let user = self.username.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        format!("SSH {user}{host}:{}", self.port.unwrap_or(DEFAULT_PORT))
    }

    /// Returns true if the probe logs in.
    pub fn logs_in(&self) -> bool {
        self.auth.map_or(self.identity.is_some() || self.password.is_some(), |auth| auth != Auth::None)
    }

    /// Returns the command to run.
    pub fn command(&self) -> Option<&str> {
        self.command.as_deref()
    }

    /// Returns the bytes of standard output, and of standard error, that can be checked.
    pub fn max_output_bytes(&self) -> u64 {
        self.max_output.map_or(DEFAULT_MAX_OUTPUT_BYTES, Size::bytes)
    }

    /// Builds the client, and adds all mistakes in its settings, those that the host finds included. Returns `None`
    /// only if the host refuses even a client for `localhost`.
    pub fn build_client(&self, problems: &mut Problems) -> Option<Client> {
        // A wrong port or host is replaced, so that mistakes in the other settings are found too.
        let port = u16::try_from(self.port.unwrap_or(DEFAULT_PORT)).ok().filter(|port| *port > 0);
        let port = port.ok_or("expected a port from 1 to 65535");
        let port = problems.ok_or_add("/port", port).unwrap_or(1);
        let client = problems.ok_or_add("/host", Client::new(self.host.trim(), port));
        let client = client.or_else(|| Client::new("localhost", port).ok())?;
        if let Some(username) = &self.username {
            problems.ok_or_add("/username", client.username(username));
        }
        if let Some(seconds) = self.timeout {
            let timeout = seconds.within(MIN_TIMEOUT_SECONDS..=f64::from(MAX_TIMEOUT_SECONDS));
            if let Some(timeout) = problems.ok_or_add("/timeout", timeout) {
                client.timeout(timeout);
            }
        }
        if let Some(file) = &self.known_hosts {
            problems.ok_or_add("/known_hosts", client.known_hosts(file));
        }
        for key in self.host_key.iter().flat_map(|keys| &keys.0) {
            match key.as_str() {
                "accept-new" => client.accept_new(),
                key => drop(problems.ok_or_add("/host_key", client.host_key(key))),
            }
        }
        if let Some(algorithms) = &self.algorithms {
            algorithms.apply(&client, problems);
        }
        if self.logs_in() {
            self.add_credentials(&client, problems);
        }
        Some(client)
    }

    /// Adds the credentials that `auth` selects to the client.
    fn add_credentials(&self, client: &Client, problems: &mut Problems) {
        let is_selected = |auth| self.auth.is_none_or(|only| only == auth);
        if let (Some(file), true) = (&self.identity, is_selected(Auth::Key)) {
            problems.ok_or_add("/identity", client.identity(file, self.passphrase.as_ref()));
        }
        if self.auth == Some(Auth::Agent) {
            match &self.identity {
                Some(file) => problems.ok_or_add("/identity", client.agent_key(file)),
                None => problems.ok_or_add("/auth", client.agent()),
            };
        }
        if let (Some(password), true) = (&self.password, is_selected(Auth::Password)) {
            problems.ok_or_add("/password", client.password(password));
        }
    }

    /// Adds the mistakes of settings that contradict or need each other.
    pub fn check_combinations(&self, problems: &mut Problems) {
        if self.logs_in() && self.username.is_none() {
            problems.add("", "the key `username` is missing: the user to log in as");
        }
        match self.auth {
            Some(Auth::Key) if self.identity.is_none() => {
                problems.add("/auth", "`auth: key` needs a key: name its file under `identity`");
            }
            Some(Auth::Password) if self.password.is_none() => {
                problems.add("/auth", "`auth: password` needs a password: `password: ${env:NAME}`");
            }
            Some(Auth::Agent) if self.password.is_some() => {
                problems
                    .add("/password", "`auth: agent` logs in with the agent's keys: leave out the password, or `auth`");
            }
            Some(Auth::Agent) if self.passphrase.is_some() => {
                problems.add("/passphrase", "`auth: agent` needs no passphrase: the agent has the key without one");
            }
            Some(Auth::None) if self.identity.is_some() || self.password.is_some() => {
                problems.add("/auth", "`auth: none` does not log in, and credentials are given: leave out one of them");
            }
            _ => {}
        }
        if self.passphrase.is_some() && self.identity.is_none() {
            problems.add("/passphrase", "a passphrase needs a key: name its file under `identity`");
        }
        if self.command.as_ref().is_some_and(|command| command.trim().is_empty()) {
            problems.add("/command", "the command is empty: leave it out to log in only");
        }
        if let Some(size) = self.max_output {
            problems.ok_or_add("/max_output", size.within(1..=MAX_MAX_OUTPUT_BYTES));
        }
        if self.command.is_none() && self.max_output.is_some() {
            problems.add("/max_output", "without `command` there is no output to check");
        }
        if self.command.is_some() && self.auth != Some(Auth::None) && !self.logs_in() {
            let advice = "give `identity` or `password`, or say `auth: agent`, or `auth: none` where anyone is let in";
            problems.add("/command", format!("a command needs a login: {advice}"));
        }
        let mut found = Vec::new();
        let checks = Checks::parse(&self.checks, Protocol::Ssh, "/checks", &mut found);
        for Problem { pointer, message } in found {
            problems.add(pointer, message);
        }
        let output = [Subject::ExitStatus, Subject::Stdout, Subject::StdoutSize, Subject::Stderr, Subject::StderrSize];
        if self.command().is_none() && output.iter().any(|subject| checks.mentions(subject)) {
            problems.add("/checks", "without `command` there is no exit status and no output to check");
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
        serde_json::from_value(value).expect("the settings are valid")
    }

    #[test]
    fn titles_name_user_host_and_port() {
        assert_eq!(settings(json!({ "host": "h" })).title(), "SSH h:22");
        assert_eq!(settings(json!({ "host": "h", "username": "u", "port": 2222 })).title(), "SSH u@h:2222");
        assert_eq!(settings(json!({ "host": "::1" })).title(), "SSH [::1]:22");
    }

    #[track_caller]
    fn check(value: Value, logs_in: bool, command: Option<&str>) {
        let settings = settings(value);
        assert_eq!((settings.logs_in(), settings.command()), (logs_in, command));
    }

    #[test]
    fn credentials_decide_whether_the_probe_logs_in() {
        check(json!({ "host": "h" }), false, None);
        check(json!({ "host": "h", "username": "u" }), false, None);
        check(json!({ "host": "h", "identity": "k" }), true, None);
        check(json!({ "host": "h", "password": "/password", "command": "true" }), true, Some("true"));
        check(json!({ "host": "h", "auth": "agent" }), true, None);
        check(json!({ "host": "h", "auth": "none", "command": "true" }), false, Some("true"));
    }
}
