//! The values that probes inherit.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{Limits, TraceHeaders};

/// The values that a probe inherits from its group, from `sentry` or from the limits at the top of the file.
#[derive(Clone)]
pub struct Inherited {
    pub tags: Arc<BTreeMap<String, String>>,
    pub limits: Limits,
    pub trace_headers: TraceHeaders,
}
