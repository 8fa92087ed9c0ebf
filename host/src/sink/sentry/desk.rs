//! Where it is decided what is sent: which runs, and whose errors. Knows runs, and whom to ask; not how anything gets to
//! Sentry.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::check_in::CheckIn;
use super::envelope::{self, Envelope};
use super::outbox::Outbox;
use super::payload::Incident;
use super::{offline, sampling};
use crate::config::{self, Sample};
use crate::propagation::Origin;
use crate::run::Run;
use crate::vantage::{Decision, Fate, Freed, Judgement, Turn, Vantage};

/// Whatever goes to Sentry goes over it.
pub struct Desk {
    pub outbox: Outbox,
    origin: Origin,
    sample: Sample,
    vantage: Mutex<Vantage>,
}

impl Desk {
    /// For so many probes.
    pub fn new(settings: &config::Sentry, outbox: Outbox, probes: usize) -> Self {
        let vantage = Mutex::new(Vantage::new(probes));
        Self { outbox, origin: Origin::new(settings), sample: settings.sample, vantage }
    }

    /// Takes a run that has ended. Gives whether it says anything of its target.
    pub fn take(&self, run: &Run) -> bool {
        let Self { outbox, origin, sample, .. } = self;
        let error = envelope::error(run, origin);
        let (judgement, error) = self.judge(run, error);
        match sampling::sampled(run, sample) {
            Some(rate) => {
                let transaction = envelope::transaction(run, rate, judgement, origin);
                outbox.push(std::iter::once(transaction).chain(error).collect());
            }
            // It was not built either.
            None => outbox.sampled_out(u32::try_from(run.trace.spans.len()).unwrap_or(u32::MAX)),
        }
        !judgement.offline
    }

    pub fn check_in(&self, told: CheckIn<'_>) {
        self.outbox.push(vec![envelope::check_in(told, rand::random(), &self.origin)]);
    }

    /// Takes what a thread says that is about to unwind.
    pub fn panicked(&self, incident: &Incident) {
        self.outbox.push_at_once(&envelope::incident(incident, &self.origin));
    }

    /// Decides now what would be decided later.
    pub fn settle(&self) {
        self.decide(Vantage::settle);
    }

    /// Decides what time alone decides.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.decide(Vantage::tick);
        }
    }

    fn decide(&self, by: fn(&mut Vantage, Instant) -> Decision) {
        let (mut vantage, now) = (self.lock(), Instant::now());
        self.act(by(&mut vantage, now), now);
    }

    /// Judges a run, and gives its error back if that is to be sent now.
    fn judge(&self, run: &Run, error: Option<Envelope>) -> (Judgement, Option<Envelope>) {
        let (mut vantage, now) = (self.lock(), Instant::now());
        let (judgement, decision) = vantage.judge(run, now);
        self.act(decision, now);
        let error = match (judgement.error, error) {
            // Still under the lock, so that it is there when it is released.
            (Fate::Hold, Some(error)) => {
                self.outbox.hold(vec![error]);
                None
            }
            (Fate::Drop, Some(_)) => {
                self.outbox.suppressed();
                None
            }
            (_, error) => error,
        };
        (judgement, error)
    }

    fn act(&self, decision: Decision, now: Instant) {
        let Decision { held, turn, tell } = decision;
        match held {
            Some(Freed::Release) => self.outbox.release_held(),
            Some(Freed::Drop) => self.outbox.drop_held(),
            None => {}
        }
        match turn {
            Some(Turn::Offline(finding)) => {
                tracing::warn!("{}: errors of targets are not sent until one answers", offline::said(&finding));
            }
            Some(Turn::Online { lasted, suppressed }) => tracing::info!(
                "the network of this host is back after {} s: {suppressed} errors of targets were not sent",
                lasted.as_secs()
            ),
            None => {}
        }
        if let Some(finding) = tell {
            let incident = offline::incident(&finding, self.origin.server_name(), now);
            self.outbox.push(vec![envelope::incident(&incident, &self.origin)]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vantage> {
        self.vantage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
