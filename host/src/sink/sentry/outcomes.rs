//! What has become of envelopes: counted for whoever looks after this host, and for Sentry, which wants to know what it
//! did not get. Pure; knows kinds and reasons.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::envelope::{Category, Kind};

/// Counts since the start. An envelope is a run's transaction, an error or a check-in; client reports do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Came in: from runs, and from what an earlier process has left.
    pub spooled: u64,
    /// Taken by Sentry.
    pub sent: u64,
    /// Waiting or in flight now.
    pub waiting: u64,
    /// Those of them that are in memory alone, and end with the process.
    pub in_memory: u64,
    /// Bytes that the spool takes up now.
    pub bytes: u64,
    /// Never to be sent; none of it is among the other counts' `sent` or `waiting`.
    pub dropped: BTreeMap<Reason, u64>,
    /// Runs that sampling left out before they became envelopes.
    pub sampled_out: u64,
}

/// Why something is never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// There was no more room on disk.
    NoRoomOnDisk,
    /// There was no more room in memory.
    NoRoomInMemory,
    /// It waited for so long that Sentry would take it no more, or that it would say something false.
    TooOld,
    /// Sentry will not take it.
    Refused,
    /// The disk did not give it back as it was.
    Damaged,
    /// One event about this host said it for all.
    Suppressed,
}

/// What Sentry is told of: so many of a category, for a reason in Sentry's words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Discarded {
    pub reason: &'static str,
    pub category: &'static str,
    pub quantity: u64,
}

/// Counts, and what Sentry has not been told of yet.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub counts: Counts,
    untold: BTreeMap<(&'static str, &'static str), u64>,
}

impl Outcomes {
    pub fn spooled(&mut self, kind: Kind) {
        self.counts.spooled += u64::from(kind != Kind::Report);
    }

    pub fn sent(&mut self, kind: Kind) {
        self.counts.sent += u64::from(kind != Kind::Report);
    }

    pub fn dropped(&mut self, kind: Kind, spans: u32, reason: Reason) {
        if let Some(category) = kind.category() {
            *self.counts.dropped.entry(reason).or_default() += 1;
            self.untold(reason.as_sentry_reason(), category, spans);
        }
    }

    /// Runs, of so many spans, that were not to be sent in the first place.
    pub fn sampled_out(&mut self, spans: u32) {
        self.counts.sampled_out += 1;
        self.untold("sample_rate", Category::Transaction, spans);
    }

    /// What Sentry has not been told of; from now on it counts as told.
    pub fn take_unreported(&mut self) -> Vec<Discarded> {
        let untold = std::mem::take(&mut self.untold).into_iter();
        untold.map(|((reason, category), quantity)| Discarded { reason, category, quantity }).collect()
    }

    fn untold(&mut self, reason: &'static str, category: Category, spans: u32) {
        *self.untold.entry((reason, category.as_str())).or_default() += 1;
        if category == Category::Transaction && spans > 0 {
            *self.untold.entry((reason, "span")).or_default() += u64::from(spans);
        }
    }
}

impl Counts {
    /// All that was dropped, whatever for.
    pub fn all_dropped(&self) -> u64 {
        self.dropped.values().sum()
    }
}

impl Reason {
    fn as_sentry_reason(self) -> &'static str {
        match self {
            Self::NoRoomOnDisk | Self::TooOld => "cache_overflow",
            Self::NoRoomInMemory => "queue_overflow",
            Self::Refused => "send_error",
            Self::Damaged => "internal_sdk_error",
            Self::Suppressed => "event_processor",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoRoomOnDisk => "no room on disk",
            Self::NoRoomInMemory => "no room in memory",
            Self::TooOld => "too old",
            Self::Refused => "refused by Sentry",
            Self::Damaged => "damaged on disk",
            Self::Suppressed => "said once for all",
        })
    }
}

/// One line, for the log.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { spooled, sent, waiting, bytes, .. } = self;
        write!(f, "{spooled} spooled, {sent} sent, {waiting} waiting")?;
        if *waiting > 0 {
            write!(f, " ({:.1} MiB)", *bytes as f64 / f64::from(1 << 20))?;
        }
        write!(f, ", {} dropped", self.all_dropped())?;
        let reasons: Vec<_> = self.dropped.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        if !reasons.is_empty() {
            write!(f, " ({})", reasons.join(", "))?;
        }
        if self.sampled_out > 0 {
            write!(f, ", {} left out by `sentry.sample`", self.sampled_out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentry_is_told_once_and_of_spans_too() {
        let mut tally = Outcomes::default();
        tally.dropped(Kind::PassedTransaction, 7, Reason::NoRoomOnDisk);
        tally.dropped(Kind::FailedTransaction, 3, Reason::TooOld);
        tally.dropped(Kind::Error, 0, Reason::Refused);
        tally.dropped(Kind::Report, 0, Reason::Refused);
        tally.sampled_out(5);
        let told = |reason, category, quantity| Discarded { reason, category, quantity };
        assert_eq!(
            tally.take_unreported(),
            [
                told("cache_overflow", "span", 10),
                told("cache_overflow", "transaction", 2),
                told("sample_rate", "span", 5),
                told("sample_rate", "transaction", 1),
                told("send_error", "error", 1),
            ]
        );
        assert_eq!(tally.take_unreported(), []);
        assert_eq!(tally.counts.all_dropped(), 3);
    }

    #[test]
    fn reasons_in_client_reports() {
        for (reason, word) in [
            (Reason::NoRoomOnDisk, "cache_overflow"),
            (Reason::NoRoomInMemory, "queue_overflow"),
            (Reason::TooOld, "cache_overflow"),
            (Reason::Refused, "send_error"),
            (Reason::Damaged, "internal_sdk_error"),
            (Reason::Suppressed, "event_processor"),
        ] {
            assert_eq!(reason.as_sentry_reason(), word);
        }
    }

    #[test]
    fn in_one_line() {
        let mut counts = Counts { spooled: 5, sent: 2, ..Counts::default() };
        assert_eq!(counts.to_string(), "5 spooled, 2 sent, 0 waiting, 0 dropped");
        counts.waiting = 1;
        counts.bytes = 3 << 20;
        counts.dropped = [(Reason::Refused, 2), (Reason::NoRoomOnDisk, 40)].into();
        counts.sampled_out = 9;
        assert_eq!(
            counts.to_string(),
            "5 spooled, 2 sent, 1 waiting (3.0 MiB), 42 dropped (40 no room on disk, 2 refused by Sentry), 9 left out \
             by `sentry.sample`"
        );
    }
}
