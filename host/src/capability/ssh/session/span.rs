//! A connection's span, and those of its phases.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::capability::run_handles::RunHandles;
use crate::capability::ssh::error::Error;
use crate::capability::ssh::evidence::SshEvidence;
use crate::capability::ssh::instrumented_stream::{Handshake, HandshakeFacts};
use crate::capability::ssh::target::Target;
use crate::trace::{Contact, Handle, Recorder, Value};

/// The connection's span, which ends with this value, and those below it.
pub struct Record {
    pub recorder: Recorder,
    pub span: Handle,
    kept: Arc<Mutex<SshEvidence>>,
}

impl Record {
    pub fn open(run: RunHandles, parent: Handle, target: &Target) -> Self {
        let RunHandles { recorder, evidence, .. } = run;
        let Target { host, port, username, .. } = target;
        let user = username.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let span = recorder.open(parent, "ssh", format!("SSH {user}{host}:{port}"));
        recorder.set(span, "server.address", host.as_str());
        recorder.set(span, "server.port", i64::from(*port));
        let kept =
            SshEvidence { host: host.clone(), port: *port, username: username.clone(), ..SshEvidence::default() };
        let kept = Arc::new(Mutex::new(kept));
        evidence.add(span, kept.clone());
        Self { recorder, span, kept }
    }

    /// Notes what is told of the connection should the run not pass.
    pub fn note(&self, write: impl FnOnce(&mut SshEvidence)) {
        write(&mut self.kept.lock());
    }

    /// Where the wire and the protocol note what they see.
    pub fn marks(&self) -> Handshake {
        self.kept.lock().marks.clone()
    }

    pub fn begin(&self, op: &'static str, description: impl Into<String>) -> Handle {
        self.reached(op);
        self.recorder.open(self.span, op, description)
    }

    pub fn end(&self, span: Handle, error: Option<&Error>) {
        if let Some(error) = error {
            self.fail(span, error);
        }
        self.recorder.close(span);
    }

    fn reached(&self, op: &'static str) {
        self.note(|kept| kept.phase = op.trim_start_matches("ssh."));
    }

    pub fn fail(&self, span: Handle, error: &Error) {
        self.note(|kept| kept.error = Some(error.kind()));
        self.recorder.set_status(span, error.status());
        self.recorder.set(span, "error.type", error.kind());
    }

    /// Notes whether the network has brought anything back from the host, which has these addresses.
    pub fn contact(&self, host: &str, addresses: &[SocketAddr], answered: bool, from: Instant) {
        self.recorder.record_contact(Contact {
            host: host.to_owned(),
            loopback: Contact::is_loopback(host, addresses.iter().map(SocketAddr::ip)),
            answered,
            from,
            to: Instant::now(),
        });
    }

    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        self.recorder.set(self.span, key, value);
    }

    /// On a phase and on the connection itself, where it is found again.
    pub fn data(&self, span: Handle, key: &'static str, value: String) {
        self.recorder.set(span, key, value.as_str());
        self.set(key, value);
    }

    /// The phases between TCP and authentication, read off the marks that they left.
    pub fn handshake(&self, started: Instant, seen: &HandshakeFacts, error: Option<&Error>) {
        let end = Instant::now();
        let banner = self.recorder.open_at(self.span, "ssh.banner", "Exchange banners", started);
        self.reached("ssh.banner");
        let Some((version, at)) = &seen.banner else {
            self.end(banner, error);
            return;
        };
        self.data(banner, "ssh.server.version", version.clone());
        self.recorder.close_at(banner, *at);
        let kex = self.recorder.open_at(self.span, "ssh.kex", "Exchange keys", *at);
        self.reached("ssh.kex");
        if let Some(key) = &seen.host_key {
            self.data(kex, "ssh.host_key.type", key.kind.clone());
            self.data(kex, "ssh.host_key.fingerprint", key.fingerprint.clone());
        }
        if let Some(algorithms) = &seen.algorithms {
            self.data(kex, "ssh.kex.algorithm", algorithms.kex.clone());
            self.data(kex, "ssh.cipher", algorithms.cipher.clone());
            if let Some(mac) = &algorithms.mac {
                self.data(kex, "ssh.mac", mac.clone());
            }
        }
        if let Some(error) = error {
            self.fail(kex, error);
        }
        self.recorder.close_at(kex, end);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        self.recorder.close(self.span);
    }
}
