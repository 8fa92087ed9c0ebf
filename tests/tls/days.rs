//! The checks `certificate days` and `certificate chain days`.

use crate::support::certificates::Certificates;
use crate::support::nginx::Nginx;
use crate::support::{assert_passed, empty_folder, free_port, run_http_probe, run_once};
use crate::tls::server_block;

const CHECKS: &str = "checks: {certificate days: {at_least: 14}, certificate chain days: {at_least: 14}}";

#[test]
fn the_certificates_of_all_hops_count() {
    let certificates = Certificates::new(&empty_folder("tls-days-hops"));
    certificates.certify("good", &["localhost"], 2100);
    certificates.certify_for_days("ending", &["localhost"], 3);
    let [good, from_ending, to_ending, to_plain, plain] = std::array::from_fn(|_| free_port());
    let home = &certificates.folder;
    let redirect = |target: String| format!("location = /go {{ return 302 {target}; }}");
    let servers = [
        server_block(good, home, "good", ""),
        server_block(from_ending, home, "ending", &redirect(format!("https://localhost:{good}/"))),
        server_block(to_ending, home, "good", &redirect(format!("https://localhost:{from_ending}/"))),
        server_block(to_plain, home, "ending", &redirect(format!("http://localhost:{plain}/"))),
        format!("server {{ listen 127.0.0.1:{plain}; location / {{ return 200; }} }}"),
    ];
    let ports = [good, from_ending, to_ending, to_plain, plain];
    let _nginx = Nginx::start("tls-days-hops", &ports, &servers.concat());
    let run_at = |port: u16, path: &str| {
        run_http_probe(&format!("url: https://localhost:{port}/{path}\nca: {}\n{CHECKS}", certificates.ca()))
    };
    assert_passed(&run_at(good, ""));
    for (port, path) in [(from_ending, ""), (from_ending, "go"), (to_ending, "go"), (to_plain, "go")] {
        let run = run_at(port, path);
        assert_eq!(run["failure"]["reason"], "assertion", "{run:#}");
        let mismatches = run["failure"]["mismatches"].as_array().expect("there are mismatches");
        let actual: Vec<_> = mismatches.iter().map(|mismatch| &mismatch["actual"]).collect();
        assert_eq!(actual, ["3 days", "3 days"], "{port}/{path} {run:#}");
    }
}

#[test]
fn certificates_that_verified_nothing_do_not_count() {
    let certificates = Certificates::new(&empty_folder("tls-days-path"));
    let home = &certificates.folder;
    let old_root = Certificates::new(&empty_folder("tls-days-path-old"));
    let intermediate = certificates.intermediate("The intermediate", 2100);
    let crossed = old_root.cross_certify("The intermediate", 2021, &intermediate);
    old_root.self_sign("unrelated", &["example.org"], 2021);
    let unrelated = std::fs::read_to_string(old_root.folder.join("unrelated.pem")).expect("it was written");
    let superfluous = crossed.pem() + &unrelated + &old_root.pem() + &intermediate.pem();
    intermediate.certify_with_chain("crossed", &["localhost"], 2100, &superfluous);
    let ending = certificates.intermediate("The ending intermediate", 2022);
    ending.certify_with_chain("ended", &["localhost"], 2100, &ending.pem());
    let [crossed_port, ended_port] = [free_port(), free_port()];
    let servers = server_block(crossed_port, home, "crossed", "") + &server_block(ended_port, home, "ended", "");
    let _nginx = Nginx::start("tls-days-path", &[crossed_port, ended_port], &servers);

    for trust in [format!("ca: {}", certificates.ca()), "verify_tls: false".to_owned()] {
        let run = run_http_probe(&format!("url: https://localhost:{crossed_port}/\n{trust}\n{CHECKS}"));
        assert_passed(&run);
    }
    let run = run_http_probe(&format!("url: https://localhost:{ended_port}/\nca: {}", certificates.ca()));
    let message = run["failure"]["message"].as_str().expect("there is a message");
    let expected = "`CN=The ending intermediate`, an intermediate certificate that the server sends";
    assert!(message.starts_with("certificate expired ") && message.ends_with(expected), "{message}");
    // Without verification, the chain is that of the certificates' names.
    let keys = format!(
        "url: https://localhost:{ended_port}/\nverify_tls: false\nchecks: {{certificate days: {{at_least: 14}}}}"
    );
    assert_passed(&run_http_probe(&keys));
    let run = run_http_probe(&keys.replace("certificate days", "certificate chain days"));
    assert_eq!(run["failure"]["reason"], "assertion", "{run:#}");
}

#[test]
fn the_authoritys_own_certificate_counts_if_the_server_sends_it() {
    let certificates = Certificates::new(&empty_folder("tls-days-root"));
    let root = certificates.root_for_days("The ending root", 3);
    let home = &certificates.folder;
    root.certify_with_chain("without", &["localhost"], 2100, "");
    root.certify_with_chain("with", &["localhost"], 2100, &root.pem());
    std::fs::write(home.join("root.pem"), root.pem()).expect("the folder is writable");
    let [without, with] = [free_port(), free_port()];
    let servers = server_block(without, home, "without", "") + &server_block(with, home, "with", "");
    let _nginx = Nginx::start("tls-days-root", &[without, with], &servers);
    let run_at = |port: u16| {
        run_http_probe(&format!("url: https://localhost:{port}/\nca: {}/root.pem\n{CHECKS}", home.display()))
    };
    assert_passed(&run_at(without));
    let run = run_at(with);
    assert_eq!(run["failure"]["mismatches"][0]["subject"], "certificate chain days", "{run:#}");
    assert_eq!(run["failure"]["mismatches"][0]["actual"], "3 days", "{run:#}");
}

#[test]
fn a_step_on_a_connection_that_is_open_has_its_certificates() {
    let certificates = Certificates::new(&empty_folder("tls-days-chain"));
    certificates.certify_for_days("ending", &["localhost"], 3);
    let port = free_port();
    let _nginx = Nginx::start("tls-days-chain", &[port], &server_block(port, &certificates.folder, "ending", ""));
    let step = |checks: &str| {
        format!("          - {{url: 'https://localhost:{port}/', ca: {}, checks: {{{checks}}}}}\n", certificates.ca())
    };
    let chain = |second: &str| {
        format!(
            "groups:\n  - probes:\n      - probe: chain\n        title: x\n        steps:\n{}{}",
            step(""),
            step(second)
        )
    };
    let (_, runs) = run_once(&chain("certificate days: {at_most: 3}, tls version: {exists: true}"));
    assert_passed(&runs[0]);
    let (_, runs) = run_once(&chain("certificate days: {at_least: 14}"));
    assert_eq!(runs[0]["failure"]["reason"], "assertion", "{:#}", runs[0]);
    assert_eq!(runs[0]["failure"]["actual"], "3 days", "{:#}", runs[0]);
}
