//! Decides whether a target is down or the network of this host, when the target does not answer.
//!
//! A target host is down itself if other hosts have answered since it stopped answering. While no other host has
//! answered since, the error is held, for at most 30 s. If most hosts stop answering together, the network of this host
//! is down. When in doubt, the target counts as down: an error too many is better than an outage that is not reported.
//!
//! The evidence is limited to [`Identity::voting_hosts`]: hosts that the settings of a built-in probe name. Each such
//! probe has one vote, and probes of the same host have one vote together. Other contacts are those of third-party
//! components, and those with hosts that a target or a template leads to. They do not begin, prolong or end a silence,
//! and explain only the failure of their own run: it is held or suppressed if the votes of other probes say so.
//!
//! [`Identity::voting_hosts`]: crate::run::Identity::voting_hosts

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::outage_tracker::ProbeKey;
use super::{AssessedRun, ConnectivityChange, Decision, ErrorAction, HeldErrors, OfflineFinding, SilentHost};
use crate::run::{Outcome, Run};
use crate::trace::HostContact;

/// Remembers which hosts have answered, and the runs whose errors are held.
pub struct OfflineDetector {
    /// The number of built-in probes.
    built_in_probes: usize,
    /// The built-in probes that have run at least once.
    ran: HashSet<ProbeKey>,
    /// The host of the latest vote of each probe that has voted.
    votes: HashMap<ProbeKey, String>,
    /// The hosts that were tried, each with the time since which it has not answered, or `None` if it is not known to
    /// be silent. They are named in settings, so that a run cannot add any number of them.
    hosts: HashMap<String, Option<Instant>>,
    /// The time of the latest answer of any host.
    last_answer: Option<Instant>,
    /// The present silence, if no host answers.
    silence: Option<Silence>,
    /// The beginning and the end of the last period in which this host had no network.
    last_offline: Option<(Instant, Instant)>,
    held: Option<Held>,
}

/// The cause for which a run did not reach its target. If a run tried several hosts, the greatest of their causes
/// counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// This host has no network.
    OwnNetwork,
    /// The cause is not known yet.
    Unclear,
    /// The target is down or answers wrongly, or the run did not fail at all.
    Target,
}

/// A period in which no host has answered.
struct Silence {
    /// The start of the first attempt without an answer.
    began: Instant,
    /// The time at which the run with that attempt was assessed, or later by the time in which this process did not
    /// run.
    noticed: Instant,
    /// The earliest time of an answer that ends the silence.
    latest: Instant,
    /// The number of hosts that stopped answering.
    hosts: usize,
    /// The probes that have tried one of them after the last answer, each with the first host that it tried. Only these
    /// are evidence about the network: a host that was tried while another one answered may be down itself.
    tried: HashMap<ProbeKey, String>,
    /// The start of the latest of the first attempts of the probes in `tried`.
    last_first_attempt: Instant,
    /// The time since `began` in which this process did not run.
    excluded: Duration,
    examples: Vec<SilentHost>,
    /// True once this host was found to have no network.
    is_offline: bool,
    /// True once an error was suppressed: the decision about the first one contains the offline event.
    is_event_issued: bool,
    /// The number of suppressed errors.
    suppressed: usize,
}

/// The runs whose errors are held, and the time until which they are held.
struct Held {
    until: Instant,
    runs: Vec<Arc<AssessedRun>>,
}

/// The minimum number of hosts that must stop answering together for this host to count as offline. They must also be
/// more than half of the hosts that were not silent before.
const MIN_SILENT_HOSTS: usize = 3;
/// The number of silent hosts that suffices even if they are less than half, provided that their first attempts are
/// spread over at least [`MIN_SILENCE`]: the hosts of one data centre fail at the same time, and other hosts may not be
/// tried for minutes.
const SUFFICIENT_SILENT_HOSTS: usize = 20;
/// The minimum duration of a silence for this host to count as offline. It gives working hosts the time to answer.
const MIN_SILENCE: Duration = Duration::from_secs(5);
/// The time after which held errors are reported. [`OfflineDetector::tick`] is called once a second, so that errors are
/// held for at most 30 s.
const MAX_HOLD: Duration = Duration::from_secs(29);
/// The time within which a working host answers. If another host answers later than this after the start of an attempt,
/// the network worked, and the host that was tried is down.
const ANSWER_WINDOW: Duration = Duration::from_secs(1);
const MAX_EXAMPLES: usize = 5;

impl OfflineDetector {
    /// Creates a detector for this number of built-in probes.
    pub fn new(built_in_probes: usize) -> Self {
        Self {
            built_in_probes,
            ran: HashSet::new(),
            votes: HashMap::new(),
            hosts: HashMap::new(),
            last_answer: None,
            silence: None,
            last_offline: None,
            held: None,
        }
    }

    /// Goes on with this number of built-in probes. Forgets probes that no longer exist, and hosts that no other probe
    /// names.
    pub fn set_built_in_probes(&mut self, built_in_probes: usize) {
        self.built_in_probes = built_in_probes;
        self.ran.retain(ProbeKey::exists);
        self.votes.retain(|probe, _| probe.exists());
        let existing: Vec<_> = self.ran.iter().chain(self.votes.keys()).filter_map(ProbeKey::identity).collect();
        let named = existing.iter().flat_map(|probe| probe.voting_hosts.iter()).map(|host| host.to_ascii_lowercase());
        let named: HashSet<_> = named.collect();
        self.hosts.retain(|host, _| named.contains(&host.trim_end_matches('.').to_ascii_lowercase()));
    }

    /// Records a run that ended at `now`. Returns the cause of its failure, and adds to `decision` what follows for
    /// earlier runs.
    pub fn attribute(&mut self, run: &Run, now: Instant, decision: &mut Decision) -> Cause {
        if run.probe.built_in && self.ran.len() < self.built_in_probes {
            self.ran.insert(ProbeKey::of(&run.probe));
        }
        // A contact with a loopback address says nothing about the network.
        let over_network = run.trace.contacts.iter().filter(|contact| !contact.loopback);
        let (answered, silent): (Vec<_>, Vec<_>) = over_network.partition(|contact| contact.answered);
        for contact in answered.iter().filter(|contact| run.probe.has_vote_of(&contact.host)) {
            self.on_answer(contact, run, decision);
        }
        // A run has one vote, and none for silence if any host has answered it.
        let vote = silent.iter().find(|contact| run.probe.has_vote_of(&contact.host)).filter(|_| answered.is_empty());
        let cause_of_vote = vote.map(|contact| self.on_silence(contact, run, now));
        let cause = silent.iter().map(|contact| self.cause_of(contact)).chain(cause_of_vote).max();
        // If a run has reached a host, this host has a network, and the failure has another cause.
        let has_reached = run.trace.contacts.iter().any(|contact| contact.answered);
        let has_failed = matches!(run.outcome, Outcome::Failed(_));
        let cause = cause.filter(|_| has_failed && !has_reached).unwrap_or(Cause::Target);
        self.evaluate(MIN_SILENCE, now, decision);
        if self.held.is_some() && !self.can_compare() {
            self.release(decision);
        }
        if cause == Cause::Unclear && self.is_offline() { Cause::OwnNetwork } else { cause }
    }

    /// Returns the action for the error of a run with this cause.
    pub fn action(&self, cause: Cause) -> ErrorAction {
        match cause {
            Cause::OwnNetwork => ErrorAction::Suppress,
            Cause::Unclear if self.can_compare() => ErrorAction::Hold,
            Cause::Unclear | Cause::Target => ErrorAction::Report,
        }
    }

    /// Holds the error of a run that ended at `now`.
    pub fn hold(&mut self, run: &Arc<AssessedRun>, now: Instant) {
        let held = self.held.get_or_insert_with(|| Held { until: now + MAX_HOLD, runs: Vec::new() });
        held.runs.push(Arc::clone(run));
    }

    /// Excludes a time, which ends now, in which this process did not run: it counts neither as a time for which errors
    /// are held, nor as one in which no host has answered.
    pub fn exclude(&mut self, time: Duration) {
        if let Some(held) = &mut self.held {
            held.until += time;
        }
        if let Some(silence) = &mut self.silence {
            silence.noticed += time;
            silence.excluded += time;
        }
    }

    /// Counts an error that is suppressed.
    pub fn count_suppressed(&mut self, decision: &mut Decision) {
        let known = self.hosts.len();
        if let Some(silence) = self.silence.as_mut().filter(|silence| silence.is_offline) {
            silence.suppress(1, known, decision);
        }
    }

    /// Makes the decisions that follow from elapsed time alone.
    pub fn tick(&mut self, now: Instant) -> Decision {
        let mut decision = Decision::default();
        self.evaluate(MIN_SILENCE, now, &mut decision);
        if self.held.as_ref().is_some_and(|held| held.until <= now) {
            self.release(&mut decision);
        }
        decision
    }

    /// Decides about all held errors at once, from the runs that have ended by `now`.
    pub fn decide_now(&mut self, now: Instant) -> Decision {
        let mut decision = Decision::default();
        self.evaluate(Duration::ZERO, now, &mut decision);
        self.release(&mut decision);
        decision
    }

    fn is_offline(&self) -> bool {
        self.silence.as_ref().is_some_and(|silence| silence.is_offline)
    }

    /// Returns true if there are enough hosts to compare, or if there may be once all probes have run.
    fn can_compare(&self) -> bool {
        self.ran.len() < self.built_in_probes || self.hosts.len() >= MIN_SILENT_HOSTS
    }

    /// Records the answer of a host that the run has a vote of.
    fn on_answer(&mut self, contact: &HostContact, run: &Run, decision: &mut Decision) {
        self.votes.insert(ProbeKey::of(&run.probe), contact.host.clone());
        let silent_since = self.hosts.entry(contact.host.clone()).or_default();
        if silent_since.is_none_or(|since| since <= contact.to) {
            *silent_since = None;
        }
        self.last_answer = self.last_answer.max(Some(contact.to));
        if let Some(ended) = self.silence.take_if(|silence| silence.latest <= contact.to) {
            if ended.is_offline {
                self.last_offline = Some((ended.began, contact.to));
                let lasted = contact.to.saturating_duration_since(ended.began);
                decision.connectivity = Some(ConnectivityChange::Online { lasted, suppressed: ended.suppressed });
            }
            self.release(decision);
        }
    }

    /// Returns true if an attempt took place while this host had no network. However late it ends, it may have failed
    /// for that reason.
    fn was_offline_during(&self, contact: &HostContact) -> bool {
        self.last_offline.is_some_and(|(began, ended)| contact.from < ended && began < contact.to)
    }

    /// Returns the cause of an attempt that a host did not answer, by the votes so far. The attempt itself is no vote.
    fn cause_of(&self, contact: &HostContact) -> Cause {
        if self.is_offline() || self.was_offline_during(contact) {
            return Cause::OwnNetwork;
        }
        let has_answered_since = self.last_answer >= Some(contact.to.min(contact.from + ANSWER_WINDOW));
        if self.silence.is_some() && !has_answered_since { Cause::Unclear } else { Cause::Target }
    }

    /// Records an attempt that a host did not answer, which the run has a vote of. Returns its cause.
    fn on_silence(&mut self, contact: &HostContact, run: &Run, now: Instant) -> Cause {
        if self.was_offline_during(contact) {
            return Cause::OwnNetwork;
        }
        let (from, to) = (contact.from, contact.to);
        let deadline = to.min(from + ANSWER_WINDOW);
        let (last_answer, is_offline) = (self.last_answer, self.is_offline());
        self.votes.insert(ProbeKey::of(&run.probe), contact.host.clone());
        let silent_since = self.hosts.entry(contact.host.clone()).or_default();
        let is_new = silent_since.is_none();
        // If another host has answered since, this one is down itself, and counts as down until it answers.
        let is_down_itself = last_answer >= Some(*silent_since.get_or_insert(deadline));
        if is_down_itself && !is_offline {
            return Cause::Target;
        }
        let silence = self.silence.get_or_insert_with(|| Silence::new(from, now));
        silence.began = silence.began.min(from);
        silence.latest = silence.latest.max(deadline);
        if is_new {
            silence.hosts += 1;
            if let (Some((reason, message)), true) = (run.outcome.why(), silence.examples.len() < MAX_EXAMPLES) {
                let [host, reason, message] = [&*contact.host, reason, message].map(str::to_owned);
                silence.examples.push(SilentHost { host, reason, message });
            }
        }
        if last_answer < Some(from)
            && let Entry::Vacant(vacant) = silence.tried.entry(ProbeKey::of(&run.probe))
        {
            vacant.insert(contact.host.clone());
            silence.last_first_attempt = silence.last_first_attempt.max(from);
        }
        if is_offline { Cause::OwnNetwork } else { Cause::Unclear }
    }

    /// Declares this host offline if the silence covers enough hosts and has lasted for `min_silence`.
    fn evaluate(&mut self, min_silence: Duration, now: Instant, decision: &mut Decision) {
        let Some(silence) = self.silence.as_mut().filter(|silence| !silence.is_offline) else { return };
        let tried = count_distinct(silence.tried.values());
        if tried < MIN_SILENT_HOSTS {
            return;
        }
        // A host that was already silent while others answered is no evidence about the network.
        let (hosts, last_answer) = (&self.hosts, self.last_answer);
        let was_not_down_before =
            |host: &&String| hosts.get(*host).is_none_or(|silent| silent.is_none_or(|since| last_answer < Some(since)));
        let not_down_before = count_distinct(self.votes.values().filter(was_not_down_before));
        let are_most = tried > not_down_before / 2;
        let spread = silence.last_first_attempt.saturating_duration_since(silence.began);
        let spread = spread.saturating_sub(silence.excluded);
        let are_many = tried >= SUFFICIENT_SILENT_HOSTS && spread >= MIN_SILENCE;
        if !(are_most || are_many) || now.saturating_duration_since(silence.noticed) < min_silence {
            return;
        }
        let known = self.hosts.len();
        silence.is_offline = true;
        decision.connectivity = Some(ConnectivityChange::Offline(silence.finding(known)));
        if let Some(held) = self.held.take() {
            silence.suppress(held.runs.len(), known, decision);
            decision.held_errors = Some(HeldErrors::Suppress(held.runs));
        }
    }

    fn release(&mut self, decision: &mut Decision) {
        if let Some(held) = self.held.take() {
            decision.held_errors = Some(HeldErrors::Report(held.runs));
        }
    }
}

impl Silence {
    fn new(began: Instant, now: Instant) -> Self {
        Self {
            began,
            noticed: now,
            latest: began,
            hosts: 0,
            tried: HashMap::new(),
            last_first_attempt: began,
            excluded: Duration::ZERO,
            examples: Vec::new(),
            is_offline: false,
            is_event_issued: false,
            suppressed: 0,
        }
    }

    fn finding(&self, known: usize) -> OfflineFinding {
        OfflineFinding { since: self.began, silent: self.hosts, known, examples: self.examples.clone() }
    }

    /// Counts suppressed errors. The first suppressed error adds the offline event to the decision.
    fn suppress(&mut self, errors: usize, known: usize, decision: &mut Decision) {
        self.suppressed += errors;
        if !std::mem::replace(&mut self.is_event_issued, true) {
            decision.offline_event = Some(self.finding(known));
        }
    }
}

fn count_distinct<'a>(hosts: impl Iterator<Item = &'a String>) -> usize {
    hosts.collect::<HashSet<_>>().len()
}

#[cfg(test)]
mod tests;
