//! Arguments, exit codes and output.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::guests::{Guest, PASSES};
use crate::support::nginx::Nginx;
use crate::support::receiver::Receiver;
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{absent_path, empty_folder, eventually, http_config, run_command, run_once, sentrynet};

#[test]
fn exit_codes_distinguish_failed_runs_bad_configurations_and_broken_probes() {
    let (_nginx, port) = Nginx::start_plain("exit", "location = /up { return 200; } location / { return 500; }");
    let probe =
        |path: &str| format!("      - {{probe: http, title: '{path}', url: 'http://127.0.0.1:{port}{path}'}}\n");
    let broken = Guest { run: "unreachable", ..PASSES }.write("exit-broken");
    let broken = format!("      - {{probe: '{}', title: broken}}\n", broken.display());
    let code = |probes: &[&str]| run_once(&format!("groups:\n  - probes:\n{}", probes.concat())).0;
    assert_eq!(code(&[&probe("/up")]), 0);
    assert_eq!(code(&[&probe("/up"), &probe("/down")]), 1);
    assert_eq!(code(&[&probe("/down"), &broken]), 3);

    let both = format!("groups:\n  - probes:\n{}{}", probe("/up"), probe("/down"));
    let only = |title: &str| run_command(sentrynet().args(["once", "-", "--only", title]), &both);
    assert_eq!(only("/up").code, 0);
    assert_eq!(only("/down").code, 1);
    let unknown = only("/ups");
    assert_eq!(unknown.code, 2);
    assert!(unknown.stderr.contains("matches `/ups`") && unknown.stderr.contains("`/up`"), "{}", unknown.stderr);
}

#[test]
fn wrong_usage_and_missing_files_exit_with_2() {
    for arguments in [&["once"][..], &["wrong"], &["once", "-", "--format", "xml"], &[]] {
        assert_eq!(run_command(sentrynet().args(arguments), "").code, 2, "{arguments:?}");
    }
    let path = absent_path("probes.yaml");
    let absent = run_command(sentrynet().arg("check").arg(&path), "");
    assert_eq!(absent.code, 2);
    assert!(absent.stderr.contains(path.to_str().expect("the path is text")), "{}", absent.stderr);
}

/// The limit is on CPU time, which other programs on the machine do not use up. Following the aliases would take
/// minutes.
#[test]
fn a_file_whose_aliases_multiply_costs_no_more_than_another() {
    const CHECK: &str = "ulimit -t 10; exec \"$0\" check -";
    let check = |text: &str| {
        let program = sentrynet();
        let mut limited = std::process::Command::new("sh");
        let variables = program.get_envs().filter_map(|(name, value)| Some((name, value?)));
        limited.env_clear().envs(variables).args(["-c", CHECK]).arg(program.get_program());
        run_command(&mut limited, text)
    };
    let list = |level: usize| {
        let item = if level == 0 { "a".to_owned() } else { format!("*l{}", level - 1) };
        format!("    t{level}: &l{level} [{}]\n", vec![item; 10].join(", "))
    };
    let tags: String = (0..20).map(list).collect();
    let nested = format!("groups:\n- tags:\n{tags}  probes: []\n");
    let many = |name: &str, count: usize| vec![format!("*{name}"); count].join(", ");
    let probes = format!(
        "x-p: &p {{probe: http, url: 'http://h/'}}\nx-g: &g {{probes: [{}]}}\ngroups: [{}]\n",
        many("p", 30_000),
        many("g", 30_000)
    );
    for text in [nested, probes] {
        let ended = check(&text);
        assert_eq!(ended.code, 2, "{}", ended.stderr);
        assert!(ended.stderr.contains("too large: with its aliases followed"), "{}", ended.stderr);
    }
    assert_eq!(check("groups: [{probes: [{probe: http, url: 'http://h/'}]}]").code, 0);
}

#[test]
fn all_errors_are_reported_at_once_each_with_its_line() {
    let file = crate::support::empty_folder("errors").join("probes.yaml");
    let text = "groups:\n  - probes:\n      - probe: http\n        url: ftp://x/\n        evry: 60\n        timeot: 3\n      - probe: htpp\n";
    std::fs::write(&file, text).expect("the folder is writable");
    let ended = run_command(sentrynet().arg("check").arg(&file), "");
    assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
    for (message, place) in [
        ("the URL's scheme is `ftp`: expected http or https", "probes.yaml:4:"),
        ("unknown key `evry`, did you mean `every`?", "probes.yaml:5:"),
        ("unknown key `timeot`, did you mean `timeout`?", "probes.yaml:6:"),
        ("did you mean `http`?", "probes.yaml:7:"),
    ] {
        assert!(ended.stderr.contains(message), "{message} in {}", ended.stderr);
        assert!(ended.stderr.contains(place), "{place} in {}", ended.stderr);
    }
}

#[test]
fn check_touches_no_network() {
    let port = crate::support::tcp_server::listen(|_| panic!("`check` opened a connection"));
    let mut program = sentrynet();
    program.env("SENTRYNET_LOG", "warn").args(["check", "-"]);
    let ended = run_command(&mut program, &http_config(&format!("url: http://127.0.0.1:{port}/")));
    assert_eq!((ended.code, ended.stderr.as_str()), (0, ""));
}

#[test]
fn check_warns_of_a_default_title_that_sentry_filters() {
    // The title of the http probe is the method and the URL's origin.
    for (keys, filtered) in [("url: http://up/", true), ("url: http://up.example/up", false)] {
        let checked = run_command(sentrynet().args(["check", "-"]), &http_config(keys));
        assert_eq!(checked.code, 0, "{}", checked.stderr);
        let warning = "warning: Sentry's filter for health checks takes out transactions";
        assert_eq!(checked.stderr.contains(warning), filtered, "{keys}: {}", checked.stderr);
    }
}

#[test]
fn json_output_has_all_its_keys() {
    let (_nginx, port) = Nginx::start_plain("json", "location / { return 404; }");
    let keys = http_config(&format!("url: http://127.0.0.1:{port}/\ntitle: Shop\ntags: {{team: shop}}"));
    let (code, runs) = run_once(&keys);
    assert_eq!(code, 1);
    let run = runs[0].as_object().expect("a run is a map");
    let keys = [
        "probe",
        "title",
        "tags",
        "started",
        "duration_ms",
        "outcome",
        "failure",
        "lateness_ms",
        "skipped",
        "trace_id",
        "spans",
    ];
    for key in keys {
        assert!(run.contains_key(key), "the run has no key {key}");
    }
    assert_eq!(
        (&run["probe"], &run["title"], &run["outcome"]),
        (&json!("probes.http"), &json!("Shop"), &json!("failed"))
    );
    assert_eq!(run["tags"]["team"], "shop");
    let failure = &run["failure"];
    assert_eq!(failure["reason"], "status");
    assert_eq!((&failure["expected"], &failure["actual"]), (&json!("200"), &json!("404")));
    assert_eq!(run["trace_id"].as_str().map(str::len), Some(32));
    let spans = run["spans"].as_array().expect("a run has spans");
    assert_eq!(spans[0]["parent_span_id"], Value::Null);
    for span in spans {
        for key in ["span_id", "parent_span_id", "op", "description", "start_ms", "duration_ms", "status", "data"] {
            assert!(span.get(key).is_some(), "{key} in {span}");
        }
        assert_eq!(span["span_id"].as_str().map(str::len), Some(16));
    }
}

#[test]
fn the_waterfall_is_shown_for_a_failed_run() {
    let (_nginx, port) = Nginx::start_plain("text", "location = /up { return 200; } location / { return 500; }");
    let keys = |path: &str| http_config(&format!("url: http://127.0.0.1:{port}{path}\ntitle: Shop"));
    let shown = |path: &str, more: &[&str]| run_command(sentrynet().args(["once", "-"]).args(more), &keys(path)).stdout;
    let passed = shown("/up", &[]);
    assert_eq!(passed.lines().count(), 1, "{passed}");
    assert!(passed.contains("Shop") && passed.contains("passed") && passed.contains("s  Shop"), "{passed}");
    assert!(shown("/up", &["--trace"]).contains("http.client.wait"));
    let failed = shown("/down", &[]);
    for part in ["Shop", "failed", "expected status 200, got 500", "http.client.wait"] {
        assert!(failed.contains(part), "{part} in {failed}");
    }
    assert!(!failed.contains('\u{1b}'), "output that is not to a terminal has no colours");
}

#[test]
fn an_invalid_log_filter_is_refused() {
    let ended = run_command(sentrynet().env("SENTRYNET_LOG", "sentrynet=loud").args(["check", "-"]), "");
    assert_eq!(ended.code, 2);
    assert!(ended.stderr.contains("SENTRYNET_LOG is not a log filter"), "{}", ended.stderr);
}

#[test]
fn compiled_probes_are_cached_on_disk() {
    let cache = crate::support::empty_folder("cache-of-its-own");
    let check = || {
        run_command(
            sentrynet().env("XDG_CACHE_HOME", &cache).args(["check", "-"]),
            &http_config("url: http://127.0.0.1/"),
        )
    };
    let cached = || files_with_sizes(&cache).into_iter().filter(|(_, size)| *size > 100_000).collect::<Vec<_>>();
    assert_eq!(check().code, 0);
    let first = cached();
    assert_eq!(first.len(), 1, "{:?}", files_with_sizes(&cache));
    assert_eq!(check().code, 0);
    assert_eq!(cached(), first, "the second start uses the first one's compiled probe");
}

/// Returns every file below a folder, with its size.
fn files_with_sizes(folder: &std::path::Path) -> Vec<(std::path::PathBuf, u64)> {
    let entries = std::fs::read_dir(folder).expect("the folder can be read").flatten();
    entries
        .flat_map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => files_with_sizes(&entry.path()),
            Ok(found) => vec![(entry.path(), found.len())],
            Err(_) => Vec::new(),
        })
        .collect()
}

#[test]
fn a_missing_dsn_is_reported_once() {
    let (_nginx, port) = Nginx::start_plain("no-dsn", "location / { return 200; }");
    let ended = run_command(sentrynet().args(["once", "-"]), &http_config(&format!("url: http://127.0.0.1:{port}/")));
    assert_eq!(ended.stderr.matches("SENTRY_DSN").count(), 1, "{}", ended.stderr);
}

#[test]
fn a_host_that_sends_nothing_says_where_the_results_go() {
    let target = Target::new();
    let folder = empty_folder("no-destination");
    let file = folder.join("probes.yaml");
    let config = http_config(&format!("url: http://127.0.0.1:{}/", target.port));
    std::fs::write(&file, config).expect("the folder is writable");
    let log_with = |variable: Option<(&str, &str)>| {
        let log = folder.join("log");
        let mut program = sentrynet();
        program.arg("run").arg(&file).envs(variable).stdout(Stdio::null());
        program.stderr(std::fs::File::create(&log).expect("the folder is writable"));
        let running = RunningProgram::spawn(&mut program);
        let read = || std::fs::read_to_string(&log).expect("it is UTF-8");
        eventually("the start", || read().contains("on schedule").then_some(()));
        running.send_signal("TERM");
        assert_eq!(running.wait_for_exit_code(), Some(0));
        read()
    };
    let hint = "results go to standard output only, and nobody is alerted: set `sentry.dsn` or SENTRY_DSN";
    let nowhere = log_with(None);
    assert_eq!(nowhere.matches(hint).count(), 1, "{nowhere}");
    assert_eq!(nowhere.matches("SENTRY_DSN").count(), 1, "{nowhere}");
    let receiver = Receiver::start();
    let spotlight = format!("http://127.0.0.1:{}/stream", receiver.port);
    let (dsn, spotlight) = (receiver.dsn(), spotlight);
    for variable in [("SENTRY_DSN", dsn.as_str()), ("SENTRY_SPOTLIGHT", &spotlight)] {
        let log = log_with(Some(variable));
        assert!(!log.contains(hint), "{log}");
    }
}
