//! Tries whether Sentry and a Spotlight accept what this host sends, with one harmless event for each.

use std::collections::BTreeMap;
use std::error::Error;
use std::iter::successors;
use std::time::{Duration, Instant, SystemTime};

use reqwest::StatusCode;

use super::client::StartError;
use super::destination::{Answer, Destination, source_chain};
use super::envelope::Category;
use super::envelope_builder::{host_event, host_event_id};
use super::fanout::{sentry_destination, spotlight_destination};
use super::payload::HostEvent;
use super::rate_limits::RateLimits;
use crate::config;
use crate::propagation::EventDefaults;
use crate::trace::TraceId;

/// The result of sending one event to a destination.
#[derive(Debug)]
pub struct OnlineCheck {
    /// The name of the destination, such as `Sentry at o1.ingest.sentry.io`.
    pub destination: String,
    /// The id of the event that was sent: 32 hexadecimal digits.
    pub event_id: String,
    /// The answer of the destination.
    pub result: OnlineResult,
}

/// The answer of a destination to the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnlineResult {
    /// The event was accepted.
    Accepted,
    /// The key or the project of the DSN is wrong. The text is the answer.
    WrongKey(String),
    /// The event was rejected for another reason. The text is the answer.
    Rejected(String),
    /// The project takes no errors at present. The text is the answer.
    RateLimited(String),
    /// The server, or a proxy before it, fails. The text is the answer.
    Failing(String),
    /// There is no connection over TLS. The text is the cause.
    Tls(String),
    /// There is no answer. The text is the cause.
    Unreachable(String),
}

/// The time to wait for each answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Sends one harmless event to Sentry, and to a Spotlight, as far as they are configured. The events have the level
/// `info`, and belong to one Issue. They do not pass the spool. Returns no results if neither is configured.
///
/// # Errors
///
/// Returns a [`StartError`] if no HTTP client can be created.
pub async fn check_online(settings: &config::Sentry) -> Result<Vec<OnlineCheck>, StartError> {
    let sentry = settings.dsn.as_ref().map(|dsn| sentry_destination(dsn, settings.ca.as_deref())).transpose()?;
    let spotlight = settings.spotlight.as_ref().map(spotlight_destination).transpose()?;
    let (event, defaults) = (test_event(&settings.server_name), EventDefaults::new(settings));
    let envelope = host_event(&event, &defaults);
    let event_id = host_event_id(&event);
    let mut checks = Vec::new();
    for destination in [sentry, spotlight].into_iter().flatten() {
        let result = send(&destination, &envelope.bytes).await;
        checks.push(OnlineCheck { destination: destination.name, event_id: event_id.clone(), result });
    }
    Ok(checks)
}

async fn send(destination: &Destination, envelope: &[u8]) -> OnlineResult {
    match tokio::time::timeout(TIMEOUT, destination.post(envelope)).await {
        Ok(Ok(answer)) => interpret(answer),
        Ok(Err(error)) if is_tls_error(&error) => OnlineResult::Tls(source_chain(&error)),
        Ok(Err(error)) => OnlineResult::Unreachable(source_chain(&error)),
        Err(_) => OnlineResult::Unreachable(format!("no answer within {} s", TIMEOUT.as_secs())),
    }
}

fn interpret(Answer { status, rate_limits, explanation }: Answer) -> OnlineResult {
    let now = Instant::now();
    let mut limits = RateLimits::default();
    limits.update(&rate_limits, Some(Category::Error), status == StatusCode::TOO_MANY_REQUESTS, now);
    let is_limited = limits.limited_until(Some(Category::Error), now).is_some();
    match status {
        _ if is_limited => OnlineResult::RateLimited(explanation),
        _ if status.is_success() => OnlineResult::Accepted,
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => OnlineResult::WrongKey(explanation),
        StatusCode::REQUEST_TIMEOUT | StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::TOO_EARLY => {
            OnlineResult::Failing(explanation)
        }
        _ if status.is_client_error() => OnlineResult::Rejected(explanation),
        _ => OnlineResult::Failing(explanation),
    }
}

/// Returns the event. Its fingerprint makes it the same Issue each time.
fn test_event(server_name: &str) -> HostEvent {
    HostEvent {
        timestamp: SystemTime::now(),
        trace_id: TraceId(rand::random()),
        level: "info",
        r#type: "OnlineCheck".to_owned(),
        message: format!("`sentrynet check --online` on {server_name} reaches this project: nothing is wrong"),
        handled: true,
        backtrace: Vec::new(),
        fingerprint: ["sentrynet-host", "online-check"].map(str::to_owned).to_vec(),
        contexts: BTreeMap::new(),
    }
}

/// Returns true if a connection failed in TLS.
fn is_tls_error(error: &reqwest::Error) -> bool {
    successors(error.source(), |cause| (*cause).source()).any(is_from_rustls)
}

/// Returns true for an error of rustls, and for an I/O error that wraps one, however deep: `source` of an I/O error
/// skips the error that it wraps.
fn is_from_rustls(cause: &(dyn Error + 'static)) -> bool {
    match cause.downcast_ref::<std::io::Error>() {
        Some(error) => error.get_ref().is_some_and(|wrapped| is_from_rustls(wrapped)),
        None => cause.is::<rustls::Error>(),
    }
}

impl OnlineResult {
    /// Returns true if the destination has accepted the event.
    pub fn is_accepted(&self) -> bool {
        *self == Self::Accepted
    }

    /// Returns true if the configuration is the reason: the DSN has to be changed.
    pub fn is_wrong_configuration(&self) -> bool {
        matches!(self, Self::WrongKey(_) | Self::Rejected(_))
    }
}
