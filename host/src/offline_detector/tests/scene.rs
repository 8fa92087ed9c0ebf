//! A vantage point in a test: runs as they come, and a count of what became of their errors.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::offline_detector::{Assessment, ConnectivityChange, Decision, ErrorAction, HeldAction, OfflineDetector};
use crate::run::{Failure, Identity, Outage, Outcome, Run};
use crate::trace::{Contact, Span, SpanId, Status, Trace, TraceId};

/// A vantage point and what has come of its errors. Times are in seconds since it began.
pub struct Scene {
    pub vantage: OfflineDetector,
    pub began: Instant,
    pub before_error: u32,
    probes: HashMap<String, (Arc<Identity>, u32)>,
    pub held: Vec<String>,
    pub sent: Vec<String>,
    pub dropped: Vec<String>,
    /// How many of how many, each time that it was told.
    pub told: Vec<(usize, usize)>,
    pub turns: Vec<&'static str>,
}

impl Scene {
    pub fn of(probes: usize) -> Self {
        Self {
            vantage: OfflineDetector::new(probes),
            began: Instant::now(),
            before_error: 1,
            probes: HashMap::new(),
            held: Vec::new(),
            sent: Vec::new(),
            dropped: Vec::new(),
            told: Vec::new(),
            turns: Vec::new(),
        }
    }

    pub fn at(&self, seconds: f64) -> Instant {
        self.began + Duration::from_secs_f64(seconds)
    }

    pub fn contact(&self, host: &str, answered: bool, from: f64, to: f64) -> Contact {
        let (from, to) = (self.at(from), self.at(to));
        Contact { host: host.to_owned(), loopback: host == "localhost", answered, from, to }
    }

    /// A run of the probe of this title, which ends at `end`.
    pub fn run(&mut self, title: &str, outcome: Outcome, contacts: Vec<Contact>, end: f64) -> Assessment {
        let before = self.before_error;
        let (identity, failures) = self.probes.entry(title.to_owned()).or_insert_with(|| {
            let (probe, title, tags) = (String::new(), title.to_owned(), Arc::default());
            (Arc::new(Identity { probe, title, tags, failures_before_error: before, pointer: String::new() }), 0)
        });
        let runs = *failures + u32::from(matches!(outcome, Outcome::Failed(_)));
        *failures = if outcome.passed() { 0 } else { runs };
        let outage = Outage { began: SystemTime::now(), runs, lasted: Duration::ZERO };
        let run = Run {
            probe: Arc::clone(identity),
            outage: Some(outage).filter(|outage| outage.runs > 0),
            outcome,
            trace: trace(contacts),
            lateness: Duration::ZERO,
            skipped: 0,
            attempts: 1,
            earlier: Vec::new(),
            evidence: None,
            tags: BTreeMap::new(),
            log: Vec::new(),
        };
        let (judgement, decision) = self.vantage.assess(&run, self.at(end));
        self.act(decision);
        if run.is_error() {
            match judgement.error {
                ErrorAction::Send => &mut self.sent,
                ErrorAction::Hold => &mut self.held,
                ErrorAction::Drop => &mut self.dropped,
            }
            .push(title.to_owned());
        }
        judgement
    }

    pub fn act(&mut self, decision: Decision) {
        match decision.held {
            Some(HeldAction::Release) => self.sent.append(&mut self.held),
            Some(HeldAction::Drop) => self.dropped.append(&mut self.held),
            None => {}
        }
        self.turns.extend(decision.connectivity.map(|turn| match turn {
            ConnectivityChange::Offline(_) => "offline",
            ConnectivityChange::Online { .. } => "online",
        }));
        self.told.extend(decision.offline_event.map(|finding| (finding.silent, finding.known)));
    }

    pub fn passes(&mut self, host: &str, from: f64, to: f64) -> Assessment {
        self.run(host, Outcome::Passed, vec![self.contact(host, true, from, to)], to)
    }

    /// It is refused, or answers what it should not.
    pub fn answers(&mut self, host: &str, from: f64, to: f64) -> Assessment {
        self.run(host, failed(), vec![self.contact(host, true, from, to)], to)
    }

    pub fn is_silent(&mut self, host: &str, from: f64, to: f64) -> Assessment {
        self.run(host, failed(), vec![self.contact(host, false, from, to)], to)
    }

    pub fn tick(&mut self, at: f64) {
        let decision = self.vantage.tick(self.at(at));
        self.act(decision);
    }

    pub fn settle(&mut self, at: f64) {
        let decision = self.vantage.decide_now(self.at(at));
        self.act(decision);
    }

    /// How many errors were sent, are held and were dropped; and how often we were told to be offline.
    #[track_caller]
    pub fn check(&self, sent: usize, held: usize, dropped: usize, told: usize) {
        let found = (self.sent.len(), self.held.len(), self.dropped.len(), self.told.len());
        assert_eq!(found, (sent, held, dropped, told), "sent, held, dropped, told");
    }
}

pub fn failed() -> Outcome {
    let (reason, message) = ("timeout".to_owned(), "timed out after 10 s".to_owned());
    Outcome::Failed(Failure { reason, message, mismatches: Vec::new() })
}

fn trace(contacts: Vec<Contact>) -> Trace {
    let root = Span {
        id: SpanId([1; 8]),
        parent: None,
        op: "probes.http".into(),
        description: String::new(),
        start: Duration::ZERO,
        duration: Duration::ZERO,
        status: Status::Ok,
        data: Vec::new(),
    };
    Trace { id: TraceId([1; 16]), started: SystemTime::now(), spans: vec![root], dropped: 0, contacts }
}
