//! The callbacks of russh: they verify the host key, record facts about the server, and refuse channels that it opens.

use std::sync::Arc;

use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::{HashAlg, PublicKeyOrCertificate};
use russh::{Channel, Disconnect, Names};

use crate::capability::blocking_pool::MayBlock;
use crate::capability::file_calls::FileCalls;
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
    /// Writes the files of known hosts.
    pub files: FileCalls,
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
        let (key, certificate) = (shown.public_key(), shown.certificate().cloned());
        let algorithm = key.algorithm();
        let kind = match &certificate {
            Some(_) => algorithm.to_certificate_type(),
            None => algorithm.as_str().to_owned(),
        };
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        self.handshake.record(|facts| facts.host_key = Some(HostKey { kind, fingerprint }));
        let (trust, known_host) = (Arc::clone(&self.trust), Arc::clone(&self.known_host));
        // This may write a file, and wait for other programs that have locked the file.
        let verify = move |may_block: &MayBlock| match certificate {
            Some(certificate) => trust.verify_certificate(&known_host, &certificate, may_block),
            None => trust.verify(&known_host, &key, may_block),
        };
        match self.files.run(verify).await {
            Ok(verified) => verified.map(|()| true).map_err(HandlerError::HostKey),
            Err(error) => Err(HandlerError::Protocol(error.into())),
        }
    }

    async fn auth_banner(&mut self, _: &str, _: &mut Session) -> Result<(), HandlerError> {
        self.handshake.record(|facts| facts.has_auth_banner = true);
        Ok(())
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
                let message = if message.is_empty() { disconnect_reason(&info.reason_code) } else { message };
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

/// Returns the words of RFC 4253, section 11.1, for the reason with which a server disconnected without a message.
fn disconnect_reason(reason: &Disconnect) -> String {
    let words = match reason {
        Disconnect::HostNotAllowedToConnect => "host not allowed to connect",
        Disconnect::ProtocolError => "protocol error",
        Disconnect::KeyExchangeFailed => "key exchange failed",
        Disconnect::MACError => "MAC error",
        Disconnect::CompressionError => "compression error",
        Disconnect::ServiceNotAvailable => "service not available",
        Disconnect::ProtocolVersionNotSupported => "protocol version not supported",
        Disconnect::HostKeyNotVerifiable => "host key not verifiable",
        Disconnect::ConnectionLost => "connection lost",
        Disconnect::ByApplication => "by application",
        Disconnect::TooManyConnections => "too many connections",
        Disconnect::AuthCancelledByUser => "auth cancelled by user",
        Disconnect::NoMoreAuthMethodsAvailable => "no more auth methods available",
        Disconnect::IllegalUserName => "illegal user name",
        _ => "unknown reason",
    };
    words.to_owned()
}
