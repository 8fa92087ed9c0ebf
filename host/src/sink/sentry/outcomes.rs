//! Counts the outcomes of envelopes: for the operator's log, and for the client reports to Sentry about dropped items.
//! Does no I/O.

use std::collections::BTreeMap;
use std::fmt;

use super::client_report::Discarded;
use super::envelope::{Category, Kind};

/// Numbers of envelopes since the start: transactions, errors and check-ins. Client reports are not counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Envelopes that entered the spool: those of runs, and those that an earlier process left in it.
    pub spooled: u64,
    /// Envelopes that Sentry has accepted.
    pub sent: u64,
    /// Envelopes that wait or are in flight now.
    pub waiting: u64,
    /// Waiting envelopes that are in memory only, and are lost when the process ends.
    pub in_memory: u64,
    /// Bytes that the spool occupies now, on disk and in memory.
    pub bytes: u64,
    /// Envelopes that are never sent, by reason. None of them is in `sent` or `waiting`.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Runs that were sampled out, before their envelopes were built.
    pub sampled_out: u64,
}

/// A reason for which an envelope is never sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DropReason {
    /// The spool on disk had reached its maximum size.
    SpoolFull,
    /// The spool in memory had reached its maximum size.
    MemoryFull,
    /// The envelope had waited so long that Sentry would no longer accept it, or that its content was outdated.
    TooOld,
    /// Sentry rejected the envelope.
    Rejected,
    /// The envelope could not be read from the disk, or had changed there.
    Unreadable,
    /// The network of this host was down. One event about that replaces the errors of all targets.
    Suppressed,
}

/// Counts envelopes, and collects the entries of the next client report.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub counts: Counts,
    /// Quantities that no client report has contained yet, by reason and category.
    unreported: BTreeMap<(&'static str, &'static str), u64>,
}

impl Outcomes {
    /// Counts an envelope that entered the spool.
    pub fn count_spooled(&mut self, kind: Kind) {
        self.counts.spooled += u64::from(kind != Kind::ClientReport);
    }

    /// Counts an envelope that was accepted.
    pub fn count_sent(&mut self, kind: Kind) {
        self.counts.sent += u64::from(kind != Kind::ClientReport);
    }

    /// Counts an envelope that was dropped. `spans` is the number of spans of a transaction.
    pub fn count_dropped(&mut self, kind: Kind, spans: u32, reason: DropReason) {
        if let Some(category) = kind.category() {
            *self.counts.dropped.entry(reason).or_default() += 1;
            self.add_unreported(reason.as_sentry_reason(), category, spans);
        }
    }

    /// Counts a run that was sampled out. `spans` is the number of spans of its transaction.
    pub fn count_sampled_out(&mut self, spans: u32) {
        self.counts.sampled_out += 1;
        self.add_unreported("sample_rate", Category::Transaction, spans);
    }

    /// Returns the entries of the next client report, and begins to collect those of the one after it.
    pub fn take_unreported(&mut self) -> Vec<Discarded> {
        let unreported = std::mem::take(&mut self.unreported).into_iter();
        unreported.map(|((reason, category), quantity)| Discarded { reason, category, quantity }).collect()
    }

    fn add_unreported(&mut self, reason: &'static str, category: Category, spans: u32) {
        *self.unreported.entry((reason, category.as_str())).or_default() += 1;
        if category == Category::Transaction && spans > 0 {
            *self.unreported.entry((reason, "span")).or_default() += u64::from(spans);
        }
    }
}

impl Counts {
    /// Returns the number of envelopes that were dropped for any reason.
    pub fn all_dropped(&self) -> u64 {
        self.dropped.values().sum()
    }
}

impl DropReason {
    /// Returns the reason's name in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SpoolFull => "spool-full",
            Self::MemoryFull => "memory-full",
            Self::TooOld => "too-old",
            Self::Rejected => "rejected",
            Self::Unreadable => "unreadable",
            Self::Suppressed => "suppressed",
        }
    }

    /// Returns true if data was lost that Sentry should have got. The errors of targets are no loss while this host has
    /// no network, nor is what Sentry would no longer take.
    pub fn is_loss(self) -> bool {
        !matches!(self, Self::TooOld | Self::Suppressed)
    }

    /// Returns Sentry's word for the reason.
    fn as_sentry_reason(self) -> &'static str {
        match self {
            Self::SpoolFull | Self::TooOld => "cache_overflow",
            Self::MemoryFull => "queue_overflow",
            Self::Rejected => "send_error",
            Self::Unreadable => "internal_sdk_error",
            Self::Suppressed => "event_processor",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SpoolFull => "spool full",
            Self::MemoryFull => "memory full",
            Self::TooOld => "too old",
            Self::Rejected => "rejected by Sentry",
            Self::Unreadable => "unreadable in the spool",
            Self::Suppressed => "suppressed while this host was offline",
        })
    }
}

/// Formats the counts as one line for the log.
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
            write!(f, ", {} sampled out by `sentry.sample`", self.sampled_out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_reported_once_with_their_spans() {
        let mut outcomes = Outcomes::default();
        outcomes.count_dropped(Kind::PassedTransaction, 7, DropReason::SpoolFull);
        outcomes.count_dropped(Kind::FailedTransaction, 3, DropReason::TooOld);
        outcomes.count_dropped(Kind::Error, 0, DropReason::Rejected);
        outcomes.count_dropped(Kind::ClientReport, 0, DropReason::Rejected);
        outcomes.count_sampled_out(5);
        let discarded = |reason, category, quantity| Discarded { reason, category, quantity };
        assert_eq!(
            outcomes.take_unreported(),
            [
                discarded("cache_overflow", "span", 10),
                discarded("cache_overflow", "transaction", 2),
                discarded("sample_rate", "span", 5),
                discarded("sample_rate", "transaction", 1),
                discarded("send_error", "error", 1),
            ]
        );
        assert_eq!(outcomes.take_unreported(), []);
        assert_eq!(outcomes.counts.all_dropped(), 3);
    }

    #[test]
    fn each_drop_reason_has_one_of_sentrys_reasons() {
        for (reason, sentry_reason) in [
            (DropReason::SpoolFull, "cache_overflow"),
            (DropReason::MemoryFull, "queue_overflow"),
            (DropReason::TooOld, "cache_overflow"),
            (DropReason::Rejected, "send_error"),
            (DropReason::Unreadable, "internal_sdk_error"),
            (DropReason::Suppressed, "event_processor"),
        ] {
            assert_eq!(reason.as_sentry_reason(), sentry_reason);
        }
    }

    #[test]
    fn counts_are_one_line() {
        let mut counts = Counts { spooled: 5, sent: 2, ..Counts::default() };
        assert_eq!(counts.to_string(), "5 spooled, 2 sent, 0 waiting, 0 dropped");
        counts.waiting = 1;
        counts.bytes = 3 << 20;
        counts.dropped = [(DropReason::Rejected, 2), (DropReason::SpoolFull, 40)].into();
        counts.sampled_out = 9;
        assert_eq!(
            counts.to_string(),
            "5 spooled, 2 sent, 1 waiting (3.0 MiB), 42 dropped (40 spool full, 2 rejected by Sentry), 9 sampled \
             out by `sentry.sample`"
        );
    }
}
