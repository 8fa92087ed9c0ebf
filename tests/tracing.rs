//! Trace headers: the hosts that get them, and the hosts that do not.

use serde_json::Value;

use crate::guests::{Guest, PASSES};
use crate::support::target::{Request, Target, ok_response, redirect_response};
use crate::support::{assert_passed, http_config, run_http_probe, run_once, spans};

/// Starts a target that redirects to this URL, except for its path `/end`.
fn start_redirecting_target(to: String) -> Target {
    Target::responding(move |requests| match requests.last() {
        Some(request) if request.line.contains(" /end ") => ok_response(),
        _ => redirect_response(&to),
    })
}

/// Returns true if a request has all trace headers, and false if it has none. Panics if it has some of them.
#[track_caller]
fn has_trace_headers(request: &Request) -> bool {
    let has_headers = ["sentry-trace", "baggage", "traceparent"].map(|name| request.header(name).is_some());
    assert!(has_headers == [true; 3] || has_headers == [false; 3], "{request:#?}");
    has_headers[0]
}

/// The configuration with which a target gets all trace headers.
const ALL_HEADERS: &str = "trace_headers: {traceparent: true}";

/// Runs a chain with these keys, which must pass. Returns the run.
#[track_caller]
fn run_chain(keys: &str) -> Value {
    let (_, mut runs) =
        run_once(&http_config(&format!("title: Shop\n{keys}\n{ALL_HEADERS}")).replace("probe: http", "probe: chain"));
    assert_passed(&runs[0]);
    runs.remove(0)
}

#[test]
fn traceparent_has_the_same_ids_and_flag_as_sentry_trace() {
    let target = Target::new();
    let url = format!("url: http://127.0.0.1:{}/", target.port);
    let run = run_http_probe(&format!("{url}\n{ALL_HEADERS}"));
    run_http_probe(&format!("{url}\ntrace_headers: {{mode: sampled, traceparent: true}}"));
    run_http_probe(&format!("{url}\ntrace_headers: {{mode: off, traceparent: true}}"));
    run_http_probe(&url);
    let ids = |run: &Value| {
        let span = &spans(run, "http.client")[0]["span_id"];
        format!("{}-{}", run["trace_id"].as_str().expect("an id is text"), span.as_str().expect("an id is text"))
    };
    let requests = target.requests();
    let headers = |index: usize| ["sentry-trace", "traceparent"].map(|name| requests[index].header(name));
    assert_eq!(headers(0), [Some(&*format!("{}-0", ids(&run))), Some(&*format!("00-{}-00", ids(&run)))]);
    let [Some(sentry), Some(w3c)] = headers(1) else { panic!("{:#?}", requests[1]) };
    assert_eq!(format!("00-{}-01", sentry.strip_suffix("-1").expect("the run is sampled")), w3c);
    assert!(!has_trace_headers(&requests[2]));
    assert!(requests[3].header("sentry-trace").is_some() && requests[3].header("traceparent").is_none());
}

#[test]
fn trace_headers_of_a_group_apply_to_its_probes() {
    let target = Target::new();
    let port = target.port;
    let (code, _) = run_once(&format!(
        "sentry: {{trace_headers: sampled}}
groups:
  - trace_headers: {{traceparent: true}}
    probes:
      - {{probe: http, url: 'http://127.0.0.1:{port}/both'}}
      - {{probe: http, url: 'http://127.0.0.1:{port}/linked', title: b, trace_headers: linked}}
  - probes:
      - {{probe: http, url: 'http://127.0.0.1:{port}/alone', title: c}}
"
    ));
    assert_eq!(code, 0);
    let requests = target.requests();
    let flags = |path: &str| {
        let request = requests.iter().find(|request| request.line.contains(path)).expect("each path gets one request");
        ["sentry-trace", "traceparent"]
            .map(|name| request.header(name).map(|value| value[value.len() - 1..].to_owned()))
    };
    let [yes, no] = ["1", "0"].map(|flag| Some(flag.to_owned()));
    assert_eq!(flags("/both"), [yes.clone(), yes.clone()]);
    assert_eq!(flags("/linked"), [no.clone(), no]);
    assert_eq!(flags("/alone"), [yes, None]);
}

#[test]
fn a_redirect_to_an_unnamed_host_gets_no_trace_headers() {
    let other = Target::new();
    let port = other.port;
    let [name, address] = [format!("localhost:{port}"), format!("127.0.0.1:{port}")];
    let locations = [
        format!("http://{name}/"),
        format!("http://{address}/"),
        format!("http://127.0.0.1:80@{name}/"),
        format!("//{name}/127.0.0.1"),
        format!("//LOCALHOST:{port}/"),
    ];
    for location in locations {
        let first = start_redirecting_target(location.clone());
        let url = format!("url: http://127.0.0.1:{}/", first.port);
        let has_headers = |keys: &str| {
            assert_passed(&run_http_probe(&format!("{url}\n{keys}")));
            assert!(has_trace_headers(first.requests().last().expect("the target got a request")));
            has_trace_headers(other.requests().last().expect("the second target got a request"))
        };
        assert!(!has_headers(ALL_HEADERS), "{location}");
        assert!(
            !has_headers("trace_headers: {traceparent: true, hosts: ['*.localhost', localhost.evil.example]}"),
            "{location}"
        );
        let hosts = format!("trace_headers: {{traceparent: true, hosts: [localhost, '{address}']}}");
        assert!(has_headers(&hosts), "{location}");
        // A host in any setting counts as named.
        assert!(
            has_headers(&format!("{ALL_HEADERS}\nheaders: {{x-peers: '{name}'}}")) || location.contains(&address),
            "{location}"
        );
    }
}

#[test]
fn each_hop_to_a_named_host_has_its_own_span_in_the_headers() {
    let between = Target::responding(|requests| {
        let back =
            requests.last().and_then(|request| request.line.split([' ', '/']).nth(2)).unwrap_or_default().to_owned();
        redirect_response(&format!("http://{back}/end"))
    });
    let away = between.port;
    let first = Target::responding(move |requests| match requests.last() {
        Some(request) if request.line.contains(" /end ") => ok_response(),
        Some(request) if request.line.contains(" /on ") => {
            redirect_response(&format!("http://localhost:{away}/{}", request.header("host").unwrap_or_default()))
        }
        _ => redirect_response("/on"),
    });
    let run = run_http_probe(&format!("url: http://127.0.0.1:{}/\n{ALL_HEADERS}", first.port));
    assert_passed(&run);
    assert!(!has_trace_headers(&between.single_request()));
    let has_headers: Vec<_> =
        first.requests().iter().map(|request| request.header("sentry-trace").map(str::to_owned)).collect();
    let trace = run["trace_id"].as_str().expect("an id is text");
    let hops = spans(&run, "http.client").into_iter().map(|span| span["span_id"].as_str().expect("an id is text"));
    let mut expected: Vec<_> = hops.map(|span| Some(format!("{trace}-{span}-0"))).collect();
    expected.remove(2);
    assert_eq!(has_headers, expected);
}

#[test]
fn a_host_from_a_response_gets_no_trace_headers() {
    let other = Target::new();
    let next = format!("{{\"next\": \"http://localhost:{}/next\", \"host\": \"localhost\"}}", other.port);
    let target = Target::responding(move |_| {
        format!("200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{next}", next.len())
    });
    let step = "set_keys: {next: $.next, host: $.host}";
    let keys = format!("init_keys: {{base: 'http://127.0.0.1:{}', port: {}}}", target.port, other.port);
    run_chain(&format!("{keys}\nsteps: [{{url: '{{base}}/', {step}}}, {{url: '{{next}}'}}]"));
    run_chain(&format!("{keys}\nsteps: [{{url: '{{base}}/', {step}}}, {{url: 'http://{{host}}:{{port}}/'}}]"));
    assert_eq!(target.requests().iter().map(has_trace_headers).collect::<Vec<_>>(), [true, true]);
    assert_eq!(other.requests().iter().map(has_trace_headers).collect::<Vec<_>>(), [false, false]);
    // Here the configuration names the same host.
    run_chain(&format!(
        "init_keys: {{host: localhost, port: {}}}\nsteps: [{{url: 'http://{{host}}:{{port}}/'}}]",
        other.port
    ));
    run_chain(&format!("init_keys: {{port: {}}}\nsteps: [{{url: 'http://localhost:{{port}}/'}}]", other.port));
    assert_eq!(other.requests().iter().map(has_trace_headers).collect::<Vec<_>>(), [false, false, true, true]);
}

#[test]
fn every_spelling_of_a_named_host_gets_trace_headers() {
    let target = Target::new();
    let run_chain =
        |steps: &str| run_chain(&format!("init_keys: {{home: 'LocalHost:{}'}}\nsteps: {steps}", target.port));
    for host in ["localhost", "LOCALHOST", "user:pass@localhost", "%6Cocalhost"] {
        run_chain(&format!("[{{url: 'http://{host}:{}/'}}]", target.port));
        assert!(has_trace_headers(target.requests().last().expect("the target got a request")), "{host}");
    }
    let Ok(six) = Target::responding_at("[::1]:0", |_| ok_response()) else { return };
    assert_passed(&run_http_probe(&format!("url: 'http://[0:0::1]:{}/'\n{ALL_HEADERS}", six.port)));
    assert!(has_trace_headers(&six.single_request()));
}

#[test]
fn a_host_built_into_a_component_gets_no_trace_headers() {
    let target = Target::new();
    let url = format!("http://127.0.0.1:{}/", target.port);
    let guest = Guest {
        imports: r#"(import "sentrynet:probe/http@0.1.0" "[static]request.new" (func $new (param i32 i32 i32 i32 i32)))
            (import "sentrynet:probe/http@0.1.0" "[method]request.send" (func $send (param i32 i32)))"#,
        define: format!("(data (i32.const 1536) \"GET{url}\")").leak(),
        run: format!(
            "i32.const 1536 i32.const 3 i32.const 1539 i32.const {} i32.const 1800 call $new
             i32.const 1804 i32.load i32.const 1840 call $send i32.const 0",
            url.len()
        )
        .leak(),
        ..PASSES
    };
    let file = guest.write("tracing-own-host");
    let run = |more: &str| {
        let probe = format!("{{probe: '{}', {ALL_HEADERS}, allow: {{hosts: [127.0.0.1]}}, {more}}}", file.display());
        assert_passed(&run_once(&format!("groups: [{{probes: [{probe}]}}]")).1[0]);
        has_trace_headers(target.requests().last().expect("the target got a request"))
    };
    assert!(!run("colour: green"));
    assert!(!run("home: 'http://127.0.0.1:1/'"));
    assert!(run(&format!("home: '{url}'")));
    assert!(run("peers: [{address: 127.0.0.1}]"));
}

#[test]
fn a_token_server_gets_trace_headers_only_if_it_is_named() {
    let token = r#"{"access_token": "t", "token_type": "Bearer"}"#;
    let tokens = Target::responding(move |_| {
        format!("200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{token}", token.len())
    });
    let target = Target::new();
    let run = |more: &str| {
        let token_url = format!("http://localhost:{}/", tokens.port);
        let auth = format!("auth: {{oauth2: {{token_url: '{token_url}', client_id: a, client_secret: b}}}}");
        assert_passed(&run_http_probe(&format!("url: http://127.0.0.1:{}/\n{auth}\n{more}", target.port)));
        assert!(has_trace_headers(target.requests().last().expect("the target got a request")));
        has_trace_headers(tokens.requests().last().expect("the token server got a request"))
    };
    assert!(!run(ALL_HEADERS));
    assert!(run("trace_headers: {traceparent: true, hosts: [localhost]}"));
}

#[test]
fn configured_headers_replace_trace_headers() {
    let other = Target::new();
    let target = start_redirecting_target(format!("http://localhost:{}/", other.port));
    let url = format!("url: http://127.0.0.1:{}/\n{ALL_HEADERS}", target.port);
    let values = |request: &Request, name: &str| -> Vec<String> {
        request.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    };

    run_http_probe(&format!("{url}\nheaders: {{baggage: tenant=7}}"));
    let request = target.requests().remove(0);
    let baggage = values(&request, "baggage");
    assert_eq!(
        (baggage.len(), baggage[0].as_str()),
        (2, "tenant=7"),
        "the configured `baggage` and the host's are both sent: {baggage:?}"
    );
    assert!(baggage[1].starts_with("sentry-trace_id="));

    run_http_probe(&format!("{url}\nheaders: {{sentry-trace: mine, traceparent: mine, tracestate: mine}}"));
    let request = target.requests().remove(1);
    for name in ["sentry-trace", "traceparent", "tracestate"] {
        assert_eq!(values(&request, name), ["mine"]);
    }
    assert_eq!(
        request.header("baggage"),
        None,
        "`baggage` of the run's trace is sent beside the configured `sentry-trace`"
    );
    for request in other.requests() {
        for name in ["sentry-trace", "baggage", "traceparent", "tracestate"] {
            assert_eq!(request.header(name), None, "{name} went to another host");
        }
    }
}
