//! `client_certificate`: TLS client authentication.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use crate::network::assert_refused;
use crate::support::certificates::Certificates;
use crate::support::nginx::Nginx;
use crate::support::running::RunningProgram;
use crate::support::{
    assert_passed, empty_folder, eventually, expect_failure, free_port, http_config, openssl, run_http_probe,
    run_once_with, sentrynet,
};

/// nginx that requires a client certificate of its own authority, and responds with its subject.
struct Server {
    _nginx: Nginx,
    port: u16,
    home: String,
}

fn start_server(name: &str) -> Server {
    let certificates = Certificates::new(&empty_folder(&format!("network-{name}")));
    certificates.certify("server", &["localhost"], 2100);
    certificates.certify("us", &["us.test"], 2100);
    certificates.certify("them", &["them.test"], 2100);
    certificates.self_sign("stranger", &["stranger.test"], 2100);
    let (port, home) = (free_port(), certificates.folder.display().to_string());
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl http2; ssl_certificate {home}/server.pem;
           ssl_certificate_key {home}/server.key; ssl_client_certificate {home}/ca.pem; ssl_verify_client on;
           location / {{ return 200 '{{\"who\": \"$ssl_client_s_dn\"}}'; }} }}"
    );
    Server { _nginx: Nginx::start(&format!("network-{name}"), &[port], &server), port, home }
}

#[test]
fn the_client_certificate_is_sent() {
    let Server { _nginx, port, home } = start_server("client-certificate");
    let read = |name: &str| fs::read_to_string(format!("{home}/{name}")).expect("the file exists");
    fs::write(format!("{home}/both.pem"), read("us.key") + &read("us.pem")).expect("the folder is writable");
    let url = format!("url: https://localhost:{port}/\nset_keys: {{who: $.who}}\nassertions: {{who: CN=us}}");
    for files in [format!("{{certificate: {home}/us.pem, key: {home}/us.key}}"), format!("{home}/both.pem")] {
        for trust in [format!("ca: {home}/ca.pem"), "verify_tls: false".to_owned()] {
            assert_passed(&run_http_probe(&format!("{url}\nclient_certificate: {files}\n{trust}")));
        }
        // The server's certificate is verified also if there is a client certificate.
        let message = expect_failure(&run_http_probe(&format!("{url}\nclient_certificate: {files}")), "tls");
        assert!(message.starts_with("certificate is issued by"), "{message}");
    }
    // nginx reports a missing certificate as an HTTP status.
    for keys in ["", &format!("client_certificate: {{certificate: {home}/stranger.pem, key: {home}/stranger.key}}")] {
        let run = run_http_probe(&format!("url: https://localhost:{port}/\nca: {home}/ca.pem\n{keys}"));
        expect_failure(&run, "status");
        assert_eq!(run["failure"]["actual"], "400");
    }
}

#[test]
fn a_server_that_requires_a_client_certificate_is_reported() {
    let Server { _nginx, home, .. } = start_server("strict");
    let message = |versions: &[&'static rustls::SupportedProtocolVersion], keys: &str| {
        let port = start_strict_server(&home, versions);
        expect_failure(&run_http_probe(&format!("url: https://localhost:{port}/\nca: {home}/ca.pem\n{keys}")), "tls")
    };
    assert_eq!(message(&[&rustls::version::TLS13], ""), "the server requires a client certificate");
    // TLS 1.2 has no alert for a missing certificate.
    let older = message(&[&rustls::version::TLS12], "");
    assert!(older.starts_with("the server re"), "{older}");
    let stranger = format!("client_certificate: {{certificate: {home}/stranger.pem, key: {home}/stranger.key}}");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let unknown = message(&[version], &stranger);
        assert!(unknown.starts_with("the server does not accept our certificate ("), "{unknown}");
    }
}

/// Starts a TLS server that ends the handshake without a certificate of its authority. Returns the port.
fn start_strict_server(home: &str, versions: &[&'static rustls::SupportedProtocolVersion]) -> u16 {
    let pem = |name: &str| Path::new(home).join(name);
    let chain = CertificateDer::pem_file_iter(pem("server.pem"))
        .and_then(Iterator::collect)
        .expect("the file has certificates");
    let key = PrivateKeyDer::from_pem_file(pem("server.key")).expect("the file has a key");
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_file(pem("ca.pem")).expect("the file has a certificate"))
        .expect("the certificate is that of an authority");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("ring has cipher suites for these versions")
        .with_client_cert_verifier(verifier.build().expect("the root store has an authority"))
        .with_single_cert(chain, key)
        .expect("the key is that of the certificate");
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    let port = listener.local_addr().expect("a listener has an address").port();
    std::thread::spawn(move || {
        for mut connection in listener.incoming().map_while(Result::ok) {
            let mut session = ServerConnection::new(Arc::clone(&config)).expect("the configuration is complete");
            while session.is_handshaking() && session.complete_io(&mut connection).is_ok() {}
            session.send_close_notify();
            let _ = session.complete_io(&mut connection);
            // Closing with unread bytes would reset the connection, and lose the alert.
            let _ = connection.shutdown(std::net::Shutdown::Write);
            let _ = std::io::copy(&mut connection, &mut std::io::sink());
        }
    });
    port
}

#[test]
fn an_encrypted_key_is_read_with_its_passphrase() {
    let Server { _nginx, port, home } = start_server("sealed");
    let folder = Path::new(&home);
    let seal = "pkcs8 -topk8 -in us.key -passout pass:open~sesame -out";
    openssl::run(folder, &format!("{seal} aes.key"));
    openssl::run(folder, &format!("{seal} des.key -v2 des3 -v2prf hmacWithSHA1"));
    openssl::run(folder, &format!("{seal} scrypt.key -scrypt -scrypt_N 1024"));
    openssl::run(folder, &format!("{seal} old.key -v1 PBE-SHA1-3DES"));
    // A file in PKCS#12 is converted to PEM.
    openssl::run(folder, "pkcs12 -export -in us.pem -inkey us.key -out us.p12 -passout pass:open~sesame");
    openssl::run(folder, "pkcs12 -in us.p12 -out us-both.pem -passin pass:open~sesame -passout pass:open~sesame");
    let both = ("us-both.pem", "us-both.pem");
    let keys = ["aes.key", "des.key", "scrypt.key", "old.key"].map(|key| ("us.pem", key));
    for (certificate, key) in keys.into_iter().chain([both, ("us.p12", "us.p12")]) {
        let files =
            format!("{{certificate: {home}/{certificate}, key: {home}/{key}, passphrase: '${{env:PASSPHRASE}}'}}");
        let keys = format!(
            "url: https://localhost:{port}/\nca: {home}/ca.pem\nset_keys: {{who: $.who}}\nassertions: {{who: CN=us}}\n\
             client_certificate: {files}"
        );
        let (_, runs) = run_once_with(sentrynet().env("PASSPHRASE", "open sesame"), &http_config(&keys));
        assert_passed(&runs[0]);
        assert!(!runs[0].to_string().contains("open sesame"), "{:#}", runs[0]);
        let step = keys.replace('\n', ", ").replace("url: ", "url: '").replace("/, ca", "/', ca");
        let chain = format!(
            "groups:\n  - probes:\n      - probe: chain\n        title: x\n        steps:\n          - {{{step}}}\n"
        );
        let (_, runs) = run_once_with(sentrynet().env("PASSPHRASE", "open sesame"), &chain);
        assert_passed(&runs[0]);
    }
}

#[test]
fn files_in_pkcs12_are_read_as_programs_write_them() {
    let Server { _nginx, port, home } = start_server("pkcs12");
    let folder = Path::new(&home);
    let check = |name: &str, options: &str, passphrase: &str| {
        let sealed = format!("-passout pass:{}", passphrase.replace(' ', "~"));
        openssl::run(folder, &format!("pkcs12 -export -inkey us.key -out {name}.p12 {sealed} {options}"));
        let passphrase = if passphrase.is_empty() { String::new() } else { format!(", passphrase: '{passphrase}'") };
        let files = format!("{{certificate: {home}/{name}.p12, key: {home}/{name}.p12{passphrase}}}");
        let keys = format!("url: https://localhost:{port}/\nca: {home}/ca.pem\nclient_certificate: {files}");
        assert_passed(&run_http_probe(&format!("{keys}\nset_keys: {{who: $.who}}\nassertions: {{who: CN=us}}")));
    };
    // With the authority's certificate before the own one, and another's.
    fs::write(
        folder.join("all.pem"),
        ["ca.pem", "them.pem", "us.pem"]
            .map(|file| fs::read_to_string(folder.join(file)).expect("the file exists"))
            .concat(),
    )
    .expect("the folder is writable");
    check("plain", "-in us.pem", "open sesame");
    check("all", "-in us.pem -certfile all.pem", "open sesame");
    check("utf8", "-in us.pem -macalg sha512", "Öffne dich");
    check("empty", "-in us.pem", "");
    check("bare", "-in us.pem -keypbe NONE -certpbe NONE -nomac", "");
    check("aes128", "-in us.pem -keypbe AES-128-CBC -certpbe AES-256-CBC -nomac", "open sesame");
    check("des", "-in us.pem -keypbe PBE-SHA1-3DES -certpbe PBE-SHA1-2DES -macalg sha1", "open sesame");
    check("legacy", "-in us.pem -legacy", "open sesame");
    check("rc2", "-in us.pem -legacy -keypbe PBE-SHA1-RC2-128 -certpbe PBE-SHA1-RC2-40", "open sesame");
    // One file is enough.
    let keys = format!("url: https://localhost:{port}/\nca: {home}/ca.pem\nclient_certificate: {home}/empty.p12");
    assert_passed(&run_http_probe(&keys));
}

#[test]
fn a_renewed_certificate_is_used_without_a_restart() {
    let Server { _nginx, port, home } = start_server("renewed");
    let read = |name: &str| fs::read_to_string(format!("{home}/{name}")).expect("the file exists");
    // The file is replaced atomically, as certificate managers do.
    let install = |name: &str| {
        fs::write(format!("{home}/new.pem"), read(&format!("{name}.pem")) + &read(&format!("{name}.key")))
            .and_then(|()| fs::rename(format!("{home}/new.pem"), format!("{home}/current.pem")))
            .expect("the folder is writable");
    };
    install("us");
    let file = format!("{home}/probes.yaml");
    let keys = format!(
        "url: https://localhost:{port}/\nca: ca.pem\nclient_certificate: current.pem\nevery: 0.1\n\
         set_keys: {{who: $.who}}\nassertions: {{who: CN=us}}"
    );
    fs::write(&file, http_config(&keys)).expect("the folder is writable");
    let log = fs::File::create(format!("{home}/log")).expect("the folder is writable");
    let _running = RunningProgram::start(Path::new(&file), log);
    eventually("a run with the first certificate", || read("log").contains("passed").then_some(()));
    install("them");
    eventually("a run with the second certificate", || read("log").contains("CN=them").then_some(()));
    // The last certificate stays in use instead of a file that has none.
    fs::write(format!("{home}/current.pem"), "no certificate").expect("the folder is writable");
    let lines = read("log").lines().count();
    eventually("further runs", || (read("log").lines().count() > lines + 100).then_some(()));
    assert!(!read("log").contains("holds no certificate"), "{}", read("log"));
}

#[test]
fn invalid_certificate_and_key_files_are_refused() {
    let certificates = Certificates::new(&empty_folder("network-client-files"));
    certificates.certify("us", &["us.test"], 2100);
    certificates.certify("them", &["them.test"], 2100);
    let home = certificates.folder.display().to_string();
    fs::write(format!("{home}/locked.key"), encrypted_key()).expect("the folder is writable");
    let check = |value: &str, message: &str| {
        let value = value.replace("HOME", &home);
        assert_refused(&format!("url: https://h/\nclient_certificate: {value}"), "client_certificate", message);
    };
    check("HOME/absent.pem", "absent.pem: No such file or directory");
    check("{certificate: HOME/us.pem, key: HOME/absent.key}", "absent.key: No such file or directory");
    check("HOME/us.pem", "us.pem holds no private key: expected PEM");
    check("HOME/us.key", "us.key holds no certificate");
    check("{certificate: HOME/us.pem, key: HOME/them.key}", "them.key is not that of the certificate in");
    check("{certificate: HOME/us.pem, key: HOME/locked.key}", "locked.key is encrypted: give its `passphrase`");
    let damaged = "{certificate: HOME/us.pem, key: HOME/locked.key, passphrase: x}";
    check(damaged, "locked.key is not a PEM file with a private key: it is damaged");
    let old = "pkcs8 -topk8 -in us.key -v1 PBE-MD5-DES -provider legacy -provider default -out md5.key -passout pass:x";
    openssl::run(&certificates.folder, old);
    check(
        "{certificate: HOME/us.pem, key: HOME/md5.key, passphrase: x}",
        "md5.key is encrypted in a way that is not supported, PBE-MD5-DES: convert it by `openssl pkcs8 -topk8 -v2 ",
    );
    openssl::run(&certificates.folder, "pkcs8 -topk8 -in us.key -out sealed.key -passout pass:sesame");
    let wrong = "{certificate: HOME/us.pem, key: HOME/sealed.key, passphrase: open}";
    check(wrong, "the passphrase is not that of the private key in ");
    openssl::run(&certificates.folder, "ec -aes256 -in us.key -out old.key -passout pass:sesame");
    check("{certificate: HOME/us.pem, key: HOME/old.key}", "convert it by `openssl pkcs8 -topk8 -in ");
    openssl::run(&certificates.folder, "pkcs12 -export -in us.pem -inkey us.key -out us.p12 -passout pass:sesame");
    check("HOME/us.p12", "us.p12 is a PKCS#12 file with a passphrase: give its `passphrase`");
    let pkcs12 = |name: &str, passphrase: &str| {
        format!("{{certificate: HOME/{name}, key: HOME/{name}, passphrase: {passphrase}}}")
    };
    check(&pkcs12("us.p12", "open"), "the passphrase is not that of the PKCS#12 file ");
    let with_key = "{certificate: HOME/us.p12, key: HOME/us.key, passphrase: sesame}";
    check(with_key, "us.p12 is a PKCS#12 file, which has the private key too: leave out `key`");
    let as_key = "{certificate: HOME/us.pem, key: HOME/us.p12, passphrase: sesame}";
    check(as_key, "us.p12 is a PKCS#12 file: give it as `certificate`, and leave out `key`");
    let export =
        |options: &str| openssl::run(&certificates.folder, &format!("pkcs12 -export {options} -passout pass:sesame"));
    export("-in us.pem -nokeys -out keyless.p12");
    check(&pkcs12("keyless.p12", "sesame"), "keyless.p12 is a PKCS#12 file without a private key");
    export("-inkey us.key -nocerts -out certless.p12");
    check(&pkcs12("certless.p12", "sesame"), "certless.p12 is a PKCS#12 file without a certificate");
    export("-in us.pem -inkey us.key -legacy -keypbe PBE-SHA1-RC4-128 -out rc4.p12");
    check(
        &pkcs12("rc4.p12", "sesame"),
        "rc4.p12 uses PBE-SHA1-RC4-128, which is not supported: convert it by `openssl",
    );
    let whole = fs::read(certificates.folder.join("us.p12")).expect("the file exists");
    fs::write(certificates.folder.join("cut.p12"), &whole[..whole.len() - 40]).expect("the folder is writable");
    check(&pkcs12("cut.p12", "sesame"), "cut.p12 is damaged, or not in DER");
    openssl::run(&certificates.folder, "ecparam -name secp521r1 -genkey -noout -out large.key");
    check("{certificate: HOME/us.pem, key: HOME/large.key}", "is of a kind that is not supported");
    for shape in ["[HOME/us.pem]", "7"] {
        check(shape, "expected text or a map of keys such as `certificate`, `key` and `passphrase`, got ");
    }
    let more = "url: https://h/\nclient_certificate: {certificate: a, key: b, password: c}";
    assert_refused(more, "client_certificate.password", "unknown key `password`");
}

/// Returns a PEM file that looks like an encrypted key by its first line. The label is in parts, so that secret
/// scanners ignore it.
fn encrypted_key() -> String {
    let label = ["ENCRYPTED", "PRIVATE", "KEY"].join(" ");
    format!("-----BEGIN {label}-----\nMAA=\n-----END {label}-----\n")
}
