//! The interface `ssh`: connections over russh, each phase of them in the run's trace. Credentials are read here, and
//! stay here.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Resource;

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::ssh::{
    Error as GuestError, Host, HostClient, HostSession, Output as GuestOutput, Server as GuestServer,
};
use crate::capability::grant::List;
use crate::capability::ssh::credential::Credential;
use crate::capability::ssh::error::Error;
use crate::capability::ssh::target::Target;
use crate::capability::ssh::trust::{Pin, Trust};
use crate::capability::timeout::Timeout;

mod error;
mod credential;
mod exec;
mod evidence;
mod known_hosts;
mod auth;
mod client_handler;
mod output;
mod session;
mod target;
mod trust;
mod instrumented_stream;

pub use trust::AcceptedHosts;

const TIMEOUT: Duration = Duration::from_secs(30);
/// The most that a guest may have us keep of each stream of a command's output.
const MOST_OUTPUT: u64 = 16 << 20;

/// A connection being described.
#[derive(Clone)]
pub struct Client {
    host: String,
    port: u16,
    username: Option<String>,
    credentials: Vec<Credential>,
    known_hosts: Option<PathBuf>,
    pins: Vec<Pin>,
    accept_new: bool,
    timeout: Duration,
}

/// A connection, and the server's part of it that never changes.
pub struct Session {
    connection: Arc<Mutex<session::Session>>,
    server: GuestServer,
    methods: Vec<String>,
    /// How long all calls together took.
    time: Duration,
}

impl Host for Context {}

impl HostClient for Context {
    fn new(&mut self, host: String, port: u16) -> wasmtime::Result<Result<Resource<Client>, String>> {
        const LONGEST_NAME: usize = 253;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let letters = |char: char| char.is_ascii_alphanumeric() || "-._:%".contains(char);
        if host.is_empty() || host.len() > LONGEST_NAME || !host.chars().all(letters) {
            return Ok(Err(format!("`{}` is no host: expected a name or an address", host.escape_debug())));
        }
        if port == 0 {
            return Ok(Err("nothing can listen on port 0".to_owned()));
        }
        let client = Client {
            host,
            port,
            username: None,
            credentials: Vec::new(),
            known_hosts: None,
            pins: Vec::new(),
            accept_new: false,
            timeout: TIMEOUT,
        };
        self.warn_if_refused(List::Ssh, &client.host, Some(port));
        Ok(Ok(self.table.push(client)?))
    }

    fn username(&mut self, client: Resource<Client>, name: String) -> wasmtime::Result<Result<(), String>> {
        const LONGEST: usize = 256;
        if name.is_empty() || name.len() > LONGEST || name.chars().any(char::is_control) {
            return Ok(Err(format!("`{}` is no name of a user", name.escape_debug())));
        }
        self.table.get_mut(&client)?.username = Some(name);
        Ok(Ok(()))
    }

    fn timeout(&mut self, client: Resource<Client>, milliseconds: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&client)?.timeout = Duration::from_millis(milliseconds.into());
        Ok(())
    }

    fn known_hosts(&mut self, client: Resource<Client>, path: String) -> wasmtime::Result<Result<(), String>> {
        let path = match self.file(&path) {
            Ok(path) => path,
            Err(why) => return Ok(Err(why)),
        };
        let client = self.table.get_mut(&client)?;
        client.known_hosts = Some(path.clone());
        Ok(match std::fs::File::open(&path) {
            // It is made when the first host is met.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(format!("cannot read {}: {error}", path.display())),
            Ok(_) => Ok(()),
        })
    }

    fn host_key(&mut self, client: Resource<Client>, key: String) -> wasmtime::Result<Result<(), String>> {
        const MOST: usize = 100;
        let client = self.table.get_mut(&client)?;
        if client.pins.len() == MOST {
            return Ok(Err(format!("more than {MOST} keys of one host")));
        }
        Ok(Pin::parse(&key).map(|pin| client.pins.push(pin)))
    }

    fn accept_new(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        self.table.get_mut(&client)?.accept_new = true;
        Ok(())
    }

    fn identity(
        &mut self,
        client: Resource<Client>,
        path: String,
        passphrase: Option<String>,
    ) -> wasmtime::Result<Result<(), String>> {
        let path = self.key_file(&path);
        let passphrase = passphrase.map(|setting| self.text(&setting)).transpose();
        let credential = match (path, passphrase) {
            (Ok(path), Ok(passphrase)) => Credential::Key { path, passphrase },
            (Err(why), _) | (_, Err(why)) => return Ok(Err(why)),
        };
        self.credential(&client, credential)
    }

    fn agent(&mut self, client: Resource<Client>) -> wasmtime::Result<Result<(), String>> {
        if let Err(refusal) = self.probe.policy.grants.agent() {
            return Ok(Err(self.refuse(&refusal)));
        }
        self.credential(&client, Credential::Agent { socket: None })
    }

    fn password(&mut self, client: Resource<Client>, setting: String) -> wasmtime::Result<Result<(), String>> {
        match self.text(&setting) {
            Ok(password) => self.credential(&client, Credential::Password(password)),
            Err(why) => Ok(Err(why)),
        }
    }

    async fn connect(&mut self, client: Resource<Client>) -> wasmtime::Result<Result<Resource<Session>, GuestError>> {
        let client = self.table.get(&client)?.clone();
        if !self.probe.may_send {
            return Ok(Err(GuestError::Denied("nothing is connected to while settings are checked".to_owned())));
        }
        if let Err(refusal) = self.probe.policy.grants.name(List::Ssh, &client.host, Some(client.port)) {
            return Ok(Err(GuestError::Denied(self.refuse(&refusal))));
        }
        let trust = match client.pins.is_empty() {
            true => Trust::KnownHosts {
                files: client.known_hosts.map_or_else(Trust::default_files, |file| vec![file]),
                accept_new: client.accept_new.then(|| Arc::clone(&self.shared.ssh)),
            },
            false => Trust::Pinned(client.pins),
        };
        let target = Target {
            host: client.host,
            port: client.port,
            username: client.username,
            credentials: client.credentials,
            trust,
            limit: Timeout::new(client.timeout, self.deadline),
        };
        self.accounting.quota.request()?;
        let (open, started) = (self.acquire_connection()?, Instant::now());
        let (judge, run, parent) = (self.address_filter(List::Ssh), self.run.clone(), self.run.recorder.current());
        let connecting = async move { session::connect(target, open, &judge, run, parent).await };
        // In a task of its own, as every exchange: see `http`.
        let session = AbortOnDropHandle::new(self.exchanges.spawn(connecting)).await?;
        self.accounting.quota.check()?;
        let session = match session {
            Ok(session) => session,
            Err(error) => return Ok(Err(error.into())),
        };
        let session::Server { version, host_key_type, host_key_fingerprint, remote_address } = session.server().clone();
        let remote_address = remote_address.to_string();
        let server = GuestServer { version, host_key_type, host_key_fingerprint, remote_address };
        let methods = session.methods().to_vec();
        let session = Arc::new(Mutex::new(session));
        Ok(Ok(self.table.push(Session { connection: session, server, methods, time: started.elapsed() })?))
    }

    fn drop(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        self.table.delete(client)?;
        Ok(())
    }
}

impl HostSession for Context {
    fn server(&mut self, session: Resource<Session>) -> wasmtime::Result<GuestServer> {
        Ok(self.table.get(&session)?.server.clone())
    }

    fn methods(&mut self, session: Resource<Session>) -> wasmtime::Result<Vec<String>> {
        Ok(self.table.get(&session)?.methods.clone())
    }

    fn time(&mut self, session: Resource<Session>) -> wasmtime::Result<f64> {
        Ok(self.table.get(&session)?.time.as_secs_f64() * 1000.0)
    }

    async fn authenticate(&mut self, session: Resource<Session>) -> wasmtime::Result<Result<(), GuestError>> {
        let (started, inner) = (Instant::now(), Arc::clone(&self.table.get(&session)?.connection));
        let work = self.exchanges.spawn(async move { inner.lock().await.authenticate().await });
        let logged_in = AbortOnDropHandle::new(work).await?;
        self.accounting.quota.check()?;
        self.table.get_mut(&session)?.time += started.elapsed();
        Ok(logged_in.map_err(GuestError::from))
    }

    async fn exec(
        &mut self,
        session: Resource<Session>,
        command: String,
        max_output: u64,
    ) -> wasmtime::Result<Result<GuestOutput, GuestError>> {
        self.accounting.quota.request()?;
        if let Err(refusal) = self.probe.policy.grants.commands() {
            return Ok(Err(GuestError::Denied(self.refuse(&refusal))));
        }
        let (started, inner) = (Instant::now(), Arc::clone(&self.table.get(&session)?.connection));
        let most = max_output.min(MOST_OUTPUT) as usize;
        let work = self.exchanges.spawn(async move { inner.lock().await.exec(&command, most).await });
        let ran = AbortOnDropHandle::new(work).await?;
        self.accounting.quota.check()?;
        self.table.get_mut(&session)?.time += started.elapsed();
        let output = match ran {
            Ok(output) => output,
            Err(error) => return Ok(Err(error.into())),
        };
        let output::Output { exit_status, signal, stdout, stderr, stdout_size, stderr_size } = output;
        Ok(Ok(GuestOutput { exit_status, signal, stdout, stderr, stdout_size, stderr_size }))
    }

    fn drop(&mut self, session: Resource<Session>) -> wasmtime::Result<()> {
        self.table.delete(session)?;
        Ok(())
    }
}

impl Context {
    fn credential(
        &mut self,
        client: &Resource<Client>,
        credential: Credential,
    ) -> wasmtime::Result<Result<(), String>> {
        const MOST: usize = 10;
        let client = self.table.get_mut(client)?;
        if client.credentials.len() == MOST {
            return Ok(Err(format!("more than {MOST} credentials: servers take fewer")));
        }
        // Looked at while settings are checked; when it counts, logging in has its own words for what is wrong.
        let right = if self.probe.may_send { Ok(()) } else { credential.check() };
        client.credentials.push(credential);
        Ok(right)
    }

    /// A text that the host keeps.
    fn text(&self, setting: &str) -> Result<String, String> {
        let text = self.setting(setting)?.as_str();
        text.map(str::to_owned).ok_or_else(|| "expected text".to_owned())
    }
}

impl From<Error> for GuestError {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(why) => Self::Denied(why),
            Error::Dns(why) => Self::Dns(why),
            Error::Connect(why) => Self::Connect(why),
            Error::HostKey(why) => Self::HostKey(why),
            Error::Auth(why) => Self::Auth(why),
            Error::Timeout(why) => Self::Timeout(why),
            Error::Protocol(why) => Self::Protocol(why),
            Error::Other(why) => Self::Other(why),
        }
    }
}
