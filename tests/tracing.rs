//! What targets are told of a run's trace, and which are told nothing.

use serde_json::Value;

use crate::guests::{Guest, PASSES};
use crate::support::target::{Asked, Target};
use crate::support::{http, once, passed, probe, spans};

fn yes() -> String {
    "200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".to_owned()
}

fn redirect(to: &str) -> String {
    format!("302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
}

/// A target that redirects to this URL, but for its path `/end`.
fn leading(to: String) -> Target {
    Target::answering(move |asked| match asked.last() {
        Some(asked) if asked.line.contains(" /end ") => yes(),
        _ => redirect(&to),
    })
}

/// Whether a request told of the trace, in all its headers or in none.
#[track_caller]
fn is_told(asked: &Asked) -> bool {
    let told = ["sentry-trace", "baggage", "traceparent"].map(|name| asked.header(name).is_some());
    assert!(told == [true; 3] || told == [false; 3], "{asked:#?}");
    told[0]
}

const ALL: &str = "trace_headers: {traceparent: true}";

/// The runs of chains with these keys and steps.
#[track_caller]
fn chain(keys: &str) -> Value {
    let (_, mut runs) = once(&http(&format!("title: Shop\n{keys}\n{ALL}")).replace("probe: http", "probe: chain"));
    passed(&runs[0]);
    runs.remove(0)
}

#[test]
fn traceparent_says_what_sentrys_own_header_says() {
    let target = Target::new();
    let url = format!("url: http://127.0.0.1:{}/", target.port);
    let run = probe(&format!("{url}\n{ALL}"));
    probe(&format!("{url}\ntrace_headers: {{mode: sampled, traceparent: true}}"));
    probe(&format!("{url}\ntrace_headers: {{mode: off, traceparent: true}}"));
    probe(&url);
    let ids = |run: &Value| {
        let span = &spans(run, "http.client")[0]["span_id"];
        format!("{}-{}", run["trace_id"].as_str().expect("an id is text"), span.as_str().expect("an id is text"))
    };
    let asked = target.asked();
    let headers = |index: usize| ["sentry-trace", "traceparent"].map(|name| asked[index].header(name));
    assert_eq!(headers(0), [Some(&*format!("{}-0", ids(&run))), Some(&*format!("00-{}-00", ids(&run)))]);
    let [Some(sentry), Some(w3c)] = headers(1) else { panic!("{:#?}", asked[1]) };
    assert_eq!(format!("00-{}-01", sentry.strip_suffix("-1").expect("it is sampled")), w3c);
    assert!(!is_told(&asked[2]));
    assert!(asked[3].header("sentry-trace").is_some() && asked[3].header("traceparent").is_none());
}

#[test]
fn a_group_s_trace_headers_are_its_probes() {
    let target = Target::new();
    let port = target.port;
    let (code, _) = once(&format!(
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
    let asked = target.asked();
    let flags = |path: &str| {
        let asked = asked.iter().find(|asked| asked.line.contains(path)).expect("each asks once");
        ["sentry-trace", "traceparent"].map(|name| asked.header(name).map(|value| value[value.len() - 1..].to_owned()))
    };
    let [yes, no] = ["1", "0"].map(|flag| Some(flag.to_owned()));
    assert_eq!(flags("/both"), [yes.clone(), yes.clone()]);
    assert_eq!(flags("/linked"), [no.clone(), no]);
    assert_eq!(flags("/alone"), [yes, None]);
}

#[test]
fn where_a_redirect_leads_nothing_is_told_unless_it_is_named() {
    let other = Target::new();
    let port = other.port;
    let [name, address] = [format!("localhost:{port}"), format!("127.0.0.1:{port}")];
    let ways = [
        format!("http://{name}/"),
        format!("http://{address}/"),
        format!("http://127.0.0.1:80@{name}/"),
        format!("//{name}/127.0.0.1"),
        format!("//LOCALHOST:{port}/"),
    ];
    for way in ways {
        let first = leading(way.clone());
        let url = format!("url: http://127.0.0.1:{}/", first.port);
        let told = |keys: &str| {
            passed(&probe(&format!("{url}\n{keys}")));
            assert!(is_told(first.asked().last().expect("it was asked")));
            is_told(other.asked().last().expect("it was led to"))
        };
        assert!(!told(ALL), "{way}");
        assert!(!told("trace_headers: {traceparent: true, hosts: ['*.localhost', localhost.evil.example]}"), "{way}");
        let hosts = format!("trace_headers: {{traceparent: true, hosts: [localhost, '{address}']}}");
        assert!(told(&hosts), "{way}");
        // Any setting names a host.
        assert!(told(&format!("{ALL}\nheaders: {{x-peers: '{name}'}}")) || way.contains(&address), "{way}");
    }
}

#[test]
fn each_hop_to_a_named_host_is_told_of_its_own_span() {
    let between = Target::answering(|asked| {
        let back = asked.last().and_then(|asked| asked.line.split([' ', '/']).nth(2)).unwrap_or_default().to_owned();
        redirect(&format!("http://{back}/end"))
    });
    let away = between.port;
    let first = Target::answering(move |asked| match asked.last() {
        Some(asked) if asked.line.contains(" /end ") => yes(),
        Some(asked) if asked.line.contains(" /on ") => {
            redirect(&format!("http://localhost:{away}/{}", asked.header("host").unwrap_or_default()))
        }
        _ => redirect("/on"),
    });
    let run = probe(&format!("url: http://127.0.0.1:{}/\n{ALL}", first.port));
    passed(&run);
    assert!(!is_told(&between.once()));
    let told: Vec<_> = first.asked().iter().map(|asked| asked.header("sentry-trace").map(str::to_owned)).collect();
    let trace = run["trace_id"].as_str().expect("an id is text");
    let hops = spans(&run, "http.client").into_iter().map(|span| span["span_id"].as_str().expect("an id is text"));
    let mut expected: Vec<_> = hops.map(|span| Some(format!("{trace}-{span}-0"))).collect();
    expected.remove(2);
    assert_eq!(told, expected);
}

#[test]
fn what_a_chain_takes_from_an_answer_names_no_host() {
    let other = Target::new();
    let next = format!("{{\"next\": \"http://localhost:{}/next\", \"host\": \"localhost\"}}", other.port);
    let target = Target::answering(move |_| {
        format!("200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{next}", next.len())
    });
    let step = "set_keys: {next: $.next, host: $.host}";
    let keys = format!("init_keys: {{base: 'http://127.0.0.1:{}', port: {}}}", target.port, other.port);
    chain(&format!("{keys}\nsteps: [{{url: '{{base}}/', {step}}}, {{url: '{{next}}'}}]"));
    chain(&format!("{keys}\nsteps: [{{url: '{{base}}/', {step}}}, {{url: 'http://{{host}}:{{port}}/'}}]"));
    assert_eq!(target.asked().iter().map(is_told).collect::<Vec<_>>(), [true, true]);
    assert_eq!(other.asked().iter().map(is_told).collect::<Vec<_>>(), [false, false]);
    // The same place, where the configuration names it.
    chain(&format!(
        "init_keys: {{host: localhost, port: {}}}\nsteps: [{{url: 'http://{{host}}:{{port}}/'}}]",
        other.port
    ));
    chain(&format!("init_keys: {{port: {}}}\nsteps: [{{url: 'http://localhost:{{port}}/'}}]", other.port));
    assert_eq!(other.asked().iter().map(is_told).collect::<Vec<_>>(), [false, false, true, true]);
}

#[test]
fn every_spelling_of_a_named_host_is_told() {
    let target = Target::new();
    let chain = |steps: &str| chain(&format!("init_keys: {{home: 'LocalHost:{}'}}\nsteps: {steps}", target.port));
    for host in ["localhost", "LOCALHOST", "user:pass@localhost", "%6Cocalhost"] {
        chain(&format!("[{{url: 'http://{host}:{}/'}}]", target.port));
        assert!(is_told(target.asked().last().expect("it was asked")), "{host}");
    }
    let Ok(six) = Target::at("[::1]:0", |_| yes()) else { return };
    passed(&probe(&format!("url: 'http://[0:0::1]:{}/'\n{ALL}", six.port)));
    assert!(is_told(&six.once()));
}

#[test]
fn a_third_party_s_own_host_is_told_nothing() {
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
        let probe = format!("{{probe: '{}', {ALL}, allow: {{hosts: [127.0.0.1]}}, {more}}}", file.display());
        passed(&once(&format!("groups: [{{probes: [{probe}]}}]")).1[0]);
        is_told(target.asked().last().expect("it was asked"))
    };
    assert!(!run("colour: green"));
    assert!(!run("home: 'http://127.0.0.1:1/'"));
    assert!(run(&format!("home: '{url}'")));
    assert!(run("peers: [{address: 127.0.0.1}]"));
}

#[test]
fn a_server_of_tokens_is_told_only_by_name() {
    let answer = r#"{"access_token": "t", "token_type": "Bearer"}"#;
    let tokens = Target::answering(move |_| {
        format!("200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}", answer.len())
    });
    let target = Target::new();
    let run = |more: &str| {
        let token_url = format!("http://localhost:{}/", tokens.port);
        let auth = format!("auth: {{oauth2: {{token_url: '{token_url}', client_id: a, client_secret: b}}}}");
        passed(&probe(&format!("url: http://127.0.0.1:{}/\n{auth}\n{more}", target.port)));
        assert!(is_told(target.asked().last().expect("it was asked")));
        is_told(tokens.asked().last().expect("it was asked"))
    };
    assert!(!run(ALL));
    assert!(run("trace_headers: {traceparent: true, hosts: [localhost]}"));
}

#[test]
fn headers_of_the_probe_s_own_go_before_ours() {
    let other = Target::new();
    let target = leading(format!("http://localhost:{}/", other.port));
    let url = format!("url: http://127.0.0.1:{}/\n{ALL}", target.port);
    let values = |asked: &Asked, name: &str| -> Vec<String> {
        asked.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.clone()).collect()
    };

    probe(&format!("{url}\nheaders: {{baggage: tenant=7}}"));
    let asked = target.asked().remove(0);
    let baggage = values(&asked, "baggage");
    assert_eq!((baggage.len(), baggage[0].as_str()), (2, "tenant=7"), "a list goes on: {baggage:?}");
    assert!(baggage[1].starts_with("sentry-trace_id="));

    probe(&format!("{url}\nheaders: {{sentry-trace: mine, traceparent: mine, tracestate: mine}}"));
    let asked = target.asked().remove(1);
    for name in ["sentry-trace", "traceparent", "tracestate"] {
        assert_eq!(values(&asked, name), ["mine"]);
    }
    assert_eq!(asked.header("baggage"), None, "it would tell of another trace");
    for asked in other.asked() {
        for name in ["sentry-trace", "baggage", "traceparent", "tracestate"] {
            assert_eq!(asked.header(name), None, "{name} went to another host");
        }
    }
}
