//! Sequences of runs, and what becomes of their errors.

use super::*;
use crate::run::{Fault, FaultKind};
use scene::{Scene, failed};

mod scene;

fn hosts(range: std::ops::Range<usize>) -> impl Iterator<Item = (f64, String)> {
    range.map(|number| (number as f64, format!("host-{number}")))
}

#[test]
fn all_fall_silent_and_it_is_told_once() {
    let mut scene = Scene::of(4);
    for (number, host) in hosts(0..4) {
        scene.passes(&host, number, number + 0.1);
    }
    for (number, host) in hosts(0..4) {
        assert!(!scene.is_silent(&host, 60.0 + number, 60.1 + number).offline, "nobody knows yet");
    }
    scene.tick(64.0);
    scene.check(0, 4, 0, 0);
    scene.tick(66.0);
    scene.check(0, 0, 4, 1);
    for (number, host) in hosts(0..4) {
        assert!(scene.is_silent(&host, 120.0 + number, 120.1 + number).offline);
    }
    scene.check(0, 0, 8, 1);
    assert_eq!(scene.told, [(4, 4)]);
    let passing = scene.passes("host-0", 180.0, 180.1);
    assert_eq!(passing, Assessment { error: ErrorAction::Send, offline: false, error_was_sent: false });
    assert_eq!(scene.turns, ["offline", "online"]);
    // A target that stays down is its own outage, and one that answers wrongly always was.
    scene.is_silent("host-1", 181.0, 181.1);
    scene.answers("host-2", 182.0, 182.1);
    scene.check(2, 0, 8, 1);
}

#[test]
fn what_was_found_says_who_and_why_and_since_when() {
    let mut scene = Scene::of(9);
    for (number, host) in hosts(0..9) {
        scene.is_silent(&host, number / 10.0, 1.0 + number);
    }
    scene.tick(20.0);
    let silence = scene.vantage.silence.as_ref().expect("it goes on");
    assert!(silence.offline);
    let OfflineFinding { since, silent, known, examples } = silence.finding(9);
    assert_eq!((since, silent, known, examples.len()), (scene.began, 9, 9, MAX_EXAMPLES));
    let Example { host, reason, message } = &examples[0];
    assert_eq!([host, reason, message], ["host-0", "timeout", "timed out after 10 s"]);
}

#[test]
fn a_refusal_is_an_answer() {
    let mut scene = Scene::of(3);
    for (number, host) in hosts(0..3) {
        scene.answers(&host, number, number + 0.1);
        scene.check(number as usize + 1, 0, 0, 0);
    }
}

#[test]
fn too_few_to_compare_with_are_told_of_at_once() {
    let mut scene = Scene::of(1);
    scene.is_silent("only", 0.0, 0.1);
    scene.check(1, 0, 0, 0);
    // The second might be one of many, until all have run.
    let mut scene = Scene::of(3);
    scene.is_silent("first", 0.0, 0.1);
    scene.is_silent("second", 0.0, 0.1);
    scene.check(0, 2, 0, 0);
    scene.run("third", Outcome::Passed, Vec::new(), 0.2);
    scene.check(2, 0, 0, 0);
    scene.is_silent("second", 60.0, 60.1);
    scene.check(3, 0, 0, 0);
}

#[test]
fn loopback_proves_nothing_either_way() {
    let mut scene = Scene::of(5);
    for number in 0..5 {
        let contact = scene.contact("localhost", false, 0.0, 0.1);
        scene.run(&format!("probe-{number}"), failed(), vec![contact], 0.1);
        scene.check(number + 1, 0, 0, 0);
    }
    let mut scene = Scene::of(4);
    for (number, host) in hosts(0..3) {
        scene.is_silent(&host, number, number + 0.1);
        scene.passes("localhost", number, number + 0.5);
    }
    scene.tick(6.0);
    scene.check(0, 0, 3, 1);
}

#[test]
fn one_that_falls_silent_among_others_is_told_of_with_their_next_sign_of_life() {
    let mut scene = Scene::of(10);
    for (number, host) in hosts(0..10) {
        scene.passes(&host, number, number + 0.1);
    }
    scene.is_silent("host-4", 11.0, 11.1);
    scene.check(0, 1, 0, 0);
    scene.passes("host-5", 12.0, 12.1);
    scene.check(1, 0, 0, 0);
    // And from then on at once.
    scene.is_silent("host-4", 21.0, 21.1);
    scene.check(2, 0, 0, 0);
    // Once it was heard, it may fall silent together with others again.
    scene.passes("host-4", 31.0, 31.1);
    scene.is_silent("host-4", 41.0, 41.1);
    scene.check(2, 1, 0, 0);
}

#[test]
fn a_slow_timeout_is_told_of_at_once_where_others_were_heard_meanwhile() {
    let mut scene = Scene::of(4);
    for second in 0..10 {
        scene.passes("host-0", f64::from(second), f64::from(second) + 0.05);
    }
    scene.is_silent("host-1", 0.0, 10.0);
    scene.check(1, 0, 0, 0);
    // Who was heard only as it set out says nothing of the seconds after.
    scene.is_silent("host-2", 8.8, 18.8);
    scene.check(1, 1, 0, 0);
    // Nor does it end a silence that somebody is late to say that he was heard before.
    scene.passes("host-2", 9.1, 9.2);
    scene.check(1, 1, 0, 0);
    scene.passes("host-3", 19.0, 19.1);
    scene.check(2, 0, 0, 0);
    scene.is_silent("host-2", 19.5, 19.6);
    scene.check(3, 0, 0, 0);
}

#[test]
fn an_error_is_held_for_half_a_minute_at_most() {
    let mut scene = Scene::of(4);
    for (number, host) in hosts(0..4) {
        scene.passes(&host, number, number + 0.1);
    }
    scene.is_silent("host-0", 60.0, 60.1);
    scene.is_silent("host-1", 61.0, 61.1);
    scene.tick(89.0);
    scene.check(0, 2, 0, 0);
    scene.tick(89.2);
    scene.check(2, 0, 0, 0);
    // The silence goes on all the same: with the third host it is wide enough.
    scene.is_silent("host-2", 91.0, 91.1);
    scene.check(2, 0, 1, 1);
}

#[test]
fn neighbours_in_one_data_centre_are_not_us() {
    // They fail at once and one after the other, while those around them pass.
    let mut scene = Scene::of(100);
    for round in 0..3 {
        for (number, host) in hosts(0..100) {
            let at = f64::from(round) * 300.0 + number / 64.0;
            if (40.0..70.0).contains(&number) {
                scene.is_silent(&host, at, at + 0.02);
            } else {
                scene.passes(&host, at, at + 0.2);
            }
            scene.tick(at + 0.2);
        }
    }
    scene.check(90, 0, 0, 0);
}

#[test]
fn hosts_that_stay_down_are_told_of_though_nobody_is_heard_next_to_them() {
    // The last in the file, before a long pause.
    let mut scene = Scene::of(6);
    for round in 0..3 {
        let start = f64::from(round) * 300.0;
        for (number, host) in hosts(0..6) {
            if number < 3.0 {
                scene.passes(&host, start + number, start + number + 0.1);
            } else {
                scene.is_silent(&host, start + number, start + number + 0.1);
            }
        }
        scene.tick(start + 10.0);
        scene.tick(start + 60.0);
        scene.check(3 * (round as usize + 1), 0, 0, 0);
    }
}

#[test]
fn most_hosts_are_not_us_where_others_were_heard_beside_them() {
    // A handful starts at once: those that are well have answered when the others have not even timed out.
    let mut scene = Scene::of(6);
    for (number, host) in hosts(0..6).filter(|(number, _)| *number < 2.0) {
        scene.passes(&host, number / 1000.0, 0.04);
    }
    for (number, host) in hosts(0..6).filter(|(number, _)| *number >= 2.0) {
        scene.is_silent(&host, number / 1000.0, 10.0);
    }
    scene.tick(20.0);
    scene.check(0, 4, 0, 0);
    scene.settle(21.0);
    scene.check(4, 0, 0, 0);
}

#[test]
fn a_network_that_goes_in_the_middle_of_all_is_known_with_their_next_runs() {
    let mut scene = Scene::of(4);
    scene.passes("host-0", 0.0, 0.05);
    for (_, host) in hosts(1..4) {
        scene.is_silent(&host, 0.0, 1.0);
    }
    for (_, host) in hosts(0..4) {
        scene.is_silent(&host, 4.0, 5.0);
    }
    scene.tick(7.0);
    scene.check(0, 0, 7, 1);
}

#[test]
fn a_data_centre_at_the_end_of_a_round_is_not_us() {
    // The first seventy are not due again for minutes.
    let mut scene = Scene::of(100);
    for (number, host) in hosts(0..100) {
        let at = number / 64.0;
        if number < 70.0 {
            scene.passes(&host, at, at + 0.1);
        } else {
            scene.is_silent(&host, at, at + 10.0);
        }
    }
    scene.tick(20.0);
    scene.check(0, 30, 0, 0);
    scene.tick(45.0);
    scene.check(30, 0, 0, 0);
}

#[test]
fn hosts_that_are_down_anyway_do_not_hide_that_we_are_offline() {
    let mut scene = Scene::of(8);
    for (number, host) in hosts(0..8) {
        if number < 5.0 {
            scene.is_silent(&host, number, number + 0.1);
        } else {
            scene.passes(&host, number, number + 0.1);
        }
    }
    scene.check(5, 0, 0, 0);
    for (number, host) in hosts(0..8) {
        scene.is_silent(&host, 60.0 + number, 60.1 + number);
    }
    scene.tick(73.0);
    assert_eq!(scene.told.len(), 1);
}

#[test]
fn who_set_out_while_we_were_offline_is_not_told_of_after_it() {
    let mut scene = Scene::of(5);
    for (number, host) in hosts(0..4) {
        scene.is_silent(&host, number, number + 0.1);
    }
    scene.tick(10.0);
    scene.passes("host-0", 40.0, 40.1);
    assert!(scene.is_silent("host-4", 20.0, 50.0).offline);
    scene.check(0, 0, 5, 1);
    scene.is_silent("host-4", 80.0, 110.0);
    scene.passes("host-0", 111.0, 111.1);
    scene.check(1, 0, 5, 1);
}

#[test]
fn each_time_that_the_network_is_gone_is_told_once() {
    let mut scene = Scene::of(5);
    for round in 0..3 {
        let start = f64::from(round) * 100.0;
        for (number, host) in hosts(0..5) {
            scene.passes(&host, start + number, start + number + 0.1);
        }
        for (number, host) in hosts(0..5) {
            scene.is_silent(&host, start + 50.0 + number, start + 50.1 + number);
        }
        scene.tick(start + 56.0);
        scene.check(0, 0, 5 * (round as usize + 1), round as usize + 1);
    }
    assert_eq!(scene.turns, ["offline", "online", "offline", "online", "offline"]);
}

#[test]
fn what_reached_anybody_is_neither_held_nor_dropped() {
    let mut scene = Scene::of(6);
    let first = scene.contact("first", true, 0.0, 0.1);
    let second = scene.contact("second", false, 0.1, 5.0);
    scene.run("chain", failed(), vec![first, second], 5.0);
    scene.check(1, 0, 0, 0);
    for (number, host) in hosts(0..4) {
        scene.is_silent(&host, 10.0 + number, 10.1 + number);
    }
    scene.tick(20.0);
    scene.check(1, 0, 4, 1);
    let contacts = vec![scene.contact("localhost", true, 21.0, 21.1), scene.contact("host-0", false, 21.2, 21.3)];
    scene.run("local", failed(), contacts, 21.3);
    scene.run("nowhere", failed(), Vec::new(), 21.3);
    let fault = Fault { kind: FaultKind::Trap, message: String::new(), backtrace: Vec::new() };
    let contact = scene.contact("host-1", false, 22.0, 22.1);
    scene.run("host-1", Outcome::Broken(fault), vec![contact], 22.1);
    scene.check(4, 0, 4, 1);
    assert_eq!(scene.turns, ["offline"], "none of it was a sign of life");
}

#[test]
fn at_the_end_it_is_decided_with_what_is_known() {
    let mut scene = Scene::of(4);
    for (_, host) in hosts(0..2) {
        scene.is_silent(&host, 0.0, 0.1);
    }
    scene.settle(0.2);
    scene.check(2, 0, 0, 0);
    let mut scene = Scene::of(4);
    for (_, host) in hosts(0..4) {
        scene.is_silent(&host, 0.0, 0.1);
    }
    scene.settle(0.2);
    scene.check(0, 0, 4, 1);
    scene.settle(0.3);
    scene.check(0, 0, 4, 1);
}

#[test]
fn it_is_told_in_place_of_errors_and_not_before_there_is_one() {
    let mut scene = Scene::of(4);
    scene.before_error = 3;
    for round in 0..4 {
        let start = f64::from(round) * 60.0;
        for (number, host) in hosts(0..4) {
            let offline = scene.is_silent(&host, start + number, start + number + 0.1).offline;
            assert_eq!(offline, round > 0, "its measurements are marked as soon as it is known");
        }
        scene.tick(start + 10.0);
        assert_eq!(scene.told.len(), usize::from(round >= 2), "round {round}");
    }
    scene.check(0, 0, 8, 1);
}

#[test]
fn a_recovery_is_one_from_what_was_told() {
    let mut scene = Scene::of(4);
    for (number, host) in hosts(0..4) {
        scene.passes(&host, number, number + 0.1);
    }
    // Held, and then sent.
    scene.is_silent("host-0", 10.0, 10.1);
    scene.passes("host-1", 11.0, 11.1);
    assert!(scene.passes("host-0", 20.0, 20.1).error_was_sent);
    // Sent, and then lost from sight with all others.
    scene.answers("host-3", 29.0, 29.1);
    for (number, host) in hosts(0..4) {
        scene.is_silent(&host, 30.0 + number, 30.1 + number);
    }
    scene.tick(40.0);
    assert!(!scene.passes("host-0", 50.0, 50.1).error_was_sent);
    assert!(scene.passes("host-3", 51.0, 51.1).error_was_sent);
    // Dropped, and then sent.
    scene.answers("host-1", 52.0, 52.1);
    assert!(scene.passes("host-1", 60.0, 60.1).error_was_sent);
    assert!(scene.passes("host-1", 70.0, 70.1).error_was_sent, "there is nothing that was not told");
}

#[test]
fn a_thousand_targets_are_one_incident() {
    let mut scene = Scene::of(1000);
    for (number, host) in hosts(0..1000) {
        scene.passes(&host, number / 64.0, number / 64.0 + 0.2);
    }
    // The network is gone from the middle of the next round on; who was under way finds nobody any more.
    let gone = 300.0 + 500.0 / 64.0;
    for (number, host) in hosts(0..1000) {
        let start = 300.0 + number / 64.0;
        if start + 0.1 < gone {
            scene.passes(&host, start, start + 0.2);
        } else {
            scene.is_silent(&host, start, start + 3.0);
        }
        scene.tick(start + 3.0);
    }
    assert_eq!(scene.told.len(), 1);
    assert!(scene.told[0].0 < 400, "it takes not half of them to know it: {:?}", scene.told);
    assert!(scene.sent.is_empty(), "{:?}", scene.sent);
    assert!(scene.held.is_empty() && scene.dropped.len() > 500, "{}", scene.dropped.len());
}

#[test]
fn hosts_that_are_remembered_are_bounded() {
    let mut scene = Scene::of(1);
    for (number, host) in hosts(0..MAX_HOSTS + 10) {
        scene.run("redirected", Outcome::Passed, vec![scene.contact(&host, true, number, number)], number);
    }
    assert_eq!(scene.vantage.hosts.len(), MAX_HOSTS);
    // One that is not remembered is judged by itself.
    let last = MAX_HOSTS as f64;
    scene.is_silent("another", last + 20.0, last + 20.1);
    scene.check(1, 0, 0, 0);
}
