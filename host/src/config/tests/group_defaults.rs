//! Keys under `defaults` of a group.

use super::*;

#[test]
fn probes_have_the_defaults_of_their_group() {
    let config = ok("defaults");
    let [plain, own, mine, other] = &config.probes[..] else { panic!("the file has four probes") };
    let tags = |probe: &Probe| probe.tags.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>();
    assert_eq!((plain.every, plain.burst, plain.failures_before_error), (Duration::from_secs(30), 2, 3));
    assert_eq!(plain.retries, Retries { times: 2, delay: Duration::from_millis(500) });
    assert_eq!(tags(plain), ["team=shop", "tier=1"]);
    let ten = Duration::from_secs(10);
    assert_eq!(plain.limits, Limits { deadline: ten, cpu: Duration::from_secs(1), ..Limits::default() });
    assert_eq!((plain.trace_headers.mode, plain.trace_headers.traceparent), (TraceMode::Linked, true));
    assert_eq!(plain.allow[0].log, Some(false));
    let settings = json!({ "url": "https://a.example/", "timeout": "5s", "headers": { "x-version": 1.1 } });
    assert_eq!(serde_json::Value::Object(plain.settings.clone()), settings);
    assert_eq!(plain.interpolations.source_texts["/headers/x-version"], "1.10");

    // A probe's own keys override them, also with null. Maps of the host's keys are joined; settings are not.
    assert_eq!((own.every, own.burst, own.retries.times), (Duration::from_secs(60), 2, 0));
    assert_eq!(tags(own), ["team=shop", "tier=2"]);
    let twenty = Duration::from_secs(20);
    assert_eq!(own.limits, Limits { deadline: twenty, cpu: Duration::from_secs(1), ..Limits::default() });
    assert_eq!((own.trace_headers.mode, own.trace_headers.traceparent), (TraceMode::Off, true));
    assert_eq!(own.allow[0].log, Some(true));
    assert_eq!((&own.settings["timeout"], &own.settings["headers"]), (&json!(1), &json!({ "accept": "text/html" })));

    // They come before those of the module.
    let cpu = Duration::from_secs(1);
    assert_eq!(mine.limits, Limits { deadline: ten, cpu, memory: 8 << 20, ..Limits::default() });
    let settings = json!({ "word": "own", "timeout": "5s", "headers": { "x-version": 1.1 }, "level": 2 });
    assert_eq!(serde_json::Value::Object(mine.settings.clone()), settings);

    assert_eq!((other.every, tags(other).len(), other.settings.len()), (Duration::from_secs(300), 0, 1));
    let monitors = monitors_of(&config).unwrap();
    let found: Vec<_> = monitors.iter().map(|monitor| (monitor.slug.as_str(), monitor.margin)).collect();
    assert_eq!(found, [("probes-http", 9), ("m", 9)]);
}

#[test]
fn problems_with_defaults_are_located_there() {
    let text = "groups: [{defaults: {timeout: x, headers: {a: 1}}, probes: [{probe: http, headers: {}}]}]";
    let parsed = parse(&source(text), &|_| None);
    let at = |pointer| parsed.config.probes[0].diagnostic(pointer, "wrong").pointer().unwrap().to_owned();
    assert_eq!(at("/timeout"), "/groups/0/defaults/timeout");
    assert_eq!(at("/headers/a"), "/groups/0/probes/0/headers/a");
    assert_eq!(at("/url"), "/groups/0/probes/0/url");
}

#[test]
fn secrets_in_defaults_are_secrets() {
    let text = "groups: [{defaults: {every: '${env:EVERY}', tags: {a: '${env:A}'}, headers: {x: '${env:X}'}, \
                auth: {bearer: literal-token}}, probes: [{probe: http, url: 'http://h/'}]}]";
    let parsed = parse(&source(text), &|name| match name {
        "EVERY" => Some("45".to_owned()),
        "A" | "X" => Some(format!("value-{name}")),
        _ => None,
    });
    assert_eq!((parsed.errors, parsed.config.probes[0].every), (vec![], Duration::from_secs(45)));
    let redacted = parsed.config.secrets.redact("45 value-A value-X literal-token").into_owned();
    assert_eq!(redacted, "45 value-A [Filtered] [Filtered]");
}
