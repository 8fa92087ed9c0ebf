//! Logging in: the credentials are tried in turn, until the server is content.

use russh::client::{AuthResult, Handle};
use russh::keys::{HashAlg, PublicKey};

use crate::capability::file_calls::FileCalls;
use crate::capability::ssh::client_handler::ClientHandler;
use crate::capability::ssh::connection::{Connection, method_names};
use crate::capability::ssh::credential::Credential;
use crate::capability::ssh::error::{self, Error};
use crate::capability::ssh::handshake::{Handshake, HandshakeFacts};
use crate::capability::ssh::text::join_list;

mod agent;
mod key;
mod password;

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
            files: &self.target.files,
            handshake: &handshake,
            user: &user,
            may_use_sha1: self.target.algorithms.allow_rsa_with_sha1(),
            offered: self.methods.clone(),
            accepted_in_part: Vec::new(),
            refused: Vec::new(),
            unusable: Vec::new(),
            demand: None,
            has_tried_all_agent_keys: false,
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

/// The server's answer to a credential.
enum Answer {
    /// The user is logged in.
    Accepted(Accepted),
    /// The credential was accepted, but others are required as well.
    InPart,
    /// The credential was refused, or could not be tried.
    Refused,
}

/// A demand of the server beside the password.
enum Demand {
    /// A new password, since the old one has expired.
    NewPassword,
    /// The answer to this prompt.
    Prompt(String),
}

/// One attempt to log in.
struct LoginAttempt<'a> {
    client: &'a mut Handle<ClientHandler>,
    files: &'a FileCalls,
    handshake: &'a Handshake,
    user: &'a str,
    /// True if an RSA key may sign with SHA-1.
    may_use_sha1: bool,
    /// The methods that the server still offers.
    offered: Vec<String>,
    /// Descriptions of the credentials that the server accepted, but not as sufficient.
    accepted_in_part: Vec<String>,
    /// Descriptions of the credentials that the server refused.
    refused: Vec<String>,
    /// Messages about credentials that could not be used, such as a key file that cannot be read.
    unusable: Vec<String>,
    /// The first thing that the server has asked for beside the password.
    demand: Option<Demand>,
    /// True if all keys of an agent were tried.
    has_tried_all_agent_keys: bool,
}

const PUBLIC_KEY: &str = "publickey";
const PASSWORD: &str = "password";
const KEYBOARD_INTERACTIVE: &str = "keyboard-interactive";

impl LoginAttempt<'_> {
    /// Tries the credentials in turn. After each one that the server accepts in part, the others are tried again, since
    /// it may offer other methods then.
    async fn try_all(&mut self, credentials: &[Credential]) -> Result<Option<Accepted>, russh::Error> {
        let mut left: Vec<_> = credentials.iter().collect();
        loop {
            self.refused.clear();
            self.unusable.clear();
            let mut sufficient_in_part = None;
            for (index, credential) in left.iter().enumerate() {
                match self.try_credential(credential).await? {
                    Answer::Accepted(accepted) => return Ok(Some(accepted)),
                    Answer::InPart => {
                        sufficient_in_part = Some(index);
                        break;
                    }
                    Answer::Refused if self.client.is_closed() => return Ok(None),
                    Answer::Refused => {}
                }
            }
            let Some(index) = sufficient_in_part else { return Ok(None) };
            left.remove(index);
        }
    }

    async fn try_credential(&mut self, credential: &Credential) -> Result<Answer, russh::Error> {
        match credential {
            Credential::Key { path, passphrase } => self.try_key(path, passphrase.clone()).await,
            Credential::Agent { socket, key } => self.try_agent(socket.as_deref(), key.as_deref()).await,
            Credential::Password(password) => self.try_password(password).await,
        }
    }

    /// Returns true if the server offers a method.
    fn offers(&self, method: &str) -> bool {
        self.offered.iter().any(|offered| offered == method)
    }

    /// Returns true if the server offers one of the methods. If not, adds `credential`, a description, to `refused`.
    fn is_offered(&mut self, methods: &[&str], credential: &str) -> bool {
        let is_offered = methods.iter().any(|method| self.offers(method));
        if !is_offered {
            self.refused.push(format!("{credential} (not tried, since the server does not offer this method)"));
        }
        is_offered
    }

    fn skip_unusable(&mut self, message: String) -> Answer {
        self.unusable.push(message);
        Answer::Refused
    }

    /// Returns the answer to a credential. If it was not accepted, or only in part, adds its description.
    fn answer(
        &mut self,
        answer: &AuthResult,
        description: String,
        method: &'static str,
        key: Option<&PublicKey>,
    ) -> Answer {
        match answer {
            AuthResult::Success => {
                let key_fingerprint = key.map(|key| key.fingerprint(HashAlg::Sha256).to_string());
                Answer::Accepted(Accepted { method, key_fingerprint })
            }
            AuthResult::Failure { remaining_methods, partial_success } => {
                if !remaining_methods.is_empty() {
                    self.offered = method_names(remaining_methods);
                }
                if *partial_success {
                    self.accepted_in_part.push(description);
                    Answer::InPart
                } else {
                    self.refused.push(description);
                    Answer::Refused
                }
            }
        }
    }

    /// Returns the error of an attempt in which the server accepted nothing, or not enough.
    fn error(&self, facts: &HandshakeFacts) -> Error {
        let unusable = self.unusable.join("; ");
        if self.refused.is_empty() && self.accepted_in_part.is_empty() && self.demand.is_none() {
            let no_credentials = "there are no credentials to log in with".to_owned();
            return Error::Other(if unusable.is_empty() { no_credentials } else { unusable });
        }
        let mut text = self.refusal();
        if self.client.is_closed() {
            text.push_str(&format!("; then {}", error::closed_connection(facts)));
            if self.has_tried_all_agent_keys {
                text.push_str("; if it allows too few attempts, name the agent's key: `identity: KEY.pub`");
            }
        }
        if !unusable.is_empty() {
            text.push_str(&format!("; besides, {unusable}"));
        }
        Error::Auth(text)
    }

    /// Returns what the server has refused, or asks for.
    fn refusal(&self) -> String {
        let user = self.user;
        match &self.demand {
            Some(Demand::NewPassword) => {
                return format!("the password of `{user}` has expired: the server asks for a new one");
            }
            Some(Demand::Prompt(prompt)) => {
                return format!("the server asks `{user}` for a second factor beside the password: `{prompt}`");
            }
            None => {}
        }
        let offers = if self.offered.is_empty() { "nothing".to_owned() } else { self.offered.join(", ") };
        let refused = join_list(&self.refused);
        if self.accepted_in_part.is_empty() {
            return format!("the server refused {refused} for `{user}`; it offers {offers}");
        }
        let accepted = join_list(&self.accepted_in_part);
        let refused = if refused.is_empty() { refused } else { format!(", and refused {refused}") };
        format!("the server accepted {accepted} for `{user}`, but asks for a second factor: {offers}{refused}")
    }
}
