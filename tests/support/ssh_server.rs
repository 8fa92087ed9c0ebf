//! An SSH server in this process with configurable authentication, for cases that OpenSSH and dropbear do not offer, or
//! only with user accounts on the machine.

use std::borrow::Cow;
use std::sync::Arc;

use russh::keys::{Algorithm, HashAlg, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Response, Session, run_stream};
use russh::{Channel, ChannelId, MethodKind, MethodSet};

use crate::support::sshd::PASSWORD;

/// The authentication that the server requires.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum RequiredAuth {
    Nothing,
    Password,
    /// The password by keyboard-interactive authentication, after a prompt for a name with echo.
    KeyboardInteractive,
    /// The password, and then a public key.
    PasswordAndKey,
    /// Nothing that a client can fulfil: the server offers no method.
    Unsatisfiable,
}

/// Starts a server that stops with the process. Returns its port and the fingerprint of its host key.
pub fn start(required: RequiredAuth) -> (u16, String) {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).expect("there is randomness");
    let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
    let methods: &[MethodKind] = match required {
        RequiredAuth::Nothing => &[MethodKind::None],
        RequiredAuth::Password | RequiredAuth::PasswordAndKey => &[MethodKind::Password],
        RequiredAuth::Unsatisfiable => &[],
        RequiredAuth::KeyboardInteractive => &[MethodKind::KeyboardInteractive],
    };
    let config = Config {
        methods: MethodSet::from(methods),
        keys: vec![key],
        auth_rejection_time: std::time::Duration::ZERO,
        ..Config::default()
    };
    let (send, port) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
            let _ = send.send(listener.local_addr().expect("a listener has an address").port());
            let config = Arc::new(config);
            while let Ok((stream, _)) = listener.accept().await {
                let config = Arc::clone(&config);
                tokio::spawn(async move {
                    if let Ok(session) = run_stream(config, stream, SshHandler { required, has_prompted: false }).await
                    {
                        let _ = session.await;
                    }
                });
            }
        });
    });
    (port.recv().expect("the server starts"), fingerprint)
}

struct SshHandler {
    required: RequiredAuth,
    has_prompted: bool,
}

impl SshHandler {
    fn check_password(&self, shown: &str) -> Auth {
        match (shown == PASSWORD, self.required) {
            (true, RequiredAuth::PasswordAndKey) => Auth::Reject {
                proceed_with_methods: Some(MethodSet::from(&[MethodKind::PublicKey][..])),
                partial_success: true,
            },
            (true, _) => Auth::Accept,
            (false, _) => Auth::reject(),
        }
    }
}

impl Handler for SshHandler {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        Ok(if self.required == RequiredAuth::Nothing { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(self.check_password(password))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(response) = response.filter(|_| std::mem::replace(&mut self.has_prompted, true)) else {
            self.has_prompted = true;
            let prompts = [(Cow::from("Name: "), true), (Cow::from("Password: "), false)];
            return Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts: prompts.to_vec().into() });
        };
        let answers: Vec<_> = response.collect();
        let password = answers.get(1).map(|answer| String::from_utf8_lossy(answer).into_owned());
        Ok(self.check_password(&password.unwrap_or_default()))
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        reply.accept().await;
        Ok(())
    }

    /// Runs no command, but writes the command line to standard output. The command `refuse` is rejected.
    async fn exec_request(
        &mut self,
        channel: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if command == b"refuse" {
            return session.channel_failure(channel);
        }
        session.channel_success(channel)?;
        session.data(channel, command.to_vec())?;
        session.exit_status_request(channel, 0)?;
        session.eof(channel)?;
        session.close(channel)
    }
}
