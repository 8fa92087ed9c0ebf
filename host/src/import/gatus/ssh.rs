//! An endpoint of Gatus over SSH.

use url::Url;

use super::super::entry::{Entry, shown};
use super::super::model::Ssh;
use super::super::report::Report;
use super::super::text::Text;
use super::client::DEFAULT_TIMEOUT;
use super::condition::{self, Target};
use super::shared::{expand, label, seconds, text};

/// Returns the settings of an endpoint with a URL of SSH; `None`, with a note, if the URL is none.
pub fn settings(item: &Entry, url: &Text, report: &mut Report) -> Option<Ssh> {
    let parsed = Url::parse(url.as_literal().unwrap_or_default()).ok();
    let Some(host) = parsed.as_ref().and_then(Url::host_str) else {
        report.left_out(&item.place(), format!("{}: its URL has no host, or a variable", label(item)));
        return None;
    };
    let port = parsed.as_ref().and_then(Url::port).map(u64::from);
    let host = host.trim_matches(['[', ']']).to_owned();
    let mut ssh = Ssh { host: Text::literal(&host), port, timeout: Some(DEFAULT_TIMEOUT), ..Ssh::default() };
    credentials(item, &host, &mut ssh, report);
    client(item, &mut ssh, report);
    ssh.host_key = Some("accept-new");
    report.remark(
        &item.place(),
        "Gatus checks no host key: here the first one is accepted, and a later change is an error",
    );
    for entry in item.get("conditions").map(|conditions| conditions.items()).unwrap_or_default() {
        let Some(text) = entry.text() else { continue };
        let condition = expand(&text, &entry, report);
        let target = Target::Ssh { has_command: ssh.command.is_some() };
        if let Err(why) = condition::add(&condition, target, &mut ssh.checks) {
            report.left_out(&entry.place(), format!("the condition `{}`: {why}", shown(&text)));
        }
    }
    Some(ssh)
}

/// Sets the login and the command, which needs one.
fn credentials(item: &Entry, host: &str, ssh: &mut Ssh, report: &mut Report) {
    let given = item.get("ssh");
    let value = |key: &str, report: &mut Report| {
        let value = given.as_ref()?.get(key)?;
        text(&value, report).filter(|text| !text.is_empty()).map(|text| (text, value.place()))
    };
    let (username, password) = (value("username", report), value("password", report));
    if let Some((_, place)) = value("private-key", report) {
        report
            .left_out(&place, "a private key in the file: save it as a file of its own, and name it under `identity`");
    }
    if let (Some((username, _)), Some((password, place))) = (username, password) {
        ssh.username = Some(username);
        let password = match password.as_literal() {
            Some(literal) => {
                let mut text = Text::default();
                text.push(report.secret(host, "ssh_password", "the password of the login", literal, &place));
                text
            }
            None => password,
        };
        ssh.password = Some(password);
    }
    let Some(body) = item.get("body") else { return };
    let json: Option<serde_json::Value> = body.text().and_then(|body| serde_json::from_str(&body).ok());
    let command = json.as_ref().and_then(|json| json.get("command")).and_then(serde_json::Value::as_str);
    match command.filter(|command| !command.trim().is_empty()) {
        Some(command) if ssh.password.is_some() => ssh.command = Some(expand(command, &body, report)),
        Some(_) => report.left_out(&body.place(), "the command, which needs a login"),
        None => {}
    }
}

fn client(item: &Entry, ssh: &mut Ssh, report: &mut Report) {
    for (key, value) in item.get("client").map(|client| client.members()).unwrap_or_default() {
        match key {
            "timeout" => ssh.timeout = seconds(&value, report).or(ssh.timeout),
            "insecure" | "ignore-redirect" | "network" => {}
            key => value.no_equivalent(&format!("client.{key}"), report),
        }
    }
}
