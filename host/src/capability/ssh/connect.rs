//! Opening a connection: resolving the name, connecting over TCP, exchanging banners and keys, and requesting the
//! methods of authentication. Each phase has a span.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use russh::SshId;
use russh::client::{Config, GexParams, connect_stream};
use tokio::net::TcpStream;

use crate::capability::address_filter::AddressFilter;
use crate::capability::file_calls::FileCalls;
use crate::capability::happy_eyeballs::{Race, add_spans};
use crate::capability::host_lookup::HostLookup;
use crate::capability::net_errors::{is_refusal, lookup_error};
use crate::capability::opening_limit::OpeningPermit;
use crate::capability::quota::{ConnectionPermit, Quota};
use crate::capability::run_handles::RunHandles;
use crate::capability::shortage::{local_port_shortage, shortage};
use crate::capability::ssh::algorithms::AllowedAlgorithms;
use crate::capability::ssh::client_handler::{ClientHandler, HandlerError};
use crate::capability::ssh::connection::{Connection, RusshClient, Server};
use crate::capability::ssh::error::{self, Error};
use crate::capability::ssh::handshake::{Handshake, HandshakeFacts};
use crate::capability::ssh::instrumented_stream::InstrumentedStream;
use crate::capability::ssh::span::SshSpan;
use crate::capability::ssh::target::Target;
use crate::capability::ssh::text::join_list;
use crate::capability::ssh::time_budget::TimeBudget;
use crate::capability::ssh::trust::{KnownHost, Trust};
use crate::trace::Handle;

/// Opens a connection and requests the methods of authentication. The connection holds `permit` until it ends, and
/// `opening` until the user is logged in. Its span is a child of `parent`.
///
/// Dropping the returned future closes the connection.
///
/// # Errors
/// Each variant of [`Error`] but [`Error::Auth`].
pub async fn connect(
    target: Target,
    permit: ConnectionPermit,
    opening: OpeningPermit,
    filter: &AddressFilter,
    lookup: &HostLookup,
    run: RunHandles,
    parent: Handle,
) -> Result<Connection, Error> {
    let span = SshSpan::open(run, parent, &target);
    let budget = TimeBudget::start(target.timeout);
    let established = establish(&target, budget, permit, filter, lookup, &span).await;
    let (client, server) = established.inspect_err(|error| span.record_error(span.handle, error))?;
    let mut connection = Connection::new(target, budget, opening, span, client, server);
    connection.request_auth_methods().await?;
    Ok(connection)
}

async fn establish(
    target: &Target,
    budget: TimeBudget,
    permit: ConnectionPermit,
    filter: &AddressFilter,
    lookup: &HostLookup,
    span: &SshSpan,
) -> Result<(RusshClient, Server), Error> {
    let host = target.host.trim_matches(['[', ']']).to_owned();
    let (trust, port) = (Arc::new(target.trust.clone()), target.port);
    let known_host = read_known_host(&trust, &host, port, budget, &target.files, permit.quota()).await?;

    let started = Instant::now();
    let resolved = resolve(&host, port, budget, lookup, permit.quota(), span).await;
    let resolved = resolved.inspect_err(|_| {
        // Once a limit has ended the attempt, a missing answer does not mean that the host is down.
        if permit.quota().check().is_ok() {
            span.record_contact(&host, &[], false, started);
        }
    })?;
    let addresses = if host.parse::<IpAddr>().is_ok() {
        // The address was checked with the grants before the connection began.
        resolved
    } else {
        filter.allowed(&host, resolved).map_err(|refusal| Error::Denied(refusal.message_for(filter.probe.built_in)))?
    };
    span.record(|evidence| evidence.addresses.clone_from(&addresses));
    let (stream, has_answered) = connect_tcp(&addresses, budget, permit.quota(), span).await;
    if has_answered || permit.quota().check().is_ok() {
        span.record_contact(&host, &addresses, has_answered, started);
    }
    let stream = stream?;
    let remote = stream.peer_addr().map_err(|error| error::from_connect(&error, &list_addresses(&addresses)))?;
    span.set("network.peer.address", remote.ip().to_string());
    span.set("network.peer.port", i64::from(remote.port()));
    span.record(|evidence| evidence.remote = Some(remote));

    let handshake = span.handshake();
    let (stream, stream_guard) = InstrumentedStream::new(stream, permit, handshake.clone());
    let files = target.files.clone();
    let handler = ClientHandler { handshake: handshake.clone(), trust, known_host: Arc::new(known_host), files };
    let started = Instant::now();
    let (handle, facts) = exchange_keys(stream, handler, &target.algorithms, budget, &handshake, remote).await;
    span.record_handshake(started, &facts, handle.as_ref().err());
    Ok((RusshClient { handle: handle?, stream_guard }, server_identity(&facts, remote)))
}

async fn read_known_host(
    trust: &Arc<Trust>,
    host: &str,
    port: u16,
    budget: TimeBudget,
    files: &FileCalls,
    quota: &Quota,
) -> Result<KnownHost, Error> {
    let (trust, host) = (Arc::clone(trust), host.to_owned());
    let reading = files.run(move |may_block| trust.known_host(&host, port, may_block));
    let known_host = budget.wait_for(reading, || "reading the known hosts".to_owned()).await?;
    known_host.map_err(|error| {
        _ = quota.check_host();
        Error::Other(format!("cannot read the known hosts: {error}"))
    })
}

/// Returns the addresses of a host, or the host itself if it is an address.
async fn resolve(
    host: &str,
    port: u16,
    budget: TimeBudget,
    lookup: &HostLookup,
    quota: &Quota,
    span: &SshSpan,
) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(ip, port)]);
    }
    let phase = span.begin_phase("ssh.dns", format!("Resolve {host}"));
    let resolved = budget.wait_for(lookup.resolve(host), || format!("resolving `{host}`")).await;
    let resolved = resolved.and_then(|resolved| match resolved {
        Ok(ips) => {
            let addresses: Vec<_> = ips.into_iter().map(|ip| SocketAddr::new(ip, port)).collect();
            if addresses.is_empty() { Err(Error::Dns(format!("`{host}` has no address"))) } else { Ok(addresses) }
        }
        Err(error) => {
            // The error of the C library's resolver does not tell that a socket could not be opened.
            _ = quota.check_error(&error).and_then(|()| quota.check_host());
            Err(Error::Dns(lookup_error(host, &error)))
        }
    });
    span.end_phase(phase, resolved.as_ref().err());
    resolved
}

/// Connects to the address that accepts a connection first, by RFC 8305. The second value is true if any address has
/// answered, even if only with a refusal.
///
/// Ends the attempt if a resource of this host is used up.
async fn connect_tcp(
    addresses: &[SocketAddr],
    budget: TimeBudget,
    quota: &Quota,
    span: &SshSpan,
) -> (Result<TcpStream, Error>, bool) {
    let listed = list_addresses(addresses);
    let phase = span.begin_phase("ssh.connect", format!("Connect to {listed}"));
    let race = Race::default();
    race.set_addresses(addresses.to_vec());
    let has_answered = AtomicBool::new(false);
    // `permit` of the connection counts for one attempt at a time.
    let attempts = Arc::new(());
    let connecting = race.run(|index| {
        let (race, address, has_answered) = (race.clone(), race.address(index)?, &has_answered);
        let permit = match Arc::strong_count(&attempts) {
            1 => None,
            _ if !quota.may_connect() => return None,
            _ => Some(quota.acquire_connection().ok()?),
        };
        let counted = (Arc::clone(&attempts), permit);
        Some(Box::pin(async move {
            let _counted = counted;
            let connected = TcpStream::connect(address).await;
            if let Err(error) = &connected {
                has_answered.fetch_or(is_refusal(error.kind()), Relaxed);
                if let Some(resource) = shortage(error).or_else(|| local_port_shortage(error, &[address.ip()], None)) {
                    quota.set_exceeded(resource);
                }
            } else {
                race.claim(index);
            }
            connected
        }))
    });
    let connected = match tokio::time::timeout(budget.remaining(), connecting).await {
        Ok(Some(connected)) => connected.map_err(|error| error::from_connect(&error, &listed)),
        Ok(None) => Err(Error::Connect(format!("cannot connect to {listed}"))),
        Err(_) => Err(budget.timed_out(&format!("connecting to {listed}"))),
    };
    add_spans(
        &span.recorder,
        phase,
        "ssh.connect.attempt",
        &race.attempts(),
        addresses.first().map_or(0, SocketAddr::port),
        Instant::now(),
    );
    // russh writes whole packets, which Nagle's algorithm would only delay.
    let connected = connected.inspect(|stream| drop(stream.set_nodelay(true)));
    span.end_phase(phase, connected.as_ref().err());
    let has_answered = has_answered.into_inner() || connected.is_ok();
    (connected, has_answered)
}

/// Exchanges banners and keys, and verifies the host key. Also returns the facts about the server that are known by
/// then.
async fn exchange_keys(
    stream: InstrumentedStream,
    handler: ClientHandler,
    algorithms: &AllowedAlgorithms,
    budget: TimeBudget,
    handshake: &Handshake,
    remote: SocketAddr,
) -> (Result<russh::client::Handle<ClientHandler>, Error>, HandshakeFacts) {
    let host_keys = handler.trust.preferred_algorithms(&handler.known_host, &algorithms.host_keys());
    let certificates = handler.trust.certificate_algorithms(&handler.known_host, &host_keys);
    let config = Config {
        client_id: SshId::Standard(concat!("SSH-2.0-sentrynet_", env!("CARGO_PKG_VERSION")).into()),
        preferred: algorithms.preferred(host_keys, certificates),
        gex: group_sizes(),
        // The next two fields, in bytes and in messages, bound the output that one connection buffers.
        window_size: 256 << 10,
        channel_buffer_size: 8,
        ..Config::default()
    };
    let quota = handler.files.0.quota().clone();
    let connecting = connect_stream(Arc::new(config), stream, handler);
    let connected = tokio::time::timeout(budget.remaining(), connecting).await;
    if connected.is_err() {
        // A file of known hosts may be locked.
        _ = quota.check_file_calls();
    }
    let facts = handshake.read();
    let handle = match connected {
        Ok(Ok(handle)) => Ok(handle),
        Ok(Err(HandlerError::HostKey(message))) => Err(Error::HostKey(message)),
        Ok(Err(HandlerError::Protocol(error))) => Err(error::from_russh(&error, &facts, &remote)),
        Err(_) if facts.banner.is_none() => Err(budget.timed_out(&error::waiting_for_banner(&facts))),
        Err(_) => Err(budget.timed_out("exchanging keys")),
    };
    (handle, facts)
}

/// Returns the sizes of groups for Diffie-Hellman, in bits: those that OpenSSH accepts. It prefers the largest, which
/// takes seconds of CPU time here; 3072 bits are as strong as a cipher with 128 bits.
fn group_sizes() -> GexParams {
    const MIN_BITS: usize = 2048;
    const PREFERRED_BITS: usize = 3072;
    const MAX_BITS: usize = 8192;
    GexParams::new(MIN_BITS, PREFERRED_BITS, MAX_BITS).unwrap_or_default()
}

/// Returns a list of addresses for a message: the first three, and the number of the others.
fn list_addresses(addresses: &[SocketAddr]) -> String {
    const MAX_LISTED: usize = 3;
    let listed: Vec<_> = addresses.iter().take(MAX_LISTED).map(ToString::to_string).collect();
    match addresses.len().checked_sub(MAX_LISTED) {
        Some(others @ 1..) => format!("{} and {others} more", listed.join(", ")),
        _ => join_list(&listed),
    }
}

fn server_identity(facts: &HandshakeFacts, remote_address: SocketAddr) -> Server {
    let (host_key_type, host_key_fingerprint) =
        facts.host_key.as_ref().map(|key| (key.kind.clone(), key.fingerprint.clone())).unwrap_or_default();
    let version = facts.banner.as_ref().map(|(banner, _)| banner.clone()).unwrap_or_default();
    Server { version, host_key_type, host_key_fingerprint, remote_address }
}
