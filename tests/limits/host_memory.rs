//! Memory that a guest makes the host hold: texts, headers, requests, fields of WASI. All of it counts against the
//! guest's `memory` limit and against `total_memory`.

use std::fmt::Write as _;

use super::hostile::run_until_hostile_end;
use crate::guests::hostile::{self, FILL, holding_memory};
use crate::guests::{Guest, PASSES};

/// Writes the configuration of `copies` of each guest, and of one that passes again and again. Returns it with the
/// number of guests.
fn config(name: &str, copies: usize, guests: &[Guest]) -> (String, usize) {
    let mut text = "limits: {memory: 4 MiB, total_memory: 64 MiB, cpu: 1.5, deadline: 300, handles: 2000}\n\
                    groups:\n  - probes:\n"
        .to_owned();
    for (index, guest) in guests.iter().enumerate() {
        let file = hostile::write(&format!("host-memory-{name}-{index}"), guest);
        for copy in 0..copies {
            let keys = format!("title: '{index}-{copy}', every: 3600, allow: {{log: true, hosts: [h]}}");
            let _ = writeln!(text, "      - {{probe: '{}', {keys}}}", file.display());
        }
    }
    let good = PASSES.write("host-memory-beside");
    let _ = writeln!(text, "      - {{probe: '{}', title: good, every: 0.05}}", good.display());
    (text, copies * guests.len())
}

#[test]
fn what_guests_make_the_host_hold_is_within_total_memory() {
    const COPIES: usize = 5;
    /// `total_memory`, and what the host may need beside it: a call's arguments while they are read, for each thread on
    /// which guests compute, and half a MiB for each run's log.
    const MAX_MORE_MIB: u64 = 64 + 60;
    let kinds = holding_memory();
    let passes = vec![Guest { define: FILL, run: "call $fill i32.const 0", ..PASSES }; kinds.len()];
    let (text, count) = config("calm", COPIES, &passes);
    let (_, calm) = run_until_hostile_end("host-memory-calm", &text, count);

    let guests: Vec<_> = kinds.iter().map(|(_, guest)| *guest).collect();
    let (text, count) = config("hostile", COPIES, &guests);
    let (all, hostile) = run_until_hostile_end("host-memory-hostile", &text, count);
    assert!(hostile < calm + (MAX_MORE_MIB << 10), "{} MiB, and {} MiB with calm guests", hostile >> 10, calm >> 10);
    for run in &all {
        let title = run["title"].as_str().expect("a title is text");
        let expected = if title == "good" { "passed" } else { "broken" };
        assert_eq!(run["outcome"], expected, "{run:#}");
    }
    let reasons = |kind: &str| -> Vec<_> {
        let index = kinds.iter().position(|(name, ..)| *name == kind).expect("there is such a kind");
        let of_kind =
            all.iter().filter(|run| run["title"].as_str().unwrap_or_default().starts_with(&format!("{index}-")));
        of_kind.map(|run| run["failure"]["reason"].as_str().expect("it is broken").to_owned()).collect()
    };
    for kind in ["urls", "headers", "fields", "copies of fields", "bodies"] {
        let reasons = reasons(kind);
        assert!(
            reasons.iter().all(|reason| ["memory", "total_memory"].contains(&reason.as_str())),
            "{kind}: {reasons:?}"
        );
    }
}
