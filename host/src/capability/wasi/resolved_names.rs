//! The names that an attempt has resolved.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The names that an attempt has resolved, with their addresses. A connection to one of the addresses counts as one to
/// the name. Clones share the names.
#[derive(Clone, Default)]
pub struct ResolvedNames(Arc<Mutex<Vec<ResolvedName>>>);

/// A name and its addresses.
#[derive(Debug, Clone)]
pub struct ResolvedName {
    /// The name.
    pub name: String,
    /// The addresses; IPv4-mapped IPv6 addresses are stored as IPv4.
    pub addresses: Vec<IpAddr>,
}

impl ResolvedNames {
    /// Adds a name, and replaces its earlier addresses. Stores at most 100 names, of which the oldest is dropped first.
    pub fn add(&self, name: &str, addresses: &[IpAddr]) {
        const MAX_NAMES: usize = 100;
        let mut names = self.0.lock();
        names.retain(|resolved| resolved.name != name);
        if names.len() == MAX_NAMES {
            names.remove(0);
        }
        names.push(ResolvedName { name: name.to_owned(), addresses: addresses.to_vec() });
    }

    /// Returns the names that have an address, the last resolved first.
    pub fn names_of(&self, address: IpAddr) -> Vec<ResolvedName> {
        let names = self.0.lock();
        let address = address.to_canonical();
        names.iter().rev().filter(|resolved| resolved.addresses.contains(&address)).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_names_by_address() {
        let resolved = ResolvedNames::default();
        let address = |text: &str| text.parse::<IpAddr>().expect("the address is valid");
        let names_of = |text: &str| -> Vec<String> {
            resolved.names_of(address(text)).into_iter().map(|resolved| resolved.name).collect()
        };
        resolved.add("a.example", &[address("192.0.2.1"), address("192.0.2.2")]);
        resolved.add("b.example", &[address("192.0.2.1")]);
        assert_eq!(names_of("::ffff:192.0.2.1"), ["b.example", "a.example"]);
        // The new addresses replace the earlier ones.
        resolved.add("a.example", &[address("192.0.2.3")]);
        assert_eq!(names_of("192.0.2.2"), [""; 0]);
        for number in 0..1000 {
            resolved.add(&format!("{number}.example"), &[address("192.0.2.1")]);
        }
        assert_eq!(names_of("192.0.2.1").len(), 100);
    }
}
