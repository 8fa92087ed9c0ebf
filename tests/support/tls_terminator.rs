//! A server that takes TLS off connections, and forwards them to another port on loopback.

use std::net::TcpListener;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::support::certificates::Certificates;

/// Starts the server on `address`, such as `127.0.0.1:0`, with the certificate `name`. It stops with the process.
/// Returns its port.
pub fn start(address: &str, certificates: &Certificates, name: &str, to: u16) -> u16 {
    let acceptor = TlsAcceptor::from(Arc::new(config(certificates, name)));
    let listener = TcpListener::bind(address).expect("loopback has a free port");
    let port = listener.local_addr().expect("a listener has an address").port();
    listener.set_nonblocking(true).expect("the system allows it");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
        runtime.expect("the system has resources").block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it does not block");
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, acceptor.clone(), to));
            }
        });
    });
    port
}

async fn serve(client: TcpStream, acceptor: TlsAcceptor, to: u16) {
    let (Ok(mut client), Ok(mut server)) = (acceptor.accept(client).await, TcpStream::connect(("127.0.0.1", to)).await)
    else {
        return;
    };
    let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
}

fn config(certificates: &Certificates, name: &str) -> ServerConfig {
    let pem = |ending: &str| certificates.folder.join(format!("{name}.{ending}"));
    let chain = CertificateDer::pem_file_iter(pem("pem")).and_then(Iterator::collect).expect("the file has a chain");
    let key = PrivateKeyDer::from_pem_file(pem("key")).expect("the file has a key");
    let builder = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("ring has the default versions");
    builder.with_no_client_auth().with_single_cert(chain, key).expect("the key is that of the certificate")
}
