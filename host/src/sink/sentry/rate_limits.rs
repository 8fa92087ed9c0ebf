//! Sentry's rate limits, one for each category of data. This module parses their headers, and does no I/O.

use std::time::{Duration, Instant, SystemTime};

use super::envelope::Category;

/// The end of each category's rate limit.
#[derive(Debug, Default)]
pub struct RateLimits {
    by_category: [Option<Instant>; Category::ALL.len()],
    /// The limit of envelopes without a category, which no header names: only a 429 to one of them sets it.
    uncategorized: Option<Instant>,
}

/// The headers of a response that set rate limits, unparsed.
#[derive(Debug, Default)]
pub struct RateLimitHeaders {
    /// `X-Sentry-Rate-Limits`.
    pub rate_limits: Option<String>,
    /// `Retry-After`.
    pub retry_after: Option<String>,
}

/// The limit after a 429 response that states no time.
const DEFAULT_LIMIT: Duration = Duration::from_secs(60);
/// The upper bound of a limit, whatever the server asks for: a mistake of the server must not stop this host from
/// sending for years.
const MAX_LIMIT: Duration = Duration::from_secs(24 * 3600);

impl RateLimits {
    /// Applies the headers of a response to an envelope of `category`. `is_limited` is true if the response was a 429,
    /// or is treated like one. Returns the categories that are limited now and were not before.
    pub fn update(
        &mut self,
        headers: &RateLimitHeaders,
        category: Option<Category>,
        is_limited: bool,
        now: Instant,
    ) -> Vec<Category> {
        let before = Category::ALL.map(|category| self.limited_until(Some(category), now));
        let retry_after = headers.retry_after.as_deref().and_then(parse_retry_after);
        if let Some(header) = &headers.rate_limits {
            for (wait, categories) in header.split(',').filter_map(parse_limit) {
                for category in categories {
                    self.extend(Some(category), now + wait);
                }
            }
        } else if is_limited {
            for category in Category::ALL {
                self.extend(Some(category), now + retry_after.unwrap_or(DEFAULT_LIMIT));
            }
        }
        // Even if the headers name other categories only, the envelope that got the 429 is not sent again at once.
        if is_limited && self.limited_until(category, now).is_none() {
            self.extend(category, now + retry_after.filter(|wait| !wait.is_zero()).unwrap_or(DEFAULT_LIMIT));
        }
        let unlimited = Category::ALL.into_iter().zip(before).filter(|(_, before)| before.is_none());
        unlimited
            .map(|(category, _)| category)
            .filter(|category| self.limited_until(Some(*category), now).is_some())
            .collect()
    }

    /// Returns the end of the limit of `category`, or `None` if it may be sent now.
    pub fn limited_until(&self, category: Option<Category>, now: Instant) -> Option<Instant> {
        category.map_or(self.uncategorized, |category| self.by_category[category as usize]).filter(|until| *until > now)
    }

    /// Limits `category` until `until`, unless it is limited for longer already.
    fn extend(&mut self, category: Option<Category>, until: Instant) {
        let limit = category.map_or(&mut self.uncategorized, |category| &mut self.by_category[category as usize]);
        *limit = (*limit).max(Some(until));
    }
}

/// Parses one limit, `retry_after:categories:scope:reason:namespaces`, of which all parts but the first may be missing.
/// A limit without categories holds for all. Skips categories of which this program sends nothing. Returns `None` if
/// the limit does not begin with a number of seconds.
fn parse_limit(limit: &str) -> Option<(Duration, Vec<Category>)> {
    let mut parts = limit.trim().split(':');
    let wait = parse_seconds(parts.next()?)?;
    let names = parts.next().unwrap_or_default().trim();
    if names.is_empty() {
        return Some((wait, Category::ALL.to_vec()));
    }
    let category = |name: &str| Category::ALL.into_iter().find(|category| category.as_str() == name.trim());
    Some((wait, names.split(';').filter_map(category).collect()))
}

/// Parses the value of `Retry-After`: seconds, which may have a fraction, or an HTTP date. Returns `None` if it is
/// neither.
fn parse_retry_after(text: &str) -> Option<Duration> {
    let date = || httpdate::parse_http_date(text.trim()).ok();
    parse_seconds(text).or_else(|| Some(date()?.duration_since(SystemTime::now()).unwrap_or_default().min(MAX_LIMIT)))
}

/// Parses a number of seconds, and clamps it to the range from zero to [`MAX_LIMIT`]. Returns `None` if it is no
/// number.
fn parse_seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok().filter(|seconds: &f64| !seconds.is_nan())?;
    Some(Duration::from_secs_f64(seconds.clamp(0.0, MAX_LIMIT.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks for how many seconds errors, transactions and check-ins are limited after a response to a transaction.
    #[track_caller]
    fn check(is_limited: bool, rate_limits: Option<&str>, retry_after: Option<&str>, expected: [f64; 3]) {
        let now = Instant::now();
        let headers = RateLimitHeaders {
            rate_limits: rate_limits.map(str::to_owned),
            retry_after: retry_after.map(str::to_owned),
        };
        let mut limits = RateLimits::default();
        limits.update(&headers, Some(Category::Transaction), is_limited, now);
        let remaining =
            |category| limits.limited_until(Some(category), now).map_or(Duration::ZERO, |until| until - now);
        // Allows a tolerance, since a date refers to the wall clock, which runs on during the test.
        let actual = Category::ALL.map(|category| remaining(category).as_secs_f64());
        let near = actual.iter().zip(expected).all(|(actual, expected)| (actual - expected).abs() < 1.5);
        assert!(near, "{actual:?} are not {expected:?}");
    }

    #[test]
    fn limits_have_the_documented_grammar() {
        let header = |header, expected| check(false, Some(header), None, expected);
        header("60:transaction:key", [0.0, 60.0, 0.0]);
        header("60:error;transaction:organization:quota:", [60.0, 60.0, 0.0]);
        header("60:monitor", [0.0, 0.0, 60.0]);
        header("60::organization", [60.0, 60.0, 60.0]);
        header("60", [60.0, 60.0, 60.0]);
        header("25.5:error", [25.5, 0.0, 0.0]);
        header("60:transaction:key, 2700:default;error;security:organization", [2700.0, 60.0, 0.0]);
        header("100:error,50:error", [100.0, 0.0, 0.0]);
        header("60:metric_bucket:organization:quota_exceeded:custom", [0.0, 0.0, 0.0]);
        header("60:unheard_of", [0.0, 0.0, 0.0]);
        header("60:unheard_of;error", [60.0, 0.0, 0.0]);
        header(" 60 : error ; transaction : key ", [60.0, 60.0, 0.0]);
    }

    #[test]
    fn invalid_limits_are_ignored_and_long_ones_are_clamped() {
        let header = |header, expected| check(false, Some(header), None, expected);
        header("", [0.0, 0.0, 0.0]);
        header("soon:error", [0.0, 0.0, 0.0]);
        header("NaN:error,,:,::::", [0.0, 0.0, 0.0]);
        header("-5:error", [0.0, 0.0, 0.0]);
        header("1e300:error,inf:transaction", [86_400.0, 86_400.0, 0.0]);
    }

    #[test]
    fn a_429_always_limits_the_category_of_its_request() {
        check(true, None, Some("70"), [70.0, 70.0, 70.0]);
        check(true, None, None, [60.0, 60.0, 60.0]);
        check(true, None, Some("tomorrow"), [60.0, 60.0, 60.0]);
        check(true, None, Some("0"), [0.0, 60.0, 0.0]);
        check(true, Some("50:transaction"), Some("900"), [0.0, 50.0, 0.0]);
        check(true, Some("50:error"), None, [50.0, 60.0, 0.0]);
        check(true, Some(""), None, [0.0, 60.0, 0.0]);
        check(true, Some(""), Some("20"), [0.0, 20.0, 0.0]);
        check(true, Some("900:unheard_of"), Some("20"), [0.0, 20.0, 0.0]);
    }

    #[test]
    fn retry_after_may_be_a_date() {
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        check(true, None, Some(&date), [90.0, 90.0, 90.0]);
        check(true, None, Some("Wed, 21 Oct 2015 07:28:00 GMT"), [0.0, 60.0, 0.0]);
        check(true, None, Some("Fri, 31 Dec 9999 23:59:59 GMT"), [86_400.0, 86_400.0, 86_400.0]);
    }
}
