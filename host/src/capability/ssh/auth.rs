//! Logging in: the credentials are tried in turn, until the server accepts one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, Handle, KeyboardInteractiveAuthResponse as Reply};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::UnixStream;

use crate::capability::net_errors::lower_first;
use crate::capability::ssh::client_handler::ClientHandler;
use crate::capability::ssh::connection::{Connection, method_names};
use crate::capability::ssh::credential::{self, Credential};
use crate::capability::ssh::error::{self, Error};
use crate::capability::ssh::handshake::HandshakeFacts;
use crate::capability::ssh::text::{io_message, join_list};

impl Connection {
    /// Logs in with the target's credentials. Does nothing if the user is logged in already.
    ///
    /// # Errors
    /// - [`Error::Auth`] when the server accepts no credential.
    /// - [`Error::Other`] when there is no username, or no credential that can be used.
    /// - [`Error::Timeout`] when the connection's time is used up.
    /// - [`Error::Protocol`] when the connection ends.
    ///
    /// All errors but that of a missing username close the connection.
    pub async fn authenticate(&mut self) -> Result<(), Error> {
        if self.is_authenticated {
            return Ok(());
        }
        let Some(user) = self.target.username.clone() else {
            return Err(Error::Other("there is no username to log in as".to_owned()));
        };
        let span = match self.auth_span.take() {
            Some((span, _)) => span,
            None => self.span.begin_phase("ssh.auth", ""),
        };
        let (budget, handshake, peer) = (self.budget, self.handshake.clone(), self.server().remote_address);
        let Some(client) = &mut self.client else { return Err(Self::closed_error()) };
        let mut attempt = LoginAttempt {
            client: &mut client.handle,
            user: &user,
            offered: self.methods.clone(),
            refused: Vec::new(),
            unusable: Vec::new(),
        };
        let trying = attempt.try_all(&self.target.credentials);
        let tried = budget.wait_for(trying, || format!("logging in as `{user}`")).await;
        let result = tried.and_then(|tried| match tried {
            Ok(Some(accepted)) => Ok(accepted),
            Ok(None) => Err(attempt.error(&handshake.read())),
            Err(error) => Err(error::from_russh(&error, &handshake.read(), &peer)),
        });
        match result {
            Ok(Accepted { method, key_fingerprint }) => {
                self.set_authenticated();
                self.span.set_on_both(span, "ssh.auth.method", method.to_owned());
                if let Some(fingerprint) = key_fingerprint {
                    self.span.set_on_both(span, "ssh.auth.key.fingerprint", fingerprint);
                }
                self.span.end_phase(span, None);
                Ok(())
            }
            Err(error) => {
                self.span.end_phase(span, Some(&error));
                self.fail(&error);
                Err(error)
            }
        }
    }
}

/// The credential that the server accepted.
struct Accepted {
    method: &'static str,
    key_fingerprint: Option<String>,
}

/// One attempt to log in.
struct LoginAttempt<'a> {
    client: &'a mut Handle<ClientHandler>,
    user: &'a str,
    /// The methods that the server still offers.
    offered: Vec<String>,
    /// Descriptions of the credentials that the server refused.
    refused: Vec<String>,
    /// Messages about credentials that could not be used, such as a key file that cannot be read.
    unusable: Vec<String>,
}

const PUBLIC_KEY: &str = "publickey";
const PASSWORD: &str = "password";
const KEYBOARD_INTERACTIVE: &str = "keyboard-interactive";

impl LoginAttempt<'_> {
    async fn try_all(&mut self, credentials: &[Credential]) -> Result<Option<Accepted>, russh::Error> {
        for credential in credentials {
            let accepted = match credential {
                Credential::Key { path, passphrase } => self.try_key(path, passphrase.clone()).await?,
                Credential::Agent { socket } => self.try_agent(socket.as_deref()).await?,
                Credential::Password(password) => self.try_password(password).await?,
            };
            if accepted.is_some() || self.client.is_closed() {
                return Ok(accepted);
            }
        }
        Ok(None)
    }

    async fn try_key(
        &mut self,
        path: &Path,
        passphrase: Option<SecretString>,
    ) -> Result<Option<Accepted>, russh::Error> {
        let file = path.to_owned();
        // The key is loaded on a blocking thread, since the key derivation of an encrypted key is slow by design.
        let loaded = tokio::task::spawn_blocking(move || credential::load_key(&file, passphrase.as_ref())).await;
        let key = match loaded.map_err(std::io::Error::from)? {
            Ok(key) => key,
            Err(message) => return Ok(self.skip_unusable(message)),
        };
        if !self.is_offered(&[PUBLIC_KEY], "a key") {
            return Ok(None);
        }
        let public_key = key.public_key().clone();
        let hash = self.rsa_hash(&public_key).await;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let answer = self.client.authenticate_publickey(self.user, key).await?;
        let description = credential::describe_key(&format!("the key {}", path.display()), &public_key);
        Ok(self.accepted(&answer, &description, PUBLIC_KEY, Some(&public_key)))
    }

    async fn try_agent(&mut self, socket: Option<&Path>) -> Result<Option<Accepted>, russh::Error> {
        let socket = match credential::agent_socket(socket) {
            Ok(socket) => socket,
            Err(message) => return Ok(self.skip_unusable(message)),
        };
        let socket_path = socket.display();
        let mut agent = match UnixStream::connect(&socket).await {
            Ok(stream) => AgentClient::connect(stream),
            Err(error) => {
                return Ok(
                    self.skip_unusable(format!("cannot connect to the agent at {socket_path}: {}", io_message(&error)))
                );
            }
        };
        if let Some(binding) = self.client.agent_session_binding() {
            // Lets the agent offer only the keys that are allowed for this host. An agent that does not support the
            // request refuses it and offers all keys.
            let _ = agent.bind_session(binding, false).await;
        }
        let identities = match agent.request_identities().await {
            Ok(identities) => identities,
            Err(error) => {
                let cause = lower_first(&error.to_string());
                return Ok(self.skip_unusable(format!("the agent at {socket_path} did not list its keys: {cause}")));
            }
        };
        if identities.is_empty() {
            return Ok(self.skip_unusable(format!("the agent at {socket_path} has no keys: add one with ssh-add")));
        }
        if !self.is_offered(&[PUBLIC_KEY], "a key") {
            return Ok(None);
        }
        for identity in identities {
            let public_key = identity.public_key().into_owned();
            let hash = self.rsa_hash(&public_key).await;
            let (client, user) = (&mut self.client, self.user);
            let answer = match identity {
                AgentIdentity::PublicKey { key, .. } => {
                    client.authenticate_publickey_with(user, key, hash, &mut agent).await
                }
                AgentIdentity::Certificate { certificate, .. } => {
                    client.authenticate_certificate_with(user, certificate, hash, &mut agent).await
                }
            };
            let description = credential::describe_key("the agent's key", &public_key);
            match answer {
                Ok(answer) => {
                    let accepted = self.accepted(&answer, &description, PUBLIC_KEY, Some(&public_key));
                    if accepted.is_some() || self.client.is_closed() {
                        return Ok(accepted);
                    }
                }
                Err(_) => self.unusable.push(format!("the agent refused to sign with {description}")),
            }
        }
        Ok(None)
    }

    async fn try_password(&mut self, password: &SecretString) -> Result<Option<Accepted>, russh::Error> {
        if !self.is_offered(&[PASSWORD, KEYBOARD_INTERACTIVE], "a password") {
            return Ok(None);
        }
        if self.offered.iter().any(|method| method == PASSWORD) {
            let answer = self.client.authenticate_password(self.user, password.expose_secret()).await?;
            return Ok(self.accepted(&answer, "the password", PASSWORD, None));
        }
        let answer = self.answer_prompts(password).await?;
        Ok(self.accepted(&answer, "the password", KEYBOARD_INTERACTIVE, None))
    }

    /// Logs in with a password by the method `keyboard-interactive`, the only one for passwords that some servers
    /// offer. The password is the answer to the first prompt that is not echoed; all other answers are empty.
    ///
    /// # Errors
    /// The errors of russh, and [`russh::Error::Inconsistent`] after ten requests for answers.
    async fn answer_prompts(&mut self, password: &SecretString) -> Result<AuthResult, russh::Error> {
        /// The maximum number of requests for answers, which a server could otherwise send endlessly.
        const MAX_REQUESTS: usize = 10;
        let mut reply = self.client.authenticate_keyboard_interactive_start(self.user, None).await?;
        let mut unsent = Some(password);
        for _ in 0..MAX_REQUESTS {
            let prompts = match reply {
                Reply::Success => return Ok(AuthResult::Success),
                Reply::Failure { remaining_methods, partial_success } => {
                    return Ok(AuthResult::Failure { remaining_methods, partial_success });
                }
                Reply::InfoRequest { prompts, .. } => prompts,
            };
            let answers = prompts.iter().map(|prompt| {
                let answer = if prompt.echo { None } else { unsent.take() };
                answer.map_or_else(String::new, |password| password.expose_secret().to_owned())
            });
            reply = self.client.authenticate_keyboard_interactive_respond(answers.collect()).await?;
        }
        Err(russh::Error::Inconsistent)
    }

    /// Returns the hash for signatures by an RSA key: the best that the server announces, or SHA-256 if it announces
    /// none. Returns `None` for keys of other types. Waits at most 50 ms for the announcement, since a server sends it
    /// with its first answer or never.
    async fn rsa_hash(&self, key: &PublicKey) -> Option<HashAlg> {
        const ANNOUNCEMENT_TIMEOUT: Duration = Duration::from_millis(50);
        if !matches!(key.algorithm(), Algorithm::Rsa { .. }) {
            return None;
        }
        let announced = tokio::time::timeout(ANNOUNCEMENT_TIMEOUT, self.client.best_supported_rsa_hash()).await;
        announced.ok().and_then(Result::ok).flatten().unwrap_or(Some(HashAlg::Sha256))
    }

    /// Returns true if the server offers one of the methods. If not, adds `credential`, a description, to `refused`.
    fn is_offered(&mut self, methods: &[&str], credential: &str) -> bool {
        let is_offered = self.offered.iter().any(|offered| methods.contains(&offered.as_str()));
        if !is_offered {
            self.refused.push(format!("{credential} (not tried, since the server does not offer this method)"));
        }
        is_offered
    }

    fn skip_unusable(&mut self, message: String) -> Option<Accepted> {
        self.unusable.push(message);
        None
    }

    /// Returns the credential if the server accepted it. If not, adds its description to `refused`.
    fn accepted(
        &mut self,
        answer: &AuthResult,
        description: &str,
        method: &'static str,
        key: Option<&PublicKey>,
    ) -> Option<Accepted> {
        match answer {
            AuthResult::Success => {
                let key_fingerprint = key.map(|key| key.fingerprint(HashAlg::Sha256).to_string());
                Some(Accepted { method, key_fingerprint })
            }
            AuthResult::Failure { remaining_methods, partial_success } => {
                if !remaining_methods.is_empty() {
                    self.offered = method_names(remaining_methods);
                }
                let partial = if *partial_success { " (accepted, but not sufficient)" } else { "" };
                self.refused.push(format!("{description}{partial}"));
                None
            }
        }
    }

    /// Returns the error of an attempt in which the server accepted nothing.
    fn error(&self, facts: &HandshakeFacts) -> Error {
        let unusable = self.unusable.join("; ");
        if self.refused.is_empty() {
            let no_credentials = "there are no credentials to log in with".to_owned();
            return Error::Other(if unusable.is_empty() { no_credentials } else { unusable });
        }
        let offers = if self.offered.is_empty() { "nothing".to_owned() } else { self.offered.join(", ") };
        let mut text =
            format!("the server refused {} for `{}`; it offers {offers}", join_list(&self.refused), self.user);
        if self.client.is_closed() {
            text.push_str(&format!("; then {}", error::closed_connection(facts)));
        }
        if !unusable.is_empty() {
            text.push_str(&format!("; besides, {unusable}"));
        }
        Error::Auth(text)
    }
}
