//! What components may do: `allow`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Decoder;
use crate::config::diagnostic::quote;
use crate::config::known_keys::{ALLOW, ALLOW_SSH};
use crate::config::table::{Field, Table, kind};
use crate::config::{Allow, AllowSsh, AllowedHost};

/// Values of the environment, by their names.
pub type Environment = BTreeMap<String, String>;

impl Decoder<'_> {
    /// One word on what a component may do, and the environment that it names. `of` is whose word.
    pub fn allow(&mut self, field: Field, of: String) -> Option<(Allow, Option<Environment>)> {
        let mut table = Table::new(field, &mut self.report)?;
        let hosts = self.reaches(&mut table);
        let ssh = table.take("ssh").and_then(|field| Table::new(field, &mut self.report));
        let ssh = ssh.map(|mut table| {
            let hosts = self.reaches(&mut table);
            let commands = self.flag(table.take("commands"));
            let agent = self.flag(table.take("agent"));
            table.finish(ALLOW_SSH, &mut self.report);
            AllowSsh { hosts, commands, agent }
        });
        let environment = table.list("env", &mut self.report).map(|names| self.environment_of(&names));
        let log = self.flag(table.take("log"));
        table.finish(ALLOW, &mut self.report);
        Some((Allow { of, hosts, ssh: ssh.unwrap_or_default(), log }, environment))
    }

    fn reaches(&mut self, table: &mut Table) -> Option<Vec<AllowedHost>> {
        let hosts = table.list("hosts", &mut self.report)?;
        Some(hosts.iter().filter_map(|field| self.report.at(field, reach(field))).collect())
    }

    fn flag(&mut self, field: Option<Field>) -> Option<bool> {
        let field = field?;
        let flag = field.value.as_bool().ok_or_else(|| field.wrong("must be `true` or `false`"));
        self.report.at(&field, flag)
    }

    /// What our environment has under these names. It may be a secret, and is kept as one.
    fn environment_of(&mut self, names: &[Field]) -> Environment {
        let mut environment = Environment::new();
        for field in names {
            let value = match &field.value {
                Value::String(name) => match (self.environment)(name) {
                    Some(value) => Ok((name.clone(), value)),
                    None => Err(format!("the environment has no {}: set it, or leave it out here", quote(name))),
                },
                value => Err(format!("{} must be the name of a variable, not {}", field.key, kind(value))),
            };
            if let Some((name, value)) = self.report.at(field, value) {
                self.report.found.secrets.push(value.clone());
                environment.insert(name, value);
            }
        }
        environment
    }
}

impl Allow {
    /// As the first word on a component that is not built in: what it does not speak of is not allowed.
    #[must_use]
    pub fn first(self) -> Self {
        let ssh = AllowSsh {
            hosts: Some(self.ssh.hosts.unwrap_or_default()),
            commands: Some(self.ssh.commands.unwrap_or_default()),
            agent: Some(self.ssh.agent.unwrap_or_default()),
        };
        let (hosts, log) = (Some(self.hosts.unwrap_or_default()), Some(self.log.unwrap_or_default()));
        Self { of: self.of, hosts, ssh, log }
    }
}

fn reach(field: &Field) -> Result<AllowedHost, String> {
    match &field.value {
        Value::String(text) => AllowedHost::read(text.trim()).map_err(|why| format!("{} {why}", quote(text))),
        value => Err(format!("{} must be text, not {}", field.key, kind(value))),
    }
}
