//! The spool is shared: a third-party probe that floods it displaces no envelope of another probe.

use serde_json::Value;

use super::{run_once_with_spool, start_program, write_config};
use crate::guests::{Guest, PASSES, SPAN};
use crate::support::receiver::{ACCEPTED_RESPONSE, Receiver};
use crate::support::{empty_folder, eventually, free_port};

/// Returns a guest whose runs fail with 200 spans of about 1,000 characters each.
fn flooding_guest() -> Guest {
    let run = "(local $n i32)
        (drop (memory.grow (i32.const 1)))
        (memory.fill (i32.const 262144) (i32.const 97) (i32.const 1000))
        (loop
          (call $drop (call $span (i32.const 262144) (i32.const 10) (i32.const 262144) (i32.const 1000)))
          (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 200))))
        i32.const 128";
    Guest { imports: SPAN, run, ..PASSES }
}

/// Returns how often a probe with this title has failed, by the output of the program.
fn failures(home: &std::path::Path, title: &str) -> usize {
    let text = std::fs::read_to_string(home.join("shown")).expect("the program has written output");
    let runs = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    runs.filter(|run| run["title"] == title && run["outcome"] == "failed").count()
}

#[test]
fn a_flood_of_a_third_party_probe_leaves_the_errors_of_others_in_a_full_spool() {
    let home = empty_folder("spool-flood");
    let (port, closed) = (free_port(), free_port());
    let (flooding, calm) = (flooding_guest().write("spool-flooding"), Guest { run: "i32.const 128", ..PASSES });
    let calm = calm.write("spool-calm");
    let configuration = format!(
        "sentry: {{dsn: 'http://key@127.0.0.1:{port}/1', spool: {{directory: '{}', size: 1 MiB}}}}\n\
         groups: [{{probes: [\n\
           {{probe: http, title: Shop, url: 'http://127.0.0.1:{closed}/', every: 0.5}},\n\
           {{probe: '{}', title: Calm, every: 0.5}},\n\
           {{probe: '{}', title: Flood, every: 0.05}}]}}]\n",
        home.join("spool").display(),
        calm.display(),
        flooding.display()
    );
    let file = write_config(&home, &configuration);
    let running = start_program(&home, &file, "shown");
    eventually("a full spool", || {
        (failures(&home, "Flood") >= 100 && ["Shop", "Calm"].iter().all(|title| failures(&home, title) >= 8))
            .then_some(())
    });
    running.send_signal("TERM");
    running.wait_for_exit_code();
    let receiver = Receiver::responding_at(port, |_, _| ACCEPTED_RESPONSE.to_owned());
    let ended = run_once_with_spool(&home, &configuration.replace("title: Flood", "title: Last"));
    assert!(ended.stderr.contains("0 waiting"), "{}", ended.stderr);
    let events = receiver.wait_for_payloads(0, "event");
    let sent = |title: &str| events.iter().filter(|event| event["fingerprint"][2] == title).count();
    for title in ["Shop", "Calm"] {
        assert!(
            sent(title) > failures(&home, title),
            "{} of {} errors of {title}",
            sent(title),
            failures(&home, title)
        );
    }
    let transactions = receiver.wait_for_payloads(0, "transaction");
    let of_flood = transactions.iter().filter(|transaction| transaction["transaction"] == "Flood").count();
    assert!(of_flood < failures(&home, "Flood") / 2, "{of_flood}: the spool was never full");
}
