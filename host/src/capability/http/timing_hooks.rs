//! What happens on the wire, noted as it happens: hooks that stock reqwest lets us hang in.
//!
//! The hooks are shared by all runs. Which exchange they work for, they know from the task that they run in.

use std::error::Error;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use rustls::pki_types::CertificateDer;
use tower_layer::Layer;
use tower_service::Service;

use crate::capability::grant::Refusal;
use crate::capability::http::peer_filter::PeerFilter;
use crate::capability::quota::{ConnectionPermit, Quota};

tokio::task_local! {
    static CURRENT_HOP: HopTimings;
}

/// When what happened in one hop, and whom it may connect to.
#[derive(Clone, Default)]
pub struct HopTimings {
    times: Arc<Mutex<Timestamps>>,
    /// None is anybody.
    peer_filter: Option<Arc<PeerFilter>>,
}

/// A mark that is none has not been reached. Of several attempts to connect, the last counts.
#[derive(Clone, Default)]
pub struct Timestamps {
    /// The attempt to connect began.
    pub started: Option<Instant>,
    pub dns_started: Option<Instant>,
    pub dns_ended: Option<Instant>,
    /// The names that were resolved: by SOCKS two can be, the target's and then the proxy's.
    pub names: Vec<String>,
    /// Those of the last of them.
    pub addresses: Vec<IpAddr>,
    /// Why none of its addresses may be connected to.
    pub refusal: Option<Refusal>,
    /// TCP stands, and the TLS handshake begins.
    pub tls_started: Option<Instant>,
    pub connected: Option<Instant>,
    /// The last of the request was handed over to be written.
    pub sent: Option<Instant>,
    /// The server's certificates as it sent them, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    pub tls_version: Option<&'static str>,
}

impl HopTimings {
    pub fn within(peer_filter: Option<Arc<PeerFilter>>) -> Self {
        Self { times: Arc::default(), peer_filter }
    }

    /// Those of a second try.
    pub fn anew(&self) -> Self {
        Self::within(self.peer_filter.clone())
    }

    /// What the hop that the current task is about may connect to.
    pub fn peer_filter() -> Option<Arc<PeerFilter>> {
        CURRENT_HOP.try_with(|marks| marks.peer_filter.clone()).ok().flatten()
    }

    /// Notes for the exchange that the current task is about; nothing where it is about none.
    pub fn record(write: impl FnOnce(&mut Timestamps)) {
        let _ = CURRENT_HOP.try_with(|marks| marks.write(write));
    }

    /// Runs `work` as part of this exchange.
    pub async fn scope<F: Future>(&self, work: F) -> F::Output {
        CURRENT_HOP.scope(self.clone(), work).await
    }

    /// The last of the request was taken.
    pub fn sent(&self) {
        self.write(|times| times.sent = Some(Instant::now()));
    }

    pub fn read(&self) -> Timestamps {
        self.times.lock().clone()
    }

    fn write(&self, write: impl FnOnce(&mut Timestamps)) {
        write(&mut self.times.lock());
    }
}

/// Times the making of a client's connections, and counts them: as open for as long as the client keeps this.
#[derive(Clone)]
pub struct TimedConnect {
    quota: Quota,
    open: Arc<Mutex<Vec<ConnectionPermit>>>,
}

impl TimedConnect {
    pub fn new(quota: Quota) -> Self {
        Self { quota, open: Arc::default() }
    }
}

impl<S> Layer<S> for TimedConnect {
    type Service = TimedConnector<S>;

    fn layer(&self, connector: S) -> Self::Service {
        TimedConnector { connector, connections: self.clone() }
    }
}

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
        let marks = CURRENT_HOP.try_with(Clone::clone).unwrap_or_default();
        marks.write(|times| *times = Timestamps { started: Some(Instant::now()), ..Timestamps::default() });
        let (connecting, connections) = (self.connector.call(target), self.connections.clone());
        // A connection may be finished by another task than the one that asked for it: take the marks along.
        Box::pin(CURRENT_HOP.scope(marks, async move {
            let open = connections.quota.acquire_connection()?;
            let connection = connecting.await?;
            connections.open.lock().push(open);
            HopTimings::record(|times| times.connected = Some(Instant::now()));
            Ok(connection)
        }))
    }
}

/// A request's body, which notes when the last of it is taken. It holds its marks, since the connection's own task
/// takes it.
pub struct TimedBody {
    bytes: Option<Bytes>,
    marks: HopTimings,
}

impl TimedBody {
    pub fn new(bytes: Bytes, marks: HopTimings) -> Self {
        Self { bytes: Some(bytes).filter(|bytes| !bytes.is_empty()), marks }
    }
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.marks.sent();
        Poll::Ready(self.bytes.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    /// An empty body is never polled: it is asked whether it has ended as the head is written.
    fn is_end_stream(&self) -> bool {
        if self.bytes.is_none() {
            self.marks.sent();
        }
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.as_ref().map_or(0, Bytes::len) as u64)
    }
}
