//! Names that a run has resolved.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

/// The names that a run has looked up, and where each led: a connection may be made there in its name.
#[derive(Clone, Default)]
pub struct ResolvedNames(Arc<Mutex<Vec<Led>>>);

/// A name, and its addresses.
type Led = (String, Vec<IpAddr>);

impl ResolvedNames {
    pub fn add(&self, name: &str, addresses: &[IpAddr]) {
        /// More names than any honest probe asks for.
        const MOST: usize = 100;
        let mut known = self.0.lock();
        known.retain(|(other, _)| other != name);
        if known.len() == MOST {
            known.remove(0);
        }
        known.push((name.to_owned(), addresses.to_vec()));
    }

    /// Those that led to an address, the last of them first.
    pub fn names_of(&self, address: IpAddr) -> Vec<String> {
        let known = self.0.lock();
        let leading = known.iter().rev().filter(|(_, addresses)| addresses.contains(&address.to_canonical()));
        leading.map(|(name, _)| name.clone()).collect()
    }

    /// Where one of them led.
    pub fn addresses(&self, name: &str) -> Vec<IpAddr> {
        let known = self.0.lock();
        known.iter().find(|(known, _)| known == name).map(|(_, addresses)| addresses.clone()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_names_have_led() {
        let names = ResolvedNames::default();
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        names.add("a.example", &[address("192.0.2.1"), address("192.0.2.2")]);
        names.add("b.example", &[address("192.0.2.1")]);
        assert_eq!(names.names_of(address("::ffff:192.0.2.1")), ["b.example", "a.example"]);
        // What it led to before is no longer its own.
        names.add("a.example", &[address("192.0.2.3")]);
        assert_eq!(names.names_of(address("192.0.2.2")), [""; 0]);
        for number in 0..1000 {
            names.add(&format!("{number}.example"), &[address("192.0.2.1")]);
        }
        assert_eq!(names.names_of(address("192.0.2.1")).len(), 100);
    }
}
