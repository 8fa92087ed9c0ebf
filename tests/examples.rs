//! The example configurations: each is run against local servers, and all its probes must pass.

use std::fs;
use std::process::Command;

use serde_json::Value;

use crate::support::certificates::Certificates;
use crate::support::dns::DnsServer;
use crate::support::nginx::Nginx;
use crate::support::proxy::Proxy;
use crate::support::receiver::Receiver;
use crate::support::ssh_server::{self, RequiredAuth};
use crate::support::sshd::{Agent, Sshd, generate_key};
use crate::support::{empty_folder, free_port, restrict_to_owner, run_command, sentrynet};

mod built;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples");

/// Runs an example after replacing its addresses by local ones. Returns its runs, all of which have passed.
#[track_caller]
fn run_example(name: &str, replace: &[(&str, &str)], environment: &[(&str, &str)]) -> Vec<Value> {
    let mut text = fs::read_to_string(format!("{FOLDER}/{name}.yaml")).expect("the example exists");
    for (from, to) in replace {
        assert!(text.contains(from), "{from} is no longer in examples/{name}.yaml");
        text = text.replace(from, to);
    }
    let file = empty_folder(&format!("examples-{name}")).join("probes.yaml");
    fs::write(&file, text).expect("the folder is writable");
    let program = |program: &mut Command| {
        program.envs(environment.iter().copied());
        run_command(program.env("SENTRYNET_LOG", "warn").arg("check").arg(&file), "")
    };
    let checked = program(&mut sentrynet());
    assert_eq!((checked.code, checked.stderr.as_str()), (0, ""), "{name}.yaml");
    let mut program = sentrynet();
    program.envs(environment.iter().copied()).args(["once", "--format", "json"]).arg(&file);
    let ended = run_command(&mut program, "");
    let runs: Vec<Value> =
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stderr));
    for run in &runs {
        assert_eq!(run["outcome"], "passed", "{name}.yaml, {}: {:#}", run["title"], run["failure"]);
    }
    assert_eq!(ended.code, 0);
    runs
}

/// Returns an nginx server block on a port, without TLS, or with the certificate `good`.
fn server_block(port: u16, certificates: Option<&Certificates>, more: &str) -> String {
    let tls = certificates.map(|certificates| {
        let home = certificates.folder.display();
        format!(" ssl http2; ssl_certificate {home}/good.pem; ssl_certificate_key {home}/good.key")
    });
    format!("server {{ listen 127.0.0.1:{port}{}; {more} }}\n", tls.unwrap_or_default())
}

/// Creates a folder with an authority and a certificate `good` for these hosts.
fn create_certificates(name: &str, hosts: &[&str]) -> Certificates {
    let certificates = Certificates::new(&empty_folder(&format!("examples-{name}-certificates")));
    certificates.certify("good", hosts, 2100);
    certificates
}

#[test]
fn every_example_is_tested() {
    let files = fs::read_dir(FOLDER).expect("there are examples").flatten();
    let names = files.filter_map(|file| file.file_name().to_str()?.strip_suffix(".yaml").map(str::to_owned));
    // tests/packaging.rs tests the manifest.
    let mut names: Vec<_> = names.filter(|name| name != "kubernetes").collect();
    names.sort();
    assert_eq!(names, ["chain", "checks", "http", "network", "secrets", "sentry", "ssh"]);
}

#[test]
fn the_http_example_passes() {
    let certificates = create_certificates("http", &["localhost"]);
    let (shop, stock) = (free_port(), free_port());
    let order = r#"{"total": 12.5, "items": [{"sku": "teapot"}, {"sku": "cup"}]}"#;
    let locations = format!(
        "location = /orders {{
           if ($args != dry_run=true) {{ return 400; }}
           if ($http_x_request_source != synthetic) {{ return 400; }}
           return 200 '{order}';
         }}
         location = / {{ return 200; }}"
    );
    let servers = server_block(shop, Some(&certificates), &locations)
        + &server_block(stock, Some(&certificates), "location = /status { return 200; }");
    let _nginx = Nginx::start("examples-http", &[shop, stock], &servers);
    let replace = [
        ("https://shop.example", format!("https://localhost:{shop}")),
        ("https://stock.internal:8443", format!("https://localhost:{stock}")),
    ];
    let replace = replace.each_ref().map(|(from, to)| (*from, to.as_str()));
    let runs = run_example("http", &replace, &[("SSL_CERT_FILE", &certificates.ca())]);
    assert_eq!(runs.len(), 3);
}

#[test]
fn the_chain_example_passes() {
    let certificates = create_certificates("chain", &["localhost"]);
    let port = free_port();
    let log = certificates.folder.join("access.log").display().to_string();
    let member = "if ($http_authorization != 'Bearer t0k3n') { return 401; }
        if ($cookie_session != 's1') { return 403; }";
    let locations = format!(
        "location = /login {{
           add_header set-cookie 'session=s1; Path=/' always;
           return 201 '{{\"token\": \"t0k3n\", \"account\": {{\"id\": 7}}}}';
         }}
         location = /accounts/7/basket {{ {member} return 200 '{{\"items\": [1], \"total\": 12.5}}'; }}
         location = /pay {{ {member} if ($args != 'amount=12.50&dry_run=true') {{ return 400; }} return 201; }}
         location = /session {{ if ($cookie_session != 's1') {{ return 403; }} access_log {log} method_and_uri; return 204; }}"
    );
    let servers = "log_format method_and_uri '$request_method $uri';\n".to_owned()
        + &server_block(port, Some(&certificates), &locations);
    let _nginx = Nginx::start("examples-chain", &[port], &servers);
    let shop = format!("https://localhost:{port}");
    run_example("chain", &[("https://shop.example", &shop)], &[("SSL_CERT_FILE", &certificates.ca())]);
    assert_eq!(fs::read_to_string(log).expect("nginx writes it"), "DELETE /session\n");
}

#[test]
fn the_checks_example_passes() {
    let certificates = create_certificates("checks", &["localhost"]);
    let (tls, plain) = (free_port(), free_port());
    let catalogue = r#"{"state": "up", "items": [{"sku": "teapot", "price": 12.5}, {"sku": "cup", "price": 3.5, "stock": 7}],
        "currency": "EUR", "owner": {"id": 7, "name": "Ada"}, "updated": "2026-01-02", "version": 3}"#;
    let shop = format!("https://localhost:{tls}");
    let servers = server_block(tls, Some(&certificates), &{
        format!("location = /catalogue {{ add_header x-items 2; return 200 '{catalogue}'; }}")
    }) + &server_block(plain, None, &format!("location / {{ return 301 {shop}/; }}"));
    let _nginx = Nginx::start("examples-checks", &[tls, plain], &servers);
    let clear = format!("http://localhost:{plain}");
    let replace = [("https://shop.example", shop.as_str()), ("http://shop.example", &clear)];
    let runs = run_example("checks", &replace, &[("SSL_CERT_FILE", &certificates.ca())]);
    assert!(runs.iter().all(|run| run["attempts"] == 1), "{runs:#?}");
}

#[test]
fn the_network_example_passes() {
    let names = ["shop.example", "www.shop.example", "partners.shop.example"];
    let certificates = create_certificates("network", &names);
    certificates.certify("partner", &["partner"], 2100);
    let file = |name: &str| certificates.folder.join(name).display().to_string();
    restrict_to_owner(file("partner.key").as_ref());
    let ports = [free_port(), free_port(), free_port()];
    let [tls, partners, plain] = ports;
    let welcome = "Welcome to the shop. ".repeat(100);
    let form =
        "grant_type=client_credentials&scope=status&audience=shop&client_id=sentrynet&client_secret=not-a-real-secret";
    let locations = format!(
        "gzip on; gzip_types text/plain application/json;
         location = /page {{
           if ($http_user_agent !~ ^Mozilla/5.0) {{ return 403; }}
           if ($http_accept_encoding !~ gzip) {{ return 406; }}
           return 200 '{welcome}';
         }}
         location = /basic {{ if ($http_authorization != 'Basic YWRhOm9wZW4gc2VzYW1l') {{ return 401; }} return 200; }}
         location = /bearer {{ if ($http_authorization != 'Bearer not-a-real-token') {{ return 401; }} return 200; }}
         location = /oauth2 {{ if ($http_authorization != 'Bearer fetched') {{ return 401; }} return 200; }}
         # In nginx, `$request_body` is empty unless the request is proxied.
         location = /token {{ proxy_pass http://127.0.0.1:{plain}/issue; proxy_set_header x-form $request_body; }}
         location = /issue {{
           if ($http_x_form != '{form}') {{ return 400; }}
           return 200 '{{\"access_token\": \"fetched\", \"token_type\": \"Bearer\", \"expires_in\": 60}}';
         }}"
    );
    let status = "location = /status { return 200; }";
    let verify = format!("ssl_client_certificate {}; ssl_verify_client on; {status}", certificates.ca());
    let servers = server_block(tls, Some(&certificates), status)
        + &server_block(partners, Some(&certificates), &verify)
        + &server_block(plain, None, &locations);
    let _nginx = Nginx::start("examples-network", &ports, &servers);
    let dns = DnsServer::with_name("www.shop.example", &["127.0.0.1"]);
    let proxy = Proxy::start_http(None);
    let replace = [
        ("https://shop.example", format!("https://shop.example:{tls}")),
        ("https://www.shop.example", format!("https://www.shop.example:{tls}")),
        ("https://partners.shop.example", format!("https://partners.shop.example:{partners}")),
        ("http://localhost:8080", format!("http://localhost:{plain}")),
        ("backend-1.shop.example", "127.0.0.1".to_owned()),
        ("backend-2.shop.example", format!("127.0.0.1:{partners}")),
        ("9.9.9.9", format!("127.0.0.1:{}", dns.port)),
        ("proxy.example:3128", format!("127.0.0.1:{}", proxy.port)),
        ("./shop-ca.pem", certificates.ca()),
        ("./partner.pem", file("partner.pem")),
        ("./partner.key", file("partner.key")),
    ];
    let replace = replace.each_ref().map(|(from, to)| (*from, to.as_str()));
    let runs = run_example("network", &replace, &[]);
    assert_eq!(runs.len(), 8);
    assert!(dns.queries().iter().any(|request| request.name == "www.shop.example"), "{:?}", dns.queries());
    let requests = proxy.requests();
    assert!(requests.len() == 1 && requests[0].starts_with(&format!("CONNECT shop.example:{tls} ")), "{requests:?}");
}

#[test]
fn the_ssh_example_passes() {
    let sshd = Sshd::openssh("examples", "");
    let known_hosts = sshd.known_hosts(&[&sshd.host_key("ed25519")]);
    let identity = generate_key(&sshd.home, "encrypted", &["-t", "ed25519"], "open sesame");
    let mut authorized = fs::read_to_string(sshd.file("id_ed25519.pub")).expect("the public key exists");
    authorized += &fs::read_to_string(format!("{identity}.pub")).expect("the public key exists");
    fs::write(sshd.home.join(".ssh/authorized_keys"), authorized).expect("the folder is writable");
    let agent = Agent::start("examples", &[&sshd.file("id_ed25519")]);
    let (console, fingerprint) = ssh_server::start(RequiredAuth::Password);
    let accepted = empty_folder("examples-ssh-accepted").join("known_hosts");
    let replace = [
        ("host: gate.example\n        port: 22 ", format!("host: 127.0.0.1\n        port: {} ", sshd.port)),
        ("host: gate.example", format!("host: 127.0.0.1\n        port: {}", sshd.port)),
        ("host: console.example", format!("host: 127.0.0.1\n        port: {console}")),
        ("username: backup", format!("username: {}", sshd.user)),
        ("./known_hosts_of_its_own", accepted.display().to_string()),
        ("./known_hosts", known_hosts),
        ("./id_ed25519", identity),
        ("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", sshd.fingerprint("ed25519")),
        ("SHA256:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE", fingerprint),
    ];
    let replace = replace.each_ref().map(|(from, to)| (*from, to.as_str()));
    let runs = run_example("ssh", &replace, &[("SSH_AUTH_SOCK", &agent.socket.display().to_string())]);
    assert_eq!(runs.len(), 4);
    assert!(!format!("{runs:?}").contains("open sesame"));
    let accepted = fs::read_to_string(accepted).expect("the accepted host key was written");
    assert_eq!(accepted, format!("[127.0.0.1]:{} {}\n", sshd.port, sshd.host_key("ed25519")));
}

#[test]
fn the_secrets_example_passes() {
    let certificates = create_certificates("secrets", &["localhost"]);
    let port = free_port();
    // nginx's syntax cannot express a literal `$`: the argument is compared in its percent-encoded form.
    let locations = "location = /eu/orders {
        if ($http_authorization != 'Bearer t0p-s3cret') { return 401; }
        if ($http_x_api_key != 'an-api-key') { return 403; }
        if ($http_x_tenant != 'the first') { return 404; }
        if ($args != 'template=%24%7BHOME%7D') { return 400; }
        return 200;
    }";
    let _nginx = Nginx::start("examples-secrets", &[port], &server_block(port, Some(&certificates), locations));
    let key = certificates.folder.join("api-key").display().to_string();
    fs::write(&key, "an-api-key\n").expect("the folder is writable");
    restrict_to_owner(key.as_ref());
    let shop = format!("https://localhost:{port}");
    let replace = [("https://shop.example", shop.as_str()), ("/run/secrets/shop-api-key", &key)];
    let runs = run_example("secrets", &replace, &[("SSL_CERT_FILE", &certificates.ca()), ("SHOP_TOKEN", "t0p-s3cret")]);
    let shown = format!("{runs:?}");
    assert!(!shown.contains("t0p-s3cret") && !shown.contains("an-api-key"), "{shown}");
}

#[test]
fn the_sentry_example_passes() {
    let certificates = create_certificates("sentry", &["localhost"]);
    let port = free_port();
    let locations = "location / { if ($http_traceparent = '') { return 400; } return 200; }";
    let _nginx = Nginx::start("examples-sentry", &[port], &server_block(port, Some(&certificates), locations));
    let receiver = Receiver::start();
    let spool = empty_folder("examples-sentry-spool");
    let shop = format!("https://localhost:{port}");
    let replace = [
        ("https://shop.example", shop.as_str()),
        ("https://0123456789abcdef0123456789abcdef@o1.ingest.sentry.io/42", &receiver.dsn()),
        ("./spool", &spool.display().to_string()),
    ];
    run_example("sentry", &replace, &[("SSL_CERT_FILE", &certificates.ca())]);
    let all = receiver.received();
    let check_ins = all.iter().filter(|received| received.item_type() == "check_in");
    let mut slugs: Vec<_> =
        check_ins.map(|check_in| check_in.parse_envelope().1[0].1["monitor_slug"].to_string()).collect();
    slugs.sort();
    assert_eq!(slugs, ["\"front-page\"", "\"shop\""]);
    assert!(
        fs::read_dir(spool).expect("the folder can be read").count() > 0,
        "the spool folder that the example names is empty"
    );
}
