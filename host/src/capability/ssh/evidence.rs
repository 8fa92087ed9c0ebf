//! What a connection leaves behind, noted as it comes; and what there is to tell of it, should the run not pass.

use std::net::SocketAddr;

use parking_lot::Mutex;

use crate::capability::evidence::ExchangeEvidence;
use crate::capability::ssh::error;
use crate::capability::ssh::instrumented_stream::{Handshake, HandshakeFacts};
use crate::capability::ssh::output::Output;
use crate::run::evidence::{Command, Connection, Excerpt, Exchange, Ssh};

/// What a connection leaves behind.
#[derive(Default)]
pub struct SshEvidence {
    pub host: String,
    pub port: u16,
    pub username: Option<String>,
    /// The last that was reached.
    pub phase: &'static str,
    pub error: Option<&'static str>,
    pub addresses: Vec<SocketAddr>,
    pub remote: Option<SocketAddr>,
    pub marks: Handshake,
    pub methods: Vec<String>,
    pub command: Option<Command>,
}

impl SshEvidence {
    /// Notes what a command left.
    pub fn record_command(&mut self, command: &str, output: &Output) {
        self.command = Some(Command {
            command: error::words(command.as_bytes()),
            exit_status: output.exit_status,
            signal: output.signal.clone(),
            stdout: Excerpt::new(&output.stdout, output.stdout_size),
            stderr: Excerpt::new(&output.stderr, output.stderr_size),
        });
    }

    pub fn to_evidence(&self) -> Ssh {
        /// Addresses of one host.
        const MOST: usize = 20;
        let HandshakeFacts { banner, preface, host_key, .. } = self.marks.read();
        let literal = self.host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok();
        let said = Some(error::words(&preface)).filter(|said| !said.is_empty());
        Ssh {
            host: self.host.clone(),
            username: self.username.clone(),
            connection: Connection {
                phase: self.phase.into(),
                error: self.error.map(Into::into),
                names: if literal { Vec::new() } else { vec![self.host.clone()] },
                resolved: match literal {
                    true => Vec::new(),
                    false => self.addresses.iter().take(MOST).map(|address| address.ip().to_string()).collect(),
                },
                peer: self.remote.map_or_else(|| format!("{}:{}", self.host, self.port), |remote| remote.to_string()),
                protocol: banner.is_some().then(|| "SSH-2.0".to_owned()),
                ..Connection::default()
            },
            banner: banner.map(|(banner, _)| banner).or(said),
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
        Exchange::Ssh(Box::new(self.lock().to_evidence()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_to_tell_of_a_server_that_speaks_something_else() {
        let kept = SshEvidence { host: "shop.example".into(), port: 22, phase: "banner", ..SshEvidence::default() };
        kept.marks.record(|seen| seen.preface = b"HTTP/1.1 400 Bad Request\r\n".to_vec());
        let told = kept.to_evidence();
        assert_eq!(told.banner.as_deref(), Some("HTTP/1.1 400 Bad Request"));
        assert_eq!(told.connection.names, ["shop.example"]);
        assert_eq!((told.connection.peer.as_str(), told.connection.protocol), ("shop.example:22", None));
    }
}
