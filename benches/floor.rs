//! The floors: what a check costs with nothing around it, in a process of its own that is measured as the host is. A
//! check is a GET over a new connection, its name looked up, its body read; with a receiver, also an envelope of a
//! transaction with five spans, made anew and posted over a kept connection, its answer awaited. One thread, one check
//! after the other; no sandbox, no spans, no limits, no spool.

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

/// The argument that makes us this; after it comes the floor as JSON.
pub const PART: &str = "floor";

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Floor {
    pub client: Client,
    pub url: String,
    /// Where envelopes are posted, if they are.
    pub envelopes: Option<String>,
    pub authority: PathBuf,
    pub pace: Pace,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Client {
    Hyper,
    /// A client for each check, of one configuration of TLS.
    Reqwest,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum Pace {
    /// So many a second, spread evenly.
    Even(u32),
    /// So many back to back, each second.
    Bursts(u32),
    /// The next when one has ended.
    Closed,
}

/// Checks until it is killed. A check that fails ends it: a floor with failures is none.
pub fn run(floor: &str) -> Result<()> {
    let floor: Floor = serde_json::from_str(floor)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(check(&floor))
}

async fn check(floor: &Floor) -> Result<()> {
    let uri: Uri = floor.url.parse()?;
    let tls = configuration(floor)?;
    let connector = TlsConnector::from(Arc::new(tls.clone()));
    let mut sender = floor.envelopes.as_ref().map(|uri| anyhow::Ok(Sender { uri: uri.parse()?, sent: 0, to: None }));
    let mut sender = sender.take().transpose()?;
    let (step, at_once) = match floor.pace {
        Pace::Even(rate) => (Duration::from_secs(1) / rate, 1),
        Pace::Bursts(size) => (Duration::from_secs(1), size),
        Pace::Closed => (Duration::ZERO, 1),
    };
    let mut due = Instant::now();
    loop {
        if !step.is_zero() {
            sleep_until(due).await;
            due += step;
        }
        for _ in 0..at_once {
            match floor.client {
                Client::Hyper => hyper(&uri, &connector).await?,
                Client::Reqwest => reqwest(&floor.url, tls.clone()).await?,
            }
            if let Some(sender) = &mut sender {
                sender.send().await?;
            }
        }
    }
}

fn configuration(floor: &Floor) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&floor.authority)? {
        roots.add(certificate?)?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

async fn reqwest(url: &str, tls: ClientConfig) -> Result<()> {
    let client = reqwest::Client::builder().pool_max_idle_per_host(0).tls_backend_preconfigured(tls).build()?;
    let answer = client.get(url).send().await?;
    ensure!(answer.status() == 200, "the target answers {}", answer.status());
    answer.bytes().await?;
    Ok(())
}

async fn hyper(uri: &Uri, tls: &TlsConnector) -> Result<()> {
    let connection = connect(uri).await?;
    if uri.scheme_str() == Some("https") {
        let name = ServerName::try_from(host(uri)?.to_owned())?;
        exchange(tls.connect(name, connection).await?, uri).await
    } else {
        exchange(connection, uri).await
    }
}

async fn exchange(connection: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, uri: &Uri) -> Result<()> {
    let (mut to, driver) = handshake(TokioIo::new(connection)).await?;
    let driver = tokio::spawn(driver);
    let path = uri.path_and_query().context("a URL has a path")?.as_str();
    let authority = uri.authority().context("a URL has an authority")?.as_str();
    let request = Request::get(path).header(header::HOST, authority).body(Empty::<Bytes>::new())?;
    let answer = to.send_request(request).await?;
    ensure!(answer.status() == 200, "the target answers {}", answer.status());
    answer.into_body().collect().await?;
    drop(to);
    Ok(driver.await??)
}

async fn connect(uri: &Uri) -> Result<TcpStream> {
    let connection = TcpStream::connect((host(uri)?, uri.port_u16().context("a URL here has a port")?)).await?;
    connection.set_nodelay(true)?;
    Ok(connection)
}

fn host(uri: &Uri) -> Result<&str> {
    uri.host().context("a URL has a host")
}

/// Posts envelopes over a connection that it keeps.
struct Sender {
    uri: Uri,
    sent: u64,
    to: Option<SendRequest<Full<Bytes>>>,
}

impl Sender {
    async fn send(&mut self) -> Result<()> {
        if self.to.as_ref().is_none_or(SendRequest::is_closed) {
            let (to, driver) = handshake(TokioIo::new(connect(&self.uri).await?)).await?;
            tokio::spawn(driver);
            self.to = Some(to);
        }
        let to = self.to.as_mut().context("it was just made")?;
        to.ready().await?;
        self.sent += 1;
        let request = Request::post(self.uri.path())
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/x-sentry-envelope")
            .body(Full::new(envelope(self.sent).into()))?;
        to.send_request(request).await?.into_body().collect().await?;
        Ok(())
    }
}

/// A transaction as it would be of a check, in its envelope.
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
        "release": "floor", "start_timestamp": now - 0.001, "timestamp": now,
        "tags": { "probe": "probes.http", "target": "bench" }, "spans": spans.collect::<Vec<_>>(),
        "contexts": { "trace": { "trace_id": trace, "span_id": root, "op": "probes.http", "status": "ok" } },
    });
    let transaction = transaction.to_string();
    let header = json!({ "event_id": id, "dsn": "http://key@localhost/42", "sent_at": "2026-01-01T00:00:00Z" });
    let item = json!({ "type": "transaction", "length": transaction.len() });
    format!("{header}\n{item}\n{transaction}\n").into_bytes()
}
