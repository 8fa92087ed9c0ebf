//! The names of the tags and data that the host sets on runs. Sinks set no other names, and a guest can set none of
//! them.

use crate::trace::SPANS_LEFT_OUT;

/// Declares an enum of names, and a constant `ALL` with every name. Both come from the same list, so that `ALL` is
/// always complete.
macro_rules! names {
    ($(#[$about:meta])* $type:ident { $($(#[$about_name:meta])* $name:ident = $text:literal,)* }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $type {
            $($(#[$about_name])* $name,)*
        }

        impl $type {
            /// All names.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Returns the name as it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

names! {
    /// A tag that the host sets on a run.
    HostTag {
        /// The name of the component.
        Probe = "probe",
        /// The name of the outcome.
        Outcome = "outcome",
        /// The reason of the failure or fault.
        Reason = "reason",
        /// The number of attempts, if there were several.
        Attempts = "attempts",
        /// `offline`, if this host had no network.
        Vantage = "vantage",
        /// The length of the outage that the run has ended.
        RecoveredAfter = "recovered_after",
        /// The number of runs that were skipped before this one.
        Skipped = "skipped",
    }
}

names! {
    /// An entry that the host adds to the data of a span.
    HostData {
        /// The time from the moment at which the run was due to its start.
        LatenessMs = "sentrynet.lateness_ms",
        /// The number of runs that were skipped before this one.
        Skipped = "sentrynet.skipped",
        /// The failed runs of the outage.
        OutageRuns = "sentrynet.outage.runs",
        /// The length of the outage.
        OutageSeconds = "sentrynet.outage.seconds",
        /// The number of spans that were left out.
        SpansDropped = "sentrynet.spans_dropped",
    }
}

/// Keys of tags that Sentry drops or overwrites, since it has fields with these names.
pub const SENTRY_FIELDS: [&str; 7] = ["dist", "environment", "filename", "function", "release", "server_name", "user"];
/// Keys of tags that Sentry derives from an event. If a guest set one of them, it would look as if Sentry had derived
/// it.
const DERIVED_TAGS: [&str; 4] = ["level", "logger", "title", "transaction"];
/// The beginnings of names that belong to the host and to Sentry.
const RESERVED_PREFIXES: [&str; 3] = ["sentrynet.", "sentry.", "sentry:"];

/// Returns true if a guest cannot set a tag with this key.
pub fn is_reserved_tag(key: &str) -> bool {
    let key = key.trim();
    let mut names = HostTag::ALL.iter().map(|tag| tag.as_str()).chain(SENTRY_FIELDS).chain(DERIVED_TAGS);
    names.any(|name| key.eq_ignore_ascii_case(name)) || has_reserved_prefix(key)
}

/// Returns true if a guest cannot set an entry with this key in the data of a span.
pub fn is_reserved_data(key: &str) -> bool {
    let key = key.trim();
    key.eq_ignore_ascii_case(SPANS_LEFT_OUT) || has_reserved_prefix(key)
}

fn has_reserved_prefix(key: &str) -> bool {
    let begins_with = |prefix: &str| key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    RESERVED_PREFIXES.into_iter().any(begins_with)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_the_host_are_reserved() {
        for tag in HostTag::ALL {
            assert!(is_reserved_tag(tag.as_str()), "{tag:?}");
        }
        for data in HostData::ALL {
            assert!(is_reserved_data(data.as_str()), "{data:?}");
        }
        for key in ["release", "server_name", "title", "sentry:release", "sentrynet.outage.runs", "sentrynet.new"] {
            assert!(is_reserved_tag(key), "{key}");
        }
        for key in ["spans.left_out", "sentry.op", "sentry.origin", "sentrynet.", "sentrynet.new"] {
            assert!(is_reserved_data(key), "{key}");
        }
    }

    #[test]
    fn other_spellings_are_reserved_and_other_names_are_free() {
        for key in ["Vantage", "VANTAGE", " vantage", "vantage\n", "SentryNet.x"] {
            assert!(is_reserved_tag(key), "{key}");
        }
        for key in ["", "vantage2", "my.vantage", "sentrynet", "sentryx", "tls", "region", "https.vantage"] {
            assert!(!is_reserved_tag(key), "{key}");
        }
        for key in ["http.request.method", "probe", "vantage", "sentrynet", "spans", "url.full"] {
            assert!(!is_reserved_data(key), "{key}");
        }
    }
}
