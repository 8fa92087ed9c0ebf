//! Decodes `allow`: the permissions of a component.

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::component::Environment;
use super::decoder::Decoder;
use crate::config::diagnostic::{below, quote, unescape};
use crate::config::section::Section;
use crate::config::table::{Field, Table, type_name};
use crate::config::{Allow, AllowSsh, AllowedHost, Destination};

impl Decoder<'_> {
    /// Decodes one `allow` block: the permissions, and the values of the environment variables that it names.
    /// `declared_by` names the owner of the block in messages.
    pub fn allow(&mut self, field: Field, declared_by: String) -> Option<(Allow, Option<Environment>)> {
        let mut table = Table::new(field, Section::ALLOW, &mut self.context)?;
        let hosts = self.allowed_hosts(&mut table);
        let ssh = table.take_table("ssh", Section::ALLOW_SSH, &mut self.context);
        let ssh = ssh.map(|mut table| {
            let hosts = self.allowed_hosts(&mut table);
            let commands = table.take_bool("commands", &mut self.context);
            let agent = table.take_bool("agent", &mut self.context);
            let accept_new = table.take_bool("accept_new", &mut self.context);
            table.finish(&mut self.context);
            AllowSsh { hosts, commands, agent, accept_new }
        });
        let secret_hosts = table.take("secret_hosts").and_then(|field| field.into_map(&mut self.context));
        let secret_hosts = secret_hosts.map(|(pointer, map)| self.destinations(&pointer, map)).unwrap_or_default();
        let environment = table.take_list("env", &mut self.context).map(|names| self.variables(&names));
        let log = table.take_bool("log", &mut self.context);
        table.finish(&mut self.context);
        Some((Allow { declared_by, hosts, ssh: ssh.unwrap_or_default(), secret_hosts, log }, environment))
    }

    /// Decodes where settings may be sent: a list of hosts for the name or the JSON pointer of each.
    fn destinations(&mut self, pointer: &str, map: Map<String, Value>) -> Vec<(Vec<String>, Vec<Destination>)> {
        let mut destinations = Vec::new();
        for (name, value) in map {
            let field = Field { pointer: below(pointer, &name), label: quote(&name), value };
            let Some(hosts) = field.into_list(&mut self.context) else { continue };
            let hosts = hosts.iter().filter_map(|field| {
                let host = match &field.value {
                    Value::String(text) => {
                        Destination::read(text.trim()).map_err(|why| format!("{} {why}", quote(text)))
                    }
                    value => Err(format!("{} must be text, not {}", field.label, type_name(value))),
                };
                self.context.accept(field, host)
            });
            destinations.push((setting_path(&name), hosts.collect()));
        }
        destinations
    }

    fn allowed_hosts(&mut self, table: &mut Table) -> Option<Vec<AllowedHost>> {
        let hosts = table.take_list("hosts", &mut self.context)?;
        Some(hosts.iter().filter_map(|field| self.context.accept(field, allowed_host(field))).collect())
    }

    /// Looks up environment variables. Their values may be secrets, and are redacted as such.
    fn variables(&mut self, names: &[Field]) -> Environment {
        let mut environment = Environment::new();
        for field in names {
            let variable = match &field.value {
                Value::String(name) => match (self.environment)(name) {
                    Some(value) => Ok((name.clone(), value)),
                    None => Err(format!("the environment has no {}: set it, or leave it out here", quote(name))),
                },
                value => Err(format!("{} must be the name of a variable, not {}", field.label, type_name(value))),
            };
            if let Some((name, value)) = self.context.accept(field, variable) {
                let value = SecretString::from(value);
                self.context.resolved.secrets.push(value.clone());
                environment.insert(name, value);
            }
        }
        environment
    }
}

impl Allow {
    /// Denies what the block does not mention. This is the rule for the first block of a component that is not built
    /// in: such a component has only the permissions that are written down.
    #[must_use]
    pub fn or_deny(self) -> Self {
        let ssh = AllowSsh {
            hosts: Some(self.ssh.hosts.unwrap_or_default()),
            commands: Some(self.ssh.commands.unwrap_or_default()),
            agent: Some(self.ssh.agent.unwrap_or_default()),
            accept_new: Some(self.ssh.accept_new.unwrap_or_default()),
        };
        let (hosts, log) = (Some(self.hosts.unwrap_or_default()), Some(self.log.unwrap_or_default()));
        Self { hosts, ssh, log, ..self }
    }
}

/// Returns the path to a setting, given its name, such as `token`, or its JSON pointer, such as `/auth/bearer`.
fn setting_path(name: &str) -> Vec<String> {
    match name.strip_prefix('/') {
        Some(path) => path.split('/').map(unescape).collect(),
        None => vec![name.to_owned()],
    }
}

fn allowed_host(field: &Field) -> Result<AllowedHost, String> {
    match &field.value {
        Value::String(text) => AllowedHost::read(text.trim()).map_err(|why| format!("{} {why}", quote(text))),
        value => Err(format!("{} must be text, not {}", field.label, type_name(value))),
    }
}
