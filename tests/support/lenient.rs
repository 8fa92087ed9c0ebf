//! An SSH server in this process, which lets people in as it is told to: for what the real ones do only with users of
//! the machine's, or not at all.

use std::borrow::Cow;
use std::sync::Arc;

use russh::keys::{Algorithm, HashAlg, PrivateKey};
use russh::server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Response, Session, run_stream};
use russh::{Channel, ChannelId, MethodKind, MethodSet};

use crate::support::sshd::PASSWORD;

/// What the server wants to see.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wants {
    Nothing,
    Password,
    /// The password, asked for in prompts, after a name that is shown.
    Prompts,
    /// The password, and a key after it.
    PasswordAndKey,
    /// What nobody can show: it offers no method.
    TheImpossible,
}

/// Starts the server: its port, and its host key's fingerprint. Ends with the process.
pub fn start(wants: Wants) -> (u16, String) {
    let key = PrivateKey::random(&mut russh::keys::key::safe_rng(), Algorithm::Ed25519).expect("there is randomness");
    let fingerprint = key.public_key().fingerprint(HashAlg::Sha256).to_string();
    let methods: &[MethodKind] = match wants {
        Wants::Nothing => &[MethodKind::None],
        Wants::Password | Wants::PasswordAndKey => &[MethodKind::Password],
        Wants::TheImpossible => &[],
        Wants::Prompts => &[MethodKind::KeyboardInteractive],
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
                    if let Ok(session) = run_stream(config, stream, Lenient { wants, asked: false }).await {
                        let _ = session.await;
                    }
                });
            }
        });
    });
    (port.recv().expect("the server starts"), fingerprint)
}

struct Lenient {
    wants: Wants,
    asked: bool,
}

impl Lenient {
    fn password(&self, shown: &str) -> Auth {
        match (shown == PASSWORD, self.wants) {
            (true, Wants::PasswordAndKey) => Auth::Reject {
                proceed_with_methods: Some(MethodSet::from(&[MethodKind::PublicKey][..])),
                partial_success: true,
            },
            (true, _) => Auth::Accept,
            (false, _) => Auth::reject(),
        }
    }
}

impl Handler for Lenient {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, Self::Error> {
        Ok(if self.wants == Wants::Nothing { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_password(&mut self, _: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(self.password(password))
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        _: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(response) = response.filter(|_| std::mem::replace(&mut self.asked, true)) else {
            self.asked = true;
            let prompts = [(Cow::from("Name: "), true), (Cow::from("Password: "), false)];
            return Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts: prompts.to_vec().into() });
        };
        let answers: Vec<_> = response.collect();
        let password = answers.get(1).map(|answer| String::from_utf8_lossy(answer).into_owned());
        Ok(self.password(&password.unwrap_or_default()))
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

    /// Runs nothing, but says what it was asked to; `refuse` it does.
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
