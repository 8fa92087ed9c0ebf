//! Logging in with the keys of an SSH agent.

use std::path::Path;

use russh::keys::PublicKey;
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use tokio::net::UnixStream;

use crate::capability::net_errors::lower_first;
use crate::capability::ssh::auth::{Answer, LoginAttempt, PUBLIC_KEY};
use crate::capability::ssh::credential;
use crate::capability::ssh::text::io_message;

impl LoginAttempt<'_> {
    /// Tries the keys of an agent in turn, or only the one that is `only`.
    pub(super) async fn try_agent(
        &mut self,
        socket: Option<&Path>,
        only: Option<&PublicKey>,
    ) -> Result<Answer, russh::Error> {
        let socket = match credential::agent_socket(socket) {
            Ok(socket) => socket,
            Err(message) => return Ok(self.skip_unusable(message)),
        };
        let (mut agent, mut identities) = match self.connect_agent(&socket).await {
            Ok(connected) => connected,
            Err(message) => return Ok(self.skip_unusable(message)),
        };
        if let Some(only) = only {
            identities.retain(|identity| identity.public_key().key_data() == only.key_data());
            if identities.is_empty() {
                let key = credential::describe_key("the key of `identity`", only);
                let agent = socket.display();
                return Ok(self.skip_unusable(format!("the agent at {agent} does not have {key}: add it with ssh-add")));
            }
        }
        if !self.is_offered(&[PUBLIC_KEY], "a key") {
            return Ok(Answer::Refused);
        }
        self.has_tried_all_agent_keys = only.is_none();
        for identity in identities {
            let answer = self.try_identity(&mut agent, identity).await;
            if !matches!(answer, Answer::Refused) || self.client.is_closed() {
                return Ok(answer);
            }
        }
        Ok(Answer::Refused)
    }

    /// Connects to an agent. Returns its keys, of which there is at least one.
    ///
    /// # Errors
    /// A sentence for the operator.
    async fn connect_agent(&mut self, socket: &Path) -> Result<(AgentClient<UnixStream>, Vec<AgentIdentity>), String> {
        let path = socket.display();
        let mut agent = match UnixStream::connect(socket).await {
            Ok(stream) => AgentClient::connect(stream),
            Err(error) => return Err(format!("cannot connect to the agent at {path}: {}", io_message(&error))),
        };
        if let Some(binding) = self.client.agent_session_binding() {
            // Lets the agent offer only the keys that are allowed for this host. An agent that does not support the
            // request refuses it and offers all keys.
            let _ = agent.bind_session(binding, false).await;
        }
        match agent.request_identities().await {
            Ok(identities) if identities.is_empty() => {
                Err(format!("the agent at {path} has no keys: add one with ssh-add"))
            }
            Ok(identities) => Ok((agent, identities)),
            Err(error) => {
                Err(format!("the agent at {path} did not list its keys: {}", lower_first(&error.to_string())))
            }
        }
    }

    async fn try_identity(&mut self, agent: &mut AgentClient<UnixStream>, identity: AgentIdentity) -> Answer {
        let public_key = identity.public_key().into_owned();
        let description = credential::describe_key("the agent's key", &public_key);
        let hash = self.rsa_hashes(&public_key).await.first().copied().flatten();
        let (client, user) = (&mut self.client, self.user);
        let answer = match identity {
            AgentIdentity::PublicKey { key, .. } => client.authenticate_publickey_with(user, key, hash, agent).await,
            AgentIdentity::Certificate { certificate, .. } => {
                client.authenticate_certificate_with(user, certificate, hash, agent).await
            }
        };
        match answer {
            Ok(answer) => self.answer(&answer, description, PUBLIC_KEY, Some(&public_key)),
            Err(_) => self.skip_unusable(format!("the agent refused to sign with {description}")),
        }
    }
}
