//! Entry points for fuzzers.

use std::path::PathBuf;
use std::time::Instant;

use super::rate_limits::{RateLimitHeaders, RateLimits};
use super::spool::{LoadedFile, Segment};

/// Loads a file of the spool with these bytes, and reads and discards each of its records.
pub fn spool_segment(bytes: &[u8]) {
    let path = scratch_file();
    std::fs::write(&path, bytes).expect("the temporary folder is writable");
    if let Ok(LoadedFile::Segment(loaded)) = Segment::load(path) {
        for (_, record) in &loaded.records {
            _ = record.read();
            record.discard();
        }
        assert!(loaded.segment.has_no_live_records());
    }
}

/// Applies the headers of a response from Sentry: `X-Sentry-Rate-Limits` and `Retry-After`, separated by a line break.
pub fn rate_limits(text: &str) {
    let (rate_limits, retry_after) = text.split_once('\n').unwrap_or((text, ""));
    let headers = RateLimitHeaders {
        rate_limits: (!rate_limits.is_empty()).then(|| rate_limits.to_owned()),
        retry_after: (!retry_after.is_empty()).then(|| retry_after.to_owned()),
    };
    for is_limited in [false, true] {
        RateLimits::default().update(&headers, None, is_limited, Instant::now());
    }
}

/// Returns the path of a file that this process writes again for each input.
fn scratch_file() -> PathBuf {
    std::env::temp_dir().join(format!("sentrynet-fuzz-{}", std::process::id()))
}
