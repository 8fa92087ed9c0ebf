//! Hooks in the HTTP client that record when a request's connection is made, when TLS is negotiated, and when the
//! request is written.
//!
//! A client and its hooks serve several requests at once. A hook finds the hop that it is called for in a task-local
//! value.

use std::error::Error;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tower_service::Service;

use crate::capability::grant::Refusal;
use crate::capability::happy_eyeballs::{Attempt, Race};
use crate::capability::http::peer_filter::PeerFilter;
use crate::capability::opening_limit::OpeningPermit;
use crate::capability::quota::{ConnectionPermit, Quota};
use crate::run::LimitKind;

tokio::task_local! {
    static CURRENT_HOP: HopTimings;
}

/// The times that the hooks record of one hop, and the addresses that the hop may connect to. Clones share the times.
#[derive(Clone)]
pub struct HopTimings {
    timestamps: Arc<Mutex<Timestamps>>,
    /// `None` if the hop may connect to any address.
    peer_filter: Option<Arc<PeerFilter>>,
    /// The permit to open a connection, until there is one.
    opening: Arc<Mutex<Option<OpeningPermit>>>,
    /// The attempts of the hop, and which of them these are the timings of; `None` if all addresses are left to the
    /// client, as with a proxy.
    race: Option<(Race, usize)>,
}

/// The times that the hooks have recorded of one hop. A time is `None` if the hop has not reached that point. If there
/// were several attempts to connect, the times are those of the last attempt.
#[derive(Clone, Default)]
pub struct Timestamps {
    /// The start of the attempt to connect; `None` if a connection was reused.
    pub connect_started: Option<Instant>,
    pub dns_started: Option<Instant>,
    pub dns_ended: Option<Instant>,
    /// The names that were resolved. With a SOCKS proxy there can be two: the target's, then the proxy's.
    pub names: Vec<String>,
    /// The addresses of the last of the names.
    pub addresses: Vec<IpAddr>,
    /// The reason why the hop may connect to none of the last name's addresses.
    pub refusal: Option<Refusal>,
    /// The resource of this host that is used up, if a lookup failed for that reason.
    pub shortage: Option<LimitKind>,
    /// The start of the TLS handshake, when TCP is connected.
    pub tls_started: Option<Instant>,
    /// The time at which the connection was ready, TLS included.
    pub connected: Option<Instant>,
    /// The time at which the connection took the last piece of the request for writing.
    pub sent: Option<Instant>,
    /// The server's certificates in the order in which it sent them, leaf first.
    pub cert_chain: Vec<CertificateDer<'static>>,
    /// The chain by which the leaf was verified, as indices into `cert_chain`, leaf first. Without verification, the
    /// chain that the names of the certificates describe. Empty if the verification failed.
    pub cert_path: Vec<usize>,
    /// The trusted certificate of the authority that issued the last certificate of the chain, going by its name. It is
    /// known only if the verification failed.
    pub issuing_authority: Option<CertificateDer<'static>>,
    /// The request of the server for a client certificate, and the answer to it.
    pub client_auth: ClientAuth,
    /// `1.2` or `1.3`.
    pub tls_version: Option<&'static str>,
    /// The attempts to connect to each address.
    pub attempts: Vec<Attempt>,
}

/// A server's request for a client certificate, and the answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// The server has not asked for a certificate.
    #[default]
    NotRequested,
    /// The server has asked for a certificate, and there is none to show.
    NoneSent,
    /// The server has asked for a certificate, and got one.
    Sent,
}

/// The error of a client that resolves a name or connects in a task that belongs to no hop. Nothing may be connected to
/// there, because the addresses that are allowed are known only within a hop.
#[derive(Debug, thiserror::Error)]
#[error("the host cannot tell for which request it is to connect; this is a bug, please report it")]
pub struct OutsideOfHop;

impl Timestamps {
    /// Returns true if the request went over a connection that was used before, or was not sent yet.
    pub fn is_connection_reused(&self) -> bool {
        self.connect_started.is_none()
    }
}

impl HopTimings {
    /// Returns the timings of an attempt of a hop that begins. Without a filter, the hop may connect to any address.
    pub fn new(
        peer_filter: Option<Arc<PeerFilter>>,
        opening: Arc<Mutex<Option<OpeningPermit>>>,
        race: Option<(Race, usize)>,
    ) -> Self {
        Self { timestamps: Arc::default(), peer_filter, opening, race }
    }

    /// Returns the filter of the hop's addresses.
    pub fn peer_filter(&self) -> Option<Arc<PeerFilter>> {
        self.peer_filter.clone()
    }

    /// Returns the address that the current task's attempt is to connect to, if it is not the hop's first attempt.
    pub fn current_address() -> Option<SocketAddr> {
        let race = CURRENT_HOP.try_with(|timings| timings.race.clone()).ok().flatten();
        race.filter(|(_, index)| *index > 0).and_then(|(race, index)| race.address(index))
    }

    /// Returns those of a name's addresses that the current task's attempt is to connect to. The others are left to
    /// further attempts.
    pub fn take_address(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        match CURRENT_HOP.try_with(|timings| timings.race.clone()).ok().flatten() {
            Some((race, _)) => race.set_addresses(addresses).into_iter().collect(),
            None => addresses,
        }
    }

    /// Records that TCP is connected, and TLS begins.
    pub fn record_tls_start() {
        let _ = CURRENT_HOP.try_with(|timings| {
            timings.claim();
            timings.update(|timestamps| timestamps.tls_started = Some(Instant::now()));
        });
    }

    /// Records that TLS with a proxy is established, within which the proxy is asked for a tunnel. What follows belongs
    /// to the phase in which the client connects, until TLS with the target begins.
    pub fn record_proxy_tls() {
        Self::record(|timestamps| {
            let Timestamps { connect_started, dns_started, dns_ended, .. } = *timestamps;
            let (names, addresses) = (std::mem::take(&mut timestamps.names), std::mem::take(&mut timestamps.addresses));
            let kept =
                Timestamps { connect_started, dns_started, dns_ended, names, addresses, ..Timestamps::default() };
            *timestamps = kept;
        });
    }

    /// Claims the connection of the hop. Returns false if another attempt was faster.
    fn claim(&self) -> bool {
        self.race.as_ref().is_none_or(|(race, index)| race.claim(*index))
    }

    /// Returns the filter of the current task's hop, or `None` if the hop may connect to any address.
    ///
    /// # Errors
    /// [`OutsideOfHop`] outside of [`HopTimings::scope`]: nothing is known about the addresses that are allowed.
    pub fn current_peer_filter() -> Result<Option<Arc<PeerFilter>>, OutsideOfHop> {
        CURRENT_HOP.try_with(|timings| timings.peer_filter.clone()).map_err(|_| OutsideOfHop)
    }

    /// Changes the timestamps of the current task's hop. Does nothing outside of [`HopTimings::scope`].
    pub fn record(change: impl FnOnce(&mut Timestamps)) {
        let _ = CURRENT_HOP.try_with(|timings| timings.update(change));
    }

    /// Lets another connection be opened, since that of the current task's hop is established.
    fn release_opening() {
        let _ = CURRENT_HOP.try_with(|timings| timings.opening.lock().take());
    }

    /// Runs `work` with this hop as the current task's hop.
    pub async fn scope<F: Future>(&self, work: F) -> F::Output {
        CURRENT_HOP.scope(self.clone(), work).await
    }

    /// Records that the connection took the last piece of the request for writing.
    pub fn record_sent(&self) {
        self.update(|timestamps| timestamps.sent = Some(Instant::now()));
    }

    /// Returns the times that have been recorded so far.
    pub fn timestamps(&self) -> Timestamps {
        self.timestamps.lock().clone()
    }

    fn update(&self, change: impl FnOnce(&mut Timestamps)) {
        change(&mut self.timestamps.lock());
    }
}

/// Records when a client's connections are made, and counts them as open for as long as the client exists.
#[derive(Clone)]
pub struct TimedConnect {
    quota: Quota,
    permits: Arc<Mutex<Vec<ConnectionPermit>>>,
}

impl TimedConnect {
    /// Counts connections against the limit of `quota`.
    pub fn new(quota: Quota) -> Self {
        Self { quota, permits: Arc::default() }
    }

    /// Returns a connector whose connections are recorded and counted.
    pub fn wrap<S>(self, connector: S) -> TimedConnector<S> {
        TimedConnector { connector, connections: self }
    }
}

/// A client's connector in [`TimedConnect`].
#[derive(Clone)]
pub struct TimedConnector<S> {
    connector: S,
    connections: TimedConnect,
}

type BoxError = Box<dyn Error + Send + Sync>;
type Connecting<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

impl<S, Target> Service<Target> for TimedConnector<S>
where
    S: Service<Target, Error = BoxError>,
    S::Future: Send + 'static,
    S::Response: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Connecting<S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, target: Target) -> Self::Future {
        let Ok(timings) = CURRENT_HOP.try_with(Clone::clone) else {
            return Box::pin(std::future::ready(Err(OutsideOfHop.into())));
        };
        timings.update(|timestamps| {
            *timestamps = Timestamps { connect_started: Some(Instant::now()), ..Timestamps::default() };
        });
        let (connecting, connections) = (self.connector.call(target), self.connections.clone());
        let claimant = timings.clone();
        // Another task than the one that requested the connection may finish it, so this future sets the task-local
        // value itself.
        Box::pin(CURRENT_HOP.scope(timings, async move {
            let permit = connections.quota.acquire_connection()?;
            let connection = connecting.await?;
            if !claimant.claim() {
                // The attempt is about to be dropped.
                std::future::pending::<()>().await;
            }
            connections.permits.lock().push(permit);
            HopTimings::release_opening();
            HopTimings::record(|timestamps| timestamps.connected = Some(Instant::now()));
            Ok(connection)
        }))
    }
}

/// The body of a request, which records when the connection takes it for writing. The connection does so in its own
/// task, which has no task-local value, so the body itself contains the timings of its hop.
pub struct TimedBody {
    bytes: Option<Bytes>,
    timings: HopTimings,
}

impl TimedBody {
    /// Returns a body of these bytes.
    pub fn new(bytes: Bytes, timings: HopTimings) -> Self {
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), timings }
    }
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.timings.record_sent();
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    /// Returns true if no data is left, and records the time then: an empty body is never polled, but the client calls
    /// this function while it writes the head.
    fn is_end_stream(&self) -> bool {
        if self.bytes.is_none() {
            self.timings.record_sent();
        }
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64)
    }
}
