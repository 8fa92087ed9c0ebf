//! A probe's grants where connections are made: which of the addresses that a name has are tried, and who is told of the
//! others.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::capability::grant::{List, Refusal};
use crate::capability::log_buffer::LogBuffer;
use crate::capability::probe_context::ProbeContext;

/// Judges on behalf of one run.
#[derive(Clone)]
pub struct AddressFilter {
    pub list: List,
    pub probe: Arc<ProbeContext>,
    pub log: LogBuffer,
}

impl AddressFilter {
    /// The addresses of a name that may be connected to. The operator is told of those that may not.
    ///
    /// # Errors
    /// When none may.
    pub fn allowed(&self, name: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refusal> {
        let grants = &self.probe.policy.grants;
        self.filter(found, |address| grants.address(self.list, Some(name), address.ip(), address.port()))
    }

    /// The same where it is not known yet at which port.
    ///
    /// # Errors
    /// When none may.
    pub fn allowed_on_any_port(&self, name: &str, found: Vec<IpAddr>) -> Result<Vec<IpAddr>, Refusal> {
        self.filter(found, |address| self.probe.policy.grants.leads(self.list, name, *address))
    }

    fn filter<T>(&self, found: Vec<T>, judge: impl Fn(&T) -> Result<(), Refusal>) -> Result<Vec<T>, Refusal> {
        let mut refused = None;
        let mut judge = |address: &T| {
            judge(address).map_err(|refusal| {
                self.probe.report_refusal(&self.log, &refusal);
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
