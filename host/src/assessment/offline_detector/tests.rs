//! Tests of the actions for the errors of runs of many probes.

use super::*;
use crate::assessment::Recovery;
use crate::assessment::tests::simulation::{Simulation, broken, failed};

fn hosts(range: std::ops::Range<usize>) -> impl Iterator<Item = (f64, String)> {
    range.map(|number| (number as f64, format!("host-{number}")))
}

#[test]
fn a_network_that_is_down_is_reported_once() {
    let mut simulation = Simulation::with_probes(4);
    for (number, host) in hosts(0..4) {
        simulation.run_passing(&host, number, number + 0.1);
    }
    for (number, host) in hosts(0..4) {
        assert!(!simulation.run_without_answer(&host, 60.0 + number, 60.1 + number).is_offline, "it is not known yet");
    }
    simulation.tick(64.0);
    simulation.check(0, 4, 0, 0);
    simulation.tick(66.0);
    simulation.check(0, 0, 4, 1);
    for (number, host) in hosts(0..4) {
        assert!(simulation.run_without_answer(&host, 120.0 + number, 120.1 + number).is_offline);
    }
    simulation.check(0, 0, 8, 1);
    assert_eq!(simulation.offline_events, [(4, 4)]);
    let passing = simulation.run_passing("host-0", 180.0, 180.1);
    assert_eq!((passing.error, passing.is_offline), (None, false));
    assert_eq!(passing.recovery, Some(Recovery::Unreported));
    assert_eq!(simulation.connectivity, ["offline", "online"]);
    // Back online, a target that stays down or answers wrongly has an outage of its own.
    simulation.run_without_answer("host-1", 181.0, 181.1);
    simulation.run_with_wrong_answer("host-2", 182.0, 182.1);
    simulation.check(2, 0, 8, 1);
}

#[test]
fn a_finding_names_hosts_reasons_and_the_time() {
    let mut simulation = Simulation::with_probes(9);
    for (number, host) in hosts(0..9) {
        simulation.run_without_answer(&host, number / 10.0, 1.0 + number);
    }
    simulation.tick(20.0);
    let silence =
        simulation.assessor.detector.silence.as_ref().expect("a silence has begun, since no host has answered");
    assert!(silence.is_offline);
    let OfflineFinding { since, silent, known, examples } = silence.finding(9);
    assert_eq!((since, silent, known, examples.len()), (simulation.began, 9, 9, MAX_EXAMPLES));
    let SilentHost { host, reason, message } = &examples[0];
    assert_eq!([host, reason, message], ["host-0", "timeout", "timed out after 10 s"]);
}

#[test]
fn a_refusal_is_an_answer() {
    let mut simulation = Simulation::with_probes(3);
    for (number, host) in hosts(0..3) {
        simulation.run_with_wrong_answer(&host, number, number + 0.1);
        simulation.check(number as usize + 1, 0, 0, 0);
    }
}

#[test]
fn errors_of_too_few_hosts_to_compare_are_reported_at_once() {
    let mut simulation = Simulation::with_probes(1);
    simulation.run_without_answer("only", 0.0, 0.1);
    simulation.check(1, 0, 0, 0);
    // Until all probes have run, more hosts may come.
    let mut simulation = Simulation::with_probes(3);
    simulation.run_without_answer("first", 0.0, 0.1);
    simulation.run_without_answer("second", 0.0, 0.1);
    simulation.check(0, 2, 0, 0);
    simulation.run("third", Outcome::Passed, Vec::new(), 0.2);
    simulation.check(2, 0, 0, 0);
    simulation.run_without_answer("second", 60.0, 60.1);
    simulation.check(3, 0, 0, 0);
}

#[test]
fn contacts_with_loopback_say_nothing_about_the_network() {
    let mut simulation = Simulation::with_probes(5);
    for number in 0..5 {
        let contact = simulation.contact("localhost", false, 0.0, 0.1);
        simulation.run(&format!("probe-{number}"), failed(), vec![contact], 0.1);
        simulation.check(number + 1, 0, 0, 0);
    }
    let mut simulation = Simulation::with_probes(4);
    for (number, host) in hosts(0..3) {
        simulation.run_without_answer(&host, number, number + 0.1);
        simulation.run_passing("localhost", number, number + 0.5);
    }
    simulation.tick(6.0);
    simulation.check(0, 0, 3, 1);
}

#[test]
fn a_single_silent_host_is_reported_with_the_next_answer_of_another() {
    let mut simulation = Simulation::with_probes(10);
    for (number, host) in hosts(0..10) {
        simulation.run_passing(&host, number, number + 0.1);
    }
    simulation.run_without_answer("host-4", 11.0, 11.1);
    simulation.check(0, 1, 0, 0);
    simulation.run_passing("host-5", 12.0, 12.1);
    simulation.check(1, 0, 0, 0);
    // From then on its errors are reported at once.
    simulation.run_without_answer("host-4", 21.0, 21.1);
    simulation.check(2, 0, 0, 0);
    // Once the host has answered, its next silence can count as part of a network outage again.
    simulation.run_passing("host-4", 31.0, 31.1);
    simulation.run_without_answer("host-4", 41.0, 41.1);
    simulation.check(2, 1, 0, 0);
}

#[test]
fn a_slow_timeout_is_reported_at_once_if_others_answered_meanwhile() {
    let mut simulation = Simulation::with_probes(4);
    for second in 0..10 {
        simulation.run_passing("host-0", f64::from(second), f64::from(second) + 0.05);
    }
    simulation.run_without_answer("host-1", 0.0, 10.0);
    simulation.check(1, 0, 0, 0);
    // An answer at the very beginning of an attempt does not show that the network was up for the rest of the attempt.
    simulation.run_without_answer("host-2", 8.8, 18.8);
    simulation.check(1, 1, 0, 0);
    // An earlier answer of which the run is assessed late does not end the silence.
    simulation.run_passing("host-2", 9.1, 9.2);
    simulation.check(1, 1, 0, 0);
    simulation.run_passing("host-3", 19.0, 19.1);
    simulation.check(2, 0, 0, 0);
    simulation.run_without_answer("host-2", 19.5, 19.6);
    simulation.check(3, 0, 0, 0);
}

#[test]
fn an_error_is_held_for_at_most_30_seconds() {
    let mut simulation = Simulation::with_probes(4);
    for (number, host) in hosts(0..4) {
        simulation.run_passing(&host, number, number + 0.1);
    }
    simulation.run_without_answer("host-0", 60.0, 60.1);
    simulation.run_without_answer("host-1", 61.0, 61.1);
    simulation.tick(89.0);
    simulation.check(0, 2, 0, 0);
    simulation.tick(89.2);
    simulation.check(2, 0, 0, 0);
    // The silence continues: with the third host it covers enough hosts.
    simulation.run_without_answer("host-2", 91.0, 91.1);
    simulation.check(2, 0, 1, 1);
}

#[test]
fn silence_of_one_data_centre_does_not_count_as_offline() {
    // They fail one after the other, while the hosts around them answer.
    let mut simulation = Simulation::with_probes(100);
    for round in 0..3 {
        for (number, host) in hosts(0..100) {
            let at = f64::from(round) * 300.0 + number / 64.0;
            if (40.0..70.0).contains(&number) {
                simulation.run_without_answer(&host, at, at + 0.02);
            } else {
                simulation.run_passing(&host, at, at + 0.2);
            }
            simulation.tick(at + 0.2);
        }
    }
    simulation.check(90, 0, 0, 0);
}

#[test]
fn hosts_that_stay_down_are_reported_although_no_other_host_is_tried_after_them() {
    // The last probes of the file, before a long pause.
    let mut simulation = Simulation::with_probes(6);
    for round in 0..3 {
        let start = f64::from(round) * 300.0;
        for (number, host) in hosts(0..6) {
            if number < 3.0 {
                simulation.run_passing(&host, start + number, start + number + 0.1);
            } else {
                simulation.run_without_answer(&host, start + number, start + number + 0.1);
            }
        }
        simulation.tick(start + 10.0);
        simulation.tick(start + 60.0);
        simulation.check(3 * (round as usize + 1), 0, 0, 0);
    }
}

#[test]
fn silence_of_most_hosts_does_not_count_as_offline_if_others_answered_meanwhile() {
    // The first probes start at once: the healthy hosts have answered before the others time out.
    let mut simulation = Simulation::with_probes(6);
    for (number, host) in hosts(0..6).filter(|(number, _)| *number < 2.0) {
        simulation.run_passing(&host, number / 1000.0, 0.04);
    }
    for (number, host) in hosts(0..6).filter(|(number, _)| *number >= 2.0) {
        simulation.run_without_answer(&host, number / 1000.0, 10.0);
    }
    simulation.tick(20.0);
    simulation.check(0, 4, 0, 0);
    simulation.decide_now(21.0);
    simulation.check(4, 0, 0, 0);
}

#[test]
fn a_network_that_fails_in_the_middle_of_runs_is_found_with_the_next_runs() {
    let mut simulation = Simulation::with_probes(4);
    simulation.run_passing("host-0", 0.0, 0.05);
    for (_, host) in hosts(1..4) {
        simulation.run_without_answer(&host, 0.0, 1.0);
    }
    for (_, host) in hosts(0..4) {
        simulation.run_without_answer(&host, 4.0, 5.0);
    }
    simulation.tick(7.0);
    simulation.check(0, 0, 7, 1);
}

#[test]
fn silence_of_the_hosts_that_were_tried_last_does_not_count_as_offline() {
    // The first seventy probes are not due again for minutes.
    let mut simulation = Simulation::with_probes(100);
    for (number, host) in hosts(0..100) {
        let at = number / 64.0;
        if number < 70.0 {
            simulation.run_passing(&host, at, at + 0.1);
        } else {
            simulation.run_without_answer(&host, at, at + 10.0);
        }
    }
    simulation.tick(20.0);
    simulation.check(0, 30, 0, 0);
    simulation.tick(45.0);
    simulation.check(30, 0, 0, 0);
}

#[test]
fn hosts_that_were_down_before_do_not_hide_a_lost_network() {
    let mut simulation = Simulation::with_probes(8);
    for (number, host) in hosts(0..8) {
        if number < 5.0 {
            simulation.run_without_answer(&host, number, number + 0.1);
        } else {
            simulation.run_passing(&host, number, number + 0.1);
        }
    }
    simulation.check(5, 0, 0, 0);
    for (number, host) in hosts(0..8) {
        simulation.run_without_answer(&host, 60.0 + number, 60.1 + number);
    }
    simulation.tick(73.0);
    assert_eq!(simulation.offline_events.len(), 1);
}

#[test]
fn a_run_that_began_while_offline_is_suppressed_even_if_it_ends_online() {
    let mut simulation = Simulation::with_probes(5);
    for (number, host) in hosts(0..4) {
        simulation.run_without_answer(&host, number, number + 0.1);
    }
    simulation.tick(10.0);
    simulation.run_passing("host-0", 40.0, 40.1);
    assert!(simulation.run_without_answer("host-4", 20.0, 50.0).is_offline);
    simulation.check(0, 0, 5, 1);
    simulation.run_without_answer("host-4", 80.0, 110.0);
    simulation.run_passing("host-0", 111.0, 111.1);
    simulation.check(1, 0, 5, 1);
}

#[test]
fn each_loss_of_the_network_is_reported_once() {
    let mut simulation = Simulation::with_probes(5);
    for round in 0..3 {
        let start = f64::from(round) * 100.0;
        for (number, host) in hosts(0..5) {
            simulation.run_passing(&host, start + number, start + number + 0.1);
        }
        for (number, host) in hosts(0..5) {
            simulation.run_without_answer(&host, start + 50.0 + number, start + 50.1 + number);
        }
        simulation.tick(start + 56.0);
        simulation.check(0, 0, 5 * (round as usize + 1), round as usize + 1);
    }
    assert_eq!(simulation.connectivity, ["offline", "online", "offline", "online", "offline"]);
}

#[test]
fn a_run_that_reached_a_host_is_neither_held_nor_suppressed() {
    let mut simulation = Simulation::with_probes(6);
    let first = simulation.contact("first", true, 0.0, 0.1);
    let second = simulation.contact("second", false, 0.1, 5.0);
    simulation.run("chain", failed(), vec![first, second], 5.0);
    simulation.check(1, 0, 0, 0);
    for (number, host) in hosts(0..4) {
        simulation.run_without_answer(&host, 10.0 + number, 10.1 + number);
    }
    simulation.tick(20.0);
    simulation.check(1, 0, 4, 1);
    let contacts =
        vec![simulation.contact("localhost", true, 21.0, 21.1), simulation.contact("host-0", false, 21.2, 21.3)];
    simulation.run("local", failed(), contacts, 21.3);
    simulation.run("nowhere", failed(), Vec::new(), 21.3);
    let contact = simulation.contact("host-1", false, 22.0, 22.1);
    simulation.run("host-1", broken(), vec![contact], 22.1);
    simulation.check(4, 0, 4, 1);
    assert_eq!(simulation.connectivity, ["offline"], "none of these was an answer over the network");
}

#[test]
fn decide_now_does_not_wait_for_more_runs() {
    let mut simulation = Simulation::with_probes(4);
    for (_, host) in hosts(0..2) {
        simulation.run_without_answer(&host, 0.0, 0.1);
    }
    simulation.decide_now(0.2);
    simulation.check(2, 0, 0, 0);
    let mut simulation = Simulation::with_probes(4);
    for (_, host) in hosts(0..4) {
        simulation.run_without_answer(&host, 0.0, 0.1);
    }
    simulation.decide_now(0.2);
    simulation.check(0, 0, 4, 1);
    simulation.decide_now(0.3);
    simulation.check(0, 0, 4, 1);
}

#[test]
fn the_offline_event_comes_with_the_first_suppressed_error() {
    let mut simulation = Simulation::with_probes(4);
    simulation.failures_before_error = 3;
    for round in 0..4 {
        let start = f64::from(round) * 60.0;
        for (number, host) in hosts(0..4) {
            let offline = simulation.run_without_answer(&host, start + number, start + number + 0.1).is_offline;
            assert_eq!(offline, round > 0, "runs are marked as soon as it is known");
        }
        simulation.tick(start + 10.0);
        assert_eq!(simulation.offline_events.len(), usize::from(round >= 2), "round {round}");
    }
    simulation.check(0, 0, 8, 1);
}

#[test]
fn a_recovery_is_reported_if_an_error_of_the_outage_was() {
    const REPORTED: Option<Recovery> = Some(Recovery::Reported);
    let mut simulation = Simulation::with_probes(4);
    for (number, host) in hosts(0..4) {
        simulation.run_passing(&host, number, number + 0.1);
    }
    // The errors are held, then reported.
    simulation.run_without_answer("host-0", 10.0, 10.1);
    simulation.run_passing("host-1", 11.0, 11.1);
    assert_eq!(simulation.run_passing("host-0", 20.0, 20.1).recovery, REPORTED);
    // The first error is reported; the next is suppressed, with those of all other hosts.
    simulation.run_with_wrong_answer("host-3", 29.0, 29.1);
    for (number, host) in hosts(0..4) {
        simulation.run_without_answer(&host, 30.0 + number, 30.1 + number);
    }
    simulation.tick(40.0);
    assert_eq!(simulation.run_passing("host-0", 50.0, 50.1).recovery, Some(Recovery::Unreported));
    assert_eq!(simulation.run_passing("host-3", 51.0, 51.1).recovery, REPORTED);
    // An error is suppressed, then one is reported.
    simulation.run_with_wrong_answer("host-1", 52.0, 52.1);
    assert_eq!(simulation.run_passing("host-1", 60.0, 60.1).recovery, REPORTED);
    assert_eq!(simulation.run_passing("host-1", 70.0, 70.1).recovery, None);
}

#[test]
fn a_thousand_targets_are_one_offline_event() {
    let mut simulation = Simulation::with_probes(1000);
    for (number, host) in hosts(0..1000) {
        simulation.run_passing(&host, number / 64.0, number / 64.0 + 0.2);
    }
    // The network fails in the middle of the next round, for attempts that are under way too.
    let network_lost_at = 300.0 + 500.0 / 64.0;
    for (number, host) in hosts(0..1000) {
        let start = 300.0 + number / 64.0;
        if start + 0.1 < network_lost_at {
            simulation.run_passing(&host, start, start + 0.2);
        } else {
            simulation.run_without_answer(&host, start, start + 3.0);
        }
        simulation.tick(start + 3.0);
    }
    assert_eq!(simulation.offline_events.len(), 1);
    assert!(simulation.offline_events[0].0 < 400, "less than half of them suffice: {:?}", simulation.offline_events);
    assert!(simulation.reported.is_empty(), "{:?}", simulation.reported);
    assert!(simulation.held.is_empty() && simulation.suppressed.len() > 500, "{}", simulation.suppressed.len());
}

/// Runs three probes whose hosts do not answer from second 10 on, and stops the process after second 11.
fn stopped_simulation() -> Simulation {
    let mut simulation = Simulation::with_probes(3);
    for (number, host) in hosts(0..3) {
        simulation.run_passing(&host, number, number + 0.1);
    }
    simulation.run_process(3..10);
    for (_, host) in hosts(0..3) {
        simulation.run_without_answer(&host, 10.0, 10.1);
    }
    simulation.run_process(10..12);
    simulation.check(0, 3, 0, 0);
    simulation
}

#[test]
fn nothing_is_concluded_from_time_in_which_the_process_did_not_run() {
    // After a minute, no host is offline and no error is released, until as much time has passed as otherwise.
    let mut simulation = stopped_simulation();
    simulation.run_process(71..74);
    simulation.check(0, 3, 0, 0);
    simulation.run_process(74..77);
    simulation.check(0, 0, 3, 1);
    // The first host that answers shows that the network of this host works.
    let mut simulation = stopped_simulation();
    simulation.run_process(71..72);
    simulation.run_passing("host-0", 71.5, 71.6);
    simulation.check(3, 0, 0, 0);
    assert!(simulation.connectivity.is_empty());
}

#[test]
fn errors_are_held_for_time_in_which_the_process_runs() {
    let mut simulation = Simulation::with_probes(10);
    for (number, host) in hosts(0..10) {
        simulation.run_passing(&host, number, number + 0.1);
    }
    simulation.run_process(10..11);
    simulation.run_without_answer("host-4", 11.0, 11.1);
    simulation.run_process(11..21);
    simulation.run_process(100..119);
    simulation.check(0, 1, 0, 0);
    simulation.run_process(119..122);
    simulation.check(1, 0, 0, 0);
}
