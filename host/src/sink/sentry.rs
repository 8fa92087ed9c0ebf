//! Runs as transactions and errors in Sentry: the only room that knows Sentry's format and its servers. It is told of
//! runs; what it makes of them is built in `envelope`, kept in `spool`, and brought there by `delivery`.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sentry::types::Dsn;

pub use self::client::StartError;
use self::delivery::{Delivery, Destination};
use self::spool::{Kept, Spool};
pub use self::tally::{Counts, Reason};
use super::Sink;
use crate::config::{self, Sample, SpoolPlace};
use crate::propagation::Origin;
use crate::run::Run;

mod client;
mod delivery;
mod envelope;
mod limits;
mod payload;
mod queue;
mod sampling;
mod spool;
mod tally;

/// Sends runs to Sentry: every one, unless the configuration has those that pass sampled. A run that was reported here is
/// in the spool: it may take a while until Sentry has it, but neither an outage nor the end of this process costs it.
pub struct Sentry {
    origin: Origin,
    sample: Sample,
    delivery: Delivery,
}

/// So many failures in a row, and what is in the spool is left to the next start.
const PATIENCE: u32 = 3;

impl Sentry {
    /// None where no DSN is configured. Wants to be called within a tokio runtime, in which it sends.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn start(settings: &config::Sentry) -> Result<Option<Self>, StartError> {
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
        Ok(Some(Self { origin: Origin::new(settings), sample: settings.sample, delivery }))
    }

    /// What has become of the envelopes so far: one for each run that is sent, and one more for each
    /// error.
    pub fn counts(&self) -> Counts {
        self.delivery.counts()
    }
}

#[async_trait]
impl Sink for Sentry {
    fn report(&self, run: &Arc<Run>) {
        // Before anything is built: what is left out costs nothing.
        match sampling::sampled(run, &self.sample) {
            Some(rate) => self.delivery.push(envelope::envelopes(run, &self.origin, rate)),
            None => self.delivery.sampled_out(u32::try_from(run.trace.spans.len()).unwrap_or(u32::MAX)),
        }
    }

    async fn flush(&self, grace: Duration) {
        let counts = self.delivery.flush(grace).await;
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
