//! The destinations of envelopes: Sentry, with a spool on disk, and a Spotlight, a developer's viewer on this machine
//! that may be closed at any time. This module chooses the directory of a spool, and does not read envelopes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sentry::types::Dsn;
use url::Url;

use super::client::{StartError, http_client};
use super::compression::Compression;
use super::destination::Destination;
use super::envelope::Envelope;
use super::outcomes::Counts;
use super::spool::{self, Spool, SpooledEnvelope};
use super::transport::Transport;
use crate::config::{self, SpoolLocation};

/// Sends each envelope to every destination that is configured.
pub struct Fanout {
    sentry: Option<Transport>,
    spotlight: Option<Transport>,
}

/// The number of failures in a row after which a flush leaves the envelopes in the spool to the next start.
const MAX_FAILURES_IN_FLUSH: u32 = 3;
/// The maximum size in bytes of the envelopes that wait for a Spotlight.
const MAX_SPOTLIGHT_BYTES: u64 = 4 << 20;

impl Fanout {
    /// Starts a transport for each configured destination. Returns `None` if neither a DSN nor a Spotlight is
    /// configured. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// Returns a [`StartError`] if an HTTP client cannot be created.
    pub fn start(settings: &config::Sentry) -> Result<Option<Self>, StartError> {
        let sentry = settings.dsn.as_ref().map(|dsn| sentry_transport(dsn, settings)).transpose()?;
        let spotlight = settings.spotlight.as_ref().map(spotlight_transport).transpose()?;
        Ok((sentry.is_some() || spotlight.is_some()).then_some(Self { sentry, spotlight }))
    }

    /// Adds envelopes of one run, and returns once they are in the spool. They are sent as soon as possible.
    pub fn push(&self, envelopes: Vec<Envelope>) {
        self.for_each(envelopes, Transport::push);
    }

    /// Adds an envelope from a thread that may hold the lock of a queue itself, such as one that panics. The envelope
    /// is lost if the lock cannot be taken within about 100 ms.
    pub fn try_push(&self, envelope: &Envelope) {
        self.all().for_each(|transport| transport.try_push(envelope));
    }

    /// Adds envelopes that are not sent until they are released, or the process is restarted. Returns once they are in
    /// the spool.
    pub fn hold(&self, envelopes: Vec<Envelope>) {
        self.for_each(envelopes, Transport::hold);
    }

    /// Lets the held envelopes be sent.
    pub fn release_held(&self) {
        self.all().for_each(Transport::release_held);
    }

    /// Drops the held envelopes.
    pub fn drop_held(&self) {
        self.all().for_each(Transport::drop_held);
    }

    /// Counts an error that is not sent because the network of this host is down.
    pub fn count_suppressed(&self) {
        self.all().for_each(Transport::count_suppressed);
    }

    /// Counts a run that was sampled out. `spans` is the number of its spans.
    pub fn count_sampled_out(&self, spans: u32) {
        self.all().for_each(|transport| transport.count_sampled_out(spans));
    }

    /// Counts the envelopes for Sentry by their outcome. Returns zeros if no DSN is configured.
    pub fn counts(&self) -> Counts {
        self.sentry.as_ref().map(Transport::counts).unwrap_or_default()
    }

    /// Returns what Sentry has not accepted, in one line with the latest cause. `None` if it has accepted everything,
    /// or if no DSN is configured.
    pub fn undelivered(&self) -> Option<String> {
        let sentry = self.sentry.as_ref()?;
        let counts = sentry.counts();
        let dropped: u64 = counts.dropped.iter().filter(|(reason, _)| reason.is_loss()).map(|(_, count)| count).sum();
        if counts.waiting == 0 && dropped == 0 {
            return None;
        }
        let cause = sentry.last_cause().unwrap_or_else(|| "there is no answer yet".to_owned());
        Some(format!("{} envelopes waiting, {dropped} dropped; the latest cause: {cause}", counts.waiting))
    }

    /// Waits until everything is sent, but not longer than `timeout`, and not for envelopes that cannot be sent by
    /// then. Returns [`Fanout::counts`], or `None` if no DSN is configured.
    pub async fn flush(&self, timeout: Duration) -> Option<Counts> {
        let flush = async |transport: &Option<Transport>| match transport {
            Some(transport) => Some(transport.flush(timeout).await),
            None => None,
        };
        tokio::join!(flush(&self.sentry), flush(&self.spotlight)).0
    }

    fn all(&self) -> impl Iterator<Item = &Transport> {
        [&self.sentry, &self.spotlight].into_iter().flatten()
    }

    fn for_each(&self, envelopes: Vec<Envelope>, add: fn(&Transport, Vec<Envelope>)) {
        match (&self.sentry, &self.spotlight) {
            (Some(sentry), Some(spotlight)) => {
                add(sentry, envelopes.clone());
                add(spotlight, envelopes);
            }
            (Some(only), None) | (None, Some(only)) => add(only, envelopes),
            (None, None) => {}
        }
    }
}

fn sentry_transport(dsn: &Dsn, settings: &config::Sentry) -> Result<Transport, StartError> {
    let mut destination = sentry_destination(dsn, settings.ca.as_deref())?;
    let (spool, leftovers) = open_spool(&settings.spool, dsn);
    if spool.directory().is_none() {
        // Envelopes in memory are lost when the process ends, so a flush tries to send them until its timeout.
        destination.max_failures_in_flush = u32::MAX;
    }
    Ok(Transport::start(destination, spool, leftovers))
}

fn spotlight_transport(url: &Url) -> Result<Transport, StartError> {
    Ok(Transport::start(spotlight_destination(url)?, Spool::in_memory_of(MAX_SPOTLIGHT_BYTES), Vec::new()))
}

/// Returns Sentry as a destination. It trusts the authorities in the PEM file `ca`, beside the system's.
///
/// # Errors
///
/// Returns a [`StartError`] if no HTTP client can be created.
pub fn sentry_destination(dsn: &Dsn, ca: Option<&Path>) -> Result<Destination, StartError> {
    let url = dsn.envelope_api_url();
    Ok(Destination {
        name: format!("Sentry at {}", dsn.host()),
        client: http_client(Some(dsn), ca)?,
        compression: Compression::for_url(&url),
        url,
        accepts_client_reports: true,
        max_failures_in_flush: MAX_FAILURES_IN_FLUSH,
    })
}

/// Returns a Spotlight as a destination.
///
/// # Errors
///
/// Returns a [`StartError`] if no HTTP client can be created.
pub fn spotlight_destination(url: &Url) -> Result<Destination, StartError> {
    Ok(Destination {
        name: format!("Spotlight at {}", url.host_str().unwrap_or_default()),
        client: http_client(None, None)?,
        compression: Compression::for_url(url),
        url: url.clone(),
        accepts_client_reports: false,
        max_failures_in_flush: 1,
    })
}

/// Opens the spool for a DSN. Returns it with the envelopes that an earlier process left there.
fn open_spool(settings: &config::Spool, dsn: &Dsn) -> (Spool, Vec<SpooledEnvelope>) {
    let env = |name: &str| std::env::var(name).ok();
    let parent = match &settings.location {
        SpoolLocation::Memory => return (Spool::in_memory(), Vec::new()),
        SpoolLocation::Directory(directory) => Some(directory.clone()),
        SpoolLocation::StateDirectory => spool::default_directory(&env),
    };
    let Some(directory) = parent.map(|parent| parent.join(directory_name(dsn))) else {
        tracing::warn!(
            "no directory for the spool, since neither HOME nor STATE_DIRECTORY is set: envelopes for Sentry wait in \
             memory, and are lost when this process ends; name a directory with `sentry.spool`"
        );
        return (Spool::in_memory(), Vec::new());
    };
    match Spool::open(&directory, settings.max_bytes) {
        Ok((spool, leftovers)) => {
            if let Some(own) = spool.directory().filter(|own| !own.ends_with("1")) {
                tracing::info!(
                    spool = %directory.display(), directory = %own.display(),
                    "another process uses the spool: this process uses a subdirectory of its own"
                );
            }
            if !leftovers.is_empty() {
                let spool = directory.display();
                let envelopes = leftovers.len();
                tracing::info!(%spool, envelopes, "sending the envelopes that an earlier process left in the spool");
            }
            (spool, leftovers)
        }
        Err(error) => {
            tracing::warn!(
                directory = %directory.display(), %error,
                "cannot use the spool: envelopes for Sentry wait in memory, and are lost when this process ends; name \
                 another directory with `sentry.spool`"
            );
            (Spool::in_memory(), Vec::new())
        }
    }
}

/// Returns the name of a DSN's directory. It has the host and the project, for people who look for it, and a checksum
/// that makes it different for each DSN.
fn directory_name(dsn: &Dsn) -> PathBuf {
    let checksum = crc32fast::hash(dsn.to_string().as_bytes());
    let host: String = dsn.host().chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '-' }).collect();
    format!("{host}-{}-{checksum:08x}", dsn.project_id()).into()
}
