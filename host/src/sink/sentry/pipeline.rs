//! Where it is decided what is sent: which runs, and whose errors. Knows runs, and whom to ask; not how anything gets to
//! Sentry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

use super::check_in::CheckIn;
use super::check_in_timer::CheckInTimer;
use super::envelope::{self, Envelope};
use super::fanout::Fanout;
use super::payload::HostEvent;
use super::{offline_event, sampling};
use crate::config::{self, Sample};
use crate::offline_detector::{Assessment, ConnectivityChange, Decision, ErrorAction, HeldAction, OfflineDetector};
use crate::propagation::Origin;
use crate::run::Run;

/// Whatever goes to Sentry goes over it.
pub struct Pipeline {
    pub outbox: Arc<Fanout>,
    origin: Arc<Origin>,
    sample: Sample,
    clock: CheckInTimer,
    state: Mutex<State>,
}

/// Where runs are judged, and wait for it.
struct State {
    vantage: OfflineDetector,
    /// Those whose errors are held: their monitors hear of them when these go.
    held: Vec<Arc<Run>>,
}

impl Pipeline {
    /// For so many probes. Wants to be called within a tokio runtime.
    pub fn new(settings: &config::Sentry, outbox: Fanout, probes: usize) -> Self {
        let (outbox, origin) = (Arc::new(outbox), Arc::new(Origin::new(settings)));
        let (to, from) = (Arc::clone(&outbox), Arc::clone(&origin));
        let tell = move |told: CheckIn<'_>| to.push(vec![envelope::check_in(told, rand::random(), &from)]);
        let clock = CheckInTimer::start(&settings.monitors, tell);
        let state = Mutex::new(State { vantage: OfflineDetector::new(probes), held: Vec::new() });
        Self { outbox, origin, sample: settings.sample, clock, state }
    }

    /// Takes a run that has ended.
    pub fn report(&self, run: &Arc<Run>) {
        let Self { outbox, origin, sample, .. } = self;
        let error = envelope::error(run, origin);
        let (judgement, error) = self.assess(run, error);
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
    pub fn report_panic(&self, incident: &HostEvent) {
        self.outbox.push_at_once(&envelope::incident(incident, &self.origin));
    }

    /// Decides now what would be decided later.
    pub fn decide_now(&self) {
        self.decide(OfflineDetector::decide_now);
        self.clock.flush();
    }

    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            self.decide(OfflineDetector::tick);
        }
    }

    fn decide(&self, by: fn(&mut OfflineDetector, Instant) -> Decision) {
        let (mut bench, now) = (self.lock(), Instant::now());
        let decision = by(&mut bench.vantage, now);
        self.apply(decision, &mut bench, now);
    }

    /// Judges a run, and gives its error back if that is to be sent now.
    fn assess(&self, run: &Arc<Run>, error: Option<Envelope>) -> (Assessment, Option<Envelope>) {
        let (mut bench, now) = (self.lock(), Instant::now());
        let (judgement, decision) = bench.vantage.assess(run, now);
        self.apply(decision, &mut bench, now);
        let error = match (judgement.error, error) {
            // Still under the lock, so that it is there when it is released.
            (ErrorAction::Hold, Some(error)) => {
                self.outbox.hold(vec![error]);
                bench.held.push(Arc::clone(run));
                return (judgement, None);
            }
            (ErrorAction::Drop, Some(_)) => {
                self.outbox.suppressed();
                None
            }
            (_, error) => error,
        };
        // Of a target that we cannot see there is nothing to say.
        if !judgement.offline {
            self.clock.record(run);
        }
        (judgement, error)
    }

    fn apply(&self, decision: Decision, bench: &mut State, now: Instant) {
        let Decision { held, connectivity: turn, offline_event: tell } = decision;
        match held {
            Some(HeldAction::Release) => {
                self.outbox.release_held();
                bench.held.drain(..).for_each(|run| self.clock.record(&run));
            }
            Some(HeldAction::Drop) => {
                self.outbox.drop_held();
                bench.held.clear();
            }
            None => {}
        }
        match turn {
            Some(ConnectivityChange::Offline(finding)) => {
                tracing::warn!("{}: errors of targets are not sent until one answers", offline_event::said(&finding));
            }
            Some(ConnectivityChange::Online { lasted, suppressed }) => tracing::info!(
                "the network of this host is back after {} s: {suppressed} errors of targets were not sent",
                lasted.as_secs()
            ),
            None => {}
        }
        if let Some(finding) = tell {
            let incident = offline_event::incident(&finding, self.origin.server_name(), now);
            self.outbox.push(vec![envelope::incident(&incident, &self.origin)]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}
