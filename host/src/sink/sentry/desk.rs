//! Where it is decided what is sent: which runs, and whose errors. Knows runs, and whom to ask; not how anything gets to
//! Sentry.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::check_in::CheckIn;
use super::clock::Clock;
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
    pub outbox: Arc<Outbox>,
    origin: Arc<Origin>,
    sample: Sample,
    clock: Clock,
    bench: Mutex<Bench>,
}

/// Where runs are judged, and wait for it.
struct Bench {
    vantage: Vantage,
    /// Those whose errors are held: their monitors hear of them when these go.
    held: Vec<Arc<Run>>,
}

impl Desk {
    /// For so many probes. Wants to be called within a tokio runtime.
    pub fn new(settings: &config::Sentry, outbox: Outbox, probes: usize) -> Self {
        let (outbox, origin) = (Arc::new(outbox), Arc::new(Origin::new(settings)));
        let (to, from) = (Arc::clone(&outbox), Arc::clone(&origin));
        let tell = move |told: CheckIn<'_>| to.push(vec![envelope::check_in(told, rand::random(), &from)]);
        let clock = Clock::start(&settings.monitors, tell);
        let bench = Mutex::new(Bench { vantage: Vantage::new(probes), held: Vec::new() });
        Self { outbox, origin, sample: settings.sample, clock, bench }
    }

    /// Takes a run that has ended.
    pub fn take(&self, run: &Arc<Run>) {
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
    }

    /// Takes what a thread says that is about to unwind.
    pub fn panicked(&self, incident: &Incident) {
        self.outbox.push_at_once(&envelope::incident(incident, &self.origin));
    }

    /// Decides now what would be decided later.
    pub fn settle(&self) {
        self.decide(Vantage::settle);
        self.clock.flush();
    }

    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.decide(Vantage::tick);
        }
    }

    fn decide(&self, by: fn(&mut Vantage, Instant) -> Decision) {
        let (mut bench, now) = (self.lock(), Instant::now());
        let decision = by(&mut bench.vantage, now);
        self.act(decision, &mut bench, now);
    }

    /// Judges a run, and gives its error back if that is to be sent now.
    fn judge(&self, run: &Arc<Run>, error: Option<Envelope>) -> (Judgement, Option<Envelope>) {
        let (mut bench, now) = (self.lock(), Instant::now());
        let (judgement, decision) = bench.vantage.judge(run, now);
        self.act(decision, &mut bench, now);
        let error = match (judgement.error, error) {
            // Still under the lock, so that it is there when it is released.
            (Fate::Hold, Some(error)) => {
                self.outbox.hold(vec![error]);
                bench.held.push(Arc::clone(run));
                return (judgement, None);
            }
            (Fate::Drop, Some(_)) => {
                self.outbox.suppressed();
                None
            }
            (_, error) => error,
        };
        // Of a target that we cannot see there is nothing to say.
        if !judgement.offline {
            self.clock.note(run);
        }
        (judgement, error)
    }

    fn act(&self, decision: Decision, bench: &mut Bench, now: Instant) {
        let Decision { held, turn, tell } = decision;
        match held {
            Some(Freed::Release) => {
                self.outbox.release_held();
                bench.held.drain(..).for_each(|run| self.clock.note(&run));
            }
            Some(Freed::Drop) => {
                self.outbox.drop_held();
                bench.held.clear();
            }
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

    fn lock(&self) -> MutexGuard<'_, Bench> {
        self.bench.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
