//! Tests of the runs that count as evidence about the network of this host: third-party probes, redirects and templates
//! do not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::simulation::{self, Simulation, failed};
use crate::assessment::{Assessor, ErrorAction, Recovery};
use crate::run::{Identity, Outcome};

/// A run of a third-party probe that has tried these hosts between `from` and `to`, with or without an answer.
fn hostile(simulation: &mut Simulation, title: &str, hosts: &[(String, bool)], from: f64, to: f64) {
    let contacts = hosts.iter().map(|(host, answered)| simulation.contact(host, *answered, from, to)).collect();
    let outcome = if hosts.iter().all(|(_, answered)| *answered) { Outcome::Passed } else { failed() };
    simulation.run_third_party(title, outcome, contacts, to);
}

fn names(count: usize, answered: bool) -> Vec<(String, bool)> {
    (0..count).map(|number| (format!("name-{number}.example"), answered)).collect()
}

/// The run of a third-party probe in each second.
type Behaviour = fn(second: usize) -> Vec<(String, bool)>;

/// Third-party probes that try to change whether this host counts as offline.
const BEHAVIOURS: [(&str, Behaviour); 6] = [
    ("nothing", |_| Vec::new()),
    ("fifty names that do not resolve", |_| names(50, false)),
    ("other names each time", |second| vec![(format!("name-{second}.example"), false)]),
    ("an answer each second", |_| names(1, true)),
    ("answers and silence in turn", |second| names(20, second.is_multiple_of(2))),
    ("the host of another probe, which answers it", |_| vec![("host-0".to_owned(), true), ("host-1".to_owned(), true)]),
];

/// Runs three probes of a third-party component with this behaviour, once a second, beside built-in probes of `host-0`
/// to `host-4`, each of which runs every 5 s. The hosts in `down` are silent from second 10 on. Returns the simulation
/// after a minute.
fn beside(behaviour: Behaviour, down: &[usize]) -> Simulation {
    let mut simulation = Simulation::with_probes(5);
    for second in 0..60 {
        let at = second as f64;
        for probe in 0..3 {
            hostile(&mut simulation, &format!("hostile-{probe}"), &behaviour(second), at, at + 0.05);
        }
        let number = second % 5;
        let host = format!("host-{number}");
        if second >= 10 && down.contains(&number) {
            simulation.run_without_answer(&host, at + 0.1, at + 0.2);
        } else {
            simulation.run_passing(&host, at + 0.1, at + 0.2);
        }
        simulation.tick(at + 0.9);
    }
    simulation
}

fn count(titles: &[String], prefix: &str) -> usize {
    titles.iter().filter(|title| title.starts_with(prefix)).count()
}

#[test]
fn no_third_party_probe_hides_that_a_target_is_down() {
    for (name, behaviour) in BEHAVIOURS {
        let mut simulation = beside(behaviour, &[3]);
        simulation.decide_now(60.0);
        assert_eq!(count(&simulation.reported, "host-3"), 10, "{name}");
        assert!(
            simulation.suppressed.is_empty() && simulation.connectivity.is_empty(),
            "{name}: {:?}",
            simulation.suppressed
        );
    }
}

#[test]
fn no_third_party_probe_hides_that_this_host_is_offline() {
    for (name, behaviour) in BEHAVIOURS {
        let simulation = beside(behaviour, &[0, 1, 2, 3, 4]);
        assert_eq!(simulation.connectivity, ["offline"], "{name}");
        assert_eq!(simulation.offline_events, [(5, 5)], "{name}: third-party hosts are not counted");
        assert_eq!(count(&simulation.reported, "host-"), 0, "{name}");
        assert_eq!(count(&simulation.suppressed, "host-"), 50, "{name}");
    }
}

#[test]
fn without_built_in_probes_every_error_is_reported_at_once() {
    let mut simulation = Simulation::with_probes(0);
    for second in 0..20 {
        let at = f64::from(second);
        hostile(&mut simulation, &format!("hostile-{second}"), &names(50, false), at, at + 0.1);
        simulation.check(second as usize + 1, 0, 0, 0);
    }
}

#[test]
fn errors_of_third_party_probes_follow_the_votes_of_others() {
    let mut simulation = Simulation::with_probes(4);
    let host = |number: usize| format!("host-{number}");
    for number in 0..4 {
        simulation.run_passing(&host(number), number as f64, number as f64 + 0.1);
    }
    hostile(&mut simulation, "hostile", &names(1, false), 5.0, 5.1);
    simulation.check(1, 0, 0, 0);
    for number in 0..4 {
        simulation.run_without_answer(&host(number), 6.0 + number as f64, 6.1 + number as f64);
    }
    hostile(&mut simulation, "hostile", &names(1, false), 10.0, 10.1);
    simulation.check(1, 5, 0, 0);
    simulation.tick(12.0);
    simulation.check(1, 0, 5, 1);
    hostile(&mut simulation, "hostile", &names(1, false), 20.0, 20.1);
    simulation.check(1, 0, 6, 1);
    simulation.run_passing("host-0", 30.0, 30.1);
    hostile(&mut simulation, "hostile", &names(1, false), 31.0, 31.1);
    simulation.check(2, 0, 6, 1);
}

#[test]
fn a_probe_has_one_vote_however_many_hosts_it_has() {
    let mut simulation = Simulation::with_probes(3);
    let hosts: Vec<_> = (0..20).map(|number| format!("step-{number}")).collect();
    for (number, host) in hosts.iter().enumerate() {
        let at = number as f64;
        let contacts =
            hosts.iter().cycle().skip(number).take(20).map(|host| simulation.contact(host, false, at, at + 0.1));
        let contacts = contacts.collect();
        let votes = hosts.clone().into_boxed_slice();
        let run = simulation.run_with_votes("chain", votes, failed(), contacts, at + 0.1);
        assert_eq!(run.error, Some(ErrorAction::Hold), "{host}");
    }
    simulation.run_without_answer("a", 20.0, 20.1);
    simulation.tick(28.0);
    assert!(simulation.connectivity.is_empty(), "two probes are too few");
    simulation.run_without_answer("b", 28.5, 28.6);
    assert_eq!(simulation.connectivity, ["offline"]);
}

#[test]
fn probes_of_one_host_have_one_vote_together() {
    let mut simulation = Simulation::with_probes(6);
    let shop: Box<[String]> = ["shop".to_owned()].into();
    let probe = |simulation: &mut Simulation, number: usize, answered, at: f64| {
        let outcome = if answered { Outcome::Passed } else { failed() };
        let contacts = vec![simulation.contact("shop", answered, at, at + 0.1)];
        simulation.run_with_votes(&format!("shop-{number}"), shop.clone(), outcome, contacts, at + 0.1);
    };
    for number in 0..4 {
        probe(&mut simulation, number, true, number as f64);
    }
    simulation.run_passing("a", 4.0, 4.1);
    simulation.run_passing("b", 5.0, 5.1);
    for number in 0..4 {
        probe(&mut simulation, number, false, 10.0 + number as f64);
    }
    simulation.tick(30.0);
    simulation.check(0, 4, 0, 0);
    simulation.run_passing("a", 31.0, 31.1);
    simulation.check(4, 0, 0, 0);
}

#[test]
fn a_host_that_no_setting_names_has_no_vote() {
    let mut simulation = Simulation::with_probes(4);
    for round in 0..4 {
        let start = 10.0 * f64::from(round);
        for (offset, host) in [(0.0, "a"), (1.0, "b"), (2.0, "c")] {
            simulation.run_passing(host, start + offset, start + offset + 0.1);
        }
        // A target redirects to names that do not resolve.
        for number in 0..50 {
            let contacts =
                vec![simulation.contact(&format!("{round}-{number}.example"), false, start + 3.0, start + 3.1)];
            simulation.run_with_votes("redirected", ["shop".to_owned()].into(), failed(), contacts, start + 3.1);
        }
        simulation.tick(start + 9.0);
        simulation.check(50 * (round as usize + 1), 0, 0, 0);
    }
}

#[test]
fn a_probe_without_a_vote_is_waited_for_until_it_has_run() {
    let mut simulation = Simulation::with_probes(2);
    simulation.run_without_answer("shop", 0.0, 0.1);
    simulation.check(0, 1, 0, 0);
    // All hosts of this probe are filled into templates.
    simulation.run_with_votes("templates", Box::default(), Outcome::Passed, Vec::new(), 0.2);
    simulation.check(1, 0, 0, 0);
    // A third-party probe that never ends its first run is not waited for.
    simulation.run_without_answer("shop", 1.0, 1.1);
    simulation.check(2, 0, 0, 0);
}

#[test]
fn a_passing_probe_ends_no_outage_of_another() {
    let mut assessor = Assessor::new(0);
    // The identities are equal, as if a probe had the title and the name of another.
    let [down, hostile] = [(); 2].map(|()| Arc::new(Identity { failures_before_error: 3, ..Identity::default() }));
    let now = Instant::now();
    let mut assess = |identity: &Arc<Identity>, outcome, second: u64| {
        let run = simulation::run(identity, outcome, Vec::new());
        assessor.assess(run, now + Duration::from_secs(second)).0.assessment.clone()
    };
    for second in 0..10 {
        let assessment = assess(&down, failed(), 2 * second);
        assert_eq!(assessment.outage.map(|outage| u64::from(outage.runs)), Some(second + 1));
        assert_eq!(assessment.error.is_some(), second >= 2);
        let passed = assess(&hostile, Outcome::Passed, 2 * second + 1);
        assert_eq!((passed.outage, passed.recovery), (None, None));
    }
    assert_eq!(assess(&down, Outcome::Passed, 100).recovery, Some(Recovery::Reported));
}
