//! What an import lets a component do, in words, and what the operator must allow for it to work: of every interface
//! that the host has. Pure.

use crate::config::{Allow, AllowedHost};
use crate::sandbox::component::{CONTRACT, CONTRACT_VERSION};

/// What comes with an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportInfo {
    /// For a person, as `it can …` goes on; empty where it reaches nothing by itself.
    pub action: &'static str,
    /// What it works only with; none where nobody need be asked.
    pub needs: Option<Grant>,
}

/// What is allowed under a module's or a probe's `allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grant {
    Hosts,
    Ssh { commands: bool, agent: bool },
    Env,
    Log,
}

/// By an interface's name and those of its functions that can be called; none where the host does not have it.
pub fn import_info(interface: &str, functions: &[String]) -> Option<ImportInfo> {
    let (name, version) = interface.split_once('@')?;
    let (package, name) = name.split_once('/')?;
    let (action, needs) = match package {
        "sentrynet:probe" if compat_version(version) == compat_version(CONTRACT_VERSION) => ours(name, functions)?,
        _ if compat_version(version) == WASI => wasi(package, name)?,
        _ => return None,
    };
    Some(ImportInfo { action, needs })
}

/// What a probe is built to do by the contract and can never do as it is configured: nothing allows it any host. Where
/// one of several is allowed, the others are not meant: tools of JavaScript and Python import all that there is. What a
/// standard library imports of WASI says nothing of what the probe is for.
pub fn unusable_imports(imports: &[(String, Vec<String>)], allow: &[Allow]) -> Vec<String> {
    let none = |hosts: &Option<Vec<AllowedHost>>| hosts.as_ref().is_some_and(Vec::is_empty);
    let mut idle = Vec::new();
    for (interface, functions) in imports.iter().filter(|(interface, _)| interface.starts_with(CONTRACT)) {
        let Some(ImportInfo { action, needs: Some(needs) }) = import_info(interface, functions) else { continue };
        let (key, shut) = match needs {
            Grant::Hosts => ("hosts: [host.example]", allow.iter().find(|word| none(&word.hosts))),
            Grant::Ssh { .. } => ("ssh: {hosts: [host.example]}", allow.iter().find(|word| none(&word.ssh.hosts))),
            Grant::Env | Grant::Log => continue,
        };
        let Some(word) = shut else { return Vec::new() };
        let of = &word.of;
        idle.push(format!("this component is to {action}, and {of} allows it no host: add `allow: {{{key}}}` there"));
    }
    idle
}

/// The versions of WASI that the host has.
const WASI: &str = "0.2";

type Meaning = (&'static str, Option<Grant>);

fn ours(name: &str, functions: &[String]) -> Option<Meaning> {
    Some(match name {
        "http" => ("make HTTP requests", Some(Grant::Hosts)),
        "ssh" => {
            let calls = |name: &str| functions.iter().any(|function| function == name);
            let (commands, agent) = (calls("[method]session.exec"), calls("[method]client.agent"));
            let words = match (commands, agent) {
                (false, false) => "connect and log in over SSH",
                (true, false) => "run commands over SSH",
                (false, true) => "log in over SSH, with the agent's keys",
                (true, true) => "run commands over SSH, with the agent's keys",
            };
            (words, Some(Grant::Ssh { commands, agent }))
        }
        "span" => ("add spans, data and tags to its runs", None),
        "log" => LOG,
        "types" => NOTHING,
        _ => return None,
    })
}

fn wasi(package: &str, name: &str) -> Option<Meaning> {
    Some(match (package, name) {
        ("wasi:http", "outgoing-handler") => ("make HTTP requests", Some(Grant::Hosts)),
        ("wasi:sockets", "tcp") => ("open TCP connections", Some(Grant::Hosts)),
        ("wasi:sockets", "udp") => ("use UDP, which no probe may", None),
        ("wasi:sockets", "ip-name-lookup") => ("look up the addresses of names", Some(Grant::Hosts)),
        ("wasi:cli", "stdout" | "stderr") => LOG,
        ("wasi:cli", "environment") => ("read the environment that it is given", Some(Grant::Env)),
        ("wasi:filesystem", "preopens" | "types") => ("use files, of which it is given none", None),
        ("wasi:random", "random" | "insecure" | "insecure-seed") => ("draw random numbers", None),
        ("wasi:clocks", "monotonic-clock" | "wall-clock") => ("read the clock", None),
        ("wasi:sockets", "tcp-create-socket" | "udp-create-socket" | "network" | "instance-network")
        | (
            "wasi:cli",
            "exit" | "stdin" | "terminal-input" | "terminal-output" | "terminal-stdin" | "terminal-stdout"
            | "terminal-stderr",
        )
        | ("wasi:http", "types")
        | ("wasi:io", "error" | "poll" | "streams") => NOTHING,
        _ => return None,
    })
}

const LOG: Meaning = ("write lines to its runs' logs", Some(Grant::Log));
const NOTHING: Meaning = ("", None);

/// Of a version the part that those share which go together: a major one, or before the first of these a minor one.
fn compat_version(version: &str) -> &str {
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
    fn imports_are_told_in_words() {
        let needs = |interface: &str, functions: &[&str]| {
            let functions: Vec<_> = functions.iter().map(|name| (*name).to_owned()).collect();
            import_info(interface, &functions).expect("the host has it").needs
        };
        assert_eq!(needs("sentrynet:probe/http@0.1.0", &[]), Some(Grant::Hosts));
        assert_eq!(needs("wasi:sockets/tcp@0.2.6", &[]), Some(Grant::Hosts));
        let ssh = |commands, agent| Some(Grant::Ssh { commands, agent });
        assert_eq!(needs("sentrynet:probe/ssh@0.1.0", &["[static]client.new"]), ssh(false, false));
        assert_eq!(needs("sentrynet:probe/ssh@0.1.9", &["[method]session.exec"]), ssh(true, false));
        assert_eq!(needs("sentrynet:probe/ssh@0.1.0", &["[method]client.agent"]), ssh(false, true));
        assert_eq!(needs("sentrynet:probe/span@0.1.0", &[]), None);
    }

    #[test]
    fn what_the_host_does_not_have() {
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
    fn what_is_allowed_no_host_is_idle() {
        let imports: Vec<_> = ["sentrynet:probe/http@0.1.0", "sentrynet:probe/log@0.1.0", "wasi:sockets/tcp@0.2.0"]
            .map(|name| (name.to_owned(), Vec::new()))
            .into();
        let word = |hosts| Allow { declared_by: "this probe".to_owned(), hosts, ..Allow::default() };
        assert_eq!(unusable_imports(&imports, &[]), [""; 0]);
        assert_eq!(unusable_imports(&imports, &[word(None)]), [""; 0]);
        assert_eq!(
            unusable_imports(&imports, &[word(Some(vec![AllowedHost::read("shop.example").unwrap()]))]),
            [""; 0]
        );
        let expected = "this component is to make HTTP requests, and this probe allows it no host: \
                        add `allow: {hosts: [host.example]}` there";
        assert_eq!(unusable_imports(&imports, &[word(None), word(Some(Vec::new()))]), [expected]);
        let all = [imports, vec![("sentrynet:probe/ssh@0.1.0".to_owned(), Vec::new())]].concat();
        assert_eq!(unusable_imports(&all, &[word(Some(Vec::new())).or_deny()]).len(), 2);
        assert_eq!(
            unusable_imports(&all, &[word(Some(vec![AllowedHost::read("shop.example").unwrap()])).or_deny()]),
            [""; 0]
        );
    }

    #[test]
    fn versions_that_go_together() {
        assert_eq!(
            ["0.1.0", "0.2.12", "1.2.3", "0.0.3", "2.0.0+abc", "1.0.0-rc.1", ""].map(compat_version),
            ["0.1", "0.2", "1", "0.0.3", "2", "1.0.0-rc.1", ""]
        );
    }

    /// The linker, given something else under the name of what it has already, refuses.
    #[test]
    fn what_is_listed_is_linked() {
        let mut linker = wasmtime::component::Linker::<crate::capability::Context>::new(&wasmtime::Engine::default());
        crate::capability::link(&mut linker).unwrap();
        let listed = [
            ("sentrynet:probe", CONTRACT_VERSION, "http ssh span log types"),
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
