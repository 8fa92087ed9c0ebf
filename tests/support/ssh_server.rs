//! An SSH server in this process with configurable authentication, for cases that OpenSSH and dropbear do not offer, or
//! only with user accounts on the machine.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use russh::keys::{Algorithm, HashAlg, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Response, Session, VerifiedPublicKey, run_stream};
use russh::{Channel, ChannelId, Disconnect, MethodKind, MethodSet};

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
    /// The password by keyboard-interactive authentication alone, although the server also offers the method
    /// `password`.
    PasswordByPromptAlone,
    /// The password by keyboard-interactive authentication, and then a code.
    PasswordAndCode,
    /// Nothing that a client can fulfil: the server offers no method.
    Unsatisfiable,
}

/// Starts a server on 127.0.0.1 that stops with the process. Returns its port and the fingerprint of its host key.
pub fn start(required: RequiredAuth) -> (u16, String) {
    start_at(Ipv4Addr::LOCALHOST.into(), required)
}

/// Starts a server on this address that stops with the process. Returns its port and the fingerprint of its host key.
pub fn start_at(address: IpAddr, required: RequiredAuth) -> (u16, String) {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).expect("there is randomness");
    let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
    let methods: &[MethodKind] = match required {
        RequiredAuth::Nothing => &[MethodKind::None],
        RequiredAuth::Password | RequiredAuth::PasswordAndKey => &[MethodKind::Password],
        RequiredAuth::PasswordByPromptAlone => &[MethodKind::Password, MethodKind::KeyboardInteractive],
        RequiredAuth::Unsatisfiable => &[],
        RequiredAuth::KeyboardInteractive | RequiredAuth::PasswordAndCode => &[MethodKind::KeyboardInteractive],
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
            let listener = tokio::net::TcpListener::bind((address, 0)).await.expect("loopback has a free port");
            let _ = send.send(listener.local_addr().expect("a listener has an address").port());
            let config = Arc::new(config);
            while let Ok((stream, _)) = listener.accept().await {
                let config = Arc::clone(&config);
                tokio::spawn(async move {
                    if let Ok(session) =
                        run_stream(config, stream, SshHandler { required, prompts: 0, has_password: false }).await
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
    /// The number of prompts that were sent.
    prompts: usize,
    has_password: bool,
}

impl SshHandler {
    fn check_password(&mut self, shown: &str) -> Auth {
        self.has_password = shown == PASSWORD;
        match (self.has_password, self.required) {
            (true, RequiredAuth::PasswordAndKey) => Auth::Reject {
                proceed_with_methods: Some(MethodSet::from(&[MethodKind::PublicKey][..])),
                partial_success: true,
            },
            (true, _) => Auth::Accept,
            (false, _) => Auth::reject(),
        }
    }

    /// Returns a request for answers to prompts, each with its echo.
    fn prompt(&mut self, prompts: &[(&'static str, bool)]) -> Auth {
        self.prompts += 1;
        let prompts: Vec<_> = prompts.iter().map(|(prompt, echo)| (Cow::from(*prompt), *echo)).collect();
        Auth::Partial { name: "".into(), instructions: "".into(), prompts: prompts.into() }
    }
}

impl Handler for SshHandler {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        Ok(if self.required == RequiredAuth::Nothing { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let is_second_factor = self.required == RequiredAuth::PasswordAndKey && self.has_password;
        Ok(if is_second_factor { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(match self.required {
            RequiredAuth::PasswordByPromptAlone => Auth::reject(),
            _ => self.check_password(password),
        })
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let answers: Vec<_> = response.into_iter().flatten().collect();
        if self.prompts == 0 {
            return Ok(self.prompt(&[("Name: ", true), ("Password: ", false)]));
        }
        let password = answers.get(1).map(|answer| String::from_utf8_lossy(answer).into_owned());
        match self.check_password(&password.unwrap_or_default()) {
            Auth::Accept if self.required == RequiredAuth::PasswordAndCode => {
                Ok(self.prompt(&[("Verification code: ", false)]))
            }
            checked => Ok(checked),
        }
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

    /// Runs no command, but writes the command line to standard output. The command `refuse` is rejected; `no-status`
    /// ends without an exit status; `disconnect` ends with the status 3, and with the connection.
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
        match command {
            b"no-status" => {}
            b"disconnect" => {
                session.exit_status_request(channel, 3)?;
                return session.disconnect(Disconnect::ByApplication, "", "");
            }
            _ => session.exit_status_request(channel, 0)?,
        }
        session.eof(channel)?;
        session.close(channel)
    }
}
