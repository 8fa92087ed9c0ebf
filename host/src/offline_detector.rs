//! Whether it is a target that is silent or the network at our end, the vantage point that all targets are seen from.
//! Pure: knows runs and what the network brought back in them; not what an error is, nor whom it is sent to.
//!
//! A host is down by itself when others are heard while it is not. When there is nobody to compare it with, its error
//! is held for a while; and when most hosts have fallen silent together, it is ours that is down. In doubt it is theirs:
//! an error too many is better than one that nobody sees.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::run::{Outcome, Run};
use crate::trace::Contact;

/// Is told of each run as it ends, and says what is to become of the run's error.
pub struct OfflineDetector {
    /// How many there are.
    probes: usize,
    ran: HashSet<ProbeId>,
    /// Each host that was tried, and the first moment of its silence where it is silent.
    hosts: HashMap<String, Option<Instant>>,
    /// The last sign of life, from whichever host.
    heard: Option<Instant>,
    silence: Option<Silence>,
    /// From when to when we were offline the last time.
    last_offline: Option<(Instant, Instant)>,
    held: Option<Holding>,
    /// Probes in whose outages no error was sent so far, and whether one is held.
    unreported_outages: HashMap<ProbeId, bool>,
}

/// What a run's error, and what the run itself, is to be taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Assessment {
    pub error: ErrorAction,
    /// It failed for want of a network.
    pub offline: bool,
    /// Errors were sent in the outage that it ended, if it ended one.
    pub error_was_sent: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorAction {
    Send,
    /// Until it is decided what becomes of all that are held.
    Hold,
    Drop,
}

/// What is to be done beside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the errors that were held before; nothing yet where it is none.
    pub held: Option<HeldAction>,
    pub connectivity: Option<ConnectivityChange>,
    /// The first error is about to be suppressed: this is to be told instead.
    pub offline_event: Option<OfflineFinding>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeldAction {
    Release,
    Drop,
}

/// Something that an operator wants to know, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConnectivityChange {
    Offline(OfflineFinding),
    Online { lasted: Duration, suppressed: usize },
}

/// That we are offline, and what shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfflineFinding {
    pub since: Instant,
    /// How many have fallen silent since, and how many were tried since the start.
    pub silent: usize,
    pub known: usize,
    /// The first of them.
    pub examples: Vec<Example>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    pub host: String,
    pub reason: String,
    pub message: String,
}

/// Nobody has been heard since it began.
struct Silence {
    began: Instant,
    /// When it was first known.
    noticed: Instant,
    /// A sign of life that is older does not end it.
    latest: Instant,
    /// How many fell silent in it.
    hosts: usize,
    /// Those of them that were tried after the last sign of life; who was tried beside it may as well be down by himself.
    tried: HashSet<String>,
    /// When the last of these was tried for the first time.
    spread: Instant,
    examples: Vec<Example>,
    /// It is ours.
    offline: bool,
    told: bool,
    suppressed: usize,
}

struct Holding {
    until: Instant,
    errors: usize,
}

/// Whose silence it is, in the order in which the silences of one run weigh.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Attribution {
    Ours,
    Open,
    Target,
}

/// Where its identity lies, which is as long there as there are runs of it.
type ProbeId = usize;

/// Hosts that must fall silent together: more than half of those that there are, and no fewer than these.
const MIN_SILENT_HOSTS: usize = 3;
/// Hosts that are enough where they were tried one after the other for as long as our patience lasts. A data centre's
/// fail in one go: those beside them may not be due for minutes.
const SUFFICIENT_SILENT_HOSTS: usize = 20;
/// How long a silence must last before it is ours: those that are well have time to show it.
const MIN_SILENCE: Duration = Duration::from_secs(5);
/// How long an error is held: with the second until somebody looks, half a minute at most.
const MAX_HOLD: Duration = Duration::from_secs(29);
/// A host that has not answered by then would not have. A sign of life after it shows that the network is not why.
const ANSWER_WINDOW: Duration = Duration::from_secs(1);
/// Hosts that are remembered: redirects may lead to ever new ones.
const MAX_HOSTS: usize = 10_000;
const MAX_EXAMPLES: usize = 5;

impl OfflineDetector {
    /// Of so many probes.
    pub fn new(probes: usize) -> Self {
        Self {
            probes,
            ran: HashSet::new(),
            hosts: HashMap::new(),
            heard: None,
            silence: None,
            last_offline: None,
            held: None,
            unreported_outages: HashMap::new(),
        }
    }

    /// Judges a run that has just ended.
    pub fn assess(&mut self, run: &Run, now: Instant) -> (Assessment, Decision) {
        let mut decision = Decision::default();
        let probe = Arc::as_ptr(&run.probe).addr();
        if self.ran.len() < self.probes {
            self.ran.insert(probe);
        }
        // What goes over no network says nothing of it.
        let abroad = || run.trace.contacts.iter().filter(|contact| !contact.loopback);
        for contact in abroad().filter(|contact| contact.answered) {
            self.on_answer(contact, &mut decision);
        }
        let silent = abroad().filter(|contact| !contact.answered);
        let blame = silent.map(|contact| self.on_silence(contact, run, now)).max();
        // Who was reached and is not as it should be is no matter of the network.
        let reached = run.trace.contacts.iter().any(|contact| contact.answered);
        let failed = matches!(run.outcome, Outcome::Failed(_));
        let mut blame = blame.filter(|_| failed && !reached).unwrap_or(Attribution::Target);
        self.evaluate(MIN_SILENCE, now, &mut decision);
        if blame == Attribution::Open && self.is_offline() {
            blame = Attribution::Ours;
        }
        if self.held.is_some() && !self.can_evaluate() {
            self.release(&mut decision);
        }
        let error = match blame {
            Attribution::Ours => ErrorAction::Drop,
            Attribution::Open if self.can_evaluate() => ErrorAction::Hold,
            Attribution::Open | Attribution::Target => ErrorAction::Send,
        };
        if failed && run.is_error() {
            self.count_error(error, now, &mut decision);
        }
        let told = self.update_error_sent(run, probe, error);
        (Assessment { error, offline: blame == Attribution::Ours, error_was_sent: told }, decision)
    }

    /// What time alone decides.
    pub fn tick(&mut self, now: Instant) -> Decision {
        let mut decision = Decision::default();
        self.evaluate(MIN_SILENCE, now, &mut decision);
        if self.held.as_ref().is_some_and(|held| held.until <= now) {
            self.release(&mut decision);
        }
        decision
    }

    /// Decides with what is known, since nothing may be held any longer.
    pub fn decide_now(&mut self, now: Instant) -> Decision {
        let mut decision = Decision::default();
        self.evaluate(Duration::ZERO, now, &mut decision);
        self.release(&mut decision);
        decision
    }

    fn is_offline(&self) -> bool {
        self.silence.as_ref().is_some_and(|silence| silence.offline)
    }

    /// Whether there are, or may yet be, hosts enough to compare.
    fn can_evaluate(&self) -> bool {
        self.ran.len() < self.probes || self.hosts.len() >= MIN_SILENT_HOSTS
    }

    /// Takes in a sign of life.
    fn on_answer(&mut self, contact: &Contact, decision: &mut Decision) {
        if let Some(silent) = self.host(&contact.host)
            && silent.is_none_or(|since| since <= contact.to)
        {
            *silent = None;
        }
        self.heard = self.heard.max(Some(contact.to));
        if let Some(ended) = self.silence.take_if(|silence| silence.latest <= contact.to) {
            if ended.offline {
                self.last_offline = Some((ended.began, contact.to));
                let lasted = contact.to.saturating_duration_since(ended.began);
                decision.connectivity = Some(ConnectivityChange::Online { lasted, suppressed: ended.suppressed });
            }
            self.release(decision);
        }
    }

    /// Takes in a host's silence, and says whose it is.
    fn on_silence(&mut self, contact: &Contact, run: &Run, now: Instant) -> Attribution {
        // Whoever set out while we were offline may find nobody for that reason still.
        let (from, to) = (contact.from, contact.to);
        if self.last_offline.is_some_and(|(began, ended)| from < ended && began < to) {
            return Attribution::Ours;
        }
        let point = to.min(from + ANSWER_WINDOW);
        let (heard, offline) = (self.heard, self.is_offline());
        let Some(silent) = self.host(&contact.host) else {
            return if offline { Attribution::Ours } else { Attribution::Target };
        };
        let is_new = silent.is_none();
        // If others have been heard since it fell silent, it is down by itself, and stays so until it is heard.
        let by_itself = heard >= Some(*silent.get_or_insert(point));
        if by_itself && !offline {
            return Attribution::Target;
        }
        let silence = self.silence.get_or_insert_with(|| Silence::new(from, now));
        silence.began = silence.began.min(from);
        silence.latest = silence.latest.max(point);
        if is_new {
            silence.hosts += 1;
            if let (Some((reason, message)), true) = (run.outcome.why(), silence.examples.len() < MAX_EXAMPLES) {
                let [host, reason, message] = [&*contact.host, reason, message].map(str::to_owned);
                silence.examples.push(Example { host, reason, message });
            }
        }
        if heard < Some(from) && silence.tried.insert(contact.host.clone()) {
            silence.spread = silence.spread.max(from);
        }
        if offline { Attribution::Ours } else { Attribution::Open }
    }

    /// Since when a host is silent; none where there is no room for one more.
    fn host(&mut self, name: &str) -> Option<&mut Option<Instant>> {
        if !self.hosts.contains_key(name) {
            if self.hosts.len() >= MAX_HOSTS {
                return None;
            }
            self.hosts.insert(name.to_owned(), None);
        }
        self.hosts.get_mut(name)
    }

    /// Finds that we are offline, if a silence is wide enough and has lasted for `patience`.
    fn evaluate(&mut self, patience: Duration, now: Instant, decision: &mut Decision) {
        let Some(silence) = self.silence.as_mut().filter(|silence| !silence.offline) else { return };
        // Who has been down by himself for long says nothing more.
        let heard = self.heard;
        let live = self.hosts.values().filter(|silent| silent.is_none_or(|since| heard < Some(since))).count();
        let tried = silence.tried.len();
        let most = tried >= MIN_SILENT_HOSTS && tried > live / 2;
        let many =
            tried >= SUFFICIENT_SILENT_HOSTS && silence.spread.saturating_duration_since(silence.began) >= MIN_SILENCE;
        if !(most || many) || now.saturating_duration_since(silence.noticed) < patience {
            return;
        }
        let known = self.hosts.len();
        silence.offline = true;
        decision.connectivity = Some(ConnectivityChange::Offline(silence.finding(known)));
        if let Some(held) = self.held.take() {
            decision.held = Some(HeldAction::Drop);
            silence.suppress(held.errors, known, decision);
            self.unreported_outages.values_mut().for_each(|held| *held = false);
        }
    }

    fn release(&mut self, decision: &mut Decision) {
        if self.held.take().is_some() {
            decision.held = Some(HeldAction::Release);
            self.unreported_outages.retain(|_, held| !*held);
        }
    }

    /// Counts an error that is not sent, or not yet.
    fn count_error(&mut self, error: ErrorAction, now: Instant, decision: &mut Decision) {
        match error {
            ErrorAction::Send => {}
            ErrorAction::Hold => self.held.get_or_insert(Holding { until: now + MAX_HOLD, errors: 0 }).errors += 1,
            ErrorAction::Drop => {
                let known = self.hosts.len();
                if let Some(silence) = self.silence.as_mut().filter(|silence| silence.offline) {
                    silence.suppress(1, known, decision);
                }
            }
        }
    }

    /// Keeps account of which outages errors were sent in; says so of the one that a run has ended.
    fn update_error_sent(&mut self, run: &Run, probe: ProbeId, error: ErrorAction) -> bool {
        let first = run.outage.is_some_and(|outage| outage.runs == run.probe.failures_before_error);
        match (&run.outcome, error) {
            (Outcome::Passed | Outcome::PassedAfterRetry(_), _) => {
                return self.unreported_outages.remove(&probe).is_none();
            }
            (Outcome::Failed(_), ErrorAction::Send) if run.is_error() => _ = self.unreported_outages.remove(&probe),
            (Outcome::Failed(_), _) if run.is_error() && (first || self.unreported_outages.contains_key(&probe)) => {
                self.unreported_outages.insert(probe, error == ErrorAction::Hold);
            }
            (Outcome::Failed(_) | Outcome::Broken(_), _) => {}
        }
        true
    }
}

impl Silence {
    fn new(began: Instant, now: Instant) -> Self {
        Self {
            began,
            noticed: now,
            latest: began,
            hosts: 0,
            tried: HashSet::new(),
            spread: began,
            examples: Vec::new(),
            offline: false,
            told: false,
            suppressed: 0,
        }
    }

    fn finding(&self, known: usize) -> OfflineFinding {
        OfflineFinding { since: self.began, silent: self.hosts, known, examples: self.examples.clone() }
    }

    /// Counts errors that nobody will see. With the first of them it is time to say why.
    fn suppress(&mut self, errors: usize, known: usize, decision: &mut Decision) {
        self.suppressed += errors;
        if !std::mem::replace(&mut self.told, true) {
            decision.offline_event = Some(self.finding(known));
        }
    }
}

#[cfg(test)]
mod tests;
