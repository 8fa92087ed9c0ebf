//! State that the runs of all probes share.

use std::path::PathBuf;
use std::sync::Arc;

use crate::capability::blocking_pool::BlockingPool;
use crate::capability::connection_budget::ConnectionBudget;
use crate::capability::memory_budget::MemoryPool;
use crate::capability::opening_limit::OpeningLimit;
use crate::capability::{http, ssh};

/// State that outlives a run, and that the runs of all probes share.
pub struct SharedState {
    /// TLS configurations and OAuth2 tokens.
    pub http: Arc<http::SharedState>,
    /// SSH hosts whose keys were accepted when they were first seen.
    pub ssh: Arc<ssh::AcceptedHosts>,
    /// The memory that all runs may use together.
    pub memory: Arc<MemoryPool>,
    /// The connections that all runs may have open together.
    pub connections: Arc<ConnectionBudget>,
    /// The connections that all runs may open to one host at once.
    pub openings: Arc<OpeningLimit>,
    /// The threads for the lookups of all runs.
    pub lookups: BlockingPool,
    /// The threads for the files of all runs.
    pub files: BlockingPool,
    /// The files of known hosts of runs whose settings name none.
    pub known_hosts: Vec<PathBuf>,
}
