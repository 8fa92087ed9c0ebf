//! Authorities: those of the system, and those for Sentry.

use crate::support::certificates::Certificates;
use crate::support::nginx::Nginx;
use crate::support::receiver::Receiver;
use crate::support::{empty_folder, free_port, http_config, run_command, run_once_with, sentrynet};

#[test]
fn paths_without_authorities_are_warned_of() {
    let home = empty_folder("tls-authorities");
    std::fs::write(home.join("empty.pem"), "").expect("the folder is writable");
    let configuration = http_config("url: http://127.0.0.1:9/");
    let check = |variable: &str, path: &str, expected: &str| {
        for command in ["check", "once"] {
            let path = home.join(path);
            let mut program = sentrynet();
            let ended = run_command(program.env(variable, &path).args([command, "-"]), &configuration);
            let expected = expected.replace("PATH", &path.display().to_string());
            assert!(ended.stderr.contains(&expected), "{command}: {}", ended.stderr);
            assert!(ended.stderr.contains("no certificate authority is trusted"), "{command}: {}", ended.stderr);
        }
    };
    check("SSL_CERT_FILE", "absent.pem", "cannot read PATH, which `SSL_CERT_FILE` names: No such file or directory");
    check("SSL_CERT_FILE", "empty.pem", "PATH, which `SSL_CERT_FILE` names, holds no certificate");
    check("SSL_CERT_DIR", "absent", "cannot read PATH, which `SSL_CERT_DIR` names: No such file or directory");
}

#[test]
fn sentry_can_have_a_certificate_of_a_private_authority() {
    let certificates = Certificates::new(&empty_folder("tls-sentry"));
    certificates.certify("good", &["localhost"], 2100);
    let (port, home, receiver) = (free_port(), certificates.folder.display().to_string(), Receiver::start());
    let http = receiver.dsn();
    let upstream = http.rsplit_once('@').and_then(|(_, rest)| rest.split('/').next()).expect("a DSN has a host");
    let server = format!(
        "server {{ listen 127.0.0.1:{port} ssl; ssl_certificate {home}/good.pem; ssl_certificate_key {home}/good.key;
         client_max_body_size 20m; location / {{ proxy_pass http://{upstream}; }} }}"
    );
    let _nginx = Nginx::start("tls-sentry", &[port], &server);
    let dsn = http.replace("http://", "https://").replace(upstream, &format!("localhost:{port}"));
    let configuration =
        |ca: &str| format!("sentry: {{dsn: '{dsn}', {ca}}}\n{}", http_config("url: http://127.0.0.1:9/"));

    let untrusted = run_command(sentrynet().args(["once", "-"]), &configuration("spool: false"));
    assert_eq!(receiver.count(), 0);
    assert!(untrusted.stderr.contains("name that in `sentry.ca`"), "{}", untrusted.stderr);
    assert!(!untrusted.stderr.contains("UnknownIssuer"), "{}", untrusted.stderr);
    let (_, runs) = run_once_with(&mut sentrynet(), &configuration(&format!("spool: false, ca: {home}/ca.pem")));
    assert_eq!(runs.len(), 1);
    assert!(receiver.count() > 0);

    for command in ["check", "once"] {
        let ended = run_command(sentrynet().args([command, "-"]), &configuration(&format!("ca: {home}/absent.pem")));
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains("absent.pem: No such file or directory"), "{}", ended.stderr);
        assert!(ended.stderr.contains("at sentry.ca"), "{}", ended.stderr);
    }
}
