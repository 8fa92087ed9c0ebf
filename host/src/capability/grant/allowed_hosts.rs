//! The hosts that a probe may connect to, and what else it may do, by the `allow` blocks of its configuration. Pure
//! functions: they resolve nothing and send nothing.
//!
//! A host is checked twice: by name before it is looked up, since a lookup alone can carry data out; and by each
//! address that the name has, before anything is sent there. An entry with a name allows the name's public addresses
//! and no others, since the owner of a name can point it anywhere. Other addresses need an entry of their own.

use std::net::IpAddr;

use url::Host;

use super::special_addresses::special_kind;
use crate::capability::text::quotable;
use crate::config::{Allow, AllowedHost, parse_host_and_port};
use crate::printable::excerpt;

/// The `allow` blocks that apply to a probe, outermost first. Each narrows those before it. Without any block,
/// everything is allowed, as for built-in probes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grants(pub(super) Vec<Allow>);

/// A list of hosts in an `allow` block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// `hosts`: for HTTP and for sockets.
    Hosts,
    /// `ssh.hosts`: for the interface `ssh`.
    Ssh,
}

/// A message that says what is not allowed, and which entry of `allow` would allow it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    message: String,
    /// The message for a component that is not built in, if it differs.
    masked: Option<String>,
}

impl Refusal {
    /// Returns a refusal with a message that a component may see. A message of more than 1000 bytes, which a guest's
    /// own text can make, is cut.
    pub(super) fn new(message: &str) -> Self {
        const MAX_BYTES: usize = 1000;
        Self { message: excerpt(message, MAX_BYTES), masked: None }
    }

    /// Returns the message for a component. A component that is not built in does not learn the private address that a
    /// name of the operator's network leads to.
    pub fn message_for(&self, is_built_in: bool) -> String {
        let masked = self.masked.as_ref().filter(|_| !is_built_in);
        masked.unwrap_or(&self.message).clone()
    }

    /// Returns the refusal to accept the key of a new SSH server without a file in the settings to write it to.
    pub fn unnamed_known_hosts() -> Self {
        Self::new(
            "a new SSH host key is not accepted without a file of known hosts: add one to the settings of this probe",
        )
    }
}

impl Grants {
    /// Returns the grants of these blocks, outermost first.
    pub fn new(blocks: Vec<Allow>) -> Self {
        Self(blocks)
    }

    /// Returns true if no block has this list of hosts, so that every host is allowed.
    pub fn allows_all_hosts(&self, list: List) -> bool {
        self.lists(list).next().is_none()
    }

    /// Checks whether the probe may connect to a host and port, before the host is looked up.
    ///
    /// # Errors
    /// A [`Refusal`] that names the entry to add.
    pub fn check_host(&self, list: List, host: &Host<impl AsRef<str>>, port: u16) -> Result<(), Refusal> {
        let name = match host {
            Host::Domain(name) => name.as_ref(),
            Host::Ipv4(address) => return self.check_address(list, None, (*address).into(), port),
            Host::Ipv6(address) => return self.check_address(list, None, (*address).into(), port),
        };
        let name = without_final_dot(name);
        for (index, block, hosts) in self.lists(list) {
            let lists_name = hosts.iter().any(|host| host.matches_name(name, port));
            // An inner block may list networks instead of the name, to restrict the addresses that the name may have.
            // The outermost block has to list the name, since the name is looked up.
            let lists_network = index > 0 && hosts.iter().any(|host| host.is_network(port));
            let lists_loopback = is_local(name) && hosts.iter().any(|host| host.is_loopback(port));
            if !(lists_name || lists_network || lists_loopback) {
                let entry = entry(name, port);
                return Err(refuse(&format!("`{entry}`"), &entry, list, block));
            }
        }
        Ok(())
    }

    /// Checks whether the probe may name a host that this program does not resolve itself: a host that a proxy connects
    /// to, or the host in a `host` header. Since the host's addresses cannot be checked, an entry has to list its name,
    /// or a domain above it: `*` does not list names.
    ///
    /// # Errors
    /// A [`Refusal`] that names the entry to add.
    pub fn check_unresolved_host(&self, list: List, host: &Host<impl AsRef<str>>, port: u16) -> Result<(), Refusal> {
        let Host::Domain(name) = host else { return self.check_host(list, host, port) };
        let name = without_final_dot(name.as_ref());
        for (index, block, hosts) in self.lists(list) {
            if !hosts.iter().any(|host| if index == 0 { host.names(name, port) } else { host.matches_name(name, port) })
            {
                let entry = entry(name, port);
                let refused = format!("`{entry}`, a name that this host does not resolve,");
                return Err(refuse(&refused, &entry, list, block));
            }
        }
        Ok(())
    }

    /// Checks a `host` header, as [`Grants::check_unresolved_host`] does. The port is `default_port` if the header has
    /// none.
    ///
    /// # Errors
    /// A [`Refusal`] that names the entry to add, or says that the text is not a host.
    pub fn check_host_header(&self, list: List, authority: &str, default_port: u16) -> Result<(), Refusal> {
        let Some((_, block, _)) = self.lists(list).next() else { return Ok(()) };
        match parse_host_and_port(authority) {
            Some((host, port)) => self.check_unresolved_host(list, &host, port.unwrap_or(default_port)),
            None => Err(not_a_host(authority, block)),
        }
    }

    /// Checks a host as [`Grants::check_host`] does, given as text. An IPv6 address may be in brackets or not.
    ///
    /// # Errors
    /// A [`Refusal`] that names the entry to add, or says that the text is not a host.
    pub fn check_host_text(&self, list: List, host: &str, port: Option<u16>) -> Result<(), Refusal> {
        let Some((_, block, _)) = self.lists(list).next() else { return Ok(()) };
        let lacks_brackets = host.contains(':') && !host.starts_with('[');
        let parsed = if lacks_brackets { Host::parse(&format!("[{host}]")) } else { Host::parse(host) };
        match (parsed, port) {
            (Ok(parsed), Some(port)) => self.check_host(list, &parsed, port),
            _ => Err(not_a_host(host, block)),
        }
    }

    /// Checks whether the probe may connect to an address and port. With a `name`, which has passed
    /// [`Grants::check_host`], the address is one that the name resolved to.
    ///
    /// # Errors
    /// A [`Refusal`] that names the entry to add.
    pub fn check_address(&self, list: List, name: Option<&str>, address: IpAddr, port: u16) -> Result<(), Refusal> {
        let (name, address) = (name.map(without_final_dot), address.to_canonical());
        let kind = special_kind(address);
        for (index, block, hosts) in self.lists(list) {
            let is_allowed = match name {
                Some(name) => {
                    let mut matching = hosts.iter().filter(|host| host.matches_name(name, port));
                    // An address that is not public has to be listed in the outermost block; inner ones need not repeat
                    // it.
                    if kind.is_none() || index > 0 {
                        matching.next().is_some()
                    } else {
                        is_local(name) && address.is_loopback() && matching.any(|host| !host.is_wildcard(port))
                    }
                }
                None => kind.is_none() && hosts.iter().any(|host| host.is_wildcard(port)),
            };
            if is_allowed || hosts.iter().any(|host| host.matches_addr(address, port)) {
                continue;
            }
            let entry = entry(&bracketed(address), port);
            let shown_kind = kind.map(|kind| format!(", {kind},")).unwrap_or_default();
            let refused = match name {
                Some(name) => format!("`{name}` leads to `{entry}`{shown_kind} which"),
                None => format!("`{entry}`{shown_kind}"),
            };
            let refusal = refuse(&refused, &entry, list, block);
            let masked = name.zip(kind).map(|(name, kind)| {
                Refusal::new(&format!("`{name}` leads to {kind}, which is not allowed: the run's log has the address"))
                    .message
            });
            return Err(Refusal { masked, ..refusal });
        }
        Ok(())
    }

    /// Checks whether the probe may look up a name: it may if it may connect to the name on at least one port.
    ///
    /// # Errors
    /// A [`Refusal`] that names the entry to add.
    pub fn check_lookup(&self, list: List, name: &str) -> Result<(), Refusal> {
        self.on_any_port(list, |port| self.check_host(list, &Host::Domain(name), port))
    }

    /// Checks whether the probe may see an address that a name resolved to: it may if it may connect to the address on
    /// at least one port.
    ///
    /// # Errors
    /// A [`Refusal`] that names the entry to add.
    pub fn check_resolved(&self, list: List, name: &str, address: IpAddr) -> Result<(), Refusal> {
        self.on_any_port(list, |port| self.check_address(list, Some(name), address, port))
    }

    /// Checks whether the probe may connect a socket to an address: by the address itself, or by one of the `names`
    /// that the run has resolved to it.
    ///
    /// # Errors
    /// The [`Refusal`] of the last of the names, or of the address if there is no name.
    pub fn check_socket(&self, list: List, names: &[String], address: IpAddr, port: u16) -> Result<(), Refusal> {
        let mut result = self.check_address(list, None, address, port);
        for name in names {
            if result.is_ok() {
                break;
            }
            result = self
                .check_host(list, &Host::Domain(name), port)
                .and_then(|()| self.check_address(list, Some(name), address, port));
        }
        result
    }

    /// Returns `Ok` if a check passes for at least one port, otherwise the error for a port that no entry lists.
    fn on_any_port(&self, list: List, check: impl Fn(u16) -> Result<(), Refusal>) -> Result<(), Refusal> {
        let mut listed_ports = self.lists(list).flat_map(|(.., hosts)| hosts).filter_map(AllowedHost::port);
        let result = check(ANY_OTHER_PORT);
        if result.is_err() && listed_ports.any(|port| check(port).is_ok()) { Ok(()) } else { result }
    }

    /// Checks whether the probe may run commands over SSH.
    ///
    /// # Errors
    /// A [`Refusal`] that names the key to set.
    pub fn check_commands(&self) -> Result<(), Refusal> {
        self.check_flag("running a command over SSH", "`ssh: {commands: true}`", |block| block.ssh.commands)
    }

    /// Checks whether the probe may log in with the keys of the SSH agent.
    ///
    /// # Errors
    /// A [`Refusal`] that names the key to set.
    pub fn check_agent(&self) -> Result<(), Refusal> {
        self.check_flag("using the SSH agent's keys", "`ssh: {agent: true}`", |block| block.ssh.agent)
    }

    /// Checks whether the probe may accept the key of an SSH server that is not known yet.
    ///
    /// # Errors
    /// A [`Refusal`] that names the key to set.
    pub fn check_accept_new(&self) -> Result<(), Refusal> {
        self.check_flag("accepting new SSH host keys", "`ssh: {accept_new: true}`", |block| block.ssh.accept_new)
    }

    /// Checks whether the probe may write to the run's log.
    ///
    /// # Errors
    /// A [`Refusal`] that names the key to set.
    pub fn check_log(&self) -> Result<(), Refusal> {
        self.check_flag("writing to the log", "`log: true`", |block| block.log)
    }

    /// Returns the `declared_by` of the outermost block that has `log: false`, such as `this probe`, if there is one.
    pub fn log_refused_by(&self) -> Option<&str> {
        self.0.iter().find(|block| block.log == Some(false)).map(|block| block.declared_by.as_str())
    }

    fn check_flag(&self, action: &str, entry: &str, flag: impl Fn(&Allow) -> Option<bool>) -> Result<(), Refusal> {
        match self.0.iter().find(|block| flag(block) == Some(false)) {
            None => Ok(()),
            Some(block) => {
                Err(Refusal::new(&format!("{action} is not allowed: add {entry} to `allow` of {}", block.declared_by)))
            }
        }
    }

    /// Returns the blocks that have this list, outermost first, each with its index among them and its list.
    fn lists(&self, list: List) -> impl Iterator<Item = (usize, &Allow, &[AllowedHost])> {
        let lists = self.0.iter().filter_map(move |block| {
            let hosts = match list {
                List::Hosts => &block.hosts,
                List::Ssh => &block.ssh.hosts,
            };
            Some((block, hosts.as_deref()?))
        });
        lists.enumerate().map(|(index, (block, hosts))| (index, block, hosts))
    }
}

fn not_a_host(text: &str, block: &Allow) -> Refusal {
    Refusal::new(&format!("`{}` is not a host: `allow` of {} cannot list it", quotable(text), block.declared_by))
}

fn refuse(refused: &str, entry: &str, list: List, block: &Allow) -> Refusal {
    let key = match list {
        List::Hosts => "allow.hosts",
        List::Ssh => "allow.ssh.hosts",
    };
    Refusal::new(&format!("{refused} is not allowed: add `{entry}` to `{key}` of {}", block.declared_by))
}

/// The port that stands for every port that no entry lists, since no server can listen on port 0.
const ANY_OTHER_PORT: u16 = 0;

/// Returns the entry of a list that allows a host and port.
fn entry(host: &str, port: u16) -> String {
    if port == ANY_OTHER_PORT { host.to_owned() } else { format!("{host}:{port}") }
}

fn bracketed(address: IpAddr) -> String {
    if address.is_ipv6() { format!("[{address}]") } else { address.to_string() }
}

fn without_final_dot(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

/// Returns true if a name always means this machine, so that no DNS server is queried for it (RFC 6761).
fn is_local(name: &str) -> bool {
    name == "localhost" || name.ends_with(".localhost")
}

#[cfg(test)]
mod tests;
