//! A simulation for the tests: runs at given times, and the actions for their errors.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::assessment::{Assessment, Assessor, ConnectivityChange, Decision, ErrorAction, HeldErrors};
use crate::run::{Failure, Fault, FaultKind, Identity, Outcome, Run};
use crate::trace::{HostContact, Span, SpanId, Status, Trace, TraceId};

/// An assessor, and the titles of the probes whose errors were reported, held and suppressed. Times are in seconds
/// since the beginning.
pub struct Simulation {
    pub assessor: Assessor,
    pub began: Instant,
    pub failures_before_error: u32,
    probes: HashMap<String, Arc<Identity>>,
    pub held: Vec<String>,
    pub reported: Vec<String>,
    pub suppressed: Vec<String>,
    /// The numbers of silent and of known hosts at each offline event.
    pub offline_events: Vec<(usize, usize)>,
    pub connectivity: Vec<&'static str>,
}

impl Simulation {
    pub fn with_probes(built_in_probes: usize) -> Self {
        Self {
            assessor: Assessor::new(built_in_probes),
            began: Instant::now(),
            failures_before_error: 1,
            probes: HashMap::new(),
            held: Vec::new(),
            reported: Vec::new(),
            suppressed: Vec::new(),
            offline_events: Vec::new(),
            connectivity: Vec::new(),
        }
    }

    pub fn at(&self, seconds: f64) -> Instant {
        self.began + Duration::from_secs_f64(seconds)
    }

    pub fn contact(&self, host: &str, answered: bool, from: f64, to: f64) -> HostContact {
        let (from, to) = (self.at(from), self.at(to));
        HostContact { host: host.to_owned(), loopback: host == "localhost", answered, from, to }
    }

    /// Assesses a run, which ends at `end`, of the built-in probe with this title, and carries out the decision. Its
    /// settings name the host of the title, and the hosts of its first run.
    pub fn run(&mut self, title: &str, outcome: Outcome, contacts: Vec<HostContact>, end: f64) -> Assessment {
        let hosts = contacts.iter().map(|contact| contact.host.clone()).chain([title.to_owned()]).collect();
        self.run_with_votes(title, hosts, outcome, contacts, end)
    }

    /// Assesses a run of a third-party probe.
    pub fn run_third_party(
        &mut self,
        title: &str,
        outcome: Outcome,
        contacts: Vec<HostContact>,
        end: f64,
    ) -> Assessment {
        self.run_as(title, Identity::default(), outcome, contacts, end)
    }

    /// Assesses a run of the built-in probe with this title, which has these voting hosts if it is new.
    pub fn run_with_votes(
        &mut self,
        title: &str,
        voting_hosts: Box<[String]>,
        outcome: Outcome,
        contacts: Vec<HostContact>,
        end: f64,
    ) -> Assessment {
        let identity = Identity { built_in: true, voting_hosts, ..Identity::default() };
        self.run_as(title, identity, outcome, contacts, end)
    }

    fn run_as(
        &mut self,
        title: &str,
        identity: Identity,
        outcome: Outcome,
        contacts: Vec<HostContact>,
        end: f64,
    ) -> Assessment {
        let failures_before_error = self.failures_before_error;
        let identity = self
            .probes
            .entry(title.to_owned())
            .or_insert_with(|| Arc::new(Identity { title: title.to_owned(), failures_before_error, ..identity }));
        let run = run(identity, outcome, contacts);
        let (assessed, decision) = self.assessor.assess(run, self.at(end));
        self.carry_out(decision);
        match assessed.assessment.error {
            Some(ErrorAction::Report) => self.reported.push(title.to_owned()),
            Some(ErrorAction::Hold) => self.held.push(title.to_owned()),
            Some(ErrorAction::Suppress) => self.suppressed.push(title.to_owned()),
            None => {}
        }
        assessed.assessment.clone()
    }

    fn carry_out(&mut self, decision: Option<Decision>) {
        let Some(Decision { held_errors, connectivity, offline_event }) = decision else { return };
        let (target, runs) = match held_errors {
            Some(HeldErrors::Report(runs)) => (&mut self.reported, runs),
            Some(HeldErrors::Suppress(runs)) => (&mut self.suppressed, runs),
            None => (&mut self.reported, Vec::new()),
        };
        if !runs.is_empty() {
            let titles: Vec<_> = runs.iter().map(|assessed| assessed.run.probe.title.clone()).collect();
            assert_eq!(titles, self.held, "a decision has every run that is held, in order");
            target.append(&mut self.held);
        }
        self.connectivity.extend(connectivity.map(|change| match change {
            ConnectivityChange::Offline(_) => "offline",
            ConnectivityChange::Online { .. } => "online",
        }));
        self.offline_events.extend(offline_event.map(|finding| (finding.silent, finding.known)));
    }

    /// Assesses a run that passes.
    pub fn run_passing(&mut self, host: &str, from: f64, to: f64) -> Assessment {
        self.run(host, Outcome::Passed, vec![self.contact(host, true, from, to)], to)
    }

    /// Assesses a run that fails although the host answers: the host refuses the connection, or the answer is wrong.
    pub fn run_with_wrong_answer(&mut self, host: &str, from: f64, to: f64) -> Assessment {
        self.run(host, failed(), vec![self.contact(host, true, from, to)], to)
    }

    /// Assesses a run that fails because the host does not answer.
    pub fn run_without_answer(&mut self, host: &str, from: f64, to: f64) -> Assessment {
        self.run(host, failed(), vec![self.contact(host, false, from, to)], to)
    }

    /// Runs this process for these seconds, and ticks once a second.
    pub fn run_process(&mut self, seconds: std::ops::Range<u32>) {
        for second in seconds {
            self.assessor.advance(self.at(second.into()));
            self.tick(second.into());
        }
    }

    pub fn tick(&mut self, at: f64) {
        let decision = self.assessor.tick(self.at(at));
        self.carry_out(decision);
    }

    pub fn decide_now(&mut self, at: f64) {
        let decision = self.assessor.decide_now(self.at(at));
        self.carry_out(decision);
    }

    /// Checks how many errors were reported, are held and were suppressed, and the number of offline events.
    #[track_caller]
    pub fn check(&self, reported: usize, held: usize, suppressed: usize, offline_events: usize) {
        let actual = (self.reported.len(), self.held.len(), self.suppressed.len(), self.offline_events.len());
        assert_eq!(actual, (reported, held, suppressed, offline_events), "reported, held, suppressed, events");
    }
}

pub fn failed() -> Outcome {
    let (reason, message) = ("timeout".to_owned(), "timed out after 10 s".to_owned());
    Outcome::Failed(Failure { reason, message, mismatches: Vec::new() })
}

pub fn broken() -> Outcome {
    Outcome::Broken(Fault { kind: FaultKind::Trap, message: String::new(), backtrace: Vec::new() })
}

/// Returns a run of one second.
pub fn run(identity: &Arc<Identity>, outcome: Outcome, contacts: Vec<HostContact>) -> Run {
    let root = Span {
        id: SpanId([1; 8]),
        parent: None,
        op: "probes.http".into(),
        description: String::new(),
        start: Duration::ZERO,
        duration: Duration::from_secs(1),
        status: Status::Ok,
        data: Vec::new(),
        is_of_component: false,
    };
    let trace = Trace { id: TraceId([1; 16]), started: SystemTime::now(), spans: vec![root], dropped: 0, contacts };
    Run::new(Arc::clone(identity), outcome, trace)
}
