//! Certificates of unusual kinds, which OpenSSL makes: the true reason why they are not valid, and that `verify_tls:
//! false` accepts them all, apart from unsupported curves in TLS 1.2.

use crate::support::nginx::Nginx;
use crate::support::{assert_passed, empty_folder, expect_failure, free_port, openssl, run_http_probe};
use crate::tls::server_block;

const P256: &str = "ec -pkeyopt ec_paramgen_curve:prime256v1";
const P521: &str = "ec -pkeyopt ec_paramgen_curve:secp521r1";

/// OpenSSL's lowest level of security, at which it uses keys and hashes that are no longer safe.
const UNSAFE: &str = "ssl_ciphers DEFAULT:@SECLEVEL=0;";

#[test]
fn the_true_reason_is_reported_and_nothing_is_rejected_without_verification() {
    let home = &empty_folder("tls-unusual");
    openssl::self_sign(home, "short", "rsa:1024");
    openssl::self_sign(home, "long", "rsa:2048");
    openssl::self_sign(home, "large", P521);
    openssl::self_sign(home, "edwards", "ed448");
    openssl::sign(home, "below-short", P256, "short", "-sha256 -extfile names.ext");
    openssl::sign(home, "below-large", P256, "large", "-sha256 -extfile names.ext");
    openssl::sign(home, "below-edwards", P256, "edwards", "-extfile names.ext");
    openssl::sign(home, "sha1", "rsa:2048", "long", "-sha1 -extfile names.ext");
    openssl::sign(home, "old", "rsa:2048", "long", "-sha256");
    let none = "the server accepts none of the cipher suites, curves and signature algorithms that we offer";
    let cases = [
        ("short", "short", "key too short: RSA 1024 in the certificate `CN=short`, expected at least 2048 bits"),
        ("below-short", "short", "key too short: RSA 1024 in the certificate `CN=short`, expected at least 2048 bits"),
        ("large", "large", none),
        ("edwards", "edwards", none),
        (
            "below-large",
            "large",
            "key of an unsupported curve: P-521 in the certificate `CN=large`, expected P-256 or P-384",
        ),
        ("below-edwards", "edwards", "signature of an unsupported kind: Ed448 on the certificate `CN=below-edwards`"),
        ("sha1", "long", "signature of an unsupported kind: SHA-1 with RSA on the certificate `CN=sha1`"),
        ("old", "long", "certificate of version 1: `CN=old` has to be of version 3"),
    ];
    let protocols = ["TLSv1.2", "TLSv1.3"];
    let kinds: Vec<_> = cases.iter().flat_map(|case| protocols.map(|protocol| (free_port(), protocol, case))).collect();
    let servers: String = kinds
        .iter()
        .map(|(port, protocol, (name, ..))| {
            server_block(*port, home, name, &format!("{UNSAFE} ssl_protocols {protocol};"))
        })
        .collect();
    let ports: Vec<_> = kinds.iter().map(|(port, ..)| *port).collect();
    let _nginx = Nginx::start("tls-unusual", &ports, &servers);
    for (port, protocol, (name, authority, expected)) in kinds {
        let url = format!("url: https://localhost:{port}/");
        let run = run_http_probe(&format!("{url}\nca: {}/{authority}.pem", home.display()));
        let message = expect_failure(&run, "tls");
        assert!(message.starts_with(expected), "{name} over {protocol}: {message}");
        let run = run_http_probe(&format!("{url}\nverify_tls: false"));
        // In TLS 1.2, the curve of the key has to be one that keys are exchanged with.
        if protocol == "TLSv1.2" && ["large", "edwards"].contains(name) {
            expect_failure(&run, "tls");
        } else {
            assert_passed(&run);
        }
    }
}
