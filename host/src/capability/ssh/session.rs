//! One connection: name, TCP, banner, keys and the methods of authentication on offer, each a span as it happens.
//!
//! All of it runs in tasks that may be dropped at any point: the connection then ends by itself.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::client::{AuthResult, Config, Handle as Client, connect_stream};
use russh::{Disconnect, MethodSet, Preferred, SshId};
use tokio::net::TcpStream;
use tokio_util::sync::DropGuard;

use crate::capability::address_filter::AddressFilter;
use crate::capability::host_lookup::lookup;
use crate::capability::net_errors::{is_refusal, lookup_error};
use crate::capability::quota::ConnectionPermit;
use crate::capability::run_handles::RunHandles;
use crate::capability::ssh::client_handler::{ClientHandler, Stop};
use crate::capability::ssh::error::{self, Error, TimeBudget};
use crate::capability::ssh::instrumented_stream::{Handshake, HandshakeFacts, InstrumentedStream};
use crate::capability::ssh::session::span::Record;
use crate::capability::ssh::target::Target;
use crate::trace::Handle;

mod span;

/// Who answered.
#[derive(Debug, Clone)]
pub struct Server {
    /// `SSH-2.0-OpenSSH_9.2p1`.
    pub version: String,
    /// `ssh-ed25519`.
    pub host_key_type: String,
    /// `SHA256:…`.
    pub host_key_fingerprint: String,
    pub remote_address: SocketAddr,
}

/// A connection whose keys are exchanged. It takes its leave of the server when it is dropped, and its span ends.
pub struct Session {
    pub(super) target: Target,
    pub(super) clock: TimeBudget,
    pub(super) marks: Handshake,
    pub(super) record: Record,
    /// None once it has been given up.
    pub(super) live: Option<Live>,
    pub(super) authenticated: bool,
    pub(super) methods: Vec<String>,
    /// The span of authentication, and when the methods were known: open while somebody may still log in.
    pub(super) auth: Option<(Handle, Instant)>,
    server: Server,
    /// Where the connection goes on.
    threads: tokio::runtime::Handle,
}

/// The protocol's own task, as long as somebody is interested.
pub(super) struct Live {
    pub client: Client<ClientHandler>,
    /// Cuts the wire.
    _guard: DropGuard,
}

/// Connects, and asks which methods of authentication there are; the connection is `open` until its end.
///
/// # Errors
/// Why there is no connection, or none that is trusted.
pub async fn connect(
    target: Target,
    open: ConnectionPermit,
    judge: &AddressFilter,
    run: RunHandles,
    parent: Handle,
) -> Result<Session, Error> {
    let record = Record::open(run, parent, &target);
    let made = establish(&target, open, judge, &record).await;
    let (live, marks, server, clock) = made.inspect_err(|error| record.fail(record.span, error))?;
    let mut session = Session {
        target,
        clock,
        marks,
        record,
        live: Some(live),
        authenticated: false,
        methods: Vec::new(),
        auth: None,
        server,
        threads: tokio::runtime::Handle::current(),
    };
    session.ask_methods().await?;
    Ok(session)
}

async fn establish(
    target: &Target,
    open: ConnectionPermit,
    judge: &AddressFilter,
    record: &Record,
) -> Result<(Live, Handshake, Server, TimeBudget), Error> {
    let clock = TimeBudget::start(target.limit);
    let host = target.host.trim_matches(['[', ']']).to_owned();
    let (trust, port) = (Arc::new(target.trust.clone()), target.port);
    let known = {
        let (trust, host) = (Arc::clone(&trust), host.clone());
        let reading = tokio::task::spawn_blocking(move || trust.about(&host, port));
        clock.within(reading, || "reading the known hosts".to_owned()).await?
    };
    let known = known.map_err(|error| Error::Other(format!("cannot read the known hosts: {error}")))?;

    let began = Instant::now();
    let found = resolve(&host, port, &clock, record).await;
    let found = found.inspect_err(|_| record.contact(&host, &[], false, began))?;
    let addresses = match host.parse::<IpAddr>() {
        // It was judged before anything began.
        Ok(_) => found,
        Err(_) => judge.allowed(&host, found).map_err(|refusal| Error::Denied(refusal.to_string()))?,
    };
    record.note(|kept| kept.addresses.clone_from(&addresses));
    let (stream, answered) = dial(&addresses, &clock, record).await;
    record.contact(&host, &addresses, answered, began);
    let stream = stream?;
    let remote = stream.peer_addr().map_err(|error| error::connect(&error, &shown(&addresses)))?;
    record.set("network.peer.address", remote.ip().to_string());
    record.set("network.peer.port", i64::from(remote.port()));
    record.note(|kept| kept.remote = Some(remote));

    let config = Config {
        client_id: SshId::Standard(concat!("SSH-2.0-sentrynet_", env!("CARGO_PKG_VERSION")).into()),
        preferred: Preferred { key: trust.preferred(&known, &Preferred::DEFAULT.key).into(), ..Preferred::DEFAULT },
        // Together, what one connection holds of output that nobody has taken yet.
        window_size: 256 << 10,
        channel_buffer_size: 8,
        ..Config::default()
    };
    let marks = record.marks();
    let (wire, guard) = InstrumentedStream::new(stream, open, marks.clone());
    let peer = ClientHandler { marks: marks.clone(), trust, known: Arc::new(known) };
    let started = Instant::now();
    let made = tokio::time::timeout(clock.left(), connect_stream(Arc::new(config), wire, peer)).await;
    let seen = marks.read();
    let made = match made {
        Ok(Ok(client)) => Ok(Live { client, _guard: guard }),
        Ok(Err(Stop::HostKey(why))) => Err(Error::HostKey(why)),
        Ok(Err(Stop::Protocol(error))) => Err(error::explain(&error, &seen, &remote)),
        Err(_) => Err(clock.timed_out(&match seen.banner {
            None => error::awaiting_banner(&seen),
            Some(_) => "exchanging keys".to_owned(),
        })),
    };
    record.handshake(started, &seen, made.as_ref().err());
    let (live, server) = (made?, server(&seen, remote));
    Ok((live, marks, server, clock))
}

/// The addresses of a host; of one that is an address already, itself.
async fn resolve(host: &str, port: u16, clock: &TimeBudget, record: &Record) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let span = record.begin("ssh.dns", format!("Resolve {host}"));
    let found = clock.within(lookup(host), || format!("resolving `{host}`")).await;
    let found = found.and_then(|found| match found {
        Ok(found) => {
            let addresses: Vec<_> = found.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
            if addresses.is_empty() { Err(Error::Dns(format!("`{host}` has no address"))) } else { Ok(addresses) }
        }
        Err(error) => Err(Error::Dns(lookup_error(host, &error))),
    });
    record.end(span, found.as_ref().err());
    found
}

/// Connects to the first address that lets us; says too whether any has answered, be it with a refusal.
async fn dial(addresses: &[SocketAddr], clock: &TimeBudget, record: &Record) -> (Result<TcpStream, Error>, bool) {
    let shown = shown(addresses);
    let span = record.begin("ssh.connect", format!("Connect to {shown}"));
    let mut made = Err(Error::Connect(format!("cannot connect to {shown}")));
    let mut answered = false;
    for (index, address) in addresses.iter().enumerate() {
        // One that does not answer leaves time for those after it.
        let share = clock.left() / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
        made = match tokio::time::timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => {
                answered |= is_refusal(error.kind());
                Err(error::connect(&error, &shown))
            }
            Err(_) => Err(clock.timed_out(&format!("connecting to {shown}"))),
        };
        if made.is_ok() {
            break;
        }
    }
    // Packets are whole: there is nothing to wait for before they are sent.
    let made = made.inspect(|stream| drop(stream.set_nodelay(true)));
    record.end(span, made.as_ref().err());
    answered |= made.is_ok();
    (made, answered)
}

fn shown(addresses: &[SocketAddr]) -> String {
    const MOST: usize = 3;
    let named: Vec<_> = addresses.iter().take(MOST).map(ToString::to_string).collect();
    match addresses.len() {
        more if more > MOST => format!("{} and {} more", named.join(", "), more - MOST),
        _ => error::list(&named),
    }
}

fn server(seen: &HandshakeFacts, remote_address: SocketAddr) -> Server {
    let (kind, fingerprint) =
        seen.host_key.as_ref().map(|key| (key.kind.clone(), key.fingerprint.clone())).unwrap_or_default();
    Server {
        version: seen.banner.as_ref().map(|(banner, _)| banner.clone()).unwrap_or_default(),
        host_key_type: kind,
        host_key_fingerprint: fingerprint,
        remote_address,
    }
}

impl Session {
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The methods of authentication that the server offers; none when it lets anyone in.
    pub fn methods(&self) -> &[String] {
        &self.methods
    }

    /// Asks to be let in without any credentials, which has the server say what it wants instead.
    async fn ask_methods(&mut self) -> Result<(), Error> {
        // Who does not log in needs no name, but the question does. A name that the server does not know would be
        // logged as an intruder's, and some firewalls read that log; this one nearly every server has.
        const SOMEBODY: &str = "root";
        let user = self.target.username.clone().unwrap_or_else(|| SOMEBODY.to_owned());
        let span = self.record.begin("ssh.auth", "Ask for the methods of authentication");
        let (clock, seen) = (self.clock, self.marks.clone());
        let Some(live) = &mut self.live else { return Err(self.given_up()) };
        let asked = clock
            .within(live.client.authenticate_none(user), || "asking for the methods of authentication".to_owned())
            .await;
        let answer = asked.and_then(|answer| match answer {
            Ok(AuthResult::Success) => Ok((true, Vec::new())),
            // The protocol's task ended.
            Ok(AuthResult::Failure { remaining_methods, .. })
                if remaining_methods.is_empty() && live.client.is_closed() =>
            {
                Err(Error::Protocol(error::gone(&seen.read())))
            }
            Ok(AuthResult::Failure { remaining_methods, .. }) => Ok((false, names(&remaining_methods))),
            Err(error) => Err(error::explain(&error, &seen.read(), &self.server.remote_address)),
        });
        match answer {
            Ok((authenticated, methods)) => {
                self.record.data(span, "ssh.auth.methods", methods.join(","));
                if authenticated {
                    self.logged_in();
                    self.record.data(span, "ssh.auth.method", "none".to_owned());
                }
                self.record.note(|kept| kept.methods.clone_from(&methods));
                self.methods = methods;
                self.auth = Some((span, Instant::now()));
                if self.target.credentials.is_empty() || authenticated {
                    self.end_auth();
                }
                Ok(())
            }
            Err(error) => {
                self.record.end(span, Some(&error));
                self.give_up(&error);
                Err(error)
            }
        }
    }

    pub(super) fn logged_in(&mut self) {
        self.authenticated = true;
        self.marks.record(|seen| seen.authenticated = true);
    }

    /// Ends the span of authentication where it was left.
    pub(super) fn end_auth(&mut self) {
        if let Some((span, at)) = self.auth.take() {
            self.record.recorder.close_at(span, at);
        }
    }

    /// Notes that the whole connection failed, and why; nothing more can be done with it.
    pub(super) fn give_up(&mut self, error: &Error) {
        self.record.fail(self.record.span, error);
        self.live = None;
    }

    pub(super) fn given_up(&self) -> Error {
        Error::Protocol(match self.live {
            Some(_) => error::gone(&self.marks.read()),
            None => "the connection was given up after an error".to_owned(),
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_auth();
        if let Some(live) = self.live.take() {
            self.threads.spawn(live.leave());
        }
    }
}

impl Live {
    /// Says goodbye, as far as the server lets us, and ends the connection.
    pub async fn leave(mut self) {
        const PATIENCE: Duration = Duration::from_secs(1);
        let goodbye = async {
            let _ = self.client.disconnect(Disconnect::ByApplication, "", "").await;
            let _ = (&mut self.client).await;
        };
        let _ = tokio::time::timeout(PATIENCE, goodbye).await;
    }
}

pub(super) fn names(methods: &MethodSet) -> Vec<String> {
    methods.iter().map(|method| <&str>::from(method).to_owned()).collect()
}
