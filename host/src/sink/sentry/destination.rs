//! A server that envelopes are sent to. This module sends the HTTP requests, and interprets Sentry's responses.

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use reqwest::header::{CONTENT_ENCODING, HeaderName, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};

use super::compression::Compression;
use super::envelope::with_sent_at;
use super::queue::SendResult;
use super::rate_limits::RateLimitHeaders;
use crate::plain_error::plain_text;

/// A server that envelopes are sent to.
pub struct Destination {
    /// The name in the log, such as `Sentry at o1.ingest.sentry.io`.
    pub name: String,
    pub client: Client,
    pub url: Url,
    pub compression: Compression,
    /// True if client reports are sent to the server.
    pub accepts_client_reports: bool,
    /// The number of failures in a row after which a flush no longer waits.
    pub max_failures_in_flush: u32,
}

const RATE_LIMITS_HEADER: HeaderName = HeaderName::from_static("x-sentry-rate-limits");
/// Sentry's explanation of a rejection.
const ERROR_HEADER: HeaderName = HeaderName::from_static("x-sentry-error");
/// The maximum number of bytes that are read of a response's body. Bodies are read so that the connection can be
/// reused.
const MAX_BODY_BYTES: usize = 64 << 10;
/// The timeout for reading a response's body: a slow body must not delay the next envelope.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of characters of a response's status and explanation in the log.
const MAX_DETAIL_CHARS: usize = 300;

/// A server's answer to an envelope.
pub struct Answer {
    pub status: StatusCode,
    pub rate_limits: RateLimitHeaders,
    /// The status, and what the server says about it, for the log.
    pub explanation: String,
}

impl Destination {
    /// Sends one envelope. Returns the result, and an explanation for the log unless the envelope was accepted.
    pub async fn send(&self, envelope: &[u8]) -> (SendResult, String) {
        let Answer { status, rate_limits, explanation } = match self.post(envelope).await {
            Ok(answer) => answer,
            Err(error) => return (SendResult::Failed(RateLimitHeaders::default()), source_chain(&error)),
        };
        let result = match status {
            StatusCode::TOO_MANY_REQUESTS => SendResult::RateLimited(rate_limits),
            // A proxy sends these statuses if its upstream is slow, or if the proxy itself is misconfigured.
            StatusCode::REQUEST_TIMEOUT | StatusCode::PROXY_AUTHENTICATION_REQUIRED | StatusCode::TOO_EARLY => {
                SendResult::Failed(rate_limits)
            }
            _ if status.is_success() => return (SendResult::Accepted(rate_limits), String::new()),
            _ if status.is_client_error() => SendResult::Rejected(rate_limits),
            // Sentry never redirects. A proxy that does may stop doing so.
            _ => SendResult::Failed(rate_limits),
        };
        (result, explanation)
    }

    /// Sends one envelope, and waits for the answer.
    ///
    /// # Errors
    /// Returns an error, which does not contain the URL, if there is no answer.
    pub async fn post(&self, envelope: &[u8]) -> reqwest::Result<Answer> {
        let Self { client, url, compression, .. } = self;
        let mut request =
            client.post(url.clone()).body(compression.compress(with_sent_at(envelope, SystemTime::now())));
        if let Some(encoding) = compression.encoding() {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        let response = request.send().await.map_err(reqwest::Error::without_url)?;
        let status = response.status();
        let header = |name: HeaderName| {
            // A proxy may have split a list into several headers.
            let values = response.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.map(str::to_owned).reduce(|all, more| format!("{all},{more}"))
        };
        let rate_limits =
            RateLimitHeaders { rate_limits: header(RATE_LIMITS_HEADER), retry_after: header(RETRY_AFTER) };
        let error_header = header(ERROR_HEADER);
        // The status alone decides, even if the connection ends before the whole body has arrived.
        let body = read_body(response).await;
        let explanation = error_header.map_or_else(|| String::from_utf8_lossy(&body), Cow::from);
        Ok(Answer { status, rate_limits, explanation: log_excerpt(&format!("{status} {explanation}")) })
    }
}

/// Reads a response's body until it ends, an error occurs, [`BODY_TIMEOUT`] has passed or [`MAX_BODY_BYTES`] are read.
/// Returns what was read.
async fn read_body(mut response: Response) -> Vec<u8> {
    let mut body = Vec::new();
    let read_all = async {
        while body.len() < MAX_BODY_BYTES
            && let Ok(Some(chunk)) = response.chunk().await
        {
            body.extend_from_slice(&chunk);
        }
    };
    _ = tokio::time::timeout(BODY_TIMEOUT, read_all).await;
    body
}

/// Returns the beginning of a response for the log, without control characters.
fn log_excerpt(text: &str) -> String {
    text.trim().chars().take(MAX_DETAIL_CHARS).map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// Returns the sources of an error as text. The message of the error itself, which is only that a request failed, is
/// left out unless the error has no sources.
pub fn source_chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |error| error.source()).map(ToString::to_string);
    // The error of the client, such as `client error (Connect)`, says less than its sources.
    let sources: Vec<_> = sources.filter(|text| !text.starts_with("client error (")).collect();
    let text = if sources.is_empty() { error.to_string() } else { sources.join(": ") };
    let advice =
        if text.contains("UnknownIssuer") { "; if it is of your own authority, name that in `sentry.ca`" } else { "" };
    plain_text(&text) + advice
}
