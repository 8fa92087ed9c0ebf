//! The hosts to which the host sends secrets that a component does not get.

mod client_certificate;

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::guests::{Guest, PASSES};
use crate::support::proxy::Proxy;
use crate::support::target::Target;
use crate::support::{run_command, run_once, sentrynet};

/// Runs a component once, with these keys in YAML's flow style.
#[track_caller]
fn run(component: &Path, keys: &str) -> Value {
    let probe = format!("groups: [{{probes: [{{probe: '{}', title: t, {keys}}}]}}]", component.display());
    let (_, mut runs) = run_once(&probe);
    assert_eq!(runs.len(), 1);
    runs.remove(0)
}

/// Asserts that the run's log has a warning with this text.
#[track_caller]
fn assert_warned(run: &Value, expected: &str) {
    let lines = run["log"].as_array().expect("a run has a log");
    let is_warning =
        |line: &Value| line["level"] == "warn" && line["message"].as_str().is_some_and(|text| text.contains(expected));
    assert!(lines.iter().any(is_warning), "expected {expected}: {run:#}");
}

/// Returns the file of a built-in component. A component that is loaded from a file counts as a third-party one.
fn component(name: &str) -> PathBuf {
    format!("{}/../probes-wasm/built/{name}.wasm", env!("CARGO_MANIFEST_DIR")).into()
}

/// Returns the values of `authorization` that a target has received.
fn credentials(target: &Target) -> Vec<String> {
    let requests = target.requests();
    requests.iter().filter_map(|request| request.header("authorization").map(str::to_owned)).collect()
}

#[test]
fn a_secret_goes_to_the_host_of_its_settings() {
    let target = Target::new();
    let keys = format!("url: 'http://127.0.0.1:{0}/', auth: {{bearer: sesame}}", target.port);
    let allow = format!("allow: {{hosts: ['127.0.0.1:{}']}}", target.port);
    let passed = run(&component("http"), &format!("{keys}, {allow}"));
    assert_eq!(passed["outcome"], "passed", "{passed:#}");
    assert_eq!(credentials(&target), ["Bearer sesame"]);
    // The operator's list replaces the settings.
    let allow = "allow: {hosts: [127.0.0.1], secret_hosts: {auth: ['https://shop.example']}}".to_string();
    let refused = run(&component("http"), &format!("{keys}, {allow}"));
    let expected = format!(
        "sending the secret setting `/auth` to `http://127.0.0.1:{0}` is not allowed: add \
         `/auth: [\"http://127.0.0.1:{0}\"]` to `allow.secret_hosts` of this probe",
        target.port
    );
    assert_warned(&refused, &expected);
    assert_eq!(refused["failure"]["reason"], "gave-up", "{refused:#}");
    assert_eq!(target.requests().len(), 1);
}

#[test]
fn a_secret_does_not_go_to_a_host_that_a_target_names() {
    let thief = Target::new();
    let next = format!("http://127.0.0.1:{}/", thief.port);
    let body = format!(r#"{{"next": "{next}"}}"#);
    let target = Target::responding(move |_| format!("200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()));
    let keys = |allow: &str| {
        format!(
            "steps: [{{url: 'http://127.0.0.1:{}/', set_keys: {{next: $.next}}}},
                     {{url: '{{next}}', auth: {{bearer: sesame}}}}], allow: {{hosts: [127.0.0.1]{allow}}}",
            target.port
        )
    };
    let refused = run(&component("chain"), &keys(""));
    assert_warned(
        &refused,
        &format!("sending the secret setting `/steps/1/auth` to `http://127.0.0.1:{}`", thief.port),
    );
    assert_eq!(thief.requests().len(), 0);
    let listed = format!(", secret_hosts: {{/steps/1/auth: ['http://127.0.0.1:{}']}}", thief.port);
    assert_eq!(run(&component("chain"), &keys(&listed))["outcome"], "passed");
    assert_eq!(credentials(&thief), ["Bearer sesame"]);
    // A built-in probe does what its settings say.
    assert_eq!(run(Path::new("chain"), &keys(""))["outcome"], "passed");
    assert_eq!(credentials(&thief).len(), 2);
}

/// Returns a guest that sends a request to this URL, with the setting `/token` as its credentials. Before it sends the
/// request, the guest calls these functions of the request, each with a text.
fn guest_with_options(name: &str, url: &str, options: &[(&str, &str)]) -> PathBuf {
    const IMPORTS: &str = r#"
      (import "sentrynet:probe/http@0.1.0" "[static]request.new" (func $request (param i32 i32 i32 i32 i32)))
      (import "sentrynet:probe/http@0.1.0" "[method]request.send" (func $send (param i32 i32)))
      (import "sentrynet:probe/http@0.1.0" "[method]request.authenticate" (func $authenticate (param i32 i32 i32 i32)))
      (import "sentrynet:probe/http@0.1.0" "[method]request.verify-tls" (func $verify-tls (param i32 i32)))
      (import "sentrynet:probe/http@0.1.0" "[method]request.proxy" (func $proxy (param i32 i32 i32 i32)))
      (import "sentrynet:probe/http@0.1.0" "[method]request.connect-to" (func $connect-to (param i32 i32 i32 i32)))
      (import "sentrynet:probe/http@0.1.0" "[method]request.dns-server" (func $dns-server (param i32 i32 i32 i32)))
      (import "sentrynet:probe/http@0.1.0" "[method]request.source-address" (func $source-address (param i32 i32 i32 i32)))
      (import "sentrynet:probe/log@0.1.0" "write" (func $log (param i32 i32 i32)))"#;
    let texts: String = ["GET", url, "/token"].into_iter().chain(options.iter().map(|(_, value)| *value)).collect();
    let mut end = 3000;
    let mut place = |text: &str| {
        let start = end;
        end += text.len();
        format!("(i32.const {start}) (i32.const {})", text.len())
    };
    let (method, address, token) = (place("GET"), place(url), place("/token"));
    let option = |(name, value): &(&str, &str)| match *name {
        "verify-tls" => "(call $verify-tls (global.get $handle) (i32.const 0))".to_owned(),
        // Writes the error of the option to the log, if there is one.
        name => format!(
            "(call ${name} (global.get $handle) {} (i32.const 1200))
             (if (i32.load8_u (i32.const 1200)) (then
               (call $log (i32.const 1) (i32.load offset=4 (i32.const 1200)) (i32.load offset=8 (i32.const 1200)))))",
            place(value)
        ),
    };
    let options: String = options.iter().map(option).collect();
    let run = format!(
        "(call $request {method} {address} (i32.const 1200))
         (global.set $handle (i32.load offset=4 (i32.const 1200)))
         {options}
         (call $authenticate (global.get $handle) {token} (i32.const 1200))
         (call $send (global.get $handle) (i32.const 1200))
         i32.const 0"
    );
    let define = format!("(global $handle (mut i32) (i32.const 0)) (data (i32.const 3000) \"{texts}\")");
    // The allocator begins behind the texts.
    let define = format!("{define} (func $skip (global.set $free (i32.const 8192))) (start $skip)");
    Guest { imports: IMPORTS, define: define.leak(), run: run.leak(), ..PASSES }.write(name)
}

#[test]
fn a_secret_is_not_sent_with_options_that_a_component_chooses() {
    let (target, proxy) = (Target::new(), Proxy::start_http(None));
    let (port, through) = (target.port, format!("http://127.0.0.1:{}", proxy.port));
    let url = format!("http://localhost:{port}/");
    let elsewhere = format!("127.0.0.1:{port}");
    let settings =
        format!("token: {{bearer: sesame}}, url: '{url}', allow: {{hosts: [localhost, 127.0.0.1], log: true}}");
    let cases = [
        ("proxy", "proxy", &through),
        ("connect-to", "connect_to", &elsewhere),
        ("dns-server", "dns_server", &elsewhere),
    ];
    for (function, option, value) in cases {
        let guest = guest_with_options(&format!("chooses-{function}"), &url, &[(function, value)]);
        let refused = run(&guest, &settings);
        assert_warned(&refused, &format!("a secret is not sent with a `{option}` that the component chooses"));
        assert_eq!((target.requests().len(), proxy.requests().len()), (0, 0), "{function}");
    }
    let guest = guest_with_options("chooses-proxy-of-settings", &url, &[("proxy", &through)]);
    run(&guest, &format!("{settings}, via: '{through}'"));
    assert_eq!(credentials(&target), ["Bearer sesame"]);
    let guest = guest_with_options("chooses-no-tls", &url, &[("verify-tls", "")]);
    // A setting of another request does not count.
    for elsewhere in ["", ", other: {verify_tls: false}", ", list: [{verify_tls: false}]"] {
        assert_warned(&run(&guest, &format!("{settings}{elsewhere}")), "add `verify_tls: false` beside the secret");
    }
    assert_eq!(credentials(&target).len(), 1);
    run(&guest, &format!("{settings}, verify_tls: false"));
    assert_eq!(credentials(&target).len(), 2);
}

#[test]
fn a_component_does_not_get_a_secret_that_its_host_repeats() {
    let target = Target::responding(|requests| {
        let shown = requests.last().and_then(|request| request.header("authorization")).unwrap_or_default();
        format!("200 OK\r\nx-seen: {shown}\r\ncontent-length: {}\r\n\r\n{shown}", shown.len())
    });
    let keys = |secret: &str, shown: &str| {
        format!(
            "url: 'http://127.0.0.1:{}/', auth: {secret}, allow: {{hosts: [127.0.0.1]}},
             checks: {{body: {{equals: '{shown}'}}, header x-seen: {{equals: '{shown}'}}}}",
            target.port
        )
    };
    for (secret, shown) in
        [("{bearer: open-sesame}", "Bearer"), ("{basic: {username: ada, password: open-sesame}}", "Basic")]
    {
        let passed = run(&component("http"), &keys(secret, &format!("{shown} [Filtered]")));
        assert_eq!(passed["outcome"], "passed", "{passed:#}");
    }
    assert_eq!(credentials(&target), ["Bearer open-sesame", "Basic YWRhOm9wZW4tc2VzYW1l"]);
}

#[test]
fn a_component_cannot_choose_the_host_of_a_secret() {
    let (target, thief) = (Target::new(), Target::new());
    let guest = guest_with_options("chooses-host", &format!("http://127.0.0.1:{}/", thief.port), &[]);
    let keys = |more: &str| {
        let (own, allow) =
            (format!("http://127.0.0.1:{}/", target.port), format!("allow: {{hosts: [127.0.0.1]{more}}}"));
        format!("token: {{bearer: sesame}}, url: '{own}', {allow}")
    };
    assert_warned(&run(&guest, &keys("")), "sending the secret setting `/token` to `http://127.0.0.1:");
    // Nor does the host fetch an OAuth2 token for such a request.
    let oauth2 =
        format!("{{oauth2: {{token_url: 'http://127.0.0.1:{}/', client_id: me, client_secret: s}}}}", target.port);
    assert_warned(&run(&guest, &keys("").replace("{bearer: sesame}", &oauth2)), "sending the secret setting `/token`");
    assert_eq!((target.requests().len(), thief.requests().len()), (0, 0));
    run(&guest, &keys(&format!(", secret_hosts: {{token: ['http://127.0.0.1:{}']}}", thief.port)));
    assert_eq!(credentials(&thief), ["Bearer sesame"]);
}

#[test]
fn a_component_does_not_find_out_addresses_of_this_machine() {
    let target = Target::new();
    let url = format!("http://127.0.0.1:{}/", target.port);
    let tries = [("source-address", "127.0.0.1"), ("source-address", "192.0.2.1")];
    let guest = guest_with_options("finds-addresses", &url, &tries);
    let run = run(&guest, &format!("url: '{url}', token: {{bearer: x}}, allow: {{hosts: [127.0.0.1], log: true}}"));
    let lines: Vec<_> = run["log"].as_array().expect("a run has a log").iter().map(|line| &line["message"]).collect();
    assert_eq!(lines, ["the probe's settings do not have this source address"; 2], "{run:#}");
}

#[test]
fn a_password_does_not_go_to_a_server_that_a_component_chooses() {
    const IMPORTS: &str = r#"
      (import "sentrynet:probe/ssh@0.1.0" "[static]client.new" (func $client (param i32 i32 i32 i32)))
      (import "sentrynet:probe/ssh@0.1.0" "[method]client.password" (func $password (param i32 i32 i32 i32)))
      (import "sentrynet:probe/ssh@0.1.0" "[method]client.host-key" (func $host-key (param i32 i32 i32 i32)))
      (import "sentrynet:probe/ssh@0.1.0" "[method]client.connect" (func $connect (param i32 i32)))"#;
    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    let server = Target::new();
    let define = format!(
        "(global $handle (mut i32) (i32.const 0)) (data (i32.const 3000) \"127.0.0.1/token{KEY}\")
        (func $skip (global.set $free (i32.const 8192))) (start $skip)"
    );
    let run_with = |name: &str, key: &str| {
        let run = format!(
            "(call $client (i32.const 3000) (i32.const 9) (i32.const {}) (i32.const 1200))
             (global.set $handle (i32.load offset=4 (i32.const 1200)))
             (call $password (global.get $handle) (i32.const 3009) (i32.const 6) (i32.const 1200))
             {key}
             (call $connect (global.get $handle) (i32.const 1200))
             i32.const 0",
            server.port
        );
        Guest { imports: IMPORTS, define: define.clone().leak(), run: run.leak(), ..PASSES }.write(name)
    };
    let guest = run_with("chooses-server", "");
    let keys =
        |port: u16| format!("token: sesame, host: 127.0.0.1, port: {port}, allow: {{ssh: {{hosts: [127.0.0.1]}}}}");
    let expected = format!("sending the secret setting `/token` to `ssh://127.0.0.1:{}` is not allowed", server.port);
    assert_warned(&run(&guest, &keys(1)), &expected);
    let key =
        format!("(call $host-key (global.get $handle) (i32.const 3015) (i32.const {}) (i32.const 1200))", KEY.len());
    let guest = run_with("chooses-key", &key);
    assert_warned(
        &run(&guest, &keys(server.port)),
        "a secret is not sent with a `host_key` that the component chooses",
    );
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn check_warns_of_a_secret_that_a_run_will_be_refused() {
    let configuration = format!(
        "groups:\n  - probes:\n      - probe: '{}'\n        url: https://shop.example/\n        auth: {{bearer: \"${{env:USER:-sesame}}\"}}\n        \
         allow: {{hosts: [shop.example], secret_hosts: {{auth: [https://other.example]}}}}\n",
        component("http").display()
    );
    let ended = run_command(sentrynet().args(["check", "-"]), &configuration);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let expected = "warning: sending the secret setting `/auth` to `https://shop.example` is not allowed";
    assert!(ended.stderr.contains(expected), "{}", ended.stderr);
}

#[test]
fn an_entry_that_names_no_setting_is_an_error() {
    let component = component("http").display().to_string();
    let check = |configuration: &str| run_command(sentrynet().args(["check", "-"]), configuration);
    let own = check(&format!(
        "groups:\n  - probes:\n      - probe: '{component}'\n        url: https://shop.example/\n        \
         auth: {{bearer: \"${{env:USER:-sesame}}\"}}\n        allow:\n          hosts: [shop.example]\n          \
         secret_hosts: {{aut: [https://shop.example]}}\n"
    ));
    assert_eq!(own.code, 2, "{}", own.stderr);
    let expected =
        "`allow.secret_hosts` of this probe names `/aut`, but there is no setting `aut`, did you mean `auth`?";
    assert!(own.stderr.contains(expected) && own.stderr.contains(":8:"), "{}", own.stderr);
    let module = |entry: &str| {
        check(&format!(
            "modules: {{shop: {{component: '{component}', allow: {{hosts: [shop.example], secret_hosts: {{{entry}: \
             [https://shop.example]}}}}}}}}\ngroups: [{{probes: [{{probe: shop, url: https://shop.example/}}]}}]\n"
        ))
    };
    let wrong = module("/outh/bearer");
    assert_eq!(wrong.code, 2, "{}", wrong.stderr);
    let expected = "`allow.secret_hosts` of the module `shop` names `/outh/bearer`, but there is no setting `outh`";
    assert!(wrong.stderr.contains(expected), "{}", wrong.stderr);
    // Another probe of the module may have the setting.
    assert_eq!(module("/auth/bearer").code, 0);
}
