//! A client certificate whose key the host keeps is shown to the host that it is for, and to no other.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};

use super::{assert_warned, component, run};
use crate::support::certificates::Certificates;
use crate::support::empty_folder;
use crate::support::tcp_server;

/// A server that asks for a client certificate, and responds with or without one.
struct Server {
    port: u16,
    /// For each request, true if the client has shown a certificate.
    shown: Arc<Mutex<Vec<bool>>>,
}

impl Server {
    /// Starts a server that sends this response.
    fn start(folder: &Path, response: String) -> Self {
        let pem = |name: &str| folder.join(name);
        let chain = CertificateDer::pem_file_iter(pem("server.pem")).and_then(Iterator::collect);
        let chain = chain.expect("the file has certificates");
        let key = PrivateKeyDer::from_pem_file(pem("server.key")).expect("the file has a key");
        let authority = CertificateDer::from_pem_file(pem("ca.pem")).expect("the file has a certificate");
        let mut roots = RootCertStore::empty();
        roots.add(authority).expect("the certificate is that of an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier.allow_unauthenticated().build().expect("the root store has an authority");
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.expect("ring has cipher suites").with_client_cert_verifier(verifier);
        let config = Arc::new(config.with_single_cert(chain, key).expect("the key is that of the certificate"));
        let shown = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&shown);
        let port = tcp_server::listen(move |connection| {
            let session = ServerConnection::new(Arc::clone(&config)).expect("the configuration is complete");
            let mut stream = StreamOwned::new(session, connection);
            let (mut head, mut byte) = (Vec::new(), [0]);
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read(&mut byte) {
                    Ok(1..) => head.extend(byte),
                    _ => return,
                }
            }
            seen.lock().push(stream.conn.peer_certificates().is_some());
            let _ = stream.write_all(response.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        });
        Self { port, shown }
    }

    fn shown(&self) -> Vec<bool> {
        self.shown.lock().clone()
    }
}

fn response(head: &str, body: &str) -> String {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn a_client_certificate_is_shown_to_its_own_host_alone() {
    let folder = empty_folder("kept-client-certificate");
    let certificates = Certificates::new(&folder);
    certificates.certify("server", &["localhost"], 2100);
    certificates.certify("us", &["us.test"], 2100);
    let home = folder.display();
    let tls =
        format!("ca: '{home}/ca.pem', client_certificate: {{certificate: '{home}/us.pem', key: '{home}/us.key'}}");
    let thief = Server::start(&folder, response("200 OK", ""));
    let url = |server: &Server| format!("https://localhost:{}/", server.port);
    let allow = |more: &str| format!("allow: {{hosts: [localhost, 127.0.0.1, '::1']{more}}}");

    // It is for the host of `url`, unless the operator names another.
    let own = Server::start(&folder, response("200 OK", ""));
    let keys = |more: &str| format!("url: '{}', {tls}, {}", url(&own), allow(more));
    let passed = run(&component("http"), &keys(""));
    assert_eq!(passed["outcome"], "passed", "{passed:#}");
    let elsewhere = format!(", secret_hosts: {{/client_certificate/key: ['{}']}}", url(&thief));
    let refused = run(&component("http"), &keys(&elsewhere));
    assert_warned(&refused, "sending the secret setting `/client_certificate/key` to `https://localhost:");
    assert_eq!(own.shown(), [true]);

    // A target names the host of the next request.
    let body = format!(r#"{{"next": "{}"}}"#, url(&thief));
    let first = Server::start(&folder, response("200 OK", &body));
    let keys = format!(
        "steps: [{{url: '{}', {tls}, set_keys: {{next: $.next}}}}, {{url: '{{next}}', {tls}}}], {}",
        url(&first),
        allow("")
    );
    let refused = run(&component("chain"), &keys);
    let to_thief = format!("client_certificate/key` to `https://localhost:{}` is not allowed", thief.port);
    assert_warned(&refused, &to_thief);
    assert_eq!(first.shown(), [true]);

    // The same key is named for two hosts: it is shown to both, and to no other.
    let [one, other] = [(); 2].map(|()| Server::start(&folder, response("200 OK", &body)));
    let keys = |more: &str| {
        let (one, other) = (url(&one), url(&other));
        format!(
            "steps: [{{url: '{one}', {tls}, set_keys: {{next: $.next}}}}, {{url: '{other}', {tls}}}{more}], {}",
            allow("")
        )
    };
    let passed = run(&component("chain"), &keys(""));
    assert_eq!(passed["outcome"], "passed", "{passed:#}");
    assert_warned(&run(&component("chain"), &keys(&format!(", {{url: '{{next}}', {tls}}}"))), &to_thief);
    assert_eq!((one.shown(), other.shown()), (vec![true; 2], vec![true; 2]));

    // A target redirects the request.
    let redirecting = Server::start(&folder, response(&format!("302 Found\r\nlocation: {}", url(&thief)), ""));
    let refused = run(&component("http"), &format!("url: '{}', {tls}, {}", url(&redirecting), allow("")));
    assert_warned(&refused, &to_thief);
    assert_eq!((redirecting.shown(), thief.shown()), (vec![true], vec![]));
}
