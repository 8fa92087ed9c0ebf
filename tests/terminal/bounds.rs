//! Bounds on the text that a component can have printed and logged.

use serde_json::Value;

use crate::guests::{Guest, HTTP, PASSES};
use crate::support::{run_command, sentrynet};

#[test]
fn the_log_has_few_refusals_of_a_component() {
    // Asks 200 hosts, whose names differ in two letters.
    let define = r#"(data (i32.const 1200) "GEThttp://aa.example/")
        (func $all (local $n i32)
          (loop
            (i32.store8 (i32.const 1210) (i32.add (i32.const 97) (i32.rem_u (local.get $n) (i32.const 20))))
            (i32.store8 (i32.const 1211) (i32.add (i32.const 97) (i32.div_u (local.get $n) (i32.const 20))))
            (call $request (i32.const 1200) (i32.const 3) (i32.const 1203) (i32.const 18) (i32.const 1160))
            (call $send (i32.load (i32.const 1164)) (i32.const 1160))
            (br_if 0 (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 200)))))"#;
    let file = Guest { imports: HTTP, define, run: "call $all i32.const 0", ..PASSES }.write("terminal-refused");
    let probes: String = (0..8)
        .map(|n| format!("      - {{probe: '{}', title: t{n}, allow: {{hosts: []}}}}\n", file.display()))
        .collect();
    let configuration = format!("limits: {{in_flight: 1, requests: 1000}}\ngroups:\n  - probes:\n{probes}");
    let ended = run_command(sentrynet().args(["once", "-"]), &configuration);
    let refusals: Vec<_> = ended.stderr.lines().filter(|line| line.contains("is not allowed")).collect();
    assert_eq!(refusals.len(), 100, "{}", ended.stderr);
    for n in 0..8 {
        let expected = if n < 5 { 20 } else { 0 };
        let title = format!("probe=t{n}");
        assert_eq!(refusals.iter().filter(|line| line.contains(&title)).count(), expected, "{}", ended.stderr);
    }
    assert_eq!(ended.stderr.matches("further refusals of this probe").count(), 4);
    assert_eq!(ended.stderr.matches("further refusals of this component").count(), 1);
}

/// Returns a definition that puts pairs of addresses and lengths at an address.
fn pairs(at: u32, pairs: &[(u32, u32)]) -> String {
    let bytes = pairs.iter().flat_map(|(address, length)| [address.to_le_bytes(), length.to_le_bytes()].concat());
    format!("(data (i32.const {at}) \"{}\")", bytes.map(|byte| format!("\\{byte:02x}")).collect::<String>())
}

/// A text of 150,000 characters that grow fivefold when they are escaped: memory that was never written.
const LONG: (u32, u32) = (100_000, 150_000);

#[test]
fn a_description_is_cut() {
    let define = pairs(65_536, &[LONG, LONG, LONG, (287, 2)]).leak();
    let file = Guest { define, describe: "i32.const 65536", ..PASSES }.write("terminal-long-description");
    for format in ["text", "json"] {
        let ended = run_command(sentrynet().args(["inspect", "--format", format]).arg(&file), "");
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(ended.stdout.len() < 8192, "{} bytes", ended.stdout.len());
    }
}

#[test]
fn problems_are_cut() {
    const PROBLEMS: u32 = 150;
    let problem = [LONG, (LONG.0, 20_000)];
    let list = pairs(70_000, &problem.repeat(PROBLEMS as usize));
    // An error, whose payload is a list.
    let define = format!("(data (i32.const 65536) \"\\01\") {} {list}", pairs(65_540, &[(70_000, PROBLEMS)])).leak();
    let file = Guest { define, check: "i32.const 65536", ..PASSES }.write("terminal-many-problems");
    let configuration = format!("limits: {{memory: 64 MiB}}\ngroups: [{{probes: [{{probe: '{}'}}]}}]", file.display());
    for format in ["text", "json"] {
        let ended = run_command(sentrynet().args(["check", "-", "--log-format", format]), &configuration);
        assert_eq!((ended.code, ended.stdout.as_str()), (2, ""));
        assert!(ended.stderr.contains("the probe reports 50 more problems"), "{}", ended.stderr);
        assert!(ended.stderr.len() < 250_000, "{} bytes", ended.stderr.len());
    }
}

#[test]
fn the_message_of_an_error_is_cut() {
    let long = "\u{1b}".repeat(100_000);
    for format in ["text", "json"] {
        let ended = run_command(sentrynet().args(["check", &long, "--log-format", format]), "");
        assert!(ended.code == 2 && ended.stderr.len() < 4500, "{} bytes", ended.stderr.len());
        if format == "json" {
            let line: Value = serde_json::from_str(&ended.stderr).expect("it is an object");
            assert!(line["message"].as_str().is_some_and(|message| message.ends_with('…')), "{line}");
        }
    }
}
