//! Logging in: the credentials are shown in turn, until the server is content or none is left.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{AuthResult, KeyboardInteractiveAuthResponse as Reply};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKeyWithHashAlg, PublicKey};
use tokio::net::UnixStream;

use crate::capability::net_errors::lower_first;
use crate::capability::ssh::credential::{self, Credential};
use crate::capability::ssh::error::{self, Error};
use crate::capability::ssh::instrumented_stream::HandshakeFacts;
use crate::capability::ssh::session::{Live, Session, names};

impl Session {
    /// Logs in with the target's credentials.
    ///
    /// # Errors
    /// Why the server let us not in; [`Error::Other`] when there was nothing to show it.
    pub async fn authenticate(&mut self) -> Result<(), Error> {
        if self.authenticated {
            return Ok(());
        }
        let Some(user) = self.target.username.clone() else {
            return Err(Error::Other("there is no username to log in as".to_owned()));
        };
        let span = match self.auth.take() {
            Some((span, _)) => span,
            None => self.record.begin("ssh.auth", ""),
        };
        let (clock, marks, peer) = (self.clock, self.marks.clone(), self.server().remote_address);
        let Some(live) = &mut self.live else { return Err(self.given_up()) };
        let mut attempt =
            Attempt { live, user: &user, offered: self.methods.clone(), refused: Vec::new(), unusable: Vec::new() };
        let credentials = &self.target.credentials;
        let tried = clock.within(attempt.all(credentials), || format!("logging in as `{user}`")).await;
        let result = tried.and_then(|accepted| match accepted {
            Ok(Some(accepted)) => Ok(accepted),
            Ok(None) => Err(attempt.failure(&marks.read())),
            Err(error) => Err(error::explain(&error, &marks.read(), &peer)),
        });
        match result {
            Ok(Accepted { method, key }) => {
                self.logged_in();
                self.record.data(span, "ssh.auth.method", method.to_owned());
                if let Some(key) = key {
                    self.record.data(span, "ssh.auth.key.fingerprint", key);
                }
                self.record.end(span, None);
                Ok(())
            }
            Err(error) => {
                self.record.end(span, Some(&error));
                self.give_up(&error);
                Err(error)
            }
        }
    }
}

/// What the server was content with.
struct Accepted {
    method: &'static str,
    key: Option<String>,
}

struct Attempt<'a> {
    live: &'a mut Live,
    user: &'a str,
    /// The methods that the server still offers.
    offered: Vec<String>,
    /// What it did not take, and why.
    refused: Vec<String>,
    /// What could not be shown to it, and why.
    unusable: Vec<String>,
}

const KEY: &str = "publickey";
const PASSWORD: &str = "password";
const PROMPTS: &str = "keyboard-interactive";

impl Attempt<'_> {
    async fn all(&mut self, credentials: &[Credential]) -> Result<Option<Accepted>, russh::Error> {
        for credential in credentials {
            let accepted = match credential {
                Credential::Key { path, passphrase } => self.key(path, passphrase.clone()).await?,
                Credential::Agent { socket } => self.agent(socket.as_deref()).await?,
                Credential::Password(password) => self.password(password).await?,
            };
            if accepted.is_some() || self.live.client.is_closed() {
                return Ok(accepted);
            }
        }
        Ok(None)
    }

    async fn key(&mut self, path: &Path, passphrase: Option<String>) -> Result<Option<Accepted>, russh::Error> {
        let file = path.to_owned();
        // To open an encrypted key takes long on purpose.
        let loaded = tokio::task::spawn_blocking(move || credential::load(&file, passphrase.as_deref())).await;
        let key = match loaded.map_err(std::io::Error::from)? {
            Ok(key) => key,
            Err(why) => return Ok(self.cannot_show(why)),
        };
        if !self.offers(&[KEY], "a key") {
            return Ok(None);
        }
        let public = key.public_key().clone();
        let hash = self.hash(&public).await;
        let key = PrivateKeyWithHashAlg::new(Arc::new(key), hash);
        let answer = self.live.client.authenticate_publickey(self.user, key).await?;
        let shown = credential::show(&format!("the key {}", path.display()), &public);
        Ok(self.answered(&answer, &shown, KEY, Some(&public)))
    }

    async fn agent(&mut self, socket: Option<&Path>) -> Result<Option<Accepted>, russh::Error> {
        let socket = match credential::agent_socket(socket) {
            Ok(socket) => socket,
            Err(why) => return Ok(self.cannot_show(why)),
        };
        let shown = socket.display();
        let mut agent = match UnixStream::connect(&socket).await {
            Ok(stream) => AgentClient::connect(stream),
            Err(error) => return Ok(self.cannot_show(format!("no agent answers at {shown}: {}", error::io(&error)))),
        };
        if let Some(binding) = self.live.client.agent_session_binding() {
            // Some keys may be used for some hosts only. Agents that do not know of this show all the same.
            let _ = agent.bind_session(binding, false).await;
        }
        let identities = match agent.request_identities().await {
            Ok(identities) => identities,
            Err(error) => {
                let why = lower_first(&error.to_string());
                return Ok(self.cannot_show(format!("the agent at {shown} shows no keys: {why}")));
            }
        };
        if identities.is_empty() {
            return Ok(self.cannot_show(format!("the agent at {shown} has no keys: add one with ssh-add")));
        }
        if !self.offers(&[KEY], "a key") {
            return Ok(None);
        }
        for identity in identities {
            let public = identity.public_key().into_owned();
            let hash = self.hash(&public).await;
            let (client, user) = (&mut self.live.client, self.user);
            let answer = match identity {
                AgentIdentity::PublicKey { key, .. } => {
                    client.authenticate_publickey_with(user, key, hash, &mut agent).await
                }
                AgentIdentity::Certificate { certificate, .. } => {
                    client.authenticate_certificate_with(user, certificate, hash, &mut agent).await
                }
            };
            let shown = credential::show("the agent's key", &public);
            match answer {
                Ok(answer) => {
                    let accepted = self.answered(&answer, &shown, KEY, Some(&public));
                    if accepted.is_some() || self.live.client.is_closed() {
                        return Ok(accepted);
                    }
                }
                Err(_) => self.unusable.push(format!("the agent would not sign with {shown}")),
            }
        }
        Ok(None)
    }

    async fn password(&mut self, password: &str) -> Result<Option<Accepted>, russh::Error> {
        if !self.offers(&[PASSWORD, PROMPTS], "a password") {
            return Ok(None);
        }
        if self.offered.iter().any(|method| method == PASSWORD) {
            let answer = self.live.client.authenticate_password(self.user, password).await?;
            return Ok(self.answered(&answer, "the password", PASSWORD, None));
        }
        let answer = self.prompts(password).await?;
        Ok(self.answered(&answer, "the password", PROMPTS, None))
    }

    /// Some servers ask for passwords in this way alone. Of what they ask, one thing is a password: the first that is
    /// not to be seen.
    async fn prompts(&mut self, password: &str) -> Result<AuthResult, russh::Error> {
        /// A server may ask time and again.
        const MOST: usize = 10;
        let client = &mut self.live.client;
        let mut reply = client.authenticate_keyboard_interactive_start(self.user, None).await?;
        let mut left = Some(password);
        for _ in 0..MOST {
            let prompts = match reply {
                Reply::Success => return Ok(AuthResult::Success),
                Reply::Failure { remaining_methods, partial_success } => {
                    return Ok(AuthResult::Failure { remaining_methods, partial_success });
                }
                Reply::InfoRequest { prompts, .. } => prompts,
            };
            let answers = prompts.iter().map(|prompt| match prompt.echo {
                false => left.take().unwrap_or_default().to_owned(),
                true => String::new(),
            });
            reply = client.authenticate_keyboard_interactive_respond(answers.collect()).await?;
        }
        Err(russh::Error::Inconsistent)
    }

    /// How an RSA key is to sign. The server said so with its first answer, or never will.
    async fn hash(&self, key: &PublicKey) -> Option<HashAlg> {
        const PATIENCE: Duration = Duration::from_millis(50);
        if !matches!(key.algorithm(), Algorithm::Rsa { .. }) {
            return None;
        }
        let said = tokio::time::timeout(PATIENCE, self.live.client.best_supported_rsa_hash()).await;
        said.ok().and_then(Result::ok).flatten().unwrap_or(Some(HashAlg::Sha256))
    }

    fn offers(&mut self, methods: &[&str], what: &str) -> bool {
        let offers = self.offered.iter().any(|offered| methods.contains(&offered.as_str()));
        if !offers {
            self.refused.push(format!("{what} (which it does not ask for)"));
        }
        offers
    }

    fn cannot_show(&mut self, why: String) -> Option<Accepted> {
        self.unusable.push(why);
        None
    }

    fn answered(
        &mut self,
        answer: &AuthResult,
        shown: &str,
        method: &'static str,
        key: Option<&PublicKey>,
    ) -> Option<Accepted> {
        match answer {
            AuthResult::Success => {
                Some(Accepted { method, key: key.map(|key| key.fingerprint(HashAlg::Sha256).to_string()) })
            }
            AuthResult::Failure { remaining_methods, partial_success } => {
                if !remaining_methods.is_empty() {
                    self.offered = names(remaining_methods);
                }
                let more = if *partial_success { " (taken, but not enough)" } else { "" };
                self.refused.push(format!("{shown}{more}"));
                None
            }
        }
    }

    fn failure(&self, seen: &HandshakeFacts) -> Error {
        let unusable = self.unusable.join("; ");
        if self.refused.is_empty() {
            let nothing = "there are no credentials to log in with".to_owned();
            return Error::Other(if unusable.is_empty() { nothing } else { unusable });
        }
        let offers = if self.offered.is_empty() { "nothing".to_owned() } else { self.offered.join(", ") };
        let mut text =
            format!("the server refused {} for `{}`; it offers {offers}", error::list(&self.refused), self.user);
        if self.live.client.is_closed() {
            text.push_str(&format!("; then {}", error::gone(seen)));
        }
        if !unusable.is_empty() {
            text.push_str(&format!("; besides, {unusable}"));
        }
        Error::Auth(text)
    }
}
