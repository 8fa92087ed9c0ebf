//! `sentrynet check`: checks a configuration and the settings of its probes, without running a probe.

use std::path::PathBuf;

use anyhow::Result;
use sentrynet::config;
use sentrynet::printable::StyledText;
use sentrynet::sink::sentry::{OnlineCheck, OnlineResult, check_online};

use super::{BROKEN, INVALID_INPUT, read_and_load};
use crate::logging::print_error;
use crate::output::print;

#[derive(clap::Args)]
pub struct Arguments {
    /// The configuration: a YAML file, a folder of them, or `-` for standard input
    config: PathBuf,
    /// Try the DSN too: send one event of the level `info` to Sentry, and to Spotlight if it is configured
    #[arg(long)]
    online: bool,
}

pub async fn check(Arguments { config, online }: &Arguments) -> Result<u8> {
    let Some(loaded) = read_and_load(config).await? else { return Ok(INVALID_INPUT) };
    let (probes, name) = (loaded.probes.len(), config.display());
    let noun = if probes == 1 { "probe" } else { "probes" };
    print_line(&format!("{name}: {probes} {noun}, no errors"));
    if *online { try_destinations(&loaded.config.sentry).await } else { Ok(0) }
}

/// Sends an event to each destination, and prints the results. Returns the exit code.
async fn try_destinations(settings: &config::Sentry) -> Result<u8> {
    let checks = check_online(settings).await?;
    if checks.is_empty() {
        print_error("there is nothing to try: neither `sentry.dsn` nor SENTRY_DSN is set, and no Spotlight is");
        return Ok(INVALID_INPUT);
    }
    Ok(checks.iter().map(print_result).max().unwrap_or(0))
}

/// Prints the result for one destination. Returns its exit code.
fn print_result(OnlineCheck { destination, event_id, result }: &OnlineCheck) -> u8 {
    let problem = match result {
        OnlineResult::Accepted => {
            print_line(&format!(
                "{destination}: accepted the event {event_id}, an `OnlineCheck` of the level info; all of them make one \
                 Issue"
            ));
            return 0;
        }
        OnlineResult::WrongKey(answer) => {
            format!("wrong key or project ({answer}); copy the DSN again from the project's settings")
        }
        OnlineResult::Rejected(answer) => {
            format!("rejected the event ({answer}); check the DSN and the project's settings")
        }
        OnlineResult::RateLimited(answer) => {
            format!("rate-limited, and takes no errors at present ({answer}); check the quota, and try again later")
        }
        OnlineResult::Failing(answer) => format!("failing ({answer}); try again later, and check proxies on the way"),
        OnlineResult::Tls(cause) => {
            format!("no TLS connection ({cause}); SSL_CERT_FILE names other certificate authorities")
        }
        OnlineResult::Unreachable(cause) => {
            format!("unreachable ({cause}); check the DSN's host, the network and HTTPS_PROXY")
        }
    };
    print_error(&format!("{destination}: {problem}"));
    if result.is_wrong_configuration() { INVALID_INPUT } else { BROKEN }
}

fn print_line(line: &str) {
    let mut text = StyledText::new();
    text.push_line(line);
    print(&text);
}
