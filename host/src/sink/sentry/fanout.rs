//! Where envelopes go: to Sentry, by a spool on disk; and to a Spotlight on this machine, which is for looking at and may
//! be closed at any time. Knows where spools are, and nothing of what is in an envelope.

use std::path::PathBuf;
use std::time::Duration;

use sentry::types::Dsn;
use url::Url;

use super::client::{StartError, client};
use super::compression::Compression;
use super::envelope::Envelope;
use super::outcomes::Counts;
use super::spool::{self, Spool, SpooledEnvelope};
use super::transport::{Destination, Transport};
use crate::config::{self, SpoolLocation};

/// All that envelopes are sent to.
pub struct Fanout {
    sentry: Option<Transport>,
    spotlight: Option<Transport>,
}

/// So many failures in a row to reach Sentry, and what is in the spool is left to the next start.
const PATIENCE: u32 = 3;
/// What a Spotlight that is away for a moment may be sent later.
const SPOTLIGHT_ROOM: u64 = 4 << 20;

impl Fanout {
    /// None where there is nobody to send to. Wants to be called within a tokio runtime.
    ///
    /// # Errors
    /// When there can be no HTTP client.
    pub fn start(settings: &config::Sentry) -> Result<Option<Self>, StartError> {
        let sentry = settings.dsn.as_ref().map(|dsn| to_sentry(dsn, &settings.spool)).transpose()?;
        let spotlight = settings.spotlight.as_ref().map(to_spotlight).transpose()?;
        Ok((sentry.is_some() || spotlight.is_some()).then_some(Self { sentry, spotlight }))
    }

    /// Takes envelopes that belong together, to be sent. Returns once they are in the spool.
    pub fn push(&self, envelopes: Vec<Envelope>) {
        self.each(envelopes, Transport::push);
    }

    /// The same from where nobody may wait for long.
    pub fn push_at_once(&self, envelope: &Envelope) {
        self.all().for_each(|delivery| delivery.push_at_once(envelope));
    }

    /// Takes envelopes that are not to be sent yet. Returns once they are in the spool; after a restart they are sent.
    pub fn hold(&self, envelopes: Vec<Envelope>) {
        self.each(envelopes, Transport::hold);
    }

    /// Sends what was held.
    pub fn release_held(&self) {
        self.all().for_each(Transport::release_held);
    }

    /// Gives up what was held.
    pub fn drop_held(&self) {
        self.all().for_each(Transport::drop_held);
    }

    /// Counts an error that is not to be sent.
    pub fn suppressed(&self) {
        self.all().for_each(Transport::suppressed);
    }

    /// Counts a run, of so many spans, that is not to be sent.
    pub fn sampled_out(&self, spans: u32) {
        self.all().for_each(|delivery| delivery.sampled_out(spans));
    }

    /// What has become of all that was to go to Sentry.
    pub fn counts(&self) -> Counts {
        self.sentry.as_ref().map(Transport::counts).unwrap_or_default()
    }

    /// Waits until everything is sent, for at most `grace`, and not for what cannot be sent by then. Gives
    /// [`Outbox::counts`], if there is a Sentry.
    pub async fn flush(&self, grace: Duration) -> Option<Counts> {
        let flush = async |delivery: &Option<Transport>| match delivery {
            Some(delivery) => Some(delivery.flush(grace).await),
            None => None,
        };
        tokio::join!(flush(&self.sentry), flush(&self.spotlight)).0
    }

    fn all(&self) -> impl Iterator<Item = &Transport> {
        [&self.sentry, &self.spotlight].into_iter().flatten()
    }

    fn each(&self, envelopes: Vec<Envelope>, give: fn(&Transport, Vec<Envelope>)) {
        match (&self.sentry, &self.spotlight) {
            (Some(sentry), Some(spotlight)) => {
                give(sentry, envelopes.clone());
                give(spotlight, envelopes);
            }
            (Some(one), None) | (None, Some(one)) => give(one, envelopes),
            (None, None) => {}
        }
    }
}

fn to_sentry(dsn: &Dsn, settings: &config::Spool) -> Result<Transport, StartError> {
    let client = client(Some(dsn))?;
    let (spool, left) = open(settings, dsn);
    let url = dsn.envelope_api_url();
    let destination = Destination {
        name: format!("Sentry at {}", dsn.host()),
        client,
        packing: Compression::to(&url),
        url,
        reports: true,
        // What is in memory alone has no other chance.
        patience: if spool.folder().is_some() { PATIENCE } else { u32::MAX },
    };
    Ok(Transport::start(destination, spool, left))
}

fn to_spotlight(url: &Url) -> Result<Transport, StartError> {
    let destination = Destination {
        name: format!("Spotlight at {}", url.host_str().unwrap_or_default()),
        client: client(None)?,
        packing: Compression::to(url),
        url: url.clone(),
        reports: false,
        patience: 1,
    };
    Ok(Transport::start(destination, Spool::with_memory(SPOTLIGHT_ROOM), Vec::new()))
}

/// The spool for a DSN, with what is left there from earlier.
fn open(settings: &config::Spool, dsn: &Dsn) -> (Spool, Vec<SpooledEnvelope>) {
    let environment = |name: &str| std::env::var(name).ok();
    let folder = match &settings.location {
        SpoolLocation::Memory => return (Spool::in_memory(), Vec::new()),
        SpoolLocation::Directory(folder) => Some(folder.clone()),
        SpoolLocation::StateDirectory => spool::default_folder(&environment),
    };
    let advice = "runs wait for Sentry in memory, and end with this process: name a directory with `sentry.spool`";
    let Some(folder) = folder.map(|folder| folder.join(name(dsn))) else {
        tracing::warn!("there is no place for a spool, neither HOME nor STATE_DIRECTORY is set: {advice}");
        return (Spool::in_memory(), Vec::new());
    };
    match Spool::open(&folder, settings.max_bytes) {
        Ok((spool, left)) => {
            if let Some(part) = spool.folder().filter(|part| !part.ends_with("1")) {
                tracing::info!("another process has {}: this one has {}", folder.display(), part.display());
            }
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
