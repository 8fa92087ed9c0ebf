//! Lookups that are never answered, beside those of other probes.

use std::fmt::Write as _;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::guests::{Guest, PASSES};
use crate::support::running::RunningProgram;
use crate::support::target::Target;
use crate::support::{empty_folder, eventually, run_once_with, sentrynet, silent_names};
use crate::wasi::script;

/// The built-in component `http` as a file, which counts as a third-party component.
fn http_component() -> String {
    format!("{}/../probes-wasm/built/http.wasm", env!("CARGO_MANIFEST_DIR"))
}

/// Returns the number of threads of a process that make a lookup.
fn lookups_in_progress(process: u32) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).expect("the program runs").flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.trim() == "lookup").count()
}

#[test]
fn nine_hundred_unanswered_names_delay_no_lookup_of_other_probes() {
    const HOSTILE_PROBES: usize = 30;
    /// The lookups of each hostile probe.
    const LOOKUPS: usize = 30;
    /// The first lookup of each hostile probe, and as many further ones as all of them may have in progress.
    const THREADS: usize = HOSTILE_PROBES + 32;
    let target = Target::new();
    let resolve = format!(
        "(local $n i32) {}",
        script::script_with_text(
            "a.silent",
            &format!(
                "(loop
                  (i32.store8 (i32.const 1600) (i32.add (i32.const 97) (i32.rem_u (local.get $n) (i32.const 26))))
                  (call $resolve (call $network) (i32.const 1600) LENGTH (i32.const 1200))
                  (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {LOOKUPS}))))
                (call $pause (i64.const 600000000000))
                (i32.const 0)"
            )
        )
    );
    let guest = Guest { imports: script::IMPORTS, define: script::DEFINE, run: resolve.leak(), ..PASSES };
    let hostile = guest.write_with_wasi("unanswered-names", "0.2.3");
    let mut text = "limits: {deadline: 600}\ngroups:\n  - probes:\n".to_owned();
    let url = format!("url: 'http://localhost:{}/', every: 0.1", target.port);
    let allow = format!("allow: {{hosts: ['localhost:{0}', '127.0.0.1:{0}', '[::1]:{0}']}}", target.port);
    let _ = writeln!(text, "      - {{probe: http, title: built-in, {url}}}");
    let _ = writeln!(text, "      - {{probe: '{}', title: third-party, {url}, {allow}}}", http_component());
    for index in 0..HOSTILE_PROBES {
        let keys = "allow: {hosts: ['*.silent']}, every: 3600";
        let _ = writeln!(text, "      - {{probe: '{}', title: hostile {index}, {keys}}}", hostile.display());
    }
    let folder = empty_folder("unanswered-names");
    let (file, out) = (folder.join("probes.yaml"), folder.join("runs"));
    std::fs::write(&file, text).expect("the folder is writable");
    let stdout = std::fs::File::create(&out).expect("the folder is writable");
    let mut program = sentrynet();
    silent_names::preload(&mut program).arg("run").arg(&file).args(["--format", "json"]);
    let running = RunningProgram::spawn(program.stdout(stdout).stderr(Stdio::null()));
    let runs = || -> Vec<Value> {
        let text = std::fs::read_to_string(&out).expect("the file was created above");
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).expect("each line is a run")).collect()
    };
    eventually("all lookups that may be in progress", || (lookups_in_progress(running.id()) >= THREADS).then_some(()));
    let before = runs().len();
    let runs = eventually("runs of both other probes", || {
        let runs = runs();
        let count = |title: &str| runs[before..].iter().filter(|run| run["title"] == *title).count();
        (count("built-in") >= 10 && count("third-party") >= 10).then_some(runs)
    });
    assert!(lookups_in_progress(running.id()) >= THREADS, "the lookups are still in progress");
    assert!(runs.iter().all(|run| run["outcome"] == "passed"), "{runs:#?}");
    assert!(runs.iter().all(|run| !run["title"].as_str().is_some_and(|title| title.starts_with("hostile"))));
}

#[test]
fn a_lack_of_threads_for_lookups_blames_no_target() {
    /// The lookups of third-party probes that can be in progress at once.
    const THREADS: usize = 160 + 32;
    const PROBES: usize = THREADS + 5;
    let target = Target::new();
    let mut text = "limits: {deadline: 100}\ngroups:\n  - probes:\n".to_owned();
    for index in 0..PROBES {
        let keys = format!("url: 'http://n{index}.silent/', timeout: 5, allow: {{hosts: ['*.silent']}}");
        let _ = writeln!(text, "      - {{probe: '{}', title: silent {index}, {keys}}}", http_component());
    }
    let _ = writeln!(text, "      - {{probe: http, title: good, url: 'http://localhost:{}/'}}", target.port);
    let (_, runs) = run_once_with(silent_names::preload(&mut sentrynet()), &text);
    let (good, silent): (Vec<_>, Vec<_>) = runs.iter().partition(|run| run["title"] == "good");
    assert_eq!(good[0]["outcome"], "passed", "{good:#?}");
    let (broken, failed): (Vec<_>, Vec<_>) = silent.into_iter().partition(|run| run["outcome"] == "broken");
    assert_eq!((broken.len(), failed.len()), (PROBES - THREADS, THREADS));
    for run in broken {
        assert_eq!(run["failure"]["reason"], "threads", "{run:#}");
        let message = run["failure"]["message"].as_str().expect("a failure has a message");
        assert!(message.ends_with("nothing is known about the target"), "{message}");
    }
    assert!(failed.iter().all(|run| run["outcome"] == json!("failed")), "{:#}", failed[0]);
}
