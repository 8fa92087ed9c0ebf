//! The shop of the demonstration: an HTTPS server on loopback with slow pages, and a second one whose certificate has
//! expired.

use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

/// The TCP ports of the shop.
pub struct Shop {
    /// The port of the server with a valid certificate.
    pub https: u16,
    /// The port of the server with an expired certificate.
    pub expired: u16,
}

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Starts the servers, and writes the certificate of their certificate authority to `ca.pem` in `folder`.
pub async fn start(folder: &Path) -> Result<Shop, Box<dyn Error>> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = Authority::self_signed(params, KeyPair::generate()?)?;
    std::fs::write(folder.join("ca.pem"), authority.pem())?;
    Ok(Shop { https: listen(&authority, 2100).await?, expired: listen(&authority, 2026).await? })
}

/// Starts a server on an unused port, with a certificate that expires on 1 January of `expiry_year`. Returns the port.
async fn listen(authority: &Authority, expiry_year: i32) -> Result<u16, Box<dyn Error>> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(vec!["localhost".to_owned()])?;
    params.not_after = date_time_ymd(expiry_year, 1, 1);
    let certificate = params.signed_by(&key, authority)?;
    let key = PrivateKeyDer::from_pem_slice(key.serialize_pem().as_bytes())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(certificate.der().to_vec())], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("localhost:0").await?;
    let port = listener.local_addr()?.port();
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            // Without TCP_NODELAY, a write may wait 40 ms for the acknowledgement of the one before (Nagle's
            // algorithm).
            let _ = connection.set_nodelay(true);
            tokio::spawn(async move {
                // A client that rejects the certificate ends the handshake.
                let Ok(connection) = acceptor.accept(connection).await else { return };
                let _ = serve(BufReader::new(connection)).await;
            });
        }
    });
    Ok(port)
}

/// Answers one request, and closes the connection. The path selects the delay and the body.
async fn serve<C>(mut connection: BufReader<C>) -> std::io::Result<()>
where
    C: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut request = String::new();
    connection.read_line(&mut request).await?;
    let mut line = String::new();
    while connection.read_line(&mut line).await? > 2 {
        line.clear();
    }
    let path = request.split([' ', '?']).nth(1).unwrap_or_default();
    let (delay_ms, body) = match path {
        "/" => (30, "<h1>Teapots</h1>"),
        "/search" => (90, r#"{"total": 1, "items": [{"name": "Teapot"}]}"#),
        _ => (45, r#"{"status": "degraded", "parts": {"stock": "ok", "payments": "down"}}"#),
    };
    sleep(Duration::from_millis(delay_ms)).await;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    connection.write_all(head.as_bytes()).await?;
    connection.flush().await?;
    sleep(Duration::from_millis(20)).await;
    connection.write_all(body.as_bytes()).await?;
    connection.shutdown().await
}
