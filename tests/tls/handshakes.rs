//! Handshakes that servers refuse, and why.

use std::process::{Command, Stdio};

use crate::support::certificates::Certificates;
use crate::support::nginx::Nginx;
use crate::support::{KilledOnDrop, empty_folder, eventually, expect_failure, free_port, run_http_probe};
use crate::tls::server_block;

#[test]
fn refused_handshakes_are_told_apart() {
    let certificates = Certificates::new(&empty_folder("tls-handshakes"));
    certificates.certify("good", &["localhost"], 2100);
    let home = &certificates.folder;
    let [cipher, curve, version, client] = std::array::from_fn(|_| free_port());
    let servers = [
        server_block(cipher, home, "good", "ssl_protocols TLSv1.2; ssl_ciphers ECDHE-ECDSA-AES256-SHA;"),
        server_block(curve, home, "good", "ssl_ecdh_curve secp521r1;"),
        server_block(version, home, "good", "ssl_protocols TLSv1.1; ssl_ciphers DEFAULT:@SECLEVEL=0;"),
    ];
    let _nginx = Nginx::start("tls-handshakes", &[cipher, curve, version], &servers.concat());
    // nginx reports a missing client certificate by a status, and only OpenSSL itself by an alert.
    let mut openssl = Command::new("openssl");
    openssl.args(["s_server", "-www", "-tls1_2", "-Verify", "1", "-CAfile", "ca.pem"]);
    openssl.args(["-cert", "good.pem", "-key", "good.key", "-accept", &format!("127.0.0.1:{client}")]);
    openssl.current_dir(home).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let _openssl = KilledOnDrop(openssl.spawn().expect("openssl is installed"));
    eventually("openssl to listen", || std::net::TcpStream::connect(("127.0.0.1", client)).ok());

    let message = |port: u16| {
        let keys = format!("url: https://localhost:{port}/\nca: {}", certificates.ca());
        expect_failure(&run_http_probe(&keys), "tls")
    };
    let none = "the server accepts none of the cipher suites, curves and signature algorithms that we offer (alert 40, \
                handshake failure)";
    assert_eq!(message(cipher), none);
    assert_eq!(message(curve), none);
    assert_eq!(message(version), "the server offers no TLS version that we accept (1.2 and 1.3)");
    let client_message = message(client);
    assert!(client_message.starts_with("the server requires a client certificate"), "{client_message}");
}
