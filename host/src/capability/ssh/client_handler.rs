//! The callbacks of russh: they verify the host key, record facts about the server, and refuse channels that it opens.

use std::sync::Arc;

use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::{HashAlg, PublicKeyOrCertificate};
use russh::{Channel, Names};

use crate::capability::ssh::error;
use crate::capability::ssh::handshake::{Algorithms, Handshake, HostKey};
use crate::capability::ssh::text::printable_line;
use crate::capability::ssh::trust::{KnownHost, Trust};

/// The handler of one connection. russh calls it in a task of its own.
pub struct ClientHandler {
    /// Receives the facts about the server.
    pub handshake: Handshake,
    /// The host keys to trust.
    pub trust: Arc<Trust>,
    /// The entries of the files of known hosts for this host.
    pub known_host: Arc<KnownHost>,
}

/// The reason why the handler ends a connection.
#[derive(Debug)]
pub enum HandlerError {
    /// An error of russh.
    Protocol(russh::Error),
    /// The host key is not trusted, with a sentence for the operator.
    HostKey(String),
}

impl From<russh::Error> for HandlerError {
    fn from(error: russh::Error) -> Self {
        Self::Protocol(error)
    }
}

impl Handler for ClientHandler {
    type Error = HandlerError;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, HandlerError> {
        // The client offers no algorithms of certificates, so that no server shows a certificate.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let key = key.clone();
        self.handshake.record(|facts| {
            facts.host_key = Some(HostKey {
                kind: key.algorithm().as_str().to_owned(),
                fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            });
        });
        let (trust, known_host) = (Arc::clone(&self.trust), Arc::clone(&self.known_host));
        // The key is verified on a blocking thread, since this may write a file, and wait for other programs that have
        // locked the file.
        match tokio::task::spawn_blocking(move || trust.verify(&known_host, &key)).await {
            Ok(verified) => verified.map(|()| true).map_err(HandlerError::HostKey),
            Err(error) => Err(HandlerError::Protocol(std::io::Error::from(error).into())),
        }
    }

    async fn kex_done(&mut self, _: Option<&[u8]>, names: &Names, _: &mut Session) -> Result<(), HandlerError> {
        let mac = names.client_mac.as_ref();
        let algorithms = Algorithms {
            kex: names.kex.as_ref().to_owned(),
            cipher: names.cipher.as_ref().to_owned(),
            mac: (mac != "none").then(|| mac.to_owned()),
        };
        self.handshake.record(|facts| facts.algorithms = Some(algorithms));
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<HandlerError>) -> Result<(), HandlerError> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                let message = printable_line(info.message.as_bytes());
                let message = if message.is_empty() { format!("{:?}", info.reason_code) } else { message };
                self.handshake.record(|facts| facts.disconnect_message = Some(message));
                Ok(())
            }
            DisconnectReason::Error(error) => {
                if let HandlerError::Protocol(error) = &error {
                    let message = error::protocol_message(error, &self.handshake.read());
                    self.handshake.record(|facts| facts.protocol_error = Some(message));
                }
                Err(error)
            }
        }
    }

    // The client requests no forwarding, so that it refuses each channel that the server opens. Dropping the
    // `ChannelOpenHandle` sends the refusal.

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), HandlerError> {
        Ok(())
    }
}
