//! The baselines: what a check costs in a bare client, in a process of its own that is measured as the host is. A check
//! is a GET over a new connection, with a name lookup and a read of the body. If a receiver is given, each check also
//! posts an envelope with a transaction of five spans, which is built for each check, over a kept-alive connection, and
//! awaits the response. Checks run one after the other on one thread. There is no sandbox, no span recording, no limit
//! and no spool.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::client::Resumption;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsConnector;

/// The subcommand that runs a baseline; its argument is a [`Baseline`] as JSON.
pub const SUBCOMMAND: &str = "baseline";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Baseline {
    pub client: Client,
    pub url: String,
    /// The URL that envelopes are posted to, if any.
    pub envelopes: Option<String>,
    pub authority: PathBuf,
    pub pacing: Pacing,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Client {
    Hyper,
    /// A new client for each check, all with one TLS configuration.
    Reqwest,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Pacing {
    /// This many checks a second, evenly spaced.
    Even(u32),
    /// This many checks back to back, at the start of each second.
    Bursts(u32),
    /// Each check starts when the one before it has ended.
    ClosedLoop,
}

/// Runs checks until the process is killed. Returns an error at the first check that fails, since a baseline with
/// failures is no basis for a comparison.
pub fn run_baseline(baseline: &str) -> Result<()> {
    let baseline: Baseline = serde_json::from_str(baseline)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(run_checks(&baseline))
}

async fn run_checks(baseline: &Baseline) -> Result<()> {
    let uri: Uri = baseline.url.parse()?;
    let tls = tls_config(baseline)?;
    let connector = TlsConnector::from(Arc::new(tls.clone()));
    let mut envelope_sender = match &baseline.envelopes {
        Some(uri) => Some(EnvelopeSender { uri: uri.parse()?, sent: 0, connection: None }),
        None => None,
    };
    let (period, checks_per_period) = match baseline.pacing {
        Pacing::Even(rate) => (Duration::from_secs(1) / rate, 1),
        Pacing::Bursts(size) => (Duration::from_secs(1), size),
        Pacing::ClosedLoop => (Duration::ZERO, 1),
    };
    let mut due = Instant::now();
    loop {
        if !period.is_zero() {
            sleep_until(due).await;
            due += period;
        }
        for _ in 0..checks_per_period {
            match baseline.client {
                Client::Hyper => check_with_hyper(&uri, &connector).await?,
                Client::Reqwest => check_with_reqwest(&baseline.url, tls.clone()).await?,
            }
            if let Some(sender) = &mut envelope_sender {
                sender.send_envelope().await?;
            }
        }
    }
}

fn tls_config(baseline: &Baseline) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&baseline.authority)? {
        roots.add(certificate?)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

async fn check_with_reqwest(url: &str, tls: ClientConfig) -> Result<()> {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).tls_backend_preconfigured(tls).build()?;
    let response = client.get(url).send().await?;
    ensure!(response.status() == 200, "the target answered {}", response.status());
    response.bytes().await?;
    Ok(())
}

async fn check_with_hyper(uri: &Uri, tls: &TlsConnector) -> Result<()> {
    let connection = connect(uri).await?;
    if uri.scheme_str() == Some("https") {
        let name = ServerName::try_from(host(uri)?.to_owned())?;
        send_request(tls.connect(name, connection).await?, uri).await
    } else {
        send_request(connection, uri).await
    }
}

async fn send_request(connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, uri: &Uri) -> Result<()> {
    let (mut request_sender, driver) = handshake(TokioIo::new(connection)).await?;
    let driver = tokio::spawn(driver);
    let path = uri.path_and_query().context("the URL has no path")?.as_str();
    let authority = uri.authority().context("the URL has no authority")?.as_str();
    let request = Request::get(path).header(header::HOST, authority).body(Empty::<Bytes>::new())?;
    let response = request_sender.send_request(request).await?;
    ensure!(response.status() == 200, "the target answered {}", response.status());
    response.into_body().collect().await?;
    drop(request_sender);
    Ok(driver.await??)
}

async fn connect(uri: &Uri) -> Result<TcpStream> {
    let connection = TcpStream::connect((host(uri)?, uri.port_u16().context("the URL has no port")?)).await?;
    connection.set_nodelay(true)?;
    Ok(connection)
}

fn host(uri: &Uri) -> Result<&str> {
    uri.host().context("the URL has no host")
}

/// Posts envelopes over a kept-alive connection.
struct EnvelopeSender {
    uri: Uri,
    sent: u64,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl EnvelopeSender {
    async fn send_envelope(&mut self) -> Result<()> {
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            let (connection, driver) = handshake(TokioIo::new(connect(&self.uri).await?)).await?;
            tokio::spawn(driver);
            self.connection = Some(connection);
        }
        let connection = self.connection.as_mut().context("there is no connection to the receiver")?;
        connection.ready().await?;
        self.sent += 1;
        let request = Request::post(self.uri.path())
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/x-sentry-envelope")
            .body(Full::new(envelope(self.sent).into()))?;
        connection.send_request(request).await?.into_body().collect().await?;
        Ok(())
    }
}

/// Returns an envelope with a transaction like the host's for one check.
fn envelope(number: u64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (nanoseconds, now) = (now.as_nanos(), now.as_secs_f64());
    let trace = format!("{nanoseconds:032x}");
    let root = format!("{number:016x}");
    let spans = ["http.request", "net.dns", "net.conn", "http.send", "http.wait"].iter().zip(1..).map(|(op, index)| {
        json!({
            "op": op, "description": op, "span_id": format!("{:016x}", number * 8 + index), "parent_span_id": root,
            "trace_id": trace, "start_timestamp": now - 0.001, "timestamp": now, "status": "ok",
            "tags": { "http.status_code": "200" },
        })
    });
    let id = format!("{:032x}", nanoseconds << 16 | u128::from(number & 0xffff));
    let transaction = json!({
        "type": "transaction", "transaction": "GET http://localhost", "event_id": id, "platform": "rust",
        "release": "baseline", "start_timestamp": now - 0.001, "timestamp": now,
        "tags": { "probe": "probes.http", "target": "bench" }, "spans": spans.collect::<Vec<_>>(),
        "contexts": { "trace": { "trace_id": trace, "span_id": root, "op": "probes.http", "status": "ok" } },
    });
    let transaction = transaction.to_string();
    let header = json!({ "event_id": id, "dsn": "http://key@localhost/42", "sent_at": "2026-01-01T00:00:00Z" });
    let item = json!({ "type": "transaction", "length": transaction.len() });
    format!("{header}\n{item}\n{transaction}\n").into_bytes()
}
