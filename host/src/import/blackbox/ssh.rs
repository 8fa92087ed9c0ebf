//! The module `tcp` where it waits for the banner of an SSH server.

use url::Url;

use super::super::entry::Entry;
use super::super::model::Ssh;
use super::super::report::Report;
use super::super::text::Text;
use super::targets::Target;

/// Returns true if a module expects the banner of an SSH server, and speaks no TLS.
pub fn is_banner(module: &Entry) -> bool {
    let Some(tcp) = module.get("tcp") else { return false };
    let steps = tcp.get("query_response").map(|steps| steps.items()).unwrap_or_default();
    let first = steps.first().and_then(|step| step.get("expect")?.text()).unwrap_or_default();
    let has_tls = tcp.get("tls").is_some_and(|tls| tls.is_true());
    first.trim_start_matches('^').starts_with("SSH-") && !has_tls
}

/// Returns the settings for a target `host:port`.
pub fn settings(target: &Target, timeout: Option<f64>, report: &mut Report) -> Option<Ssh> {
    let parsed = Url::parse(&format!("ssh://{}", target.address)).ok();
    let Some(host) = parsed.as_ref().and_then(Url::host_str).filter(|_| !target.address.contains("://")) else {
        report.left_out(&target.place, "a target that is not a host and a port");
        return None;
    };
    report.remark(&target.place, "the first key of the host is accepted, and a later change is an error");
    let port = parsed.as_ref().and_then(Url::port).map(u64::from);
    let host = Text::literal(host.trim_matches(['[', ']']));
    Some(Ssh { host, port, timeout, host_key: Some("accept-new"), ..Ssh::default() })
}
