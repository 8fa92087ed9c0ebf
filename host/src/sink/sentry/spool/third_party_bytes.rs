//! Counts what each third-party probe has in one storage of the spool. Does no I/O.

use std::collections::HashMap;

/// Bytes of the envelopes of third-party probes, by the numbers of the probes.
#[derive(Debug, Default)]
pub struct ThirdPartyBytes {
    by_probe: HashMap<u64, u64>,
    total: u64,
}

impl ThirdPartyBytes {
    /// Counts an envelope of a probe.
    pub fn add(&mut self, probe: u64, bytes: u64) {
        *self.by_probe.entry(probe).or_default() += bytes;
        self.total += bytes;
    }

    /// Counts an envelope no longer.
    pub fn remove(&mut self, probe: u64, bytes: u64) {
        let Some(of_probe) = self.by_probe.get_mut(&probe) else { return };
        *of_probe -= bytes;
        self.total -= bytes;
        if *of_probe == 0 {
            self.by_probe.remove(&probe);
        }
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// Returns the probe with the most bytes, or `None` if no probe has any.
    pub fn largest(&self) -> Option<u64> {
        self.by_probe.iter().max_by_key(|(_, bytes)| **bytes).map(|(probe, _)| *probe)
    }

    /// Returns true if a probe with another envelope of `bytes` had more than an equal part of `all`, divided between
    /// the probes that have envelopes.
    pub fn exceeds_share(&self, probe: u64, bytes: u64, all: u64) -> bool {
        let of_probe = self.by_probe.get(&probe).copied().unwrap_or_default();
        let probes = self.by_probe.len() as u64 + u64::from(of_probe == 0);
        of_probe + bytes > all / probes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_share_equally() {
        let mut counted = ThirdPartyBytes::default();
        assert_eq!((counted.largest(), counted.total()), (None, 0));
        assert!(!counted.exceeds_share(1, 100, 100));
        counted.add(1, 60);
        assert!(!counted.exceeds_share(1, 40, 100));
        assert!(counted.exceeds_share(1, 41, 100));
        assert!(!counted.exceeds_share(2, 50, 100), "half is for the second probe");
        counted.add(2, 30);
        assert!(counted.exceeds_share(1, 1, 100));
        assert_eq!((counted.largest(), counted.total()), (Some(1), 90));
        counted.remove(1, 60);
        assert_eq!((counted.largest(), counted.total()), (Some(2), 30));
        assert!(!counted.exceeds_share(2, 70, 100), "probes without envelopes have no share");
    }
}
