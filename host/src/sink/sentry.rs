//! Runs as transactions, errors and check-ins in Sentry: the only room that knows Sentry's format and its servers. It is
//! told of runs; what it makes of them is built in `envelope`, kept in `spool`, and brought there by `delivery`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sentry::types::Dsn;
use tokio_util::task::AbortOnDropHandle;

use self::check_in::CheckIn;
pub use self::client::StartError;
use self::clock::Clock;
use self::delivery::{Delivery, Destination};
use self::envelope::Envelope;
use self::spool::{Kept, Spool};
pub use self::tally::{Counts, Reason};
use super::Sink;
use crate::config::{self, Sample, SpoolPlace};
use crate::propagation::Origin;
use crate::run::Run;
use crate::vantage::{Decision, Fate, Freed, Judgement, Turn, Vantage};

mod check_in;
mod client;
mod clock;
mod delivery;
mod envelope;
mod limits;
mod offline;
mod payload;
mod queue;
mod sampling;
mod spool;
mod tally;

/// Sends runs to Sentry: every one, unless the configuration has those that pass sampled; and checks in to its monitors.
/// A run that was reported here is in the spool: it may take a while until Sentry has it, but neither an outage nor the
/// end of this process costs it.
pub struct Sentry {
    desk: Arc<Desk>,
    clock: Clock,
    _watch: AbortOnDropHandle<()>,
}

/// Where it is decided what is sent.
struct Desk {
    origin: Origin,
    sample: Sample,
    delivery: Delivery,
    vantage: Mutex<Vantage>,
}

/// So many failures in a row, and what is in the spool is left to the next start.
const PATIENCE: u32 = 3;

impl Sentry {
    /// None where no DSN is configured. `probes` is how many report here. Wants to be called within a tokio runtime,
    /// in which it sends.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn start(settings: &config::Sentry, probes: usize) -> Result<Option<Self>, StartError> {
        let Some(dsn) = &settings.dsn else { return Ok(None) };
        let (spool, left) = open(&settings.spool, dsn);
        let destination = Destination {
            name: format!("Sentry at {}", dsn.host()),
            client: client::client(dsn)?,
            url: dsn.envelope_api_url(),
            reports: true,
            // What is in memory alone has no other chance.
            patience: if spool.folder().is_some() { PATIENCE } else { u32::MAX },
        };
        let delivery = Delivery::start(destination, spool, left);
        let vantage = Mutex::new(Vantage::new(probes));
        let desk = Arc::new(Desk { origin: Origin::new(settings), sample: settings.sample, delivery, vantage });
        let to = Arc::clone(&desk);
        let check_in = move |told: CheckIn<'_>| {
            to.delivery.push(vec![envelope::check_in(told, rand::random(), &to.origin)]);
        };
        let clock = Clock::start(&settings.monitors, check_in);
        let watch = AbortOnDropHandle::new(tokio::spawn(Arc::clone(&desk).watch()));
        Ok(Some(Self { desk, clock, _watch: watch }))
    }

    /// What has become of the envelopes so far: one for each run that is sent, and one more for each
    /// error.
    pub fn counts(&self) -> Counts {
        self.desk.delivery.counts()
    }
}

#[async_trait]
impl Sink for Sentry {
    fn report(&self, run: &Arc<Run>) {
        let Desk { origin, sample, delivery, .. } = &*self.desk;
        let error = envelope::error(run, origin);
        let (judgement, error) = self.desk.judge(run, error);
        match sampling::sampled(run, sample) {
            Some(rate) => {
                let transaction = envelope::transaction(run, rate, judgement, origin);
                delivery.push(std::iter::once(transaction).chain(error).collect());
            }
            // It was not built either.
            None => delivery.sampled_out(u32::try_from(run.trace.spans.len()).unwrap_or(u32::MAX)),
        }
        // Of a target that we cannot see there is nothing to say.
        if !judgement.offline {
            self.clock.note(run);
        }
    }

    async fn flush(&self, grace: Duration) {
        self.desk.decide(Vantage::settle);
        self.clock.flush();
        let counts = self.desk.delivery.flush(grace).await;
        if counts.waiting == 0 && counts.all_dropped() == 0 {
            tracing::info!("to Sentry: {counts}");
            return;
        }
        let waits = counts.waiting > counts.in_memory;
        let waits = if waits { "; what waits in the spool goes with the next start" } else { "" };
        let lost = counts.in_memory;
        let lost =
            if lost > 0 { format!("; {lost} in memory alone, and lost if this ends now") } else { String::new() };
        tracing::warn!("to Sentry: {counts}{waits}{lost}");
    }
}

impl Desk {
    /// Decides what time alone decides.
    async fn watch(self: Arc<Self>) {
        let mut clock = tokio::time::interval(Duration::from_secs(1));
        loop {
            clock.tick().await;
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
                self.delivery.hold(vec![error]);
                None
            }
            (Fate::Drop, Some(_)) => {
                self.delivery.suppressed();
                None
            }
            (_, error) => error,
        };
        (judgement, error)
    }

    fn act(&self, decision: Decision, now: Instant) {
        let Decision { held, turn, tell } = decision;
        match held {
            Some(Freed::Release) => self.delivery.release_held(),
            Some(Freed::Drop) => _ = self.delivery.drop_held(),
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
            self.delivery.push(vec![envelope::incident(&incident, &self.origin)]);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vantage> {
        self.vantage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The spool for a DSN, with what is left there from earlier.
fn open(settings: &config::Spool, dsn: &Dsn) -> (Spool, Vec<Kept>) {
    let environment = |name: &str| std::env::var(name).ok();
    let folder = match &settings.place {
        SpoolPlace::Memory => return (Spool::in_memory(), Vec::new()),
        SpoolPlace::Folder(folder) => Some(folder.clone()),
        SpoolPlace::State => spool::default_folder(&environment),
    };
    let advice = "runs wait for Sentry in memory, and end with this process: name a directory with `sentry.spool`";
    let Some(folder) = folder.map(|folder| folder.join(name(dsn))) else {
        tracing::warn!("there is no place for a spool, neither HOME nor STATE_DIRECTORY is set: {advice}");
        return (Spool::in_memory(), Vec::new());
    };
    match Spool::open(&folder, settings.room) {
        Ok((spool, left)) => {
            if !left.is_empty() {
                tracing::info!("{} envelopes wait in the spool from earlier: they are sent now", left.len());
            }
            (spool, left)
        }
        Err(error) => {
            tracing::warn!("no spool in {} ({error}): {advice}", folder.display());
            (Spool::in_memory(), Vec::new())
        }
    }
}

/// A folder's name for a DSN: one that a person recognises, and no two DSNs share.
fn name(dsn: &Dsn) -> PathBuf {
    let checksum = crc32fast::hash(dsn.to_string().as_bytes());
    let host: String = dsn.host().chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect();
    format!("{host}-{}-{checksum:08x}", dsn.project_id()).into()
}
