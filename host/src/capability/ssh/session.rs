//! The resource `session`: an open connection.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio_util::task::AbortOnDropHandle;
use wasmtime::component::Resource;

use crate::capability::Context;
use crate::capability::bindings::sentrynet::probe::ssh::{
    Error as GuestError, HostSession, Output as GuestOutput, Server as GuestServer,
};
use crate::capability::quota::HeldBytes;
use crate::capability::ssh::connection::{Connection, Server};
use crate::capability::ssh::error::Error;
use crate::capability::ssh::output::Output;

/// The maximum number of bytes of a command's standard output that the guest gets, and of its standard error.
const MAX_OUTPUT_BYTES: u64 = 16 << 20;

/// An open connection, with copies of its properties that never change.
pub struct Session {
    connection: Arc<Mutex<Connection>>,
    server: GuestServer,
    methods: Vec<String>,
    /// The time that opening the connection and all later calls have taken together.
    elapsed: Duration,
    /// True if the connection has less time than the guest has asked for, since the run has waited for other runs.
    is_shortened: bool,
    /// The memory that is counted for the output of the last command.
    held_output: Option<HeldBytes>,
}

impl Session {
    /// Returns the session of a connection that took `elapsed` to open. `is_shortened` is true if it has less time than
    /// the guest has asked for, since the run has waited for other runs.
    pub fn new(connection: Connection, elapsed: Duration, is_shortened: bool) -> Self {
        let Server { version, host_key_type, host_key_fingerprint, remote_address } = connection.server().clone();
        let remote_address = remote_address.to_string();
        let server = GuestServer { version, host_key_type, host_key_fingerprint, remote_address };
        let methods = connection.methods().to_vec();
        Self { connection: Arc::new(Mutex::new(connection)), server, methods, elapsed, is_shortened, held_output: None }
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
        Ok(self.table.get(&session)?.elapsed.as_secs_f64() * 1000.0)
    }

    async fn authenticate(&mut self, session: Resource<Session>) -> wasmtime::Result<Result<(), GuestError>> {
        let (started, connection) = (Instant::now(), Arc::clone(&self.table.get(&session)?.connection));
        let authenticating = self.exchanges.spawn(async move { connection.lock().await.authenticate().await });
        let authenticated = AbortOnDropHandle::new(authenticating).await?;
        self.accounting.quota.check()?;
        if let Err(error) = &authenticated {
            error.check_shortened(self.table.get(&session)?.is_shortened, &self.accounting.quota)?;
            // The reason may be that too many files are open on this host to open the key file or the agent's socket.
            self.accounting.quota.check_host()?;
        }
        self.table.get_mut(&session)?.elapsed += started.elapsed();
        Ok(authenticated.map_err(GuestError::from))
    }

    async fn exec(
        &mut self,
        session: Resource<Session>,
        command: String,
        max_output: u64,
    ) -> wasmtime::Result<Result<GuestOutput, GuestError>> {
        self.accounting.quota.count_request()?;
        if let Err(refusal) = self.probe.policy.grants.check_commands() {
            return Ok(Err(GuestError::Denied(self.refuse(&refusal))));
        }
        let (started, connection) = (Instant::now(), Arc::clone(&self.table.get(&session)?.connection));
        let max_output = max_output.min(MAX_OUTPUT_BYTES) as usize;
        let held = self.accounting.quota.hold(0)?;
        let running =
            self.exchanges.spawn(async move { connection.lock().await.exec(&command, max_output, held).await });
        let (result, held) = AbortOnDropHandle::new(running).await?;
        self.accounting.quota.check()?;
        let session = self.table.get_mut(&session)?;
        if let Err(error) = &result {
            error.check_shortened(session.is_shortened, &self.accounting.quota)?;
        }
        session.elapsed += started.elapsed();
        session.held_output = Some(held);
        Ok(result.map(GuestOutput::from).map_err(GuestError::from))
    }

    fn drop(&mut self, session: Resource<Session>) -> wasmtime::Result<()> {
        self.table.delete(session)?;
        Ok(())
    }
}

impl From<Output> for GuestOutput {
    fn from(output: Output) -> Self {
        let Output { exit_status, signal, stdout, stderr, stdout_size, stderr_size } = output;
        Self { exit_status, signal, stdout, stderr, stdout_size, stderr_size }
    }
}

impl From<Error> for GuestError {
    fn from(error: Error) -> Self {
        match error {
            Error::Denied(message) => Self::Denied(message),
            Error::Dns(message) => Self::Dns(message),
            Error::Connect(message) => Self::Connect(message),
            Error::HostKey(message) => Self::HostKey(message),
            Error::Auth(message) => Self::Auth(message),
            Error::Timeout(message) => Self::Timeout(message),
            Error::Protocol(message) => Self::Protocol(message),
            Error::Other(message) => Self::Other(message),
        }
    }
}
