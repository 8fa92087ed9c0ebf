//! Filtering the addresses of a name by the probe's grants.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::capability::grant::{List, Refusal};
use crate::capability::log_buffer::LogBuffer;
use crate::capability::probe_context::ProbeContext;

/// Filters addresses on behalf of one run. Every address that is refused is reported to the operator.
#[derive(Clone)]
pub struct AddressFilter {
    /// The list that applies.
    pub list: List,
    /// The probe that has the grants.
    pub probe: Arc<ProbeContext>,
    /// The log of the run.
    pub log: LogBuffer,
}

impl AddressFilter {
    /// Returns those of a name's addresses that the probe may connect to.
    ///
    /// # Errors
    /// The first [`Refusal`] when the probe may connect to none of the addresses.
    pub fn allowed(&self, name: &str, addresses: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, Refusal> {
        let grants = &self.probe.policy.grants;
        self.filter(addresses, |address| grants.check_address(self.list, Some(name), address.ip(), address.port()))
    }

    /// Returns those of a name's addresses that the probe may connect to on any port.
    ///
    /// # Errors
    /// The first [`Refusal`] when the probe may connect to none of the addresses.
    pub fn allowed_on_any_port(&self, name: &str, addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>, Refusal> {
        self.filter(addresses, |address| self.probe.policy.grants.check_resolved(self.list, name, *address))
    }

    fn filter<T>(&self, addresses: Vec<T>, check: impl Fn(&T) -> Result<(), Refusal>) -> Result<Vec<T>, Refusal> {
        let mut first_refusal = None;
        let mut is_allowed = |address: &T| {
            let result = check(address);
            if let Err(refusal) = &result {
                self.probe.report_refusal(&self.log, refusal);
                first_refusal.get_or_insert_with(|| refusal.clone());
            }
            result.is_ok()
        };
        let allowed: Vec<_> = addresses.into_iter().filter(|address| is_allowed(address)).collect();
        match first_refusal {
            Some(refusal) if allowed.is_empty() => Err(refusal),
            _ => Ok(allowed),
        }
    }
}
