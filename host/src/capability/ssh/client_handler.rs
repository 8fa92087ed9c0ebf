//! What the server says of its own accord, as the protocol hands it on: its key is judged, the rest noted or refused.

use std::sync::Arc;

use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::{HashAlg, PublicKeyOrCertificate};
use russh::{Channel, Names};

use crate::capability::ssh::error;
use crate::capability::ssh::instrumented_stream::{Algorithms, Handshake, HostKey};
use crate::capability::ssh::trust::{KnownHost, Trust};

pub struct ClientHandler {
    pub marks: Handshake,
    pub trust: Arc<Trust>,
    pub known: Arc<KnownHost>,
}

/// Why a connection is given up from within.
#[derive(Debug)]
pub enum Stop {
    Protocol(russh::Error),
    HostKey(String),
}

impl From<russh::Error> for Stop {
    fn from(error: russh::Error) -> Self {
        Self::Protocol(error)
    }
}

impl Handler for ClientHandler {
    type Error = Stop;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Stop> {
        // We offer to read no certificates, so that none is shown.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let key = key.clone();
        self.marks.record(|seen| {
            seen.host_key = Some(HostKey {
                kind: key.algorithm().as_str().to_owned(),
                fingerprint: key.fingerprint(HashAlg::Sha256).to_string(),
            });
        });
        let (trust, known) = (Arc::clone(&self.trust), Arc::clone(&self.known));
        // It may write a file, and wait for others that do.
        match tokio::task::spawn_blocking(move || trust.check(&known, &key)).await {
            Ok(verdict) => verdict.map(|()| true).map_err(Stop::HostKey),
            Err(error) => Err(Stop::Protocol(std::io::Error::from(error).into())),
        }
    }

    async fn kex_done(&mut self, _: Option<&[u8]>, names: &Names, _: &mut Session) -> Result<(), Stop> {
        let mac = names.client_mac.as_ref();
        let algorithms = Algorithms {
            kex: names.kex.as_ref().to_owned(),
            cipher: names.cipher.as_ref().to_owned(),
            mac: (mac != "none").then(|| mac.to_owned()),
        };
        self.marks.record(|seen| seen.algorithms = Some(algorithms));
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Stop>) -> Result<(), Stop> {
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                let said = error::words(info.message.as_bytes());
                let said = if said.is_empty() { format!("{:?}", info.reason_code) } else { said };
                self.marks.record(|seen| seen.farewell = Some(said));
                Ok(())
            }
            DisconnectReason::Error(error) => {
                if let Stop::Protocol(error) = &error {
                    let why = error::protocol(error, &self.marks.read());
                    self.marks.record(|seen| seen.broke = Some(why));
                }
                Err(error)
            }
        }
    }

    // We asked for no forwarding: a server that opens channels to us gets none. To drop the reply is to refuse.

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
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
    ) -> Result<(), Stop> {
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
    ) -> Result<(), Stop> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Stop> {
        Ok(())
    }
}
