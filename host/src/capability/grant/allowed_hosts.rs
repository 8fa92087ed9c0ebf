//! What a component may do, by the words of the operator: whom it may connect to, and what else. Pure.
//!
//! A host is asked about twice: by its name, before anything is looked up, since a lookup alone can carry off what the
//! component knows; and by each address that the name turns out to have, before anything is sent there. A name opens the
//! public addresses that it has, and no other: whoever owns it can point it anywhere. Others are opened as addresses.

use std::net::IpAddr;

use url::Host;

use super::special_addresses::special;
use crate::config::{Allow, AllowedHost};

/// Words of the operator's, of which each narrows those before it. Without any, everything is allowed: so are the
/// built-in probes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grants(Vec<Allow>);

/// The hosts that are asked of: those for connections of any kind, or those for SSH as the host speaks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    Hosts,
    Ssh,
}

/// What is not allowed, and what to write to allow it: a sentence for the operator, that may be shown to the component.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{0}")]
pub struct Refusal(String);

impl Grants {
    pub fn new(words: Vec<Allow>) -> Self {
        Self(words)
    }

    /// Whether it is not asked which hosts there are.
    pub fn is_open(&self, list: List) -> bool {
        self.lists(list).next().is_none()
    }

    /// Whether a host may be asked, before it is looked up. An address is judged as such.
    ///
    /// # Errors
    /// When it may not.
    pub fn host(&self, list: List, host: &Host<impl AsRef<str>>, port: u16) -> Result<(), Refusal> {
        let name = match host {
            Host::Domain(name) => name.as_ref(),
            Host::Ipv4(address) => return self.address(list, None, (*address).into(), port),
            Host::Ipv6(address) => return self.address(list, None, (*address).into(), port),
        };
        let name = bare(name);
        for (index, word, hosts) in self.lists(list) {
            let named = hosts.iter().any(|reach| reach.matches_name(name, port));
            // Networks can narrow what a name may lead to. To open one, it has to be named: it is looked up.
            let narrowed = index > 0 && hosts.iter().any(|reach| reach.is_network(port));
            let local = is_local(name) && hosts.iter().any(|reach| reach.is_loopback(port));
            if !(named || narrowed || local) {
                let wanted = at(name, port);
                return Err(refuse(&format!("`{wanted}`"), &wanted, list, word));
            }
        }
        Ok(())
    }

    /// The same of a host as it is written: an address may be in brackets or not.
    ///
    /// # Errors
    /// When it may not be asked, or is no host.
    pub fn name(&self, list: List, host: &str, port: Option<u16>) -> Result<(), Refusal> {
        let Some((_, word, _)) = self.lists(list).next() else { return Ok(()) };
        let bracketed = host.contains(':') && !host.starts_with('[');
        let parsed = if bracketed { Host::parse(&format!("[{host}]")) } else { Host::parse(host) };
        match (parsed, port) {
            (Ok(parsed), Some(port)) => self.host(list, &parsed, port),
            _ => Err(Refusal(format!("`{}` is no host that {} could allow", host.escape_debug(), word.declared_by))),
        }
    }

    /// Whether an address may be connected to: as one of a name that may be asked, or by itself.
    ///
    /// # Errors
    /// When it may not.
    pub fn address(&self, list: List, name: Option<&str>, address: IpAddr, port: u16) -> Result<(), Refusal> {
        let (name, address) = (name.map(bare), address.to_canonical());
        let special = special(address);
        for (index, word, hosts) in self.lists(list) {
            let opened = match name {
                Some(name) => {
                    let mut naming = hosts.iter().filter(|reach| reach.matches_name(name, port));
                    // What is not public was opened as such by the first word; others need not repeat it.
                    match special.is_none() || index > 0 {
                        true => naming.next().is_some(),
                        false => {
                            is_local(name) && address.is_loopback() && naming.any(|reach| !reach.is_wildcard(port))
                        }
                    }
                }
                None => special.is_none() && hosts.iter().any(|reach| reach.is_wildcard(port)),
            };
            if opened || hosts.iter().any(|reach| reach.matches_addr(address, port)) {
                continue;
            }
            let wanted = at(&shown(address), port);
            let special = special.map(|special| format!(", {special},")).unwrap_or_default();
            let what = match name {
                Some(name) => format!("`{name}` leads to `{wanted}`{special} which"),
                None => format!("`{wanted}`{special}"),
            };
            return Err(refuse(&what, &wanted, list, word));
        }
        Ok(())
    }

    /// Whether a name may be looked up: it may be asked at some port.
    ///
    /// # Errors
    /// When it may not.
    pub fn lookup(&self, list: List, name: &str) -> Result<(), Refusal> {
        self.at_some_port(list, |port| self.host(list, &Host::Domain(name), port))
    }

    /// Whether an address that a name has may be told: it may be connected to at some port.
    ///
    /// # Errors
    /// When it may not.
    pub fn leads(&self, list: List, name: &str, address: IpAddr) -> Result<(), Refusal> {
        self.at_some_port(list, |port| self.address(list, Some(name), address, port))
    }

    /// Whether an address may be connected to, where it is all that is known: by itself, or as one that these names have
    /// led to.
    ///
    /// # Errors
    /// When it may not.
    pub fn socket(&self, list: List, names: &[String], address: IpAddr, port: u16) -> Result<(), Refusal> {
        let by_name = |name: &String| {
            self.host(list, &Host::Domain(name), port).and_then(|()| self.address(list, Some(name), address, port))
        };
        let by_itself = self.address(list, None, address, port);
        let judged = std::iter::once_with(|| by_itself).chain(names.iter().map(by_name));
        // Who looked a name up is told of the name.
        let mut refused = Ok(());
        for judged in judged {
            match judged {
                Ok(()) => return Ok(()),
                refusal => refused = refusal,
            }
        }
        refused
    }

    fn at_some_port(&self, list: List, judge: impl Fn(u16) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let mut named = self.lists(list).flat_map(|(.., hosts)| hosts).filter_map(AllowedHost::port);
        let others = judge(OTHERS);
        if others.is_err() && named.any(|port| judge(port).is_ok()) { Ok(()) } else { others }
    }

    /// Whether commands may be run over SSH.
    ///
    /// # Errors
    /// When they may not.
    pub fn commands(&self) -> Result<(), Refusal> {
        self.flag("running a command over SSH", "`ssh: {commands: true}`", |word| word.ssh.commands)
    }

    /// Whether the keys of the SSH agent may be used.
    ///
    /// # Errors
    /// When they may not.
    pub fn agent(&self) -> Result<(), Refusal> {
        self.flag("using the SSH agent's keys", "`ssh: {agent: true}`", |word| word.ssh.agent)
    }

    /// Whether lines may be written to the run's log.
    ///
    /// # Errors
    /// When they may not.
    pub fn log(&self) -> Result<(), Refusal> {
        self.flag("writing to the log", "`log: true`", |word| word.log)
    }

    /// Who says that they may not.
    pub fn log_refused_by(&self) -> Option<&str> {
        self.0.iter().find(|word| word.log == Some(false)).map(|word| word.declared_by.as_str())
    }

    fn flag(&self, what: &str, wanted: &str, of: impl Fn(&Allow) -> Option<bool>) -> Result<(), Refusal> {
        match self.0.iter().find(|word| of(word) == Some(false)) {
            None => Ok(()),
            Some(word) => {
                Err(Refusal(format!("{what} is not allowed: add {wanted} to `allow` of {}", word.declared_by)))
            }
        }
    }

    /// The lists that narrow one another, outermost first, and whose they are.
    fn lists(&self, list: List) -> impl Iterator<Item = (usize, &Allow, &[AllowedHost])> {
        let lists = self.0.iter().filter_map(move |word| {
            let hosts = match list {
                List::Hosts => &word.hosts,
                List::Ssh => &word.ssh.hosts,
            };
            Some((word, hosts.as_deref()?))
        });
        lists.enumerate().map(|(index, (word, hosts))| (index, word, hosts))
    }
}

fn refuse(what: &str, wanted: &str, list: List, word: &Allow) -> Refusal {
    let key = match list {
        List::Hosts => "allow.hosts",
        List::Ssh => "allow.ssh.hosts",
    };
    Refusal(format!("{what} is not allowed: add `{wanted}` to `{key}` of {}", word.declared_by))
}

/// Stands for all ports that are not named; nobody listens on it.
const OTHERS: u16 = 0;

fn at(host: &str, port: u16) -> String {
    if port == OTHERS { host.to_owned() } else { format!("{host}:{port}") }
}

fn shown(address: IpAddr) -> String {
    if address.is_ipv6() { format!("[{address}]") } else { address.to_string() }
}

/// A name without its final dot.
fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Whether a name is this machine's own for itself, which no DNS server is asked for (RFC 6761).
fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests;
