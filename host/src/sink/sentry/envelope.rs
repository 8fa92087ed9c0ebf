//! The envelope, in which everything is sent to Sentry, and its kinds. Payloads are bytes without a meaning here.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::SystemTime;

use serde::Serialize;

use crate::run::Identity;

/// A serialised envelope with one item. Its header lacks `sent_at`, which is added when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    pub kind: Kind,
    pub origin: Origin,
    /// The number of spans of a transaction, including its root; 0 for all other kinds.
    pub spans: u32,
    /// The envelope, which begins with its header: a JSON object on a line of its own.
    pub bytes: Vec<u8>,
}

/// Who caused an envelope. Third-party probes may be hostile, so that they share what the spool can keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The host itself, or a built-in probe.
    BuiltIn,
    /// A third-party probe, by a number that is the same for all its runs in this process.
    ThirdParty(u64),
}

/// The content of an envelope. The kinds are in the order of their importance, in which they are sent. Their numbers
/// are part of the spool's file format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An event.
    Error,
    /// A check-in. Sentry takes its status for the current one of the monitor, so it is sent only while it is recent.
    CheckIn,
    /// The transaction of a run that did not pass.
    FailedTransaction,
    /// A client report about discarded items.
    ClientReport,
    /// The transaction of a run that passed.
    PassedTransaction,
}

/// A category of data, for each of which Sentry has rate limits and quotas.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Category {
    Error,
    Transaction,
    Monitor,
}

impl Envelope {
    /// Creates an envelope of the host itself. `header` is a JSON object; `item_type` and `payload` are those of its
    /// item.
    pub fn new(kind: Kind, header: &[u8], item_type: &'static str, payload: &[u8]) -> Self {
        #[derive(Serialize)]
        struct ItemHeader {
            r#type: &'static str,
            length: usize,
        }
        let item_header = ItemHeader { r#type: item_type, length: payload.len() };
        // Never fails: the header has strings and numbers only.
        let item_header = serde_json::to_vec(&item_header).unwrap_or_default();
        let bytes = [header, b"\n", &item_header, b"\n", payload, b"\n"].concat();
        Self { kind, origin: Origin::BuiltIn, spans: 0, bytes }
    }
}

impl Origin {
    /// The origin of envelopes that third-party probes left in the spool when an earlier process ended.
    pub const EARLIER_THIRD_PARTY: Self = Self::ThirdParty(0);

    /// Returns the origin of a probe's envelopes.
    pub fn of_probe(probe: &Identity) -> Self {
        if probe.built_in {
            return Self::BuiltIn;
        }
        let mut hasher = DefaultHasher::new();
        probe.pointer.hash(&mut hasher);
        Self::ThirdParty(hasher.finish())
    }

    pub fn is_third_party(self) -> bool {
        matches!(self, Self::ThirdParty(_))
    }
}

impl Kind {
    pub const ALL: [Self; 5] =
        [Self::Error, Self::CheckIn, Self::FailedTransaction, Self::ClientReport, Self::PassedTransaction];

    /// Returns the category, or `None` for client reports, which have no rate limits.
    pub fn category(self) -> Option<Category> {
        match self {
            Self::Error => Some(Category::Error),
            Self::CheckIn => Some(Category::Monitor),
            Self::FailedTransaction | Self::PassedTransaction => Some(Category::Transaction),
            Self::ClientReport => None,
        }
    }
}

impl Category {
    pub const ALL: [Self; 3] = [Self::Error, Self::Transaction, Self::Monitor];

    /// Returns Sentry's name of the category.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Transaction => "transaction",
            Self::Monitor => "monitor",
        }
    }
}

/// Returns the bytes of an envelope with `sent_at` in its header.
pub fn with_sent_at(envelope: &[u8], sent_at: SystemTime) -> Vec<u8> {
    let rest = envelope.get(1..).unwrap_or_default();
    // An empty header is closed right after its opening brace.
    let comma = if rest.starts_with(b"}") { "" } else { "," };
    let start = format!("{{\"sent_at\":\"{}\"{comma}", crate::time_format::rfc3339(sent_at));
    [start.as_bytes(), rest].concat()
}
