//! An established connection, whose host key is trusted.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use russh::client::{self, AuthResult};
use russh::{Disconnect, MethodSet};
use tokio::runtime;
use tokio_util::sync::DropGuard;

use crate::capability::opening_limit::OpeningPermit;
use crate::capability::ssh::client_handler::ClientHandler;
use crate::capability::ssh::error::{self, Error};
use crate::capability::ssh::handshake::Handshake;
use crate::capability::ssh::span::SshSpan;
use crate::capability::ssh::target::Target;
use crate::capability::ssh::time_budget::TimeBudget;
use crate::trace::Handle;

/// The identity of a server.
#[derive(Debug, Clone)]
pub struct Server {
    /// The banner, such as `SSH-2.0-OpenSSH_9.2p1`.
    pub version: String,
    /// The type of the host key, such as `ssh-ed25519`.
    pub host_key_type: String,
    /// The fingerprint of the host key: `SHA256:…`.
    pub host_key_fingerprint: String,
    /// The address and port of the server.
    pub remote_address: SocketAddr,
}

/// An established connection. Dropping it disconnects from the server and ends its span.
///
/// The futures of its methods may be dropped at any point.
pub struct Connection {
    pub(super) target: Target,
    pub(super) budget: TimeBudget,
    pub(super) handshake: Handshake,
    pub(super) span: SshSpan,
    /// `None` after an error that ended the connection.
    pub(super) client: Option<RusshClient>,
    /// The permit to open the connection. Servers bound the connections whose users are not logged in yet.
    opening: Option<OpeningPermit>,
    pub(super) is_authenticated: bool,
    pub(super) methods: Vec<String>,
    /// The open span of authentication, and the time at which it ends if the guest does not log in: that of the
    /// server's answer to [`Connection::request_auth_methods`].
    pub(super) auth_span: Option<(Handle, Instant)>,
    server: Server,
    /// The runtime on which a dropped connection disconnects.
    runtime: runtime::Handle,
}

/// The handle of the task in which russh speaks the protocol. Dropping it ends the task and its TCP connection.
pub struct RusshClient {
    /// The handle itself.
    pub handle: client::Handle<ClientHandler>,
    /// Dropping it makes the stream fail, which ends the task.
    pub stream_guard: DropGuard,
}

impl Connection {
    /// Returns a connection to a server whose key is trusted. The user is not logged in yet.
    pub fn new(
        target: Target,
        budget: TimeBudget,
        opening: OpeningPermit,
        span: SshSpan,
        client: RusshClient,
        server: Server,
    ) -> Self {
        Self {
            target,
            budget,
            handshake: span.handshake(),
            span,
            client: Some(client),
            opening: Some(opening),
            is_authenticated: false,
            methods: Vec::new(),
            auth_span: None,
            server,
            runtime: runtime::Handle::current(),
        }
    }

    /// Returns the identity of the server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Returns the methods of authentication that the server offers. Empty if it has let the user in without any.
    pub fn methods(&self) -> &[String] {
        &self.methods
    }

    /// Requests the methods of authentication, by an attempt to log in with the method `none`.
    ///
    /// # Errors
    /// [`Error::Timeout`] or [`Error::Protocol`]. Both close the connection.
    pub async fn request_auth_methods(&mut self) -> Result<(), Error> {
        // The request needs a username even if the guest does not log in. Nearly every server has the user `root`.
        // Servers log unknown users as attacks, and tools such as fail2ban block their addresses.
        const DEFAULT_USERNAME: &str = "root";
        let user = self.target.username.clone().unwrap_or_else(|| DEFAULT_USERNAME.to_owned());
        let span = self.span.begin_phase("ssh.auth", "Ask for the methods of authentication");
        let (budget, handshake) = (self.budget, self.handshake.clone());
        let Some(client) = &mut self.client else { return Err(Self::closed_error()) };
        let request = client.handle.authenticate_none(user);
        let answer = budget.wait_for(request, || "asking for the methods of authentication".to_owned()).await;
        let answer = answer.and_then(|answer| match answer {
            Ok(AuthResult::Success) => Ok((true, Vec::new())),
            // No methods and an ended task mean that the connection was closed before the answer.
            Ok(AuthResult::Failure { remaining_methods, .. })
                if remaining_methods.is_empty() && client.handle.is_closed() =>
            {
                Err(Error::Protocol(error::closed_connection(&handshake.read())))
            }
            Ok(AuthResult::Failure { remaining_methods, .. }) => Ok((false, method_names(&remaining_methods))),
            Err(error) => Err(error::from_russh(&error, &handshake.read(), &self.server.remote_address)),
        });
        match answer {
            Ok((is_authenticated, methods)) => {
                self.span.set_on_both(span, "ssh.auth.methods", methods.join(","));
                if is_authenticated {
                    self.set_authenticated();
                    self.span.set_on_both(span, "ssh.auth.method", "none".to_owned());
                }
                self.span.record(|evidence| evidence.methods.clone_from(&methods));
                self.methods = methods;
                self.auth_span = Some((span, Instant::now()));
                if self.target.credentials.is_empty() || is_authenticated {
                    self.end_auth_span();
                }
                Ok(())
            }
            Err(error) => {
                self.span.end_phase(span, Some(&error));
                self.fail(&error);
                Err(error)
            }
        }
    }

    /// Records that the user is logged in.
    pub(super) fn set_authenticated(&mut self) {
        self.is_authenticated = true;
        self.opening = None;
        self.handshake.record(|facts| facts.is_authenticated = true);
    }

    /// Ends the span of authentication, if it is open, at the time of the server's answer.
    fn end_auth_span(&mut self) {
        if let Some((span, end)) = self.auth_span.take() {
            self.span.recorder.close_at(span, end);
        }
    }

    /// Records an error, and closes the connection.
    pub(super) fn fail(&mut self, error: &Error) {
        self.span.record_error(self.span.handle, error);
        self.client = None;
    }

    /// Returns the error of a call on a connection that an earlier error has closed.
    pub(super) fn closed_error() -> Error {
        Error::Protocol("the connection was closed after an earlier error".to_owned())
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.end_auth_span();
        if let Some(client) = self.client.take() {
            let opening = self.opening.take();
            self.runtime.spawn(async move {
                client.disconnect().await;
                drop(opening);
            });
        }
    }
}

impl RusshClient {
    /// Disconnects from the server, and waits for the end of the connection for at most a second.
    pub async fn disconnect(mut self) {
        const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
        let disconnecting = async {
            let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
            let _ = (&mut self.handle).await;
        };
        let _ = tokio::time::timeout(DISCONNECT_TIMEOUT, disconnecting).await;
    }
}

/// Returns the names of methods of authentication, such as `publickey`.
pub fn method_names(methods: &MethodSet) -> Vec<String> {
    methods.iter().map(|method| <&str>::from(method).to_owned()).collect()
}
