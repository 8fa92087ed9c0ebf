//! Evidence of a connection: facts that are recorded while it lasts, and become a report if the run fails.

use std::net::{IpAddr, SocketAddr};

use parking_lot::Mutex;

use crate::capability::evidence::ExchangeEvidence;
use crate::capability::ssh::handshake::{Handshake, HandshakeFacts};
use crate::capability::ssh::output::Output;
use crate::capability::ssh::text::printable_line;
use crate::run::evidence::{Command, Connection, Excerpt, Exchange, Ssh};

/// The evidence of one connection.
#[derive(Default)]
pub struct SshEvidence {
    /// The host as the guest named it.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The user to log in as.
    pub username: Option<String>,
    /// The last phase that was reached, such as `kex`.
    pub phase: &'static str,
    /// The kind of the error with which the connection failed.
    pub error: Option<&'static str>,
    /// The addresses of the host.
    pub addresses: Vec<SocketAddr>,
    /// The address of the peer, once connected.
    pub remote: Option<SocketAddr>,
    /// The facts about the server. The connection's stream and russh's handler share and record them.
    pub handshake: Handshake,
    /// The methods of authentication that the server offered.
    pub methods: Vec<String>,
    /// The last command and its result.
    pub command: Option<Command>,
}

impl SshEvidence {
    /// Records a command and its result.
    pub fn record_command(&mut self, command: &str, output: &Output) {
        self.command = Some(Command {
            command: printable_line(command.as_bytes()),
            exit_status: output.exit_status,
            signal: output.signal.clone(),
            stdout: Excerpt::new(&output.stdout, output.stdout_size),
            stderr: Excerpt::new(&output.stderr, output.stderr_size),
        });
    }

    /// Converts the evidence to the form that reports have.
    pub fn report(&self) -> Ssh {
        const MAX_ADDRESSES: usize = 20;
        let HandshakeFacts { banner, preface, host_key, .. } = self.handshake.read();
        let is_address = self.host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        let preface = Some(printable_line(&preface)).filter(|preface| !preface.is_empty());
        let resolved = || self.addresses.iter().take(MAX_ADDRESSES).map(|address| address.ip().to_string());
        Ssh {
            host: self.host.clone(),
            username: self.username.clone(),
            connection: Connection {
                phase: self.phase.into(),
                error: self.error.map(Into::into),
                names: if is_address { Vec::new() } else { vec![self.host.clone()] },
                resolved: if is_address { Vec::new() } else { resolved().collect() },
                peer: self.remote.map_or_else(|| format!("{}:{}", self.host, self.port), |remote| remote.to_string()),
                protocol: banner.is_some().then(|| "SSH-2.0".to_owned()),
                ..Connection::default()
            },
            banner: banner.map(|(banner, _)| banner).or(preface),
            host_key: host_key.map(|key| format!("{} {}", key.kind, key.fingerprint)),
            methods: self.methods.clone(),
            command: self.command.clone(),
        }
    }
}

impl ExchangeEvidence for Mutex<SshEvidence> {
    fn is_error(&self) -> bool {
        self.lock().error.is_some()
    }

    fn to_evidence(&self) -> Exchange {
        Exchange::Ssh(Box::new(self.lock().report()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_banner_is_the_text_of_a_server_that_speaks_another_protocol() {
        let evidence = SshEvidence { host: "shop.example".into(), port: 22, phase: "banner", ..SshEvidence::default() };
        evidence.handshake.record(|facts| facts.preface = b"HTTP/1.1 400 Bad Request\r\n".to_vec());
        let ssh = evidence.report();
        assert_eq!(ssh.banner.as_deref(), Some("HTTP/1.1 400 Bad Request"));
        assert_eq!(ssh.connection.names, ["shop.example"]);
        assert_eq!((ssh.connection.peer.as_str(), ssh.connection.protocol), ("shop.example:22", None));
    }
}
