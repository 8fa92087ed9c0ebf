//! Tests of whole configurations. `tests/config` has invalid ones, named by their error, with the expected output
//! beside them, which `UPDATE=1` rewrites; and valid ones, whose values are checked here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;

use super::*;

mod group_defaults;

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/config")).join(folder);
    let files = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "yaml")).collect();
    files.sort();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

fn parse_file(path: &Path) -> (Source, ParsedConfig) {
    let mut source = Source::read(path).unwrap();
    source.name = path.file_name().unwrap().to_string_lossy().into_owned();
    let parsed = parse(&source, &|_| None);
    (source, parsed)
}

/// Returns the configuration of a valid file.
fn ok(name: &str) -> Config {
    let (source, parsed) = parse_file(&files("ok").into_iter().find(|path| path.file_stem().unwrap() == name).unwrap());
    assert!(parsed.errors.is_empty(), "{}", render(&source, Level::Error, &parsed.errors).to_plain());
    parsed.config
}

/// Returns the monitors of a configuration; a probe without a title has its name.
fn monitors_of(config: &Config) -> Result<Vec<Monitor>, Vec<Diagnostic>> {
    let titles: Vec<_> = config.probes.iter().map(|probe| probe.title.as_deref().unwrap_or(&probe.name)).collect();
    monitors(config, &config.check_ins, &titles)
}

fn source(text: &str) -> Source {
    Source::from_text("test.yaml", text)
}

/// Compares output with the file beside a configuration, `NAME.err` for `NAME.yaml`.
fn check_output(path: &Path, actual: &str) {
    let beside = path.with_extension("err");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&beside, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&beside).unwrap_or_default();
    assert_eq!(expected, actual, "{}", path.display());
}

#[test]
fn invalid_files_have_the_expected_errors() {
    for path in files("bad") {
        let (source, mut parsed) = parse_file(&path);
        parsed.require_files(|_| true);
        let errors = if parsed.errors.is_empty() { monitors_of(&parsed.config).unwrap_err() } else { parsed.errors };
        let actual = render(&source, Level::Error, &errors).to_plain();
        assert!(!actual.contains("hunter2"), "{}: {actual}", path.display());
        assert!(actual.chars().all(|c| c == '\n' || !c.is_control()), "{}", path.display());
        check_output(&path, &actual);
    }
}

#[test]
fn doubtful_files_have_the_expected_warnings() {
    for path in files("warn") {
        let (source, parsed) = parse_file(&path);
        assert!(parsed.errors.is_empty(), "{}", path.display());
        let titled = parsed.config.probes.iter().filter_map(|probe| Some((probe, probe.title.as_deref()?)));
        let warnings: Vec<_> = parsed.warnings.iter().cloned().chain(check_titles(titled)).collect();
        assert!(!warnings.is_empty(), "{}", path.display());
        check_output(&path, &render(&source, Level::Warning, &warnings).to_plain());
    }
}

#[test]
fn valid_files_have_neither_errors_nor_warnings() {
    for path in files("ok") {
        let (source, parsed) = parse_file(&path);
        assert!(parsed.errors.is_empty(), "{}", render(&source, Level::Error, &parsed.errors).to_plain());
        assert_eq!(parsed.missing_files, [], "{}", path.display());
        assert_eq!(monitors_of(&parsed.config).err(), None, "{}", path.display());
        let has_no_probes = parsed.config.probes.is_empty();
        assert!(
            has_no_probes || parsed.warnings.is_empty(),
            "{}",
            render(&source, Level::Warning, &parsed.warnings).to_plain()
        );
    }
}

#[test]
fn examples_of_the_readme_are_valid() {
    for name in ["readme-groups", "readme-whole", "byte-order-mark", "crlf", "document-marks"] {
        let config = ok(name);
        let every: Vec<u64> = config.probes.iter().map(|probe| probe.every.as_secs()).collect();
        assert_eq!(every, [30, 60, 300, 300], "{name}");
        let burst: Vec<u32> = config.probes.iter().map(|probe| probe.burst).collect();
        assert_eq!(burst, [1, 4, 1, 1], "{name}");
        for probe in &config.probes {
            assert_eq!((probe.name.as_str(), &probe.module), ("probes.http", &Module::BuiltIn("http")));
            assert_eq!(probe.tags["target"], "demo");
            assert_eq!(probe.settings.keys().collect::<Vec<_>>(), ["url"]);
        }
    }
    let whole = ok("readme-whole");
    assert_eq!(whole.probes[0].tags["another.tag"], "value");
    assert_eq!(whole.sentry.dsn.unwrap().project_id().value(), "238947");
    assert_eq!(whole.sentry.environment, "production");
    let settings = json!({"url": "https://api.example/status", "body": {"check": ["status"]}, "expected": 200,
        "set_keys": {"status": "$.status"}, "assertions": {"status": "ok"}});
    assert_eq!(serde_json::Value::Object(ok("readme-assertions").probes[0].settings.clone()), settings);
}

#[test]
fn a_file_with_every_key_is_decoded() {
    let config = ok("everything");
    assert_eq!((config.in_flight, config.per_host, config.total_memory), (50, 3, Some(2 << 30)));
    assert_eq!(config.sentry.dsn.as_ref().unwrap().path(), "/prefix/");
    assert_eq!((&*config.sentry.environment, &*config.sentry.release), ("staging", "probes@1.2.3"));
    assert!(config.sentry.ca.as_ref().is_some_and(|file| file.ends_with("tests/config/ok/sentry-ca.pem")));
    let sample = Sample { rate: SampleRate::from_share(0.1).unwrap(), slower_than: Some(Duration::from_millis(1500)) };
    assert_eq!(config.sentry.sample, sample);
    let [http, custom] = &config.probes[..] else { panic!("the file has two probes") };
    let inherited = Limits {
        deadline: Duration::from_secs(30),
        cpu: Duration::from_millis(2500),
        memory: 32 << 20,
        table: 20_000,
        handles: 100,
        requests: 20,
        connections: 5,
        received: 2 << 30,
        sent: 10_000_000,
        spans: 300,
        log_lines: 50,
        log_size: 64 << 10,
    };
    let tags = [("flag", "True"), ("number", "5"), ("team", "core"), ("version", "2"), ("zip", "01234")];
    assert_eq!(*http.tags, tags.map(|(key, value)| (key.to_string(), value.to_string())).into());
    assert_eq!(http.every, Duration::from_millis(500));
    assert_eq!(http.limits, Limits { deadline: Duration::from_secs(5), memory: 4 << 20, ..inherited });
    let hosts = ["api.example.org", "*.shop.example"].map(|host| TraceHost::read(host).unwrap());
    let headers = TraceHeaders { mode: TraceMode::Sampled, traceparent: true, hosts: hosts.into() };
    assert_eq!(http.trace_headers, TraceHeaders { mode: TraceMode::Off, ..headers.clone() });
    let settings = r#"{"url":"https://example.org/","headers":{"x-count":5,"200":"yes","true":"no"},"#.to_string()
        + r#""body":{"a":[1,2.5,null,true,"x"]}}"#;
    assert_eq!(serde_json::to_string(&http.settings).unwrap(), settings, "the settings have the order of the file");
    assert_eq!((custom.name.as_str(), custom.title.as_deref()), ("custom", Some("404")));
    assert_eq!(custom.limits, inherited);
    assert_eq!(custom.trace_headers, TraceHeaders { traceparent: false, ..headers });
    assert!(matches!(&custom.module, Module::File { path, .. } if path.ends_with("custom.wasm")));
    assert_eq!(custom.pointer, "/groups/0/probes/1");
}

#[test]
fn check_ins_become_monitors() {
    let config = ok("check-in");
    assert_eq!(config.sentry.spotlight.as_ref().map(url::Url::as_str), Some("http://localhost:8969/stream"));
    let monitors = monitors_of(&config).unwrap();
    let slugs: Vec<_> = monitors.iter().map(|monitor| monitor.slug.as_str()).collect();
    assert_eq!(slugs, ["prober", "shop", "front-page", "shop_basket"]);
    let [host, shop, front, basket] = &monitors[..] else { panic!("the file has four monitors") };
    assert_eq!((&host.subject, host.recovery_threshold), (&MonitorSubject::Host, Some(2)));
    assert_eq!((front.every, front.margin), (2, 3));
    assert_eq!((basket.every, basket.margin), (5, 20));
    assert_eq!((basket.failure_issue_threshold, basket.recovery_threshold), (Some(3), Some(2)));
    assert_eq!(basket.owner.as_deref(), Some("user:ops@example.org"));
    assert_eq!((shop.every, shop.owner.as_deref()), (2, Some("team:shop")));
    let of =
        |pointer: &str, several_per_minute| MonitorSubject::Probes { pointer: pointer.to_owned(), several_per_minute };
    assert_eq!((&shop.subject, &basket.subject), (&of("/groups/0", true), &of("/groups/0/probes/1", false)));
}

#[test]
fn environments_and_releases_that_sentry_refuses_are_errors() {
    let errors = |environment: &str, release: &str| {
        let text = format!("sentry: {{environment: '{environment}', release: '{release}'}}\ngroups: []");
        parse(&source(&text), &|_| None).errors.len()
    };
    let long = "é".repeat(64);
    assert_eq!(errors("a b", "x"), 1);
    assert_eq!(errors("eu-1", "web@1.2.3"), 0);
    for environment in ["none", "NONE", "None", ".", "..", "a/b", r"a\b", &long, &"x".repeat(65)] {
        assert_eq!(errors(environment, "web@1"), 1, "{environment}");
    }
    for release in ["latest", "Latest", ".", "..", "a/b", r"a\b", &"é".repeat(101), &"x".repeat(201)] {
        assert_eq!(errors("eu-1", release), 1, "{release}");
    }
}

#[test]
fn numbers_in_tags_keep_their_text() {
    let parsed = parse(
        &source("sentry: {tags: &t {a: 1.10, b: 1e3, c: 0x1F}}\ngroups: [{tags: *t, probes: [{probe: http}]}]"),
        &|_| None,
    );
    assert_eq!(parsed.config.probes[0].tags.values().collect::<Vec<_>>(), ["1.10", "1e3", "0x1F"]);
}

#[test]
fn merge_keys_fill_in_missing_keys() {
    let probes = ok("merge-keys").probes;
    let every: Vec<u64> = probes.iter().map(|probe| probe.every.as_secs()).collect();
    assert_eq!(every, [600, 600, 5], "a map's own key, or else that of the first map in the list, counts");
    assert!(probes.iter().all(|probe| probe.name == "probes.http" && probe.settings.len() == 1));
}

#[test]
fn scalars_are_those_of_yaml_1_2() {
    let text = "groups: [{probes: [{probe: http, v: [~, no, yes, 0o17, 0x1f, -5, +5, 1_000, 007, 12:30, 2026-01-02, .5, 1.2.3, 1e999, inf, !!str 5]}]}]";
    let parsed = parse(&source(text), &|_| None);
    assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
    let expected = json!([
        null,
        "no",
        "yes",
        15,
        31,
        -5,
        5,
        "1_000",
        "007",
        "12:30",
        "2026-01-02",
        0.5,
        "1.2.3",
        "1e999",
        "inf",
        "5"
    ]);
    assert_eq!(parsed.config.probes[0].settings["v"], expected);
}

#[test]
fn the_environment_fills_what_the_file_leaves_out() {
    let environment = |name: &str| match name {
        "SENTRY_DSN" => Some("https://key@example.org/1".to_string()),
        "SENTRY_ENVIRONMENT" => Some("test".to_string()),
        _ => None,
    };
    let sentry = |text| parse(&source(text), &environment).config.sentry;
    let from_environment = sentry("sentry: {dsn: ''}");
    assert_eq!((from_environment.dsn.unwrap().public_key(), &*from_environment.environment), ("key", "test"));
    let from_file = sentry("sentry: {dsn: https://mine@example.org/1, environment: live}");
    assert_eq!((from_file.dsn.unwrap().public_key(), &*from_file.environment), ("mine", "live"));
}

#[test]
fn errors_in_the_environment_have_no_line() {
    let source = source("groups: []");
    let parsed = parse(&source, &|_| Some("https://hunter2.example.org/a b".into()));
    let text = render(&source, Level::Error, &parsed.errors).to_plain();
    assert!(!text.contains("hunter2") && !text.contains("-->"), "{text}");
    assert!(text.contains("`SENTRY_DSN` is no DSN") && text.contains("`SENTRY_ENVIRONMENT` holds a space"), "{text}");
}

#[test]
fn problems_of_components_are_located_in_the_file() {
    let source =
        source("groups:\n  - probes:\n      - probe: http\n        evry: 60\n        headers:\n          a: hunter2\n");
    let probe = &parse(&source, &|_| None).config.probes[0];
    let problems = [
        probe.diagnostic("/evry", "unknown key `evry`, expected one of `url`, `method`"),
        probe.diagnostic("/headers/a", "a header must be text"),
        probe.diagnostic("/headers/b/c", "missing"),
        probe.diagnostic("", "missing key `url`"),
    ];
    let expected = "\
error: missing key `url`
  --> test.yaml:3:9
   |
 3 |       - probe: …
   |         ^^^^^
   = at groups[0].probes[0]

error: unknown key `evry`, did you mean `every`?
  --> test.yaml:4:9
   |
 4 |         evry: …
   |         ^^^^
   = at groups[0].probes[0].evry

error: missing
  --> test.yaml:5:9
   |
 5 |         headers:
   |         ^^^^^^^
   = at groups[0].probes[0].headers.b.c

error: a header must be text
  --> test.yaml:6:14
   |
 6 |           a: …
   |              ^
   = at groups[0].probes[0].headers.a
";
    assert_eq!(render(&source, Level::Error, &problems).to_plain(), expected);
}

#[test]
fn the_number_of_errors_is_limited() {
    let probe =
        |index| format!("      - {{probe: http, url: 'https://{index}.example/', every: soon, tags: {{v: 1.10}}}}\n");
    let text = "groups:\n  - probes:\n".to_string() + &(0..10_000).map(probe).collect::<String>();
    let source = source(&text);
    let parsed = parse(&source, &|_| None);
    assert_eq!((parsed.config.probes.len(), parsed.errors.len()), (10_000, 1001));
    let text = render(&source, Level::Error, &parsed.errors).to_plain();
    assert!(text.contains("more than 1000 problems"));
}

/// With an algorithm of quadratic time, this test would take minutes.
#[test]
fn hostile_files_are_refused() {
    let list = format!("[{}]", "a,".repeat(2_000_000));
    let big = format!("x-a: &a {}\nb: [{}]\n", "x".repeat(1 << 20), "*a,".repeat(1000));
    let keys = (0..5000).map(|index| format!("k{index}: {{<<: *a}}\n")).collect::<String>();
    let wide = format!("x-a: &a {{{}}}\n{keys}", (0..5000).map(|index| format!("k{index}: 1,")).collect::<String>());
    for text in
        ["[".repeat(400_000), "{a: ".repeat(100_000), "- ".repeat(400_000), "? ".repeat(400_000), list, big, wide]
    {
        let source = source(&text);
        let parsed = parse(&source, &|_| None);
        assert!(!parsed.errors.is_empty());
        assert!(render(&source, Level::Error, &parsed.errors).to_plain().len() < 1 << 20);
    }
}

#[test]
fn unreadable_files_are_refused() {
    let folder = std::env::temp_dir().join(format!("sentrynet-config-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let case = |name: &str, bytes: &[u8]| {
        std::fs::write(folder.join(name), bytes).unwrap();
        Source::read(&folder.join(name)).map(|_| ()).map_err(|error| error.to_string())
    };
    assert!(case("latin1", b"a: 1\nb: \xe9\n").unwrap_err().contains("is not UTF-8 text, line 2, byte 8"));
    assert!(case("utf16", b"\xff\xfea\0").unwrap_err().contains("line 1, byte 0"));
    assert!(case("large", &vec![b' '; (16 << 20) + 1]).unwrap_err().contains("larger than 16 MiB"));
    assert_eq!(case("fits", &vec![b' '; 16 << 20]), Ok(()));
    let error = |path: &Path| Source::read(path).unwrap_err().to_string();
    assert!(error(&folder.join("none/")).starts_with("no file"));
    assert!(error(&folder.join("none")).starts_with("no file"));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn secrets_are_redacted_from_the_server_name() {
    let about = |body: &str| {
        let probe = format!("{{probe: http, url: 'http://h/', title: 'Of ${{env:WHO}}', body: '{body}'}}");
        let text = format!("sentry: {{server_name: 'at ${{env:WHO}}'}}\ngroups: [{{probes: [{probe}]}}]");
        let parsed = parse(&source(&text), &|name| (name == "WHO").then(|| "somebody".to_owned()));
        assert_eq!(parsed.errors, []);
        parsed.config.sentry.server_name
    };
    assert_eq!(about("A body"), "at somebody");
    assert_eq!(about("A body of ${env:WHO}"), "at [Filtered]");
}

#[test]
fn variables_in_identifiers_are_no_secrets_unless_another_key_uses_them_as_such() {
    let parse = |body: &str| {
        let text = format!(
            "sentry:
  environment: at-${{env:PLACE}}
  release: web@${{env:PLACE}}
  tags: {{location: '${{env:PLACE}}', every: '${{env:NUMBER}}'}}
  check_in: {{slug: 'host-${{env:PLACE}}'}}
groups:
  - tags: {{rack: '${{env:PLACE}}'}}
    probes: [{{probe: http, url: 'http://h/', title: 'In ${{env:PLACE}}', tags: {{a: '${{env:PLACE}}'}}, body: '{body}'}}]
"
        );
        let variable = |name: &str| match name {
            "PLACE" => Some("eu-west-7".to_owned()),
            "NUMBER" => Some("1.10".to_owned()),
            _ => None,
        };
        let parsed = super::parse(&source(&text), &variable);
        assert_eq!(parsed.errors, []);
        parsed
    };
    let plain = parse("A body");
    assert_eq!((plain.warnings, plain.config.secrets.is_empty()), (vec![], true));
    assert_eq!(plain.config.sentry.environment, "at-eu-west-7");
    let probe = &plain.config.probes[0];
    assert_eq!((probe.tags["rack"].as_str(), probe.tags["every"].as_str()), ("eu-west-7", "1.10"));

    let secret = parse("${env:PLACE}");
    assert_eq!(secret.config.sentry.environment, "at-[Filtered]");
    let redacted = |(pointer, label): (&str, &str)| {
        let why = "another key or `allow.env` uses a value in it as a secret";
        Diagnostic::at_value(pointer, format!("{label} is redacted: {why}"))
    };
    let expected = [
        ("/sentry/environment", "`environment`"),
        ("/sentry/release", "`release`"),
        ("/sentry/tags/location", "the tag `location`"),
        ("/sentry/check_in/slug", "`slug`"),
        ("/groups/0/tags/rack", "the tag `rack`"),
        ("/groups/0/probes/0/title", "`title`"),
        ("/groups/0/probes/0/tags/a", "the tag `a`"),
    ]
    .map(redacted);
    assert_eq!(secret.warnings, expected);
}

#[test]
fn a_spool_is_a_directory_a_size_or_none() {
    let spool = |text: &str| {
        let source =
            source(&format!("sentry: {{spool: {text}}}\ngroups: [{{probes: [{{probe: http, url: 'http://h/'}}]}}]"));
        let parsed = parse(&source, &|_| None);
        assert!(parsed.errors.is_empty(), "{:?}", parsed.errors);
        parsed.config.sentry.spool
    };
    let default = Spool::default();
    assert_eq!(spool("null"), default);
    assert_eq!(spool("false"), Spool { location: SpoolLocation::Memory, ..default.clone() });
    let folder = |path: &str| SpoolLocation::Directory(path.into());
    assert_eq!(spool("/var/spool"), Spool { location: folder("/var/spool"), ..default.clone() });
    assert_eq!(spool("waiting"), Spool { location: folder("./waiting"), ..default.clone() });
    assert_eq!(spool("{size: 2 GiB}"), Spool { max_bytes: 2 << 30, ..default });
    assert_eq!(spool("{directory: /d, size: 1 MiB}"), Spool { location: folder("/d"), max_bytes: 1 << 20 });
}

#[test]
fn modules_are_shared_by_their_probes() {
    let config = ok("modules");
    let [redis, http, file, ssh, alone] = &config.probes[..] else { panic!("the file has five probes") };
    let sha256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    let pinned = |module: &Module| matches!(module, Module::File { sha256: Some(pin), .. } if pin == sha256);
    assert!(pinned(&redis.module) && !pinned(&file.module));
    assert_eq!((redis.name.as_str(), http.name.as_str(), file.name.as_str()), ("redis", "probes.http", "custom"));
    // A probe's own settings override those of its module, and its `allow` block narrows the module's.
    let settings = json!({"host": "a", "tries": 3, "port": 6379, "word": "mine"});
    assert_eq!(serde_json::Value::Object(redis.settings.clone()), settings);
    assert_eq!(redis.limits, Limits { deadline: Duration::from_secs(5), memory: 8 << 20, ..Limits::default() });
    let owners = |probe: &Probe| probe.allow.iter().map(|allow| allow.declared_by.clone()).collect::<Vec<_>>();
    assert_eq!(owners(redis), ["the module `redis`", "this probe"]);
    assert_eq!((redis.allow[0].hosts.as_ref().map(Vec::len), redis.allow[0].log), (Some(6), Some(true)));
    assert_eq!((redis.allow[1].log, redis.allow[1].ssh.commands), (Some(false), None));
    // A component that is not built in may do nothing that is not allowed.
    let deny_all = |of: &str| {
        let ssh =
            AllowSsh { hosts: Some(Vec::new()), commands: Some(false), agent: Some(false), accept_new: Some(false) };
        Allow { declared_by: of.to_owned(), hosts: Some(Vec::new()), ssh, log: Some(false), secret_hosts: Vec::new() }
    };
    assert_eq!(http.allow, [deny_all("the module `http`")]);
    assert_eq!(alone.allow, [deny_all("this probe")]);
    assert_eq!((file.allow[0].ssh.hosts.as_ref().map(Vec::len), file.allow[0].ssh.commands), (Some(1), Some(false)));
    assert_eq!((ssh.allow[0].ssh.commands, &ssh.allow[0].hosts), (Some(false), &None));
}

#[test]
fn problems_with_settings_of_a_module_are_located_there() {
    let file = std::env::temp_dir().join(format!("sentrynet-shared-{}.wasm", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let text = format!(
        "modules: {{m: {{component: '{}', settings: {{port: x, list: [1]}}}}}}\ngroups: [{{probes: [{{probe: m, a: 1}}]}}]",
        file.display()
    );
    let parsed = parse(&source(&text), &|_| None);
    std::fs::remove_file(&file).unwrap();
    assert_eq!(parsed.errors, []);
    let at = |pointer| parsed.config.probes[0].diagnostic(pointer, "wrong").pointer().unwrap().to_owned();
    assert_eq!(at("/list/0"), "/modules/m/settings/list/0");
    assert_eq!(at("/a"), "/groups/0/probes/0/a");
    assert_eq!(at(""), "/groups/0/probes/0");
}

#[test]
fn allowed_variables_are_secret_and_can_be_narrowed() {
    let file = std::env::temp_dir().join(format!("sentrynet-env-{}.wasm", std::process::id()));
    std::fs::write(&file, "").unwrap();
    let text = format!(
        "modules: {{m: {{component: '{}', allow: {{env: [A, B]}}}}}}\n\
         groups: [{{probes: [{{probe: m}}, {{probe: m, allow: {{env: [B]}}}}, {{probe: http, url: x}}]}}]",
        file.display()
    );
    let parsed = parse(&source(&text), &|name| (name.len() == 1).then(|| format!("value of {name}")));
    std::fs::remove_file(&file).unwrap();
    assert_eq!(parsed.errors, []);
    let names = |index: usize| parsed.config.probes[index].environment.keys().cloned().collect::<String>();
    assert_eq!((names(0).as_str(), names(1).as_str(), names(2).as_str()), ("AB", "B", ""));
    let mut text = "it was value of A".to_owned();
    parsed.config.secrets.redact_in_place(&mut text);
    assert_eq!(text, "it was [Filtered]");
}
