//! A probe's grants where connections are made: which of the addresses that a name has are tried, and who is told of the
//! others.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::capability::Scope;
use crate::capability::grant::{List, Refusal};
use crate::capability::log::Journal;

/// Judges on behalf of one run.
#[derive(Clone)]
pub struct Judge {
    pub list: List,
    pub probe: Arc<Scope>,
    pub log: Journal,
}

impl Judge {
    /// The addresses of a name that may be connected to. The operator is told of those that may not.
    ///
    /// # Errors
    /// When none may.
    pub fn divide(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refusal> {
        let mut refused = None;
        let mut judge = |address: &SocketAddr| {
            let judged = self.probe.grants.address(self.list, Some(name), address.ip(), address.port());
            judged.map_err(|refusal| {
                self.probe.refused(&self.log, &refusal);
                refused.get_or_insert(refusal);
            })
        };
        let allowed: Vec<_> = found.into_iter().filter(|address| judge(address).is_ok()).collect();
        match refused {
            Some(refusal) if allowed.is_empty() => Err(refusal),
            _ => Ok(allowed),
        }
    }
}
