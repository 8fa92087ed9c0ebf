//! The resource `client`: the description of a connection.

use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio_util::task::AbortOnDropHandle;
use url::Host;
use wasmtime::component::Resource;

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::ssh::{Error as GuestError, HostClient};
use crate::capability::grant::{Grants, List, Refusal, SecretTarget};
use crate::capability::probe_context::ProbeContext;
use crate::capability::regular_file;
use crate::capability::ssh::algorithms::{AllowedAlgorithms, Kind};
use crate::capability::ssh::connect::connect;
use crate::capability::ssh::credential::{Credential, agent_socket, load_key, load_public_key};
use crate::capability::ssh::session::Session;
use crate::capability::ssh::target::Target;
use crate::capability::ssh::trust::{AcceptNew, PinnedKey, Trust};
use crate::capability::text::quotable;
use crate::capability::timeout::Timeout;
use crate::config::Protocol;

/// The time for all that happens on a connection, unless the guest sets another.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The description of a connection, which can be opened any number of times.
#[derive(Clone)]
pub struct Client {
    host: String,
    port: u16,
    username: Option<String>,
    algorithms: AllowedAlgorithms,
    credentials: Vec<Credential>,
    known_hosts: Option<PathBuf>,
    pinned_keys: Vec<PinnedKey>,
    accept_new: bool,
    /// For each credential that is kept from the component, the JSON pointers of the settings that are the credential
    /// or that name its file.
    secrets: Vec<Vec<String>>,
    /// True if the component has chosen a pinned key that is not among the probe's settings.
    has_chosen_key: bool,
    timeout: Duration,
}

impl HostClient for Context {
    fn new(&mut self, host: String, port: u16) -> wasmtime::Result<Result<Resource<Client>, String>> {
        const MAX_HOST_BYTES: usize = 253;
        if let Some((name, port)) = split_port(&host) {
            let (host, name) = (quotable(&host), quotable(name));
            return Ok(Err(format!("`{host}` is a host with a port: write `host: {name}` and `port: {port}`")));
        }
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let may_contain = |char: char| char.is_ascii_alphanumeric() || "-._:%".contains(char);
        if host.is_empty() || host.len() > MAX_HOST_BYTES || !host.chars().all(may_contain) {
            return Ok(Err(format!("`{}` is not a host: expected a name or an IP address", quotable(&host))));
        }
        let address = host.split('%').next().unwrap_or_default();
        if host.contains(':') && address.parse::<Ipv6Addr>().is_err() {
            return Ok(Err(format!("`{host}` is not a host: expected a name or an IP address")));
        }
        if port == 0 {
            return Ok(Err("nothing can listen on port 0".to_owned()));
        }
        let client = Client {
            host,
            port,
            username: None,
            algorithms: AllowedAlgorithms::default(),
            credentials: Vec::new(),
            known_hosts: None,
            pinned_keys: Vec::new(),
            accept_new: false,
            secrets: Vec::new(),
            has_chosen_key: false,
            timeout: DEFAULT_TIMEOUT,
        };
        self.warn_if_refused(List::Ssh, &client.host, Some(port));
        Ok(Ok(self.table.push(client)?))
    }

    fn username(&mut self, client: Resource<Client>, name: String) -> wasmtime::Result<Result<(), String>> {
        const MAX_USERNAME_BYTES: usize = 256;
        if name.is_empty() || name.len() > MAX_USERNAME_BYTES || name.chars().any(char::is_control) {
            return Ok(Err(format!("`{}` is not a username", quotable(&name))));
        }
        self.table.get_mut(&client)?.username = Some(name);
        Ok(Ok(()))
    }

    fn timeout(&mut self, client: Resource<Client>, milliseconds: u32) -> wasmtime::Result<()> {
        self.table.get_mut(&client)?.timeout = Duration::from_millis(milliseconds.into());
        Ok(())
    }

    async fn known_hosts(&mut self, client: Resource<Client>, path: String) -> wasmtime::Result<Result<(), String>> {
        let path = match self.file(&path) {
            Ok(path) => path,
            Err(message) => return Ok(Err(message)),
        };
        self.table.get_mut(&client)?.known_hosts = Some(path.clone());
        let shown = path.display().to_string();
        let opened = self.files.run(move |may_block| regular_file::check_readable(&path, may_block)).await;
        Ok(match opened.flatten() {
            // The file is created when the first host key is accepted.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => {
                self.accounting.quota.check_error(&error)?;
                Err(format!("cannot read {shown}: {error}"))
            }
            Ok(()) => Ok(()),
        })
    }

    fn host_key(&mut self, client: Resource<Client>, key: String) -> wasmtime::Result<Result<(), String>> {
        const MAX_PINNED_KEYS: usize = 100;
        let is_chosen = !self.probe.is_own_setting(&key);
        let client = self.table.get_mut(&client)?;
        if client.pinned_keys.len() == MAX_PINNED_KEYS {
            return Ok(Err(format!("more than {MAX_PINNED_KEYS} host keys")));
        }
        client.has_chosen_key |= is_chosen;
        Ok(PinnedKey::parse(&key).map(|key| client.pinned_keys.push(key)))
    }

    fn accept_new(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        if let (false, Err(refusal)) = (self.probe.may_send, self.probe.policy.grants.check_accept_new()) {
            self.push_warning("/probe".to_owned(), refusal.to_string());
        }
        self.table.get_mut(&client)?.accept_new = true;
        Ok(())
    }

    fn algorithms(
        &mut self,
        client: Resource<Client>,
        kind: String,
        names: String,
    ) -> wasmtime::Result<Result<(), String>> {
        let client = self.table.get_mut(&client)?;
        Ok(match Kind::parse(&kind) {
            Some(kind) => client.algorithms.set(kind, &names),
            None => Err(format!("`{}` is no kind of algorithms", quotable(&kind))),
        })
    }

    async fn identity(
        &mut self,
        client: Resource<Client>,
        path: String,
        passphrase: Option<String>,
    ) -> wasmtime::Result<Result<(), String>> {
        let pointers = self.probe.file_pointers(&path);
        let path = self.key_file(&path).await;
        let passphrase = passphrase.map(|pointer| self.secret_setting(&pointer)).transpose();
        let credential = match (path, passphrase) {
            (Ok(path), Ok(passphrase)) => Credential::Key { path, passphrase },
            (Err(message), _) | (_, Err(message)) => return Ok(Err(message)),
        };
        let added = self.add_credential(&client, credential.clone(), pointers)?;
        if self.probe.may_send || added.is_err() {
            return Ok(added);
        }
        // While settings are checked, a key that cannot be used is an error. During a run, the session's `authenticate`
        // reports it.
        let checked = self.files.run(move |may_block| match credential {
            Credential::Key { path, passphrase } => load_key(&path, passphrase.as_ref(), may_block).map(drop),
            Credential::Agent { .. } | Credential::Password(_) => Ok(()),
        });
        let checked = checked.await.unwrap_or_else(|error| Err(error.to_string()));
        if checked.is_err() {
            self.accounting.quota.check_host()?;
        }
        Ok(checked)
    }

    fn agent(&mut self, client: Resource<Client>) -> wasmtime::Result<Result<(), String>> {
        if let Err(refusal) = self.probe.policy.grants.check_agent() {
            return Ok(Err(self.refuse(&refusal)));
        }
        let added = self.add_credential(&client, Credential::Agent { socket: None, key: None }, Vec::new())?;
        let is_checked = !self.probe.may_send;
        Ok(added.and_then(|()| if is_checked { agent_socket(None).map(drop) } else { Ok(()) }))
    }

    async fn agent_key(&mut self, client: Resource<Client>, path: String) -> wasmtime::Result<Result<(), String>> {
        if let Err(refusal) = self.probe.policy.grants.check_agent() {
            return Ok(Err(self.refuse(&refusal)));
        }
        let path = match self.file(&path) {
            Ok(path) => path,
            Err(message) => return Ok(Err(message)),
        };
        let loaded = self.files.run(move |may_block| load_public_key(&path, may_block)).await;
        match loaded.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(key) => {
                let credential = Credential::Agent { socket: None, key: Some(Box::new(key)) };
                self.add_credential(&client, credential, Vec::new())
            }
            Err(message) => {
                self.accounting.quota.check_host()?;
                Ok(Err(message))
            }
        }
    }

    fn password(&mut self, client: Resource<Client>, setting: String) -> wasmtime::Result<Result<(), String>> {
        match self.secret_setting(&setting) {
            Ok(password) => self.add_credential(&client, Credential::Password(password), vec![setting]),
            Err(message) => Ok(Err(message)),
        }
    }

    async fn connect(&mut self, client: Resource<Client>) -> wasmtime::Result<Result<Resource<Session>, GuestError>> {
        let client = self.table.get(&client)?.clone();
        if !self.probe.may_send {
            return Ok(Err(GuestError::Denied("no connection is opened while settings are checked".to_owned())));
        }
        if let Err(refusal) = client.check_grants(&self.probe) {
            return Ok(Err(GuestError::Denied(self.refuse(&refusal))));
        }
        let trust = if client.pinned_keys.is_empty() {
            Trust::KnownHosts {
                files: client.known_hosts.map_or_else(|| self.shared.known_hosts.clone(), |file| vec![file]),
                accept_new: client.accept_new.then(|| AcceptNew {
                    hosts: Arc::clone(&self.shared.ssh),
                    probe: self.probe.identity.title.clone(),
                    warnings: Arc::clone(&self.probe.warnings),
                }),
            }
        } else {
            Trust::Pinned(client.pinned_keys)
        };
        // Before any time of the target is measured.
        let opening = self.openings.wait(&client.host, client.port).await;
        let timeout = Timeout::new(client.timeout, self.deadline);
        let is_shortened = opening.has_shortened(timeout);
        let target = Target {
            host: client.host,
            port: client.port,
            username: client.username,
            algorithms: client.algorithms,
            credentials: client.credentials,
            trust,
            timeout,
            files: self.files.clone(),
        };
        self.accounting.quota.count_request()?;
        let (permit, started) = (self.acquire_connection()?, Instant::now());
        let (filter, lookup) = (self.address_filter(List::Ssh), self.lookup.clone());
        let (run, parent) = (self.run.clone(), self.run.recorder.current());
        // The connection is opened in a task of its own, since here the future would be polled on the guest's small
        // stack, and delayed by other guests that compute.
        let connecting =
            self.exchanges.spawn(async move { connect(target, permit, opening, &filter, &lookup, run, parent).await });
        let connected = AbortOnDropHandle::new(connecting).await?;
        self.accounting.quota.check()?;
        match connected {
            Ok(connection) => Ok(Ok(self.table.push(Session::new(connection, started.elapsed(), is_shortened))?)),
            Err(error) => {
                error.check_shortened(is_shortened, &self.accounting.quota)?;
                Ok(Err(error.into()))
            }
        }
    }

    fn drop(&mut self, client: Resource<Client>) -> wasmtime::Result<()> {
        self.table.delete(client)?;
        Ok(())
    }
}

impl Client {
    /// Checks that the probe may connect to the host, accept its key if it is new, and send the credentials there.
    fn check_grants(&self, probe: &ProbeContext) -> Result<(), Refusal> {
        let grants = &probe.policy.grants;
        grants.check_host_text(List::Ssh, &self.host, Some(self.port))?;
        if self.accept_new && self.pinned_keys.is_empty() {
            grants.check_accept_new()?;
            if !probe.built_in && self.known_hosts.is_none() {
                return Err(Refusal::unnamed_known_hosts());
            }
        }
        if self.secrets.is_empty() || probe.built_in {
            return Ok(());
        }
        Grants::check_chosen_options(if self.has_chosen_key { &["host_key"] } else { &[] })?;
        let bracketed = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let host = Host::parse(&bracketed).unwrap_or_else(|_| Host::Domain(self.host.clone()));
        let target = SecretTarget { protocol: Protocol::Ssh, host, port: self.port };
        self.secrets.iter().try_for_each(|pointers| probe.check_secret_file(pointers, &target))
    }
}

impl Context {
    /// Adds a credential to a client, and the JSON pointers of the settings that it comes from.
    fn add_credential(
        &mut self,
        client: &Resource<Client>,
        credential: Credential,
        pointers: Vec<String>,
    ) -> wasmtime::Result<Result<(), String>> {
        const MAX_CREDENTIALS: usize = 10;
        let client = self.table.get_mut(client)?;
        if client.credentials.len() == MAX_CREDENTIALS {
            return Ok(Err(format!("more than {MAX_CREDENTIALS} credentials: servers allow fewer attempts")));
        }
        client.credentials.push(credential);
        client.secrets.extend(Some(pointers).filter(|pointers| !pointers.is_empty()));
        Ok(Ok(()))
    }

    /// Returns the text of a setting that the guest does not get to see.
    fn secret_setting(&self, pointer: &str) -> Result<SecretString, String> {
        let text = self.setting(pointer)?.as_str();
        text.map(SecretString::from).ok_or_else(|| "expected text".to_owned())
    }
}

/// Returns the host and the port of a text such as `shop.example:2222` or `[2001:db8::7]:22`. Returns `None` for a host
/// alone, such as `2001:db8::22`.
fn split_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    address.or_else(|| (!host.contains(':')).then_some(host)).map(|host| (host, port))
}
