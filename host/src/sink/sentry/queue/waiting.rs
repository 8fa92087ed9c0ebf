//! The waiting envelopes of one storage. Those of third-party probes take turns, so that none of them delays the
//! envelopes of others, and built-in probes have every second turn.

use std::collections::{HashMap, VecDeque};
use std::time::SystemTime;

use super::queued_envelope::QueuedEnvelope;
use crate::sink::sentry::envelope::{Kind, Origin};

/// The waiting envelopes of one storage.
#[derive(Debug, Default)]
pub struct Waiting([KindQueue; Kind::ALL.len()]);

/// The waiting envelopes of one kind.
#[derive(Debug, Default)]
struct KindQueue {
    built_in: VecDeque<QueuedEnvelope>,
    /// The envelopes of each third-party probe that has any, by the number of the probe.
    third_party: HashMap<u64, VecDeque<QueuedEnvelope>>,
    /// The keys of `third_party`, in the order of their turns.
    turns: VecDeque<u64>,
    /// True if the last envelope that was taken is one of a built-in probe.
    is_turn_of_third_party: bool,
}

/// The order in which kinds are dropped if the spool is full. Client reports are last: they are small, and without them
/// the drops would remain unknown to Sentry.
const DROP_ORDER: [Kind; Kind::ALL.len()] =
    [Kind::PassedTransaction, Kind::FailedTransaction, Kind::CheckIn, Kind::Error, Kind::ClientReport];

impl Waiting {
    /// Adds an envelope behind all others of its kind and origin.
    pub fn push_back(&mut self, envelope: QueuedEnvelope) {
        self.0[envelope.spooled.kind as usize].of_origin(envelope.spooled.origin).push_back(envelope);
    }

    /// Adds an envelope before all others of its kind and origin.
    pub fn push_front(&mut self, envelope: QueuedEnvelope) {
        self.0[envelope.spooled.kind as usize].of_origin(envelope.spooled.origin).push_front(envelope);
    }

    /// Takes the envelope of a kind that is sent next.
    pub fn pop(&mut self, kind: Kind) -> Option<QueuedEnvelope> {
        self.0[kind as usize].pop()
    }

    /// Takes the least important envelope of an origin, of the oldest ones if there are several.
    pub fn pop_least_important(&mut self, origin: Origin) -> Option<QueuedEnvelope> {
        DROP_ORDER.into_iter().find_map(|kind| self.0[kind as usize].pop_oldest(origin))
    }

    /// Takes an envelope of a kind that has become too old to be sent.
    pub fn pop_expired(&mut self, kind: Kind, now: SystemTime) -> Option<QueuedEnvelope> {
        self.0[kind as usize].pop_expired(now)
    }

    pub fn is_empty(&self, kind: Kind) -> bool {
        self.0[kind as usize].is_empty()
    }

    /// Returns the number of envelopes of a kind.
    pub fn len(&self, kind: Kind) -> usize {
        let queue = &self.0[kind as usize];
        queue.built_in.len() + queue.third_party.values().map(VecDeque::len).sum::<usize>()
    }
}

impl KindQueue {
    fn is_empty(&self) -> bool {
        self.built_in.is_empty() && self.turns.is_empty()
    }

    /// Returns the queue of an origin, to which the caller adds an envelope.
    fn of_origin(&mut self, origin: Origin) -> &mut VecDeque<QueuedEnvelope> {
        let Origin::ThirdParty(probe) = origin else { return &mut self.built_in };
        self.third_party.entry(probe).or_insert_with(|| {
            self.turns.push_back(probe);
            VecDeque::new()
        })
    }

    fn pop(&mut self) -> Option<QueuedEnvelope> {
        let first = self.turns.front().copied();
        let probe = first.filter(|_| self.is_turn_of_third_party || self.built_in.is_empty());
        self.is_turn_of_third_party = probe.is_none();
        let Some(probe) = probe else { return self.built_in.pop_front() };
        self.turns.rotate_left(1);
        self.pop_oldest(Origin::ThirdParty(probe))
    }

    fn pop_oldest(&mut self, origin: Origin) -> Option<QueuedEnvelope> {
        self.pop_if(origin, |_| true)
    }

    fn pop_expired(&mut self, now: SystemTime) -> Option<QueuedEnvelope> {
        let is_expired = |envelope: &QueuedEnvelope| envelope.is_expired(now);
        let mut of_third_party = self.third_party.iter();
        let expired = of_third_party.find(|(_, envelopes)| envelopes.front().is_some_and(is_expired));
        let origin = expired.map_or(Origin::BuiltIn, |(probe, _)| Origin::ThirdParty(*probe));
        self.pop_if(origin, is_expired)
    }

    /// Takes the oldest envelope of an origin if it meets the condition.
    fn pop_if(&mut self, origin: Origin, condition: impl FnOnce(&QueuedEnvelope) -> bool) -> Option<QueuedEnvelope> {
        let Origin::ThirdParty(probe) = origin else { return self.built_in.pop_front_if(|first| condition(first)) };
        let envelopes = self.third_party.get_mut(&probe)?;
        let envelope = envelopes.pop_front_if(|first| condition(first));
        if envelopes.is_empty() {
            self.third_party.remove(&probe);
            self.turns.retain(|turn| *turn != probe);
        }
        envelope
    }
}
