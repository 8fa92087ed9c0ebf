//! Sentry's rate limits: until when it wants nothing of a category. Pure; knows the grammar of the headers.

use std::time::{Duration, Instant, SystemTime};

use super::envelope::Category;

/// Until when each category is limited.
#[derive(Debug, Default)]
pub struct RateLimits {
    by_name: [Option<Instant>; Category::ALL.len()],
    /// Of what has no name there, and is limited only if it was itself answered so.
    nameless: Option<Instant>,
}

/// What an answer says of limits: its headers, as they came.
#[derive(Debug, Default)]
pub struct Headers {
    /// `X-Sentry-Rate-Limits`
    pub rate_limits: Option<String>,
    /// `Retry-After`
    pub retry_after: Option<String>,
}

/// The wait where a 429 does not name one.
const UNNAMED: Duration = Duration::from_secs(60);
/// After the longest wait we ask again, whatever was said: a slip on the other side is not to silence us for years.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

impl RateLimits {
    /// Takes in an answer to an envelope of `category`; `limited` if the answer was a 429, or as good as one. Gives the
    /// categories that were free until now.
    pub fn update(
        &mut self,
        headers: &Headers,
        category: Option<Category>,
        limited: bool,
        now: Instant,
    ) -> Vec<Category> {
        let before = Category::ALL.map(|category| self.until(Some(category), now));
        let asked = headers.retry_after.as_deref().and_then(retry_after);
        if let Some(header) = &headers.rate_limits {
            for (wait, categories) in header.split(',').filter_map(parse) {
                for category in categories {
                    self.extend(Some(category), now + wait);
                }
            }
        } else if limited {
            for category in Category::ALL {
                self.extend(Some(category), now + asked.unwrap_or(UNNAMED));
            }
        }
        // Whatever the headers say, what was refused just now is not sent again at once.
        if limited && self.until(category, now).is_none() {
            self.extend(category, now + asked.filter(|wait| !wait.is_zero()).unwrap_or(UNNAMED));
        }
        let free = Category::ALL.into_iter().zip(before).filter(|(_, before)| before.is_none());
        free.map(|(category, _)| category).filter(|category| self.until(Some(*category), now).is_some()).collect()
    }

    /// When `category` may be sent again, if it may not now.
    pub fn until(&self, category: Option<Category>, now: Instant) -> Option<Instant> {
        category.map_or(self.nameless, |category| self.by_name[category as usize]).filter(|until| *until > now)
    }

    /// The longer limit stays.
    fn extend(&mut self, category: Option<Category>, until: Instant) {
        let known = category.map_or(&mut self.nameless, |category| &mut self.by_name[category as usize]);
        *known = (*known).max(Some(until));
    }
}

/// One limit, `retry_after:categories:scope:reason:namespaces`, of which all but the first may be missing. Categories
/// that we do not send are passed over.
fn parse(limit: &str) -> Option<(Duration, Vec<Category>)> {
    let mut parts = limit.trim().split(':');
    let wait = seconds(parts.next()?)?;
    let names = parts.next().unwrap_or_default().trim();
    if names.is_empty() {
        return Some((wait, Category::ALL.to_vec()));
    }
    let category = |name: &str| Category::ALL.into_iter().find(|category| category.as_str() == name.trim());
    Some((wait, names.split(';').filter_map(category).collect()))
}

/// Seconds, whole or with a fraction, or the date until when.
fn retry_after(text: &str) -> Option<Duration> {
    let date = || httpdate::parse_http_date(text.trim()).ok();
    seconds(text).or_else(|| Some(date()?.duration_since(SystemTime::now()).unwrap_or_default().min(LONGEST)))
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.trim().parse().ok().filter(|seconds: &f64| !seconds.is_nan())?;
    Some(Duration::from_secs_f64(seconds.clamp(0.0, LONGEST.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds for which errors, transactions and check-ins are limited after an answer to a transaction.
    #[track_caller]
    fn check(limited: bool, rate_limits: Option<&str>, retry_after: Option<&str>, expected: [f64; 3]) {
        let now = Instant::now();
        let headers =
            Headers { rate_limits: rate_limits.map(str::to_owned), retry_after: retry_after.map(str::to_owned) };
        let mut limits = RateLimits::default();
        limits.update(&headers, Some(Category::Transaction), limited, now);
        let left = |category| limits.until(Some(category), now).map_or(Duration::ZERO, |until| until - now);
        // A date is one of the wall clock, which goes on meanwhile.
        let found = Category::ALL.map(|category| left(category).as_secs_f64());
        let near = found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1.5);
        assert!(near, "{found:?} are not {expected:?}");
    }

    #[test]
    fn the_documented_grammar() {
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
    fn nonsense_limits_nothing_and_nothing_is_limited_for_ever() {
        let header = |header, expected| check(false, Some(header), None, expected);
        header("", [0.0, 0.0, 0.0]);
        header("soon:error", [0.0, 0.0, 0.0]);
        header("NaN:error,,:,::::", [0.0, 0.0, 0.0]);
        header("-5:error", [0.0, 0.0, 0.0]);
        header("1e300:error,inf:transaction", [86_400.0, 86_400.0, 0.0]);
    }

    #[test]
    fn a_429_always_limits_what_it_answered() {
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
    fn a_wait_may_be_a_date() {
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        check(true, None, Some(&date), [90.0, 90.0, 90.0]);
        check(true, None, Some("Wed, 21 Oct 2015 07:28:00 GMT"), [0.0, 60.0, 0.0]);
        check(true, None, Some("Fri, 31 Dec 9999 23:59:59 GMT"), [86_400.0, 86_400.0, 86_400.0]);
    }
}
