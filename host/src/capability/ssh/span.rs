//! The spans of a connection and of its phases.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::capability::run_handles::RunHandles;
use crate::capability::ssh::error::Error;
use crate::capability::ssh::evidence::SshEvidence;
use crate::capability::ssh::handshake::{Handshake, HandshakeFacts};
use crate::capability::ssh::target::Target;
use crate::trace::{Handle, HostContact, Recorder, Value};

/// The span `ssh` of a connection, and the evidence of the connection. Dropping this ends the span.
pub struct SshSpan {
    /// The recorder of the run.
    pub recorder: Recorder,
    /// The span itself, of which the phases' spans are children.
    pub handle: Handle,
    evidence: Arc<Mutex<SshEvidence>>,
}

impl SshSpan {
    /// Begins a span below `parent`.
    pub fn open(run: RunHandles, parent: Handle, target: &Target) -> Self {
        let RunHandles { recorder, evidence: all_evidence, .. } = run;
        let Target { host, port, username, .. } = target;
        let user = username.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
        let handle = recorder.open(parent, "ssh", format!("SSH {user}{host}:{port}"));
        recorder.set(handle, "server.address", host.as_str());
        recorder.set(handle, "server.port", i64::from(*port));
        let evidence =
            SshEvidence { host: host.clone(), port: *port, username: username.clone(), ..SshEvidence::default() };
        let evidence = Arc::new(Mutex::new(evidence));
        all_evidence.add(handle, evidence.clone());
        Self { recorder, handle, evidence }
    }

    /// Changes the evidence.
    pub fn record(&self, change: impl FnOnce(&mut SshEvidence)) {
        change(&mut self.evidence.lock());
    }

    /// Returns the facts about the server, which the evidence shares.
    pub fn handshake(&self) -> Handshake {
        self.evidence.lock().handshake.clone()
    }

    /// Sets data on the connection's span.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        self.recorder.set(self.handle, key, value);
    }

    /// Sets data on a phase's span and on the connection's, where it is easier to find.
    pub fn set_on_both(&self, phase: Handle, key: &'static str, value: String) {
        self.recorder.set(phase, key, value.as_str());
        self.set(key, value);
    }

    /// Begins the span of a phase.
    pub fn begin_phase(&self, op: &'static str, description: impl Into<String>) -> Handle {
        self.record_phase(op);
        self.recorder.open(self.handle, op, description)
    }

    /// Ends the span of a phase, with its error if it failed.
    pub fn end_phase(&self, phase: Handle, error: Option<&Error>) {
        if let Some(error) = error {
            self.record_error(phase, error);
        }
        self.recorder.close(phase);
    }

    /// Records an error on a span and in the evidence.
    pub fn record_error(&self, span: Handle, error: &Error) {
        self.record(|evidence| evidence.error = Some(error.kind()));
        self.recorder.set_status(span, error.status());
        self.recorder.set(span, "error.type", error.kind());
    }

    /// Records whether the host has answered since `from`. `addresses` are the addresses of the host, if it resolved.
    pub fn record_contact(&self, host: &str, addresses: &[SocketAddr], answered: bool, from: Instant) {
        self.recorder.record_contact(HostContact {
            host: host.to_owned(),
            loopback: HostContact::is_loopback(host, addresses.iter().map(SocketAddr::ip)),
            answered,
            from,
            to: Instant::now(),
        });
    }

    /// Records the spans of the two phases between TCP and authentication, `ssh.banner` and `ssh.kex`, after they have
    /// ended. russh does not report when these phases end, so the time between them is taken from `facts`.
    pub fn record_handshake(&self, started: Instant, facts: &HandshakeFacts, error: Option<&Error>) {
        let end = Instant::now();
        let banner = self.recorder.open_at(self.handle, "ssh.banner", "Exchange banners", started);
        self.record_phase("ssh.banner");
        let Some((version, banner_end)) = &facts.banner else {
            self.end_phase(banner, error);
            return;
        };
        self.set_on_both(banner, "ssh.server.version", version.clone());
        self.recorder.close_at(banner, *banner_end);
        let kex = self.recorder.open_at(self.handle, "ssh.kex", "Exchange keys", *banner_end);
        self.record_phase("ssh.kex");
        if let Some(key) = &facts.host_key {
            self.set_on_both(kex, "ssh.host_key.type", key.kind.clone());
            self.set_on_both(kex, "ssh.host_key.fingerprint", key.fingerprint.clone());
        }
        if let Some(algorithms) = &facts.algorithms {
            self.set_on_both(kex, "ssh.kex.algorithm", algorithms.kex.clone());
            self.set_on_both(kex, "ssh.cipher", algorithms.cipher.clone());
            if let Some(mac) = &algorithms.mac {
                self.set_on_both(kex, "ssh.mac", mac.clone());
            }
        }
        if let Some(error) = error {
            self.record_error(kex, error);
        }
        self.recorder.close_at(kex, end);
    }

    fn record_phase(&self, op: &'static str) {
        self.record(|evidence| evidence.phase = op.trim_start_matches("ssh."));
    }
}

impl Drop for SshSpan {
    fn drop(&mut self) {
        self.recorder.close(self.handle);
    }
}
