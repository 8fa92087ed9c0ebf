//! Describes each interface that the host has: what its import lets a component do, and what the operator must allow
//! for it to work.

use crate::config::{Allow, AllowedHost};
use crate::sandbox::contract::{CONTRACT_VERSION, PACKAGE};

/// The ability that an import gives a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportInfo {
    /// A verb phrase for people, such as `make HTTP requests`. Empty if the interface by itself gives no ability.
    pub action: &'static str,
    /// The grant without which the import does not work; `None` if it works without one.
    pub needs: Option<Grant>,
}

/// A permission that the operator gives under `allow` of a module or a probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    /// `hosts`: the hosts to connect to.
    Hosts,
    /// `ssh`: the SSH servers to connect to.
    Ssh {
        /// The component can run commands (`ssh.commands`).
        commands: bool,
        /// The component can use the keys of the SSH agent (`ssh.agent`).
        agent: bool,
        /// The component can accept the keys of unknown hosts (`ssh.accept_new`).
        accept_new: bool,
    },
    /// `env`: the environment variables to read.
    Env,
    /// `log`: writing lines to the logs of runs.
    Log,
}

/// Returns what the import of an interface lets a component do, given the interface's name with its version and the
/// imported functions. Returns `None` if the host does not have the interface.
pub fn import_info(interface: &str, functions: &[String]) -> Option<ImportInfo> {
    let (name, version) = interface.split_once('@')?;
    let (package, name) = name.split_once('/')?;
    let (action, needs) = match package {
        "sentrynet:probe" if compat_version(version) == compat_version(CONTRACT_VERSION) => {
            contract_ability(name, functions)?
        }
        _ if compat_version(version) == WASI_VERSION => wasi_ability(package, name)?,
        _ => return None,
    };
    Some(ImportInfo { action, needs })
}

/// Returns a warning for each import of the contract that can never work, because `allow` allows it no host.
///
/// Returns no warnings if at least one such import is allowed a host: toolchains for JavaScript and Python import the
/// whole contract, so the component probably does not use the others. Imports of WASI are ignored: a standard library
/// imports them whether the probe needs them or not.
pub fn unusable_imports(imports: &[(String, Vec<String>)], allow: &[Allow]) -> Vec<String> {
    let is_empty = |hosts: &Option<Vec<AllowedHost>>| hosts.as_ref().is_some_and(Vec::is_empty);
    let mut warnings = Vec::new();
    for (interface, functions) in imports.iter().filter(|(interface, _)| interface.starts_with(PACKAGE)) {
        let Some(ImportInfo { action, needs: Some(needs) }) = import_info(interface, functions) else { continue };
        let (key, denying) = match needs {
            Grant::Hosts => ("hosts: [host.example]", allow.iter().find(|block| is_empty(&block.hosts))),
            Grant::Ssh { .. } => {
                ("ssh: {hosts: [host.example]}", allow.iter().find(|block| is_empty(&block.ssh.hosts)))
            }
            Grant::Env | Grant::Log => continue,
        };
        let Some(block) = denying else { return Vec::new() };
        let owner = &block.declared_by;
        warnings.push(format!(
            "this component is built to {action}, but {owner} allows it no host: add `allow: {{{key}}}` there"
        ));
    }
    warnings
}

/// The compatible versions of WASI that the host has.
const WASI_VERSION: &str = "0.2";

/// The action and the grant of an [`ImportInfo`].
type Ability = (&'static str, Option<Grant>);

/// Returns the ability that an interface of the contract gives.
fn contract_ability(name: &str, functions: &[String]) -> Option<Ability> {
    Some(match name {
        "http" => ("make HTTP requests", Some(Grant::Hosts)),
        "ssh" => {
            let imports = |name: &str| functions.iter().any(|function| function == name);
            let (commands, agent) = (imports("[method]session.exec"), imports("[method]client.agent"));
            let action = match (commands, agent) {
                (false, false) => "connect and log in over SSH",
                (true, false) => "run commands over SSH",
                (false, true) => "log in over SSH, with the agent's keys",
                (true, true) => "run commands over SSH, with the agent's keys",
            };
            let accept_new = imports("[method]client.accept-new");
            (action, Some(Grant::Ssh { commands, agent, accept_new }))
        }
        "span" => ("add spans, data and tags to its runs", None),
        "log" => LOG_ABILITY,
        "warning" => ("report warnings with its runs", None),
        "types" => NO_ABILITY,
        _ => return None,
    })
}

/// Returns the ability that an interface of WASI gives.
fn wasi_ability(package: &str, name: &str) -> Option<Ability> {
    Some(match (package, name) {
        ("wasi:http", "outgoing-handler") => ("make HTTP requests", Some(Grant::Hosts)),
        ("wasi:sockets", "tcp") => ("open TCP connections", Some(Grant::Hosts)),
        ("wasi:sockets", "udp") => ("use UDP, which is refused to every probe", None),
        ("wasi:sockets", "ip-name-lookup") => ("look up the addresses of names", Some(Grant::Hosts)),
        ("wasi:cli", "stdout" | "stderr") => LOG_ABILITY,
        ("wasi:cli", "environment") => ("read the environment variables that `env` allows", Some(Grant::Env)),
        ("wasi:filesystem", "preopens" | "types") => ("use files, but it has access to none", None),
        ("wasi:random", "random" | "insecure" | "insecure-seed") => ("draw random numbers", None),
        ("wasi:clocks", "monotonic-clock" | "wall-clock") => ("read the clock", None),
        ("wasi:sockets", "tcp-create-socket" | "udp-create-socket" | "network" | "instance-network")
        | (
            "wasi:cli",
            "exit" | "stdin" | "terminal-input" | "terminal-output" | "terminal-stdin" | "terminal-stdout"
            | "terminal-stderr",
        )
        | ("wasi:http", "types")
        | ("wasi:io", "error" | "poll" | "streams") => NO_ABILITY,
        _ => return None,
    })
}

const LOG_ABILITY: Ability = ("write lines to its runs' logs", Some(Grant::Log));
const NO_ABILITY: Ability = ("", None);

/// Returns the part of a version that all compatible versions share: the major version, or `0.MINOR`, or `0.0.PATCH`. A
/// pre-release is compatible only with itself.
pub fn compat_version(version: &str) -> &str {
    if version.contains('-') {
        return version;
    }
    let parts = if version.starts_with("0.0.") {
        3
    } else if version.starts_with("0.") {
        2
    } else {
        1
    };
    let end = version.match_indices(['.', '+']).nth(parts - 1).map_or(version.len(), |(end, _)| end);
    &version[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_needs_the_grant_of_its_interface() {
        let needs = |interface: &str, functions: &[&str]| {
            let functions: Vec<_> = functions.iter().map(|name| (*name).to_owned()).collect();
            import_info(interface, &functions).expect("the host has the interface").needs
        };
        assert_eq!(needs("sentrynet:probe/http@0.1.0", &[]), Some(Grant::Hosts));
        assert_eq!(needs("wasi:sockets/tcp@0.2.6", &[]), Some(Grant::Hosts));
        let ssh = |commands, agent| Some(Grant::Ssh { commands, agent, accept_new: false });
        assert_eq!(needs("sentrynet:probe/ssh@0.1.0", &["[static]client.new"]), ssh(false, false));
        assert_eq!(needs("sentrynet:probe/ssh@0.1.9", &["[method]session.exec"]), ssh(true, false));
        assert_eq!(needs("sentrynet:probe/ssh@0.1.0", &["[method]client.agent"]), ssh(false, true));
        assert_eq!(needs("sentrynet:probe/span@0.1.0", &[]), None);
    }

    #[test]
    fn an_interface_that_the_host_does_not_have_has_no_info() {
        let check = |interface: &str| assert_eq!(import_info(interface, &[]), None, "{interface}");
        check("acme:door/open@1.0.0");
        check("sentrynet:probe/http@0.2.0");
        check("sentrynet:probe/http@0.1.0-rc.1");
        check("sentrynet:probe/kafka@0.1.0");
        check("sentrynet:probe/http");
        check("wasi:io/poll@0.3.0");
        check("wasi:keyvalue/store@0.2.0");
        check("open");
    }

    #[test]
    fn imports_that_are_allowed_no_host_are_unusable() {
        let imports: Vec<_> = ["sentrynet:probe/http@0.1.0", "sentrynet:probe/log@0.1.0", "wasi:sockets/tcp@0.2.0"]
            .map(|name| (name.to_owned(), Vec::new()))
            .into();
        let block = |hosts| Allow { declared_by: "this probe".to_owned(), hosts, ..Allow::default() };
        assert_eq!(unusable_imports(&imports, &[]), [""; 0]);
        assert_eq!(unusable_imports(&imports, &[block(None)]), [""; 0]);
        assert_eq!(
            unusable_imports(&imports, &[block(Some(vec![AllowedHost::read("shop.example").unwrap()]))]),
            [""; 0]
        );
        let expected = "this component is built to make HTTP requests, but this probe allows it no host: \
                        add `allow: {hosts: [host.example]}` there";
        assert_eq!(unusable_imports(&imports, &[block(None), block(Some(Vec::new()))]), [expected]);
        let all = [imports, vec![("sentrynet:probe/ssh@0.1.0".to_owned(), Vec::new())]].concat();
        assert_eq!(unusable_imports(&all, &[block(Some(Vec::new())).or_deny()]).len(), 2);
        assert_eq!(
            unusable_imports(&all, &[block(Some(vec![AllowedHost::read("shop.example").unwrap()])).or_deny()]),
            [""; 0]
        );
    }

    #[test]
    fn compatible_versions_have_the_same_part() {
        assert_eq!(
            ["0.1.0", "0.2.12", "1.2.3", "0.0.3", "2.0.0+abc", "1.0.0-rc.1", ""].map(compat_version),
            ["0.1", "0.2", "1", "0.0.3", "2", "1.0.0-rc.1", ""]
        );
    }

    /// Checks that each listed interface is linked: the linker then refuses to define it again.
    #[test]
    fn listed_interfaces_are_linked() {
        let mut linker = wasmtime::component::Linker::<crate::capability::Context>::new(&wasmtime::Engine::default());
        crate::capability::link(&mut linker).unwrap();
        let listed = [
            ("sentrynet:probe", CONTRACT_VERSION, "http ssh span log warning types"),
            ("wasi:sockets", "0.2.12", "tcp udp ip-name-lookup tcp-create-socket udp-create-socket network"),
            ("wasi:sockets", "0.2.12", "instance-network"),
            ("wasi:cli", "0.2.12", "stdout stderr environment exit stdin terminal-input terminal-output"),
            ("wasi:cli", "0.2.12", "terminal-stdin terminal-stdout terminal-stderr"),
            ("wasi:filesystem", "0.2.12", "preopens types"),
            ("wasi:random", "0.2.12", "random insecure insecure-seed"),
            ("wasi:clocks", "0.2.12", "monotonic-clock wall-clock"),
            ("wasi:io", "0.2.12", "error poll streams"),
            ("wasi:http", "0.2.12", "types outgoing-handler"),
        ];
        for (package, version, names) in listed {
            for name in names.split(' ') {
                let interface = format!("{package}/{name}@{version}");
                assert!(import_info(&interface, &[]).is_some(), "{interface} is listed");
                assert!(linker.root().func_wrap(&interface, |_, (): ()| Ok(())).is_err(), "{interface} is linked");
            }
        }
    }
}
