//! Runs whose reports take long to redact, beside other probes.

use std::fmt::Write as _;

use super::hostile::run_until_hostile_end;
use crate::guests::{Guest, LOG, PASSES};
use crate::support::{empty_folder, restrict_to_owner};

/// The lines of a hostile guest, which are kept together with their texts.
const LINES: u32 = 1000;

/// A guest that writes as much to the log as is kept: one of the secrets again and again.
fn guest() -> Guest {
    let define = r#"(data $text "teapots!")
        (func $fill (local $at i32)
          (drop (memory.grow (i32.const 4)))
          (loop
            (memory.init $text (i32.add (i32.const 65536) (local.get $at)) (i32.const 0) (i32.const 8))
            (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 8))) (i32.const 4096)))))"#;
    let run = format!(
        "(local $n i32) call $fill
         (loop
           (call $write (i32.const 1) (i32.const 65536) (i32.const 4096))
           (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const {LINES}))))
         i32.const 0"
    );
    Guest { imports: LOG, define, run: run.leak(), ..PASSES }
}

#[test]
fn a_report_that_takes_long_to_redact_counts_as_cpu_time_of_its_run() {
    const PROBES: usize = 8;
    let large = guest().write("large-report");
    let good = PASSES.write("beside-large-report");
    let mut text = "groups:\n  - probes:\n".to_owned();
    // More than the guest takes, and less than the redaction.
    let limited = if cfg!(debug_assertions) { "0.5" } else { "0.04" };
    for (title, cpu) in [("patient", "300"), ("limited", limited)] {
        for index in 0..PROBES / 2 {
            let limits = format!("{{cpu: {cpu}, deadline: 600, log_lines: {LINES}, log_size: 4194304}}");
            let keys = format!("title: '{title} {index}', every: 3600, allow: {{log: true}}, limits: {limits}");
            let _ = writeln!(text, "      - {{probe: '{}', {keys}}}", large.display());
        }
    }
    let file = empty_folder("large-reports-secret").join("secret");
    std::fs::write(&file, "teapots!").expect("the folder is writable");
    restrict_to_owner(&file);
    let secrets = format!("secret: '${{file:{}}}'", file.display());
    let _ = writeln!(text, "      - {{probe: '{}', title: good, every: 0.05, {secrets}}}", good.display());
    let (runs, _) = run_until_hostile_end("large-reports", &text, PROBES);
    for run in runs.iter().filter(|run| run["title"].as_str().is_some_and(|title| title.starts_with("patient"))) {
        assert_eq!(run["outcome"], "passed", "{}", run["failure"]);
        let log = run["log"].as_array().expect("a run has a log");
        assert_eq!(log.len(), LINES as usize);
        let messages = log.iter().map(|line| line["message"].as_str().expect("a line is text"));
        assert!(messages.into_iter().all(|message| message.contains("[Filtered]") && !message.contains("teapots!")));
    }
    for run in runs.iter().filter(|run| run["title"].as_str().is_some_and(|title| title.starts_with("limited"))) {
        assert_eq!((&run["outcome"], &run["failure"]["reason"]), (&"broken".into(), &"cpu".into()), "{}", run["title"]);
        let message = run["failure"]["message"].as_str().expect("a failure has a message");
        assert!(
            message.starts_with("the report of the run took more CPU time to redact than the probe's"),
            "{message}"
        );
        assert_eq!(run["log"].as_array().map(Vec::len), Some(0), "the report is discarded");
    }
    let good: Vec<_> = runs.iter().filter(|run| run["title"] == "good").collect();
    assert!(good.len() > 1 && good.iter().all(|run| run["outcome"] == "passed"), "{good:#?}");
}
