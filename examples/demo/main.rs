//! A demonstration: starts a small shop on loopback, and runs each of the probes in `probes.yaml` once.
//!
//! It also shows how to embed the host in a program: it loads a configuration, runs probes and reports the runs to
//! sinks.

use std::error::Error;
use std::io::{IsTerminal, stdout};
use std::path::Path;
use std::time::{Duration, Instant};

use sentrynet::LoadError;
use sentrynet::config::{self, Level, Source};
use sentrynet::sandbox::Compiler;
use sentrynet::sink::console::ConsoleOptions;
use sentrynet::sink::{SinkOptions, Sinks};

mod shop;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let shop = shop::start(folder.path()).await?;
    let text = include_str!("probes.yaml")
        .replace("HTTPS", &shop.https.to_string())
        .replace("EXPIRED", &shop.expired.to_string());
    println!("{}", text.trim_end());
    if stdout().is_terminal() {
        println!("\nThe first time, the code of the probes is compiled, which takes some seconds.\n");
    }
    run_probes(text, folder.path()).await?;
    println!("{NEXT_STEPS}");
    Ok(())
}

/// The text after the runs.
const NEXT_STEPS: &str = "
As intended, `Front page` and `Search` passed, and `Checkout` and `Old shop` failed.

Now check a service of yours. Write a file like the one above, probes.yaml, and then:

    cargo run -- check probes.yaml           # every error in it, with its line
    cargo run -- once probes.yaml --trace    # each probe once, with its waterfall
    cargo run -- run probes.yaml             # on schedule, until Ctrl-C

README.md says how to install the program, docs/configuration.md has every key, and docs/sentry.md says how to see all
of this in Sentry, or without an account in its viewer for development.";

/// Loads a configuration, runs each of its probes once, and reports the runs.
async fn run_probes(text: String, folder: &Path) -> Result<(), Box<dyn Error>> {
    let source = Source {
        name: "probes.yaml".to_owned(),
        text,
        path: None,
        directory: folder.to_owned(),
        probe: None,
        files: Vec::new(),
    };
    // Only `SENTRY_SPOTLIGHT` is read from the environment: runs of a demonstration do not belong in the user's Sentry.
    let environment = |name: &str| std::env::var(name).ok().filter(|_| name == "SENTRY_SPOTLIGHT");
    let loaded = match sentrynet::load(config::parse(&source, &environment), Compiler::ThisProcess).await {
        Ok(loaded) => loaded,
        Err(LoadError::Invalid { errors, .. }) => {
            return Err(config::render(&source, Level::Error, &errors).to_plain().into());
        }
        Err(error) => return Err(error.into()),
    };

    let options = SinkOptions { console: Some(ConsoleOptions::text(true, false)), ..SinkOptions::default() };
    let sinks = Sinks::start(&loaded.config, loaded.probes.len(), options)?;
    for probe in loaded.probes {
        sinks.report(probe.run(Instant::now()).await);
    }
    sinks.flush(Duration::from_secs(1)).await;
    Ok(())
}
